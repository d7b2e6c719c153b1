package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stelehq/stele/internal/server"
)

// frame says which sites may show the pages inside theirs.
type frame struct {
	origins string // with spaces between; "" is none
	foreign bool   // whether one of them may be another site
}

// ParseOrigin reads what may be a frame's ancestor: https://app.example.com, with
// a port if need be, or https://*.example.com for every name below.
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	wrong := fmt.Errorf("%q must be http:// or https:// and a host, nothing more, such as https://app.example.com or https://*.example.com", text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return "", wrong
	}
	host := strings.TrimPrefix(u.Hostname(), "*.")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-:", c)
	}
	if host == "" || strings.ContainsFunc(host, func(c rune) bool { return !plain(c) }) || strings.ContainsFunc(u.Port(), func(c rune) bool { return c < '0' || c > '9' }) {
		return "", wrong
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

func newFrame(ancestors []string, publicURL string) frame {
	var f frame
	own, err := url.Parse(publicURL)
	if err != nil {
		panic("web: public URL: " + err.Error())
	}
	origins := make([]string, 0, len(ancestors))
	for _, text := range ancestors {
		origin, err := ParseOrigin(text)
		if err != nil {
			panic("web: frame ancestor: " + err.Error()) // Validate looked at it
		}
		at, err := url.Parse(origin)
		f.foreign = f.foreign || err != nil || at.Hostname() != own.Hostname()
		origins = append(origins, origin)
	}
	f.origins = strings.Join(origins, " ")
	return f
}

// policy forbids a page everything but its own files, data: images and the frames
// that it may be shown in.
func (f *frame) policy() string {
	ancestors := "'none'"
	if f.origins != "" {
		ancestors = "'self' " + f.origins
	}
	return "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors " + ancestors
}

// protect sets the headers of pages.
func (p *pages) protect(h http.Header) {
	h.Set("Content-Security-Policy", p.frame.policy())
	if p.frame.origins == "" {
		h.Set("X-Frame-Options", "DENY") // which knows no list of sites
	}
	// To this server alone: with no-referrer, browsers also send forms with
	// the origin "null", as if they came from elsewhere.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// embedCookie remembers the mode for browsers that do not say where a page is
// shown.
const embedCookie = "stele_embed"

// embedded says whether a page is shown inside another one: without a header of
// its own. Browsers say so with every page that they load into a frame, so that
// links need not; where they do not, as without TLS, a cookie does.
func embedded(r *server.Request) bool {
	switch r.URL.Query().Get("embed") {
	case "1":
		return true
	case "0":
		return false
	}
	if r.Header.Get("Sec-Fetch-Dest") != "" {
		return framed(r)
	}
	c, err := r.Cookie(embedCookie)
	return err == nil && c.Value == "1"
}

// framed reports whether the browser says that it loads a page into a frame.
func framed(r *server.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "iframe" || dest == "frame"
}

// noteEmbed keeps the mode that the address asks for, where the browser will not
// say it.
func (p *pages) noteEmbed(w http.ResponseWriter, r *server.Request) {
	if mode := r.URL.Query().Get("embed"); mode != "" {
		p.keepEmbed(w, r, mode == "1")
	}
}

// keepEmbed keeps the mode, or ends it.
func (p *pages) keepEmbed(w http.ResponseWriter, r *server.Request, on bool) {
	if r.Header.Get("Sec-Fetch-Dest") != "" {
		return
	}
	c := p.newCookie(embedCookie, "1") //nolint:gosec // see newCookie
	if !on {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
}

// newCookie is a cookie of the pages.
//
// In a frame of another site, browsers send only cookies with SameSite=None,
// which must be Secure, and Partitioned keeps those apart by the site around.
// What SameSite=Lax would refuse is refused by the server too: see
// server.Config.PublicURL.
func (p *pages) newCookie(name, value string) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure when people come by https
		Name: name, Value: value, Path: Base, HttpOnly: true,
		Secure: strings.HasPrefix(p.PublicURL, "https:"), SameSite: http.SameSiteLaxMode,
	}
	if p.frame.foreign && c.Secure {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	return c
}
