package pebblestore

import (
	"encoding/binary"
	"math/bits"

	"github.com/stelehq/stele/internal/ledger"
)

// A filter is a Bloom filter in blocks of one cache line: a key sets bits of one
// block only, so that asking costs one access to memory. With filterBits bits a
// key, about one in 3,000 keys that were never added passes.
//
// Keys are parts of SHA-256 sums, so their own bits choose block and bits. The
// number of blocks and the order of everything are part of the stored format.
type filter []byte

const (
	filterBlockBytes = 64
	filterBits       = 20
	filterProbes     = 7
)

// newFilter returns an empty filter for n keys.
func newFilter(n int) filter {
	blocks := (n*filterBits + filterBlockBytes*8 - 1) / (filterBlockBytes * 8)
	return make(filter, max(blocks, 1)*filterBlockBytes)
}

// place returns the key's block and the bits that choose within it.
func (f filter) place(key *ledger.Key) (block []byte, probes uint64) {
	n := uint64(len(f) / filterBlockBytes)
	i, _ := bits.Mul64(binary.BigEndian.Uint64(key[:8]), n)
	return f[i*filterBlockBytes : (i+1)*filterBlockBytes], binary.BigEndian.Uint64(key[8:])
}

func (f filter) add(key *ledger.Key) {
	block, probes := f.place(key)
	for range filterProbes {
		block[probes>>3&63] |= 1 << (probes & 7)
		probes >>= 9
	}
}

// has says whether the key may have been added.
func (f filter) has(key *ledger.Key) bool {
	block, probes := f.place(key)
	for range filterProbes {
		if block[probes>>3&63]&(1<<(probes&7)) == 0 {
			return false
		}
		probes >>= 9
	}
	return true
}
