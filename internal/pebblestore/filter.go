package pebblestore

import (
	"encoding/binary"
	"math/bits"

	"github.com/stelehq/stele/internal/ledger"
)

// An oldFilter is the filter of a window of an old store: a Bloom filter in blocks of
// one cache line. About one in 3,000 keys that were never added passes. Windows
// that are rewritten now have fuses instead.
type oldFilter []byte

const (
	oldBlockBytes = 64
	oldProbes     = 7
)

// place returns the key's block and the bits that choose within it.
func (f oldFilter) place(key *ledger.Key) (block []byte, probes uint64) {
	n := uint64(len(f) / oldBlockBytes)
	i, _ := bits.Mul64(binary.BigEndian.Uint64(key[:8]), n)
	return f[i*oldBlockBytes : (i+1)*oldBlockBytes], binary.BigEndian.Uint64(key[8:])
}

// has says whether the key may have been added.
func (f oldFilter) has(key *ledger.Key) bool {
	block, probes := f.place(key)
	for range oldProbes {
		if block[probes>>3&63]&(1<<(probes&7)) == 0 {
			return false
		}
		probes >>= 9
	}
	return true
}
