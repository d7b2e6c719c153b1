package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// Limits of what a portal link carries: all of it is in the link's address.
const (
	maxPersonBytes    = 256
	maxReturnURLBytes = 2048
)

// newPortalLink is what may be said of a portal link.
type newPortalLink struct {
	Intent    string          `json:"intent"`
	Role      auth.PersonRole `json:"role"`
	Person    *personBody     `json:"person"`
	ReturnURL string          `json:"return_url"`
	// ExpiresIn is in seconds.
	ExpiresIn *int `json:"expires_in"`
}

type personBody struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// portalLinkAnswer is a portal link in an answer.
type portalLinkAnswer struct {
	URL       string          `json:"url"`
	ExpiresAt stamp           `json:"expires_at"`
	Intent    string          `json:"intent"`
	Role      auth.PersonRole `json:"role"`
	Person    *personBody     `json:"person,omitempty"`
	ReturnURL string          `json:"return_url,omitempty"`
}

// createPortalLink makes a one-time link that lets a person of the organization
// into the pages.
func (a *api) createPortalLink(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body newPortalLink
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	life, err := body.check()
	if err != nil {
		return err
	}
	portal := auth.Portal{
		Organization: r.Org(), Intent: body.Intent, Role: body.Role, ReturnURL: body.ReturnURL,
		Expires: a.Now().Add(life).UTC().Truncate(time.Millisecond),
	}
	if body.Person != nil {
		portal.PersonID, portal.PersonName = body.Person.ID, body.Person.Name
	}
	token, err := a.Signer.SignPortal(portal)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store") // the link is a secret
	return server.WriteJSON(w, http.StatusCreated, portalLinkAnswer{
		URL: a.baseURL(r) + a.PortalPath(token), ExpiresAt: stamp(portal.Expires),
		Intent: portal.Intent, Role: portal.Role, Person: body.Person, ReturnURL: portal.ReturnURL,
	})
}

// check fills in what was not said, and names the first member that is wrong.
func (b *newPortalLink) check() (life time.Duration, err error) {
	bad := func(field, format string, args ...any) error {
		return audit.FieldErrorf(audit.CodeInvalidRequest, field, format, args...)
	}
	if b.Intent == "" {
		b.Intent = auth.IntentAuditLogs
	}
	if !auth.KnownIntent(b.Intent) {
		return 0, bad("/intent", "must be audit_logs, log_streams or exports")
	}
	if b.Role == "" {
		b.Role = auth.RoleFor(b.Intent)
	}
	switch {
	case b.Role != auth.PersonViewer && b.Role != auth.PersonManager:
		return 0, bad("/role", "must be viewer or manager")
	case b.Intent == auth.IntentLogStreams && b.Role != auth.PersonManager:
		return 0, bad("/role", "must be manager: log streams are for managers only")
	case !webAddress(b.ReturnURL):
		return 0, bad("/return_url", "must be an address that begins with https:// or http://, of at most %d bytes", maxReturnURLBytes)
	}
	if p := b.Person; p != nil {
		if p.ID == "" || !personText(p.ID) {
			return 0, bad("/person/id", "must be the product's id of the person: 1 to %d bytes, no control characters", maxPersonBytes)
		}
		if !personText(p.Name) {
			return 0, bad("/person/name", "must have at most %d bytes and no control characters", maxPersonBytes)
		}
	}
	if b.ExpiresIn == nil {
		return auth.MaxLinkLife, nil
	}
	if most := int(auth.MaxLinkLife / time.Second); *b.ExpiresIn < 1 || *b.ExpiresIn > most {
		return 0, bad("/expires_in", "must be 1 to %d seconds: make a new link each time somebody asks for one", most)
	}
	return time.Duration(*b.ExpiresIn) * time.Second, nil
}

func personText(s string) bool {
	return len(s) <= maxPersonBytes && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// webAddress says whether a page may link to it; "" is no address.
func webAddress(raw string) bool {
	if raw == "" {
		return true
	}
	u, err := url.Parse(raw)
	return err == nil && len(raw) <= maxReturnURLBytes && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
