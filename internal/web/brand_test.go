package web_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web"
)

// TestCookieByAddress holds how the session cookie is made for where the pages
// are, and are shown.
func TestCookieByAddress(t *testing.T) {
	const lax, none = http.SameSiteLaxMode, http.SameSiteNoneMode
	for _, tt := range []struct {
		publicURL, ancestors string
		site                 http.SameSite
		secure, partitioned  bool
	}{
		{"http://127.0.0.1:8420", "", lax, false, false},
		{"https://audit.example.com", "", lax, true, false},
		{"https://audit.example.com", "https://audit.example.com", lax, true, false},
		{"https://audit.example.com", "https://app.example.com", none, true, true},
		{"https://audit.example.com", "https://audit.example.com,https://*.example.com", none, true, true},
		{"http://127.0.0.1:8420", "https://app.example.com", lax, false, false}, // browsers refuse None without TLS
	} {
		s := openSite(t, func(c *app.Config) {
			c.PublicURL = tt.publicURL
			if tt.ancestors != "" {
				c.FrameAncestors = strings.Split(tt.ancestors, ",")
			}
		})
		c := s.open(t, "GET", s.link(t, nil)).cookie(t, server.SessionCookie)
		if c == nil || !c.HttpOnly || c.SameSite != tt.site || c.Secure != tt.secure || c.Partitioned != tt.partitioned {
			t.Errorf("%+v: %+v", tt, c)
		}
	}
}

// TestFrames holds who may show the pages in a frame.
func TestFrames(t *testing.T) {
	s := openSite(t)
	for what, got := range map[string]page{
		"a page": s.enter(t, "ours", auth.PersonViewer, "u1", "Ada").get("/audit-log"), "the door": s.open(t, "GET", web.LaunchPath),
	} {
		if csp := got.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors 'none'") || got.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %q, %q", what, csp, got.Header().Get("X-Frame-Options"))
		}
	}
	s = openSite(t, func(c *app.Config) {
		c.FrameAncestors = []string{"https://App.example.com", "https://*.example.org:8443"}
	})
	v := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	got := v.get("/audit-log")
	if csp := got.Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors 'self' https://app.example.com https://*.example.org:8443") || got.Header().Get("X-Frame-Options") != "" {
		t.Errorf("%q, %q", csp, got.Header().Get("X-Frame-Options"))
	}
}

// TestEmbedded holds when a page has no header of its own.
func TestEmbedded(t *testing.T) {
	s := openSite(t, func(c *app.Config) { c.FrameAncestors = []string{"https://app.example.com"} })
	v := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	cookie := v.get("/audit-log?embed=1").cookie(t, "stele_embed")
	if cookie == nil || cookie.Value != "1" || cookie.MaxAge != 0 {
		t.Fatalf("a browser that does not say where it shows a page gets %+v", cookie)
	}
	remembered := cookie.Name + "=" + cookie.Value
	for _, tt := range []struct {
		path, dest, cookie string
		want               bool
	}{
		{"/audit-log", "", "", false},
		{"/audit-log?embed=1", "", "", true},
		{"/audit-log", "iframe", "", true},
		{"/exports", "iframe", "", true},
		{"/audit-log", "document", remembered, false}, // a link opened in a window of its own
		{"/audit-log", "", remembered, true},
		{"/audit-log?embed=0", "", remembered, false},
		{"/audit-log?embed=1", "document", "", true},
	} {
		headers := []string{"Sec-Fetch-Dest", tt.dest, "Cookie", tt.cookie}
		if tt.dest == "" {
			headers = headers[2:]
		}
		got := v.get(tt.path, headers...)
		got.want(t, http.StatusOK, "Exports", "Event types")
		bare := !strings.Contains(got.text, `<header class="top">`)
		tells := strings.Contains(got.text, "/static/js/frame.js?") && strings.Contains(got.text, `content="https://app.example.com"`)
		if bare != tt.want || tells != tt.want {
			t.Errorf("%+v: without a header %v, tells its size %v", tt, bare, tells)
		}
		if strings.Contains(got.text, "Sign out") == tt.want {
			t.Errorf("%+v: signs out %v", tt, !tt.want)
		}
	}
}

// TestStatic holds how static files are kept.
func TestStatic(t *testing.T) {
	logo := filepath.Join(t.TempDir(), "logo.svg")
	if err := os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSite(t, func(c *app.Config) { c.ProductLogo, c.Accent = logo, "#ffd400" })
	home := s.open(t, "GET", web.LaunchPath).text
	style := between(home, `<link rel="stylesheet" href="`, `"`)
	image := between(home, `<img src="`, `"`)
	got := s.open(t, "GET", style)
	if got.Code != http.StatusOK || got.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(got.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d %v", style, got.Code, got.Header())
	}
	if !strings.Contains(got.text, "--bg:") || !strings.Contains(got.text, ":root{--accent:#") || strings.Contains(got.text, "@import") || strings.Contains(got.text, "url(http") {
		t.Errorf("%s is not the whole style", style)
	}
	if again := s.open(t, "GET", style, "If-None-Match", got.Header().Get("ETag")); again.Code != http.StatusNotModified || again.text != "" {
		t.Errorf("asked again: %d", again.Code)
	}
	path, _, _ := strings.Cut(style, "?")
	if other := s.open(t, "GET", path+"?0123456789abcdef"); other.Code != http.StatusOK || other.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("under the hash of another server: %d %q", other.Code, other.Header().Get("Cache-Control"))
	}
	// An image cannot run what is in it, wherever it is opened.
	if got := s.open(t, "GET", image); got.Header().Get("Content-Type") != "image/svg+xml" || !strings.Contains(got.Header().Get("Content-Security-Policy"), "sandbox") ||
		strings.Contains(got.Header().Get("Content-Security-Policy"), "script") {
		t.Errorf("%s: %v", image, got.Header())
	}
	// The one script that other sites load.
	embed := s.open(t, "GET", "/static/embed.js")
	if embed.Code != http.StatusOK || embed.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || embed.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("embed.js: %d %v", embed.Code, embed.Header())
	}
	if got := s.open(t, "GET", style); got.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("other sites may read the style")
	}
	for _, none := range []string{"/static/", "/static/css/10-base.css", "/static/../web.go", "/static/%2e%2e/web.go", "/static/templates/layout.html"} {
		if got := s.open(t, "GET", none); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", none, got.Code)
		}
	}
}

// between is what a text has between two others.
func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	out, _, _ := strings.Cut(rest, after)
	return out
}

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://app.example.com": "https://app.example.com", "http://localhost:3000": "http://localhost:3000",
		"https://*.Example.com": "https://*.example.com", "https://[::1]:8443": "https://[::1]:8443",
	} {
		if got, err := web.ParseOrigin(text); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "*", "app.example.com", "https://", "https://*", "https://*.", "https://a.*.example.com", "https://app.example.com/", "https://app.example.com/x", "https://app.example.com?x",
		"https://app.example.com#", "https://u:p@app.example.com", "ftp://app.example.com", "'self'", "https://app.example.com; script-src *", "https://app.example.com https://evil.example", "https://a,b", "javascript:alert(1)", "https://app.example.com:x",
	} {
		if got, err := web.ParseOrigin(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestParseLogo(t *testing.T) {
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("\x00", 20)
	for data, want := range map[string]string{
		png: "image/png", "\xff\xd8\xff\xe0": "image/jpeg", "RIFF\x00\x00\x00\x00WEBPVP8 ": "image/webp",
		`<svg xmlns="http://www.w3.org/2000/svg"/>`:                                 "image/svg+xml",
		"<?xml version=\"1.0\"?>\n<!-- made by hand -->\n<svg><path d=\"\"/></svg>": "image/svg+xml",
	} {
		if got, err := web.ParseLogo([]byte(data)); err != nil || got.Type != want {
			t.Errorf("%.20q: %+v, %v", data, got, err)
		}
	}
	for _, data := range []string{"", "hello", "<html></html>", "<svg>", "<svg></svg", "GIF89a", png + strings.Repeat("x", web.MaxLogoBytes)} {
		if got, err := web.ParseLogo([]byte(data)); err == nil {
			t.Errorf("%.20q is %s", data, got.Type)
		}
	}
}
