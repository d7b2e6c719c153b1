package block

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// partVersion is the first byte of every part.
const partVersion = 1

// writer turns columns into parts. It keeps its memory.
type writer struct {
	texts   textsWriter
	cols    []source
	shapes  []shape    // of cols
	lengths [][]uint32 // of the chunks of each column
	parts   []outPart
	count   int   // of parts in use
	group   group // of the last chunk
	nums    []uint64
	shared  []byte // values of metadata
	pairs   [][]byte
	batch   [][]byte

	header, filter []byte
	out            [][]byte
}

// outPart is one part of columns.
type outPart struct {
	b      []byte
	chunks int
}

// source is one column that is to be written.
type source struct {
	columnInfo
	shape
	num  func(i int) uint64
	text func(i int) []byte
	// letters are those of the texts, when the header is to have it.
	letters alphabet
	// compressed says that the last chunk of codes was made smaller by it.
	compressed bool
	store      storing
	// separators are of sorted texts, between each chunk and the next.
	separators [][]byte
}

// write writes the block that finish has made ready.
func (e *Encoder) write() [][]byte {
	w := &e.writer
	w.cols = w.cols[:0]
	e.addColumns()
	w.setShifts(e)
	w.count = 0
	for len(w.lengths) < len(w.cols) {
		w.lengths = append(w.lengths, nil)
	}
	for i := range w.cols {
		w.lengths[i] = w.lengths[i][:0]
	}
	w.shapes = w.shapes[:0]
	for i := range w.cols {
		w.shapes = append(w.shapes, w.cols[i].shape)
	}
	for ref := range layout(w.shapes) {
		w.chunk(e, ref)
	}
	w.out = append(w.out[:0], nil, nil)
	for i := range w.parts[:w.count] {
		p := &w.parts[i]
		p.b = seal(p.b)
		w.out = append(w.out, p.b)
	}
	w.filter = seal(e.appendFilter(append(w.filter[:0], partVersion)))
	w.out[FilterPart] = w.filter
	w.header = seal(e.appendHeader(append(w.header[:0], partVersion)))
	w.out[HeaderPart] = w.header
	return w.out
}

// chunk writes one chunk to the current part or a new one.
func (w *writer) chunk(e *Encoder, ref chunkRef) {
	c := &w.cols[ref.col]
	if w.count == 0 {
		w.newPart()
	}
	p := &w.parts[w.count-1]
	if p.chunks > 0 && w.group != c.shape.group && len(p.b) >= minPartBytes {
		p = w.newPart()
	}
	w.group = c.shape.group
	start := len(p.b)
	p.b = w.appendChunk(p.b, e, c, ref.chunk)
	size := len(p.b) - start
	if len(p.b) > partBytes && p.chunks > 0 {
		next := w.newPart()
		p = &w.parts[w.count-2]
		next.b = append(next.b, p.b[start:]...)
		p.b = p.b[:start]
		p = next
	}
	p.chunks++
	w.lengths[ref.col] = append(w.lengths[ref.col], uint32(size)) //nolint:gosec // bounded
}

func (w *writer) newPart() *outPart {
	if w.count == len(w.parts) {
		w.parts = append(w.parts, outPart{})
	}
	p := &w.parts[w.count]
	w.count++
	p.b, p.chunks = append(p.b[:0], partVersion), 0
	return p
}

// seal appends the checksum of a part.
func seal(part []byte) []byte {
	return binary.LittleEndian.AppendUint32(part, crc32.Checksum(part, castagnoli()))
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendChunk encodes one chunk of a column.
func (w *writer) appendChunk(dst []byte, e *Encoder, c *source, chunk int) []byte {
	lo := chunk << c.shift
	hi := min(c.n, lo+1<<c.shift)
	switch c.kind {
	case kindMeta:
		return e.appendMeta(dst, lo, hi)
	case kindTexts, kindSorted:
		w.batch = w.batch[:0]
		for i := lo; i < hi; i++ {
			w.batch = append(w.batch, c.text(i))
		}
		if c.kind == kindSorted && lo > 0 {
			c.separators = append(c.separators, separator(c.text(lo-1), c.text(lo)))
		}
		return w.texts.append(dst, w.batch, c.kind == kindSorted, &c.store)
	}
	w.nums = w.nums[:0]
	for i := lo; i < hi; i++ {
		w.nums = append(w.nums, c.num(i))
	}
	if c.kind == kindInts {
		try := c.compressed || chunk%retryChunks == 0
		dst, c.compressed = w.texts.ints.appendCodes(dst, w.nums, try)
		return dst
	}
	return w.appendDifferences(dst, c, lo)
}

// appendDifferences encodes numbers as a first one and differences. Of ends the
// first is where the first thing begins, of others the first value itself.
func (w *writer) appendDifferences(dst []byte, c *source, lo int) []byte {
	nums, last := w.nums, w.nums[0]
	if c.kind == kindEnds {
		last = 0
		if lo > 0 {
			last = c.num(lo - 1)
		}
	} else {
		nums = nums[1:]
	}
	dst = binary.AppendUvarint(dst, last)
	for i, v := range nums {
		nums[i] = v - last
		if c.kind == kindTimes {
			nums[i] = zigzag(int64(v - last)) //nolint:gosec // a difference, either sign
		}
		last = v
	}
	if len(nums) == 0 {
		return dst
	}
	return w.texts.ints.append(dst, nums)
}

// separator returns the least beginning of first, the first text of a chunk, that
// is above last, the last text of the chunk before; all of it when they are equal.
func separator(last, first []byte) []byte {
	return first[:min(len(first), shared(last, first)+1)]
}

func zigzag(d int64) uint64   { return uint64(d<<1) ^ uint64(d>>63) } //nolint:gosec // bits
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// retryChunks is after how many chunks for which compressing did nothing it is
// tried again: a column is much the same from its beginning to its end.
const retryChunks = 8

// setShifts decides how long the chunks of each column are: those of a group
// that has as many values together.
func (w *writer) setShifts(e *Encoder) {
	for i := range w.cols {
		c := &w.cols[i]
		switch {
		case c.kind == kindMeta:
			c.shift = textShift(e.metadata.bytes(), c.n, chunkBytes, maxMetaShift)
		case c.kind == kindTexts || c.kind == kindSorted:
			if p := &w.cols[max(i-1, 0)]; i > 0 && p.columnInfo == c.columnInfo {
				p.shift = textShift(p.textBytes()+c.textBytes(), c.n, chunkBytes, maxTextShift)
				c.shift = p.shift
				continue
			}
			if c.kind == kindSorted {
				c.shift = textShift(c.textBytes(), c.n, sortedBytes, maxSortShift)
				continue
			}
			c.shift = textShift(c.textBytes(), c.n, chunkBytes, maxTextShift)
		case c.per == perRow && c.kind != kindInts:
			c.shift = timesShift
		default:
			c.shift = codesShift
		}
	}
}

func (s *source) textBytes() int {
	n := 0
	for i := range s.n {
		n += len(s.text(i))
	}
	return n
}

// textShift returns the shift with which n values of size bytes in all make
// chunks of about chunkBytes.
func textShift(size, n, want, most int) uint8 {
	average := max(1, size/max(1, n))
	return uint8(min(max(bits.Len(uint(want/average)), minTextShift), most)) //nolint:gosec // small
}
