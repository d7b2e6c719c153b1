package block

import "github.com/stelehq/stele/internal/event"

// Metadata calls fn for the members of the entries' own metadata objects whose
// name keep wants (as escaped as canonical JSON has it), with the row and the
// value's canonical JSON, in order of row. within, when not nil, bounds the rows
// looked at. name and value are valid until fn returns; false ends it.
func (r *Reader) Metadata(keep func(name []byte) bool, within *Rows, fn func(row int, name, value []byte) bool) error {
	p, err := r.getPlan()
	if err != nil {
		return err
	}
	want := p.wanted(keep)
	return r.eachMeta(p, want, within, func(row int, shape []byte, values []uint32, m *metaChunk) (bool, error) {
		for j, path := range shape {
			if !want[path] {
				continue
			}
			value, err := r.metaValue(p, m, int(path), values[j])
			if err != nil {
				return false, err
			}
			if !p.members(int(path), value, keep, func(name, v []byte) bool { return fn(row, name, v) }) {
				return false, nil
			}
		}
		return true, nil
	})
}

// wanted returns which paths may have a name that keep wants.
func (p *plan) wanted(keep func(name []byte) bool) []bool {
	want := make([]bool, len(p.paths))
	for i := range p.paths {
		want[i] = i == p.raw || keep(p.paths[i].name)
	}
	return want
}

// members calls fn for a path's value, or for those members of a whole object
// that keep wants. It reports false when fn did.
func (p *plan) members(path int, value []byte, keep func([]byte) bool, fn func(name, value []byte) bool) bool {
	if path != p.raw {
		return fn(p.paths[path].name, value)
	}
	more := true
	event.EachMember(value, func(name, v []byte) bool {
		if keep(name) {
			more = fn(name, v)
		}
		return more
	})
	return more
}

// eachMeta calls fn for rows that have a wanted path, with the row's shape and
// the indexes of its values, until fn returns false. Chunks without such rows are
// not fetched.
func (r *Reader) eachMeta(
	p *plan, want []bool, within *Rows, fn func(row int, shape []byte, values []uint32, m *metaChunk) (bool, error),
) error {
	shapes := p.shapesWith(want)
	if shapes == nil {
		return nil
	}
	t := &r.h.table[colMetadata]
	for k := range t.chunks {
		lo := k << t.shift
		n := min(t.n-lo, 1<<t.shift)
		if within != nil && !within.any(lo, lo+n) {
			continue
		}
		used, err := r.shapes(lo, n)
		if err != nil {
			return err
		}
		if !anyShape(used, shapes, lo, within) {
			continue
		}
		m, err := r.peekMeta(k, want)
		if err != nil {
			return err
		}
		for i := range n {
			code := used.at(i)
			if !shapes[code] || within != nil && !within.Has(lo+i) {
				continue
			}
			if more, err := fn(lo+i, p.shapes[code], m.index[m.starts[i]:], m); !more || err != nil {
				return err
			}
		}
	}
	return nil
}

// shapesWith returns which shapes have a wanted path, nil when none does.
func (p *plan) shapesWith(want []bool) []bool {
	shapes, some := make([]bool, len(p.shapes)), false
	for i, s := range p.shapes {
		for _, path := range s {
			if want[path] {
				shapes[i], some = true, true
			}
		}
	}
	if !some {
		return nil
	}
	return shapes
}

func anyShape(used codes, shapes []bool, lo int, within *Rows) bool {
	for i := range used.len() {
		if shapes[used.at(i)] && (within == nil || within.Has(lo+i)) {
			return true
		}
	}
	return false
}

// peekMeta returns a chunk of metadata with the values of the wanted paths, and
// does not keep it.
func (r *Reader) peekMeta(k int, want []bool) (*metaChunk, error) {
	if c := r.chunks[colMetadata][k].Load(); c != nil {
		return c.meta, nil
	}
	c, err := r.decode(colMetadata, k, want)
	if err != nil {
		return nil, err
	}
	return c.meta, nil
}

// MetadataRows adds to rows those whose metadata has a member for which match
// holds. match must depend on its arguments alone: it is called once for values
// that repeat.
func (r *Reader) MetadataRows(keep func(name []byte) bool, match func(name, value []byte) bool, within, rows *Rows) error {
	p, err := r.getPlan()
	if err != nil {
		return err
	}
	s := metaSearch{r: r, plan: p, want: p.wanted(keep), within: within, rows: rows}
	s.inTexts = func(path int, t *textChunk, fn func(i int)) {
		for i := range t.ends {
			if !p.members(path, t.at(i), keep, func(name, v []byte) bool { return !match(name, v) }) {
				fn(i)
			}
		}
	}
	return s.run()
}

// metadataText adds to rows those whose metadata contains the needle.
func (r *Reader) metadataText(n *needle, within, rows *Rows) error {
	p, err := r.getPlan()
	if err != nil {
		return err
	}
	s := metaSearch{r: r, plan: p, want: make([]bool, len(p.paths)), within: within, rows: rows}
	for i := range p.paths {
		s.want[i] = p.paths[i].letters.mayContain(n.lower, true)
	}
	s.inTexts = func(_ int, t *textChunk, fn func(i int)) { t.find(n, true, fn) }
	return s.run()
}

// metaSearch finds rows by values of their metadata.
type metaSearch struct {
	r            *Reader
	plan         *plan
	want         []bool
	within, rows *Rows
	// inTexts calls fn for the texts of a path that match.
	inTexts func(path int, t *textChunk, fn func(i int))
	codes   []set // by path with a dictionary: the values that match
	found   set   // of the texts of a chunk
}

// run looks through the dictionaries first: a path of which no value matches is
// not looked at again.
func (s *metaSearch) run() error {
	s.codes = make([]set, len(s.plan.paths))
	for i := range s.plan.paths {
		if path := &s.plan.paths[i]; s.want[i] && path.dict() {
			if err := s.dictionary(i, path); err != nil {
				return err
			}
			s.want[i] = !s.codes[i].Empty()
		}
	}
	var last *metaChunk
	return s.r.eachMeta(s.plan, s.want, s.within, func(row int, shape []byte, values []uint32, m *metaChunk) (bool, error) {
		if m != last {
			last = m
			s.texts(m)
		}
		for j, path := range shape {
			if s.want[path] && s.has(int(path), m, values[j]) {
				s.rows.Add(row)
				break
			}
		}
		return true, nil
	})
}

func (s *metaSearch) dictionary(i int, path *planPath) error {
	s.codes[i].Reset(path.kind - pathDict)
	return s.r.eachChunk(path.texts, func(first int, c *chunk) error {
		s.inTexts(i, &c.texts, func(k int) { s.codes[i].Add(first + k) })
		return nil
	})
}

// texts finds the texts of a chunk that match.
func (s *metaSearch) texts(m *metaChunk) {
	s.found.Reset(len(m.texts.ends))
	for p, want := range s.want {
		if lo, hi := m.textsOf(p); want && hi > lo {
			part := m.texts.slice(lo, hi)
			s.inTexts(p, &part, func(i int) { s.found.Add(lo + i) })
		}
	}
}

func (s *metaSearch) has(path int, m *metaChunk, index uint32) bool {
	if s.plan.paths[path].dict() {
		return s.codes[path].Has(int(m.codes[index]))
	}
	return s.found.Has(int(index))
}
