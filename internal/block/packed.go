package block

import (
	"encoding/binary"
	"math/bits"
)

// How bytes are stored. Part of the format.
const (
	storePlain  = 0
	storeFrame  = 1 // a zstd frame
	storePacked = 2 // letters of few bits
	storeAny    = 3 // not known yet which is best; never stored
)

const (
	maxLetterBits = 6
	// packedGain is how much larger packed letters may be than a frame, one part
	// in so many: they are faster to read and much faster to write.
	packedGain = 16
)

// storing says how the texts of a column are stored best, by what was best for
// the chunks before.
type storing struct {
	count int
	last  byte
}

// next returns how to store the next chunk, storeAny when everything is to be
// tried.
func (s *storing) next() byte {
	s.count++
	if s.count%retryChunks == 1 {
		return storeAny
	}
	return s.last
}

// packing returns the size of bytes as packed letters, and the bits of each; 0
// when they are too many or not ASCII. The letters are in w.there.
func (w *textsWriter) packing(b []byte) (size, width int) {
	w.there = letters{}
	w.there.add(b)
	n := 0
	for c, there := range w.there {
		if there && c >= 0x80 {
			return 0, 0
		}
		if there {
			n++
		}
	}
	if width = max(1, bits.Len(uint(n-1))); width > maxLetterBits {
		return 0, 0
	}
	return alphabetBytes + (len(b)*width+7)/8, width
}

// appendLetters appends bytes as packed letters: which there are, as one bit for
// each, and for each byte its place among them.
func (w *textsWriter) appendLetters(dst, b []byte, size, width int) []byte {
	dst = binary.AppendUvarint(dst, uint64(size)<<2|storePacked) //nolint:gosec // not negative
	var a alphabet
	var places [128]byte
	n := byte(0)
	for c, there := range w.there[:128] {
		if there {
			a[c>>6] |= 1 << (c & 63)
			places[c] = n
			n++
		}
	}
	dst = a.append(dst)
	var acc uint64 // have bits
	have := 0
	for _, c := range b {
		acc |= uint64(places[c&127]) << have
		if have += width; have >= 32 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(acc)) //nolint:gosec // its low half
			acc >>= 32
			have -= 32
		}
	}
	for ; have > 0; have -= 8 {
		dst = append(dst, byte(acc)) //nolint:gosec // its low byte
		acc >>= 8
	}
	return dst
}

// unpackLetters is the inverse of appendLetters: it fills dst. It reports false
// when the bytes are not as many.
func unpackLetters(dst, src []byte) ([]byte, bool) {
	if len(src) < alphabetBytes {
		return nil, false
	}
	a := readAlphabet(src)
	src = src[alphabetBytes:]
	var list [1 << maxLetterBits]byte
	n := 0
	for half, w := range a {
		for ; w != 0 && n < len(list); w &= w - 1 {
			list[n] = byte(half<<6 + bits.TrailingZeros64(w)) //nolint:gosec // below 128
			n++
		}
	}
	width := max(1, bits.Len(uint(max(n, 1)-1)))
	if len(src) != (len(dst)*width+7)/8 || n < bits.OnesCount64(a[0])+bits.OnesCount64(a[1]) {
		return nil, false
	}
	i, at := 0, 0
	if len(dst) >= pairsFrom && width <= maxPairBits {
		i, at = unpackPairs(dst, src, &list, uint(width))
	}
	mask := uint64(1)<<width - 1
	for ; i+8 <= len(dst) && at+8 <= len(src); i, at = i+8, at+width {
		v := binary.LittleEndian.Uint64(src[at:])
		d := dst[i : i+8 : i+8]
		for j := range d {
			d[j] = list[v&mask&63]
			v >>= width & 63
		}
	}
	var tail [16]byte // of fewer than eight bytes
	copy(tail[:], src[at:])
	for bit := 0; i < len(dst); i, bit = i+1, bit+width {
		v := uint64(binary.LittleEndian.Uint16(tail[bit>>3:])) >> (bit & 7)
		dst[i] = list[v&mask]
	}
	return dst, true
}

const (
	pairsFrom   = 512 // bytes from which two are decoded at a time
	maxPairBits = 5
)

// unpackPairs decodes letters two at a time, as many as can be loaded by eight
// bytes, and returns how many these were and where in src the others begin.
func unpackPairs(dst, src []byte, list *[1 << maxLetterBits]byte, width uint) (i, at int) {
	var pairs [1 << (2 * maxPairBits)]uint16
	n := 1 << width
	for high := range n {
		row := pairs[high<<width:][:n]
		for low := range row {
			row[low] = uint16(list[low]) | uint16(list[high])<<8
		}
	}
	mask := uint64(1)<<(2*width) - 1
	two := 2 * width & 63
	for ; i+8 <= len(dst) && at+8 <= len(src); i, at = i+8, at+int(width) {
		v := binary.LittleEndian.Uint64(src[at:])
		a := uint64(pairs[v&mask&(1<<10-1)])
		v >>= two
		b := uint64(pairs[v&mask&(1<<10-1)])
		v >>= two
		c := uint64(pairs[v&mask&(1<<10-1)])
		v >>= two
		d := uint64(pairs[v&mask&(1<<10-1)])
		binary.LittleEndian.PutUint64(dst[i:], a|b<<16|c<<32|d<<48)
	}
	return i, at
}
