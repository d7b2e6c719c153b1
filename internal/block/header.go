package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
)

// ErrCorrupt is in every error that says that a block is not what an [Encoder]
// writes. Errors of fetching a part are passed on and do not have it.
var ErrCorrupt = errors.New("corrupt block")

// ErrVersion is in every error that says that a part was written in a newer
// format than this program knows.
var ErrVersion = errors.New("block of a newer format")

func corrupt(part int, what, why string) error {
	return fmt.Errorf("part %d: %s: %s: %w", part, what, why, ErrCorrupt)
}

// Header is what is known of a block without reading more of it. It is small,
// immutable and may be used concurrently.
type Header struct {
	// Rows is the number of entries, FirstSeq the seq of the first.
	Rows     int
	FirstSeq uint64
	// FirstReceived and LastReceived are the received_at of the first and the
	// last entry, in Unix milliseconds.
	FirstReceived, LastReceived int64
	// MinOccurred and MaxOccurred are the exact bounds of occurred_at, both
	// included, in Unix nanoseconds.
	MinOccurred, MaxOccurred int64
	// Sorted says that occurred_at never decreases from entry to entry.
	Sorted bool
	// Days counts the entries by UTC day of occurred_at, in order; days
	// without entries are not there.
	Days []Day
	// MaxTargets is the number of targets of the entry that has most.
	MaxTargets int
	// Parts is the number of parts, header and filter included.
	Parts int
	// Bytes is the size of all parts.
	Bytes int

	counts    [numCounted]int
	unit      int64 // of occurred_at
	pathKinds []int32
	table     []tableColumn
	parts     []partInfo // from FilterPart on
	// starts are where the chunks begin in all parts of columns put together
	// without their versions and checksums, in the order they are stored in, and
	// where the last one ends.
	starts []uint32
	// separators are those of all columns, put together, with where each ends.
	separators    []byte
	separatorEnds []uint32
	slots         []uint32 // where the targets of each chunk of rows end
}

// Day counts the entries of one day.
type Day struct {
	Day  int32 // since 1970-01-01, UTC
	Rows int32
}

// dayNanos is the length of a day.
const dayNanos = 24 * 60 * 60 * 1_000_000_000

// tableColumn is what the header says of a column.
type tableColumn struct {
	columnInfo
	shape
	first, stride  uint32 // of its chunks among all: the first, and from one to the next
	firstSeparator uint32
	letters        alphabet
}

// place is where a chunk is.
type place struct{ part, offset, size int }

// partInfo is a part; begin is that of its first chunk as in Header.starts.
type partInfo struct {
	size  uint32 // version and checksum included
	sum   uint32
	begin uint32
}

// place returns where a chunk is.
func (h *Header) place(col column, k int) place {
	t := &h.table[col]
	i := int(t.first) + k*int(t.stride)
	start := h.starts[i]
	columns := h.parts[1:] // without the filter
	p := sort.Search(len(columns), func(p int) bool { return columns[p].begin > start })
	return place{p + FilterPart, int(start-columns[p-1].begin) + 1, int(h.starts[i+1] - start)}
}

// separator returns the i-th separator of a column.
func (h *Header) separator(t *tableColumn, i int) []byte {
	at, begin := int(t.firstSeparator)+i, uint32(0)
	if at > 0 {
		begin = h.separatorEnds[at-1]
	}
	return h.separators[begin:h.separatorEnds[at]]
}

// slotsOf returns the targets of a chunk of rows: lo ≤ i < hi.
func (h *Header) slotsOf(k int) (lo, hi int) {
	if k >= len(h.slots) {
		return 0, 0
	}
	if k > 0 {
		lo = int(h.slots[k-1])
	}
	return lo, int(h.slots[k])
}

// Flags of the header.
const (
	flagSorted = 1 << 0
	headerKnow = flagSorted
)

// appendHeader encodes the header. The other parts are complete.
func (e *Encoder) appendHeader(dst []byte) []byte {
	w := &e.writer
	low, high, sorted := bounds(e.occurred)
	var flags byte
	if sorted {
		flags |= flagSorted
	}
	_, exponent := timeUnit(e.occurred)
	dst = append(dst, flags, byte(exponent)) //nolint:gosec // at most 3
	for _, v := range [...]uint64{
		uint64(len(e.occurred)), e.firstSeq, uint64(e.received[0]), uint64(e.received[len(e.received)-1] - e.received[0]), //nolint:gosec // not negative
		uint64(low), uint64(high - low), //nolint:gosec // not negative
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = e.appendDays(dst)
	for c, n := range e.counts() {
		if counted(c) != perRow && counted(c) < perPath {
			dst = binary.AppendUvarint(dst, uint64(n)) //nolint:gosec // not negative
		}
	}
	dst = binary.AppendUvarint(dst, uint64(e.mostTargets()))
	dst = binary.AppendUvarint(dst, uint64(e.metadata.used)) //nolint:gosec // not negative
	for _, p := range e.metadata.paths[:e.metadata.used] {
		dst = binary.AppendUvarint(dst, uint64(p.kind)) //nolint:gosec // not negative
	}
	for i := range w.cols {
		dst = w.cols[i].appendTable(dst, w.lengths[i])
		if column(i) == colTargetEnd {
			dst = e.appendSlots(dst, w.cols[i].shift)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(w.count)) //nolint:gosec // not negative
	for i, part := range w.out[FilterPart:] {
		if i > 0 {
			dst = binary.AppendUvarint(dst, uint64(w.parts[i-1].chunks)) //nolint:gosec // not negative
		} else {
			dst = binary.AppendUvarint(dst, uint64(len(part)))
		}
		dst = append(dst, part[len(part)-4:]...)
	}
	return dst
}

// appendTable encodes what the header says of a column.
func (s *source) appendTable(dst []byte, lengths []uint32) []byte {
	if s.n == 0 {
		return dst
	}
	dst = append(dst, s.shift)
	for _, n := range lengths {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	if s.alphabet {
		dst = s.letters.append(dst)
	}
	for _, sep := range s.separators {
		dst = binary.AppendUvarint(dst, uint64(len(sep)))
		dst = append(dst, sep...)
	}
	return dst
}

// appendSlots encodes how many targets the rows of each chunk have.
func (e *Encoder) appendSlots(dst []byte, shift uint8) []byte {
	last := uint32(0)
	for end := 1 << shift; ; end += 1 << shift {
		slots := e.targetEnd[min(end, len(e.targetEnd))-1]
		dst = binary.AppendUvarint(dst, uint64(slots-last))
		last = slots
		if end >= len(e.targetEnd) {
			return dst
		}
	}
}

// mostTargets returns the number of targets of the row that has most.
func (e *Encoder) mostTargets() uint32 {
	most, last := uint32(0), uint32(0)
	for _, end := range e.targetEnd {
		most, last = max(most, end-last), end
	}
	return most
}

// bounds returns the least and the largest time, and whether they are in order.
func bounds(times []int64) (low, high int64, sorted bool) {
	low, high, sorted = times[0], times[0], true
	last := times[0]
	for _, t := range times {
		low, high = min(low, t), max(high, t)
		sorted = sorted && t >= last
		last = t
	}
	return low, high, sorted
}

// appendDays encodes the entries by day: the number of days, and for each the
// days since the one before and its entries.
func (e *Encoder) appendDays(dst []byte) []byte {
	days := countDays(e.occurred)
	dst = binary.AppendUvarint(dst, uint64(len(days)))
	last := int32(0)
	for _, d := range days {
		dst = binary.AppendUvarint(dst, uint64(d.Day-last)) //nolint:gosec // rising
		dst = binary.AppendUvarint(dst, uint64(d.Rows))     //nolint:gosec // positive
		last = d.Day
	}
	return dst
}

// open checks a part against the header and returns what is in it.
func (h *Header) open(part int, b []byte) (input, error) {
	info := h.parts[part-FilterPart]
	if len(b) != int(info.size) {
		return input{}, corrupt(part, "part", fmt.Sprintf("has %d bytes instead of %d", len(b), info.size))
	}
	body, sum, err := openPart(part, b)
	if err != nil {
		return input{}, err
	}
	if sum != info.sum {
		return input{}, corrupt(part, "part", "is of another block")
	}
	return input{rest: body}, nil
}

// openPart checks a part by itself.
func openPart(part int, b []byte) (body []byte, sum uint32, err error) {
	if len(b) < 5 {
		return nil, 0, corrupt(part, "part", "ends early")
	}
	body = b[:len(b)-4]
	sum = binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli()) != sum {
		return nil, 0, corrupt(part, "part", "does not have its checksum")
	}
	if body[0] != partVersion {
		return nil, 0, fmt.Errorf("part %d: version %d: %w", part, body[0], ErrVersion)
	}
	return body[1:], sum, nil
}
