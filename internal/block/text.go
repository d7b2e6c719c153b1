package block

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
)

// maxChunkBytes bounds what one chunk decodes to, whatever it says of itself.
const maxChunkBytes = MaxTextBytes + 1<<20

// smallFrame is the size below which compressing texts is not tried.
const smallFrame = 32

// textChunk is a run of texts, decoded. It is immutable.
type textChunk struct {
	buf   []byte
	start uint32   // of the first text in buf
	ends  []uint32 // of each text in buf, the last being its end
}

func (t *textChunk) len() int { return len(t.ends) }

func (t *textChunk) at(i int) []byte {
	start, end := t.begin(i), t.ends[i]
	return t.buf[start:end:end]
}

// begin returns where a text begins in buf.
func (t *textChunk) begin(i int) uint32 {
	if i == 0 {
		return t.start
	}
	return t.ends[i-1]
}

// slice returns the texts lo ≤ i < hi.
func (t *textChunk) slice(lo, hi int) textChunk {
	return textChunk{buf: t.buf[:t.ends[hi-1]], ends: t.ends[lo:hi], start: t.begin(lo)}
}

// search returns the first of the texts, which are sorted, that is not below key
// or, when after, that is above it.
func (t *textChunk) search(key []byte, after bool) int {
	return sort.Search(len(t.ends), func(i int) bool {
		c := bytes.Compare(t.at(i), key)
		return c > 0 || c == 0 && !after
	})
}

// indexAt returns the number of the text that has the byte at buf[offset].
func (t *textChunk) indexAt(offset int) int {
	return sort.Search(len(t.ends), func(i int) bool { return int(t.ends[i]) > offset })
}

func (t *textChunk) memory() int { return cap(t.buf) + 4*cap(t.ends) + 48 }

// textsWriter encodes runs of texts.
type textsWriter struct {
	ints  intsWriter
	nums  []uint64
	bytes []byte
	frame []byte
	there letters // of bytes
}

// append appends the encoding of texts. Sorted texts share beginnings.
func (w *textsWriter) append(dst []byte, texts [][]byte, sorted bool, way *storing) []byte {
	w.bytes = w.bytes[:0]
	if sorted {
		dst = w.appendShared(dst, texts)
	}
	w.nums = w.nums[:0]
	for _, t := range texts {
		w.nums = append(w.nums, uint64(len(t)))
		if !sorted {
			w.bytes = append(w.bytes, t...)
		}
	}
	dst = w.ints.append(dst, w.nums)
	return w.appendBytes(dst, w.bytes, way)
}

// appendShared appends how many bytes each text but the first has in common with
// the one before, and puts the others in w.bytes. When that is little more than
// what all of them have in common it is this for each, which is faster to read.
func (w *textsWriter) appendShared(dst []byte, texts [][]byte) []byte {
	w.nums = w.nums[:0]
	sum, least := 0, len(texts[0])
	for i, t := range texts[1:] {
		n := shared(texts[i], t)
		sum, least = sum+n, min(least, n)
		w.nums = append(w.nums, uint64(n)) //nolint:gosec // a length
	}
	if len(w.nums) > 0 {
		if sum-least*len(w.nums) <= alikeBytes*len(w.nums) {
			for i := range w.nums {
				w.nums[i] = uint64(least)
			}
		}
		dst = w.ints.append(dst, w.nums)
	}
	w.bytes = append(w.bytes, texts[0]...)
	for i, t := range texts[1:] {
		w.bytes = append(w.bytes, t[w.nums[i]:]...)
	}
	return dst
}

// alikeBytes is how much more texts may have in common with the one before, on
// average, than all have, for only the latter to be left out.
const alikeBytes = 2

// appendBytes appends bytes whose number the reader knows: four times their stored
// size, plus how they are stored.
func (w *textsWriter) appendBytes(dst, b []byte, way *storing) []byte {
	if len(b) >= smallFrame {
		how := way.next()
		packed, bits := 0, 0
		if how != storeFrame {
			packed, bits = w.packing(b)
		}
		if bits > 0 && how == storePacked {
			return w.appendLetters(dst, b, packed, bits)
		}
		w.frame = w.ints.z.compress(w.frame[:0], b)
		if bits > 0 && packed <= len(w.frame)+len(w.frame)/packedGain {
			way.last = storePacked
			return w.appendLetters(dst, b, packed, bits)
		}
		way.last = storeFrame
		if len(w.frame) < len(b) {
			dst = binary.AppendUvarint(dst, uint64(len(w.frame))<<2|storeFrame)
			return append(dst, w.frame...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b))<<2|storePlain)
	return append(dst, b...)
}

// shared returns the length of the beginning that a and b have in common.
func shared(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if binary.LittleEndian.Uint64(a[i:]) != binary.LittleEndian.Uint64(b[i:]) {
			break
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// readTexts decodes a run of n texts, at least one, into t, whose memory it uses
// again.
func readTexts(in *input, t *textChunk, n int, sorted bool) {
	t.start, t.ends = 0, slices.Grow(t.ends[:0], n)[:n]
	if !sorted {
		size := readEnds(in, t.ends)
		t.buf = readBytes(in, slices.Grow(t.buf[:0], size+overAlloc), size)
		return
	}
	var few [256]uint32
	common := append(slices.Grow(few[:0], n), few[:1]...)[:n]
	if n > 1 {
		readInts(in, common[1:])
	}
	size := readEnds(in, t.ends)
	if in.bad != "" {
		return
	}
	rest, last := size, 0
	for i, c := range common {
		length := int(t.ends[i]) - last
		last = int(t.ends[i])
		if int(c) > length {
			in.fail("a text shares more than it has")
			return
		}
		rest -= int(c)
	}
	s := getScratch(rest)
	defer s.put()
	if b := readBytes(in, s.b[:0], rest); in.bad == "" {
		t.join(in, common, b, size)
	}
}

// readEnds decodes lengths and turns them into ends. It returns the sum.
func readEnds(in *input, ends []uint32) int {
	readInts(in, ends)
	sum := uint64(0)
	for i, n := range ends {
		if sum += uint64(n); sum > maxChunkBytes {
			in.fail("texts are too large")
			return 0
		}
		ends[i] = uint32(sum)
	}
	if in.bad != "" {
		return 0
	}
	return int(sum)
}

// readBytes decodes size bytes into dst, which has capacity for them and
// overAlloc.
func readBytes(in *input, dst []byte, size int) []byte {
	s := readStored(in, size)
	out, ok := s.expand(dst)
	if !ok {
		in.fail("texts do not have their size")
		return nil
	}
	return out
}

// stored is bytes as appendBytes has them.
type stored struct {
	b    []byte
	how  byte
	size int // of what they are
}

// readStored takes stored bytes that are size bytes.
func readStored(in *input, size int) stored {
	v := in.uvarint()
	n := v >> 2
	if n > uint64(len(in.rest)) {
		in.fail("a length is beyond the end")
		n = 0
	}
	return stored{in.bytes(int(n)), byte(v & 3), size}
}

// expand decodes the bytes to the start of dst, which has capacity for them and
// overAlloc. It reports whether they have their size.
func (s stored) expand(dst []byte) ([]byte, bool) {
	switch s.how {
	case storePlain:
		return append(dst[:0], s.b...), len(s.b) == s.size
	case storeFrame:
		return decompress(dst, s.b, s.size)
	case storePacked:
		return unpackLetters(dst[:s.size], s.b)
	default:
		return nil, false
	}
}

// join puts sorted texts together from what each shares with the one before and
// the rest.
func (t *textChunk) join(in *input, common []uint32, rest []byte, size int) {
	const near, far = 16, 32 // copies of so many bytes are done without a call
	buf := slices.Grow(t.buf[:0], size+near+far)
	all := buf[:cap(buf)]
	rest = rest[:cap(rest)]
	at, prev, from := 0, 0, 0
	for i, c := range common {
		end, n := int(t.ends[i]), int(c)
		if n > at-prev {
			in.fail("a text shares more than there is")
			return
		}
		own := end - at - n
		if n <= near && own <= far && from+far <= len(rest) {
			copy(all[at:at+near], all[prev:prev+near])
			copy(all[at+n:at+n+far], rest[from:from+far])
		} else {
			copy(all[at:], all[prev:prev+n])
			copy(all[at+n:end], rest[from:])
		}
		from += own
		prev, at = at, end
	}
	t.buf = all[:size]
}
