package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// sampleEvery is how often the memory of a server of our own is read: often
	// enough for what an export takes for a moment.
	sampleEvery = 50 * time.Millisecond
	// askEvery is how often another server is asked for it.
	askEvery = time.Second
)

// noProcess is the pid of a server that has ended.
const noProcess = -1

// memoryReport is the resident set of the server, in bytes.
type memoryReport struct {
	Loading   int64 `json:"loading_peak_bytes"`
	Settling  int64 `json:"settling_peak_bytes"`
	Idle      int64 `json:"idle_bytes"`
	Exporting int64 `json:"exporting_peak_bytes"`
}

// memoryWatch samples the resident set of the server.
type memoryWatch struct {
	target *benchTarget
	pid    atomic.Int64 // of our own server, 0 when it is another
	peak   atomic.Int64 // largest since the last take, in bytes
	cancel context.CancelFunc
	done   chan struct{}
}

// watchMemoryOf samples until stopped.
func watchMemoryOf(ctx context.Context, t *benchTarget) *memoryWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &memoryWatch{target: t, cancel: cancel, done: make(chan struct{})}
	every := sampleEvery
	if t.child == nil {
		every = askEvery
	} else {
		w.pid.Store(int64(t.child.Process.Pid))
	}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			w.sample(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

func (w *memoryWatch) stop() { w.cancel(); <-w.done }

// sample reads the resident set; a server that is down at the moment has none.
func (w *memoryWatch) sample(ctx context.Context) int64 {
	bytes := w.read(ctx)
	for {
		old := w.peak.Load()
		if old >= bytes || w.peak.CompareAndSwap(old, bytes) {
			return bytes
		}
	}
}

func (w *memoryWatch) read(ctx context.Context) int64 {
	if pid := w.pid.Load(); pid != 0 {
		bytes, err := residentSet(int(pid))
		if err != nil {
			return 0
		}
		return bytes
	}
	v, err := w.target.metric(ctx, "process_resident_memory_bytes")
	if err != nil {
		return 0
	}
	return int64(v)
}

// take returns the largest resident set since it was last called.
func (w *memoryWatch) take(ctx context.Context) int64 {
	w.sample(ctx)
	return w.peak.Swap(0)
}

// residentSet is what a process holds in memory, in bytes.
func residentSet(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
