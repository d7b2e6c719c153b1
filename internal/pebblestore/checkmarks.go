package pebblestore

import (
	"fmt"
	"sort"

	"github.com/stelehq/stele/internal/ledger"
)

// gap looks at what was removed, before everything else of a log.
func (c *checker) gap(key, value []byte) error {
	org, log, _, err := c.logKey(key, 8)
	if err != nil {
		return err
	}
	g, err := decodeGap(key, value)
	if err != nil {
		from, _ := keyNumber(key)
		return corrupt(org, from, from+1, "gap", err)
	}
	if n := len(log.gaps); n > 0 && log.gaps[n-1].to >= g.from {
		return corrupt(org, g.from, g.to, "gaps do not lie apart", nil)
	}
	if g.to > log.head.Size {
		return corrupt(org, g.from, g.to, "gap goes beyond the end of the log", nil)
	}
	log.gaps = append(log.gaps, g)
	return nil
}

// gapsFrom returns the gaps that end after seq.
func (l *checkedLog) gapsFrom(seq uint64) []gap {
	return l.gaps[sort.Search(len(l.gaps), func(i int) bool { return l.gaps[i].to > seq }):]
}

// removed reports whether one of the entries from ≤ seq < to is in a gap.
func (l *checkedLog) removed(from, to uint64) bool {
	after := l.gapsFrom(from)
	return len(after) > 0 && after[0].from < to
}

// missing reports what is neither there nor removed before next, and goes there.
func (c *checker) missing(org string, log *checkedLog, next uint64) {
	for _, g := range log.gapsFrom(log.next) {
		if g.from >= next {
			break
		}
		if g.from > log.next {
			c.report(corrupt(org, log.next, g.from, "missing", nil))
		}
		log.next = g.to
	}
	if log.next < next {
		c.report(corrupt(org, log.next, next, "missing", nil))
		log.next = next
	}
}

// missingKeys reports the keys that should be before those of a range: all but
// those of ranges that were removed.
func (c *checker) missingKeys(org string, log *checkedLog, next uint64) {
	for ; log.keys < next; log.keys++ {
		from, to := log.keys*ledger.BlockSize, (log.keys+1)*ledger.BlockSize
		if after := log.gapsFrom(from); len(after) == 0 || after[0].from > from || after[0].to < to {
			c.report(corrupt(org, from, to, "missing keys", nil))
		}
	}
}

// marks looks at the marks of a block, and at those of its tiles as far as they are
// about its entries.
func (c *checker) marks(log *checkedLog, b *sealedBlock) error {
	keys := log.rewritten[b.FirstSeq/ledger.BlockSize]
	switch {
	case keys == nil && b.generation == 0:
		return nil
	case keys == nil || keys.generation != b.generation:
		return fmt.Errorf("it is of generation %d and the keys of its range are not", b.generation)
	}
	m, err := readMarks(c.db, b)
	if err != nil {
		return fmt.Errorf("marks: %w", err)
	}
	var t *tileMarks
	for row := range b.Rows {
		seq := b.FirstSeq + uint64(row)
		if row == 0 || seq%ledger.TileWidth == 0 {
			if t, err = readTile(c.db, b.org, seq/ledger.TileWidth); err != nil {
				return err
			}
		}
		want := byte(leafSalt)
		switch {
		case m.isRemoved(row):
			want = leafRemoved
		case m.find(row) >= 0:
			want = leafErased
		case seq >= keys.from:
			want = leafKeys
		}
		if got := t.kind(seq); got != want && (t != nil || want != leafKeys) {
			return fmt.Errorf("entry %d: its tile has another mark than it (%d, %d)", seq, got, want)
		}
	}
	return nil
}

// tile looks at what is about entries that are in no block, and whether there is a
// range that the tile belongs to.
func (c *checker) tile(key, value []byte) error {
	org, log, _, err := c.logKey(key, 8)
	if err != nil {
		return err
	}
	tile, _ := keyNumber(key)
	from, to := tile*ledger.TileWidth, (tile+1)*ledger.TileWidth
	t, err := decodeTile(key, value)
	if err != nil {
		return corrupt(org, from, to, "marks of a tile", err)
	}
	if t.whole {
		if to > log.head.Size {
			return corrupt(org, from, to, "marks of a tile beyond the end of the log", nil)
		}
		return nil
	}
	if keys := log.rewritten[from/ledger.BlockSize]; keys == nil || keys.generation != t.generation {
		return corrupt(org, from, to, "marks of a tile of another generation than the keys of its range", nil)
	}
	for seq := from; seq < to; seq++ {
		if t.kind(seq) != leafRemoved && log.removed(seq, seq+1) {
			return corrupt(org, seq, seq+1, "was removed and has no leaf hash", nil)
		}
	}
	return nil
}

// kind is what the leaf hash of an entry comes from. A tile of which there are no
// marks was removed.
func (t *tileMarks) kind(seq uint64) byte {
	if t == nil || t.whole {
		return leafRemoved
	}
	return t.kinds[seq%ledger.TileWidth]
}

// dirt looks at what is still to be scrubbed.
func (c *checker) dirt(key, value []byte) error {
	_, err := decodeDirt(key, value)
	return err
}
