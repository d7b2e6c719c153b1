package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memoryEvery is how often memory is read. Adding up all processes takes longer
// than reading one, and must not disturb what is measured.
const memoryEvery = 250 * time.Millisecond

// memoryPeak finds the most memory that a process and its children had together:
// the sum of their proportional sets, in which shared memory counts once.
type memoryPeak struct {
	cancel context.CancelFunc
	peak   chan int64
}

func watchMemory(ctx context.Context, pid int) *memoryPeak {
	ctx, cancel := context.WithCancel(ctx)
	m := &memoryPeak{cancel: cancel, peak: make(chan int64, 1)}
	go func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		var peak int64
		for {
			peak = max(peak, familyMemory(pid))
			select {
			case <-ctx.Done():
				m.peak <- max(peak, familyMemory(pid))
				return
			case <-tick.C:
			}
		}
	}()
	return m
}

// stop ends it and returns the peak in bytes.
func (m *memoryPeak) stop() int64 { m.cancel(); return <-m.peak }

// familyMemory is what a process and its children have now. One that ends
// meanwhile has none.
func familyMemory(pid int) int64 {
	total := proportionalSet(pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name) //nolint:gosec // of /proc
		if err != nil {
			continue
		}
		// The name of the program, in parentheses, may hold anything.
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		fields := strings.Fields(rest) // state, parent
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			total += proportionalSet(child)
		}
	}
	return total
}

func proportionalSet(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// directorySize adds up the files below a directory. One that is gone before it
// is looked at counts nothing.
func directorySize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}
