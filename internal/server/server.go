// Package server is what every HTTP surface of Stele shares: a table of routes
// that each say who may call them, and one wrapper around all of them for
// request ids, authentication, errors, logs and metrics.
//
// A surface is a list of routes and a form of errors:
//
//	surface := server.Surface{
//		Name: "api", Prefixes: []string{"/v1"}, Errors: server.Problem,
//		Routes: []server.Route{{
//			Name: "events.get", Method: "GET", Pattern: "/v1/organizations/{org}/events/{id}",
//			Access: auth.Need(auth.RoleReader).ReadsLog(), Handler: getEvent,
//		}},
//	}
//	http := server.New(config, surface)
//
// Before a handler runs, its route's Access is kept: the key is known, has the
// role, opens the organization in {org}, which exists and whose state allows the
// use. A handler returns an error instead of answering with one.
//
// There is no CORS: the API is for servers and the pages are same-origin.
package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
)

// Config is what a Server needs.
type Config struct {
	Auth   *auth.Authenticator
	Signer *auth.Signer
	// Sessions are those of people; required when a route needs a session.
	Sessions *auth.Sessions
	// PublicURL is the address that people see; their browsers name it as the
	// origin of what they send, whatever a proxy in between says.
	PublicURL string
	Catalog   *catalog.Catalog
	Logger    *slog.Logger
	// Registry is what /metrics shows; nil makes one with the Go runtime's
	// and the process's own.
	Registry *prometheus.Registry
	// Now is the clock of logs, metrics and deadlines.
	Now func() time.Time
	// Ready says whether the server can commit, for /readyz; nil is always.
	Ready func(context.Context) error
	// BodyMemory bounds the bytes of request bodies held at one time, all
	// requests together; above it requests are refused with overloaded. 0
	// means DefaultBodyMemory.
	BodyMemory int64
	// Drain is how long Run waits for requests when it is told to stop. 0
	// means DefaultDrain.
	Drain time.Duration
}

// Defaults of Config.
const (
	DefaultBodyMemory = 256 << 20
	DefaultDrain      = 30 * time.Second
)

// Server routes requests to surfaces. Its methods may be called concurrently.
type Server struct {
	cfg      Config
	tree     node
	routes   []*route
	surfaces []*Surface
	metrics  *metrics
	bodies   bodyMemory
	headers  commonHeaders
	origins  *http.CrossOriginProtection

	drainOnce sync.Once
	draining  chan struct{} // closed when Run was told to stop
}

// New makes a Server with the routes of the surfaces and /healthz, /readyz and
// /metrics. It panics when a route is not complete or two are the same: that is
// a mistake in the program.
func New(cfg Config, surfaces ...Surface) *Server {
	cfg.BodyMemory = cmp.Or(cfg.BodyMemory, DefaultBodyMemory)
	cfg.Drain = cmp.Or(cfg.Drain, DefaultDrain)
	if cfg.Registry == nil {
		cfg.Registry = newRegistry()
	}
	s := &Server{cfg: cfg, metrics: newMetrics(cfg.Registry), headers: newCommonHeaders(), draining: make(chan struct{}), origins: sameOrigin(cfg.PublicURL)}
	s.bodies.free.Store(cfg.BodyMemory)
	names := map[string]bool{}
	for _, surface := range append([]Surface{s.operations()}, surfaces...) {
		s.addSurface(&surface, names)
	}
	return s
}

func (s *Server) addSurface(surface *Surface, names map[string]bool) {
	surface.check()
	s.surfaces = append(s.surfaces, surface)
	for i := range surface.Routes {
		r := newRoute(surface, &surface.Routes[i])
		if names[r.Name] {
			panic("server: two routes are called " + r.Name)
		}
		names[r.Name] = true
		r.metrics = s.metrics.route(r.Name, r.Method)
		s.tree.add(r)
		s.routes = append(s.routes, r)
	}
}

// Routes lists every route, sorted by pattern and method.
func (s *Server) Routes() []Route {
	out := make([]Route, 0, len(s.routes))
	for _, r := range s.routes {
		out = append(out, r.Route)
	}
	slices.SortFunc(out, func(a, b Route) int {
		return cmp.Or(strings.Compare(a.Pattern, b.Pattern), strings.Compare(a.Method, b.Method))
	})
	return out
}

// surfaceOf is the surface that answers for a path without a route: the one with
// the longest prefix, the last of several. So "/" is the operations' only when no
// other surface claims it.
func (s *Server) surfaceOf(path string) *Surface {
	best, length := s.surfaces[0], -1
	for _, surface := range s.surfaces {
		for _, prefix := range surface.Prefixes {
			if covers(prefix, path) && len(prefix) >= length {
				best, length = surface, len(prefix)
			}
		}
	}
	return best
}

// covers says whether path is prefix or below it.
func covers(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// isDraining says that the server was told to stop.
func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// statusClientGone is logged and counted when the client went away before an
// answer: no status was sent.
const statusClientGone = 499

// methodLabel keeps what clients make up out of metrics.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
