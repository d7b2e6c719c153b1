package pebblestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// clone returns a copy that may be changed.
func (l *rewritten) clone() *rewritten {
	c := *l
	log := *l.Log
	log.Entries, log.Keys = slices.Clone(log.Entries), slices.Clone(log.Keys)
	c.Log, c.left, c.leaves = &log, nil, slices.Clone(l.leaves)
	for _, e := range l.left {
		if e != nil {
			e = e.Clone()
		}
		c.left = append(c.left, e)
	}
	return &c
}

// attempt is a log and what became of what was done to it last: states are those
// that it may be in, one unless that failed.
type attempt struct{ states []*rewritten }

func (a *attempt) now() *rewritten { return a.states[0] }

// add commits, unless something failed before.
func (a *attempt) add(t testing.TB, s *Store, receivedAt int64, n int) error {
	before := a.now()
	c := before.Next(receivedAt, storetest.MakeEvents(fmt.Sprint(receivedAt), n), nil)
	after := before.clone()
	after.Add(c)
	for _, e := range after.Entries[len(after.left):] {
		after.left = append(after.left, e.Clone())
		after.leaves = append(after.leaves, tlog.RecordHash(e.AppendRecord(nil)))
	}
	err := s.Commit(t.Context(), c)
	a.settle(before, after, err)
	return err
}

// rewrite takes entries out, unless something failed before.
func (a *attempt) rewrite(t testing.TB, s *Store, fate func(e *event.Entry) ledger.Fate) error {
	before := a.now()
	after := before.clone()
	r := after.request(before.Head.Size, fate)
	got, err := s.Rewrite(t.Context(), r)
	if err != nil { // what it has done, if it has done it
		for _, e := range after.left {
			if e != nil && fate(e) == ledger.Removed {
				got.Removed++
			} else if e != nil && fate(e) == ledger.Erased && e.ErasedAt == 0 {
				got.Erased++
			}
		}
	}
	after.rewrote(t, r, got)
	a.settle(before, after, err)
	return err
}

func (a *attempt) settle(before, after *rewritten, err error) {
	if err == nil {
		a.states = []*rewritten{after}
	} else {
		a.states = []*rewritten{before, after}
	}
}

// check compares what a store has with the states.
func (a *attempt) check(t testing.TB, cfg Config) {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
	}()
	head, err := s.Head(t.Context(), a.now().Org)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, err := range s.Read(t.Context(), a.now().Org, 0, head.Size) {
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		got = append(got, fullText(e))
	}
	for _, state := range a.states {
		if head.Size == state.Head.Size && slices.Equal(got, state.texts()) {
			if head.Size > 0 {
				state.check(t, s)
			}
			return
		}
	}
	t.Errorf("%d entries of a log of %d are neither before nor after", len(got), head.Size)
}

// script takes entries out, scrubs, and goes on. It ends at the first error.
func (a *attempt) script(t testing.TB, cfg Config, beforeClose func()) error {
	s, err := Open(cfg)
	if err != nil {
		beforeClose()
		return err
	}
	erase := func(e *event.Entry) ledger.Fate {
		switch {
		case e.Seq < 270, e.Seq%50 < 5:
			return ledger.Removed
		case e.Seq%3 == 0:
			return ledger.Erased
		}
		return ledger.Stays
	}
	for _, step := range []func() error{
		func() error { return a.add(t, s, 1, 300) },
		func() error { return s.Seal(t.Context()) },
		func() error { return a.add(t, s, 2, 40) },
		func() error { return flush(s) },
		func() error { return a.rewrite(t, s, erase) },
		func() error { return a.add(t, s, 3, 50) },
		func() error { return s.Seal(t.Context()) },
		func() error { return s.Scrub(t.Context()) },
		func() error {
			return a.rewrite(t, s, func(e *event.Entry) ledger.Fate { return ledger.Fate(e.Seq % 3) })
		},
		func() error { return s.Scrub(t.Context()) },
	} {
		if err = step(); err != nil {
			break
		}
	}
	beforeClose()
	return errors.Join(err, s.Close())
}

// TestFaultsRewriting lets the i-th operation on files fail, for every i until none
// does, while entries are taken out and scrubbed. Each range is as it was before or
// as it is to be, then and after a crash.
func TestFaultsRewriting(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]*countdown{
		"once":      {err: errDisk},
		"forever":   {err: errDisk, forever: true},
		"full once": {err: syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, step := operations()
			if raceEnabled {
				step *= 8 // this script is a long one
			}
			for i := first; ; i += step {
				inject := &countdown{err: mode.err, forever: mode.forever}
				inject.left.Store(i)
				if !oneRewriteFault(t, inject) {
					t.Logf("%d operations", i)
					break
				}
				if t.Failed() {
					t.Fatalf("at operation %d: %s", i, inject.first())
				}
			}
		})
	}
}

// oneRewriteFault reports whether there was an operation to fail.
func oneRewriteFault(t *testing.T, inject *countdown) bool {
	mem := vfs.NewCrashableMem()
	crashed := mem
	cfg := testConfig(t, errorfs.Wrap(mem, inject))
	cfg.rangeRows, cfg.MemTableBytes = 64, 64<<10
	a := &attempt{states: []*rewritten{newRewritten("org")}}
	var err error
	within(t, "operation", func() {
		err = a.script(t, cfg, func() { crashed = mem.CrashClone(vfs.CrashCloneCfg{}) })
	})
	if inject.first() == "" {
		if err != nil {
			t.Errorf("without a failure: %v", err)
		}
		return false
	}
	for _, fs := range []vfs.FS{crashed, mem} {
		cfg.fs = fs
		within(t, "what is left", func() { a.check(t, cfg) })
	}
	return true
}

// TestCrashRewriting stops the machine while entries are taken out, scrubbed and
// committed, with more or less of what was not synced on disk. What was reported as
// gone stays gone, and all else is there.
func TestCrashRewriting(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	disk := vfs.NewCrashableMem()
	a := &attempt{states: []*rewritten{newRewritten("org")}}
	for round := range int64(fewer(16)) {
		cfg := testConfig(t, disk)
		cfg.rangeRows = 64
		s := mustReopen(t, cfg)
		err := a.add(t, s, round, 1+rng.IntN(200))
		if err == nil && rng.IntN(2) == 0 {
			err = s.Seal(t.Context())
		}
		if err == nil && rng.IntN(3) > 0 {
			err = a.rewrite(t, s, randomFate(rng, a.now().Head.Size))
		}
		if err == nil && rng.IntN(3) == 0 {
			err = s.Scrub(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.fs = disk
		a.check(t, cfg)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}
