package web

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
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
		{Name: "portal.spent", Method: http.MethodGet, Pattern: spentPath, Access: auth.Public(), Handler: p.spent},
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
	if code := codeOf(err); code == audit.CodeConflict || code == audit.CodeGone {
		return p.goTo(w, r, path.Base(spentPath), url.Values{"token": {token}, "why": {string(code)}})
	}
	if err != nil {
		return err
	}
	return p.enter(w, r, cookie, session)
}

// spentPath is where a link leads that was used or has expired. It is below Base,
// where browsers send the session's cookie, so that whoever opens a link twice can
// go on with the session that they have.
const spentPath = Base + "/link"

// spent says what is the matter with such a link. It opens nothing.
func (p *pages) spent(_ http.ResponseWriter, r *server.Request) error {
	params := r.URL.Query()
	if _, err := p.Signer.VerifyPortal(params.Get("token")); err != nil {
		return err
	}
	if params.Get("why") == string(audit.CodeGone) { // before its time, such as for somebody who was erased
		return audit.Errorf(audit.CodeGone, "this link does not work any more: ask for a new one")
	}
	return audit.Errorf(audit.CodeConflict, "this link was used already: each link opens once")
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
	p.keepEmbed(w, r, r.URL.Query().Get("embed") == "1") // whatever an earlier link asked for
	return p.goTo(w, r, firstPage(s), url.Values{})
}

// firstPage is the page that a session was made for.
func firstPage(s *auth.Session) string {
	switch {
	case s.Intent == auth.IntentExports:
		return "exports"
	case s.Intent == auth.IntentLogStreams && s.Manager():
		return "log-streams" // which viewers may not see: they get the log
	}
	return "audit-log"
}

// home leads to the first page.
func (p *pages) home(w http.ResponseWriter, r *server.Request) error {
	return p.goTo(w, r, "audit-log", url.Values{})
}

// goTo leads to a page with parameters, in the mode that was asked for. Where
// browsers say it with each page, no address has it: opened in a window of its own,
// a page of the frame has its header.
func (p *pages) goTo(w http.ResponseWriter, r *server.Request, page string, query url.Values) error {
	if r.URL.Query().Get("embed") == "1" && !framed(r) {
		query.Set("embed", "1")
	}
	target := url.URL{Path: Base + "/" + page, RawQuery: query.Encode()}
	p.protect(w.Header())
	http.Redirect(w, r.Request, target.String(), http.StatusSeeOther)
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
