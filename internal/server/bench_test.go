package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
)

// quietWriter is a ResponseWriter that costs nothing.
type quietWriter struct{ header http.Header }

func (w *quietWriter) Header() http.Header         { return w.header }
func (w *quietWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *quietWriter) WriteHeader(int)             {}

func (w *quietWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *quietWriter) SetWriteDeadline(time.Time) error { return nil }

func benchServer(b *testing.B, handler slog.Handler) (*Server, *http.Request) {
	b.Helper()
	answer := []byte("{}")
	s := setUpWith(b, Config{Logger: slog.New(handler)}, Surface{Name: "test", Errors: Problem, Routes: []Route{{
		Name: "append", Method: "POST", Pattern: "/v1/organizations/{org}/events", Access: auth.Need(auth.RoleWriter).WritesLog(),
		Handler: func(w http.ResponseWriter, r *Request) error {
			if _, err := ReadBody(r, 1<<20); err != nil {
				return err
			}
			_, err := w.Write(answer)
			return err
		},
	}}})
	req := httptest.NewRequest(http.MethodPost, "/v1/organizations/acme/events", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+s.key(auth.RoleWriter, "acme"))
	return s.server, req
}

// BenchmarkWrapper is what a request costs around its handler: routing, the key,
// the organization, a body of 1 KiB, metrics, and the log line or none.
func BenchmarkWrapper(b *testing.B) {
	for name, handler := range map[string]slog.Handler{"logged": slog.NewTextHandler(io.Discard, nil), "silent": slog.DiscardHandler} { //nolint:sloglint // measures the text
		b.Run(name, func(b *testing.B) {
			s, req := benchServer(b, handler)
			body := bytes.Repeat([]byte("x"), 1024)
			reader := bytes.NewReader(body)
			w := &quietWriter{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				req.Body = io.NopCloser(reader)
				s.ServeHTTP(w, req)
			}
		})
	}
}

// BenchmarkMatch is routing alone.
func BenchmarkMatch(b *testing.B) {
	tree := treeOf("GET /v1/organizations/{org}/events/{id}", "GET /v1/organizations/{org}/events/tail", "POST /v1/organizations/{org}/events")
	req := httptest.NewRequest(http.MethodGet, "/v1/organizations/acme/events/01ARYZ6S410000000000000000", nil)
	var segments [16]string
	var values [4]string
	b.ReportAllocs()
	for b.Loop() {
		l := lookup{method: http.MethodGet, values: values[:0]}
		l.segments, _ = appendSegments(segments[:0], req.URL)
		if !l.walk(tree, 0) {
			b.Fatal("no match")
		}
	}
}
