package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"

	"github.com/stelehq/stele/internal/ledger"
)

// A run is split when it has maxRunRows rows or maxRunBytes bytes of them, so
// that whoever reads one needs no more memory than that, and at multiples of
// ledger.BlockSize, so that a block can take the place of whole runs.
const (
	maxRunRows  = 2048
	maxRunBytes = 1 << 20

	// maxBodyBytes is what a reader believes. It leaves room for one row of any
	// size that an event may have, many times over.
	maxBodyBytes = 16 << 20
	// maxRowBytes keeps a run of one row below that.
	maxRowBytes = maxBodyBytes - binary.MaxVarintLen64

	// compressBytes is the size from which a body is compressed: below, S2 finds
	// little and the write-ahead log's sectors are not filled anyway.
	compressBytes = 4 << 10
)

const (
	flagS2 = 1 << 0

	runFixedBytes = 1 + 4*8 + 2*4 // after the version byte
)

var (
	errFlags = errors.New("run has unknown flags")
	errRows  = errors.New("run's rows do not fill its body")
	errBody  = errors.New("run's body has the wrong size")
)

// runHeader is what a run says of its rows.
type runHeader struct {
	flags      byte
	receivedAt int64
	// minOccurred and maxOccurred bound the rows' times, priorMax is an upper
	// bound of those of all runs before.
	minOccurred, maxOccurred, priorMax int64
	rows, bodyBytes                    uint32
}

func (h *runHeader) append(dst []byte) []byte {
	dst = append(dst, valueVersion, h.flags)
	for _, t := range [...]int64{h.receivedAt, h.minOccurred, h.maxOccurred, h.priorMax} {
		dst = appendInt(dst, t)
	}
	dst = binary.LittleEndian.AppendUint32(dst, h.rows)
	return binary.LittleEndian.AppendUint32(dst, h.bodyBytes)
}

func (h *runHeader) parse(b []byte) {
	h.flags = b[0]
	for i, t := range [...]*int64{&h.receivedAt, &h.minOccurred, &h.maxOccurred, &h.priorMax} {
		*t = int64At(b, 1+8*i)
	}
	h.rows = binary.LittleEndian.Uint32(b[33:])
	h.bodyBytes = binary.LittleEndian.Uint32(b[37:])
}

func appendInt(dst []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(v)) //nolint:gosec // read back as it was
}

func int64At(b []byte, offset int) int64 {
	return int64(binary.LittleEndian.Uint64(b[offset:])) //nolint:gosec // written from an int64
}

// runEncoder makes the values of runs, in memory it keeps.
type runEncoder struct {
	key, body, value []byte
}

// encode returns key and value of a run. Both are valid until the next call.
func (e *runEncoder) encode(org string, first uint64, h runHeader, rows [][]byte) (key, value []byte) {
	e.body = e.body[:0]
	for _, row := range rows {
		e.body = binary.AppendUvarint(e.body, uint64(len(row)))
	}
	for _, row := range rows {
		e.body = append(e.body, row...)
	}
	h.rows = uint32(len(rows))        //nolint:gosec // at most maxRunRows
	h.bodyBytes = uint32(len(e.body)) //nolint:gosec // at most maxBodyBytes
	e.key = runKey(e.key[:0], org, first)
	e.value = e.appendBody(h.append(e.value[:0]))
	e.value = seal(e.key, e.value, 0)
	return e.key, e.value
}

// appendBody appends the body, compressed when that saves an eighth of it.
func (e *runEncoder) appendBody(value []byte) []byte {
	if len(e.body) >= compressBytes {
		start := len(value)
		value = grow(value, s2.MaxEncodedLen(len(e.body)))
		packed := s2.Encode(value[start:cap(value)], e.body)
		if len(packed) <= len(e.body)-len(e.body)/8 {
			value[1] |= flagS2
			return value[:start+len(packed)]
		}
	}
	return append(value, e.body...)
}

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, 2*cap(b)+n), b...)
}

// runReader gives the rows of one run after the other, in memory it keeps.
type runReader struct {
	runHeader
	first uint64 // seq of the first row
	ends  []uint32
	data  []byte // the rows, in the value or in buf
	buf   []byte
	body  []byte // as stored
}

// open checks a run's checksum and reads its header. The rows come with unpack;
// value must stay until these are done with.
func (r *runReader) open(key, value []byte) error {
	b, err := unseal(key, value)
	if err != nil {
		return err
	}
	if len(b) < runFixedBytes {
		return errShort
	}
	first, ok := keyNumber(key)
	if !ok {
		return errLength
	}
	r.parse(b)
	r.first = first
	r.body = b[runFixedBytes:]
	switch {
	case r.flags&^flagS2 != 0:
		return errFlags
	case r.rows == 0 || r.rows > ledger.BlockSize || r.rows > r.bodyBytes:
		return errRows
	case r.bodyBytes > maxBodyBytes || first > math.MaxInt64:
		return errBody
	}
	return nil
}

// end is the seq after the last row.
func (r *runReader) end() uint64 { return r.first + uint64(r.rows) }

// unpack makes row work.
func (r *runReader) unpack() error {
	body := r.body
	if r.flags&flagS2 != 0 {
		n, err := s2.DecodedLen(body)
		if err != nil {
			return fmt.Errorf("decompress run: %w", err)
		}
		if n != int(r.bodyBytes) {
			return errBody
		}
		r.buf = grow(r.buf[:0], n)
		if body, err = s2.Decode(r.buf[:n], body); err != nil {
			return fmt.Errorf("decompress run: %w", err)
		}
	}
	if len(body) != int(r.bodyBytes) {
		return errBody
	}
	return r.index(body)
}

// index reads the rows' lengths.
func (r *runReader) index(body []byte) error {
	r.ends = r.ends[:0]
	var end uint64
	for range r.rows {
		n, size := binary.Uvarint(body)
		if size <= 0 || n > maxBodyBytes {
			return errRows
		}
		body = body[size:]
		end += n
		if end > maxBodyBytes {
			return errRows
		}
		r.ends = append(r.ends, uint32(end))
	}
	if end != uint64(len(body)) {
		return errRows
	}
	r.data = body
	return nil
}

// row returns the i-th row.
func (r *runReader) row(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.data[start:r.ends[i]:r.ends[i]]
}
