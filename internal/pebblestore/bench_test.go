package pebblestore

import (
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// BenchmarkCommit commits from several writers, each to its own log, to a disk
// that syncs. It reports rows a second and, per row, bytes and allocations of the
// store: building the commits is not measured.
func BenchmarkCommit(b *testing.B) {
	for _, bench := range []struct {
		rows, writers int
		keys          bool
	}{{1, 1, false}, {1, 32, false}, {1, 32, true}, {1000, 8, false}, {1000, 8, true}} {
		b.Run(fmt.Sprintf("rows=%d/writers=%d/keys=%t", bench.rows, bench.writers, bench.keys), func(b *testing.B) {
			benchmarkCommit(b, bench.rows, bench.writers, bench.keys)
		})
	}
}

func benchmarkCommit(b *testing.B, rows, writers int, keys bool) {
	groups := atomic.Int64{}
	s, err := Open(Config{Dir: b.TempDir(), OnCommit: func(CommitStats) { groups.Add(1) }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	commits := make([]*ledger.Commit, writers)
	for i := range commits {
		l := storetest.NewLog(fmt.Sprint("org", i))
		commits[i] = l.Next(1, realistic(rows), func(j int) (ledger.Key, bool) {
			return storetest.KeyOf(l.Org, fmt.Sprint(j)), keys
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	left := atomic.Int64{}
	left.Store(int64(b.N))
	for i, c := range commits {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := s.Commit(b.Context(), c); err != nil {
					b.Error(err)
					return
				}
				advance(c, uint64(i))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(b.N*rows)/seconds, "rows/s")
	b.ReportMetric(float64(b.N)/float64(groups.Load()), "commits/group")
}

// realistic returns events that compress about as well as real ones.
func realistic(n int) []*event.Event {
	events := storetest.MakeEvents("a", n)
	for i, e := range events {
		noise := hex.EncodeToString(incompressible(i, 40))
		e.Targets[0].ID, e.Targets[0].Name = []byte(noise[:26]), []byte("Name "+noise[26:36])
		e.Metadata = fmt.Appendf(nil, `{"after_roles":"viewer","before_roles":"admin","request_id":%q,"ticket":"INC-%d"}`, noise[36:60], i*7919%100_000)
		e.UserAgent = []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36")
	}
	return events
}

// advance makes the next commit of the one before, of the same rows.
func advance(c *ledger.Commit, salt uint64) {
	n := uint64(len(c.Rows))
	c.Blocks = nil
	c.Prev = c.Head.Size
	c.Head.Size += n
	if (c.Head.Size-1)/ledger.BlockSize != (c.Prev-1)/ledger.BlockSize {
		c.Blocks = append(c.Blocks, ledger.BlockKeys{Block: (c.Head.Size - 1) / ledger.BlockSize})
	}
	c.Head.Frontier = c.Head.Frontier[:0]
	for size := c.Head.Size; size > 0; size &= size - 1 {
		c.Head.Frontier = append(c.Head.Frontier, [32]byte{1})
	}
	for i := range c.Receipts {
		k := &c.Receipts[i].Key
		for j := range 8 {
			k[j] = byte((c.Prev*2654435761 + uint64(i)*40503 + salt*97) >> (8 * j))
		}
	}
}

// BenchmarkRead reads a log of 100,000 entries from front to back.
func BenchmarkRead(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	l := storetest.NewLog("org")
	for l.Head.Size < 100_000 {
		c := l.Next(1, realistic(1000), nil)
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		l.Add(c)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := uint64(0)
		for _, err := range s.Read(b.Context(), "org", 0, l.Head.Size) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != l.Head.Size {
			b.Fatalf("read %d", n)
		}
	}
	b.ReportMetric(float64(l.Head.Size)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
