package pebblestore

import (
	"encoding/binary"

	"github.com/stelehq/stele/internal/ledger"
)

// receiptTable has the receipts of a window that is not rewritten: 40 bytes each
// and 8 for the slots, without a pointer for the garbage collector to follow. Keys
// are parts of SHA-256 sums, so their last bytes serve as hash.
type receiptTable struct {
	entries []ledger.KeyedReceipt
	slots   []uint32 // index into entries plus one; a power of two of them
}

// slot returns where a key is or would be.
func (t *receiptTable) slot(key *ledger.Key) int {
	mask := len(t.slots) - 1
	at := int(binary.LittleEndian.Uint32(key[12:])) & mask
	for t.slots[at] != 0 && t.entries[t.slots[at]-1].Key != *key {
		at = (at + 1) & mask
	}
	return at
}

func (t *receiptTable) get(key *ledger.Key) (r ledger.Receipt, ok bool) {
	if len(t.slots) == 0 {
		return r, false
	}
	at := t.slots[t.slot(key)]
	if at == 0 {
		return r, false
	}
	return t.entries[at-1].Receipt, true
}

// put adds a receipt, in the place of one under the same key.
func (t *receiptTable) put(r *ledger.KeyedReceipt) {
	if 2*len(t.entries) >= len(t.slots) {
		t.grow()
	}
	at := t.slot(&r.Key)
	if i := t.slots[at]; i > 0 {
		t.entries[i-1] = *r
		return
	}
	t.entries = append(t.entries, *r)
	t.slots[at] = uint32(len(t.entries)) //nolint:gosec // a window has far fewer
}

func (t *receiptTable) grow() {
	t.slots = make([]uint32, max(64, 2*len(t.slots)))
	for i := range t.entries {
		t.slots[t.slot(&t.entries[i].Key)] = uint32(i + 1)
	}
}
