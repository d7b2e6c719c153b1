package pebblestore

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// within fails the test when fn takes too long: a store must not hang because
// something failed.
func within(t testing.TB, what string, fn func()) {
	t.Helper()
	const limit = time.Minute
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s: still running after %s:\n%s", what, limit, stacks[:runtime.Stack(stacks, true)])
	}
}

// outcome is what a client knows after a run that may have failed: for each log
// what was acknowledged, and the commit whose outcome it does not know.
type outcome struct {
	logs    []*storetest.Log
	unknown []*ledger.Commit // by log, nil when all is known
	records map[string]string
	// maybe is a change of a record whose outcome is not known.
	maybe map[string]string
	// dropping is the log whose removal has an unknown outcome, nil when there is
	// none.
	dropping *storetest.Log
	// seals has check seal what is not, and look at it again.
	seals bool
}

func newOutcome(n int) *outcome {
	o := &outcome{unknown: make([]*ledger.Commit, n), records: map[string]string{}, maybe: map[string]string{}}
	for i := range n {
		o.logs = append(o.logs, storetest.NewLog(fmt.Sprint("org", i)))
	}
	return o
}

// clone returns a copy whose logs may be added to.
func (o *outcome) clone() *outcome {
	c := *o
	c.unknown = slices.Clone(o.unknown)
	c.logs = nil
	for _, l := range o.logs {
		c.logs = append(c.logs, &storetest.Log{
			Org: l.Org, Head: l.Head, Entries: slices.Clone(l.Entries), Keys: slices.Clone(l.Keys),
			Nodes: maps.Clone(l.Nodes), Leaves: slices.Clone(l.Leaves), Receipts: slices.Clone(l.Receipts),
		})
		if l == o.dropping {
			c.dropping = c.logs[len(c.logs)-1]
		}
	}
	return &c
}

// commit commits to one log and remembers how it went.
func (o *outcome) commit(t testing.TB, s *Store, i, rows int, receivedAt int64) error {
	l := o.logs[i]
	c := l.Next(receivedAt, storetest.MakeEvents(l.Org, rows), func(j int) (ledger.Key, bool) {
		return storetest.KeyOf(l.Org, fmt.Sprint(l.Head.Size, "-", j)), j%8 == 0
	})
	err := s.Commit(t.Context(), c)
	switch {
	case err == nil:
		l.Add(c)
	case !errors.Is(err, ledger.ErrDiskFull) && !errors.Is(err, ledger.ErrHeadMoved) && o.unknown[i] == nil:
		o.unknown[i] = c
	}
	return err
}

func (o *outcome) put(t testing.TB, s *Store, key, value string, rev uint64) error {
	err := s.Apply(t.Context(), catalog.Change{Key: key, Value: []byte(value), Rev: rev})
	if err == nil {
		o.records[key] = value
	} else {
		o.maybe[key] = value
	}
	return err
}

// check opens a store again: it must hold all that was acknowledged, perhaps what
// is unknown, whole, and nothing else.
func (o *outcome) check(t testing.TB, cfg Config) {
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
	for i, l := range o.logs {
		head, err := s.Head(t.Context(), l.Org)
		if err != nil {
			t.Fatalf("head: %v", err)
		}
		if l == o.dropping && head.Size == 0 {
			l = storetest.NewLog(l.Org)
			o.logs[i] = l
		}
		if c := o.unknown[i]; c != nil && head.Size == c.Head.Size && c.Prev == l.Head.Size {
			l.Add(c)
		}
		o.unknown[i] = nil
		storetest.CheckLog(t, s, l)
	}
	if o.seals {
		sealNow(t, s)
		for _, l := range o.logs {
			storetest.CheckLog(t, s, l)
		}
	}
	list, err := s.List(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, r := range list {
		if want, ok := o.records[r.Key]; string(r.Value) != o.maybe[r.Key] && (!ok || string(r.Value) != want) {
			t.Errorf("record %s is %q, want %q or %q", r.Key, r.Value, want, o.maybe[r.Key])
		}
	}
	if len(list) < len(o.records) {
		t.Errorf("%d records, want at least %d", len(list), len(o.records))
	}
	if err := s.Check(t.Context(), func(problem error) { t.Errorf("check: %v", problem) }); err != nil {
		t.Errorf("check: %v", err)
	}
}

// script opens a store, does something of everything, and closes it. It returns
// the first error that it got.
func (o *outcome) script(t testing.TB, cfg Config, beforeClose func()) error {
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	first := func(errs ...error) {
		for _, e := range errs {
			if err == nil {
				err = e
			}
		}
	}
	for n := range 3 {
		for i := range o.logs {
			first(o.commit(t, s, i, 40+100*n, int64(n)))
		}
		first(o.put(t, s, fmt.Sprint("key", n), strings.Repeat("v", n), 0))
	}
	// A flush and, on the second, a compaction.
	first(flush(s))
	first(o.commit(t, s, 0, 1, 3))
	first(flush(s))
	for _, l := range o.logs {
		n, readErr := uint64(0), error(nil)
		for _, err := range s.Read(t.Context(), l.Org, 0, l.Head.Size) {
			readErr = err
			n++
		}
		if first(readErr); readErr == nil && n != l.Head.Size {
			t.Errorf("read %d entries of %d, and no error", n, l.Head.Size)
		}
	}
	beforeClose()
	first(s.Close())
	return err
}

// flush has the memtable written to a table, unless the store fails meanwhile.
func flush(s *Store) error {
	if err := s.Failed(); err != nil {
		return err
	}
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-flushed:
			return s.Failed()
		case <-tick.C:
			if err := s.refusal(&request{}); err != nil {
				return err
			}
		}
	}
}

// countdown injects an error into the n-th operation on files, and perhaps all
// after it.
type countdown struct {
	left    atomic.Int64
	forever bool
	times   int64 // how often, once when zero
	err     error
	mu      sync.Mutex
	hit     []string
	match   func(op errorfs.Op) bool
}

func (c *countdown) String() string { return "countdown" }

func (c *countdown) MaybeError(op errorfs.Op) error {
	if c.match != nil && !c.match(op) {
		return nil
	}
	left := c.left.Add(-1)
	if left < 0 && (c.forever || left >= -max(c.times, 1)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hit = append(c.hit, fmt.Sprint(op.Kind, " ", op.Path))
		return c.err
	}
	return nil
}

func (c *countdown) first() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hit) == 0 {
		return ""
	}
	return c.hit[0]
}

var errDisk = &diskError{}

type diskError struct{}

func (*diskError) Error() string { return "injected: input/output error" }
func (*diskError) Unwrap() error { return syscall.EIO }

// harmless says that an operation may fail without anybody being told: tables
// are written again, manifests were synced before they are closed, and the rest
// only saves time or space.
func harmless(hit string) bool {
	for _, kind := range []errorfs.OpKind{errorfs.OpRemove, errorfs.OpStat, errorfs.OpGetDiskUsage, errorfs.OpFilePreallocate} {
		if strings.HasPrefix(hit, fmt.Sprint(kind, " ")) {
			return true
		}
	}
	kind, name, _ := strings.Cut(hit, " ")
	return strings.HasSuffix(hit, ".sst") || kindOf(name) == fileManifest && kind == fmt.Sprint(errorfs.OpFileClose)
}

// TestFaults lets the i-th operation on files fail, for every i until none does:
// once, or from then on, or only in what is answered, the operation having
// happened. Nothing that was acknowledged may be lost, and the process must live.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]struct{ forever, landed bool }{
		"once": {}, "forever": {forever: true}, "landed": {landed: true},
	} {
		t.Run(name, func(t *testing.T) {
			first, step := operations()
			for i := first; ; i += step {
				mem := vfs.NewCrashableMem()
				crashed := mem
				inject := &countdown{forever: mode.forever, err: errDisk}
				inject.left.Store(i)
				cfg := testConfig(t, errorfs.Wrap(mem, inject))
				cfg.windowReceipts = 5
				if mode.landed {
					cfg.fs = landedFS{mem, inject}
				}
				o := newOutcome(2)
				var err error
				within(t, fmt.Sprintf("operation %d", i), func() {
					err = o.script(t, cfg, func() { crashed = mem.CrashClone(vfs.CrashCloneCfg{}) })
				})
				if inject.first() == "" {
					t.Logf("%d operations", i)
					break
				}
				if err == nil && !harmless(inject.first()) {
					t.Errorf("nobody was told of the failure")
				}
				for _, fs := range []vfs.FS{crashed, mem} {
					cfg.fs = fs
					o.clone().check(t, cfg)
				}
				if t.Failed() {
					t.Fatalf("at operation %d: %s", i, inject.first())
				}
			}
		})
	}
}

// landedFS does what it is asked and then says that it failed.
type landedFS struct {
	vfs.FS
	inject errorfs.Injector
}

func (fs landedFS) after(kind errorfs.OpKind, name string, err error) error {
	return errors.Join(err, fs.inject.MaybeError(errorfs.Op{Kind: kind, Path: name}))
}

func (fs landedFS) file(kind errorfs.OpKind, name string, f vfs.File, err error) (vfs.File, error) {
	if err = fs.after(kind, name, err); err != nil {
		return nil, err
	}
	return landedFile{f, fs, name}, nil
}

func (fs landedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return fs.file(errorfs.OpCreate, name, f, err)
}

func (fs landedFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, c)
	return fs.file(errorfs.OpReuseForWrite, name, f, err)
}

func (fs landedFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	return fs.file(errorfs.OpOpenDir, name, f, err)
}

func (fs landedFS) Rename(old, name string) error {
	return fs.after(errorfs.OpRename, name, fs.FS.Rename(old, name))
}

func (fs landedFS) Remove(name string) error {
	return fs.after(errorfs.OpRemove, name, fs.FS.Remove(name))
}

type landedFile struct {
	vfs.File
	fs   landedFS
	name string
}

func (f landedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.after(errorfs.OpFileWrite, f.name, err)
}

func (f landedFile) Sync() error {
	return f.fs.after(errorfs.OpFileSync, f.name, f.File.Sync())
}

func (f landedFile) SyncData() error {
	return f.fs.after(errorfs.OpFileSyncData, f.name, f.File.SyncData())
}

func (f landedFile) Close() error {
	return f.fs.after(errorfs.OpFileClose, f.name, f.File.Close())
}
