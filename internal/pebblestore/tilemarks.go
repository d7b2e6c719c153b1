package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/ledger"
)

// What the leaf hash of an entry comes from, in a range out of which something was
// taken. They are part of the stored format.
const (
	leafKeys    = iota // its salt is derived from the range's keys
	leafSalt           // its salt is given
	leafErased         // the block's marks have the digest of its details
	leafRemoved        // it is given
)

// tileMarks are the salts and leaf hashes of a tile of level 0 that are not derived
// from keys and entries, or, of one that was removed wholly, hashes that were kept.
type tileMarks struct {
	generation uint32
	kinds      [ledger.TileWidth]byte
	salts      [ledger.TileWidth][16]byte
	leaves     [ledger.TileWidth]tlog.Hash
	// whole says that all of it was removed; then there is only nodes.
	whole bool
	nodes []ledger.Subtree
}

const (
	tileOfRows  = 0
	tileOfNodes = 1
	kindBytes   = ledger.TileWidth / 4
)

var errTile = errors.New("it does not have what it says")

// encode returns the value of a tile's marks.
func (t *tileMarks) encode(key []byte) []byte {
	value := binary.LittleEndian.AppendUint32([]byte{valueVersion}, t.generation)
	if t.whole {
		value = append(value, tileOfNodes)
		for i := range t.nodes {
			n := &t.nodes[i]
			value = append(value, byte(n.First%ledger.TileWidth), byte(n.Level)) //nolint:gosec // below 8
			value = append(value, n.Hash[:]...)
		}
		return seal(key, value, 0)
	}
	value = append(value, tileOfRows)
	start := len(value)
	value = append(value, make([]byte, kindBytes)...)
	for i, kind := range t.kinds {
		value[start+i/4] |= kind << (i % 4 * 2)
		switch kind {
		case leafSalt:
			value = append(value, t.salts[i][:]...)
		case leafRemoved:
			value = append(value, t.leaves[i][:]...)
		}
	}
	return seal(key, value, 0)
}

func decodeTile(key, value []byte) (*tileMarks, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	tile, ok := keyNumber(key)
	if !ok || len(b) < 5 {
		return nil, errShort
	}
	t := &tileMarks{generation: binary.LittleEndian.Uint32(b)}
	what, b := b[4], b[5:]
	switch {
	case t.generation == 0:
		return nil, errGeneration
	case what == tileOfNodes:
		t.whole = true
		return t, t.decodeNodes(tile*ledger.TileWidth, b)
	case what == tileOfRows:
		return t, t.decodeRows(b)
	default:
		return nil, errTile
	}
}

func (t *tileMarks) decodeNodes(first uint64, b []byte) error {
	const size = 2 + tlog.HashSize
	if len(b) == 0 || len(b)%size != 0 {
		return errLength
	}
	for next := 0; len(b) > 0; b = b[size:] {
		at, level := int(b[0]), int(b[1])
		if at != next || level >= tileHeight || at%(1<<level) != 0 {
			return errTile
		}
		next += 1 << level
		if len(b) == size && next != ledger.TileWidth {
			return errTile
		}
		t.nodes = append(t.nodes, ledger.Subtree{First: first + uint64(at), Level: level, Hash: tlog.Hash(b[2:size])}) //nolint:gosec // below 256
	}
	return nil
}

func (t *tileMarks) decodeRows(b []byte) error {
	if len(b) < kindBytes {
		return errShort
	}
	kinds, b := b[:kindBytes], b[kindBytes:]
	for i := range t.kinds {
		var into []byte
		switch t.kinds[i] = kinds[i/4] >> (i % 4 * 2) & 3; t.kinds[i] {
		case leafSalt:
			into = t.salts[i][:]
		case leafRemoved:
			into = t.leaves[i][:]
		}
		if len(b) < len(into) {
			return errShort
		}
		b = b[copy(into, b):]
	}
	if len(b) > 0 {
		return errLength
	}
	return nil
}

// readTile returns the marks of a tile, nil when there are none.
func readTile(db pebble.Reader, org string, tile uint64) (*tileMarks, error) {
	key := tileKey(org, tile)
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil //nolint:nilnil // nil is none
	}
	if err != nil {
		return nil, fmt.Errorf("organization %q, marks of tile %d: %w", org, tile, err)
	}
	t, err := decodeTile(key, value)
	if err != nil {
		err = corrupt(org, tile*ledger.TileWidth, (tile+1)*ledger.TileWidth, "marks of a tile", err)
	}
	return t, errors.Join(err, closer.Close())
}

// tileHeight is the number of levels of a tile.
const tileHeight = 8

// hasInner reports whether a size within a tile is in sizes: its beginning is not.
func hasInner(sizes *[ledger.TileWidth / 8]byte) bool {
	first := *sizes
	first[0] &^= 1
	return first != [ledger.TileWidth / 8]byte{}
}
