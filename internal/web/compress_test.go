package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web"
)

// TestCompression: whoever reads gzip gets it, of pages and of files, and it is
// the same as for others.
func TestCompression(t *testing.T) {
	s := openSite(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Ada")
	plain := v.get("/event-types")
	style := between(plain.text, `href="`+"/static/stele.css", `"`)
	for _, path := range []string{web.Base + "/event-types", "/static/stele.css" + style} {
		get := func(accept string) page { return s.fetch(t, v.cookie, path, accept) }
		plain := get("br")
		for accept, want := range map[string]bool{
			"": false, "gzip": true, "br, GZIP": true, "deflate, gzip;q=1.0, *;q=0.5": true, "gzip; q=0": false, "gzip;q=0.000": false,
			"x-gzip": false, "identity": false, "gzip;q=0.001": true,
		} {
			p := get(accept)
			if got := p.Header().Get("Content-Encoding") == "gzip"; got != want || !strings.Contains(strings.Join(p.Header().Values("Vary"), ","), "Accept-Encoding") {
				t.Errorf("%s: %q is answered with %v, headers %v", path, accept, got, p.Header())
			}
			if !want {
				continue
			}
			if p.Body.Len() > plain.Body.Len()/2 {
				t.Errorf("%s: %d bytes of %d", path, p.Body.Len(), plain.Body.Len())
			}
			if text := unzip(t, p.Body.Bytes()); spaceless(visible(text)) != spaceless(visible(plain.text)) {
				t.Errorf("%s: another text with gzip: %s", path, text)
			}
		}
	}
}

// TestOverTheWire holds that the first page of a full log, with everything that a
// browser loads for it, is below 60 kB as sent.
func TestOverTheWire(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 500)...)
	v := s.enter(t, "ours", auth.PersonManager, "u_1", "Ada")
	first := s.fetch(t, v.cookie, web.Base+"/audit-log", "gzip, deflate, br, zstd")
	text := unzip(t, first.Body.Bytes())
	if first.Code != http.StatusOK || !strings.Contains(text, "api_key.created") || !strings.Contains(text, "</html>") {
		t.Fatalf("%d %s", first.Code, text)
	}
	total, seen := first.Body.Len(), map[string]bool{}
	for _, name := range regexp.MustCompile(`/static/[^"#]+`).FindAllString(text, -1) {
		if seen[name] {
			continue
		}
		seen[name] = true
		got := s.fetch(t, v.cookie, name, "gzip")
		if got.Code != http.StatusOK {
			t.Errorf("%s: %d", name, got.Code)
		}
		total += got.Body.Len()
	}
	if t.Logf("%d bytes in %d requests", total, 1+len(seen)); len(seen) < 3 || total > 60_000 {
		t.Errorf("%d bytes in %d requests", total, 1+len(seen))
	}
}

func unzip(t testing.TB, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fetch asks for any path.
func (s *site) fetch(t testing.TB, cookie, path, accept string) page {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Accept-Encoding", accept)
	r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: cookie})
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return page{rec, rec.Body.String()}
}

// TestMaskedCSRF: what a page carries is another text each time, and each of them
// is taken.
func TestMaskedCSRF(t *testing.T) {
	s := openSite(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Ada")
	secret := v.csrf
	seen := map[string]bool{}
	for range 3 {
		p := v.get("/exports")
		if strings.Contains(p.text, secret) {
			t.Error("the page has the secret itself")
		}
		token := between(p.text, `<meta name="csrf" content="`, `">`)
		if seen[token] {
			t.Errorf("%q again", token)
		}
		seen[token] = true
	}
	flip := func(token string) string { return "A" + "B" + token[2:] }
	for token := range seen {
		v.csrf = flip(token)
		if p := v.post("/sign-out", map[string][]string{}); p.Code != http.StatusForbidden {
			t.Errorf("an altered text: status %d", p.Code)
		}
	}
	for token := range seen {
		v.csrf = token
		if p := v.post("/sign-out", map[string][]string{}); p.Code != http.StatusOK {
			t.Errorf("status %d: %s", p.Code, p.text)
		}
		break
	}
}
