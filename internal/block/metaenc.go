package block

import (
	"bytes"
	"hash/maphash"

	"github.com/stelehq/stele/internal/event"
)

// metadata takes the entries' metadata objects apart: the list of an object's
// members is its shape, and what the member of a name is in all objects that
// have it is a path.
type metadata struct {
	pathTable table
	paths     []*path // longer than used: the rest is memory to use again
	used      int
	raw       int // the path of objects that are kept whole, -1 when there is none

	shapes  texts   // the numbers of an object's paths, one byte each
	store   storing // of values that are stored together
	values  int     // of all paths
	members []memberRef
	shape   []byte
}

// path is one member name, with its values in the order of the rows.
type path struct {
	name span
	// texts are the values, each only once for as long as repeats is set.
	texts   texts
	repeats bool
	vals    []uint32 // numbers in texts

	// What finish decides.
	kind           int
	prefix, suffix []byte // of all values; stored once, unless there is a dictionary
	letters        alphabet
	size           int // of the values as they are stored
	sort           sorter
	at             int // values written so far
	store          storing
}

// memberRef is one member of the object that is being taken apart.
type memberRef struct {
	path  int
	value []byte
}

func (m *metadata) reset() {
	m.pathTable.reset()
	m.used, m.raw, m.values = 0, -1, 0
	m.shapes.reset()
}

// add takes an object apart and returns its shape.
func (m *metadata) add(e *Encoder, obj []byte) uint16 {
	m.shape = m.shape[:0]
	if len(obj) > 0 {
		if !m.split(e, obj) {
			m.members = append(m.members[:0], memberRef{m.rawPath(), obj})
		}
		for _, mem := range m.members {
			m.shape = append(m.shape, byte(mem.path)) //nolint:gosec // below maxPaths
			m.paths[mem.path].add(e, mem.value)
		}
		m.values += len(m.members)
		clear(m.members) // the values are the caller's
	}
	return uint16(m.shapes.add(e, m.shape)) //nolint:gosec // at most one a row
}

// split finds the members of an object. It reports false when these do not make
// up the object byte for byte, or have names that there is no path for.
func (m *metadata) split(e *Encoder, obj []byte) bool {
	m.members = m.members[:0]
	size, ok := 1, true
	event.EachMember(obj, func(name, value []byte) bool {
		p := m.path(e, name)
		ok = p >= 0
		size += len(name) + len(value) + len(`"":,`)
		m.members = append(m.members, memberRef{p, value})
		return ok
	})
	return ok && size == len(obj) && obj[len(obj)-1] == '}' && len(m.members) > 0
}

// path returns the path of a name, -1 when there is no room for another one.
func (m *metadata) path(e *Encoder, name []byte) int {
	hash := maphash.Bytes(e.seed, name)
	for i := hash; ; {
		n, next := m.pathTable.lookup(hash, i)
		if n < 0 {
			break
		}
		if n != m.raw && bytes.Equal(e.arena.at(m.paths[n].name), name) {
			return n
		}
		i = next
	}
	if m.used >= maxPaths {
		return -1
	}
	m.pathTable.add(hash)
	return m.newPath(e.arena.put(name))
}

func (m *metadata) newPath(name span) int {
	if m.used == len(m.paths) {
		m.paths = append(m.paths, &path{})
	}
	p := m.paths[m.used]
	p.name, p.repeats, p.vals, p.kind, p.size = name, true, p.vals[:0], pathShared, 0
	p.texts.reset()
	m.used++
	return m.used - 1
}

// rawPath returns the path of objects that are kept whole, which has no name in
// the table.
func (m *metadata) rawPath() int {
	if m.raw < 0 {
		m.pathTable.add(0) // keeps its numbers those of the paths
		m.raw = m.newPath(span{})
		m.paths[m.raw].repeats = false
	}
	return m.raw
}

// Whether a path gets a dictionary: the values that are looked at before giving
// up, and how often a value must be there on average.
const (
	repeatSample = 4096
	repeatTimes  = 2
)

func (p *path) add(e *Encoder, value []byte) {
	n := len(p.texts.spans)
	if p.repeats {
		n = p.texts.add(e, value)
	} else {
		p.texts.spans = append(p.texts.spans, e.arena.put(value))
	}
	p.vals = append(p.vals, uint32(n)) //nolint:gosec // at most one a row
	p.size += len(value)
	if len(p.vals) == repeatSample && !p.repeating() {
		p.repeats = false
	}
}

// repeating reports whether values are there often enough for a dictionary: by
// their number, or by their size, so that what is written stays in proportion to
// the texts of the block.
func (p *path) repeating() bool {
	distinct := 0
	for _, s := range p.texts.spans {
		distinct += int(s.size)
	}
	return repeatTimes*len(p.texts.spans) <= len(p.vals) || repeatTimes*distinct < p.size
}

// finish decides how each path is stored.
func (m *metadata) finish(a *arena) {
	m.store = storing{}
	for i, p := range m.paths[:m.used] {
		p.finish(a)
		if i == m.raw {
			p.kind = pathRaw
		}
	}
}

// ownBytes is the size of all of a path's values from which they have frames of
// their own.
const ownBytes = 16 << 10

func (p *path) finish(a *arena) {
	n := len(p.texts.spans)
	text := func(i int) []byte { return a.at(p.texts.spans[i]) }
	p.at, p.prefix, p.suffix, p.letters, p.store = 0, nil, nil, alphabet{}, storing{}
	if n == 0 {
		p.kind = pathShared
		return
	}
	var l letters
	for i := range n {
		l.add(text(i))
	}
	p.letters = l.alphabet()
	if p.repeats && p.repeating() {
		p.texts.sort(a, &p.sort)
		p.kind = pathDict + n
		p.size = 2 * len(p.vals)
		return
	}
	p.affixes(n, text)
	p.size -= len(p.vals) * (len(p.prefix) + len(p.suffix))
	p.kind = pathShared
	if p.size >= ownBytes {
		p.kind = pathOwn
	}
}

// affixes finds what all values begin and end with.
func (p *path) affixes(n int, text func(int) []byte) {
	first := text(0)
	prefix := commonStart(n, text)
	suffix := len(first) - prefix
	for i := range n {
		t := text(i)
		suffix = sharedEnd(first[len(first)-suffix:], t[prefix:])
	}
	p.prefix, p.suffix = first[:prefix], first[len(first)-suffix:]
}

// sharedEnd returns the length of the end that a and b have in common.
func sharedEnd(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}
