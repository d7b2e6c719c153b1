// Package server is what every HTTP surface of Stele shares: a table of routes
// that each say who may call them, and one wrapper around all of them for
// request ids, authentication, errors, logs and metrics.
package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
)

// Handler answers a request or returns an error, which the surface's ErrorWriter
// answers with. Errors that are (or wrap) an *audit.Error are shown; others are
// logged whole and shown as "internal error".
type Handler func(w http.ResponseWriter, r *Request) error

// Route is one method on one path.
type Route struct {
	// Name is the route's name in metrics and logs, such as "events.append".
	// Unique in the server.
	Name string
	// Method is one of GET, POST, PUT, PATCH and DELETE. GET answers HEAD too.
	Method string
	// Pattern is a path as in net/http's ServeMux: "{name}" is one segment,
	// "{name...}" one or more, also in the middle. A segment may
	// hold encoded slashes. Literal segments go before wildcards. "{org}" is
	// the organization that the request is about.
	Pattern string
	// Access is who may call it. Required.
	Access  auth.Access
	Handler Handler
	// Quiet logs successful requests at debug level only.
	Quiet bool
}

// Surface is a family of routes with one form of errors.
type Surface struct {
	// Name is for logs, such as "api".
	Name string
	// Prefixes are the paths whose 404 and 405 the surface answers: "/v1" is
	// /v1 and everything below; "/" is what no other surface claims.
	Prefixes []string
	Errors   ErrorWriter
	Routes   []Route
}

// Failure is an error to be answered.
type Failure struct {
	// Status is the HTTP status for the error's code.
	Status int
	// Error is what may be shown. Never nil.
	Error *audit.Error
	// Cause is what the handler returned, for surfaces with error types of
	// their own (which must wrap an *audit.Error). It must not be shown
	// otherwise.
	Cause error
}

// ErrorWriter answers a failed request: headers, status and body. X-Request-ID,
// Allow, WWW-Authenticate and Retry-After are already set.
type ErrorWriter func(w http.ResponseWriter, r *Request, f Failure)

// Problem is the ErrorWriter of the native API: RFC 9457 problem documents.
func Problem(w http.ResponseWriter, r *Request, f Failure) { panic("unfinished") }

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) error { panic("unfinished") }

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
	// Organization is that of {org}, checked; nil without.
	Organization *catalog.Organization
}

// PathValue returns what a wildcard of the pattern matched, decoded.
func (r *Request) PathValue(name string) string { panic("unfinished") }

// Org is the id in {org}.
func (r *Request) Org() string { panic("unfinished") }

// AllowOrg checks that the caller may use the route for an organization that is
// not in the path, and returns it. Errors are those of {org}: not_found whether
// it does not exist or belongs to others, audit_log_inactive and
// audit_log_disabled as the route's Access says.
func (r *Request) AllowOrg(id string) (*catalog.Organization, error) { panic("unfinished") }

// Scope is the only organization whose things may be shown to the caller, or ""
// when all may.
func (r *Request) Scope() string { panic("unfinished") }

// Log adds attributes to the request's log line: never keys, queries or what is
// in events.
func (r *Request) Log(attrs ...slog.Attr) { panic("unfinished") }

// Draining is closed when the server begins to shut down: long answers, such as
// a tail, should end.
func (r *Request) Draining() <-chan struct{} { panic("unfinished") }

// MaxJSONBytes bounds the bodies that DecodeJSON reads.
const MaxJSONBytes = 256 << 10

// ReadBody reads the whole body, decompressed as Content-Encoding says (gzip,
// zstd, identity), and refuses one of more than limit bytes, before or after,
// with too_large. The bytes are valid until the handler returns.
func ReadBody(r *Request, limit int) ([]byte, error) { panic("unfinished") }

// DecodeJSON reads a body of at most MaxJSONBytes into v, strictly: unknown and
// repeated members, invalid UTF-8 and trailing data are errors.
func DecodeJSON(r *Request, v any) error { panic("unfinished") }

// DecodeJSONOpen is DecodeJSON which ignores unknown members.
func DecodeJSONOpen(r *Request, v any) error { panic("unfinished") }

// DecodeBytes is DecodeJSON for a body that is already read.
func DecodeBytes(data []byte, v any) error { panic("unfinished") }

// StatusOf is the HTTP status for an error code.
func StatusOf(code audit.Code) int { panic("unfinished") }

// Config is what a Server needs.
type Config struct {
	Auth     *auth.Authenticator
	Signer   *auth.Signer
	Catalog  *catalog.Catalog
	Logger   *slog.Logger
	Registry *prometheus.Registry // what /metrics shows; nil makes one
	Now      func() time.Time
	// Ready says whether the server can commit, for /readyz; nil is always.
	Ready func(context.Context) error
}

// Server routes requests to surfaces.
type Server struct{}

// New makes a Server with the routes of the surfaces and /healthz, /readyz and
// /metrics. It panics when a route is not complete or two are the same: that is
// a mistake in the program.
func New(cfg Config, surfaces ...Surface) *Server { panic("unfinished") }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("unfinished") }

// Routes lists every route, sorted by pattern and method.
func (s *Server) Routes() []Route { panic("unfinished") }

// Run serves on a listener until ctx is done, then stops accepting, tells long
// answers to end (Request.Draining), and waits for the others.
func (s *Server) Run(ctx context.Context, ln net.Listener) error { panic("unfinished") }
