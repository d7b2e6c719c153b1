package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// rewritten is a log as it is after Rewrites: what is left of its entries, and all
// its leaf hashes.
type rewritten struct {
	*storetest.Log
	left   []*event.Entry // nil where it was removed
	leaves []tlog.Hash
	// signed are sizes that checkpoints have; those within tiles that were
	// removed when they were not signed yet do not matter.
	signed map[uint64]bool
}

func newRewritten(org string) *rewritten {
	return &rewritten{Log: storetest.NewLog(org), signed: map[uint64]bool{}}
}

// add commits events.
func (l *rewritten) add(t testing.TB, s *Store, receivedAt int64, events []*event.Event) {
	t.Helper()
	c := l.Next(receivedAt, events, nil)
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("commit: %v", err)
	}
	l.Add(c)
	for _, e := range l.Entries[len(l.left):] {
		l.left = append(l.left, e.Clone())
		l.leaves = append(l.leaves, tlog.RecordHash(e.AppendRecord(nil)))
	}
}

// sign notes a size, unless it lies in a tile that is gone.
func (l *rewritten) sign(size uint64) {
	if first := size - size%ledger.TileWidth; first+ledger.TileWidth > l.Head.Size || !l.gone(first) {
		l.signed[size] = true
	}
}

// gone reports whether nothing is left of a tile.
func (l *rewritten) gone(first uint64) bool {
	end := first + ledger.TileWidth
	return end <= l.Head.Size && !slices.ContainsFunc(l.left[first:end], func(e *event.Entry) bool { return e != nil })
}

// rewrite has a store take entries out, and notes what is left.
func (l *rewritten) rewrite(t testing.TB, s *Store, to uint64, fate func(e *event.Entry) ledger.Fate) {
	t.Helper()
	r := l.request(to, fate)
	got, err := s.Rewrite(t.Context(), r)
	if err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	l.rewrote(t, r, got)
}

func (l *rewritten) request(to uint64, fate func(e *event.Entry) ledger.Fate) *ledger.Rewrite {
	return &ledger.Rewrite{
		Organization: l.Org, To: to, ErasedAt: 1_790_000_000_000, Fate: fate, Sizes: l.sizes,
	}
}

func (l *rewritten) sizes(tile uint64) (bits [ledger.TileWidth / 8]byte, err error) {
	for i := range uint64(ledger.TileWidth) {
		if l.signed[tile*ledger.TileWidth+i] {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return bits, nil
}

// rewrote does to the model what a store has done.
func (l *rewritten) rewrote(t testing.TB, r *ledger.Rewrite, got ledger.Rewritten) {
	t.Helper()
	var want ledger.Rewritten
	for _, e := range l.left[r.From:r.To] {
		if e == nil {
			continue
		}
		switch fate := r.Fate(e); {
		case fate == ledger.Removed:
			want.Removed++
			l.left[e.Seq] = nil
		case fate == ledger.Erased && e.ErasedAt == 0:
			want.Erased++
			e.Erase(r.ErasedAt)
		}
	}
	if got.Removed != want.Removed || got.Erased != want.Erased {
		t.Errorf("removed %d of %d, erased %d of %d", got.Removed, want.Removed, got.Erased, want.Erased)
	}
	if got.Keys != nil {
		l.Keys[got.Keys.Block] = got.Keys.Keys
	}
}

// fullText has everything of an entry.
func fullText(e *event.Entry) string {
	return fmt.Sprintf("%s salt %x erased %d %x", entryText(nil, e), e.Salt, e.ErasedAt, e.Digest)
}

// texts are those of what is left.
func (l *rewritten) texts() (list []string) {
	for _, e := range l.left {
		if e != nil {
			list = append(list, fullText(e))
		}
	}
	return list
}

// check compares everything that a store has of the log.
func (l *rewritten) check(t testing.TB, s *Store) {
	t.Helper()
	ctx := t.Context()
	want := l.texts()
	var got []string
	for e, err := range s.Read(ctx, l.Org, 0, l.Head.Size) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		got = append(got, fullText(e))
	}
	l.same(t, "read", got, want)
	for range 20 {
		seq := rand.Uint64N(l.Head.Size)
		n := 0
		for e, err := range s.Read(ctx, l.Org, seq, seq+1) {
			if err != nil || l.left[seq] == nil || fullText(e) != fullText(l.left[seq]) {
				t.Fatalf("entry %d: %v, %v", seq, e, err)
			}
			n++
		}
		if n == 0 && l.left[seq] != nil {
			t.Fatalf("entry %d is gone", seq)
		}
	}
	l.checkLeaves(ctx, t, s)
	l.checkKeys(ctx, t, s)
	if list := problems(t, s); len(list) > 0 {
		t.Fatalf("check: %v", list)
	}
}

func (l *rewritten) same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if i := slices.IndexFunc(got, func(s string) bool { return !slices.Contains(want, s) }); i >= 0 && len(got) < 100 {
		t.Fatalf("%s: %s is not there", what, got[i])
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: number %d is\n%s, not\n%s", what, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
	}
}

// checkLeaves looks at the leaf hashes of every tile, and proves signed sizes.
func (l *rewritten) checkLeaves(ctx context.Context, t testing.TB, s *Store) {
	t.Helper()
	for tile := uint64(0); tile*ledger.TileWidth < l.Head.Size; tile++ {
		first := tile * ledger.TileWidth
		width := min(ledger.TileWidth, l.Head.Size-first)
		got, err := s.Leaves(ctx, l.Org, tile, int(width))
		if err != nil {
			t.Fatal(err)
		}
		gone := l.gone(first)
		switch {
		case !gone && !slices.Equal(got.Hashes, l.leaves[first:first+width]):
			t.Fatalf("leaves of tile %d: %d hashes, %d nodes", tile, len(got.Hashes), len(got.Nodes))
		case gone && got.Hashes != nil:
			t.Fatalf("tile %d is gone and has its leaves", tile)
		case gone:
			signed, _ := l.sizes(tile)
			want := ledger.KeptNodes(first, l.leaves[first:first+width], signed)
			if fmt.Sprint(got.Nodes) != fmt.Sprint(want) {
				t.Fatalf("tile %d: kept %v, want %v", tile, got.Nodes, want)
			}
		}
	}
}

func (l *rewritten) checkKeys(ctx context.Context, t testing.TB, s *Store) {
	t.Helper()
	for i := range l.Keys {
		block := uint64(i)
		from, to := block*ledger.BlockSize, min((block+1)*ledger.BlockSize, l.Head.Size)
		some := to%ledger.BlockSize != 0 || slices.ContainsFunc(l.left[from:to], func(e *event.Entry) bool { return e != nil })
		got, err := s.Keys(ctx, l.Org, block)
		if !some {
			if !errors.Is(err, ledger.ErrNotFound) {
				t.Fatalf("keys of a range that is gone: %v", err)
			}
			continue
		}
		if err != nil || got.Check != l.Keys[i].Check {
			t.Fatalf("keys of range %d: %v", i, err)
		}
	}
}

// TestRewrite takes entries and details out of a log in many ways, while it grows.
// What stays is there, complete, and every leaf hash that is needed.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1 + fewer(2)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t, vfs.NewMem())
			if seed > 0 {
				cfg.rangeRows = 4096
			}
			rng := rand.New(rand.NewPCG(seed, 7))
			s := mustReopen(t, cfg)
			l := newRewritten("org")
			other := newRewritten("orh")
			for round := range int64(2 + fewer(4)) {
				for range 1 + rng.IntN(3) {
					l.add(t, s, round, variedEvents(rng, fmt.Sprint("t", round), 1+rng.IntN(5000)))
					l.sign(l.Head.Size)
					l.sign(rng.Uint64N(l.Head.Size) + 1)
				}
				other.add(t, s, round, variedEvents(rng, "o", 1+rng.IntN(500)))
				if rng.IntN(2) == 0 {
					sealNow(t, s)
				}
				to := l.Head.Size
				if rng.IntN(2) == 0 {
					to -= to % ledger.BlockSize
				}
				l.rewrite(t, s, to, randomFate(rng, l.Head.Size))
				l.check(t, s)
				if rng.IntN(2) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = mustReopen(t, cfg)
					l.check(t, s)
				}
			}
			other.check(t, s)
			if err := s.Drop(t.Context(), l.Org); err != nil {
				t.Fatal(err)
			}
			if list := problems(t, s); len(list) > 0 {
				t.Fatalf("check: %v", list)
			}
			other.check(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// randomFate makes up a rule that takes entries out.
func randomFate(rng *rand.Rand, size uint64) func(e *event.Entry) ledger.Fate {
	before, kept := rng.Uint64N(size), rng.IntN(3)
	action, erased := fmt.Appendf(nil, "-%d", rng.IntN(17)), rng.IntN(3)
	lo := rng.Uint64N(size)
	hi := lo + rng.Uint64N(2000)
	return func(e *event.Entry) ledger.Fate {
		switch {
		case kept == 0 && e.Seq < before:
			return ledger.Removed
		case kept == 1 && e.Seq < before && e.Seq%4000 > 10:
			return ledger.Removed
		case e.Seq >= lo && e.Seq < hi:
			return ledger.Removed
		case erased > 0 && bytes.HasSuffix(e.Actor.ID, action):
			return ledger.Erased
		}
		return ledger.Stays
	}
}

// FuzzMarks reads what cannot be marks, and whatever it reads it writes again as it
// was.
func FuzzMarks(f *testing.F) {
	key := []byte("key of 8 bytes")
	m := &marks{}
	for row := range 40 {
		if row%7 < 2 {
			m.remove(row, 64)
		}
	}
	m.erased = []erasedRow{{2, 5, [32]byte{1}}, {63, 6, [32]byte{2}}}
	t := &tileMarks{generation: 3}
	t.kinds[1], t.kinds[2], t.kinds[255] = leafSalt, leafRemoved, leafErased
	t.salts[1], t.leaves[2] = [16]byte{9}, tlog.Hash{8}
	whole := &tileMarks{generation: 1, whole: true, nodes: ledger.KeptNodes(0, make([]tlog.Hash, ledger.TileWidth), [32]byte{4})}
	for _, value := range [][]byte{
		m.encode(key, 64), t.encode(key), whole.encode(key), encodeGap(key, gap{1, 9}),
		encodeKeys(key, &rangeKeys{generation: 2, from: 7}), encodeKeys(key, &rangeKeys{Keys: event.Keys{Salt: [16]byte{1}}, generation: 2}),
	} {
		f.Add(value[:len(value)-sumBytes])
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		value = seal(key, value, 0)
		if m, err := decodeMarks(key, value, 64); err == nil && m.encode(key, 64) == nil {
			t.Error("marks cannot be written")
		}
		if got, err := decodeTile(key, value); err == nil && got.whole && !bytes.Equal(got.encode(key), value) {
			t.Errorf("tile %x is %x when written again", value, got.encode(key))
		}
		if k, err := decodeKeys(key, value); err == nil && !bytes.Equal(encodeKeys(key, k), value) && k.Salt != [16]byte{} {
			t.Errorf("keys %x are %x when written again", value, encodeKeys(key, k))
		}
		_, _ = decodeGap(key, value)
		_, _ = decodeDirt(key, value)
		_, _ = decodeBlock("org", key, value)
	})
}

// TestDamagedMarks damages and removes rows of what was taken out. Check finds each,
// and who reads what is concerned gets an error, or what it had got before.
func TestDamagedMarks(t *testing.T) {
	t.Parallel()
	for kind, count := range map[byte]int{kindBlock: 4, kindPart: 4, kindGap: 2, kindTile: 3, kindKeys: 1} {
		for name, change := range map[string]func([]byte) []byte{"flipped": flip(10), "gone": func([]byte) []byte { return nil }} {
			t.Run(fmt.Sprintf("%c %s", kind, name), func(t *testing.T) {
				t.Parallel()
				cfg := testConfig(t, vfs.NewMem())
				cfg.rangeRows = 512
				s := mustReopen(t, cfg)
				l := newRewritten("org")
				l.add(t, s, 1, storetest.MakeEvents("t", 2000))
				l.rewrite(t, s, 2000, func(e *event.Entry) ledger.Fate {
					switch {
					case e.Seq < 600, e.Seq >= 1100 && e.Seq < 1900, e.Seq%100 < 10:
						return ledger.Removed
					case e.Seq%3 == 0:
						return ledger.Erased
					}
					return ledger.Stays
				})
				l.check(t, s)
				var keys [][]byte
				prefix := appendOrgKey(nil, kind, "org")
				err := eachRowIn(s.db, prefix, prefixEnd(prefix), func(key, _ []byte) error {
					keys = append(keys, bytes.Clone(key))
					return nil
				})
				if err != nil || len(keys) == 0 {
					t.Fatal(err, len(keys))
				}
				for _, key := range keys[:min(count, len(keys))] {
					before := valueOf(t, s, key)
					edit(t, s, key, change)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = mustReopen(t, cfg)
					if len(problems(t, s)) == 0 {
						t.Errorf("check finds nothing wrong with row %q", key)
					}
					got := map[uint64]string{}
					for e, err := range s.Read(t.Context(), "org", 0, 2000) {
						if err != nil {
							break
						}
						got[e.Seq] = fullText(e)
					}
					for seq, text := range got {
						if l.left[seq] == nil || fullText(l.left[seq]) != text {
							t.Errorf("row %q: entry %d is another", key, seq)
						}
					}
					if err := s.db.Set(key, before, nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func valueOf(t *testing.T, s *Store, key []byte) []byte {
	t.Helper()
	value, closer, err := s.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	value = bytes.Clone(value)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	return value
}
