package block

import (
	"bytes"
	"encoding/binary"
	"math"
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
	if in.bad == "" {
		h.parseParts(in)
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
	paths := in.upTo(maxPaths + 1)
	c[perPath] = pathTexts * paths
	h.pathKinds = make([]int32, paths)
	for i := range h.pathKinds {
		h.pathKinds[i] = int32(in.upTo(pathDict + h.Rows)) //nolint:gosec // small
	}
}

func (h *Header) parseTable(in *input) {
	h.table = make([]tableColumn, 0, len(columns)+len(h.pathKinds))
	for _, info := range columns {
		h.addColumn(in, info, h.counts[info.per])
	}
	for _, kind := range h.pathKinds {
		if kind > pathDict {
			h.addColumn(in, columnInfo{kind: kindSorted, group: groupSmall}, int(kind)-pathDict)
		}
	}
}

// addColumn reads what the header says of a column.
func (h *Header) addColumn(in *input, info columnInfo, n int) {
	h.table = append(h.table, tableColumn{columnInfo: info, shape: shape{n: n, group: info.group}})
	c := &h.table[len(h.table)-1]
	if n == 0 {
		return
	}
	c.shift = in.byte()
	if c.shift > maxShift || info.kind == kindMeta && c.shift > maxMetaShift || info.kind == kindInts && c.shift < minCodesShift {
		in.fail("chunks are too long or too short")
		return
	}
	chunks := c.shape.chunks()
	if chunks > len(in.rest) {
		in.fail("there are more chunks than sizes")
		return
	}
	c.chunks = make([]place, chunks)
	for i := range c.chunks {
		c.chunks[i].size = uint32(in.upTo(maxChunkBytes)) //nolint:gosec // within its limit
	}
	if info.alphabet {
		if b := in.bytes(alphabetBytes); b != nil {
			c.letters = readAlphabet(b)
		}
	}
	if info.kind == kindSorted {
		c.parseSeparators(in, chunks-1)
	}
}

func (c *tableColumn) parseSeparators(in *input, n int) {
	c.separators = make([][]byte, n)
	var last []byte
	for i := range c.separators {
		sep := bytes.Clone(in.bytes(in.length()))
		if bytes.Compare(last, sep) > 0 {
			in.fail("separators are not in order")
		}
		c.separators[i], last = sep, sep
	}
}

// parseParts reads how many chunks each part has, and lays them out.
func (h *Header) parseParts(in *input) {
	n := in.upTo(maxParts)
	if in.bad != "" || n > len(in.rest) {
		in.fail("there are more parts than sizes")
		return
	}
	h.Parts = n + FilterPart + 1
	h.parts = make([]partInfo, 1, n+1)
	h.parts[0] = partInfo{uint32(in.upTo(maxChunkBytes)), readSum(in)} //nolint:gosec // within its limit
	h.Bytes += int(h.parts[0].size)
	shapes := make([]shape, len(h.table))
	for i := range h.table {
		shapes[i] = h.table[i].shape
	}
	left := 0
	var sum uint32
	end := func() {
		p := &h.parts[len(h.parts)-1]
		p.size, p.sum = p.size+4, sum
		h.Bytes += int(p.size)
	}
	for ref := range layout(shapes) {
		if left == 0 {
			if len(h.parts) > 1 {
				end()
			}
			if len(h.parts) > n {
				in.fail("parts have fewer chunks than there are")
				return
			}
			left, sum = in.upTo(math.MaxInt32), readSum(in)
			h.parts = append(h.parts, partInfo{size: 1})
			if left == 0 {
				in.fail("a part has no chunks")
				return
			}
		}
		left--
		p := &h.parts[len(h.parts)-1]
		at := &h.table[ref.col].chunks[ref.chunk]
		at.part, at.offset = uint16(len(h.parts)), p.size //nolint:gosec // at most maxParts
		if p.size += at.size; p.size > 2*maxChunkBytes {
			in.fail("a part is too large")
			return
		}
	}
	end()
	if left > 0 || len(h.parts) != n+1 {
		in.fail("parts have more chunks than there are")
	}
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
	n := 512 + 8*cap(h.Days) + 8*cap(h.parts) + 4*cap(h.pathKinds) + 160*cap(h.table)
	for i := range h.table {
		c := &h.table[i]
		n += 12 * cap(c.chunks)
		for _, sep := range c.separators {
			n += 24 + cap(sep)
		}
	}
	return n
}
