package block

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// span is where a text is in the arena.
type span struct{ off, size uint32 }

// arena holds the texts of the block that is being made. Spans of it are at most
// MaxTextBytes and one event in all, so offsets fit.
type arena struct{ b []byte }

func (a *arena) put(text []byte) span {
	s := span{uint32(len(a.b)), uint32(len(text))} //nolint:gosec // bounded
	a.b = append(a.b, text...)
	return s
}

func (a *arena) at(s span) []byte { return a.b[s.off : s.off+s.size : s.off+s.size] }

// keptArena is the memory that is kept from one block to the next: more than
// that is of a block with unusually long texts.
const keptArena = 12 << 20

func (a *arena) reset() {
	if cap(a.b) > keptArena {
		a.b = nil
	}
	a.b = a.b[:0]
}

// table finds numbers by hash: open addressing, never more than half full. What
// the numbers stand for is compared by its user.
type table struct {
	slots  []uint64 // high half of the hash, and the number plus one
	hashes []uint64 // by number
}

func (t *table) reset() {
	clear(t.slots)
	t.hashes = t.hashes[:0]
}

// lookup returns the numbers with the hash, one call after another: i is from
// the last call, or hash at first. It returns -1 when there is no more.
func (t *table) lookup(hash, i uint64) (number int, next uint64) {
	if len(t.slots) == 0 {
		return -1, 0
	}
	mask := uint64(len(t.slots) - 1) //nolint:gosec // not negative
	for ; ; i++ {
		s := t.slots[i&mask]
		if s == 0 {
			return -1, 0
		}
		if s>>32 == hash>>32 {
			return int(uint32(s)) - 1, i + 1 //nolint:gosec // the low half
		}
	}
}

// add gives the hash the next number.
func (t *table) add(hash uint64) int {
	n := len(t.hashes)
	t.hashes = append(t.hashes, hash)
	if 2*len(t.hashes) > len(t.slots) {
		t.grow()
	} else {
		t.insert(hash, n)
	}
	return n
}

func (t *table) insert(hash uint64, number int) {
	mask := uint64(len(t.slots) - 1) //nolint:gosec // not negative
	i := hash
	for t.slots[i&mask] != 0 {
		i++
	}
	t.slots[i&mask] = hash>>32<<32 | uint64(number+1) //nolint:gosec // below 2^32
}

func (t *table) grow() {
	t.slots = make([]uint64, max(64, 2*len(t.slots)))
	for n, h := range t.hashes {
		t.insert(h, n)
	}
}

// mix joins the hashes of several texts.
func mix(a, b uint64) uint64 {
	a = (a ^ b) * 0x9e3779b97f4a7c15
	return a ^ a>>32
}

// texts is a dictionary of texts.
type texts struct {
	table
	spans []span
}

func (d *texts) reset() {
	d.table.reset()
	d.spans = d.spans[:0]
}

// add returns the number of a text, a new one if it is new.
func (d *texts) add(e *Encoder, text []byte) int {
	hash := maphash.Bytes(e.seed, text)
	for i := hash; ; {
		n, next := d.lookup(hash, i)
		if n < 0 {
			d.spans = append(d.spans, e.arena.put(text))
			return d.table.add(hash)
		}
		if bytes.Equal(e.arena.at(d.spans[n]), text) {
			return n
		}
		i = next
	}
}

// sorter sorts the entries of a dictionary and tells where each went.
type sorter struct {
	order []uint32 // numbers by rank
	rank  []uint16 // by number
	keys  []uint64
	radix radix
}

// sort orders n entries by text, and those with equal texts as less has it.
func (s *sorter) sort(n int, text func(i int) []byte, less func(a, b int) int) {
	skip := 0
	if n > 0 {
		skip = commonStart(n, text)
	}
	s.sortBy(n, func(i int) uint64 { return first8(text(i)[skip:]) }, func(i, j int) int {
		if c := bytes.Compare(text(i), text(j)); c != 0 || less == nil {
			return c
		}
		return less(i, j)
	})
}

// sortBy orders n entries, at most maxCodes, by a number, of which the high 48
// bits decide, and those with equal ones as less has it.
func (s *sorter) sortBy(n int, prefix func(i int) uint64, less func(i, j int) int) {
	s.keys = s.keys[:0]
	for i := range n {
		s.keys = append(s.keys, prefix(i)&^maxCodes|uint64(i))
	}
	s.radix.sort(s.keys)
	s.order = s.order[:0]
	for _, k := range s.keys {
		s.order = append(s.order, uint32(k&maxCodes))
	}
	for lo := 0; lo < n; {
		hi := lo + 1
		for hi < n && s.keys[hi]>>16 == s.keys[lo]>>16 {
			hi++
		}
		if hi-lo > 1 {
			slices.SortFunc(s.order[lo:hi], func(a, b uint32) int { return less(int(a), int(b)) })
		}
		lo = hi
	}
	s.rank = slices.Grow(s.rank[:0], n)[:n]
	for r, number := range s.order {
		s.rank[number] = uint16(r)
	}
}

// sort orders the texts.
func (d *texts) sort(a *arena, s *sorter) {
	s.sort(len(d.spans), func(i int) []byte { return a.at(d.spans[i]) }, nil)
}

// commonStart returns the length of the beginning that all texts share.
func commonStart(n int, text func(i int) []byte) int {
	first := text(0)
	skip := len(first)
	for i := 1; i < n && skip > 0; i++ {
		skip = shared(first[:skip], text(i))
	}
	return skip
}

// first8 returns the first eight bytes as a number that compares as they do, but
// for texts that only differ in zero bytes at their end.
func first8(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var p [8]byte
	copy(p[:], b)
	return binary.BigEndian.Uint64(p[:])
}
