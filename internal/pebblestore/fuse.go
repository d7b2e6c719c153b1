package pebblestore

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/stelehq/stele/internal/ledger"
)

// A fuse is a piece of a window's filter: a binary fuse filter (Graf and Lemire,
// "Binary Fuse Filters", 2022) with three places and 16 bits a key. One in 65,536
// keys that were never added passes. At [pieceKeys] keys it takes 2.5 bytes a key.
//
// A window's keys are spread over pieces by their first bytes, so that making a
// filter takes little memory whatever the window's size, and a part of it can be
// read alone. How keys are hashed is part of the stored format.
type fuse struct {
	seed    uint64
	segment uint8 // log2 of a segment's length
	// table is empty when no filter could be made: then every key passes.
	table []uint16
}

const (
	// pieceKeys is about how many keys a piece has.
	pieceKeys = 16 << 10
	maxPieces = math.MaxUint16
	// maxSegment bounds what is read; a segment of a piece has 2^11 places.
	maxSegment = 24
	// fuseSeeds is how many seeds are tried. Each works for nine in ten sets of
	// keys or more, and none when two keys have the same hash.
	fuseSeeds = 64
)

// piecesFor is the number of pieces of a filter of n keys.
func piecesFor(n int) int { return min((n+pieceKeys-1)/pieceKeys, maxPieces) }

// pieceOf says which of n pieces a key belongs to. It grows with the key.
func pieceOf(key *ledger.Key, n int) int {
	i, _ := bits.Mul64(binary.BigEndian.Uint64(key[:8]), uint64(n)) //nolint:gosec // a length
	return int(i)                                                   //nolint:gosec // below n
}

// fuseHash is what a fuse knows of a key: the last 8 of the bytes that are stored.
func fuseHash(key *ledger.Key) uint64 { return binary.BigEndian.Uint64(key[2:]) }

// mixHash spreads a key's hash over all bits, in another way for every seed.
func mixHash(hash, seed uint64) uint64 {
	h := hash + seed
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// places returns where a mixed hash is in the table, in three neighbouring
// segments.
func (f *fuse) places(h uint64) (a, b, c uint64) {
	size := uint64(1) << f.segment
	a, _ = bits.Mul64(h, uint64(len(f.table))-2*size)
	b = (a + size) ^ h>>18&(size-1)
	c = (a + 2*size) ^ h&(size-1)
	return a, b, c
}

func fingerprint(h uint64) uint16 { return uint16(h ^ h>>32) } //nolint:gosec // its low bits

// has says whether a key with this hash may have been added.
func (f *fuse) has(hash uint64) bool {
	if len(f.table) == 0 {
		return true
	}
	h := mixHash(hash, f.seed)
	a, b, c := f.places(h)
	return f.table[a]^f.table[b]^f.table[c] == fingerprint(h)
}

// bytes is what the fuse takes in memory.
func (f *fuse) bytes() int { return 2*len(f.table) + 64 }

// fuseBuilder makes fuses. It keeps its memory, some 30 bytes a key of the
// largest.
type fuseBuilder struct {
	counts []uint16 // keys that are at a place
	sums   []uint64 // their mixed hashes, XORed
	queue  []uint64 // places with one key
	order  []fuseKey
}

// fuseKey is a key that is alone at a place once those before it are taken away.
type fuseKey struct{ hash, place uint64 }

// build returns the fuse of hashes.
func (b *fuseBuilder) build(hashes []uint64) *fuse {
	f := newFuse(len(hashes))
	for range fuseSeeds {
		f.seed = mixHash(f.seed, 0x9e3779b97f4a7c15)
		if b.peel(f, hashes) {
			for _, k := range slices.Backward(b.order) {
				p, q, r := f.places(k.hash)
				f.table[k.place] = fingerprint(k.hash) ^ f.table[p] ^ f.table[q] ^ f.table[r]
			}
			return f
		}
	}
	return &fuse{}
}

// newFuse returns an empty fuse with room for n keys, of the size that the paper
// found to do for nearly every set of keys.
func newFuse(n int) *fuse {
	ln := math.Log(float64(max(n, 2)))
	segment := uint8(min(math.Floor(ln/math.Log(3.33)+2.25), maxSegment))
	room := float64(n) * max(1.125, 0.875+0.25*math.Log(1e6)/ln)
	segments := max(int(math.Ceil(room/float64(int(1)<<segment))), 3)
	return &fuse{segment: segment, table: make([]uint16, segments<<segment)}
}

// peel finds an order in which each key is alone at one of its places once those
// before it are taken away. It says whether there is one.
func (b *fuseBuilder) peel(f *fuse, hashes []uint64) bool {
	n := len(f.table)
	if cap(b.counts) < n {
		b.counts, b.sums = make([]uint16, n), make([]uint64, n)
	}
	b.counts, b.sums = b.counts[:n], b.sums[:n]
	clear(b.counts)
	clear(b.sums)
	b.queue, b.order = b.queue[:0], b.order[:0]
	for _, hash := range hashes {
		h := mixHash(hash, f.seed)
		p, q, r := f.places(h)
		for _, at := range [3]uint64{p, q, r} {
			b.counts[at]++
			b.sums[at] ^= h
		}
	}
	for at, count := range b.counts {
		if count == 1 {
			b.queue = append(b.queue, uint64(at))
		}
	}
	for len(b.queue) > 0 {
		at := b.queue[len(b.queue)-1]
		b.queue = b.queue[:len(b.queue)-1]
		if b.counts[at] == 1 {
			b.take(f, at)
		}
	}
	return len(b.order) == len(hashes)
}

// take takes the one key at a place away.
func (b *fuseBuilder) take(f *fuse, at uint64) {
	h := b.sums[at]
	b.order = append(b.order, fuseKey{h, at})
	p, q, r := f.places(h)
	for _, other := range [3]uint64{p, q, r} {
		b.counts[other]--
		b.sums[other] ^= h
		if b.counts[other] == 1 {
			b.queue = append(b.queue, other)
		}
	}
}

// encode appends the value of a row that holds the fuse.
func (f *fuse) encode(dst, key []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(append(dst, packedVersion), f.seed)
	dst = append(dst, f.segment)
	for _, v := range f.table {
		dst = binary.LittleEndian.AppendUint16(dst, v)
	}
	return seal(key, dst, start)
}

func decodeFuse(key, value []byte) (*fuse, error) {
	b, version, err := unsealAny(key, value)
	switch {
	case err != nil:
		return nil, err
	case version != packedVersion:
		return nil, errVersion(version)
	case len(b) < 9 || len(b)%2 == 0:
		return nil, errLength
	}
	f := &fuse{seed: binary.LittleEndian.Uint64(b), segment: b[8]}
	b = b[9:]
	if len(b) == 0 {
		return f, nil
	}
	if f.segment > maxSegment || len(b)/2 < 3<<f.segment || len(b)/2&(1<<f.segment-1) != 0 {
		return nil, errors.New("table does not fit its segments")
	}
	f.table = make([]uint16, len(b)/2)
	for i := range f.table {
		f.table[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return f, nil
}
