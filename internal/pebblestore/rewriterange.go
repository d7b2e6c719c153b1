package pebblestore

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

const tilesOfRange = ledger.BlockSize / ledger.TileWidth

// rangeRewrite is what becomes of one range: of its entries base ≤ seq < end, which
// are all in blocks and all that there are.
type rangeRewrite struct {
	*ledger.Rewrite
	base, end uint64
	done      *ledger.Rewritten

	s    *Store
	log  *orgLog
	view *sealedView
	old  []*sealedBlock // what there is of it
	keys *rangeKeys
	// before are the marks of its tiles as they are, nil where there are none.
	before [tilesOfRange]*tileMarks

	// Of every entry, by its place in the range: what its leaf hash comes from,
	// its salt or its leaf hash, and what becomes of it now. Only entries that are
	// there have a fate.
	kinds  [ledger.BlockSize]byte
	salts  [ledger.BlockSize][16]byte
	leaves [ledger.BlockSize]tlog.Hash
	fates  [ledger.BlockSize]ledger.Fate
	// removed and erased count what was there before.
	removed, erased uint64

	// Of every tile: whether all of it is removed, which sizes within it were
	// signed, and whether leaf hashes of what is removed now are kept.
	whole  [tilesOfRange]bool
	signed [tilesOfRange][ledger.TileWidth / 8]byte
	hashed [tilesOfRange]bool
}

// load reads what is known of the range.
func (w *rangeRewrite) load(s *Store, log *orgLog) (err error) {
	w.s, w.log = s, log
	if w.view, err = s.blocks.view(log); err != nil {
		return err
	}
	for _, b := range w.view.blocks {
		if b.end() <= w.base || b.FirstSeq >= w.end || b.removed {
			continue
		}
		if b.damage != nil {
			return b.damage
		}
		w.old = append(w.old, b)
	}
	if w.keys, err = s.readKeys(log, w.base/ledger.BlockSize); err != nil {
		return err
	}
	for i := range w.kinds {
		if w.base+uint64(i) < w.end {
			w.kinds[i] = leafRemoved // until it is found
		}
	}
	first := w.base / ledger.TileWidth
	return eachRowIn(s.db, tileKey(log.org, first), tileKey(log.org, first+tilesOfRange), func(key, value []byte) error {
		tile, _ := keyNumber(key)
		t, err := decodeTile(key, value)
		if err != nil {
			return corrupt(log.org, tile*ledger.TileWidth, (tile+1)*ledger.TileWidth, "marks of a tile", err)
		}
		w.before[tile-first] = t
		copy(w.leaves[(tile-first)*ledger.TileWidth:], t.leaves[:])
		return nil
	})
}

// decide asks for the fate of every entry that is there.
func (w *rangeRewrite) decide() error {
	for _, b := range w.old {
		m := matched{s: w.s, log: w.log, b: b, salts: true}
		m.fn = func(e *event.Entry) bool {
			w.entry(e)
			return true
		}
		if err := m.scan(0, b.Rows, false, nil); err != nil {
			return blockError(w.log, b, err)
		}
	}
	return nil
}

func (w *rangeRewrite) entry(e *event.Entry) {
	i := e.Seq - w.base
	fate := w.Fate(e)
	switch {
	case fate == ledger.Removed:
		w.removed++
		w.kinds[i] = leafRemoved
	case e.ErasedAt != 0:
		fate = ledger.Stays
		w.kinds[i] = leafErased
	case fate == ledger.Erased:
		w.erased++
		w.kinds[i] = leafErased
	default:
		w.kinds[i], w.salts[i] = leafSalt, e.Salt
	}
	w.fates[i] = fate
}

// plan finds out which leaf hashes are kept.
func (w *rangeRewrite) plan() error {
	for t := range w.whole {
		first := w.base + uint64(t)*ledger.TileWidth
		if first >= w.end {
			break
		}
		if before := w.before[t]; before != nil && before.whole {
			w.whole[t] = true
			continue
		}
		all, fresh := first+ledger.TileWidth <= w.end, false
		for i := t * ledger.TileWidth; i < (t+1)*ledger.TileWidth; i++ {
			all = all && w.kinds[i] == leafRemoved
			fresh = fresh || w.fates[i] == ledger.Removed
		}
		w.whole[t], w.hashed[t] = all, fresh
		if !all || !fresh && w.before[t] == nil {
			continue
		}
		if w.Sizes != nil {
			var err error
			if w.signed[t], err = w.Sizes(first / ledger.TileWidth); err != nil {
				return err
			}
		}
		w.hashed[t] = fresh && hasInner(&w.signed[t])
	}
	return nil
}

// stay returns from the first to after the last entry of a block that stays, the
// same twice when none does.
func (w *rangeRewrite) stay(b *sealedBlock) (lo, hi uint64) {
	lo, hi = b.FirstSeq, b.end()
	for lo < hi && w.kinds[lo-w.base] == leafRemoved {
		lo++
	}
	for hi > lo && w.kinds[hi-1-w.base] == leafRemoved {
		hi--
	}
	return lo, hi
}

// seqs is from ≤ seq < to.
type seqs struct{ from, to uint64 }

// needed returns which entries of a block must be read, in whole tiles: those that
// stay, and those whose leaf hash is kept.
func (w *rangeRewrite) needed(b *sealedBlock) (list []seqs) {
	for from := b.FirstSeq; from < b.end(); {
		to := min(b.end(), from-from%ledger.TileWidth+ledger.TileWidth)
		need := w.hashed[(from-w.base)/ledger.TileWidth]
		for seq := from; seq < to; seq++ {
			need = need || w.kinds[seq-w.base] != leafRemoved
		}
		switch n := len(list); {
		case !need:
		case n > 0 && list[n-1].to == from:
			list[n-1].to = to
		default:
			list = append(list, seqs{from, to})
		}
		from = to
	}
	return list
}

// setLeaf sets the leaf hash of an entry that is removed now.
func (w *rangeRewrite) setLeaf(i uint64, record []byte) { w.leaves[i] = tlog.RecordHash(record) }

// tilesAfter returns the marks that the tiles of the range have then, nil for none.
func (w *rangeRewrite) tilesAfter(generation uint32) (list [tilesOfRange]*tileMarks) {
	for t := range list {
		at := t * ledger.TileWidth
		first := w.base + uint64(at)
		if first >= w.end {
			break
		}
		before := w.before[t]
		switch {
		case before != nil && before.whole:
			list[t] = before
			continue
		case w.whole[t] && before == nil && !w.hashed[t]:
			continue // nothing was kept, and nothing is
		}
		leaves := w.leaves[at : at+ledger.TileWidth]
		m := &tileMarks{generation: generation, whole: w.whole[t]}
		if m.whole {
			m.nodes = ledger.KeptNodes(first, leaves, w.signed[t])
			if len(m.nodes) > 0 {
				list[t] = m
			}
			continue
		}
		copy(m.kinds[:], w.kinds[at:])
		copy(m.salts[:], w.salts[at:])
		copy(m.leaves[:], leaves)
		list[t] = m
	}
	return list
}
