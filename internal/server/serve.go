package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	start := s.cfg.Now()
	// One allocation. Not from a pool: what a handler leaves behind may still
	// hold on to it, and net/http reads the headers after this has returned.
	both := &exchange{
		request:  Request{Request: hr, server: s, ID: requestID(hr.Header, start)},
		response: response{ResponseWriter: w, control: *http.NewResponseController(w), now: s.cfg.Now},
	}
	r, out := &both.request, &both.response
	r.writer, out.req = out, r
	both.id[0] = r.ID
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	s.headers.set(w.Header(), both.id[:])
	out.renew(start)

	surface, err := s.find(r)
	if err == nil {
		err = s.run(out, r)
	}
	cut := false
	if err != nil {
		cut = s.fail(out, r, surface, err)
	}
	r.releaseBody()
	s.record(out, r, start, err)
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// exchange is a request and its answer.
type exchange struct {
	request  Request
	response response
	id       [1]string // the value of X-Request-Id
}

// commonHeaders are the headers that every answer carries; handlers may set them
// otherwise. The values are shared between requests and full, so that nobody
// can append to them.
type commonHeaders struct{ noStore, noSniff, noReferrer, policy []string }

func newCommonHeaders() commonHeaders {
	return commonHeaders{
		noStore:    []string{"no-store"},
		noSniff:    []string{"nosniff"},
		noReferrer: []string{"no-referrer"},
		policy:     []string{"default-src 'none'; frame-ancestors 'none'"},
	}
}

// set writes canonical names, as http.Header keeps them.
func (c *commonHeaders) set(h http.Header, id []string) {
	h["X-Request-Id"] = id
	h["Cache-Control"] = c.noStore
	h["X-Content-Type-Options"] = c.noSniff
	h["Referrer-Policy"] = c.noReferrer
	h["Content-Security-Policy"] = c.policy
}

// requestID is the caller's own id for the request when it is a plain one, else
// a new one.
func requestID(h http.Header, now time.Time) string {
	id := ""
	if given := h["X-Request-Id"]; len(given) > 0 {
		id = given[0]
	}
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return catalog.NewULID(now)
	}
	return id
}

// find sets the request's route. Without one it returns the surface that answers
// for the path, and why.
func (s *Server) find(r *Request) (*Surface, error) {
	look := lookup{method: r.Method, values: r.valueArray[:0]}
	var ok bool
	if look.segments, ok = appendSegments(r.segmentArray[:0], r.URL); ok && look.walk(&s.tree, 0) {
		r.route, r.Route, r.values = look.found, &look.found.Route, look.values
		return look.found.surface, nil
	}
	surface := s.surfaceOf(r.URL.Path)
	if len(look.allowed) == 0 {
		return surface, audit.Errorf(audit.CodeNotFound, "there is nothing at this path")
	}
	slices.Sort(look.allowed)
	allow := strings.Join(look.allowed, ", ")
	r.writer.Header().Set("Allow", allow)
	return surface, audit.Errorf(audit.CodeMethodNotAllowed, "this path takes %s", allow)
}

// run checks access and calls the handler. Panics become errors.
func (s *Server) run(w *response, r *Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if err := s.authorize(r); err != nil {
		return err
	}
	if err := r.route.Handler(w, r); err != nil {
		return err
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func panicked(p any) error {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return http.ErrAbortHandler
	}
	return &panicError{value: p, stack: debug.Stack()}
}

// authorize keeps the route's Access.
func (s *Server) authorize(r *Request) error {
	access := r.Route.Access
	if purpose := access.Purpose(); purpose != "" {
		return s.cfg.Signer.VerifyURL(r.URL.EscapedPath(), r.URL.RawQuery, purpose)
	}
	if access.NeedsSession() {
		return s.authorizeSession(r)
	}
	if !access.NeedsKey() {
		return nil
	}
	var err error
	if r.Identity, err = s.cfg.Auth.Authenticate(r.Context(), bearer(r.Header)); err != nil {
		return err
	}
	if r.route.org < 0 {
		return r.Identity.Allow(access, "")
	}
	_, err = r.AllowOrg(r.Org())
	return err
}

// bearer is the key in the Authorization header; "" when there is none.
func bearer(h http.Header) string {
	scheme, key, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// fail answers with an error. It says whether the connection must be cut,
// because the answer had begun: what was sent must not look whole.
func (s *Server) fail(w *response, r *Request, surface *Surface, err error) (cut bool) {
	if w.status != 0 || errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	if clientGone(r, err) {
		w.status = statusClientGone
		return true
	}
	f := failureOf(err)
	f.setHeaders(w.Header())
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "error writer panicked",
				slog.String("request_id", r.ID), slog.Any("panic", p))
			cut = true
		}
	}()
	surface.Errors(w, r, f)
	return false
}

// clientGone says whether the request failed because nobody waits for it.
func clientGone(r *Request, err error) bool {
	return errors.Is(err, context.Canceled) && errors.Is(r.Context().Err(), context.Canceled)
}

// record writes the request's log line and counts it.
func (s *Server) record(w *response, r *Request, start time.Time, err error) {
	took := s.cfg.Now().Sub(start)
	s.metrics.observe(r, w.status, took)
	level := slog.LevelInfo
	switch {
	case w.gone || w.status == statusClientGone:
	case w.status >= http.StatusInternalServerError || err != nil && w.status < http.StatusBadRequest:
		level = slog.LevelError
	case w.status < http.StatusBadRequest && r.Route != nil && r.Route.Quiet:
		level = slog.LevelDebug
	}
	if !s.cfg.Logger.Enabled(r.Context(), level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("request_id", r.ID), slog.String("method", methodLabel(r.Method)), slog.String("route", r.name()),
		slog.Int("status", w.status), slog.Duration("duration", took), slog.Int64("bytes", w.bytes))
	if r.Identity.KeyID != "" {
		attrs = append(attrs, slog.String("key", r.Identity.KeyID))
	}
	if r.Session != nil {
		attrs = append(attrs, slog.String("session", r.Session.ID))
	}
	if r.Organization != nil {
		attrs = append(attrs, slog.String("organization", r.Organization.ID))
	}
	if w.gone {
		attrs = append(attrs, slog.Bool("client_gone", true))
	}
	attrs = append(attrs, r.attrs...)
	s.cfg.Logger.LogAttrs(r.Context(), level, "request", appendError(attrs, level, err)...)
}

// appendError adds what went wrong: of callers' mistakes only the code, since
// the message may quote what they sent; of the server's own, everything.
func appendError(attrs []slog.Attr, level slog.Level, err error) []slog.Attr {
	if err == nil {
		return attrs
	}
	attrs = append(attrs, slog.String("code", string(failureOf(err).Error.Code)))
	if level < slog.LevelError {
		return attrs
	}
	attrs = append(attrs, slog.String("error", err.Error()))
	if p, ok := errors.AsType[*panicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	return attrs
}

// name is the route's, for logs and metrics.
func (r *Request) name() string {
	if r.Route == nil {
		return "none"
	}
	return r.Route.Name
}
