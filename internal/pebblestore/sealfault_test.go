package pebblestore

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stelehq/stele/internal/storetest"
)

// drop removes a log and remembers how it went.
func (o *outcome) drop(t testing.TB, s *Store, i int) error {
	err := s.Drop(t.Context(), o.logs[i].Org)
	if err == nil {
		o.logs[i] = storetest.NewLog(o.logs[i].Org)
	} else {
		o.dropping = o.logs[i]
	}
	return err
}

// seal seals everything, unless the store has failed.
func (o *outcome) seal(t testing.TB, s *Store) error {
	if err := s.Failed(); err != nil {
		return err
	}
	return s.Seal(t.Context())
}

// read reads all that was acknowledged. It is readable unless reading fails.
func (o *outcome) read(t testing.TB, s *Store, inject *countdown) (err error) {
	for i, l := range o.logs {
		if l == o.dropping {
			continue
		}
		n := uint64(0)
		for e, readErr := range s.Read(t.Context(), l.Org, 0, l.Head.Size) {
			if err = readErr; err != nil {
				break
			}
			if string(entryText(nil, e)) != string(entryText(nil, l.Entries[n])) {
				t.Errorf("entry %d of log %d is another", n, i)
			}
			n++
		}
		if err == nil && n != l.Head.Size {
			t.Errorf("read %d entries of %d, and no error", n, l.Head.Size)
		}
		if err != nil && !inject.reading() {
			t.Errorf("read after %q failed: %v", inject.first(), err)
		}
	}
	return err
}

// reading reports whether one of the operations that failed is part of reading.
func (c *countdown) reading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hit := range c.hit {
		for _, kind := range []errorfs.OpKind{errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpOpen, errorfs.OpFileStat} {
			if strings.HasPrefix(hit, fmt.Sprint(kind, " ")) {
				return true
			}
		}
	}
	return false
}

// sealScript commits, seals, commits more, merges, and drops a log that is sealed
// and makes it again. It returns the first error that it got.
func (o *outcome) sealScript(t testing.TB, cfg Config, inject *countdown, beforeClose func()) error {
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	first := func(next error) {
		if err == nil {
			err = next
		}
	}
	for n, rows := range []int{50, 100, 40, 90} { // ranges of 64
		for i := range o.logs {
			first(o.commit(t, s, i, rows, int64(n)))
		}
		first(o.seal(t, s))
		first(o.read(t, s, inject))
		if n == 1 {
			first(flush(s)) // parts and runs meet in tables
		}
	}
	first(o.drop(t, s, 1))
	first(o.commit(t, s, 1, 70, 5))
	first(o.seal(t, s))
	first(flush(s))
	first(o.read(t, s, inject))
	beforeClose()
	first(s.Close())
	return err
}

// TestFaultsSealing lets the i-th operation on files fail, for every i until none
// does, while entries are sealed, merged and dropped. All that was acknowledged is
// there once, then and after the store was opened again.
func TestFaultsSealing(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]*countdown{
		"once":                {err: errDisk},
		"forever":             {err: errDisk, forever: true},
		"full once":           {err: syscall.ENOSPC},
		"full for a while":    {err: syscall.ENOSPC, times: 25},
		"in what is answered": {err: errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, step := operations()
			for i := first; ; i += step {
				inject := &countdown{err: mode.err, forever: mode.forever, times: mode.times}
				inject.left.Store(i)
				if !oneSealFault(t, inject, name == "in what is answered") {
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

// oneSealFault reports whether there was an operation to fail.
func oneSealFault(t *testing.T, inject *countdown, landed bool) bool {
	mem := vfs.NewCrashableMem()
	crashed := mem
	cfg := testConfig(t, errorfs.Wrap(mem, inject))
	cfg.rangeRows, cfg.MemTableBytes = 64, 64<<10
	if landed {
		cfg.fs = landedFS{mem, inject}
	}
	o := newOutcome(2)
	o.seals = true
	var err error
	within(t, "operation", func() {
		err = o.sealScript(t, cfg, inject, func() { crashed = mem.CrashClone(vfs.CrashCloneCfg{}) })
	})
	if inject.first() == "" {
		if err != nil {
			t.Errorf("without a failure: %v", err)
		}
		return false
	}
	if err == nil && errors.Is(inject.err, errDisk) && !harmless(inject.first()) {
		t.Errorf("nobody was told of the failure")
	}
	for _, fs := range []vfs.FS{crashed, mem} {
		cfg.fs = fs
		within(t, "what is left", func() { o.clone().check(t, cfg) })
	}
	return true
}
