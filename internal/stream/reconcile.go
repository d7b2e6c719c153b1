package stream

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// Findings say what of a log lies at a destination.
type Findings struct {
	// From and To are the first and last seq looked at, both included.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Removed is how many of these entries the log has no more, since retention
	// has removed them: of those nothing is said.
	Removed uint64 `json:"removed,omitempty"`
	// Expected is how many entries the stream's filter finds there. Missing
	// is how many of them are in no object, dead letters and skipped ones
	// among them; Gaps are where, at most maxGaps of them.
	Expected uint64 `json:"expected"`
	Missing  uint64 `json:"missing"`
	Gaps     []Gap  `json:"gaps,omitempty"`
	// Objects is how many objects hold them, Duplicates how many of these hold
	// nothing that another does not.
	Objects    int `json:"objects"`
	Duplicates int `json:"duplicates"`
}

// Summary says it in a sentence.
func (f *Findings) Summary() string {
	delivered := fmt.Sprintf("%d of %d events", f.Expected-f.Missing, f.Expected)
	if f.Missing == 0 {
		delivered = fmt.Sprintf("all %d events", f.Expected)
	}
	text := fmt.Sprintf("seq %d to %d: %s delivered, %d missing, %d duplicate objects", f.From, f.To, delivered, f.Missing, f.Duplicates)
	if f.Removed > 0 {
		text += fmt.Sprintf("; %d entries removed from the log by retention were not compared", f.Removed)
	}
	return text
}

// Gap is a range with entries that are missing.
type Gap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

const (
	maxGaps = 100
	// maxHeld bounds how many objects are compared at once: 16 bytes each.
	maxHeld = 4 << 20
)

// span is what an object holds: first ≤ seq ≤ last. Its name is not kept, so that
// a million objects are 16 MB.
type span struct{ first, last uint64 }

// comparison is one reconciliation at work. It is owned by its goroutine.
type comparison struct {
	s     *Streams
	st    *Stream
	log   string
	found *Findings
	// progress is told now and then how many objects were found and which seq is
	// compared next. An error ends the work.
	progress func(objects int, next uint64) error
}

// run finds what there is to be found of the range in found.
func (c *comparison) run(ctx context.Context) error {
	held, err := c.held(ctx, maxHeld)
	if err != nil {
		return err
	}
	return c.compare(ctx, held)
}

// held lists what lies at the destination of the range, sorted.
func (c *comparison) held(ctx context.Context, most int) ([]span, error) {
	lister, secrets, done, err := c.s.lister(ctx, c.st)
	if err != nil {
		return nil, err
	}
	defer done()
	var held []span
	for h, err := range lister.List(ctx, c.st.ID, c.log) {
		if err != nil {
			why := sink.Excerpt(sink.AsError(err).Message, secrets...)
			for _, again := range []string{"tried", "sent", "asked"} { // which is so of deliveries only
				why = strings.ReplaceAll(why, " It will be "+again+" again.", "")
			}
			return nil, audit.Errorf(audit.CodeConflict, "the destination could not be listed: %s", why)
		}
		if h.Last < c.found.From || h.First > c.found.To {
			continue
		}
		if len(held) == most {
			return nil, audit.Errorf(audit.CodeConflict, "more than %d objects lie there: compare the range in parts, with from and to", most)
		}
		held = append(held, span{h.First, h.Last})
		if err := c.progress(len(held), c.found.From); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(held, func(a, b span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	return held, nil
}

// lister opens a stream's destination to list what it holds; done closes it.
func (s *Streams) lister(ctx context.Context, st *Stream) (l sink.Lister, secrets []string, done func(), err error) {
	kind, opened, secrets := s.open(st)
	done = func() {
		if err := opened.Close(); err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "close destination", slog.String("stream", st.ID), slog.Any("error", err))
		}
	}
	if l, ok := opened.(sink.Lister); ok {
		return l, secrets, done, nil
	}
	done()
	if u, broken := opened.(sink.Unreachable); broken {
		return nil, nil, nil, audit.Errorf(audit.CodeConflict, "%s", u.Err.Message)
	}
	return nil, nil, nil, invalid("/kind", "%s cannot say what it holds; only object stores can", cmp.Or(kind.Label, kind.Name))
}

// compare goes over the log and the sorted objects side by side.
func (c *comparison) compare(ctx context.Context, held []span) error {
	out, s := c.found, c.s
	out.Objects = len(held)
	covered := uint64(0) // everything below is held, from the last object's first on
	for _, h := range held {
		if h.last < covered {
			out.Duplicates++
		}
		covered = max(covered, h.last+1)
	}
	q, err := query(c.st.Filter)
	if err != nil {
		return err
	}
	dead, err := c.dead(ctx)
	if err != nil {
		return err
	}
	left, err := s.cfg.Scanner.Survey(ctx, c.log, audit.Query{}, out.From, out.To+1)
	if err != nil {
		return fmt.Errorf("read log of %s: %w", c.log, err)
	}
	out.Removed = out.To + 1 - out.From - left.Entries
	at, end := 0, uint64(0) // objects before at begin at or before the entry; end is the largest last+1 of them
	gap := (*Gap)(nil)      // that the entry before is in
	for e, err := range s.cfg.Scanner.Scan(ctx, c.log, q, out.From, out.To+1, false) {
		if err != nil {
			return fmt.Errorf("read log of %s: %w", c.log, err)
		}
		if err := c.progress(len(held), e.Seq); err != nil {
			return err
		}
		out.Expected++
		for at < len(held) && held[at].first <= e.Seq {
			end = max(end, held[at].last+1)
			at++
		}
		if e.Seq < end && !dead[e.Seq] {
			gap = nil
			continue
		}
		out.Missing++
		gap = out.miss(gap, e.Seq)
	}
	return nil
}

// miss notes a missing entry: in the gap of the one before, or in another.
func (f *Findings) miss(gap *Gap, seq uint64) *Gap {
	if gap == nil {
		if len(f.Gaps) == maxGaps {
			return &Gap{} // one too many to be told
		}
		f.Gaps = append(f.Gaps, Gap{From: seq})
		gap = &f.Gaps[len(f.Gaps)-1]
	}
	gap.To = seq
	gap.Events++
	return gap
}

// dead are the dead letters of the range.
func (c *comparison) dead(ctx context.Context) (map[uint64]bool, error) {
	dead := map[uint64]bool{}
	for d, err := range catalog.All[DeadLetter](ctx, c.s.cfg.KV, prefixDead+c.st.ID+"/"+c.log+"/", "") {
		if err != nil {
			return nil, err
		}
		if d.Value.Seq >= c.found.From && d.Value.Seq <= c.found.To {
			dead[d.Value.Seq] = true
		}
	}
	return dead, nil
}
