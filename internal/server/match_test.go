package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/auth"
)

// treeOf registers "METHOD PATTERN" texts, each named by itself.
func treeOf(patterns ...string) *node {
	n := &node{}
	for _, p := range patterns {
		method, pattern, _ := strings.Cut(p, " ")
		n.add(newRoute(&Surface{Name: "test"}, &Route{
			Name: p, Method: method, Pattern: pattern, Access: auth.Need(auth.RoleAdmin),
			Handler: func(http.ResponseWriter, *Request) error { return nil },
		}))
	}
	return n
}

// match is the pattern and values for a request, or the methods allowed.
func match(n *node, method, target string) []string {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return []string{err.Error()}
	}
	l := lookup{method: method}
	var ok bool
	if l.segments, ok = appendSegments(nil, u); ok && l.walk(n, 0) {
		return append([]string{l.found.Name}, l.values...)
	}
	slices.Sort(l.allowed)
	return append([]string{""}, l.allowed...)
}

func TestMatch(t *testing.T) {
	tree := treeOf(
		"GET /{$}",
		"GET /healthz",
		"GET /v1/organizations/{org}/events",
		"POST /v1/organizations/{org}/events",
		"GET /v1/organizations/{org}/events/{id}",
		"GET /v1/organizations/{org}/events/tail",
		"GET /v1/organizations/{org}/log/tile/{path...}",
		"GET /audit_logs/actions",
		"POST /audit_logs/actions/{action...}/schemas",
		"GET /audit_logs/actions/{name...}/schemas",
		"GET /audit_logs/actions/{action...}/schemas/{version}",
		"GET /organizations/external_id/{external_id}",
		"GET /organizations/{org}/audit_log_configuration",
		"PUT /organizations/{org}/audit_logs_retention",
		"GET /static/{file...}",
	)
	tests := []struct {
		method, target string
		want           []string
	}{
		{"GET", "/", []string{"GET /{$}"}},
		{"GET", "/healthz", []string{"GET /healthz"}},
		{"HEAD", "/healthz?x=1", []string{"GET /healthz"}},
		{"GET", "/healthz/", []string{""}},
		{"GET", "//healthz", []string{""}},
		{"GET", "/HEALTHZ", []string{""}},
		{"POST", "/healthz", []string{"", "GET", "HEAD"}},
		{"OPTIONS", "/healthz", []string{"", "GET", "HEAD"}},
		{"DELETE", "/v1/organizations/acme/events", []string{"", "GET", "HEAD", "POST"}},
		{"POST", "/v1/organizations/acme/events", []string{"POST /v1/organizations/{org}/events", "acme"}},
		{"GET", "/v1/organizations//events", []string{""}},
		{"GET", "/v1/organizations/acme/events/tail", []string{"GET /v1/organizations/{org}/events/tail"} /* below */},
		{"GET", "/v1/organizations/a%2Fb%20c/events/tails", []string{"GET /v1/organizations/{org}/events/{id}", "a/b c", "tails"}},
		{"GET", "/v1/organizations/a%252Fb/events", []string{"GET /v1/organizations/{org}/events", "a%2Fb"}},
		{"GET", "/v1/organizations/a/log/tile/0/x001/234.p/5", []string{"GET /v1/organizations/{org}/log/tile/{path...}", "a", "0/x001/234.p/5"}},
		{"GET", "/v1/organizations/a/log/tile", []string{""}},
		{"GET", "/static/", []string{"GET /static/{file...}", ""}},
		{"GET", "/static/..%2f..%2fetc/passwd", []string{"GET /static/{file...}", "../../etc/passwd"}},
		// As WorkOS's clients send action names, old and new.
		{"POST", "/audit_logs/actions/user.signed_in/schemas", []string{"POST /audit_logs/actions/{action...}/schemas", "user.signed_in"}},
		{"POST", "/audit_logs/actions/a%2Fb%20c:d/schemas", []string{"POST /audit_logs/actions/{action...}/schemas", "a/b c:d"}},
		{"GET", "/audit_logs/actions/a/b%20c/schemas", []string{"GET /audit_logs/actions/{name...}/schemas", "a/b c"}},
		{"GET", "/audit_logs/actions/schemas/schemas", []string{"GET /audit_logs/actions/{name...}/schemas", "schemas"}},
		{"GET", "/audit_logs/actions/a/schemas/2", []string{"GET /audit_logs/actions/{action...}/schemas/{version}", "a", "2"}},
		{"GET", "/audit_logs/actions/a/b/schemas/2", []string{"GET /audit_logs/actions/{action...}/schemas/{version}", "a/b", "2"}},
		{"GET", "/audit_logs/actions//schemas", []string{""}},
		{"GET", "/audit_logs/actions/schemas", []string{""}},
		{"GET", "/audit_logs/actions", []string{"GET /audit_logs/actions"}},
		{"PUT", "/audit_logs/actions/a/schemas", []string{"", "GET", "HEAD", "POST"}},
		// Patterns that overlap.
		{"GET", "/organizations/external_id/x%2Fy", []string{"GET /organizations/external_id/{external_id}", "x/y"}},
		{"GET", "/organizations/external_id/audit_log_configuration", []string{"GET /organizations/external_id/{external_id}", "audit_log_configuration"}},
		{"GET", "/organizations/acme/audit_log_configuration", []string{"GET /organizations/{org}/audit_log_configuration", "acme"}},
		{"PUT", "/organizations/external_id/audit_logs_retention", []string{"PUT /organizations/{org}/audit_logs_retention", "external_id"}},
		// What no route may see.
		{"GET", "/v1/organizations/%00/events", []string{""}},
		{"GET", "/v1/organizations/%FF/events", []string{""}},
		{"GET", "*", []string{""}},
		{"GET", "/static/" + strings.Repeat("a/", maxSegments), []string{""}},
	}
	for _, tt := range tests {
		got := match(tree, tt.method, tt.target)
		if tt.target == "/v1/organizations/acme/events/tail" {
			tt.want = append(tt.want, "acme")
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %.80s: %s", tt.method, tt.target, diff)
		}
	}
}

// TestMatchIsServeMux holds the tree to net/http's ServeMux where that takes the
// same patterns.
func TestMatchIsServeMux(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "{x}", "{y}"})
	path := rapid.SampledFrom([]string{"a", "b", "c", "%2Fa", "a%20b"})
	rapid.Check(t, func(rt *rapid.T) {
		mux := http.NewServeMux()
		tree := &node{}
		for range rapid.IntRange(1, 6).Draw(rt, "patterns") {
			parts := rapid.SliceOfN(segment, 1, 4).Draw(rt, "pattern")
			for i, p := range parts { // names must differ within a pattern
				parts[i] = strings.Replace(p, "}", string(rune('0'+i))+"}", 1)
			}
			parts = append(parts, rapid.SampledFrom([]string{"", "{rest...}", "{$}"}).Draw(rt, "end"))
			pattern := "/" + strings.TrimSuffix(strings.Join(parts, "/"), "/")
			if takes(mux, pattern) {
				tree.add(newRoute(&Surface{Name: "test"}, &Route{
					Name: pattern, Method: "GET", Pattern: pattern, Access: auth.Public(),
					Handler: func(http.ResponseWriter, *Request) error { return nil },
				}))
			}
		}
		target := "/" + strings.Join(rapid.SliceOfN(path, 1, 5).Draw(rt, "path"), "/")
		if rapid.Bool().Draw(rt, "slash") {
			target += "/"
		}
		req := httptest.NewRequest(http.MethodGet, target, nil)
		want := []string{""}
		h, pattern := mux.Handler(req)
		if isRedirect(h) {
			return
		}
		if pattern != "" {
			mux.ServeHTTP(httptest.NewRecorder(), req) // sets the values
			want = []string{strings.TrimPrefix(pattern, "GET ")}
			for part := range strings.SplitSeq(pattern, "/") {
				if name, ok := strings.CutPrefix(part, "{"); ok && name != "$}" {
					want = append(want, req.PathValue(strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")))
				}
			}
		}
		if diff := cmp.Diff(want, match(tree, "GET", target)); diff != "" {
			rt.Fatalf("%s: %s", target, diff)
		}
	})
}

// takes registers a pattern unless the mux refuses it.
func takes(mux *http.ServeMux, pattern string) (ok bool) {
	defer func() { ok = recover() == nil }()
	mux.HandleFunc("GET "+pattern, func(http.ResponseWriter, *http.Request) {})
	return true
}

// isRedirect says that the mux would send the client to another path, which the
// tree never does.
func isRedirect(h http.Handler) bool { return strings.Contains(fmt.Sprintf("%T", h), "redirect") }

func TestBadRoutesPanic(t *testing.T) {
	ok := Route{Name: "n", Method: "GET", Pattern: "/x", Access: auth.Public(), Handler: func(http.ResponseWriter, *Request) error { return nil }}
	for name, change := range map[string]func(*Route){
		"no access":      func(r *Route) { r.Access = auth.Access{} },
		"empty access":   func(r *Route) { r.Access = auth.Need() },
		"no name":        func(r *Route) { r.Name = "" },
		"no handler":     func(r *Route) { r.Handler = nil },
		"no method":      func(r *Route) { r.Method = "" },
		"odd method":     func(r *Route) { r.Method = "get" },
		"relative":       func(r *Route) { r.Pattern = "x" },
		"empty":          func(r *Route) { r.Pattern = "" },
		"trailing slash": func(r *Route) { r.Pattern = "/x/" },
		"double slash":   func(r *Route) { r.Pattern = "/x//y" },
		"open brace":     func(r *Route) { r.Pattern = "/{x" },
		"part wildcard":  func(r *Route) { r.Pattern = "/a{x}" },
		"no wildcard":    func(r *Route) { r.Pattern = "/{}" },
		"end not at end": func(r *Route) { r.Pattern = "/{$}/x" },
		"two rests":      func(r *Route) { r.Pattern = "/{a...}/x/{b...}" },
		"twice one name": func(r *Route) { r.Pattern = "/{a}/{a}" },
		"scoped org":     func(r *Route) { r.Pattern, r.Access = "/{org}", auth.Scoped(auth.RoleReader) },
		"public org":     func(r *Route) { r.Pattern = "/{org}" },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("registered")
				}
			}()
			r := ok
			change(&r)
			(&node{}).add(newRoute(&Surface{Name: "test"}, &r))
		})
	}
	for name, surfaces := range map[string][]Surface{
		"same name twice": {{Name: "s", Errors: Problem, Routes: []Route{ok, {Name: "n", Method: "GET", Pattern: "/y", Access: ok.Access, Handler: ok.Handler}}}},
		"same path twice": {{Name: "s", Errors: Problem, Routes: []Route{ok, {Name: "m", Method: "GET", Pattern: "/x", Access: ok.Access, Handler: ok.Handler}}}},
		"taken path":      {{Name: "s", Errors: Problem, Routes: []Route{{Name: "m", Method: "GET", Pattern: "/healthz", Access: ok.Access, Handler: ok.Handler}}}},
		"no error writer": {{Name: "s", Routes: []Route{ok}}},
		"odd prefix":      {{Name: "s", Errors: Problem, Prefixes: []string{"v1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("registered")
				}
			}()
			New(Config{}, surfaces...)
		})
	}
}
