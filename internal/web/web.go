// Package web holds the pages people see under Settings > Security: templates
// rendered by the server, one stylesheet, small ES modules, no build step, and
// no request to any other host. Every page works without scripts.
//
// A portal link opens the door (door.go): it becomes a session, and from then on
// the organization is the session's, never the URL's. Each feature has its
// routes in a file of its own; pages.show puts templates/<name>.html into
// templates/layout.html, and pages.fragment renders a part of a page for scripts
// to put in place. Both give a template the same dot, see layout.
//
//	static/css/*.css     joined in the order of their names into /static/stele.css
//	static/js/*.js       ES modules; a page names those it uses in view.Scripts
//	templates/*.html     pages: each defines "main", and "head" if it needs it
//	templates/parts/     templates that pages share and fragments render
package web

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

//go:embed templates static
var files embed.FS

// LaunchPath is where a portal link leads; the token is in its query.
const LaunchPath = "/portal/launch"

// Base is what every page of a session is under; it is the session cookie's
// path too.
const Base = "/settings/security"

// Deps is what the pages read. All are required but Demo.
type Deps struct {
	Catalog   *catalog.Catalog
	Ledger    *ledger.Ledger
	Engine    search.Engine
	Exports   *export.Exports
	Streams   *stream.Streams
	Retention *retention.Retention
	Erasures  *erasure.Erasures
	Schemas   *schema.Registry
	Sessions  *auth.Sessions
	Signer    *auth.Signer
	Journal   Journal
	Brand     Brand
	PublicURL string
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	Now            func() time.Time
	// Demo lets whoever has the demo's address in; nil but in the demo.
	Demo *Demo
}

// Journal records what people do here as entries of the organization's own log.
type Journal interface {
	// Record is durable when it returns nil. It is never refused for want of a
	// schema. audit_log_disabled when the organization's log takes no events.
	Record(ctx context.Context, org string, e audit.Event) error
}

// pages is all pages. It does not change after New.
type pages struct {
	Deps
	openings  openings
	frame     frame
	logoURL   string // "" without
	assets    *assets
	parts     *template.Template            // layout and parts
	pages     map[string]*template.Template // by name, each with the parts
	following following
	counting  turns
}

// New makes the pages.
func New(deps Deps) server.Surface {
	p := &pages{Deps: deps}
	p.assets = loadAssets(files, deps.Brand.style())
	p.logoURL = p.assets.addLogo(deps.Brand.Logo)
	p.frame = newFrame(deps.Brand.FrameAncestors, deps.PublicURL)
	p.loadTemplates()
	return server.Surface{
		Name:     "web",
		Prefixes: []string{"/portal", "/settings", "/static"},
		Errors:   p.fail,
		Routes: slices.Concat(
			p.doorRoutes(), p.assetRoutes(),
			p.reading(p.logRoutes()), p.reading(p.entryRoutes()), p.exportRoutes(), p.typeRoutes(), p.settingRoutes(),
			p.streamRoutes(), p.holdRoutes(), p.erasureRoutes(),
		),
	}
}

// reading makes routes that show what is in the log record that it was opened.
func (p *pages) reading(routes []server.Route) []server.Route {
	for i := range routes {
		show := routes[i].Handler
		routes[i].Handler = func(w http.ResponseWriter, r *server.Request) error {
			p.opened(r)
			return show(w, r)
		}
	}
	return routes
}

// LaunchTarget is the path of the portal link for a token.
func LaunchTarget(token string) string { return LaunchPath + "?token=" + url.QueryEscape(token) }

// safeURL drops what is not a plain web address, so that a link cannot run.
func safeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ""
	}
	return u.String()
}

// get is a page of a session, for whoever access admits.
func get(name, path string, access auth.Access, h server.Handler) server.Route {
	return server.Route{Name: name, Method: http.MethodGet, Pattern: Base + "/" + path, Access: access, Handler: h}
}

// post is a form of a session.
func post(name, path string, access auth.Access, h server.Handler) server.Route {
	return server.Route{Name: name, Method: http.MethodPost, Pattern: Base + "/" + path, Access: access, Handler: h}
}
