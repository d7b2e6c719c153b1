package pebblestore

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A gap is consecutive entries from ≤ seq < to that were removed and are in no
// block. Gaps of a log do not touch each other.
type gap struct{ from, to uint64 }

var errGap = errors.New("a gap ends where it begins, or before")

// encodeGap and decodeGap are the value of a gap.
func encodeGap(key []byte, g gap) []byte {
	return seal(key, binary.LittleEndian.AppendUint64([]byte{valueVersion}, g.to), 0)
}

func decodeGap(key, value []byte) (gap, error) {
	b, err := unseal(key, value)
	if err != nil {
		return gap{}, err
	}
	from, ok := keyNumber(key)
	if !ok || len(b) != 8 {
		return gap{}, errLength
	}
	g := gap{from, binary.LittleEndian.Uint64(b)}
	if g.to <= g.from {
		return gap{}, errGap
	}
	return g, nil
}

// readGaps returns what was removed of a log, in order.
func readGaps(db pebble.Reader, org string) (list []gap, err error) {
	prefix := appendOrgKey(nil, kindGap, org)
	err = eachRowIn(db, prefix, prefixEnd(prefix), func(key, value []byte) error {
		g, err := decodeGap(key, value)
		if err != nil {
			from, _ := keyNumber(key)
			return corrupt(org, from, from+1, "gap", err)
		}
		list = append(list, g)
		return nil
	})
	return list, err
}

// gaps returns what the view has as removed, in order, neighbours as one.
func (v *sealedView) gaps() (list []gap) {
	for _, b := range v.blocks {
		switch n := len(list); {
		case !b.removed:
		case n > 0 && list[n-1].to == b.FirstSeq:
			list[n-1].to = b.end()
		default:
			list = append(list, gap{b.FirstSeq, b.end()})
		}
	}
	return list
}

// rewritten returns the view in which blocks, in order, are all that is left of the
// entries from ≤ seq < to.
func (v *sealedView) rewritten(org string, from, to uint64, blocks []*sealedBlock) *sealedView {
	next := &sealedView{}
	add := func(b *sealedBlock) {
		next.fill(org, b.FirstSeq)
		next.blocks = append(next.blocks, b)
	}
	end := v.end()
	for _, b := range v.blocks {
		if !b.removed && b.end() <= from {
			add(b)
		}
	}
	for _, b := range blocks {
		add(b)
	}
	for _, b := range v.blocks {
		if !b.removed && b.FirstSeq >= to {
			add(b)
		}
	}
	next.fill(org, end)
	next.age(0)
	return next
}

// fill has everything up to seq as removed that the view does not have.
func (v *sealedView) fill(org string, seq uint64) {
	if from := v.end(); from < seq {
		v.blocks = append(v.blocks, removedBlock(org, from, seq))
	}
}

// putGaps has a batch change the rows of a log's gaps from those of one view to
// those of another.
func putGaps(batch *pebble.Batch, org string, before, after []gap) error {
	for _, g := range before {
		if !slices.ContainsFunc(after, func(a gap) bool { return a.from == g.from }) {
			if err := batch.Delete(gapKey(org, g.from), nil); err != nil {
				return err
			}
		}
	}
	for _, g := range after {
		if slices.Contains(before, g) {
			continue
		}
		key := gapKey(org, g.from)
		if err := batch.Set(key, encodeGap(key, g), nil); err != nil {
			return err
		}
	}
	return nil
}
