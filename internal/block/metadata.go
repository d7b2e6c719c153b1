package block

import "slices"

// metaChunk is a chunk of metadata, decoded. It is immutable but for one that a
// search walks through, which it uses again for the next chunk.
type metaChunk struct {
	texts textChunk
	codes []uint16
	// at is where the values of each path begin, in the order of the rows: in
	// codes where the path has a dictionary, else in texts; counts is how many
	// there are.
	at, counts []uint32
	// starts are where in index each row's values begin, one more than rows.
	// index has for each its number in texts or in codes. Both are made for
	// chunks that are kept, of which rows are asked for one by one.
	starts []uint32
	index  []uint32
}

// textsOf returns which of the texts are of a path without a dictionary: lo ≤ i
// < hi.
func (m *metaChunk) textsOf(path int) (lo, hi int) {
	return int(m.at[path]), int(m.at[path] + m.counts[path])
}

func (m *metaChunk) memory() int {
	return 4*cap(m.starts) + 4*cap(m.index) + 4*cap(m.at) + 4*cap(m.counts) + 2*cap(m.codes) + m.texts.memory() + 96
}

// metaReader decodes a chunk of metadata.
type metaReader struct {
	plan *plan
	in   *input
	want []bool // by path: what is to be decoded, nil for everything
	out  *metaChunk
}

// indexMeta decodes the metadata of n rows from lo on with its index, in the
// memory of out.
func (r *Reader) indexMeta(in *input, lo, n int, out *metaChunk) error {
	p, err := r.getPlan()
	if err != nil {
		return err
	}
	shapes, err := r.shapes(nil, lo, n)
	if err != nil {
		return err
	}
	m := &metaReader{plan: p, in: in, out: out}
	m.count(shapes)
	m.read()
	if in.bad == "" {
		out.makeIndex(p, shapes)
	}
	return nil
}

// shapes appends the shapes of n rows from lo on.
func (r *Reader) shapes(dst []uint16, lo, n int) ([]uint16, error) {
	return r.appendCodes(dst, colShape, lo, lo+n)
}

// count counts the values of each path and decides where they begin. In texts
// those of paths that share their bytes are behind all others, as these bytes
// are.
func (m *metaReader) count(shapes []uint16) {
	paths, out := m.plan.paths, m.out
	out.at = append(out.at[:0], make([]uint32, len(paths))...)
	out.counts = append(out.counts[:0], make([]uint32, len(paths))...)
	rows := make([]uint32, len(m.plan.shapes))
	for _, s := range shapes {
		rows[s]++
	}
	for s, n := range rows {
		if n > 0 {
			for _, p := range m.plan.shapes[s] {
				out.counts[p] += n
			}
		}
	}
	texts, codes := uint32(0), uint32(0)
	for p := range paths {
		switch {
		case paths[p].dict():
			out.at[p] = codes
			codes += out.counts[p]
		case paths[p].kind != pathShared:
			out.at[p] = texts
			texts += out.counts[p]
		}
	}
	for p := range paths {
		if paths[p].kind == pathShared {
			out.at[p] = texts
			texts += out.counts[p]
		}
	}
	out.codes = slices.Grow(out.codes[:0], int(codes))[:codes]
	out.texts.ends = slices.Grow(out.texts.ends[:0], int(texts))[:texts]
}

// read decodes the values: first all codes and lengths, then, with room made for
// them, the texts.
func (m *metaReader) read() {
	var own []stored
	size, shared := 0, 0
	for p := range m.plan.paths {
		path := &m.plan.paths[p]
		switch {
		case m.out.counts[p] == 0:
		case path.dict():
			m.readCodes(p)
		default:
			n := m.readLengths(p)
			size += n + int(m.out.counts[p])*(len(path.prefix)+len(path.suffix))
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
	codes := m.out.codes[m.out.at[p]:][:m.out.counts[p]]
	readInts(m.in, codes)
	if limit := m.plan.paths[p].kind - pathDict; m.in.bad == "" && int(slices.Max(codes)) >= limit {
		m.in.fail("a code is beyond its dictionary")
	}
}

// readLengths reads the lengths of a path's stored texts into where their ends
// will be, and returns the sum.
func (m *metaReader) readLengths(p int) int {
	lengths := m.out.texts.ends[m.out.at[p]:][:m.out.counts[p]]
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
	m.out.texts.buf = slices.Grow(m.out.texts.buf[:0], size)
	for p := range m.plan.paths {
		if kind := m.plan.paths[p].kind; m.out.counts[p] > 0 && (kind == pathOwn || kind == pathRaw) {
			m.joinPaths(own[0], p)
			own = own[1:]
		}
	}
	var paths []int
	for p := range m.plan.paths {
		if m.out.counts[p] > 0 && m.plan.paths[p].kind == pathShared {
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
	rest := s.b
	for _, p := range paths {
		ends := m.out.texts.ends[m.out.at[p]:][:m.out.counts[p]]
		if wanted {
			rest = m.joinPath(&m.plan.paths[p], ends, rest)
			continue
		}
		for i := range ends {
			ends[i] = uint32(len(m.out.texts.buf)) //nolint:gosec // at most maxChunkBytes
		}
	}
}

// joinPath puts the values of one path together, whose lengths are in ends, which
// becomes where they end. It returns what is left of the stored texts.
func (m *metaReader) joinPath(path *planPath, ends []uint32, rest []byte) []byte {
	const near, far = 16, 32 // copies of so many bytes are done without a call
	var prefix, suffix [near]byte
	p, q := copy(prefix[:], path.prefix), copy(suffix[:], path.suffix)
	short := p == len(path.prefix) && q == len(path.suffix)
	buf, all, from := m.out.texts.buf, rest[:cap(rest)], 0
	for i, n := range ends {
		size, at := int(n), len(buf)
		if end := at + p + size + q; short && size <= far && from+far <= len(all) && at+p+far+near <= cap(buf) {
			room := buf[:at+p+far+near]
			copy(room[at:at+near], prefix[:])
			copy(room[at+p:at+p+far], all[from:from+far])
			copy(room[at+p+size:at+p+size+near], suffix[:])
			buf = buf[:end]
		} else {
			buf = append(buf, path.prefix...)
			buf = append(buf, rest[from:from+size]...)
			buf = append(buf, path.suffix...)
		}
		from += size
		ends[i] = uint32(len(buf)) //nolint:gosec // at most maxChunkBytes
	}
	m.out.texts.buf = buf
	return rest[from:]
}

// makeIndex finds the values of each row.
func (m *metaChunk) makeIndex(p *plan, shapes []uint16) {
	total := uint32(0)
	m.starts = append(slices.Grow(m.starts[:0], len(shapes)+1), 0)[:len(shapes)+1]
	for row, s := range shapes {
		total += uint32(len(p.shapes[s])) //nolint:gosec // small
		m.starts[row+1] = total
	}
	m.index = slices.Grow(m.index[:0], int(total))[:total]
	next := slices.Clone(m.at)
	index := m.index
	for _, s := range shapes {
		paths := p.shapes[s]
		for i, path := range paths {
			index[i] = next[path]
			next[path]++
		}
		index = index[len(paths):]
	}
}
