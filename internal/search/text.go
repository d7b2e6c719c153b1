package search

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/internal/event"
)

// scratchSize is room on the stack for decoded or lowered text; longer text is
// allocated for.
const scratchSize = 256

// containsFold reports whether text in lower case contains lower, which is in
// lower case as strings.ToLower has it.
func containsFold(text, lower []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			var scratch [scratchSize]byte
			return bytes.Contains(appendLower(scratch[:0], text), lower)
		}
	}
	return containsASCII(text, lower)
}

// containsASCII is containsFold for text in ASCII.
func containsASCII(text, lower []byte) bool {
	for i := 0; i+len(lower) <= len(text); i++ {
		if hasPrefixASCII(text[i:], lower) {
			return true
		}
	}
	return false
}

func hasPrefixASCII(text, lower []byte) bool {
	for i := range len(lower) {
		if lowerASCII(text[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// appendLower appends text in lower case, letter by letter as strings.ToLower.
func appendLower(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		text = text[n:]
	}
	return dst
}

// hasText reports whether free text, in lower case, is found in an entry.
func hasText(e *event.Entry, lower []byte) bool {
	if containsFold(e.Action, lower) || containsFold(e.Location, lower) || containsFold(e.UserAgent, lower) ||
		partyHasText(&e.Actor, lower) || leafHasText(e.Metadata, lower) {
		return true
	}
	for i := range e.Targets {
		if partyHasText(&e.Targets[i], lower) {
			return true
		}
	}
	return len(lower) == len(e.ID) && hasPrefixASCII(e.ID[:], lower)
}

func partyHasText(p *event.Party, lower []byte) bool {
	return containsFold(p.ID, lower) || containsFold(p.Name, lower) || leafHasText(p.Metadata, lower)
}

// leafHasText reports whether a string, number or boolean in canonical JSON, or
// anywhere below it, contains lower.
func leafHasText(value []byte, lower []byte) (found bool) {
	switch event.KindOf(value) {
	case event.KindObject:
		event.EachMember(value, func(_, v []byte) bool {
			found = leafHasText(v, lower)
			return !found
		})
	case event.KindArray:
		event.EachElement(value, func(v []byte) bool {
			found = leafHasText(v, lower)
			return !found
		})
	case event.KindString:
		var scratch [scratchSize]byte
		return containsFold(event.Text(value, scratch[:0]), lower)
	case event.KindNumber, event.KindBool:
		return containsFold(value, lower)
	}
	return found
}

// atPath reports whether there is one of the values at a path below value, in
// every way to read the path.
func (v *values) atPath(value []byte, path string) (found bool) {
	switch event.KindOf(value) {
	case event.KindArray:
		event.EachElement(value, func(elem []byte) bool {
			found = v.atPath(elem, path)
			return !found
		})
	case event.KindObject:
		event.EachMember(value, func(key, below []byte) bool {
			found = v.atKey(key, below, path)
			return !found
		})
	}
	return found
}

// atKey is atPath for one member of an object.
func (v *values) atKey(escaped, below []byte, path string) bool {
	var scratch [scratchSize]byte
	key := event.Unescape(escaped, scratch[:0])
	n := len(key)
	return len(path) >= n && path[:n] == string(key) && v.belowKey(below, path, n)
}

// belowKey is atKey for a member whose name is the first n bytes of the path.
func (v *values) belowKey(below []byte, path string, n int) bool {
	if len(path) == n {
		return v.hasLeaf(below)
	}
	return path[n] == '.' && v.atPath(below, path[n+1:])
}

// hasLeaf reports whether a canonical value, or an element of it, is one of the
// values.
func (v *values) hasLeaf(value []byte) (found bool) {
	switch event.KindOf(value) {
	case event.KindArray:
		event.EachElement(value, func(elem []byte) bool {
			found = v.hasLeaf(elem)
			return !found
		})
	case event.KindString:
		var scratch [scratchSize]byte
		return v.has(event.Text(value, scratch[:0]))
	case event.KindNumber, event.KindBool:
		return v.has(value)
	}
	return found
}

// eachAtPath calls fn with the text of every value at a path below value, in
// every way to read the path. The text is valid until fn returns.
func eachAtPath(value []byte, path string, fn func([]byte)) {
	switch event.KindOf(value) {
	case event.KindArray:
		event.EachElement(value, func(elem []byte) bool {
			eachAtPath(elem, path, fn)
			return true
		})
	case event.KindObject:
		event.EachMember(value, func(escaped, below []byte) bool {
			eachAtKey(escaped, below, path, fn)
			return true
		})
	}
}

// eachAtKey is eachAtPath for one member of an object.
func eachAtKey(escaped, below []byte, path string, fn func([]byte)) {
	var scratch [scratchSize]byte
	key := event.Unescape(escaped, scratch[:0])
	switch n := len(key); {
	case len(path) < n || path[:n] != string(key):
	case len(path) == n:
		eachLeaf(below, fn)
	case path[n] == '.':
		eachAtPath(below, path[n+1:], fn)
	}
}

// eachLeaf calls fn with the text of a value or of each element of an array.
func eachLeaf(value []byte, fn func([]byte)) {
	switch event.KindOf(value) {
	case event.KindArray:
		event.EachElement(value, func(elem []byte) bool {
			eachLeaf(elem, fn)
			return true
		})
	case event.KindString:
		var scratch [scratchSize]byte
		fn(event.Text(value, scratch[:0]))
	case event.KindNumber, event.KindBool:
		fn(value)
	}
}
