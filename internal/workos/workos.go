// Package workos is the drop-in for the WorkOS Audit Logs API at the root path:
// a product that already records events with a WorkOS SDK changes the SDK's base
// URL and nothing else.
//
// What an SDK can see is the same: paths, bodies, statuses, error bodies, paging,
// and what is tolerated in requests. Where WorkOS documents nothing the package
// chooses, and docs/migrating-from-workos.md says what. An event recorded here
// becomes an ordinary entry: the body is rewritten into the native form, which
// package event decodes, and goes the same way through schema and ledger.
package workos

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// Deps is what the routes work with. All are required.
type Deps struct {
	Ledger  *ledger.Ledger
	Catalog *catalog.Catalog
	Schemas *schema.Registry
	Exports *export.Exports
	Streams *stream.Streams
	// Retention is how changes of it are made and recorded.
	Retention *retention.Retention
	// Erasures ends those of an organization that is deleted.
	Erasures *erasure.Erasures
	Signer   *auth.Signer
	// PortalURL is the address under which a portal token opens the portal.
	PortalURL func(token string) string
	// PublicURL is how clients reach the server, such as
	// "https://audit.example.com", for links in answers.
	PublicURL string
	Now       func() time.Time
}

// dropIn holds what the handlers share.
type dropIn struct {
	Deps
	intakes sync.Pool // of *intake
}

// New returns the routes, and answers whatever path no other surface claims.
func New(d Deps) server.Surface {
	d.PublicURL = strings.TrimSuffix(d.PublicURL, "/")
	w := &dropIn{Deps: d}
	w.intakes.New = func() any { return newIntake() }
	return server.Surface{
		Name:     "workos",
		Prefixes: []string{"/"},
		Errors:   fail,
		Routes:   w.routes(),
	}
}

// routes is the table of the drop-in. Package auth says what each Access means.
func (w *dropIn) routes() []server.Route {
	const (
		get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete

		actions = "/audit_logs/actions"
		schemas = actions + "/{action...}/schemas"
		exports = "/audit_logs/exports"
		orgs    = "/organizations"
		org     = orgs + "/{org}"
	)
	var (
		admin  = auth.Need(auth.RoleAdmin)
		anyOrg = auth.Need(auth.RoleReader, auth.RoleWriter)
		anyKey = auth.Shared(auth.RoleReader, auth.RoleWriter)
		find   = auth.Scoped(auth.RoleReader, auth.RoleWriter)
		send   = auth.Scoped(auth.RoleWriter).WritesLog()
		share  = auth.Scoped(auth.RoleReader).SharesLog()
		invite = auth.Scoped(auth.RoleAdmin).SharesLog()
	)
	return []server.Route{
		{Name: "workos.events.create", Method: post, Pattern: "/audit_logs/events", Access: send, Handler: w.createEvent},
		{Name: "workos.exports.create", Method: post, Pattern: exports, Access: share, Handler: w.createExport},
		{Name: "workos.exports.get", Method: get, Pattern: exports + "/{id}", Access: share, Handler: w.getExport},

		{Name: "workos.actions.list", Method: get, Pattern: actions, Access: anyKey, Handler: w.listActions},
		{Name: "workos.schemas.create", Method: post, Pattern: schemas, Access: admin, Handler: w.createSchema},
		{Name: "workos.schemas.list", Method: get, Pattern: schemas, Access: anyKey, Handler: w.listSchemas},

		{Name: "workos.organizations.create", Method: post, Pattern: orgs, Access: admin, Handler: w.createOrganization},
		{Name: "workos.organizations.list", Method: get, Pattern: orgs, Access: find, Handler: w.listOrganizations},
		{Name: "workos.organizations.external", Method: get, Pattern: orgs + "/external_id/{external_id}", Access: find, Handler: w.findOrganization},
		{Name: "workos.organizations.get", Method: get, Pattern: org, Access: anyOrg, Handler: w.getOrganization},
		{Name: "workos.organizations.update", Method: put, Pattern: org, Access: admin, Handler: w.updateOrganization},
		{Name: "workos.organizations.delete", Method: del, Pattern: org, Access: admin, Handler: w.deleteOrganization},

		{Name: "workos.configuration", Method: get, Pattern: org + "/audit_log_configuration", Access: anyOrg, Handler: w.getConfiguration},
		{Name: "workos.retention.get", Method: get, Pattern: org + "/audit_logs_retention", Access: anyOrg, Handler: w.getRetention},
		{Name: "workos.retention.set", Method: put, Pattern: org + "/audit_logs_retention", Access: admin, Handler: w.setRetention},

		{Name: "workos.portal.link", Method: post, Pattern: "/portal/generate_link", Access: invite, Handler: w.generateLink},
	}
}
