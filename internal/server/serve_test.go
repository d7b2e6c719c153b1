package server

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
)

// TestEveryCodeHasAStatus reads the codes from the sources, so that a new one
// cannot be forgotten in the table.
func TestEveryCodeHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../audit/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		status := StatusOf(audit.Code(value))
		if status == http.StatusInternalServerError && value != "internal" || status < 400 || http.StatusText(status) == "" {
			t.Errorf("%s has no status of its own", value)
		}
		return true
	})
	if n < 20 {
		t.Errorf("found %d codes only", n)
	}
}

func TestAnswerHeaders(t *testing.T) {
	b := setUp(t,
		Route{Name: "plain", Method: "GET", Pattern: "/plain", Access: auth.Public(), Handler: text("ok")},
		Route{Name: "own", Method: "GET", Pattern: "/own", Access: auth.Public(), Handler: func(w http.ResponseWriter, _ *Request) error {
			w.Header().Set("Cache-Control", "max-age=60")
			return WriteJSON(w, http.StatusCreated, map[string]int{"b": 1, "a": 2})
		}})
	w := b.do("GET", "/plain")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w = b.do("GET", "/own")
	if w.Code != 201 || w.Body.String() != "{\"a\":2,\"b\":1}\n" || w.Header().Get("Cache-Control") != "max-age=60" ||
		w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestRequestID(t *testing.T) {
	b := setUp(t, Route{Name: "id", Method: "GET", Pattern: "/id", Access: auth.Public(), Handler: func(w http.ResponseWriter, r *Request) error {
		_, err := io.WriteString(w, r.ID)
		return err
	}})
	for sent, kept := range map[string]bool{
		"abc-1.2_X": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\"b": false, "é": false,
	} {
		w := b.do("GET", "/id", withHeader("X-Request-ID", sent))
		id := w.Header().Get("X-Request-ID")
		if kept != (id == sent) || id != w.Body.String() || b.log.last(t)["request_id"] != id {
			t.Errorf("sent %q: header %q, handler %q, log %v", sent, id, w.Body, b.log.last(t)["request_id"])
		}
		if !kept && len(id) != 26 {
			t.Errorf("made %q", id)
		}
	}
}

func TestLogLine(t *testing.T) {
	b := setUp(t, Route{Name: "events.get", Method: "GET", Pattern: "/v1/{org}/x/{id}", Access: auth.Need(auth.RoleReader), Handler: func(w http.ResponseWriter, r *Request) error {
		r.Log(slog.Int("events", 3))
		_, err := io.WriteString(w, "12345")
		return err
	}})
	key := b.key(auth.RoleReader, "acme")
	b.do("GET", "/v1/acme/x/secret-id?q=secret-query", withKey(key), withHeader("X-Request-ID", "r1"))
	line := b.log.last(t)
	who, _ := b.auth.Authenticate(t.Context(), key)
	want := map[string]any{
		"level": "INFO", "msg": "request", "request_id": "r1", "method": "GET", "route": "events.get", "status": 200.0,
		"bytes": 5.0, "key": who.KeyID, "organization": "acme", "events": 3.0,
	}
	if took, ok := line["duration"].(float64); !ok || took < 0 {
		t.Errorf("duration %v", line["duration"])
	}
	delete(line, "time")
	delete(line, "duration")
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
	b.do("GET", "/v1/acme/x/secret-id?q=secret-query", withKey("sk_secret"))
	b.do("SECRET", "/secret?secret=1", withHeader("User-Agent", "secret"))
	if strings.Contains(b.log.String(), "secret") || strings.Contains(b.log.String(), key) {
		t.Errorf("the log tells a secret: %s", b.log)
	}
	if line := b.log.last(t); line["route"] != "none" || line["method"] != "other" || line["status"] != 404.0 {
		t.Errorf("no route: %v", line)
	}
}

func TestQuietRoutes(t *testing.T) {
	fail := false
	b := setUp(t, Route{Name: "q", Method: "GET", Pattern: "/q", Access: auth.Public(), Quiet: true, Handler: func(http.ResponseWriter, *Request) error {
		if fail {
			return errors.New("broken")
		}
		return nil
	}})
	b.do("GET", "/q")
	if got := b.log.last(t)["level"]; got != "DEBUG" {
		t.Errorf("success at %v", got)
	}
	fail = true
	b.do("GET", "/q")
	if got := b.log.last(t)["level"]; got != "ERROR" {
		t.Errorf("failure at %v", got)
	}
}

func TestErrors(t *testing.T) {
	var answer error
	b := setUp(t, Route{Name: "e", Method: "GET", Pattern: "/e", Access: auth.Public(), Handler: func(w http.ResponseWriter, _ *Request) error {
		w.Header().Set("Content-Encoding", "gzip") // of an answer that does not come
		w.Header().Set("Cache-Control", "max-age=60")
		return answer
	}})
	shown := audit.FieldErrorf(audit.CodeInvalidEvent, "/actor/id", "is missing")
	shown.Line = 3
	shown.Errors = []*audit.Error{{Code: audit.CodeInvalidEvent, Message: "one"}, {Code: audit.CodeUnknownField, Message: "two", Field: "/x", Line: 4}}
	tests := []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"audit", shown, 422, "invalid_event"},
		{"wrapped", fmt.Errorf("append: %w", shown), 422, "invalid_event"},
		{"status of its own", &statusError{408, audit.Errorf(audit.CodeInvalidRequest, "late")}, 408, "invalid_request"},
		{"internal", errors.New("secret"), 500, "internal"},
		{"internal audit", audit.Errorf(audit.CodeInternal, "secret"), 500, "internal"},
		{"unknown code", audit.Errorf("odd", "x"), 500, "odd"},
		{"timeout", fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "unavailable"},
		{"rate", audit.Errorf(audit.CodeRateLimited, "slow down"), 429, "rate_limited"},
		{"not UTF-8", audit.Errorf(audit.CodeInvalidRequest, "bad \xff"), 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer = tt.err
			w := b.do("GET", "/e")
			wantProblem(t, w, tt.status, tt.code)
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("told %s", w.Body)
			}
			line := b.log.last(t)
			if line["code"] != tt.code || tt.status >= 500 != (line["level"] == "ERROR") || tt.status >= 500 != (line["error"] == tt.err.Error()) {
				t.Errorf("log %v", line)
			}
			if w.Header().Get("Content-Encoding") != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", w.Header())
			}
			if retry := tt.status == 503 || tt.status == 429; retry != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
	answer = shown
	const want = `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"is missing","code":"invalid_event",` +
		`"field":"/actor/id","line":3,"errors":[{"code":"invalid_event","message":"one"},` +
		`{"code":"unknown_field","message":"two","field":"/x","line":4}],"request_id":"r1"}` + "\n"
	if diff := cmp.Diff(want, b.do("GET", "/e", withHeader("X-Request-ID", "r1")).Body.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPanics(t *testing.T) {
	b := setUp(t,
		Route{Name: "p", Method: "GET", Pattern: "/p", Access: auth.Public(), Handler: func(http.ResponseWriter, *Request) error { panic("secret") }},
		Route{Name: "late", Method: "GET", Pattern: "/late", Access: auth.Public(), Handler: func(w http.ResponseWriter, _ *Request) error {
			_, _ = io.WriteString(w, "half")
			panic("secret")
		}})
	w := b.do("GET", "/p")
	wantProblem(t, w, 500, "internal")
	line := b.log.last(t)
	if line["error"] != "panic: secret" || !strings.Contains(line["stack"].(string), "TestPanics") {
		t.Errorf("log %v", line)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("recovered %v", err)
		}
		if line := b.log.last(t); line["route"] != "late" || line["error"] != "panic: secret" || line["level"] != "ERROR" {
			t.Errorf("log %v", line)
		}
	}()
	b.do("GET", "/late")
}

// An answer that breaks off must not look whole to the client.
func TestBrokenAnswerIsCut(t *testing.T) {
	b := setUp(t, Route{Name: "half", Method: "GET", Pattern: "/half", Access: auth.Public(), Handler: func(w http.ResponseWriter, _ *Request) error {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		return errors.New("disk gone")
	}})
	web := httptest.NewServer(b.server)
	defer web.Close()
	res, err := web.Client().Get(web.URL + "/half")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client read %d bytes and no error", len(body))
	}
	web.Close() // waits for the request
	if line := b.log.last(t); line["error"] != "disk gone" || line["level"] != "ERROR" {
		t.Errorf("log %v", line)
	}
}

func TestClientGone(t *testing.T) {
	started := make(chan struct{})
	b := setUp(t, Route{Name: "slow", Method: "GET", Pattern: "/slow", Access: auth.Public(), Handler: func(_ http.ResponseWriter, r *Request) error {
		close(started)
		<-r.Context().Done()
		return fmt.Errorf("search: %w", r.Context().Err())
	}})
	web := httptest.NewServer(b.server)
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-started; cancel() }()
	if res, err := web.Client().Do(req); err == nil {
		_ = res.Body.Close()
		t.Fatal("answered")
	}
	web.Close()
	if line := b.log.last(t); line["status"] != 499.0 || line["level"] != "INFO" {
		t.Errorf("log %v", line)
	}
}

func TestSurfacesAnswerInTheirForm(t *testing.T) {
	form := func(name string) ErrorWriter {
		return func(w http.ResponseWriter, _ *Request, f Failure) {
			w.WriteHeader(f.Status)
			_, _ = fmt.Fprintf(w, "%s %s", name, f.Error.Code)
		}
	}
	route := func(name, pattern string) Route {
		return Route{Name: name, Method: "GET", Pattern: pattern, Access: auth.Need(auth.RoleReader), Handler: text("ok")}
	}
	b := setUpWith(t, Config{},
		Surface{Name: "api", Prefixes: []string{"/v1"}, Errors: form("api"), Routes: []Route{route("a", "/v1/x")}},
		Surface{Name: "workos", Prefixes: []string{"/audit_logs", "/v1/workos/"}, Errors: form("workos"), Routes: []Route{route("w", "/audit_logs/x"), route("o", "/odd")}},
	)
	for target, want := range map[string]string{
		"GET /v1":             "404 api not_found",
		"GET /v1/y":           "404 api not_found",
		"GET /v1/workos/y":    "404 workos not_found",
		"GET /v1/workosy":     "404 api not_found",
		"GET /audit_logs":     "404 workos not_found",
		"GET /audit_logs/y/z": "404 workos not_found",
		"POST /v1/x":          "405 api method_not_allowed",
		"POST /audit_logs/x":  "405 workos method_not_allowed",
		"GET /v1/x":           "401 api unauthorized",
		"GET /odd":            "401 workos unauthorized",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := b.do(method, path)
		if got := fmt.Sprint(w.Code, " ", w.Body); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
		if allow := w.Header().Get("Allow"); (w.Code == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s: Allow %q", target, allow)
		}
		if auth := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != (auth != "") {
			t.Errorf("%s: WWW-Authenticate %q", target, auth)
		}
	}
	wantProblem(t, b.do("GET", "/nowhere"), 404, "not_found")
	wantProblem(t, b.do("GET", "/v1x"), 404, "not_found")
}

func TestErrorWriterThatPanics(t *testing.T) {
	b := setUpWith(t, Config{}, Surface{
		Name: "bad", Prefixes: []string{"/bad"},
		Errors: func(http.ResponseWriter, *Request, Failure) { panic("oh") },
	})
	defer func() {
		if recover() == nil {
			t.Error("the connection was not cut")
		}
	}()
	b.do("GET", "/bad")
}

func TestHead(t *testing.T) {
	b := setUp(t, Route{Name: "g", Method: "GET", Pattern: "/g", Access: auth.Public(), Handler: text("12345")})
	web := httptest.NewServer(b.server)
	defer web.Close()
	res, err := web.Client().Head(web.URL + "/g")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || res.ContentLength != 5 {
		t.Errorf("%d, length %d", res.StatusCode, res.ContentLength)
	}
}

// TestAccess calls routes of each access with each kind of key.
func TestAccess(t *testing.T) {
	handle := text("ok")
	scoped := func(w http.ResponseWriter, r *Request) error {
		if _, err := r.AllowOrg(r.URL.Query().Get("org")); err != nil {
			return err
		}
		return handle(w, r)
	}
	b := setUp(t,
		Route{Name: "public", Method: "GET", Pattern: "/public", Access: auth.Public(), Handler: handle},
		Route{Name: "wide", Method: "GET", Pattern: "/wide", Access: auth.Need(auth.RoleReader), Handler: handle},
		Route{Name: "org", Method: "GET", Pattern: "/org/{org}", Access: auth.Need(auth.RoleReader).ReadsLog(), Handler: handle},
		Route{Name: "scoped", Method: "GET", Pattern: "/scoped", Access: auth.Scoped(auth.RoleReader).ReadsLog(), Handler: scoped},
		Route{Name: "shared", Method: "GET", Pattern: "/shared", Access: auth.Shared(auth.RoleReader), Handler: handle},
		Route{Name: "write", Method: "GET", Pattern: "/write/{org}", Access: auth.Need(auth.RoleWriter).WritesLog(), Handler: handle},
		Route{Name: "share", Method: "GET", Pattern: "/share/{org}", Access: auth.Need(auth.RoleReader).SharesLog(), Handler: handle},
	)
	if _, err := b.catalog.CreateOrganization(t.Context(), catalog.Organization{ID: "off", Name: "off", State: catalog.StateDisabled}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.catalog.CreateOrganization(t.Context(), catalog.Organization{ID: "quiet", Name: "quiet", State: catalog.StateInactive}); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{
		"none": "", "wrong": "sk_wrong", "root": rootKey,
		"reader": b.key(auth.RoleReader, ""), "writer": b.key(auth.RoleWriter, ""),
		"acme": b.key(auth.RoleReader, "acme"), "quiet": b.key(auth.RoleReader, "quiet"),
	}
	tests := []struct {
		target string
		want   map[string]int
	}{
		{"/public", map[string]int{"none": 200, "wrong": 200, "acme": 200}},
		{"/wide", map[string]int{"none": 401, "wrong": 401, "root": 200, "reader": 200, "writer": 403, "acme": 403}},
		{"/org/acme", map[string]int{"none": 401, "wrong": 401, "root": 200, "reader": 200, "writer": 403, "acme": 200, "quiet": 404}},
		{"/org/globex", map[string]int{"none": 401, "root": 200, "acme": 404}},
		{"/org/nobody", map[string]int{"none": 401, "root": 404, "acme": 404}},
		{"/org/quiet", map[string]int{"root": 200, "quiet": 403}},
		{"/scoped?org=acme", map[string]int{"none": 401, "root": 200, "writer": 403, "acme": 200, "quiet": 404}},
		{"/scoped?org=globex", map[string]int{"root": 200, "acme": 404}},
		{"/scoped?org=nobody", map[string]int{"root": 404, "acme": 404}},
		{"/scoped?org=", map[string]int{"root": 404, "acme": 404}},
		{"/scoped?org=quiet", map[string]int{"root": 200, "quiet": 403}},
		{"/shared", map[string]int{"none": 401, "root": 200, "acme": 200, "writer": 403}},
		{"/write/acme", map[string]int{"none": 401, "root": 200, "writer": 200, "reader": 403, "acme": 403}},
		{"/write/off", map[string]int{"root": 403, "writer": 403}},
		{"/write/quiet", map[string]int{"root": 200, "writer": 200}},
		{"/share/quiet", map[string]int{"root": 403, "quiet": 403}},
		{"/share/off", map[string]int{"root": 200}},
	}
	for _, tt := range tests {
		for who, want := range tt.want {
			w := b.do("GET", tt.target, withKey(keys[who]))
			if w.Code != want || (w.Code == 200) != (w.Body.String() == "ok") {
				t.Errorf("%s with %s: %d %s, want %d", tt.target, who, w.Code, w.Body, want)
			}
		}
	}
	// A foreign organization and none look alike, to the byte.
	for _, target := range []string{"/org/", "/scoped?org="} {
		foreign := b.do("GET", target+"globex", withKey(keys["acme"]), withHeader("X-Request-ID", "r"))
		missing := b.do("GET", target+"nobody", withKey(keys["acme"]), withHeader("X-Request-ID", "r"))
		if diff := cmp.Diff(strings.ReplaceAll(foreign.Body.String(), "globex", "nobody"), missing.Body.String()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(foreign.Header(), missing.Header()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestBearer(t *testing.T) {
	b := setUp(t, Route{Name: "x", Method: "GET", Pattern: "/x", Access: auth.Need(auth.RoleAdmin), Handler: text("ok")})
	for header, want := range map[string]int{
		"Bearer " + rootKey: 200, "bearer  " + rootKey + " ": 200,
		rootKey: 401, "Basic " + rootKey: 401, "Bearer": 401, "Bearer " + rootKey + " x": 401, "": 401,
	} {
		if w := b.do("GET", "/x", withHeader("Authorization", header)); w.Code != want {
			t.Errorf("%q: %d", header, w.Code)
		}
	}
}

// A handler that forgets to ask must not leak another organization's things.
func TestScopedMustAsk(t *testing.T) {
	ask := map[string]func(*Request){
		"nothing": func(*Request) {},
		"scope":   func(r *Request) { r.Scope() },
		"opens": func(r *Request) {
			if r.Opens("globex") == r.Identity.Limited() || !r.Opens("acme") {
				t.Error("Opens is wrong")
			}
		},
	}
	b := setUp(t, Route{Name: "x", Method: "GET", Pattern: "/x/{ask}", Access: auth.Scoped(auth.RoleReader), Handler: func(w http.ResponseWriter, r *Request) error {
		ask[r.PathValue("ask")](r)
		return WriteJSON(w, 200, "everything of everybody")
	}})
	limited := b.key(auth.RoleReader, "acme")
	w := b.do("GET", "/x/nothing", withKey(limited))
	wantProblem(t, w, 500, "internal")
	if strings.Contains(w.Body.String(), "everything") {
		t.Errorf("leaked %s", w.Body)
	}
	for target, key := range map[string]string{"/x/nothing": rootKey, "/x/scope": limited, "/x/opens": limited} {
		if w := b.do("GET", target, withKey(key)); w.Code != 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

func TestSignedRoute(t *testing.T) {
	b := setUp(t, Route{Name: "d", Method: "GET", Pattern: "/d/{file}", Access: auth.Signed(auth.PurposeDownload), Handler: func(w http.ResponseWriter, r *Request) error {
		if _, err := r.AllowOrg("acme"); err != nil {
			return err
		}
		_, err := io.WriteString(w, r.PathValue("file"))
		return err
	}})
	link, err := b.signer.SignURL("/d/a%2Fb.csv", auth.PurposeDownload, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if w := b.do("GET", link); w.Code != 200 || w.Body.String() != "a/b.csv" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, b.do("GET", "/d/a%2Fb.csv", withKey(rootKey)), 403, "forbidden")
	wantProblem(t, b.do("GET", strings.Replace(link, "a%2F", "c%2F", 1)), 403, "forbidden")
	old, err := b.signer.SignURL("/d/x", auth.PurposeDownload, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, b.do("GET", old), 410, "gone")
}

func TestRoutes(t *testing.T) {
	b := setUp(t,
		Route{Name: "b", Method: "POST", Pattern: "/v1/a/{x...}/y", Access: auth.Public(), Handler: text("")},
		Route{Name: "a", Method: "GET", Pattern: "/v1/a/{x...}/y", Access: auth.Public(), Handler: text("")})
	var got []string
	for _, r := range b.server.Routes() {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"healthz", "metrics", "readyz", "a", "b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOperations(t *testing.T) {
	var ready error
	b := setUpWith(t, Config{Ready: func(context.Context) error { return ready }})
	if w := b.do("GET", "/healthz"); w.Code != 200 || w.Body.String() != "{\"status\":\"ok\"}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/readyz"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	ready = errors.New("disk secret")
	w := b.do("GET", "/readyz")
	wantProblem(t, w, 503, "unavailable")
	if strings.Contains(w.Body.String(), "secret") || !strings.Contains(b.log.String(), "disk secret") {
		t.Errorf("answer %s, log %s", w.Body, b.log)
	}
	b.do("GET", "/nowhere")
	b.do("BREW", "/nowhere")
	metrics := b.do("GET", "/metrics").Body.String()
	for _, want := range []string{
		`stele_http_requests_total{code="200",method="GET",route="healthz"} 1`,
		`stele_http_requests_total{code="503",method="GET",route="readyz"} 1`,
		`stele_http_requests_total{code="404",method="GET",route="none"} 1`,
		`stele_http_requests_total{code="404",method="other",route="none"} 1`,
		`stele_http_request_duration_seconds_count{route="healthz"} 1`,
		`stele_http_requests_in_flight 1`,
		`go_goroutines`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(metrics)
	}
}
