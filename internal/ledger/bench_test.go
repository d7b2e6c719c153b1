package ledger_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// headStore only remembers heads, so that what is measured on it is the ledger.
type headStore struct {
	*storetest.Memory
	mu   sync.Mutex
	head ledger.Head
}

func (s *headStore) Head(context.Context, string) (ledger.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, nil
}

func (s *headStore) Commit(_ context.Context, c *ledger.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head.Size, s.head.ReceivedAt = c.Head.Size, c.Head.ReceivedAt
	s.head.Frontier = append(s.head.Frontier[:0], c.Head.Frontier...)
	return nil
}

// openBench opens a ledger that counts the time its owners take to order.
func openBench(b *testing.B) (*ledger.Ledger, *atomic.Int64) {
	b.Helper()
	s, order := &headStore{Memory: storetest.NewMemory()}, new(atomic.Int64)
	l, err := ledger.Open(b.Context(), ledger.Config{
		Store: s, KV: s, Signer: testKey,
		OnCommit: func(c ledger.CommitStats) { order.Add(int64(c.Order)) },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l, order
}

// benchEvent has a record of about 370 bytes and as many of details, as events
// have on average.
func benchEvent(key string) *event.Event {
	ev := newEvent(1, key)
	ev.Action = []byte("incident.severity_updated")
	ev.Actor.ID = []byte("01G0J1F3GQ5B5S0000000000")
	ev.Actor.Metadata = []byte(`{"user_base_role_slug":"admin","user_custom_role_slugs":"viewer,responder"}`)
	ev.Targets = []event.Party{{Type: []byte("incident"), ID: []byte("01G0J1F3GQ5B5S0000000001"), Name: []byte("Database is on fire")}}
	ev.UserAgent = []byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)")
	ev.Metadata = []byte(`{"after":"sev1","before":"sev3","request_id":"req_01G0J1F3GQ5B5S","ticket":"INC-1042"}`)
	return ev
}

// BenchmarkAdd is what a request's goroutine does for an event once it is
// decoded.
func BenchmarkAdd(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		b.Run(fmt.Sprintf("keyed=%t", keyed), func(b *testing.B) {
			key := ""
			if keyed {
				key = "a-key-of-some-length-0123456789"
			}
			ev, batch := benchEvent(key), ledger.NewBatch("acme")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%1000 == 0 {
					batch.Reset("acme")
				}
				if err := batch.Add(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppend is Add, and then the order path of an event: all that a log's
// owner does for it but the store's commit. The latter alone is order-ns/event.
func BenchmarkAppend(b *testing.B) {
	for _, bench := range []struct {
		size  int
		keyed bool
	}{{1, false}, {100, false}, {1000, false}, {1000, true}} {
		b.Run(fmt.Sprintf("batch=%d/keyed=%t", bench.size, bench.keyed), func(b *testing.B) {
			l, order := openBench(b)
			ev, batch := benchEvent(""), ledger.NewBatch("acme")
			ctx, key := b.Context(), []byte(nil)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				batch.Reset("acme")
				for range bench.size {
					if n++; bench.keyed {
						key = strconv.AppendInt(append(key[:0], "key"...), int64(n), 10)
						ev.IdempotencyKey = key
					}
					if err := batch.Add(ev); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := l.Append(ctx, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(order.Load())/float64(b.N), "order-ns/event")
		})
	}
}

// BenchmarkProve is a proof against a checkpoint that is signed already, with
// the tiles it needs in the cache.
func BenchmarkProve(b *testing.B) {
	s := newStore()
	l := open(b, s)
	for range 40 {
		record(b, l, "acme", 0, 1000)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := l.Prove(b.Context(), "acme", uint64(i%40_000)); err != nil {
			b.Fatal(err)
		}
	}
}
