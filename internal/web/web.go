// Package web holds the pages people see: server-rendered templates, one
// stylesheet, no build step, no script, no request to any other host.
//
// For now it answers portal links: the link is checked and a plain page says
// what it opens.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

//go:embed templates static
var files embed.FS

// LaunchPath is where a portal link leads; the token is in its query.
const LaunchPath = "/portal/launch"

// policy forbids a page everything but its own stylesheet.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// Deps is what the pages read. All are required.
type Deps struct {
	Catalog *catalog.Catalog
	Signer  *auth.Signer
	Now     func() time.Time
}

// LaunchURL is the portal link for a token, under the server's public address.
func LaunchURL(publicURL, token string) string {
	return publicURL + LaunchPath + "?token=" + url.QueryEscape(token)
}

// New makes the pages.
func New(deps Deps) server.Surface {
	p := &pages{Deps: deps, templates: template.Must(template.ParseFS(files, "templates/*.html"))}
	return server.Surface{
		Name:     "web",
		Prefixes: []string{LaunchPath, "/static"},
		Errors:   p.fail,
		Routes: []server.Route{
			{Name: "portal.launch", Method: http.MethodGet, Pattern: LaunchPath, Access: auth.Public(), Handler: p.launch},
			{Name: "static.style", Method: http.MethodGet, Pattern: "/static/stele.css", Access: auth.Public(), Handler: p.style, Quiet: true},
		},
	}
}

type pages struct {
	Deps
	templates *template.Template
}

// launchPage is what launch.html shows.
type launchPage struct {
	Title, Organization, Intent string
	// Retention is how long entries are kept, in words.
	Retention string
	Since     time.Time
	ReturnURL string
}

// intents are the words for what a portal link opens.
func intentWords(intent string) string {
	switch intent {
	case "audit_logs":
		return "the audit log"
	case "log_streams":
		return "log streams"
	default:
		return "security settings"
	}
}

// launch shows what a portal link opens.
func (p *pages) launch(w http.ResponseWriter, r *server.Request) error {
	portal, err := p.Signer.VerifyPortal(r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	org, err := p.Catalog.Organization(r.Context(), portal.Organization)
	if err != nil {
		return err
	}
	if org.State == catalog.StateInactive {
		return audit.Errorf(audit.CodeLogInactive, "the audit log of this organization is not switched on")
	}
	retention := fmt.Sprintf("%d days", org.RetentionDays)
	if org.RetentionDays == catalog.RetainForever {
		retention = "as long as the organization exists"
	}
	return p.render(w, http.StatusOK, "launch.html", launchPage{
		Title: "Audit log", Organization: org.Name, Intent: intentWords(portal.Intent),
		Retention: retention, Since: org.HistoryStart.UTC(), ReturnURL: safeURL(portal.ReturnURL),
	})
}

// safeURL drops what is not a plain web address, so that a link cannot run.
func safeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ""
	}
	return u.String()
}

func (p *pages) style(w http.ResponseWriter, _ *server.Request) error {
	css, err := files.ReadFile("static/stele.css")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, err = w.Write(css)
	return err
}

// failPage is what fail.html shows.
type failPage struct {
	Title, Heading, Advice, RequestID string
}

// fail answers with a kind page: what happened and what to do.
func (p *pages) fail(w http.ResponseWriter, r *server.Request, f server.Failure) {
	page := failPage{
		Title: "This link does not work", Heading: "This link does not work",
		Advice: "Go back to the product you came from and open its audit log again: it makes a new link.", RequestID: r.ID,
	}
	switch f.Error.Code {
	case audit.CodeGone:
		page.Heading = "This link has expired"
	case audit.CodeLogInactive:
		page.Heading = "The audit log is not switched on"
		page.Advice = "What happens is recorded, and will be there when it is switched on. Ask the product's support."
	case audit.CodeInternal:
		page.Heading = "Something went wrong on our side"
		page.Advice = "Nothing is lost. Try again in a moment; if it goes on, tell the product's support the request id below."
	}
	if err := p.render(w, f.Status, "fail.html", page); err != nil {
		http.Error(w, page.Heading, f.Status)
	}
}

// render writes a page whole or not at all.
func (p *pages) render(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := p.templates.ExecuteTemplate(&page, name, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer") // the token is in the address
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := page.WriteTo(w)
	return err
}
