package block

import (
	"bytes"
	"encoding/binary"
)

// codes are numbers below 2^16, their low and their high bytes apart: finding a
// code is then finding a byte, which the machine does many at a time. high is
// nil when all of them are 0.
type codes struct{ low, high []byte }

func (c codes) len() int { return len(c.low) }

func (c codes) at(i int) int {
	if c.high == nil {
		return int(c.low[i])
	}
	return int(c.low[i]) | int(c.high[i])<<8
}

// slice returns the codes lo ≤ i < hi.
func (c codes) slice(lo, hi int) codes {
	if c.high == nil {
		return codes{low: c.low[lo:hi]}
	}
	return codes{c.low[lo:hi], c.high[lo:hi]}
}

func (c codes) memory() int { return cap(c.low) + cap(c.high) }

// readCodes decodes a run of n integers, at least one, that are below limit, which
// is at most 2^16.
func readCodes(in *input, n, limit int) codes {
	buf := make([]byte, n, 2*n)
	if limit > 1<<8 {
		buf = buf[:2*n]
	}
	c := codes{low: buf[:n:n], high: buf[n:]}
	if len(c.high) == 0 {
		c.high = nil
	}
	kind, least := in.byte(), in.uvarint()
	if in.bad != "" || least >= uint64(limit) { //nolint:gosec // positive
		in.fail("a code is beyond its dictionary")
		return c
	}
	most := least
	switch {
	case kind == intsConst:
		for i := range n {
			c.set(i, uint16(least)) //nolint:gosec // below limit
		}
	case kind <= 16:
		if src := in.bytes((n*int(kind) + 7) / 8); src != nil {
			most += uint64(c.unpack(src, int(kind), uint16(least))) //nolint:gosec // below limit
		}
	case kind == intsFrame|1 || kind == intsFrame|2:
		most += uint64(c.expand(in, int(kind&^intsFrame), uint16(least))) //nolint:gosec // below limit
	default:
		in.fail("codes are of an unknown kind")
	}
	if most >= uint64(limit) { //nolint:gosec // positive
		in.fail("a code is beyond its dictionary")
	}
	return c
}

func (c codes) set(i int, v uint16) {
	c.low[i] = byte(v) //nolint:gosec // its low half
	if c.high != nil {
		c.high[i] = byte(v >> 8)
	}
}

// unpack is the inverse of appendPacked. It returns the largest difference from
// least.
func (c codes) unpack(src []byte, width int, least uint16) (most uint16) {
	mask := uint64(1)<<width - 1
	bit, n := 0, c.len()
	safe := 0 // values of which eight bytes can be loaded
	if len(src) >= 8 {
		safe = min(n, ((len(src)-8)*8+7)/width+1)
	}
	for i := range safe {
		d := uint16(binary.LittleEndian.Uint64(src[bit>>3:]) >> (bit & 7) & mask) //nolint:gosec // width is at most 16
		bit += width
		most = max(most, d)
		c.set(i, d+least)
	}
	var tail [16]byte
	start := bit >> 3
	copy(tail[:], src[min(start, len(src)):])
	for i := safe; i < n; i++ {
		d := uint16(binary.LittleEndian.Uint64(tail[bit>>3-start:]) >> (bit & 7) & mask) //nolint:gosec // width is at most 16
		bit += width
		most = max(most, d)
		c.set(i, d+least)
	}
	return most
}

// expand decodes compressed planes, and returns the largest difference from
// least.
func (c codes) expand(in *input, planes int, least uint16) (most uint16) {
	n := c.len()
	frame := in.bytes(in.length())
	s := getScratch(planes * n)
	defer s.put()
	if in.bad != "" || !s.decompress(frame, planes*n) {
		in.fail("codes do not decompress to their size")
		return 0
	}
	for i := range n {
		d := uint16(s.b[i])
		if planes == 2 {
			d |= uint16(s.b[n+i]) << 8
		}
		most = max(most, d)
		c.set(i, d+least)
	}
	return most
}

// eachEqual calls fn with the places of one code.
func (c codes) eachEqual(code uint16, fn func(i int)) {
	for at := 0; ; at++ {
		k := bytes.IndexByte(c.low[at:], byte(code)) //nolint:gosec // its low half
		if k < 0 {
			return
		}
		if at += k; c.high == nil || c.high[at] == byte(code>>8) {
			fn(at)
		}
	}
}

// match returns a bit for each of at most 64 codes that is in a set.
func (c codes) match(set []uint64) (w uint64) {
	if c.high == nil {
		for i, l := range c.low {
			w |= (set[l>>6] >> (l & 63) & 1) << (i & 63)
		}
		return w
	}
	high := c.high[:len(c.low)]
	for i, l := range c.low {
		code := uint(l) | uint(high[i])<<8
		w |= (set[code>>6] >> (code & 63) & 1) << (i & 63)
	}
	return w
}
