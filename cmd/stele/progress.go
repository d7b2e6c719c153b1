package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far something long is: a bar on a terminal, a plain line
// every few seconds elsewhere.
type progress struct {
	out      io.Writer
	now      func() time.Time
	noun     string
	terminal bool
	began    time.Time
	shown    time.Time
	drawn    bool
}

// How often progress is shown.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

func newProgress(p *process, noun string) *progress {
	now := p.now()
	return &progress{out: p.stderr, now: p.now, noun: noun, terminal: isTerminal(p.stderr), began: now, shown: now}
}

// isTerminal says whether somebody watches.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show says that done of total are done; total is 0 when it is not known.
func (p *progress) show(done, total uint64) {
	now := p.now()
	every := lineEvery
	if p.terminal {
		every = barEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	rate := float64(done) / max(now.Sub(p.began).Seconds(), 0.001)
	if p.terminal {
		p.drawn = true
		fmt.Fprintf(p.out, "\r\033[K%s %s", bar(done, total), p.text(done, total, rate))
		return
	}
	fmt.Fprintln(p.out, p.text(done, total, rate))
}

func bar(done, total uint64) string {
	if total == 0 {
		return ""
	}
	full := int(min(done, total) * barWidth / total) //nolint:gosec // at most barWidth
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func (p *progress) text(done, total uint64, rate float64) string {
	if total == 0 {
		return fmt.Sprintf("%d %s, %.0f/s", done, p.noun, rate)
	}
	left := ""
	if rate > 0 && total > done {
		left = ", " + time.Duration(float64(total-done)/rate*float64(time.Second)).Round(time.Second).String() + " left"
	}
	return fmt.Sprintf("%d of %d %s (%d%%), %.0f/s%s", done, total, p.noun, 100*done/total, rate, left)
}

// end clears the bar.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
