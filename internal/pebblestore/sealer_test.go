package pebblestore

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/storetest"
)

// TestCommitsWaitForTheSealer stops the sealer after its first block: commits are
// slower with every complete range that waits, up to a bound, and go on. They are
// as fast as before when it has caught up.
func TestCommitsWaitForTheSealer(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	cfg := testConfig(t, vfs.NewMem())
	cfg.rangeRows, cfg.sealByHand = 64, false
	began := make(chan struct{}, 1)
	cfg.OnSeal = func(SealStats) {
		select {
		case began <- struct{}{}:
		default:
		}
		<-gate
	}
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	addRows(t, s, l, 1, 64)
	<-began
	addRows(t, s, l, 2, slowRanges*64)
	if d := s.sealer.hold(); d != 0 {
		t.Errorf("%d ranges wait and commits do for %s", slowRanges, d)
	}
	addRows(t, s, l, 3, (stopRanges-slowRanges)/2*64)
	if d := s.sealer.hold(); d != maxWait/2 {
		t.Errorf("commits wait %s half way, want %s", d, maxWait/2)
	}
	addRows(t, s, l, 4, stopRanges*64)
	if d := s.sealer.hold(); d != maxWait {
		t.Errorf("commits wait %s, want %s", d, maxWait)
	}
	start := time.Now()
	addRows(t, s, l, 5, 1)
	if d := time.Since(start); d < maxWait {
		t.Errorf("a commit took %s, want it to wait %s", d, maxWait)
	}
	close(gate)
	eventually(t, "the sealer has caught up", func() bool {
		end, err := sealedEnd(s.db, "org")
		return err == nil && end == l.Head.Size/64*64 && s.sealer.hold() == 0
	})
	storetest.CheckLog(t, s, l)
}

// TestWaitEnds has a group wait for the sealer of a store that failed, or is
// closed: it does not.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *Store){
		"failed": func(s *Store) { s.fs.fail(errors.New("disk")) },
		"closed": func(s *Store) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(testConfig(t, vfs.NewMem()))
			if err != nil {
				t.Fatal(err)
			}
			s.sealer.due.Store(1000)
			end(s)
			const waits = 50
			start := time.Now()
			for range waits {
				s.sealer.wait()
			}
			if d := time.Since(start); d > waits*maxWait/2 {
				t.Errorf("%d groups waited %s", waits, d)
			}
			_ = s.Close() // the failure that was made is told
		})
	}
}

// TestSealingInTurns has one organization with a large backlog and another with
// one complete range: it is the next but one.
func TestSealingInTurns(t *testing.T) {
	t.Parallel()
	step := make(chan struct{})
	sealed := make(chan struct{})
	done := make(chan struct{})
	cfg := testConfig(t, vfs.NewMem())
	cfg.rangeRows, cfg.sealByHand = 64, false
	cfg.OnSeal = func(SealStats) {
		select {
		case sealed <- struct{}{}:
			<-step
		case <-done:
		}
	}
	s := mustOpen(t, cfg)
	large, small := storetest.NewLog("large"), storetest.NewLog("small")
	addRows(t, s, large, 1, 50*64)
	<-sealed
	addRows(t, s, small, 1, 64)
	for range 2 {
		step <- struct{}{}
		<-sealed
	}
	if end, err := sealedEnd(s.db, "small"); err != nil || end != 64 {
		t.Errorf("after two turns the small one is sealed up to %d, %v", end, err)
	}
	if end, err := sealedEnd(s.db, "large"); err != nil || end != 128 {
		t.Errorf("the large one is sealed up to %d, %v; want 128", end, err)
	}
	close(done)
	close(step)
	eventually(t, "all is sealed", func() bool {
		end, err := sealedEnd(s.db, "large")
		return err == nil && end == large.Head.Size
	})
}

// manyOrgs makes a store of n organizations of three entries and one of 5,000,
// none of them sealed.
func manyOrgs(t testing.TB, cfg Config, n int) {
	t.Helper()
	cfg.sealByHand = true
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	events := storetest.MakeEvents("a", 3)
	var wg sync.WaitGroup
	const writers = 32
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				l := storetest.NewLog(fmt.Sprintf("org_%06d", i))
				if err := s.Commit(t.Context(), l.Next(1, events, nil)); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	addRows(t, s, storetest.NewLog("large"), 1, 5000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// heapBytes is what is in use after a collection.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyOrganizations opens a store of 10,000 organizations with a few rows each
// and one with many: that one is found and sealed, the others cost little memory
// and no goroutines.
func TestManyOrganizations(t *testing.T) {
	const n, maxBytes = 10_000, 1 << 10 // 500 were measured
	cfg := testConfig(t, vfs.NewMem())
	cfg.sealEvery, cfg.rangeRows = time.Millisecond, 1024
	manyOrgs(t, cfg, n)
	s, err := Open(cfg) // does not seal, so that it knows no organization
	if err != nil {
		t.Fatal(err)
	}
	goroutines, heap := runtime.NumGoroutine(), heapBytes()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.sealByHand = false
	s = mustOpen(t, cfg)
	eventually(t, "the large one is sealed and nothing is due", func() bool {
		end, err := sealedEnd(s.db, "large")
		return err == nil && end == 5000 && s.Stats().Logs == n+1 && s.Stats().DueEntries == 0 && !s.sealer.busy(n)
	})
	if more := runtime.NumGoroutine() - goroutines; more > 10 {
		t.Errorf("%d goroutines more", more)
	}
	each := (heapBytes() - heap) / n
	t.Logf("%d bytes for each organization", each)
	if each > maxBytes {
		t.Errorf("%d bytes for each organization, want %d at most", each, maxBytes)
	}
}

// busy reports whether logs wait, or are looked at again and again.
func (z *sealer) busy(n int) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.waiting) > 0 || len(z.open) > n/100
}

// BenchmarkRestart opens a store of many organizations until what was not sealed
// is found.
func BenchmarkRestart(b *testing.B) {
	const n = 10_000
	cfg := testConfig(b, nil)
	cfg.CacheBytes = 64 << 20
	manyOrgs(b, cfg, n)
	var opened, found time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		opened += time.Since(start)
		s.sealer.discover()
		found += time.Since(start)
		if len(s.sealer.waiting) != n+1 {
			b.Fatalf("%d organizations wait", len(s.sealer.waiting))
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "ms-to-open")
	b.ReportMetric(float64(found.Milliseconds())/float64(b.N), "ms-to-find")
}
