// Package api is the native JSON API of Stele under /v1: organizations, events,
// the log with its proofs, schemas, exports, streams and keys. openapi.json beside this
// file is the contract; tests hold every route and every answer to it.
//
// Handlers decode, ask the package that knows, and write; errors go to the
// wrapper in package server, which answers with RFC 9457 problem documents.
package api

import (
	"cmp"
	"context"
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
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// Deps is what the API works with. All fields but PublicURL are required.
type Deps struct {
	Ledger  *ledger.Ledger
	Engine  search.Engine
	Catalog *catalog.Catalog
	Auth    *auth.Authenticator
	Signer  *auth.Signer
	Schemas *schema.Registry
	Exports *export.Exports
	Streams *stream.Streams
	// Witnessed returns the newest checkpoint of a log that a quorum of
	// witnesses has signed; not_found (audit.Error) when there is none.
	Witnessed func(ctx context.Context, org string) ([]byte, error)
	// Retention knows how long entries are kept, and legal holds.
	Retention *retention.Retention
	// Erasures takes people out of logs.
	Erasures *erasure.Erasures
	// PublicURL is where clients reach the server, such as
	// "https://audit.example.com", for links in answers. Empty means the
	// scheme and host of the request that asks.
	PublicURL string
	// PortalPath is the path, with its query, that opens a portal token.
	PortalPath func(token string) string
	Now        func() time.Time

	tailBeat time.Duration // tailBeat unless a test says otherwise
}

// api holds what the handlers share.
type api struct {
	Deps
	ingests sync.Pool // of *ingest
	answers sync.Pool // of *[]byte
}

// New returns the API's routes.
func New(d Deps) server.Surface {
	d.tailBeat = cmp.Or(d.tailBeat, tailBeat)
	d.PublicURL = strings.TrimSuffix(d.PublicURL, "/")
	a := &api{Deps: d}
	a.ingests.New = func() any { return newIngest() }
	a.answers.New = func() any { return new([]byte) }
	return server.Surface{
		Name:     "api",
		Prefixes: []string{"/v1", "/openapi.json"},
		Errors:   server.Problem,
		Routes:   a.routes(),
	}
}

// routes is the table of the API. Package auth says what each Access means.
func (a *api) routes() []server.Route {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete

		orgs    = "/v1/organizations"
		org     = orgs + "/{org}"
		schemas = "/v1/schemas"
		keys    = "/v1/keys"
	)
	var (
		admin   = auth.Need(auth.RoleAdmin)
		send    = auth.Need(auth.RoleWriter).WritesLog()
		read    = auth.Need(auth.RoleReader).ReadsLog()
		share   = auth.Need(auth.RoleReader).SharesLog()
		invite  = auth.Need(auth.RoleAdmin).SharesLog()
		anyKey  = auth.Shared(auth.RoleReader, auth.RoleWriter)
		anyOrg  = auth.Need(auth.RoleReader, auth.RoleWriter)
		ownKeys = auth.Scoped(auth.RoleAdmin)
	)
	routes := append(a.streamRoutes("streams", org+"/streams"), a.streamRoutes("operator_streams", "/v1/streams")...)
	routes = append(routes, a.retentionRoutes(org)...)
	routes = append(routes, a.erasureRoutes(org)...)
	return append(routes, []server.Route{
		{Name: "streams.kinds", Method: get, Pattern: "/v1/stream-kinds", Access: anyKey, Handler: a.listStreamKinds},

		{Name: "organizations.create", Method: post, Pattern: orgs, Access: admin, Handler: a.createOrganization},
		{Name: "organizations.list", Method: get, Pattern: orgs, Access: auth.Scoped(auth.RoleReader, auth.RoleWriter), Handler: a.listOrganizations},
		{Name: "organizations.get", Method: get, Pattern: org, Access: anyOrg, Handler: a.getOrganization},
		{Name: "organizations.update", Method: patch, Pattern: org, Access: admin, Handler: a.updateOrganization},
		{Name: "organizations.delete", Method: del, Pattern: org, Access: admin, Handler: a.deleteOrganization},

		{Name: "portal_links.create", Method: post, Pattern: org + "/portal-links", Access: invite, Handler: a.createPortalLink},

		{Name: "events.append", Method: post, Pattern: org + "/events", Access: send, Handler: a.appendEvents},
		{Name: "events.list", Method: get, Pattern: org + "/events", Access: read, Handler: a.listEvents},
		{Name: "events.tail", Method: get, Pattern: org + "/events/tail", Access: read, Handler: a.tailEvents},
		{Name: "events.get", Method: get, Pattern: org + "/events/{id}", Access: read, Handler: a.getEvent},
		{Name: "events.proof", Method: get, Pattern: org + "/events/{id}/proof", Access: read, Handler: a.proveEvent},
		{Name: "events.histogram", Method: get, Pattern: org + "/histogram", Access: read, Handler: a.histogram},
		{Name: "events.facets", Method: get, Pattern: org + "/facets", Access: read, Handler: a.facets},

		{Name: "log.checkpoint", Method: get, Pattern: org + "/log/checkpoint", Access: read, Handler: a.checkpoint},
		{Name: "log.consistency", Method: get, Pattern: org + "/log/consistency", Access: read, Handler: a.consistency},
		{Name: "log.tile", Method: get, Pattern: org + "/log/tile/{path...}", Access: read, Handler: a.tile},
		{Name: "log.vkey", Method: get, Pattern: org + "/log/vkey", Access: read, Handler: a.logKey},
		{Name: "server.vkey", Method: get, Pattern: "/v1/log/vkey", Access: auth.Public(), Handler: a.serverKey},

		{Name: "exports.create", Method: post, Pattern: org + "/exports", Access: share, Handler: a.createExport},
		{Name: "exports.list", Method: get, Pattern: org + "/exports", Access: share, Handler: a.listExports},
		{Name: "exports.get", Method: get, Pattern: org + "/exports/{id}", Access: share, Handler: a.getExport},
		{Name: "exports.download", Method: get, Pattern: export.LinkPrefix + "{file}", Access: auth.Signed(auth.PurposeDownload).SharesLog(), Handler: a.download},

		{Name: "schemas.register", Method: post, Pattern: schemas, Access: admin, Handler: a.registerSchema},
		{Name: "schemas.list", Method: get, Pattern: schemas, Access: anyKey, Handler: a.listSchemas},
		{Name: "schemas.apply", Method: post, Pattern: schemas + "/apply", Access: admin, Handler: a.applySchemas},
		{Name: "schemas.versions", Method: get, Pattern: schemas + "/{action}", Access: anyKey, Handler: a.schemaVersions},
		{Name: "schemas.compare", Method: get, Pattern: schemas + "/{action}/compare", Access: anyKey, Handler: a.compareSchemas},
		{Name: "schemas.get", Method: get, Pattern: schemas + "/{action}/{version}", Access: anyKey, Handler: a.getSchema},

		{Name: "keys.create", Method: post, Pattern: keys, Access: ownKeys, Handler: a.createKey},
		{Name: "keys.list", Method: get, Pattern: keys, Access: ownKeys, Handler: a.listKeys},
		{Name: "keys.get", Method: get, Pattern: keys + "/{id}", Access: ownKeys, Handler: a.getKey},
		{Name: "keys.revoke", Method: del, Pattern: keys + "/{id}", Access: ownKeys, Handler: a.revokeKey},

		{Name: "openapi", Method: get, Pattern: "/openapi.json", Access: auth.Public(), Handler: openAPI, Quiet: true},
	}...)
}
