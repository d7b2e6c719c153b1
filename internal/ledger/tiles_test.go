package ledger_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
)

func checkTree(p tlog.TreeProof, newer, older audit.Checkpoint) error {
	return tlog.CheckTree(p, int64(newer.Size), newer.Root, int64(older.Size), older.Root)
}

// servedTiles reads a log the way a client of tlog-tiles does.
type servedTiles struct {
	t   testing.TB
	l   *ledger.Ledger
	org string
}

func (s servedTiles) Height() int                         { return 8 }
func (s servedTiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (s servedTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		data, err := s.l.Tile(s.t.Context(), s.org, tile.L, uint64(tile.N), tile.W)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// A client that trusts only the checkpoint can prove every entry from tiles and
// bundles, in logs whose tiles have one, two and three levels.
func TestTilesForClients(t *testing.T) {
	for _, size := range []int{1, 2, 255, 256, 257, 1000, 65_536, 66_000} {
		l := open(t, newStore())
		for n := size; n > 0; n -= min(n, 10_000) {
			record(t, l, "acme", n, min(n, 10_000))
		}
		cp, _ := checkpoint(t, l)
		reader := tlog.TileHashReader(tlog.Tree{N: int64(cp.Size), Hash: cp.Root}, servedTiles{t, l, "acme"})
		for seq := int64(0); seq < int64(size); seq += 1 + int64(size)/50 {
			width := min(256, size-int(seq)/256*256)
			bundle, err := l.Bundle(t.Context(), "acme", uint64(seq)/256, width)
			if err != nil {
				t.Fatal(err)
			}
			rec := recordOf(t, bundle, width, int(seq)%256)
			proof, err := tlog.ProveRecord(int64(size), seq, reader)
			if err != nil {
				t.Fatalf("%d of %d: %v", seq, size, err)
			}
			if err := tlog.CheckRecord(proof, int64(size), cp.Root, seq, tlog.RecordHash(rec)); err != nil {
				t.Fatalf("%d of %d: %v", seq, size, err)
			}
		}
	}
}

// recordOf takes the i-th of n records out of a bundle.
func recordOf(t testing.TB, bundle []byte, n, i int) (rec []byte) {
	t.Helper()
	for k := range n {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			t.Fatalf("bundle ends in record %d of %d", k, n)
		}
		size := int(binary.BigEndian.Uint16(bundle))
		if k == i {
			rec = bundle[2 : 2+size]
		}
		bundle = bundle[2+size:]
	}
	if len(bundle) != 0 {
		t.Fatalf("%d bytes after %d records", len(bundle), n)
	}
	return rec
}

// A tile is the same however much of it was asked for before, and a partial tile
// is the beginning of the full one.
func TestPartialTiles(t *testing.T) {
	s := newStoreOf(t, 600)
	full, err := open(t, s).Tile(t.Context(), "acme", 0, 1, 256)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		l := open(t, s)
		for range 4 {
			width := rapid.IntRange(1, 256).Draw(rt, "width")
			got, err := l.Tile(t.Context(), "acme", 0, 1, width)
			if err != nil || string(got) != string(full[:width*tlog.HashSize]) {
				rt.Fatalf("width %d: %d bytes, %v", width, len(got), err)
			}
		}
	})
}

func newStoreOf(t testing.TB, n int) *faultyStore {
	t.Helper()
	s := newStore()
	record(t, open(t, s), "acme", 0, n)
	return s
}

func TestTilesThatDoNotExist(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, 600)
	for _, c := range []struct {
		level int
		index uint64
		width int
		code  audit.Code
	}{
		{0, 2, 89, audit.CodeNotFound},
		{0, 3, 1, audit.CodeNotFound},
		{1, 0, 3, audit.CodeNotFound},
		{1, 1, 1, audit.CodeNotFound},
		{2, 0, 1, audit.CodeNotFound},
		{63, 0, 1, audit.CodeNotFound},
		{-1, 0, 1, audit.CodeNotFound},
		{0, 1<<64 - 1, 1, audit.CodeNotFound},
		{0, 1 << 56, 1, audit.CodeNotFound},
		{0, 0, 0, audit.CodeInvalidRequest},
		{0, 0, 257, audit.CodeInvalidRequest},
		{0, 0, -1, audit.CodeInvalidRequest},
	} {
		_, err := l.Tile(t.Context(), "acme", c.level, c.index, c.width)
		wantCode(t, err, c.code)
		if c.level == 0 {
			_, err = l.Bundle(t.Context(), "acme", c.index, c.width)
			wantCode(t, err, c.code)
		}
	}
	if _, err := l.Tile(t.Context(), "acme", 1, 0, 2); err != nil {
		t.Error(err)
	}
	if _, err := l.Bundle(t.Context(), "acme", 2, 88); err != nil {
		t.Error(err)
	}
}

func TestProveWhatIsNotThere(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, 3)
	for _, seq := range []uint64{3, 1 << 50} {
		_, err := l.Prove(t.Context(), "acme", seq)
		wantCode(t, err, audit.CodeNotFound)
	}
}

// A proof that does not hold is not given out.
func TestDamagedEntryIsNotProved(t *testing.T) {
	s := newStoreOf(t, 600)
	checkpoint(t, open(t, s))
	s.Damage("acme", func(log *rawLog) { log.Rows[300] = log.Rows[301] })
	l := open(t, s)
	_, err := l.Prove(t.Context(), "acme", 300)
	var e *audit.Error
	if err == nil || errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	// In another tile everything is well.
	if _, err := l.Prove(t.Context(), "acme", 100); err != nil {
		t.Error(err)
	}
	// A damaged, a missing row in a bundle or tile is an error, not a gap.
	s.Damage("acme", func(log *rawLog) { log.Rows = log.Rows[:550] })
	if _, err := l.Bundle(t.Context(), "acme", 2, 88); err == nil {
		t.Error("a bundle without all its entries was served")
	}
	if _, err := open(t, s).Tile(t.Context(), "acme", 0, 2, 88); err == nil {
		t.Error("a tile without all its entries was served")
	}
}

// More tiles than the cache holds.
func TestTileCacheIsBounded(t *testing.T) {
	l := open(t, newStore())
	orgs := []string{"a", "b", "c"}
	for _, org := range orgs {
		for i := range 6 {
			record(t, l, org, i, 10_000)
		}
	}
	for range 2 {
		for _, org := range orgs {
			for i := range uint64(234) {
				if _, err := l.Tile(t.Context(), org, 0, i, 256); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := ledger.CachedTiles(l); n > 512 {
		t.Errorf("%d tiles in memory", n)
	}
}
