package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stelehq/stele/internal/auth"
)

// Handler answers a request or returns an error, which the surface's ErrorWriter
// answers with. Errors that are (or wrap) an *audit.Error are shown; others are
// logged whole and shown as "internal error". When an answer has begun, an error
// cuts the connection, so that the client sees an answer that is not whole.
type Handler func(w http.ResponseWriter, r *Request) error

// Route is one method on one path.
type Route struct {
	// Name is the route's name in metrics and logs, such as "events.append".
	// Unique in the server.
	Name string
	// Method is one of GET, HEAD, POST, PUT, PATCH and DELETE. GET answers
	// HEAD too.
	Method string
	// Pattern is a path as in net/http's ServeMux, with more freedom: "{name}"
	// is one segment, "{name...}" one or more, also in the middle and then not
	// empty, "{$}" at the end is the path with a slash at its end. A segment
	// may hold encoded slashes. Literal segments go before wildcards,
	// "{name}" before "{name...}", and patterns may overlap. Nothing is
	// cleaned or redirected. "{org}" is the organization that the request is
	// about.
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

func (s *Surface) check() {
	if s.Name == "" || s.Errors == nil {
		panic(fmt.Sprintf("server: surface %q is not complete", s.Name))
	}
	for _, prefix := range s.Prefixes {
		if !strings.HasPrefix(prefix, "/") {
			panic(fmt.Sprintf("server: surface %s: prefix %q", s.Name, prefix))
		}
	}
}

// route is a Route as registered.
type route struct {
	Route
	surface  *Surface
	segments []segment
	params   []string // names of the wildcards, in their order
	org      int      // index of {org} in params, or -1
	metrics  *routeMetrics
}

// segment is one part of a pattern between slashes.
type segment struct {
	literal string
	kind    segmentKind
}

type segmentKind uint8

const (
	segmentLiteral segmentKind = iota
	segmentParam               // {name}
	segmentRest                // {name...}
)

func newRoute(surface *Surface, from *Route) *route {
	r := &route{Route: *from, surface: surface, org: -1}
	switch {
	case r.Name == "" || r.Handler == nil:
		panic(fmt.Sprintf("server: route %q (%s %s) is not complete", r.Name, r.Method, r.Pattern))
	case !r.Access.Valid():
		panic(fmt.Sprintf("server: route %s does not say who may call it", r.Name))
	case methodLabel(r.Method) == "other":
		panic(fmt.Sprintf("server: route %s: method %q", r.Name, r.Method))
	}
	r.parse()
	if r.org >= 0 && !r.Access.ChecksPath() {
		panic(fmt.Sprintf("server: route %s has {org} but its access does not look at it", r.Name))
	}
	return r
}

// parse reads the pattern.
func (r *route) parse() {
	path, ok := strings.CutPrefix(r.Pattern, "/")
	if !ok {
		panic(fmt.Sprintf("server: route %s: pattern %q does not begin with a slash", r.Name, r.Pattern))
	}
	texts := strings.Split(path, "/")
	rests := 0
	for i, text := range texts {
		seg, name, ok := parseSegment(text, i == len(texts)-1)
		if seg.kind == segmentRest {
			rests++
		}
		if !ok || rests > 1 {
			panic(fmt.Sprintf("server: route %s: pattern %q: segment %q", r.Name, r.Pattern, text))
		}
		r.segments = append(r.segments, seg)
		if seg.kind == segmentLiteral {
			continue
		}
		if slices.Contains(r.params, name) {
			panic(fmt.Sprintf("server: route %s: pattern %q: two {%s}", r.Name, r.Pattern, name))
		}
		if name == "org" {
			r.org = len(r.params)
		}
		r.params = append(r.params, name)
	}
}

func parseSegment(text string, last bool) (seg segment, name string, ok bool) {
	if text == "{$}" && last {
		return segment{}, "", true
	}
	if !strings.ContainsAny(text, "{}%") {
		return segment{literal: text}, "", text != ""
	}
	name, opened := strings.CutPrefix(text, "{")
	name, closed := strings.CutSuffix(name, "}")
	kind := segmentParam
	if rest, ok := strings.CutSuffix(name, "..."); ok {
		name, kind = rest, segmentRest
	}
	return segment{kind: kind}, name, opened && closed && name != "" && !strings.ContainsAny(name, "{}%$")
}
