package block

import (
	"fmt"
	"slices"
)

// metaChunk is a chunk of metadata, decoded. It is immutable.
type metaChunk struct {
	// starts are where in index each row's values begin, one more than rows.
	// index has for each the number of its text in texts, or of its code in
	// codes where its path has a dictionary.
	starts []uint32
	index  []uint32
	texts  textChunk
	codes  []uint16
	// spans are where the texts of each path are, twice 0 where it has codes.
	spans [][2]uint32
}

// textsOf returns which of the texts are of a path: lo ≤ i < hi.
func (m *metaChunk) textsOf(path int) (lo, hi int) {
	return int(m.spans[path][0]), int(m.spans[path][1])
}

func (m *metaChunk) memory() int {
	return 4*cap(m.starts) + 4*cap(m.index) + 8*cap(m.spans) + 2*cap(m.codes) + m.texts.memory() + 96
}

// metaReader decodes a chunk of metadata.
type metaReader struct {
	plan   *plan
	in     *input
	want   []bool // by path: what is to be decoded, nil for everything
	counts [maxPaths + 1]uint32
	at     [maxPaths + 1]uint32 // where the path's values begin in texts or codes
	out    *metaChunk
}

// readMeta decodes the metadata of n rows from lo on. Of paths not in want, when
// that is not nil, the values are left empty.
func (r *Reader) readMeta(in *input, lo, n int, want []bool) (*metaChunk, error) {
	p, err := r.getPlan()
	if err != nil {
		return nil, err
	}
	shapes, err := r.shapes(lo, n)
	if err != nil {
		return nil, err
	}
	m := &metaReader{plan: p, in: in, want: want, out: &metaChunk{starts: make([]uint32, n+1)}}
	m.count(shapes)
	m.read()
	m.index(shapes)
	return m.out, nil
}

// shapes returns the shapes of n rows from lo on.
func (r *Reader) shapes(lo, n int) (codes, error) {
	shift := r.h.table[colShape].shift
	if first := lo >> shift; first == (lo+n-1)>>shift {
		c, err := r.chunk(colShape, first)
		if err != nil {
			return codes{}, err
		}
		at := lo - first<<shift
		return c.codes.slice(at, at+n), nil
	}
	all := codes{make([]byte, n), make([]byte, n)}
	for i := range n {
		code, err := r.code(colShape, lo+i)
		if err != nil {
			return codes{}, err
		}
		all.low[i], all.high[i] = byte(code), byte(code>>8) //nolint:gosec // below 2^16
	}
	return all, nil
}

// count counts the values of each path and decides where they begin. In texts
// those of paths that share their bytes are behind all others, as these bytes
// are.
func (m *metaReader) count(shapes codes) {
	total := uint32(0)
	for i := range shapes.len() {
		paths := m.plan.shapes[shapes.at(i)]
		for _, p := range paths {
			m.counts[p]++
		}
		total += uint32(len(paths)) //nolint:gosec // small
		m.out.starts[i+1] = total
	}
	texts, codes := uint32(0), uint32(0)
	for p := range m.plan.paths {
		switch kind := m.plan.paths[p].kind; {
		case kind > pathDict:
			m.at[p] = codes
			codes += m.counts[p]
		case kind != pathShared:
			m.at[p] = texts
			texts += m.counts[p]
		}
	}
	for p := range m.plan.paths {
		if m.plan.paths[p].kind == pathShared {
			m.at[p] = texts
			texts += m.counts[p]
		}
	}
	m.out.spans = make([][2]uint32, len(m.plan.paths))
	for p := range m.plan.paths {
		if !m.plan.paths[p].dict() {
			m.out.spans[p] = [2]uint32{m.at[p], m.at[p] + m.counts[p]}
		}
	}
	m.out.index = make([]uint32, total)
	m.out.codes = make([]uint16, codes)
	m.out.texts.ends = make([]uint32, texts)
}

// read decodes the values: first all codes and lengths, then, with room made for
// them, the texts.
func (m *metaReader) read() {
	var own []stored
	size, shared := 0, 0
	for p := range m.plan.paths {
		path := &m.plan.paths[p]
		switch {
		case m.counts[p] == 0:
		case path.dict():
			m.readCodes(p)
		default:
			n := m.readLengths(p)
			size += n + int(m.counts[p])*(len(path.prefix)+len(path.suffix))
			if path.kind == pathShared {
				shared += n
			} else {
				own = append(own, readStored(m.in, n))
			}
			if size > maxChunkBytes {
				m.in.fail("texts are too large")
			}
		}
		if m.in.bad != "" {
			return
		}
	}
	var rest stored
	if shared > 0 {
		rest = readStored(m.in, shared)
	}
	if m.in.bad == "" {
		m.join(own, rest, size)
	}
}

func (m *metaReader) readCodes(p int) {
	codes := m.out.codes[m.at[p]:][:m.counts[p]]
	readInts(m.in, codes)
	if limit := m.plan.paths[p].kind - pathDict; m.in.bad == "" && int(slices.Max(codes)) >= limit {
		m.in.fail("a code is beyond its dictionary")
	}
}

// readLengths reads the lengths of a path's stored texts into where their ends
// will be, and returns the sum.
func (m *metaReader) readLengths(p int) int {
	lengths := m.out.texts.ends[m.at[p]:][:m.counts[p]]
	readInts(m.in, lengths)
	sum := uint64(0)
	for _, n := range lengths {
		if sum += uint64(n); sum > maxChunkBytes {
			m.in.fail("texts are too large")
			return 0
		}
	}
	return int(sum)
}

// join decodes the texts and puts prefixes and suffixes around them.
func (m *metaReader) join(own []stored, shared stored, size int) {
	m.out.texts.buf = make([]byte, 0, size)
	for p := range m.plan.paths {
		if kind := m.plan.paths[p].kind; m.counts[p] > 0 && (kind == pathOwn || kind == pathRaw) {
			m.joinPaths(own[0], p)
			own = own[1:]
		}
	}
	var paths []int
	for p := range m.plan.paths {
		if m.counts[p] > 0 && m.plan.paths[p].kind == pathShared {
			paths = append(paths, p)
		}
	}
	m.joinPaths(shared, paths...)
}

// joinPaths is join for paths whose texts are stored together.
func (m *metaReader) joinPaths(from stored, paths ...int) {
	wanted := m.want == nil || slices.ContainsFunc(paths, func(p int) bool { return m.want[p] })
	s := getScratch(from.size)
	defer s.put()
	if wanted && from.size > 0 {
		b, ok := from.expand(s.b)
		if !ok {
			m.in.fail("values do not have their size")
			return
		}
		s.b = b
	}
	rest, buf := s.b, m.out.texts.buf
	for _, p := range paths {
		path := &m.plan.paths[p]
		ends := m.out.texts.ends[m.at[p]:][:m.counts[p]]
		for i, n := range ends {
			if wanted {
				buf = append(buf, path.prefix...)
				buf = append(buf, rest[:n]...)
				buf = append(buf, path.suffix...)
				rest = rest[n:]
			}
			ends[i] = uint32(len(buf)) //nolint:gosec // at most maxChunkBytes
		}
	}
	m.out.texts.buf = buf
}

// index finds the values of each row.
func (m *metaReader) index(shapes codes) {
	if m.in.bad != "" {
		return
	}
	index := m.out.index
	for row := range shapes.len() {
		paths := m.plan.shapes[shapes.at(row)]
		for i, p := range paths {
			index[i] = m.at[p]
			m.at[p]++
		}
		index = index[len(paths):]
	}
}

func (r *Reader) corrupt(col column, k int, why string) error {
	at := r.h.table[col].chunks[k]
	return fmt.Errorf("block at %d: %w", r.h.FirstSeq, corrupt(int(at.part), fmt.Sprintf("%s, chunk %d", col.name(), k), why))
}
