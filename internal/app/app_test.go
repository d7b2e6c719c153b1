package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

const rootKey = "sk_root_key_of_the_tests_00"

// open opens an app on a directory with the organizations "ours" and "theirs".
func open(t *testing.T, dir string) *app.App {
	t.Helper()
	cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
	cfg.ReserveMiB = 0
	a, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{"ours", "theirs"} {
		o := catalog.NewOrganization(id)
		o.ID = id
		if _, err := a.Catalog.CreateOrganization(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func key(t *testing.T, a *app.App, role catalog.Role, org string) string {
	t.Helper()
	secret, _, err := a.Auth.CreateKey(t.Context(), catalog.Key{Name: "test", Role: role, Organization: org})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// ask calls a route with a body that no handler accepts, about an organization.
func ask(t *testing.T, h http.Handler, route server.Route, org, key string) answer {
	t.Helper()
	path := regexp.MustCompile(`\{org\}`).ReplaceAllString(route.Pattern, org)
	path = strings.TrimSuffix(path, "{$}")
	path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
	body := ""
	if route.Method != http.MethodGet && route.Method != http.MethodDelete {
		body = "{"
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, route.Method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	rec := &onceRecorder{httptest.NewRecorder(), cancel}
	h.ServeHTTP(rec, req)
	if rec.Header().Get("X-Request-ID") == "" {
		t.Errorf("%s %s: no X-Request-ID", route.Method, path)
	}
	return answer{rec.Code, rec.Body.String()}
}

// answer is what a route answered.
type answer struct {
	status int
	body   string
}

// onceRecorder ends the request when its answer is first flushed, so that one
// without an end, such as a tail, has one.
type onceRecorder struct {
	*httptest.ResponseRecorder
	cancel func()
}

func (r *onceRecorder) Flush() {
	r.ResponseRecorder.Flush()
	r.cancel()
}

// TestWalk asks every route of every surface without a key, with a wrong one,
// with one of another organization, and with each role. It holds promise 9.
func TestWalk(t *testing.T) {
	a := open(t, t.TempDir())
	public := []string{"healthz", "readyz", "metrics", "portal.launch", "portal.spent", "static"}
	limited := map[catalog.Role]string{}
	for _, role := range []catalog.Role{auth.RoleAdmin, auth.RoleWriter, auth.RoleReader} {
		limited[role] = key(t, a, role, "ours")
	}
	for _, route := range a.Server.Routes() {
		t.Run(route.Name, func(t *testing.T) {
			if route.Access.NeedsSession() {
				walkSession(t, a, route)
				return
			}
			if !route.Access.NeedsKey() {
				if route.Access.Purpose() == "" && !slices.Contains(public, route.Name) && !strings.Contains(route.Name, "openapi") && !strings.Contains(route.Name, "vkey") {
					t.Errorf("%s is public: is it meant to be? Then name it here", route.Pattern)
				}
				if res := ask(t, a, route, "ours", ""); route.Access.Purpose() != "" && res.status != http.StatusForbidden && res.status != http.StatusGone {
					t.Errorf("without a signature: %d", res.status)
				}
				return
			}
			for _, wrong := range []string{"", "sk_wrong", rootKey[:len(rootKey)-1]} {
				if res := ask(t, a, route, "ours", wrong); res.status != http.StatusUnauthorized {
					t.Errorf("with the key %q: %d", wrong, res.status)
				}
			}
			for role, secret := range limited {
				walkLimited(t, a, route, role, secret)
			}
		})
	}
}

// walkSession asks without a session: no key is one.
func walkSession(t *testing.T, a *app.App, route server.Route) {
	t.Helper()
	for _, secret := range []string{"", rootKey} {
		if res := ask(t, a, route, "ours", secret); res.status != http.StatusUnauthorized {
			t.Errorf("with the key %q: %d", secret, res.status)
		}
	}
}

// walkLimited asks with a key limited to "ours".
func walkLimited(t *testing.T, a *app.App, route server.Route, role catalog.Role, secret string) {
	t.Helper()
	admitted := slices.Contains(route.Access.Roles(), role)
	if strings.Contains(route.Pattern, "{org}") {
		theirs, missing := ask(t, a, route, "theirs", secret), ask(t, a, route, "nobody", secret)
		if theirs.status != http.StatusNotFound && theirs.status != http.StatusForbidden {
			t.Errorf("%s of ours asks about theirs: %d", role, theirs.status)
		}
		if got, want := theirs.body, missing.body; strings.ReplaceAll(strip(got), "theirs", "nobody") != strip(want) {
			t.Errorf("%s of ours can tell theirs from an organization that does not exist:\n%s\n%s", role, got, want)
		}
	}
	ours := ask(t, a, route, "ours", secret)
	if !admitted && ours.status != http.StatusForbidden && ours.status != http.StatusNotFound {
		t.Errorf("%s may not use it, and gets %d", role, ours.status)
	}
	if ours.status >= 500 {
		t.Errorf("%s: %d: %s", role, ours.status, ours.body)
	}
}

// strip removes what differs between any two answers.
func strip(body string) string {
	return regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(body, "")
}

// TestPortalLink follows a link from the product's request to the page, and
// holds that an altered one opens nothing.
func TestPortalLink(t *testing.T) {
	a := open(t, t.TempDir())
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/portal/generate_link",
		strings.NewReader(`{"organization":"ours","intent":"audit_logs","return_url":"https://app.example.com/<back>"}`))
	req.Header.Set("Authorization", "Bearer "+rootKey)
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, req)
	link := regexp.MustCompile(`http://[^"]+`).FindString(rec.Body.String())
	if rec.Code != http.StatusCreated || link == "" {
		t.Fatalf("generate_link: %d %s", rec.Code, rec.Body)
	}
	page := func(target string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if csp := rec.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("Content-Security-Policy %q", csp)
		}
		return rec
	}
	if got := page(link); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/settings/security/audit-log" {
		t.Errorf("the link opens %d\n%s", got.Code, got.Body)
	}
	if got := page(page(link).Header().Get("Location")); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), "already used") {
		t.Errorf("the used link opens %d\n%s", got.Code, got.Body)
	}
	altered := link[:len(link)-4] + "AAAA"
	if got := page(altered); got.Code == http.StatusOK || !strings.Contains(got.Body.String(), "does not work") {
		t.Errorf("an altered link opens %d\n%s", got.Code, got.Body)
	}
	if got := page("/portal/launch"); got.Code == http.StatusOK {
		t.Errorf("no token opens %d", got.Code)
	}
}

// TestDemoLink holds that the demo's address lets in as often as it is opened,
// until it ends, and that no other server has such an address.
func TestDemoLink(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	dir, at := t.TempDir(), now
	cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
	cfg.ReserveMiB, cfg.Now = 0, func() time.Time { return at }
	a, err := app.OpenDemo(t.Context(), cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	o := catalog.NewOrganization("Demo")
	o.ID = app.DemoOrganizations(now)[0]
	if _, err := a.Catalog.CreateOrganization(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	link, err := a.DemoLink(now)
	if err != nil {
		t.Fatal(err)
	}
	status := func(h http.Handler, link string) int {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, link, nil))
		cookies := rec.Result().Cookies()
		session := slices.ContainsFunc(cookies, func(c *http.Cookie) bool { return c.Name == server.SessionCookie && c.Value != "" })
		if session != (rec.Code == http.StatusSeeOther) {
			t.Errorf("%s: %d with cookies %v", link, rec.Code, cookies)
		}
		return rec.Code
	}
	for range 2 {
		if got := status(a, link); got != http.StatusSeeOther {
			t.Errorf("the demo's address: %d", got)
		}
	}
	if got := status(a, link+"x"); got != http.StatusForbidden {
		t.Errorf("altered: %d", got)
	}
	at = now.Add(31 * 24 * time.Hour)
	if got := status(a, link); got != http.StatusGone {
		t.Errorf("a month later: %d", got)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	at = now
	if got := status(open(t, dir), link); got != http.StatusNotFound {
		t.Errorf("on a server that is no demo: %d", got)
	}
}

// TestDirectory holds what the first start leaves behind: private files, and a
// signing key that is never made twice.
func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	open(t, dir)
	for name, mode := range map[string]os.FileMode{"": 0o700, "db": 0o700, "checkpoint.key": 0o600, "stream.keys": 0o600, "exports": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("%s has mode %o, want %o", name, got, mode)
		}
	}
}

// TestSettings holds that each wrong setting is named.
func TestSettings(t *testing.T) {
	for name, change := range map[string]func(*app.Config){
		"--stream-keys":              func(c *app.Config) { c.StreamKeys = "k1:short" },
		"--stream-key-file":          func(c *app.Config) { c.StreamKeys, c.StreamKeyFile = "k1:x", "f" },
		"--stream-allow":             func(c *app.Config) { c.StreamAllow = []string{"everything"} },
		"--stream-max-in-flight-mib": func(c *app.Config) { c.StreamMaxInFlightMiB = 1 },
		"--notify-webhook":           func(c *app.Config) { c.NotifyWebhook = "https://x.example" },
		"--notify-secret":            func(c *app.Config) { c.NotifyWebhook, c.NotifySecret = "https://x.example", "whsec_c2hvcnQ=" },
		"--root-key":                 func(c *app.Config) { c.RootKey = "short" },
		"--idempotency-window":       func(c *app.Config) { c.IdempotencyWindow = 1 },
		"--export-keep":              func(c *app.Config) { c.ExportKeep = 1 },
		"--cache-mib":                func(c *app.Config) { c.CacheMiB = 0 },
		"--tls-cert":                 func(c *app.Config) { c.TLSKey = "key.pem" },
		"--schema-mode":              func(c *app.Config) { c.SchemaMode = "loose" },
		"--public-url":               func(c *app.Config) { c.PublicURL = "https://host/path" },
		"--session-life":             func(c *app.Config) { c.SessionLife = time.Second },
		"--product-name":             func(c *app.Config) { c.ProductName = "two\nlines" },
		"--product-logo":             func(c *app.Config) { c.ProductLogo = "app_test.go" },
		"--accent":                   func(c *app.Config) { c.Accent = "red;}" },
		"--frame-ancestors":          func(c *app.Config) { c.FrameAncestors = []string{"https://ok.example.com", "*"} },
		"--trusted-proxies":          func(c *app.Config) { c.TrustedProxies = []string{"10.0.0.0/33"} },
	} {
		dir := filepath.Join(t.TempDir(), "data")
		cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
		change(&cfg)
		if a, err := app.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %s (app %v)", err, name, a)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a wrong setting touched the data directory", name)
		}
	}
}
