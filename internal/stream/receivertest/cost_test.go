package receivertest

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
	"github.com/stelehq/stele/internal/workload"
)

// BenchmarkIngest records 100,000 events in requests of 1000, while 0, 1 or 10
// streams of the same log deliver them to a receiver in this process. What streams
// cost is the difference, in one run: their own work included, and only what
// recording has to wait for.
func BenchmarkIngest(b *testing.B) {
	const events = 100_000
	for _, streams := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("%d streams", streams), func(b *testing.B) {
			server, cert := taker(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
			var used, wall time.Duration
			n := 0
			for b.Loop() {
				b.StopTimer()
				var c counter
				s := newScene(b, func(cfg *stream.Config) { cfg.Delivered = c.add })
				done := c.expect(streams * events)
				for range streams {
					s.create("webhook", "", sink.Values{"url": server.URL, "payload": "array", "ca_certificate": cert.pem})
				}
				batches := prepared(b, events)
				b.StartTimer()
				before, began := cpu(), time.Now()
				for _, batch := range batches {
					if _, err := s.ledger.Append(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				used, wall, n = used+cpu()-before, wall+time.Since(began), n+events
				b.StopTimer()
				if streams > 0 {
					<-done // so that nothing is left to do beside the next round
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(n)/wall.Seconds(), "events/s")
			b.ReportMetric(float64(used.Nanoseconds())/float64(n)/1000, "cpu-µs/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// prepared are batches of 1000 events, ready to be appended.
func prepared(t testing.TB, events int) []*ledger.Batch {
	t.Helper()
	g, d := workload.New(1, events), event.NewDecoder()
	var list []*ledger.Batch
	for range events / 1000 {
		batch := ledger.NewBatch(organization)
		for range 1000 {
			ev := new(event.Event)
			err := d.Decode(g.For(nil), ev)
			if err == nil {
				err = batch.Add(ev)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, batch)
	}
	return list
}

// BenchmarkLag has 200 streams of four organizations, each with a month of lag, to
// one destination that hangs for a while and then takes everything. It reports how
// far the heap grew over what the store alone had, and the most that was in flight.
func BenchmarkLag(b *testing.B) {
	const (
		organizations, each = 4, 50 // 50 is the most an organization may have
		events              = 6_000 // 200 a day
		hanging             = 8 * time.Second
	)
	for b.Loop() {
		var c counter
		release := make(chan struct{})
		server, cert := taker(b, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		s := newScene(b, func(cfg *stream.Config) { cfg.Delivered = c.add })
		for i := range organizations {
			s.load(fmt.Sprint("org_", i), workload.New(1, events), events)
		}
		before := heap()
		done := c.expect(organizations * each * events)
		for i := range organizations * each {
			if _, err := s.streams.Create(b.Context(), fmt.Sprint("org_", i%organizations), stream.Spec{
				Kind: "s3", Start: stream.Start{Kind: stream.StartBeginning},
				Settings: sink.Values{"bucket": "audit", "endpoint": server.URL, "access_key_id": "k", "secret_access_key": "s", "ca_certificate": cert.pem},
			}, stream.Key("ada")); err != nil {
				b.Fatal(err)
			}
		}
		var most, flight uint64
		look := func() {
			most = max(most, heap()-min(before, heap()))
			flight = max(flight, uint64(s.streams.InFlight()))
		}
		for end := time.Now().Add(hanging); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			look()
		}
		b.ReportMetric(float64(most)/(1<<20), "MiB-hanging")
		close(release)
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case <-time.After(200 * time.Millisecond):
			}
			look()
		}
		b.ReportMetric(float64(most)/(1<<20), "MiB-most")
		b.ReportMetric(float64(flight)/(1<<20), "MiB-in-flight")
	}
}

// heap is how much memory objects take that are in use, after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
