package ledger

import (
	"testing"

	"github.com/stelehq/stele/internal/event"
)

// Keys that share a slot take it from each other, and each gets its own cipher.
func TestCipherCache(t *testing.T) {
	var c cipherCache
	a := event.Keys{Salt: [16]byte{1, 1}}
	b := event.Keys{Salt: [16]byte{1, 1}, Check: [16]byte{2}}
	for range 2 {
		for _, keys := range []event.Keys{a, b} {
			got, want := c.of(&keys), keys.Cipher()
			if got.ID(5, 7) != want.ID(5, 7) || got.Salt(7) != want.Salt(7) {
				t.Errorf("keys %v got the cipher of others", keys)
			}
			if c.of(&keys) != got {
				t.Error("the cipher of the last keys was made again")
			}
		}
	}
}
