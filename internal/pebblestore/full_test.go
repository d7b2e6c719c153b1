package pebblestore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// TestReserve lets the free space go below the reserve and come back.
func TestReserve(t *testing.T) {
	mem, now := vfs.NewMem(), &clock{t: time.UnixMilli(1_772_000_000_000)}
	free := func(mib uint64) {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: mib << 20, TotalBytes: 1 << 40})
		now.add(2 * lookEvery)
	}
	free(1000)
	cfg := testConfig(t, mem)
	cfg.ReserveBytes, cfg.Now = 256<<20, now.now
	s := mustOpen(t, cfg)
	l, other := storetest.NewLog("org"), storetest.NewLog("other")
	commit := func(l *storetest.Log) error {
		c := l.Next(1, storetest.MakeEvents("a", 10), func(i int) (ledger.Key, bool) {
			return storetest.KeyOf(l.Org, fmt.Sprint(l.Head.Size, i)), true
		})
		err := s.Commit(t.Context(), c)
		if err == nil {
			l.Add(c)
		}
		return err
	}
	for range 3 {
		free(257)
		if err := errors.Join(commit(l), commit(other)); err != nil {
			t.Fatalf("above the reserve: %v", err)
		}
		free(200)
		if err := commit(l); !errors.Is(err, ledger.ErrDiskFull) || !strings.Contains(err.Error(), "200 MiB") {
			t.Fatalf("below the reserve: got %v, want ErrDiskFull", err)
		}
		storetest.CheckLog(t, s, l)
		if err := s.Apply(t.Context(), catalog.Change{Key: fmt.Sprint("key", l.Head.Size)}); err != nil {
			t.Errorf("record in the upper half of the reserve: %v", err)
		}
		free(100)
		if err := s.Apply(t.Context(), catalog.Change{Key: "other"}); !errors.Is(err, ledger.ErrDiskFull) {
			t.Errorf("record in the lower half of the reserve: got %v, want ErrDiskFull", err)
		}
		if st := s.Stats(); st.FreeBytes != 100<<20 || st.ReserveBytes != 256<<20 || st.Failed != nil {
			t.Errorf("stats: %+v", st)
		}
	}
	if err := s.Drop(t.Context(), "other"); err != nil {
		t.Errorf("removal, which makes room: %v", err)
	}
	storetest.CheckLog(t, s, l)
}

// TestReserveIsLookedAt writes much between two looks of a second.
func TestReserveIsLookedAt(t *testing.T) {
	now := &clock{t: time.UnixMilli(1_772_000_000_000)}
	cfg := testConfig(t, sizedFS{vfs.NewMem(), 40 << 20})
	cfg.ReserveBytes, cfg.Now = 20<<20, now.now
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	for n := range 100 {
		events := storetest.MakeEvents("a", 100)
		for i := range events {
			events[i].UserAgent = incompressible(n*100+i, 10_000)
		}
		c := l.Next(1, events, nil)
		if err := s.Commit(t.Context(), c); err != nil {
			if !errors.Is(err, ledger.ErrDiskFull) || n < 5 {
				t.Fatalf("after %d MB: %v", n, err)
			}
			return
		}
		l.Add(c)
	}
	t.Error("100 MB fit into 20")
}

// sizedFS is a file system of a size.
type sizedFS struct {
	*vfs.MemFS
	size uint64
}

func (fs sizedFS) GetDiskUsage(dir string) (vfs.DiskUsage, error) {
	names, err := fs.List(dir)
	if err != nil {
		return vfs.DiskUsage{}, err
	}
	used := uint64(0)
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil {
			used += uint64(info.Size())
		}
	}
	return vfs.DiskUsage{AvailBytes: fs.size - min(fs.size, used)}, nil
}

func incompressible(seed, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*2654435761 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// smallDisk has ENOSPC answer everything that takes space, or only some, while it
// is full.
type smallDisk struct {
	full  atomic.Bool
	only  func(op errorfs.Op) bool
	tried atomic.Int64
}

func (d *smallDisk) String() string { return "small disk" }

func (d *smallDisk) MaybeError(op errorfs.Op) error {
	if !d.full.Load() || d.only != nil && !d.only(op) {
		return nil
	}
	switch op.Kind { //nolint:exhaustive // the others take no space
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpMkdirAll, errorfs.OpLink, errorfs.OpFilePreallocate:
		d.tried.Add(1)
		return fmt.Errorf("injected: %w", syscall.ENOSPC)
	default:
		return nil
	}
}

func (d *smallDisk) waitTried(t testing.TB) {
	t.Helper()
	within(t, "waiting for a write", func() {
		for n := d.tried.Load(); d.tried.Load() == n; {
			time.Sleep(time.Millisecond)
		}
	})
}

// TestDiskFull fills the disk without a reserve to warn: the commit under way
// waits, others are refused, reads go on. When there is space again all goes on as
// if nothing had been.
func TestDiskFull(t *testing.T) {
	isLog := func(op errorfs.Op) bool { return kindOf(op.Path) == fileLog }
	isManifest := func(op errorfs.Op) bool { return kindOf(op.Path) == fileManifest }
	for name, only := range map[string]func(errorfs.Op) bool{"everything": nil, "log": isLog, "manifest": isManifest} {
		t.Run(name, func(t *testing.T) {
			disk := &smallDisk{only: only}
			mem := vfs.NewCrashableMem()
			cfg := testConfig(t, errorfs.Wrap(mem, disk))
			s := mustOpen(t, cfg)
			l := fillLog(t, s)
			disk.full.Store(true)
			logs := []*storetest.Log{storetest.NewLog("a"), storetest.NewLog("b"), storetest.NewLog("c")}
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for i, l := range logs {
				wg.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						c := l.Next(int64(n), storetest.MakeEvents(fmt.Sprint(i, n), 200), nil)
						switch err := s.Commit(t.Context(), c); {
						case err == nil:
							l.Add(c)
						case errors.Is(err, ledger.ErrDiskFull):
							time.Sleep(time.Millisecond)
						default:
							t.Errorf("commit: %v", err)
							return
						}
					}
				})
			}
			disk.waitTried(t)
			storetest.CheckLog(t, s, l) // reads go on
			within(t, "commit on a full disk", func() {
				for range 3 {
					if err := s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 1), nil)); !errors.Is(err, ledger.ErrDiskFull) {
						t.Errorf("commit on a full disk: got %v, want ErrDiskFull", err)
					}
				}
			})
			storetest.CheckLog(t, s, l)
			disk.full.Store(false)
			within(t, "commit with space again", func() {
				for {
					if err := s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 1), nil)); err == nil {
						break
					} else if !errors.Is(err, ledger.ErrDiskFull) {
						t.Errorf("commit: %v", err)
						break
					}
					time.Sleep(time.Millisecond)
				}
			})
			l.Add(l.Next(1000, storetest.MakeEvents("z", 1), nil))
			close(stop)
			wg.Wait()
			if err := s.Failed(); err != nil {
				t.Fatalf("the store failed: %v", err)
			}
			cfg.fs = mem.CrashClone(vfs.CrashCloneCfg{})
			for _, s := range []*Store{s, mustOpen(t, cfg)} {
				for _, l := range append(logs, l) {
					storetest.CheckLog(t, s, l)
				}
			}
		})
	}
}

func fillLog(t testing.TB, s *Store) *storetest.Log {
	t.Helper()
	l := storetest.NewLog("org")
	for n := range 5 {
		c := l.Next(int64(n), storetest.MakeEvents(fmt.Sprint(n), 300), func(i int) (ledger.Key, bool) {
			return storetest.KeyOf("org", fmt.Sprint(n, "-", i)), true
		})
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
	}
	return l
}

// TestDiskFullAtClose closes a store whose commit waits for space.
func TestDiskFullAtClose(t *testing.T) {
	disk := &smallDisk{only: func(op errorfs.Op) bool { return kindOf(op.Path) == fileLog }}
	mem := vfs.NewCrashableMem()
	cfg := testConfig(t, errorfs.Wrap(mem, disk))
	cfg.windowReceipts = 1 << 20 // so that nothing else writes to the log
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := fillLog(t, s)
	disk.full.Store(true)
	c := l.Next(1000, storetest.MakeEvents("z", 100), nil)
	committed := make(chan error, 1)
	go func() { committed <- s.Commit(t.Context(), c) }()
	disk.waitTried(t)
	s.StopWaiting()
	within(t, "commit", func() {
		if err := <-committed; !errors.Is(err, ledger.ErrOutcomeUnknown) || errors.Is(err, ledger.ErrDiskFull) {
			t.Errorf("commit under way: got %v, want ErrOutcomeUnknown", err)
		}
	})
	within(t, "close", func() {
		if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("close: got %v, want ENOSPC", err)
		}
	})
	disk.full.Store(false)
	storetest.CheckLog(t, mustOpen(t, cfg), l)
}

// TestRecordsAreReadWhileAChangeWaits holds that a change of the catalog which
// waits for space keeps nobody from reading it, and is not seen before it is
// durable.
func TestRecordsAreReadWhileAChangeWaits(t *testing.T) {
	disk := &smallDisk{only: func(op errorfs.Op) bool { return kindOf(op.Path) == fileLog }}
	s, err := Open(testConfig(t, errorfs.Wrap(vfs.NewMem(), disk)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if err := s.Apply(t.Context(), catalog.Change{Key: key, Value: []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	disk.full.Store(true)
	applied := make(chan error, 1)
	go func() {
		applied <- s.Apply(t.Context(), catalog.Change{Key: "a", Rev: 1, Value: []byte("new")}, catalog.Change{Key: "c", Value: []byte("new")})
	}()
	disk.waitTried(t)
	within(t, "reading records", func() {
		for _, key := range []string{"a", "b"} {
			if got, err := s.Get(t.Context(), key); err != nil || string(got.Value) != "old" {
				t.Errorf("%s: %q %v", key, got.Value, err)
			}
		}
		if list, err := s.List(t.Context(), "", "", 10); err != nil || len(list) != 2 {
			t.Errorf("list: %d records, %v", len(list), err)
		}
	})
	disk.full.Store(false)
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "a"); err != nil || string(got.Value) != "new" {
		t.Errorf("after it: %q %v", got.Value, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiskFullAtOpen opens a store on a full disk: it is there to be read.
func TestDiskFullAtOpen(t *testing.T) {
	disk := &smallDisk{}
	cfg := testConfig(t, errorfs.Wrap(vfs.NewMem(), disk))
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := fillLog(t, s)
	if err := s.Apply(t.Context(), catalog.Change{Key: "key", Value: []byte("value")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	if s, err = Open(cfg); err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	storetest.CheckLog(t, s, l)
	if r, err := s.Get(t.Context(), "key"); err != nil || string(r.Value) != "value" {
		t.Errorf("record: %q, %v", r.Value, err)
	}
	for range 3 {
		if err := s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 1), nil)); !errors.Is(err, ledger.ErrDiskFull) {
			t.Errorf("commit: got %v, want ErrDiskFull", err)
		}
		if err := s.Apply(t.Context(), catalog.Change{Key: "other"}); !errors.Is(err, ledger.ErrDiskFull) || !errors.Is(err, &audit.Error{Code: audit.CodeDiskFull}) {
			t.Errorf("record: got %v, want ErrDiskFull, to be shown", err)
		}
	}
	if list := problems(t, s); len(list) > 0 {
		t.Errorf("check: %v", list)
	}
	if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close: got %v, want ENOSPC", err)
	}
	disk.full.Store(false)
	s = mustOpen(t, cfg)
	storetest.CheckLog(t, s, l)
	if err := s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 1), nil)); err != nil {
		t.Error(err)
	}
}

// TestSyncFails has a sync fail: whether the commit is there is open, the store
// takes no more, and goes on reading.
func TestSyncFails(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) {
			var fail atomic.Bool
			inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
				if fail.Load() && op.Kind == errorfs.OpFileSyncData {
					return cause
				}
				return nil
			})
			mem := vfs.NewCrashableMem()
			cfg := testConfig(t, errorfs.Wrap(mem, inject))
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			l := fillLog(t, s)
			if err := s.Apply(t.Context(), catalog.Change{Key: "key", Value: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			fail.Store(true)
			err = s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 100), nil))
			if err == nil || errors.Is(err, ledger.ErrDiskFull) || errors.Is(err, ledger.ErrHeadMoved) {
				t.Fatalf("commit: got %v, want an error that leaves it open", err)
			}
			fail.Store(false)
			err = s.Commit(t.Context(), l.Next(1000, storetest.MakeEvents("z", 100), nil))
			if !errors.Is(err, cause) || errors.Is(err, ledger.ErrDiskFull) != errors.Is(cause, syscall.ENOSPC) {
				t.Errorf("later commit: got %v", err)
			}
			if !errors.Is(s.Failed(), cause) || !errors.Is(s.Stats().Failed, cause) {
				t.Errorf("failed: %v", s.Failed())
			}
			storetest.CheckLog(t, s, l)
			if r, err := s.Get(t.Context(), "key"); err != nil || string(r.Value) != "1" {
				t.Errorf("record: %q, %v", r.Value, err)
			}
			if err := s.Close(); !errors.Is(err, cause) {
				t.Errorf("close: %v", err)
			}
			cfg.fs = mem.CrashClone(vfs.CrashCloneCfg{})
			storetest.CheckLog(t, mustOpen(t, cfg), l)
		})
	}
}

// TestUnknownRecord has the sync of a record's change fail.
func TestUnknownRecord(t *testing.T) {
	var fail atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail.Load() && op.Kind == errorfs.OpFileSyncData {
			return syscall.EIO
		}
		return nil
	})
	s, err := Open(testConfig(t, errorfs.Wrap(vfs.NewMem(), inject)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/1", "b/1"} {
		if err := s.Apply(t.Context(), catalog.Change{Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	fail.Store(true)
	if err := s.Apply(t.Context(), catalog.Change{Key: "a/1", Rev: 1, Value: []byte("new")}); err == nil {
		t.Fatal("changed")
	}
	if r, err := s.Get(t.Context(), "a/1"); !errors.Is(err, errUnknown) {
		t.Errorf("get: got %q, %v; nobody knows which it is", r.Value, err)
	}
	if _, err := s.List(t.Context(), "a/", "", 10); !errors.Is(err, errUnknown) {
		t.Errorf("list: got %v", err)
	}
	if r, err := s.Get(t.Context(), "b/1"); err != nil || r.Rev != 1 {
		t.Errorf("get another: %+v, %v", r, err)
	}
	if list, err := s.List(t.Context(), "b/", "", 10); err != nil || len(list) != 1 {
		t.Errorf("list others: %v, %v", list, err)
	}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
}
