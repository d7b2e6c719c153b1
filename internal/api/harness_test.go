package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream"
)

// host is a whole server with the API, over the store in memory.
type host struct {
	t       testing.TB
	url     string
	root    string // the root key
	store   *storetest.Memory
	ledger  *ledger.Ledger
	catalog *catalog.Catalog
	schemas *schema.Registry
	auth    *auth.Authenticator
	exports *export.Exports
	server  *server.Server
	http    *http.Server
	client  *http.Client
	log     *lockedBuffer

	retention *retention.Retention
	followers *stream.Streams
	erasures  *erasure.Erasures
	siem      *siem

	mu   sync.Mutex
	skew time.Duration // how far the server's clock is ahead
}

// lockedBuffer is a log that goroutines write and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// Record implements retention.Journal.
func (h *host) Record(ctx context.Context, org string, e audit.Event) error {
	ev, err := event.FromAudit(&e)
	if err != nil {
		return err
	}
	b := ledger.NewBatch(org)
	if err := b.Add(ev); err != nil {
		return err
	}
	_, err = h.ledger.Append(ctx, b)
	return err
}

// now is the server's clock.
func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.skew)
}

func (h *host) wind(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skew += d
}

// start makes a server in a mode, with one organization, "acme".
func start(t testing.TB, mode schema.Mode, change ...func(*Deps)) *host {
	t.Helper()
	h := &host{t: t, store: storetest.NewMemory(), root: auth.NewSecret(), log: new(lockedBuffer)}
	logger := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.catalog = catalog.New(h.store, h.now)
	skey, err := ledger.GenerateKey("stele.example.com")
	must(err)
	h.ledger, err = ledger.Open(ctx, ledger.Config{
		Store: h.store, KV: h.store, Signer: skey, Now: h.now, Logger: logger,
		Shows: func(org string) (func(*event.Entry) bool, error) {
			k, err := h.retention.Keep(org, h.now())
			return k.Shows, err
		},
	})
	must(err)
	t.Cleanup(func() { _ = h.ledger.Close() })
	h.retention = retention.Open(retention.Config{
		KV: h.store, Catalog: h.catalog, Store: h.store, Engine: h.store, Log: h.ledger, Journal: h, Server: "stele test", Now: h.now,
		Logger: logger,
	})
	t.Cleanup(func() { _ = h.retention.Close() })
	h.store.SetKeeper(func(org string, _ time.Time) (*search.Keep, error) { return h.retention.Keep(org, h.now()) })
	h.schemas, err = schema.Open(ctx, h.store, mode, h.now)
	must(err)
	h.auth, err = auth.New(h.catalog, h.root)
	must(err)
	signer, err := auth.NewSigner(ctx, h.catalog, h.now)
	must(err)
	h.exports, err = export.Open(ctx, export.Config{
		Dir: filepath.Join(t.TempDir(), "exports"), KV: h.store, Engine: h.store, Log: h.ledger, Proofs: h.ledger, Logger: logger, Now: h.now,
	})
	must(err)
	t.Cleanup(func() { _ = h.exports.Close() })
	h.streams(t, logger)
	h.erasures, err = erasure.Open(ctx, erasure.Config{
		Log: h.ledger, Store: h.store, KV: h.store, Keep: h.retention.Keep, Exports: h.exports, Logger: logger, Now: h.now,
	})
	must(err)
	t.Cleanup(func() { _ = h.erasures.Close() })
	deps := Deps{
		Streams: h.followers, Ledger: h.ledger, Engine: h.store, Catalog: h.catalog, Auth: h.auth, Signer: signer,
		Schemas: h.schemas, Exports: h.exports, Retention: h.retention, Erasures: h.erasures, Now: h.now,
		PortalPath: func(token string) string { return "/portal/launch?token=" + token },
	}
	for _, change := range change {
		change(&deps)
	}
	h.server = server.New(server.Config{Auth: h.auth, Signer: signer, Catalog: h.catalog, Logger: logger, Now: h.now}, New(deps))
	web := httptest.NewServer(h.server)
	t.Cleanup(web.Close)
	h.url, h.http = web.URL, web.Config
	h.client = &http.Client{Transport: &validator{t: t, next: web.Client().Transport}}
	h.call("POST", "/v1/organizations", `{"id":"acme","name":"Acme Ltd"}`).want(201)
	return h
}

// key makes a key and returns its text.
func (h *host) key(role auth.Role, org string) string {
	h.t.Helper()
	secret, _, err := h.auth.CreateKey(h.t.Context(), catalog.Key{Name: "test", Role: role, Organization: org})
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

// reply is an answer, read whole.
type reply struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// option changes a request before it is sent.
type option func(*http.Request)

func withKey(key string) option { return withHeader("Authorization", "Bearer "+key) }

func withHeader(name, value string) option {
	return func(r *http.Request) {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
	}
}

// call sends a request as the root key, with JSON when there is a body.
func (h *host) call(method, target, body string, options ...option) *reply {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+target, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.root)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, option := range options {
		option(req)
	}
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, target, err)
	}
	return &reply{t: h.t, what: method + " " + target, status: res.StatusCode, header: res.Header, body: data}
}

// get is call with GET and nothing else.
func (h *host) get(target string, options ...option) *reply {
	h.t.Helper()
	return h.call(http.MethodGet, target, "", options...)
}

// want fails the test unless the status is the one expected.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: %d, want %d\n%.2000s", r.what, r.status, status, r.body)
	}
	return r
}

// into decodes the body.
func (r *reply) into(v any) *reply {
	r.t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		r.t.Fatalf("%s: %v in %.2000s", r.what, err, r.body)
	}
	return r
}

// problem is an error as answered.
type problem struct {
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	Field     string  `json:"field"`
	Line      int     `json:"line"`
	Errors    []fault `json:"errors"`
	RequestID string  `json:"request_id"`
}

type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field"`
	Line    int    `json:"line"`
}

// fails fails the test unless the answer is an error of that code.
func (r *reply) fails(status int, code string) problem {
	r.t.Helper()
	r.want(status)
	var p problem
	r.into(&p)
	if p.Code != code || p.Status != status || p.RequestID == "" || p.RequestID != r.header.Get("X-Request-ID") {
		r.t.Errorf("%s: got %.1000s, want code %s", r.what, r.body, code)
	}
	return p
}

// contract is the document that answers are held to.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// seen has the operation and status of each answer that was held to the
// contract.
var seen sync.Map

// validator holds every answer that passes to the contract, and every request
// that is answered with success.
type validator struct {
	t    testing.TB
	next http.RoundTripper
}

func (v *validator) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := v.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := v.check(req, sent, res); err != nil {
		v.t.Errorf("%s %s answered with %d, against the contract: %v", req.Method, req.URL.RequestURI(), res.StatusCode, err)
	}
	return res, nil
}

func (v *validator) check(req *http.Request, sent []byte, res *http.Response) error {
	doc, err := contract()
	if err != nil {
		return err
	}
	if res.Header.Get("X-Request-ID") == "" {
		return fmt.Errorf("no X-Request-ID")
	}
	route, params := find(doc, req.Method, req.URL)
	if route == nil { // 404 and 405 of no operation
		route = &routers.Route{Spec: doc, Operation: &openapi3.Operation{Responses: openapi3.NewResponses(
			openapi3.WithStatus(404, doc.Components.Responses["404"]), openapi3.WithStatus(405, doc.Components.Responses["405"]))}}
	}
	seen.Store(fmt.Sprint(route.Operation.OperationID, " ", res.StatusCode), true)
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route, QueryParams: req.URL.Query(),
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true},
	}
	// The document says nothing of compressed bodies and of those without a type.
	plain := req.Header.Get("Content-Encoding") == "" && (len(sent) == 0 || req.Header.Get("Content-Type") != "")
	if res.StatusCode < 300 && plain {
		req.Body = io.NopCloser(bytes.NewReader(sent))
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Options: in.Options,
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		out.SetBodyBytes(nil)
		return openapi3filter.ValidateResponse(req.Context(), out)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	out.SetBodyBytes(body)
	return openapi3filter.ValidateResponse(req.Context(), out)
}

// find returns the operation for a request: of the paths that fit, the one with
// the most that is literal.
func find(doc *openapi3.T, method string, u *url.URL) (*routers.Route, map[string]string) {
	var best *routers.Route
	var bestParams map[string]string
	literals := -1
	for path, item := range doc.Paths.Map() {
		if method == http.MethodHead {
			method = http.MethodGet
		}
		op := item.GetOperation(method)
		params, n, ok := fit(path, u.EscapedPath())
		if ok && op != nil && n > literals {
			best, bestParams, literals = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}, params, n
		}
	}
	return best, bestParams
}

// fit matches a path with a template; only {path} takes several segments.
func fit(template, path string) (params map[string]string, literals int, ok bool) {
	params = map[string]string{}
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if want[len(want)-1] == "{path}" && len(got) > len(want) {
		n := len(want) - 1
		got = append(slices.Clone(got[:n]), strings.Join(got[n:], "/"))
	}
	if len(want) != len(got) {
		return nil, 0, false
	}
	for i := range want {
		if name, wild := strings.CutPrefix(want[i], "{"); wild {
			value, err := url.PathUnescape(got[i])
			if err != nil || value == "" {
				return nil, 0, false
			}
			params[strings.TrimSuffix(name, "}")] = value
		} else if want[i] != got[i] {
			return nil, 0, false
		} else {
			literals++
		}
	}
	return params, literals, true
}
