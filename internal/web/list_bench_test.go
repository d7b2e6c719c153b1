//go:build unix

package web_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/web"
	"github.com/stelehq/stele/internal/workload"
)

// BenchmarkList is a page of the list, of an organization with a million events
// (STELE_BENCH_EVENTS says another number; STELE_BENCH_DATA a directory to keep
// them in for the next run). It reports the bytes of the page as it is and with
// gzip. Asked is the whole server, but for the network.
func BenchmarkList(b *testing.B) {
	s, cookie := benchSite(b)
	for _, bench := range []struct{ name, path string }{
		{"first page", list},
		{"last year", list + "?range=1y"},
		{"all time", list + "?range=all"},
		{"one actor, last year", list + "?range=1y&q=actor.type:api_key"},
		{"text, last year", list + "?range=1y&q=quarterly"},
		{"nothing found", list + "?range=30d&q=action:nope+actor.type:user"},
		{"complete: fields", list + "/complete?q="},
		{"complete: a word", list + "/complete?q=an"},
		{"complete: targets, last year", list + "/complete?range=1y&q=target:a"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			plain := s.fetch(b, cookie, web.Base+bench.path, "")
			if plain.Code != http.StatusOK {
				b.Fatalf("status %d: %s", plain.Code, plain.text)
			}
			zipped := s.fetch(b, cookie, web.Base+bench.path, "gzip")
			before := cpuTime(b)
			for b.Loop() {
				s.fetch(b, cookie, web.Base+bench.path, "gzip")
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e6, "cpu-ms/op")
			b.ReportMetric(float64(plain.Body.Len()), "bytes")
			b.ReportMetric(float64(zipped.Body.Len()), "gzip-bytes")
		})
	}
}

// cpuTime is what this process took of the processors: what noise spares.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// benchSite opens a site on the day after the workload's year, with its events.
func benchSite(b *testing.B) (*site, string) {
	b.Helper()
	n := 1_000_000
	if text := os.Getenv("STELE_BENCH_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	dir := os.Getenv("STELE_BENCH_DATA")
	if dir == "" {
		dir = b.TempDir()
	}
	s := &site{}
	s.clock.Store(workload.Start().Add(workload.Year).UnixNano())
	cfg := app.DemoConfig(filepath.Join(dir, "bench"), "127.0.0.1:0", "sk_only_these_tests_know_this_one", nil)
	cfg.ReserveMiB, cfg.SchemaMode, cfg.Now = 0, "open", s.now
	var err error
	if s.App, err = app.Open(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	s.Handler = s.App
	head, err := s.Ledger.Head(b.Context(), "big")
	if err != nil {
		b.Fatal(err)
	}
	if head.Size == 0 {
		s.load(b, n)
	}
	if s.signer, err = auth.NewSigner(b.Context(), s.Catalog, s.now); err != nil {
		b.Fatal(err)
	}
	s.people = auth.NewSessions(s.Store, s.Catalog, s.signer, auth.DefaultSessionLife, s.now)
	cookie, _, err := s.people.Open(b.Context(), auth.Portal{
		Organization: "big", Intent: auth.IntentAuditLogs, Role: auth.PersonManager, PersonID: "u_1", PersonName: "Ada",
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, cookie
}

// load records the workload and seals it.
func (s *site) load(b *testing.B, n int) {
	b.Helper()
	o := catalog.NewOrganization("Big")
	o.ID, o.HistoryStart = "big", workload.Start()
	if _, err := s.Catalog.CreateOrganization(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	g, d, batch := workload.New(1, n), event.NewDecoder(), ledger.NewBatch("big")
	var text []byte
	for i := range n {
		text = g.For(text[:0])
		var e event.Event
		if err := d.Decode(text, &e); err != nil {
			b.Fatal(err)
		}
		if err := batch.Add(&e); err != nil {
			b.Fatal(err)
		}
		if batch.Len() < 1000 && i+1 < n {
			continue
		}
		if _, err := s.Ledger.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		batch.Reset("big")
	}
	if err := s.Store.Seal(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.pass(time.Second)
}
