package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

const rootKey = "sk_root_0123456789abcdefghij"

// bench is a server with two organizations and the routes of a test.
type bench struct {
	t       testing.TB
	server  *Server
	catalog *catalog.Catalog
	auth    *auth.Authenticator
	signer  *auth.Signer
	log     *logBuffer
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines are the log's, decoded.
func (l *logBuffer) lines(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	dec := json.NewDecoder(bytes.NewReader([]byte(l.String())))
	for dec.More() {
		var line map[string]any
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	return out
}

func (l *logBuffer) last(t testing.TB) map[string]any {
	t.Helper()
	lines := l.lines(t)
	if len(lines) == 0 {
		t.Fatal("nothing was logged")
	}
	return lines[len(lines)-1]
}

func setUp(t testing.TB, routes ...Route) *bench {
	t.Helper()
	return setUpWith(t, Config{}, Surface{Name: "test", Prefixes: []string{"/v1"}, Errors: Problem, Routes: routes})
}

func setUpWith(t testing.TB, cfg Config, surfaces ...Surface) *bench {
	t.Helper()
	b := &bench{t: t, catalog: catalog.New(storetest.NewMemory(), time.Now), log: new(logBuffer)}
	for _, id := range []string{"acme", "globex"} {
		if _, err := b.catalog.CreateOrganization(t.Context(), catalog.Organization{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if b.auth, err = auth.New(b.catalog, rootKey); err != nil {
		t.Fatal(err)
	}
	if b.signer, err = auth.NewSigner(t.Context(), b.catalog, time.Now); err != nil {
		t.Fatal(err)
	}
	cfg.Auth, cfg.Signer, cfg.Catalog, cfg.Now = b.auth, b.signer, b.catalog, time.Now
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b.server = New(cfg, surfaces...)
	return b
}

// key makes a key.
func (b *bench) key(role auth.Role, org string) string {
	b.t.Helper()
	secret, _, err := b.auth.CreateKey(b.t.Context(), catalog.Key{Name: "k", Role: role, Organization: org})
	if err != nil {
		b.t.Fatal(err)
	}
	return secret
}

// do answers a request that options made.
func (b *bench) do(method, target string, options ...func(*http.Request)) *httptest.ResponseRecorder {
	b.t.Helper()
	req := httptest.NewRequestWithContext(b.t.Context(), method, target, nil)
	for _, option := range options {
		option(req)
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, req)
	return w
}

func withKey(key string) func(*http.Request) { return withHeader("Authorization", "Bearer "+key) }

func withHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func withBody(body []byte, encoding string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		if encoding != "" {
			r.Header.Set("Content-Encoding", encoding)
		}
	}
}

// wantProblem checks a problem document and its status.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Errorf("status %d: %v in %q", w.Code, err, w.Body)
		return p
	}
	if w.Code != status || p.Status != status || string(p.Code) != code || p.RequestID != w.Header().Get("X-Request-ID") ||
		w.Header().Get("Content-Type") != "application/problem+json" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("status %d, body %s, want %d %s", w.Code, w.Body, status, code)
	}
	return p
}

// text is a handler that answers with a text.
func text(body string) Handler {
	return func(w http.ResponseWriter, _ *Request) error {
		_, err := io.WriteString(w, body)
		return err
	}
}
