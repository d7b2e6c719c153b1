package pebblestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// gate holds back the syncs of the write-ahead log while it is shut.
type gate struct {
	mu   sync.RWMutex
	shut atomic.Bool
	held atomic.Int64
}

func (g *gate) String() string { return "gate" }

func (g *gate) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileSyncData && kindOf(op.Path) == fileLog && g.shut.Load() {
		g.held.Add(1)
		g.mu.RLock()
		defer g.mu.RUnlock()
	}
	return nil
}

func (g *gate) close() {
	g.mu.Lock()
	g.shut.Store(true)
}

func (g *gate) open() {
	g.shut.Store(false)
	g.mu.Unlock()
}

// TestGroups holds back a sync. What waits meanwhile is one group; a commit in it
// that does not fit its log fails alone; and nobody sees what is not synced.
func TestGroups(t *testing.T) {
	g := &gate{}
	cfg := testConfig(t, errorfs.Wrap(vfs.NewMem(), g))
	groups := make(chan CommitStats, 100)
	cfg.OnCommit = func(st CommitStats) { groups <- st }
	s := mustOpen(t, cfg)
	first := storetest.NewLog("first")
	g.close()
	var wg sync.WaitGroup
	firstCommit := first.Next(1, storetest.MakeEvents("a", 3), func(i int) (ledger.Key, bool) { return storetest.KeyOf("first", "k"), i == 0 })
	wg.Go(func() {
		if err := s.Commit(t.Context(), firstCommit); err != nil {
			t.Errorf("first commit: %v", err)
		}
	})
	waitFor(t, func() bool { return g.held.Load() > 0 })

	// The first is in Pebble, and not durable.
	storetest.CheckLog(t, s, first)
	if _, err := s.Receipt(t.Context(), "first", storetest.KeyOf("first", "k")); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("receipt of a commit that is not durable: %v", err)
	}

	logs := make([]*storetest.Log, 20)
	for i := range logs {
		logs[i] = storetest.NewLog(fmt.Sprint("org", i))
		c := logs[i].Next(1, storetest.MakeEvents("a", 1+i), nil)
		wg.Go(func() {
			if err := s.Commit(t.Context(), c); err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
		})
	}
	rival := first.Next(1, storetest.MakeEvents("rival", 5), nil) // at 0, like the first
	wg.Go(func() {
		if err := s.Commit(t.Context(), rival); !errors.Is(err, ledger.ErrHeadMoved) {
			t.Errorf("rival commit: got %v, want ErrHeadMoved", err)
		}
	})
	wg.Go(func() {
		if err := s.Apply(t.Context(), catalog.Change{Key: "key", Rev: 5}); !errors.Is(err, catalog.ErrConflict) {
			t.Errorf("stale change: got %v, want ErrConflict", err)
		}
	})
	wg.Go(func() {
		if err := s.Apply(t.Context(), catalog.Change{Key: "key"}); err != nil {
			t.Errorf("change: %v", err)
		}
	})
	waitFor(t, func() bool { return s.Stats().Waiting == 23 })
	g.open()
	wg.Wait()
	if st := <-groups; st.Commits != 1 || st.Rows != 3 || st.Err != nil || st.Bytes == 0 {
		t.Errorf("first group: %+v", st)
	}
	if st := <-groups; st.Commits != 21 || st.Rows != 210 || st.Err != nil {
		t.Errorf("second group: %+v", st)
	}
	first.Add(firstCommit)
	storetest.CheckLog(t, s, first)
	for i, l := range logs {
		l.Add(l.Next(1, storetest.MakeEvents("a", 1+i), nil))
		storetest.CheckLog(t, s, l)
	}
}

func waitFor(t testing.TB, cond func() bool) {
	t.Helper()
	within(t, "waiting", func() {
		for !cond() {
			time.Sleep(time.Millisecond)
		}
	})
}

// TestLargeCommits commits more than a memtable, more than a group and more than
// a block at once.
func TestLargeCommits(t *testing.T) {
	cfg := testConfig(t, nil)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := storetest.NewLog("org")
	for n, rows := range []int{3, 40_000, 1, 2047, 2048, 2049, 12_288} {
		events := storetest.MakeEvents(fmt.Sprint(n), rows)
		if rows == 2049 {
			for i := range events {
				events[i].UserAgent = incompressible(i, 10_000)
			}
		}
		c := l.Next(int64(n), events, nil)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatalf("commit of %d: %v", rows, err)
		}
		l.Add(c)
	}
	storetest.CheckLog(t, s, l)
	if list := problems(t, s); len(list) > 0 {
		t.Errorf("check: %v", list)
	}
	for _, key := range rowsOf(t, s, kindRun) {
		value, closer, err := s.db.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		var r runReader
		if err := r.open(key, value); err != nil {
			t.Error(err)
		}
		if r.rows > maxRunRows || r.bodyBytes > maxRunBytes+3*maxRunRows {
			t.Errorf("run of %d rows and %d bytes", r.rows, r.bodyBytes)
		}
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.CheckLog(t, mustOpen(t, cfg), l)

	info, err := os.Stat(cfg.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: mode %v, %v; want 0700", info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(cfg.Dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory above it, made with it: mode %v, %v; want 0700", info.Mode(), err)
	}
}

// TestRowTooLarge commits a row that no reader would believe.
func TestRowTooLarge(t *testing.T) {
	s := mustOpen(t, testConfig(t, vfs.NewMem()))
	l := storetest.NewLog("org")
	c := l.Next(1, storetest.MakeEvents("a", 1), nil)
	c.Rows[0] = make([]byte, maxRowBytes+1)
	if err := s.Commit(t.Context(), c); err == nil {
		t.Error("committed")
	}
	storetest.CheckLog(t, s, l)
}

// TestClosed uses a store that is closed.
func TestClosed(t *testing.T) {
	s, err := Open(testConfig(t, vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	if err := s.queue.push(&request{}); !errors.Is(err, errClosed) {
		t.Errorf("push: got %v", err)
	}
}

// TestGather holds that what can push at once is waited for, and what cannot is
// not. The scheduler may let the gatherer go first now and then, so one miss
// proves nothing.
func TestGather(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const tries = 50
	gathered := 0
	for range tries {
		q := &queue{gate: func() error { return nil }, wake: make(chan struct{}, 1)}
		push := func() {
			if err := q.push(&request{}); err != nil {
				t.Error(err)
			}
		}
		held := make(chan struct{})
		var ended sync.WaitGroup
		push()
		ended.Go(push)
		ended.Go(func() {
			<-held
			push()
		})
		q.gather()
		if q.len() == 2 {
			gathered++
		}
		close(held)
		ended.Wait()
	}
	if gathered < tries/2 {
		t.Errorf("in %d of %d tries what could push had done so", gathered, tries)
	}
}
