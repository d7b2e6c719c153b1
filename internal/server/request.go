package server

import (
	"log/slog"
	"net/http"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
)

// Request is an HTTP request with what the wrapper found out about it. It is
// valid until the handler returns.
type Request struct {
	*http.Request
	// ID is the request's id, also in X-Request-ID, the log and error bodies.
	ID string
	// Route is the matched route; nil for 404 and 405.
	Route *Route
	// Identity is who asks; zero on public and signed routes.
	Identity auth.Identity
	// Session is the person's, on routes that need one; nil on others.
	Session *auth.Session
	// Organization is that of {org} or of the session, checked, or the last
	// one that AllowOrg allowed; nil without.
	Organization *catalog.Organization

	server *Server
	route  *route
	values []string // of route.params
	asked  bool     // whether the handler of a scoped route asked
	attrs  []slog.Attr
	body   *buffer // what ReadBody read; released after the handler
	raw    bodyReader
	writer *response

	segmentArray [16]string
	valueArray   [4]string
}

// PathValue returns what a wildcard of the pattern matched, decoded.
func (r *Request) PathValue(name string) string {
	if r.route == nil {
		return ""
	}
	for i, param := range r.route.params {
		if param == name {
			return r.values[i]
		}
	}
	return ""
}

// Org is the id in {org}.
func (r *Request) Org() string {
	if r.route == nil || r.route.org < 0 {
		return ""
	}
	return r.values[r.route.org]
}

// AllowOrg checks that the caller may use the route for an organization that is
// not in the path, and returns it. Errors are those of {org}: not_found whether
// it does not exist or belongs to others, audit_log_inactive and
// audit_log_disabled as the route's Access says.
//
// When the id comes from a record that the caller named, such as an export, ask
// Opens first and answer that the record does not exist: the error of AllowOrg
// would tell that it does.
func (r *Request) AllowOrg(id string) (*catalog.Organization, error) {
	r.asked = true
	if err := r.Identity.Allow(r.Route.Access, id); err != nil {
		return nil, err
	}
	o, err := r.server.cfg.Catalog.Organization(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if err := r.Route.Access.CheckState(r.Identity, o); err != nil {
		return nil, err
	}
	r.Organization = o
	return o, nil
}

// Scope is the only organization whose things may be shown to the caller, or ""
// when all may.
func (r *Request) Scope() string {
	r.asked = true
	return r.Identity.Organization
}

// Opens says whether things of an organization may be known to the caller.
func (r *Request) Opens(id string) bool {
	scope := r.Scope()
	return scope == "" || scope == id
}

// Log adds attributes to the request's log line: never keys, queries or what is
// in events.
func (r *Request) Log(attrs ...slog.Attr) { r.attrs = append(r.attrs, attrs...) }

// Draining is closed when the server begins to shut down: long answers, such as
// a tail, should end.
func (r *Request) Draining() <-chan struct{} { return r.server.draining }
