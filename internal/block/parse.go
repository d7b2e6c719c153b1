package block

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// maxTime is the latest occurred_at that an event may have.
const maxTime = 9_214_646_399_999_999_999

// ParseHeader reads part 0. It keeps nothing of b.
func ParseHeader(b []byte) (*Header, error) {
	body, _, err := openPart(HeaderPart, b)
	if err != nil {
		return nil, err
	}
	in := &input{rest: body}
	h := &Header{Bytes: len(b)}
	h.parseBounds(in)
	h.parseDays(in)
	h.parseCounts(in)
	if in.bad == "" {
		h.parseTable(in)
	}
	in.end()
	if in.bad != "" {
		return nil, corrupt(HeaderPart, "header", in.bad)
	}
	return h, nil
}

func (h *Header) parseBounds(in *input) {
	flags, exponent := in.byte(), in.byte()
	if flags&^headerKnow != 0 || exponent > 3 {
		in.fail("unknown flags or unit of time")
	}
	h.Sorted = flags&flagSorted != 0
	h.unit = [4]int64{1, 1_000, 1_000_000, 1_000_000_000}[exponent&3]
	h.Rows = in.upTo(MaxRows)
	h.FirstSeq = in.uvarint()
	h.FirstReceived, h.LastReceived = in.int64(), in.int64()
	h.MinOccurred, h.MaxOccurred = in.int64(), in.int64()
	if h.Rows == 0 || h.FirstSeq > math.MaxInt64 || h.LastReceived > math.MaxInt64-h.FirstReceived ||
		h.MinOccurred > maxTime || h.MaxOccurred > maxTime-h.MinOccurred {
		in.fail("a bound is beyond its limit")
		return
	}
	h.LastReceived += h.FirstReceived
	h.MaxOccurred += h.MinOccurred
}

func (h *Header) parseDays(in *input) {
	n := in.upTo(h.Rows)
	if in.bad != "" || n > len(in.rest) {
		in.fail("there are more days than rows")
		return
	}
	h.Days = make([]Day, n)
	day, rows := 0, 0
	for i := range h.Days {
		gap, count := in.upTo(maxTime/dayNanos), in.upTo(h.Rows)
		day += gap
		rows += count
		if count == 0 || i > 0 && gap == 0 || day > maxTime/dayNanos {
			in.fail("days are not in order")
			return
		}
		h.Days[i] = Day{int32(day), int32(count)} //nolint:gosec // within the limits above
	}
	if n == 0 || rows != h.Rows || int64(h.Days[0].Day) != h.MinOccurred/dayNanos || int64(h.Days[n-1].Day) != h.MaxOccurred/dayNanos {
		in.fail("days do not add up")
	}
}

func (h *Header) parseCounts(in *input) {
	c := &h.counts
	c[perRow] = h.Rows
	c[perSlot] = in.upTo(MaxTargets)
	// The least and the most there can be of each: none is empty but for targets.
	for i, limit := range [...]int{
		perAction: h.Rows, perActorType: h.Rows, perActorID: h.Rows, perActor: h.Rows,
		perTargetType: c[perSlot], perTargetID: c[perSlot], perTarget: min(c[perSlot], maxCodes),
		perLocation: h.Rows, perAgent: h.Rows, perShape: h.Rows,
	} {
		if i <= int(perSlot) {
			continue
		}
		c[i] = in.upTo(limit)
		if (c[i] == 0) != (limit == 0) {
			in.fail("a dictionary is empty")
		}
	}
	if c[perActorID] > c[perActor] || c[perTargetID] > c[perTarget] {
		in.fail("there are more ids than profiles")
	}
	c[perPairs] = len(pairColumns)
	h.MaxTargets = in.upTo(c[perSlot])
	if h.MaxTargets*h.Rows < c[perSlot] {
		in.fail("rows have fewer targets than there are")
	}
	paths := in.upTo(maxPaths + 1)
	c[perPath] = pathTexts * paths
	h.pathKinds = make([]int32, paths)
	for i := range h.pathKinds {
		h.pathKinds[i] = int32(in.upTo(pathDict + h.Rows)) //nolint:gosec // small
	}
}

// tableParser gathers what the header keeps of all columns together.
type tableParser struct {
	h  *Header
	in *input
	// Of the chunks in the order of the table.
	sizes      []uint32
	separators []byte
	ends       []uint32
	// Of columns: the first of their chunks in sizes.
	firsts []uint32
	shapes []shape
}

var tableParsers sync.Pool //nolint:gochecknoglobals // a pool, and nothing but one

func (h *Header) parseTable(in *input) {
	t, ok := tableParsers.Get().(*tableParser)
	if !ok {
		t = &tableParser{}
	}
	defer tableParsers.Put(t)
	t.h, t.in = h, in
	t.sizes, t.separators, t.ends, t.shapes = t.sizes[:0], t.separators[:0], t.ends[:0], t.shapes[:0]
	defer func() { t.h, t.in = nil, nil }()
	n := len(columns)
	for _, kind := range h.pathKinds {
		if kind > pathDict {
			n++
		}
	}
	h.table = make([]tableColumn, 0, n)
	for _, info := range columns {
		t.column(info, h.counts[info.per])
	}
	for _, kind := range h.pathKinds {
		if kind > pathDict {
			t.column(columnInfo{kind: kindSorted, group: groupSmall}, int(kind)-pathDict)
		}
	}
	if in.bad == "" {
		h.separators, h.separatorEnds = bytes.Clone(t.separators), slices.Clone(t.ends)
		t.parseParts()
	}
}

// column reads what the header says of a column.
func (t *tableParser) column(info columnInfo, n int) {
	h, in := t.h, t.in
	h.table = append(h.table, tableColumn{
		columnInfo: info, shape: shape{n: n, group: info.group},
		first: uint32(len(t.sizes)), stride: 1, firstSeparator: uint32(len(t.ends)), //nolint:gosec // bounded by the header's bytes
	})
	if n == 0 || in.bad != "" {
		return
	}
	c := &h.table[len(h.table)-1]
	c.shift = in.byte()
	if c.shift > maxShift || info.kind == kindMeta && c.shift > maxMetaShift || info.kind == kindInts && c.shift < minCodesShift {
		in.fail("chunks are too long or too short")
		return
	}
	chunks := c.chunks()
	if chunks > len(in.rest) {
		in.fail("there are more chunks than sizes")
		return
	}
	for range chunks {
		t.sizes = append(t.sizes, uint32(in.upTo(maxChunkBytes))) //nolint:gosec // within its limit
	}
	if info.alphabet {
		if b := in.bytes(alphabetBytes); b != nil {
			c.letters = readAlphabet(b)
		}
	}
	if info.kind == kindSorted {
		t.readSeparators(chunks - 1)
	}
	if len(h.table) == int(colTargetEnd)+1 {
		h.parseSlots(in, chunks)
	}
}

func (t *tableParser) readSeparators(n int) {
	var last []byte
	for range n {
		sep := t.in.bytes(t.in.length())
		if bytes.Compare(last, sep) > 0 {
			t.in.fail("separators are not in order")
		}
		t.separators = append(t.separators, sep...)
		t.ends = append(t.ends, uint32(len(t.separators))) //nolint:gosec // bounded by the header's bytes
		last = sep
	}
}

func (h *Header) parseSlots(in *input, chunks int) {
	h.slots = make([]uint32, chunks)
	sum := 0
	for i := range h.slots {
		sum += in.upTo(MaxTargets)
		h.slots[i] = uint32(sum) //nolint:gosec // of no use when beyond
	}
	if sum != h.counts[perSlot] {
		in.fail("targets do not add up")
	}
}

// parseParts reads how many chunks each part has, and lays them out.
func (t *tableParser) parseParts() {
	h, in := t.h, t.in
	n := in.upTo(maxParts)
	if in.bad != "" || n > len(in.rest) {
		in.fail("there are more parts than sizes")
		return
	}
	h.Parts = n + FilterPart + 1
	h.parts = make([]partInfo, 1, n+1)
	h.parts[0] = partInfo{size: uint32(in.upTo(maxChunkBytes)), sum: readSum(in)} //nolint:gosec // within its limit
	h.Bytes += int(h.parts[0].size)
	t.layOut(n)
}

// layOut decides where the chunks are: which of the whole block are a column's,
// and where the n parts of columns begin.
func (t *tableParser) layOut(n int) {
	h, in := t.h, t.in
	t.firsts = t.firsts[:0]
	for i := range h.table {
		t.shapes, t.firsts = append(t.shapes, h.table[i].shape), append(t.firsts, h.table[i].first)
	}
	h.starts = make([]uint32, 0, len(t.sizes)+1)
	left, at := 0, uint32(0)
	for ref := range layout(t.shapes) {
		if left == 0 {
			if left = h.nextPart(in, at, n); left == 0 {
				return
			}
		}
		left--
		c := &h.table[ref.col]
		switch ref.chunk {
		case 0:
			c.first = uint32(len(h.starts)) //nolint:gosec // bounded by the header's bytes
		case 1:
			c.stride = uint32(len(h.starts)) - c.first //nolint:gosec // bounded by the header's bytes
		}
		h.starts = append(h.starts, at)
		size := t.sizes[int(t.firsts[ref.col])+ref.chunk]
		if at += size; at > maxColumnBytes {
			in.fail("there are too many bytes")
			return
		}
		h.parts[len(h.parts)-1].size += size
	}
	h.starts = append(h.starts, at)
	for i := range h.parts[1:] {
		h.Bytes += int(h.parts[1+i].size)
	}
	if left > 0 || len(h.parts) != n+1 {
		in.fail("parts have more chunks than there are")
	}
}

// nextPart reads what the header says of the next of n parts of columns, whose
// first chunk begins at a place. It returns the number of its chunks, 0 when it
// fails.
func (h *Header) nextPart(in *input, at uint32, n int) (chunks int) {
	chunks = in.upTo(math.MaxInt32)
	h.parts = append(h.parts, partInfo{size: partOverhead, sum: readSum(in), begin: at})
	if len(h.parts) > n+1 || chunks == 0 {
		in.fail("parts do not have as many chunks as there are")
		return 0
	}
	return chunks
}

func readSum(in *input) uint32 {
	b := in.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// MemoryBytes is what the header takes, about.
func (h *Header) MemoryBytes() int {
	const header, column, part = 448, 56, 12
	return header + 8*cap(h.Days) + 4*cap(h.pathKinds) + column*cap(h.table) + part*cap(h.parts) +
		4*cap(h.starts) + cap(h.separators) + 4*cap(h.separatorEnds) + 4*cap(h.slots)
}
