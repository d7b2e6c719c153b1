package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
	// Parts is the number of parts, header and filter included.
	Parts int
	// Bytes is the size of all parts.
	Bytes int

	counts    [numCounted]int
	unit      int64 // of occurred_at
	pathKinds []int32
	table     []tableColumn
	parts     []partInfo // from FilterPart on
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
	chunks     []place
	letters    alphabet
	separators [][]byte
}

// place is where a chunk is.
type place struct {
	part   uint16
	offset uint32
	size   uint32
}

type partInfo struct {
	size uint32 // version and checksum included
	sum  uint32
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
		if counted(c) != perRow && counted(c) != perPath {
			dst = binary.AppendUvarint(dst, uint64(n)) //nolint:gosec // not negative
		}
	}
	dst = binary.AppendUvarint(dst, uint64(e.metadata.used)) //nolint:gosec // not negative
	for _, p := range e.metadata.paths[:e.metadata.used] {
		dst = binary.AppendUvarint(dst, uint64(p.kind)) //nolint:gosec // not negative
	}
	for i := range w.cols {
		dst = w.cols[i].appendTable(dst, w.lengths[i])
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
