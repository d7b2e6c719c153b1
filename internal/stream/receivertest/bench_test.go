package receivertest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
	"github.com/stelehq/stele/internal/workload"
)

// Events of a log that is delivered in benchmarks: many where batches are large.
const (
	manyEvents = 200_000
	fewEvents  = 20_000
)

// load records n events of the workload, 1000 at a time.
func (s *scene) load(org string, g *workload.Generator, n int) {
	s.t.Helper()
	d := event.NewDecoder()
	var data []byte
	b := ledger.NewBatch(org)
	for i := range n {
		ev := new(event.Event)
		data = g.For(data[:0])
		err := d.Decode(data, ev)
		if err == nil {
			err = b.Add(ev)
		}
		if err == nil && (b.Len() == 1000 || i == n-1) {
			_, err = s.ledger.Append(s.t.Context(), b)
			b.Reset(org)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// taker is a destination that takes everything and keeps nothing.
func taker(t testing.TB, answer func(w http.ResponseWriter, r *http.Request)) (*httptest.Server, certificate) {
	t.Helper()
	cert := newCertificate(t)
	pair, err := tls.LoadX509KeyPair(cert.certFile, cert.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	buffers := sync.Pool{New: func() any { return new([64 << 10]byte) }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/ack") {
			room := buffers.Get().(*[64 << 10]byte) //nolint:forcetypeassert // the pool holds nothing else
			defer buffers.Put(room)
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, room[:])
		}
		answer(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, cert
}

// hecTaker acknowledges as an indexer that is never behind.
func hecTaker() func(w http.ResponseWriter, r *http.Request) {
	var id atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/ack") {
			_, _ = fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, id.Add(1))
			return
		}
		var asked struct{ Acks []int64 }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		told := map[string]bool{}
		for _, id := range asked.Acks {
			told[fmt.Sprint(id)] = true
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"acks": told})
	}
}

// syslogTaker reads what comes over TLS to its end.
func syslogTaker(t testing.TB) (net.Listener, certificate) {
	t.Helper()
	cert := newCertificate(t)
	pair, err := tls.LoadX509KeyPair(cert.certFile, cert.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	return ln, cert
}

// destination is one to deliver to at full speed.
type destination struct {
	name, kind, format string
	settings           func(t testing.TB) sink.Values
	// events is how many the log has.
	events int
	recent bool
}

func destinations() []destination {
	web := func(status int, body string, settings func(url, pem string) sink.Values) func(testing.TB) sink.Values {
		return func(t testing.TB) sink.Values {
			server, cert := taker(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			})
			return settings(server.URL, cert.pem)
		}
	}
	s3 := web(200, "", func(url, pem string) sink.Values {
		return sink.Values{"bucket": "audit", "endpoint": url, "access_key_id": "k", "secret_access_key": "s", "ca_certificate": pem}
	})
	return []destination{
		{events: manyEvents, name: "s3", kind: "s3", settings: s3},
		{events: manyEvents, name: "s3 OCSF", kind: "s3", format: "ocsf-1.8", settings: s3},
		{events: manyEvents, name: "splunk_hec", kind: "splunk_hec", settings: func(t testing.TB) sink.Values {
			server, cert := taker(t, hecTaker())
			return sink.Values{"url": server.URL, "token": "11111111-2222-3333-4444-555555555555", "acknowledgement": "required", "ca_certificate": cert.pem}
		}},
		{events: fewEvents, name: "datadog", kind: "datadog", recent: true, settings: web(202, "{}", func(url, pem string) sink.Values {
			return sink.Values{"url": url, "api_key": "0123456789abcdef", "ca_certificate": pem}
		})},
		{events: fewEvents, name: "webhook", kind: "webhook", settings: web(204, "", func(url, pem string) sink.Values {
			return sink.Values{"url": url, "signing_secret": hookSecret, "ca_certificate": pem}
		})},
		{events: manyEvents, name: "otlp", kind: "otlp", settings: web(200, "", func(url, pem string) sink.Values {
			return sink.Values{"url": url, "ca_certificate": pem}
		})},
		{events: manyEvents, name: "elasticsearch", kind: "elasticsearch", settings: web(200, `{"errors":false,"items":[]}`, func(url, pem string) sink.Values {
			return sink.Values{"url": url, "api_key": "a-key", "index": "audit", "ca_certificate": pem}
		})},
		{events: manyEvents, name: "syslog CEF", kind: "syslog", format: "cef", settings: func(t testing.TB) sink.Values {
			ln, cert := syslogTaker(t)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			return sink.Values{"host": "127.0.0.1", "port": port, "ca_certificate": cert.pem}
		}},
	}
}

// counter counts what is delivered.
type counter struct {
	mu     sync.Mutex
	events int
	want   int
	done   chan struct{}
}

func (c *counter) expect(n int) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events, c.want, c.done = 0, n, make(chan struct{})
	return c.done
}

func (c *counter) add(p stream.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.events
	c.events += p.Delivered
	if c.want > 0 && before < c.want && c.events >= c.want {
		close(c.done)
	}
}

// cpu is what this process, receivers in it included, has used so far.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDelivery delivers a log of 200,000 events (20,000 where batches are
// small), about 900 bytes each as native JSON, through the engine and the store to a receiver in the same process
// that reads over TLS and answers.
func BenchmarkDelivery(b *testing.B) {
	for _, d := range destinations() {
		b.Run(d.name, func(b *testing.B) {
			var c counter
			s := newScene(b, func(cfg *stream.Config) { cfg.Delivered = c.add })
			if d.recent {
				s.record(makeEvents(d.events, true))
			} else {
				s.load(organization, workload.New(1, d.events), d.events)
			}
			settings := d.settings(b)
			var used time.Duration
			n := 0
			for b.Loop() {
				done, before := c.expect(d.events), cpu()
				st := s.create(d.kind, d.format, settings)
				<-done
				used += cpu() - before
				n += d.events
				if err := s.streams.Delete(b.Context(), organization, st.ID, stream.Who{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(used.Nanoseconds())/float64(n)/1000, "cpu-µs/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}
