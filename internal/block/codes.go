package block

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Kinds of runs of codes, in the first byte of a run.
const (
	codesConst  = 0
	codesPacked = 8    // up to this: the width in bits
	codesSplit  = 0x40 // plus the width, 9 to 16: low bytes, and the bits above them packed
	codesFrame  = 0xc0 // plus the number of byte planes, compressed
	maxCodeBits = 16
)

// codes are numbers below 2^16, less the least of them, their low bytes and the
// bits above them apart: finding a code is then finding a byte, which the machine
// does many at a time. Runs of 8 bits and more are what is stored, and nothing is
// decoded.
type codes struct {
	low   []byte // nil when all are the least
	high  []byte // bits of each, packed, and a byte more; nil when bits is 0
	n     uint32
	least uint16
	bits  uint8 // above the low byte
}

func (c *codes) len() int { return int(c.n) }

func (c *codes) at(i int) int {
	if c.low == nil {
		return int(c.least)
	}
	return int(c.low[i]) + c.top(i)<<8 + int(c.least)
}

// top returns the bits above the low byte.
func (c *codes) top(i int) int {
	if c.high == nil {
		return 0
	}
	bit := uint(i) * uint(c.bits)
	return int(uint(binary.LittleEndian.Uint16(c.high[bit>>3:])) >> (bit & 7) & (1<<c.bits - 1))
}

// appendTo appends the codes lo ≤ i < hi. It reports whether all are below the
// limit.
func (c *codes) appendTo(dst []uint16, lo, hi, limit int) (_ []uint16, ok bool) {
	at := len(dst)
	dst = slices.Grow(dst, hi-lo)[:at+hi-lo]
	return dst, c.fill(dst[at:], lo) < limit
}

// fill sets dst to the codes from lo on, and returns the largest of them, which
// may be beyond 2^16.
func (c *codes) fill(dst []uint16, lo int) (most int) {
	least := int(c.least)
	if c.low == nil {
		for i := range dst {
			dst[i] = c.least
		}
		return least
	}
	low := c.low[lo : lo+len(dst)]
	if c.high == nil {
		for i, l := range low {
			code := int(l) + least
			most = max(most, code)
			dst[i] = uint16(code) //nolint:gosec // else of no use
		}
		return most
	}
	i := 0
	for mask := uint64(1)<<c.bits - 1; lo&7 == 0 && i+8 <= len(dst); i += 8 {
		at := (lo + i) >> 3 * int(c.bits)
		if at+8 > len(c.high) {
			break
		}
		high := binary.LittleEndian.Uint64(c.high[at:])
		l, d := low[i:i+8:i+8], dst[i:i+8:i+8]
		for j := range d {
			code := int(l[j]) + int(high&mask)<<8 + least //nolint:gosec // a few bits
			high >>= c.bits & 63
			most = max(most, code)
			d[j] = uint16(code) //nolint:gosec // else of no use
		}
	}
	for ; i < len(dst); i++ {
		code := c.at(lo + i)
		most = max(most, code)
		dst[i] = uint16(code) //nolint:gosec // else of no use
	}
	return most
}

// appendCodes appends the encoding of codes, of which there is at least one. try
// says whether compressing them is tried; compressed says that it was of use.
func (w *intsWriter) appendCodes(dst []byte, vals []uint64, try bool) (_ []byte, compressed bool) {
	low, high := vals[0], vals[0]
	for _, v := range vals {
		low, high = min(low, v), max(high, v)
	}
	width := bits.Len64(high - low)
	packed := (len(vals)*width + 7) / 8
	if try && packed >= frameBytes {
		planes := (width + 7) / 8
		w.fill(vals, low, planes)
		w.frame = w.z.compress(w.frame[:0], w.planes)
		if len(w.frame) < packed-packed/frameGainOf {
			dst = binary.AppendUvarint(append(dst, codesFrame|byte(planes)), low) //nolint:gosec // at most 2
			dst = binary.AppendUvarint(dst, uint64(len(w.frame)))
			return append(dst, w.frame...), true
		}
	}
	if width <= codesPacked {
		dst = binary.AppendUvarint(append(dst, byte(width)), low) //nolint:gosec // at most 8
		return appendPacked(dst, vals, low, width), false
	}
	dst = binary.AppendUvarint(append(dst, codesSplit|byte(width)), low) //nolint:gosec // at most 16
	for i, v := range vals {
		dst = append(dst, byte(v-low)) //nolint:gosec // its low byte
		vals[i] = (v - low) >> 8
	}
	return append(appendPacked(dst, vals, 0, width-8), 0), false
}

// readCodes takes a run of n codes, at least one. It keeps the bytes. That codes
// are below their limit is checked when they are used, but for the least, which
// is checked here.
func readCodes(in *input, n, limit int) codes {
	kind, least := in.byte(), in.uvarint()
	if in.bad != "" || least >= uint64(limit) { //nolint:gosec // positive
		in.fail("a code is beyond its dictionary")
		return codes{}
	}
	c := codes{n: uint32(n), least: uint16(least)} //nolint:gosec // bounded
	switch {
	case kind == codesConst:
	case kind < codesPacked:
		if src := in.bytes((n*int(kind) + 7) / 8); src != nil {
			c.low = unpackBytes(make([]byte, n), src, int(kind))
		}
	case kind == codesPacked:
		c.low = in.bytes(n)
	case kind > codesSplit+8 && kind <= codesSplit+maxCodeBits:
		c.bits = kind - codesSplit - 8
		c.low = in.bytes(n)
		c.high = in.bytes((n*int(c.bits)+7)/8 + 1)
	case kind == codesFrame|1 || kind == codesFrame|2:
		c.expand(in, int(kind&^codesFrame))
	default:
		in.fail("codes are of an unknown kind")
	}
	return c
}

// expand decodes compressed byte planes.
func (c *codes) expand(in *input, planes int) {
	n := c.len()
	frame := in.bytes(in.length())
	buf := make([]byte, planes*n, planes*n+overAlloc)
	if in.bad != "" {
		return
	}
	if _, ok := decompress(buf, frame, planes*n); !ok {
		in.fail("codes do not decompress to their size")
		return
	}
	c.low = buf[:n:n]
	if planes == 2 {
		c.high, c.bits = buf[n:2*n+1], 8
	}
}

// unpackBytes is the inverse of appendPacked for fewer than 8 bits.
func unpackBytes(dst, src []byte, width int) []byte {
	mask := uint64(1)<<width - 1
	i, at := 0, 0
	for ; i+8 <= len(dst) && at+8 <= len(src); i, at = i+8, at+width {
		v := binary.LittleEndian.Uint64(src[at:])
		d := dst[i : i+8 : i+8]
		for j := range d {
			d[j] = byte(v & mask) //nolint:gosec // a few bits
			v >>= width
		}
	}
	var tail [24]byte
	copy(tail[:], src[min(at, len(src)):])
	for bit := 0; i < len(dst); i, bit = i+1, bit+width {
		dst[i] = byte(binary.LittleEndian.Uint16(tail[bit>>3:]) >> (bit & 7) & uint16(mask)) //nolint:gosec // a few bits
	}
	return dst
}

// eachEqual calls fn with the places of one code.
func (c *codes) eachEqual(code int, fn func(i int)) {
	d := code - int(c.least)
	if c.low == nil || d < 0 || d>>8 >= 1<<c.bits {
		for i := 0; d == 0 && i < c.len(); i++ {
			fn(i)
		}
		return
	}
	for at := 0; ; at++ {
		k := bytes.IndexByte(c.low[at:], byte(d)) //nolint:gosec // its low half
		if k < 0 {
			return
		}
		if at += k; c.top(at) == d>>8 {
			fn(at)
		}
	}
}

// match returns a bit for each of the codes lo ≤ i < hi, at most 64, that is in a
// set. ok says that all are below the set's bound.
func (c *codes) match(s *set, lo, hi int) (w uint64, ok bool) {
	if c.low == nil {
		if s.Has(int(c.least)) {
			w = ^uint64(0) >> (64 - uint(hi-lo))
		}
		return w, true
	}
	var list [64]uint16
	some := list[:hi-lo]
	if c.fill(some, lo) >= s.n {
		return 0, false
	}
	for i, code := range some {
		w |= (s.words[code>>6] >> (code & 63) & 1) << (i & 63)
	}
	return w, true
}
