package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
)

// readyTime is how long the server may take to say that it can commit.
const readyTime = 5 * time.Second

// operations is what operators' tools ask. None of it needs a key: it says how
// the server fares and nothing about anybody; metrics have no label that comes
// from a request. Who should not see how busy the server is must be kept from
// /metrics by the proxy in front.
func (s *Server) operations() Surface {
	metrics := promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{Registry: s.cfg.Registry})
	get := func(name, pattern string, h Handler) Route {
		return Route{Name: name, Method: http.MethodGet, Pattern: pattern, Access: auth.Public(), Handler: h, Quiet: true}
	}
	return Surface{
		Name:     "operations",
		Prefixes: []string{"/healthz", "/readyz", "/metrics"},
		Errors:   Problem,
		Routes: []Route{
			get("healthz", "/healthz", func(w http.ResponseWriter, _ *Request) error {
				return WriteJSON(w, http.StatusOK, health{Status: "ok"})
			}),
			get("readyz", "/readyz", s.ready),
			get("metrics", "/metrics", func(w http.ResponseWriter, r *Request) error {
				metrics.ServeHTTP(w, r.Request)
				return nil
			}),
		},
	}
}

type health struct {
	Status string `json:"status"`
}

// ready answers 200 while the server can commit and takes new requests.
func (s *Server) ready(w http.ResponseWriter, r *Request) error {
	if s.isDraining() {
		return audit.Errorf(audit.CodeUnavailable, "the server is shutting down")
	}
	if s.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		if err := s.cfg.Ready(ctx); err != nil {
			return fmt.Errorf("%w (%w)", audit.Errorf(audit.CodeUnavailable, "the server cannot commit now"), err)
		}
	}
	return WriteJSON(w, http.StatusOK, health{Status: "ready"})
}
