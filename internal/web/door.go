package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// DemoPath is the demo's way in; its address is signed.
const DemoPath = "/portal/demo"

// Demo is who the demo lets in.
type Demo struct {
	Organization, PersonID, PersonName string
}

func (p *pages) doorRoutes() []server.Route {
	routes := []server.Route{
		{Name: "portal.launch", Method: http.MethodGet, Pattern: LaunchPath, Access: auth.Public(), Handler: p.launch},
		{Name: "home", Method: http.MethodGet, Pattern: Base, Access: auth.Person(), Handler: p.home},
		{Name: "home.slash", Method: http.MethodGet, Pattern: Base + "/{$}", Access: auth.Person(), Handler: p.home},
		post("sign_out", "sign-out", auth.Person(), p.signOut),
	}
	if p.Demo != nil {
		routes = append(routes, server.Route{
			Name: "portal.demo", Method: http.MethodGet, Pattern: DemoPath, Access: auth.Signed(auth.PurposeDemo), Handler: p.demo,
		})
	}
	return routes
}

// launch turns a portal link into a session. Only a person's own click does:
// browsers that fetch ahead, and programs that look at what a link leads to, must
// not use it up.
func (p *pages) launch(w http.ResponseWriter, r *server.Request) error {
	token := r.URL.Query().Get("token")
	if r.Method == http.MethodHead || fetchesAhead(r.Header) {
		if _, err := p.Signer.VerifyPortal(token); err != nil {
			return err
		}
		if r.Method != http.MethodHead {
			w.WriteHeader(http.StatusTooEarly) // so that the browser asks again
		}
		return nil
	}
	cookie, session, err := p.Sessions.Redeem(r.Context(), token)
	if err != nil {
		return err
	}
	return p.enter(w, r, cookie, session)
}

// fetchesAhead says that a browser fetches a page that nobody asked for yet.
func fetchesAhead(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if strings.HasPrefix(strings.ToLower(h.Get(name)), "pre") { // prefetch, prerender, preview
			return true
		}
	}
	return false
}

// demo makes a session for whoever has the demo's address.
func (p *pages) demo(w http.ResponseWriter, r *server.Request) error {
	cookie, session, err := p.Sessions.Open(r.Context(), auth.Portal{
		Organization: p.Demo.Organization, Intent: auth.IntentAuditLogs, Role: auth.PersonManager,
		PersonID: p.Demo.PersonID, PersonName: p.Demo.PersonName,
	})
	if err != nil {
		return err
	}
	return p.enter(w, r, cookie, session)
}

// enter hands the session out and goes to the page that the link was made for.
func (p *pages) enter(w http.ResponseWriter, r *server.Request, cookie string, s *auth.Session) error {
	c := p.newCookie(server.SessionCookie, cookie) //nolint:gosec // see newCookie
	// How long it lasts, not when it ends: the browser's clock may be another
	// than the server's.
	c.MaxAge = int(s.CookieLife().Sub(p.Now()) / time.Second)
	http.SetCookie(w, c)
	page := "audit-log"
	switch {
	case s.Intent == auth.IntentExports:
		page = "exports"
	case s.Intent == auth.IntentLogStreams && s.Manager():
		page = "log-streams" // which viewers may not see: they get the log
	}
	return p.goTo(w, r, page)
}

// home leads to the first page.
func (p *pages) home(w http.ResponseWriter, r *server.Request) error {
	return p.goTo(w, r, "audit-log")
}

// goTo leads to a page, in the mode that was asked for.
func (p *pages) goTo(w http.ResponseWriter, r *server.Request, page string) error {
	target := Base + "/" + page
	if r.URL.Query().Get("embed") == "1" {
		target += "?embed=1"
	}
	http.Redirect(w, r.Request, target, http.StatusSeeOther)
	return nil
}

// signOut ends the session.
func (p *pages) signOut(w http.ResponseWriter, r *server.Request) error {
	if err := p.Sessions.End(r.Context(), server.SessionOf(r.Request)); err != nil {
		return err
	}
	gone := p.newCookie(server.SessionCookie, "") //nolint:gosec // see newCookie
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	back := safeURL(r.Session.ReturnURL)
	r.Session, r.Organization = nil, nil
	return p.show(w, r, "notice", view{Title: "Signed out", Data: notice{
		Heading: "You are signed out", Advice: []string{"To see the audit log again, open it from " + p.product() + "."}, Back: back,
	}})
}
