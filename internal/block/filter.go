package block

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// The seeds of the hashes of each field's values. Part of the format.
const (
	hashAction   = 1
	hashActorID  = 2
	hashTargetID = 3
	hashLocation = 4
)

// FilterHash is what the filter holds of a value: XXH64 with a seed for the
// field. Asked of many blocks, a value is hashed once. It reports false for
// fields that filters do not hold.
func FilterHash(field Field, value []byte) (hash uint64, ok bool) {
	switch field {
	case FieldAction:
		return xxh64(hashAction, value), true
	case FieldActorID:
		return xxh64(hashActorID, value), true
	case FieldTargetID:
		return xxh64(hashTargetID, value), true
	case FieldLocation:
		return xxh64(hashLocation, value), true
	default:
		return 0, false
	}
}

// Filter says which values a block cannot have: a binary fuse filter (Graf and
// Lemire, 2022) of 8-bit fingerprints. It is immutable and may be used
// concurrently.
type Filter struct {
	seed         uint64
	segment      uint32 // fingerprints in a segment, a power of two
	segments     uint32 // in which a key's first fingerprint may be
	fingerprints []byte // of segments+2 segments; nil lets everything pass
}

// filterTries bounds the seeds that are tried: one in twenty fails, so that this
// many do not.
const filterTries = 64

// maxSegmentBits keeps a key's fingerprints near each other.
const maxSegmentBits = 18

// MayContain reports whether an entry of the block may have the value, letter
// for letter: false is certain, true is wrong for one value in 256. It knows
// FieldAction, FieldActorID, FieldTargetID and FieldLocation; of other fields it
// says true.
func (f *Filter) MayContain(field Field, value []byte) bool {
	hash, ok := FilterHash(field, value)
	return !ok || f.MayContainHash(hash)
}

// MayContainHash is MayContain for a value that [FilterHash] has hashed.
func (f *Filter) MayContainHash(hash uint64) bool {
	if len(f.fingerprints) == 0 {
		return true
	}
	h := spread(hash + f.seed)
	a, b, c := f.places(h)
	return fingerprint(h)^f.fingerprints[a]^f.fingerprints[b]^f.fingerprints[c] == 0
}

// MemoryBytes is what the filter takes.
func (f *Filter) MemoryBytes() int { return cap(f.fingerprints) + 64 }

// places returns where a key's fingerprints are: one each in three neighbouring
// segments.
func (f *Filter) places(h uint64) (a, b, c uint32) {
	first, _ := bits.Mul64(h, uint64(f.segments)*uint64(f.segment))
	mask := f.segment - 1
	a = uint32(first) //nolint:gosec // below 2^32
	b = a + f.segment
	c = b + f.segment
	return a, b ^ uint32(h>>18)&mask, c ^ uint32(h)&mask //nolint:gosec // below 2^32
}

func fingerprint(h uint64) byte { return byte(h ^ h>>32) } //nolint:gosec // its low byte

// spread makes all bits of a number depend on all (the finalizer of MurmurHash3).
func spread(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// filterSeed is the seed of a try.
func filterSeed(try int) uint64 { return spread(uint64(try) + 1) } //nolint:gosec // small

// size decides the segments for n keys as the paper has it, but with integers
// only so that it is the same everywhere.
func (f *Filter) size(n int) {
	log := bits.Len(uint(n))
	f.segment = 1 << min((576*log+2250)/1000, maxSegmentBits)
	room := n + n/8 + 8
	if log > 1 {
		room = max(room, 7*n/8+5*n/(log-1))
	}
	segments := (uint32(room) + f.segment - 1) / f.segment //nolint:gosec // small
	f.segments = max(segments, 3) - 2
	f.fingerprints = make([]byte, (f.segments+2)*f.segment)
}

// filterBuilder makes filters, in memory that it keeps.
type filterBuilder struct {
	keys   []uint64
	counts []byte // keys at a place, times four, plus which of their places it is (exclusive or)
	xors   []uint64
	alone  []uint32
	order  []uint64
	which  []byte
	radix  radix
}

// build makes the filter of keys, which it sorts and rids of duplicates. try is
// the number of the seed; when none does the filter lets everything pass.
func (b *filterBuilder) build() (f Filter, try int) {
	b.radix.sort(b.keys)
	b.keys = slices.Compact(b.keys)
	f.size(len(b.keys))
	for try = range filterTries {
		f.seed = filterSeed(try)
		if b.peel(&f) {
			b.assign(&f)
			return f, try
		}
	}
	return Filter{}, 0
}

// peel finds an order in which each key has a place to itself once those after
// it are taken away. It reports false when there is none.
func (b *filterBuilder) peel(f *Filter) bool {
	n := len(f.fingerprints)
	b.counts = slices.Grow(b.counts[:0], n)[:n]
	b.xors = slices.Grow(b.xors[:0], n)[:n]
	clear(b.counts)
	clear(b.xors)
	for _, k := range b.keys {
		h := spread(k + f.seed)
		places := threePlaces(f, h)
		for which, at := range places {
			if b.counts[at] >= 252 {
				return false
			}
			b.counts[at] = (b.counts[at] + 4) ^ byte(which)
			b.xors[at] ^= h
		}
	}
	b.alone = b.alone[:0]
	for at := range b.counts {
		if b.counts[at]>>2 == 1 {
			b.alone = append(b.alone, uint32(at))
		}
	}
	b.order, b.which = b.order[:0], b.which[:0]
	for len(b.alone) > 0 {
		at := b.alone[len(b.alone)-1]
		b.alone = b.alone[:len(b.alone)-1]
		if b.counts[at]>>2 == 1 {
			b.take(f, b.xors[at], b.counts[at]&3)
		}
	}
	return len(b.order) == len(b.keys)
}

// take takes a key away that is alone at one of its places.
func (b *filterBuilder) take(f *Filter, h uint64, which byte) {
	b.order = append(b.order, h)
	b.which = append(b.which, which)
	for other, at := range threePlaces(f, h) {
		b.counts[at] = (b.counts[at] - 4) ^ byte(other)
		b.xors[at] ^= h
		if b.counts[at]>>2 == 1 {
			b.alone = append(b.alone, at)
		}
	}
}

// assign sets the fingerprints, the key taken away last first.
func (b *filterBuilder) assign(f *Filter) {
	for i, h := range slices.Backward(b.order) {
		places := threePlaces(f, h)
		at := places[b.which[i]]
		f.fingerprints[at] = 0
		f.fingerprints[at] = fingerprint(h) ^ f.fingerprints[places[0]] ^ f.fingerprints[places[1]] ^ f.fingerprints[places[2]]
	}
}

func threePlaces(f *Filter, h uint64) [3]uint32 {
	a, b, c := f.places(h)
	return [3]uint32{a, b, c}
}

// appendFilter encodes the filter of the block's values.
func (e *Encoder) appendFilter(dst []byte) []byte {
	b := &e.filter
	b.keys = b.keys[:0]
	for i := range e.actions.entries {
		b.keys = append(b.keys, xxh64(hashAction, e.arena.at(e.actions.entries[i].text)))
	}
	for _, id := range e.actors.idents {
		b.keys = append(b.keys, xxh64(hashActorID, e.arena.at(id.id)))
	}
	for _, id := range e.targets.idents {
		b.keys = append(b.keys, xxh64(hashTargetID, e.arena.at(id.id)))
	}
	for _, s := range e.locations.spans {
		b.keys = append(b.keys, xxh64(hashLocation, e.arena.at(s)))
	}
	return b.append(dst)
}

// append encodes the filter of keys.
func (b *filterBuilder) append(dst []byte) []byte {
	f, try := b.build()
	dst = append(dst, byte(try), byte(bits.Len32(f.segment))) //nolint:gosec // below filterTries
	dst = binary.AppendUvarint(dst, uint64(f.segments))
	return append(dst, f.fingerprints...)
}

// ParseFilter reads part 1 of the block with the given header. It keeps b.
func ParseFilter(h *Header, b []byte) (*Filter, error) {
	in, err := h.open(FilterPart, b)
	if err != nil {
		return nil, err
	}
	f := &Filter{seed: filterSeed(int(in.byte()))}
	segmentBits := int(in.byte()) - 1
	f.segments = uint32(in.upTo(MaxTargets)) //nolint:gosec // small
	switch {
	case in.bad != "" || segmentBits > maxSegmentBits:
		in.fail("the size of segments is beyond its limit")
	case segmentBits < 0:
		f.segments = 0
	default:
		f.segment = 1 << segmentBits
		f.fingerprints = in.bytes(int((f.segments + 2) * f.segment))
		if f.segments == 0 {
			in.fail("there are no segments")
		}
	}
	in.end()
	if in.bad != "" {
		return nil, corrupt(FilterPart, "filter", in.bad)
	}
	return f, nil
}
