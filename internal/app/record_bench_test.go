//go:build unix

package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/workload"
)

// BenchmarkRecordHTTP records single events over loopback, each with an
// idempotency key, into a store on disk that syncs: the whole way of an event.
// The client, one write and one read a request, is in the same process and its
// CPU part of the figure. CPU time is what noise spares; use it to compare, and
// -cpuprofile to see where it goes.
func BenchmarkRecordHTTP(b *testing.B) {
	for _, clients := range []int{1, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchRecord(b, clients) })
	}
}

func benchRecord(b *testing.B, clients int) {
	addr := serveBench(b)
	w := workload.New(1, 1<<20)
	requests := make([][]byte, b.N)
	for i := range requests {
		event, org := w.Next(nil)
		requests[i] = fmt.Appendf(nil, "POST /v1/organizations/%s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nIdempotency-Key: %d\r\nContent-Length: %d\r\n\r\n%s",
			workload.Organization(org), rootKey, i, len(event), event)
	}
	var next atomic.Int64
	var done sync.WaitGroup
	before := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range clients {
		done.Go(func() {
			if err := sendAll(b.Context(), addr, requests, &next); err != nil {
				b.Error(err)
			}
		})
	}
	done.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// serveBench serves the organizations of the workload and returns the address.
func serveBench(b *testing.B) string {
	b.Helper()
	cfg := app.DemoConfig(b.TempDir(), "127.0.0.1:0", rootKey, nil)
	cfg.SchemaMode, cfg.ReserveMiB = "open", 0
	a, err := app.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	for i := range workload.Organizations {
		o := catalog.NewOrganization("bench")
		o.ID = workload.Organization(i)
		if _, err := a.Catalog.CreateOrganization(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx, ln) }()
	b.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
		if err := a.Close(); err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// sendAll is one client: it sends requests, one after another, until there are
// none.
func sendAll(ctx context.Context, addr string, requests [][]byte, next *atomic.Int64) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // every answer was read
	answers := bufio.NewReader(conn)
	for {
		i := int(next.Add(1)) - 1
		if i >= len(requests) {
			return nil
		}
		if _, err := conn.Write(requests[i]); err != nil {
			return err
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // read to its end
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusCreated {
			return fmt.Errorf("%s: %s", res.Status, body)
		}
	}
}

// cpuTime is what the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
