package search

import (
	"strings"

	"github.com/stelehq/stele/internal/event"
)

// Path is a path into metadata, as [audit.Field.MetadataPath] gives it, for
// engines that have metadata objects taken apart. Every way to read the path
// counts.
type Path string

// Leads reports whether the path leads into the members of an object that have a
// name, which is escaped as in canonical JSON.
func (p Path) Leads(name []byte) bool {
	var scratch [scratchSize]byte
	key := event.Unescape(name, scratch[:0])
	n := len(key)
	return len(p) >= n && string(p[:n]) == string(key) && (len(p) == n || p[n] == '.')
}

// Each calls fn with the text of every value at the path in an object of canonical
// JSON, which may be empty: those that a filter on the path compares with. A text
// may come more than once, and is valid until fn returns.
func (p Path) Each(object []byte, fn func(text []byte)) { eachAtPath(object, string(p), fn) }

// EachOf is Each for one member of an object: its escaped name and its value.
func (p Path) EachOf(name, value []byte, fn func(text []byte)) { eachAtKey(name, value, string(p), fn) }

// PathFilter is a path into metadata with the values that a filter has for it. It
// is immutable and may be used concurrently.
type PathFilter struct {
	Path   Path
	values values
	// plain says that the path has no backslash: a name with the same bytes is
	// then not escaped.
	plain bool
}

// NewPathFilter makes a filter ready. list is sorted.
func NewPathFilter(path string, list []string) *PathFilter {
	return &PathFilter{Path: Path(path), values: newValues("", list), plain: !strings.Contains(path, `\`)}
}

// Object reports whether an object of canonical JSON, which may be empty, has one
// of the values at the path.
func (p *PathFilter) Object(object []byte) bool { return p.values.atPath(object, string(p.Path)) }

// Member is Object for one member of an object: its escaped name and its value.
func (p *PathFilter) Member(name, value []byte) bool {
	if n := len(name); p.plain && len(p.Path) >= n && string(p.Path[:n]) == string(name) {
		return p.values.belowKey(value, string(p.Path), n)
	}
	return p.values.atKey(name, value, string(p.Path))
}
