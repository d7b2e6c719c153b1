package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

// benchReceipts fills windows with n receipts, spread over parts of the
// idempotency window, as commits and the rewriter do, and reports what that took
// for each.
func benchReceipts(b *testing.B, db *pebble.DB, n, parts int) (*receipts, []ledger.KeyedReceipt) {
	b.Helper()
	r := newReceipts(db, defaultWindow, windowReceipts)
	rng := rand.New(rand.NewPCG(1, 1))
	start := time.UnixMilli(1_772_000_000_000).Truncate(r.length)
	written, sample := 0, []ledger.KeyedReceipt(nil)
	apply := func(batch *pebble.Batch, o *pebble.WriteOptions) error {
		written += batch.Len()
		return db.Apply(batch, o)
	}
	var filled, spent time.Duration
	var now time.Time
	for done := 0; done < n; {
		before := cpuTime(b)
		now = start.Add(time.Duration(float64(r.length) * float64(parts) * float64(done) / float64(n)))
		w := r.openWindow(now)
		for range min(windowReceipts, n-done) {
			k := ledger.KeyedReceipt{Key: randomKey(rng)}
			k.Seq, k.ReceivedAt = uint64(done), now.UnixMilli()+int64(done%windowReceipts)/18
			if done%(n/1000) == 0 {
				sample = append(sample, k)
			}
			w.add([]ledger.KeyedReceipt{k})
			done++
		}
		filled += cpuTime(b) - before
		before = cpuTime(b)
		r.sealed = true
		if err := r.tidy(now, apply); err != nil {
			b.Fatal(err)
		}
		spent += cpuTime(b) - before
	}
	before := cpuTime(b)
	if err := r.tidy(now.Add(r.length), apply); err != nil {
		b.Fatal(err)
	}
	spent += cpuTime(b) - before
	_, windows := r.size()
	b.ReportMetric(float64(filled)/float64(n), "fill-ns/key")
	b.ReportMetric(float64(spent)/float64(n), "tidy-ns/key")
	b.ReportMetric(float64(written)/float64(n), "written-B/key")
	b.ReportMetric(float64(r.filterBytes)/float64(n), "memory-B/key")
	b.ReportMetric(float64(windows), "windows")
	return r, sample
}

// cpuTime is what the process used, of all its threads.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReceipts fills the windows of a busy hour and of a whole idempotency
// window, and asks for new and known keys. disk-B/key is what is stored, without
// what Pebble adds.
func BenchmarkReceipts(b *testing.B) {
	for _, bench := range []struct{ keys, parts int }{{1_000_000, 1}, {1_000_000, 13}, {10_000_000, 1}, {10_000_000, 13}} {
		s, err := Open(Config{Dir: filepath.Join(b.TempDir(), "store"), MemTableBytes: 16 << 20})
		if err != nil {
			b.Fatal(err)
		}
		var r *receipts
		var sample []ledger.KeyedReceipt
		name := fmt.Sprintf("keys=%d/parts=%d", bench.keys, bench.parts)
		b.Run(name+"/fill", func(b *testing.B) {
			r, sample = benchReceipts(b, s.db, bench.keys, bench.parts)
			stored := 0
			for _, kind := range []byte{kindFilter, kindChunk} {
				if err := eachRow(s.db, kind, func(key, value []byte) error { stored += len(key) + len(value); return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(stored)/float64(bench.keys), "disk-B/key")
		})
		b.Run(name+"/new", func(b *testing.B) { benchNewKeys(b, r) })
		b.Run(name+"/known", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := r.find(sample[i%len(sample)].Key); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/open", func(b *testing.B) {
			for b.Loop() {
				r = newReceipts(s.db, defaultWindow, windowReceipts)
				if err := r.load(func(err error) { b.Error(err) }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/load", func(b *testing.B) {
			for b.Loop() {
				r.loaded.Store(false)
				for _, w := range r.windows {
					r.filterBytes -= w.filterBytes()
					for i := range w.pieces {
						w.pieces[i].Store(nil)
					}
				}
				if err := r.loadFilters(); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchNewKeys(b *testing.B, r *receipts) {
	rng := rand.New(rand.NewPCG(2, 2))
	keys := make([]ledger.Key, 1<<16)
	for i := range keys {
		keys[i] = randomKey(rng)
	}
	maybe, asked := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _, list, _ := r.probe(&keys[i%len(keys)])
		maybe += len(list)
		asked++
	}
	b.ReportMetric(1e4*float64(maybe)/float64(asked), "reads/10000")
}
