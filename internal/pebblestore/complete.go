package pebblestore

import (
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// completer sets what an entry of a block has that is not in the block's columns:
// id and salt, and whether it was erased. It is one goroutine's.
type completer struct {
	s     *Store
	b     *sealedBlock
	c     *event.Cipher
	ids   *event.Identifier
	marks *marks
	salts bool
	// Entries before from have their salts in the marks of their tiles; tile are
	// those used last.
	from uint64
	at   uint64
	tile *tileMarks
}

// completer returns one for the block.
func (m *matched) completer() (*completer, error) {
	c, err := m.cipher()
	if err != nil {
		return nil, err
	}
	f := &completer{s: m.s, b: m.b, c: c, ids: c.Identifier(), salts: m.salts, from: m.keys.from}
	f.marks, err = m.s.blocks.marksOf(m.b)
	return f, err
}

// clone returns one for another goroutine.
func (f *completer) clone() *completer {
	c := *f
	c.ids, c.tile = f.c.Identifier(), nil
	return &c
}

func (f *completer) removed(e *event.Entry) bool {
	return f.marks != nil && f.marks.isRemoved(int(e.Seq-f.b.FirstSeq)) //nolint:gosec // within the block
}

func (f *completer) complete(e *event.Entry) error {
	f.ids.SetID(e)
	if f.b.generation == 0 {
		if f.salts {
			f.ids.SetSalt(e)
		}
		return nil
	}
	if f.marks.erase(e, int(e.Seq-f.b.FirstSeq)) || !f.salts { //nolint:gosec // within the block
		return nil
	}
	if e.Seq >= f.from {
		f.ids.SetSalt(e)
		return nil
	}
	return f.givenSalt(e)
}

// givenSalt sets the salt of an entry that has one of its own.
func (f *completer) givenSalt(e *event.Entry) error {
	if at := e.Seq / ledger.TileWidth; f.tile == nil || f.at != at {
		t, err := readTile(f.s.db, f.b.org, at)
		if err != nil {
			return err
		}
		if t == nil || t.generation != f.b.generation {
			return errMoved
		}
		f.at, f.tile = at, t
	}
	i := e.Seq % ledger.TileWidth
	if f.tile.whole || f.tile.kinds[i] != leafSalt {
		return corrupt(f.b.org, e.Seq, e.Seq+1, "no salt", errSalt)
	}
	e.Salt = f.tile.salts[i]
	return nil
}
