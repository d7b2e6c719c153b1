package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSegments bounds the work that a path can cause.
const maxSegments = 256

// node is one place in the tree of patterns. It does not change after New.
//
// net/http's ServeMux is not used because WorkOS's paths cannot be its patterns:
// it has no wildcard of several segments in the middle
// (/audit_logs/actions/{action...}/schemas), refuses patterns that overlap
// (/organizations/external_id/{id} and /organizations/{org}/settings), redirects
// instead of answering 404, and writes its own 404 and 405.
type node struct {
	literals map[string]*node
	param    *node
	rests    []*node // what follows {name...}, the longest first
	suffix   int     // in rests: how many segments follow
	routes   []*route
}

// add registers a route.
func (n *node) add(r *route) {
	for i, seg := range r.segments {
		switch seg.kind {
		case segmentRest:
			n = n.rest(len(r.segments) - i - 1)
		case segmentParam:
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
		case segmentLiteral:
			n = n.literal(seg.literal)
		}
	}
	for _, other := range n.routes {
		if other.Method == r.Method {
			panic(fmt.Sprintf("server: routes %s and %s are both %s %s", other.Name, r.Name, r.Method, r.Pattern))
		}
	}
	n.routes = append(n.routes, r)
}

func (n *node) literal(text string) *node {
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	if n.literals[text] == nil {
		n.literals[text] = &node{}
	}
	return n.literals[text]
}

func (n *node) rest(suffix int) *node {
	i, ok := slices.BinarySearchFunc(n.rests, suffix, func(m *node, suffix int) int { return suffix - m.suffix })
	if !ok {
		n.rests = slices.Insert(n.rests, i, &node{suffix: suffix})
	}
	return n.rests[i]
}

// lookup is one search in the tree.
type lookup struct {
	method   string
	segments []string // decoded
	values   []string // what wildcards matched on the way; a backing array is the caller's
	found    *route
	allowed  []string // methods of routes that match but for the method
}

// walk tries the rest of the path, from segment i on, below n.
func (l *lookup) walk(n *node, i int) bool {
	if i == len(l.segments) {
		return l.take(n)
	}
	seg := l.segments[i]
	if next := n.literals[seg]; next != nil && l.walk(next, i+1) {
		return true
	}
	depth := len(l.values)
	if n.param != nil && seg != "" {
		l.values = append(l.values, seg)
		if l.walk(n.param, i+1) {
			return true
		}
		l.values = l.values[:depth]
	}
	for _, rest := range n.rests {
		end := len(l.segments) - rest.suffix
		if end <= i {
			continue
		}
		value := strings.Join(l.segments[i:end], "/")
		if value == "" && rest.suffix > 0 {
			continue
		}
		l.values = append(l.values, value)
		if l.walk(rest, end) {
			return true
		}
		l.values = l.values[:depth]
	}
	return false
}

// take ends the walk at a route of the method, HEAD falling back to GET.
func (l *lookup) take(n *node) bool {
	var get *route
	for _, r := range n.routes {
		if r.Method == l.method {
			l.found = r
			return true
		}
		if r.Method == http.MethodGet {
			get = r
		}
		l.allow(r.Method)
	}
	if get != nil && l.method == http.MethodHead {
		l.found = get
		return true
	}
	return false
}

func (l *lookup) allow(method string) {
	if method == http.MethodGet {
		l.allow(http.MethodHead)
	}
	if !slices.Contains(l.allowed, method) {
		l.allowed = append(l.allowed, method)
	}
}

// appendSegments splits a URL's path, decoding each segment on its own so that
// encoded slashes stay inside. ok is false for a path that no route can match.
func appendSegments(dst []string, u *url.URL) (segments []string, ok bool) {
	path := u.RawPath
	if path == "" {
		path = u.Path // nothing in it needs decoding twice
	}
	path, ok = strings.CutPrefix(path, "/")
	if !ok || strings.Count(path, "/") >= maxSegments || !utf8.ValidString(u.Path) || strings.Contains(u.Path, "\x00") {
		return dst, false
	}
	for seg := range strings.SplitSeq(path, "/") {
		if u.RawPath != "" {
			decoded, err := url.PathUnescape(seg)
			if err != nil {
				return dst, false
			}
			seg = decoded
		}
		dst = append(dst, seg)
	}
	return dst, true
}
