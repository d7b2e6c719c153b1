package web

import (
	"net/http"
	"time"

	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// zoneCookie holds the time zone that times are shown in.
	zoneCookie = "stele_tz"
	// zoneLife is how long it does, in seconds.
	zoneLife = 365 * 24 * 60 * 60
	// paramKeep says that a zone was chosen for all pages. One in a link that
	// somebody was sent is for that view alone.
	paramKeep = "keep"
)

// Zone is the time zone that times are shown in.
type Zone struct {
	Location *time.Location
	// Label is its name, which is always printed.
	Label string
	// Unknown is what the address asks for instead, which is no time zone.
	Unknown string
}

// zone is the time zone of a request: the parameter tz, else the one that was
// chosen or the browser's as static/js/zone.js noted it, both in a cookie, else
// UTC.
func (p *pages) zone(r *server.Request) Zone {
	names := []string{r.URL.Query().Get("tz")}
	if c, err := r.Cookie(zoneCookie); err == nil {
		names = append(names, c.Value)
	}
	z := Zone{Location: time.UTC, Label: "UTC"}
	for i, name := range names {
		if name == "" {
			continue
		}
		if at, ok := logview.ZoneNamed(name); ok {
			z.Location, z.Label = at, at.String()
			break
		}
		if i == 0 {
			z.Unknown = name
		}
	}
	return z
}

// keepZone notes the zone that somebody chose, for all pages, and leads to the view
// without it in its address. It reports whether it did: what is no zone is for the
// page to say.
func (p *pages) keepZone(w http.ResponseWriter, r *server.Request) bool {
	params := r.URL.Query()
	zone, ok := logview.ZoneNamed(params.Get("tz"))
	if params.Get(paramKeep) != "1" || !ok {
		return false
	}
	c := p.newCookie(zoneCookie, zone.String()) //nolint:gosec // see newCookie
	c.HttpOnly, c.MaxAge = false, zoneLife      // scripts read it, and write the same
	if !embedded(r) {
		c.SameSite, c.Secure, c.Partitioned = http.SameSiteLaxMode, false, false
	}
	http.SetCookie(w, c)
	params.Del(paramKeep)
	params.Del("tz")
	p.lead(w, r, listPath+"?"+params.Encode())
	return true
}
