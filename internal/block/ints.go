package block

import (
	"encoding/binary"
	"math/bits"
)

// Kinds of runs of integers, in the first byte of a run. Others are widths of
// packed integers, or number of byte planes.
const (
	intsConst   = 0
	intsPacked  = 56   // up to this: the width in bits
	intsPlanes  = 0x80 // plus the number of planes, stored as they are
	intsFrame   = 0xc0 // plus the number of planes, compressed
	maxPlanes   = 8
	frameBytes  = 512 // of packed integers, from which compressing them is tried
	frameGainOf = 4   // a frame must be smaller by one part in so many: it is slower to read
)

// integer is what integers are decoded as.
type integer interface {
	~uint16 | ~uint32 | ~int64 | ~uint64
}

// intsWriter encodes runs of integers.
type intsWriter struct {
	z      *compressor
	planes []byte
	frame  []byte
}

// append appends the encoding of vals, of which there is at least one.
func (w *intsWriter) append(dst []byte, vals []uint64) []byte {
	low, high := vals[0], vals[0]
	for _, v := range vals {
		low, high = min(low, v), max(high, v)
	}
	width := bits.Len64(high - low)
	if width == 0 {
		return binary.AppendUvarint(append(dst, intsConst), low)
	}
	packed := (len(vals)*width + 7) / 8
	planes := (width + 7) / 8
	if packed >= frameBytes || width > intsPacked {
		w.fill(vals, low, planes)
		w.frame = w.z.compress(w.frame[:0], w.planes)
		if len(w.frame) < packed-packed/frameGainOf {
			dst = binary.AppendUvarint(append(dst, intsFrame|byte(planes)), low) //nolint:gosec // at most 64
			dst = binary.AppendUvarint(dst, uint64(len(w.frame)))
			return append(dst, w.frame...)
		}
		if width > intsPacked {
			dst = binary.AppendUvarint(append(dst, intsPlanes|byte(planes)), low) //nolint:gosec // at most 64
			return append(dst, w.planes...)
		}
	}
	dst = binary.AppendUvarint(append(dst, byte(width)), low) //nolint:gosec // at most 64
	return appendPacked(dst, vals, low, width)
}

// fill writes the byte planes: the lowest byte of every value, then the next.
func (w *intsWriter) fill(vals []uint64, low uint64, planes int) {
	w.planes = w.planes[:0]
	for p := range planes {
		for _, v := range vals {
			w.planes = append(w.planes, byte((v-low)>>(8*p))) //nolint:gosec // one byte of it
		}
	}
}

// appendPacked appends width bits of every value less low, the lowest bits of the
// first value first.
func appendPacked(dst []byte, vals []uint64, low uint64, width int) []byte {
	var acc uint64 // have bits, fewer than 8 before a value is put in
	have := 0
	for _, v := range vals {
		acc |= (v - low) << have
		for have += width; have >= 8; have -= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
		}
	}
	if have > 0 {
		dst = append(dst, byte(acc))
	}
	return dst
}

// readInts decodes a run of len(dst) integers, at least one. They are cut to T's
// width: the caller checks their range where T is narrow and that matters.
func readInts[T integer](in *input, dst []T) {
	kind := in.byte()
	low := in.uvarint()
	switch {
	case in.bad != "":
	case kind == intsConst:
		for i := range dst {
			dst[i] = T(low)
		}
	case kind <= intsPacked:
		width := int(kind)
		if src := in.bytes((len(dst)*width + 7) / 8); src != nil {
			unpack(dst, src, width, low)
		}
	default:
		readPlanes(in, dst, kind, low)
	}
}

func readPlanes[T integer](in *input, dst []T, kind byte, low uint64) {
	planes := int(kind &^ (intsPlanes | intsFrame))
	if kind < intsPlanes || planes < 1 || planes > maxPlanes {
		in.fail("unknown kind of integers")
		return
	}
	size := planes * len(dst)
	var src []byte
	if kind&intsFrame == intsFrame {
		frame := in.bytes(in.length())
		s := getScratch(size)
		defer s.put()
		if in.bad == "" && !s.decompress(frame, size) {
			in.fail("integers do not decompress to their size")
		}
		src = s.b
	} else {
		src = in.bytes(size)
	}
	if in.bad == "" {
		joinPlanes(dst, src, planes, low)
	}
}

func joinPlanes[T integer](dst []T, src []byte, planes int, low uint64) {
	n := len(dst)
	if planes == 1 {
		for i, b := range src[:n] {
			dst[i] = T(low + uint64(b))
		}
		return
	}
	a, b := src[:n], src[n:2*n]
	for i := range dst {
		dst[i] = T(low + (uint64(a[i]) | uint64(b[i])<<8))
	}
	for p := 2; p < planes; p++ {
		for i, c := range src[p*n : (p+1)*n] {
			dst[i] += T(uint64(c) << (8 * p))
		}
	}
}

// unpack is the inverse of appendPacked.
func unpack[T integer](dst []T, src []byte, width int, low uint64) {
	mask := uint64(1)<<width - 1
	safe := 0 // values of which eight bytes can be loaded
	if len(src) >= 8 {
		safe = min(len(dst), ((len(src)-8)*8+7)/width+1)
	}
	bit := 0
	for i := range dst[:safe] {
		dst[i] = T(low + binary.LittleEndian.Uint64(src[bit>>3:])>>(bit&7)&mask)
		bit += width
	}
	var tail [16]byte
	start := bit >> 3
	copy(tail[:], src[min(start, len(src)):])
	for i := safe; i < len(dst); i++ {
		dst[i] = T(low + binary.LittleEndian.Uint64(tail[bit>>3-start:])>>(bit&7)&mask)
		bit += width
	}
}
