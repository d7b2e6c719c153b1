package api

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/workload"
)

// BenchmarkAppend records batches of 1,000 events and single ones, over the
// store in memory: what is allocated above the store.
func BenchmarkAppend(b *testing.B) {
	for name, n := range map[string]int{"batch": 1000, "single": 1} {
		b.Run(name, func(b *testing.B) {
			h := start(b, schema.ModeOpen)
			w := workload.New(1, 1_000_000)
			var body []byte
			for range n {
				body = append(w.For(body), '\n')
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, events, bytes.NewReader(body))
				req.Header.Set("Authorization", "Bearer "+h.root)
				req.Header.Set("Content-Type", ndjson)
				answer := httptest.NewRecorder()
				h.server.ServeHTTP(answer, req)
				if answer.Code != http.StatusCreated {
					b.Fatal(answer.Body)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
