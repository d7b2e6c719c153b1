package web

import (
	"net/http"
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
		post("sign_out", "sign-out", auth.Person(), p.signOut),
	}
	if p.Demo != nil {
		routes = append(routes, server.Route{
			Name: "portal.demo", Method: http.MethodGet, Pattern: DemoPath, Access: auth.Signed(auth.PurposeDemo), Handler: p.demo,
		})
	}
	return routes
}

// launch turns a portal link into a session.
func (p *pages) launch(w http.ResponseWriter, r *server.Request) error {
	cookie, session, err := p.Sessions.Redeem(r.Context(), r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	return p.enter(w, r, cookie, session)
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
	http.SetCookie(w, p.cookie(cookie, s.ExpiresAt))
	page := "/audit-log"
	switch s.Intent {
	case auth.IntentExports:
		page = "/exports"
	}
	target := Base + page
	if r.URL.Query().Get("embed") == "1" {
		target += "?embed=1"
	}
	http.Redirect(w, r.Request, target, http.StatusSeeOther)
	return nil
}

// cookie is the session cookie. It says how long it lasts, not when it ends:
// the browser's clock may be another than the server's.
func (p *pages) cookie(value string, expires time.Time) *http.Cookie {
	left := int(expires.Sub(p.Now()) / time.Second)
	return &http.Cookie{ //nolint:gosec // Secure when people come by https
		Name: server.SessionCookie, Value: value, Path: Base, MaxAge: left,
		HttpOnly: true, Secure: strings.HasPrefix(p.PublicURL, "https:"), SameSite: http.SameSiteLaxMode,
	}
}

// signOut ends the session.
func (p *pages) signOut(w http.ResponseWriter, r *server.Request) error {
	if err := p.Sessions.End(r.Context(), server.SessionOf(r.Request)); err != nil {
		return err
	}
	gone := p.cookie("", time.Time{})
	http.SetCookie(w, gone)
	back := safeURL(r.Session.ReturnURL)
	r.Session, r.Organization = nil, nil
	return p.show(w, r, "notice", view{Title: "Signed out", Data: notice{
		Heading: "You are signed out", Advice: "To see the audit log again, open it from your product.", Back: back,
	}})
}

// notice is a page that only says something.
type notice struct {
	Heading, Advice, Back, RequestID string
}

// fail answers with a kind page: what happened and what to do.
func (p *pages) fail(w http.ResponseWriter, r *server.Request, f server.Failure) {
	n := noticeOf(f.Error)
	n.RequestID = r.ID
	if err := p.show(w, r, "notice", view{Title: n.Heading, Status: f.Status, Data: n}); err != nil {
		http.Error(w, n.Heading, f.Status)
	}
}

func noticeOf(err *audit.Error) notice {
	const again = "Go back to your product and open the audit log again: it makes a new link."
	switch err.Code {
	case audit.CodeGone:
		return notice{Heading: "This link has expired", Advice: again}
	case audit.CodeConflict:
		return notice{Heading: "This link was already used", Advice: "Each link opens once. " + again}
	case audit.CodeUnauthorized:
		return notice{Heading: "Your session has ended", Advice: again}
	case audit.CodeLogInactive:
		return notice{Heading: "The audit log is not switched on", Advice: "What happens is recorded, and will be there when it is switched on. Ask the product's support."}
	case audit.CodeNotFound:
		return notice{Heading: "There is nothing here", Advice: "The address may be mistyped, or the entry may be another organization's."}
	case audit.CodeForbidden:
		return notice{Heading: "This does not work", Advice: err.Message + ". " + again}
	case audit.CodeInternal, audit.CodeUnavailable, audit.CodeOverloaded:
		return notice{Heading: "Something went wrong on our side", Advice: "Nothing is lost. Try again in a moment; if it goes on, tell the product's support the request id below."}
	}
	return notice{Heading: "This does not work", Advice: err.Message}
}
