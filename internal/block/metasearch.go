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
	w := metaWalk{r: r, plan: p, want: p.wanted(keep), within: within}
	for w.next() {
		more := w.each(func(row, path int, at uint32) bool {
			var value []byte
			if value, w.err = r.metaValue(p, &w.chunk, path, at); w.err != nil {
				return false
			}
			return p.members(path, value, keep, func(name, v []byte) bool { return fn(row, name, v) })
		})
		if !more {
			break
		}
	}
	return w.err
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

// metaWalk goes through the chunks of metadata that have values of wanted paths in
// rows that are looked at. Others are not decoded, nor are values of other paths.
type metaWalk struct {
	r      *Reader
	plan   *plan
	want   []bool
	within *Rows

	shapes []bool // those with a wanted path; set by next
	number int    // of the next chunk
	err    error
	// Of the current chunk.
	first    int
	used     []uint16 // shapes of its rows
	chunk    metaChunk
	borrowed bool // the chunk is the reader's
	cursor   []uint32
}

// next goes on to the next chunk. It reports false at the end and when there is
// an error.
func (w *metaWalk) next() bool {
	if w.shapes == nil {
		if w.shapes = w.plan.shapesWith(w.want); w.shapes == nil {
			return false
		}
	}
	t := &w.r.h.table[colMetadata]
	for ; w.number < t.chunks(); w.number++ {
		w.first = w.number << t.shift
		n := min(t.n-w.first, 1<<t.shift)
		if w.within != nil && !w.within.any(w.first, w.first+n) {
			continue
		}
		if w.used, w.err = w.r.shapes(w.used[:0], w.first, n); w.err != nil {
			return false
		}
		if anyShape(w.used, w.shapes, w.first, w.within) {
			w.err = w.decode(w.number)
			w.number++
			return w.err == nil
		}
	}
	return false
}

// decode makes a chunk the current one: what the reader has of it, or else what
// is wanted of it, in the memory of the one before.
func (w *metaWalk) decode(k int) error {
	if c := w.r.chunks[colMetadata][k].Load(); c != nil {
		w.chunk, w.borrowed = *c.meta, true
		return nil
	}
	if w.borrowed {
		w.chunk, w.borrowed = metaChunk{}, false
	}
	in, err := w.r.input(colMetadata, k)
	if err != nil {
		return err
	}
	m := &metaReader{plan: w.plan, in: in, want: w.want, out: &w.chunk}
	m.count(w.used)
	m.read()
	return w.r.finish(in, colMetadata, k)
}

// each calls fn for the current chunk's values of wanted paths, in order of row,
// with the number of the value in its path's texts or codes. It reports false
// when fn did.
func (w *metaWalk) each(fn func(row, path int, at uint32) bool) bool {
	w.cursor = append(w.cursor[:0], w.chunk.at...)
	for i, code := range w.used {
		if !w.shapes[code] {
			continue
		}
		row := w.first + i
		looked := w.within == nil || w.within.Has(row)
		for _, p := range w.plan.shapes[code] {
			if !w.want[p] {
				continue
			}
			at := w.cursor[p]
			w.cursor[p]++
			if looked && !fn(row, int(p), at) {
				return false
			}
		}
	}
	return true
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

func anyShape(used []uint16, shapes []bool, lo int, within *Rows) bool {
	for i, s := range used {
		if shapes[s] && (within == nil || within.Has(lo+i)) {
			return true
		}
	}
	return false
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
	w := metaWalk{r: s.r, plan: s.plan, want: s.want, within: s.within}
	for w.next() {
		if s.texts(&w.chunk) {
			w.each(func(row, path int, at uint32) bool {
				if s.has(path, &w.chunk, at) {
					s.rows.Add(row)
				}
				return true
			})
		}
	}
	return w.err
}

func (s *metaSearch) dictionary(i int, path *planPath) error {
	s.codes[i].Reset(path.kind - pathDict)
	return s.r.eachTexts(path.texts, func(first int, t *textChunk) error {
		s.inTexts(i, t, func(k int) { s.codes[i].Add(first + k) })
		return nil
	})
}

// texts finds the texts of a chunk that match. It reports false when no value can
// match.
func (s *metaSearch) texts(m *metaChunk) (some bool) {
	s.found.Reset(len(m.texts.ends))
	for p, want := range s.want {
		switch {
		case !want || m.counts[p] == 0:
		case s.plan.paths[p].dict():
			some = true
		default:
			lo, hi := m.textsOf(p)
			part := m.texts.slice(lo, hi)
			s.inTexts(p, &part, func(i int) {
				s.found.Add(lo + i)
				some = true
			})
		}
	}
	return some
}

func (s *metaSearch) has(path int, m *metaChunk, index uint32) bool {
	if s.plan.paths[path].dict() {
		return s.codes[path].Has(int(m.codes[index]))
	}
	return s.found.Has(int(index))
}
