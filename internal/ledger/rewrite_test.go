package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// between gives the entries from ≤ seq < to a fate.
func between(from, to uint64, fate ledger.Fate) func(*event.Entry) ledger.Fate {
	return func(e *event.Entry) ledger.Fate {
		if e.Seq >= from && e.Seq < to {
			return fate
		}
		return ledger.Stays
	}
}

// rewrite rewrites all of a log and fails unless so many entries changed.
func rewrite(t testing.TB, l *ledger.Ledger, fate func(*event.Entry) ledger.Fate, removed, erased uint64) {
	t.Helper()
	done, err := l.Rewrite(t.Context(), ledger.Rewrite{Organization: "acme", To: 1 << 62, Fate: fate})
	if err != nil || done.Removed != removed || done.Erased != erased {
		t.Fatalf("rewrite: %+v, %v; want %d removed, %d erased", done, err, removed, erased)
	}
}

// checked checks a log and compares what is there.
func checked(t testing.TB, l *ledger.Ledger, kept, erased, removed uint64) {
	t.Helper()
	res, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { t.Errorf("check: %s", p.What) })
	if err != nil || res.Entries != kept || res.Erased != erased || res.Removed != removed {
		t.Fatalf("check: %+v, %v; want %d entries, %d erased, %d removed", res, err, kept, erased, removed)
	}
}

// TestRewriteTakesAway: what is removed is nowhere, and gone where it was served
// before; what remains has its proof; so does what was signed.
func TestRewriteTakesAway(t *testing.T) {
	s := newStore()
	l := open(t, s)
	var signed []audit.Checkpoint
	var entries []*event.Entry
	for n, size := range []int{1, 299, 100, 500, 400} {
		record(t, l, "acme", n, size)
		c, err := signNow(t, l)
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, c)
	}
	for e, err := range l.Read(t.Context(), "acme", 0, 1300) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e.Clone())
	}
	for i := range uint64(6) { // into the cache
		if _, err := l.Tile(t.Context(), "acme", 0, i, int(min(256, 1300-i*256))); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(t, l, between(0, 1100, ledger.Removed), 1100, 0)
	rewrite(t, l, between(0, 1100, ledger.Removed), 0, 0)
	rewrite(t, l, between(1200, 1250, ledger.Erased), 0, 50)
	record(t, l, "acme", 7, 10)
	checked(t, l, 210, 50, 1100)
	v, err := audit.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	for seq, e := range entries {
		if seq < 1100 {
			_, err := l.EntryAt(t.Context(), "acme", e.Seq)
			wantCode(t, err, audit.CodeNotFound)
			_, err = l.Entry(t.Context(), "acme", e.ID.String())
			wantCode(t, err, audit.CodeNotFound)
			_, err = l.Prove(t.Context(), "acme", e.Seq)
			wantCode(t, err, audit.CodeNotFound)
			continue
		}
		verifyProof(t, l, v, "acme", e)
	}
	for i := range uint64(5) {
		_, err := l.Bundle(t.Context(), "acme", i, 256)
		wantCode(t, err, audit.CodeGone)
		_, err = l.Tile(t.Context(), "acme", 0, i, 256)
		if i < 4 {
			if e := fault(t, err, audit.CodeGone); !strings.Contains(e.Message, "retention") {
				t.Error(e)
			}
		} else if err != nil {
			t.Errorf("the hashes of a tile of which entries are left: %v", err)
		}
	}
	if _, err := l.Bundle(t.Context(), "acme", 5, 30); err != nil {
		t.Errorf("a bundle after those that are gone: %v", err)
	}
	last, err := signNow(t, l)
	if err != nil {
		t.Fatal(err)
	}
	for _, newer := range append(signed, last) {
		for _, older := range signed {
			if older.Size <= newer.Size {
				checkExtends(t, l, newer, older)
			}
		}
	}
	_, err = l.ProveTree(t.Context(), "acme", 1310, 77)
	wantCode(t, err, audit.CodeGone)
	_, err = l.ProveTree(t.Context(), "acme", 78, 77)
	wantCode(t, err, audit.CodeGone)
}

// signNow returns the newest checkpoint of a log, which it signs.
func signNow(t testing.TB, l *ledger.Ledger) (audit.Checkpoint, error) {
	t.Helper()
	note, err := l.Checkpoint(t.Context(), "acme")
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.OpenCheckpoint(note, l.VerifierKey())
}

func checkExtends(t testing.TB, l *ledger.Ledger, newer, older audit.Checkpoint) {
	t.Helper()
	proof, err := l.ProveTree(t.Context(), newer.OrganizationID(), newer.Size, older.Size)
	if err != nil {
		t.Fatalf("%d to %d: %v", older.Size, newer.Size, err)
	}
	if err := tlog.CheckTree(proof, int64(newer.Size), newer.Root, int64(older.Size), older.Root); err != nil {
		t.Fatalf("%d to %d: %v", older.Size, newer.Size, err)
	}
}

// TestKeptNodes compares what is kept of a tile with what proofs of consistency
// ask for, for each pair of sizes.
func TestKeptNodes(t *testing.T) {
	var tree treeOf
	leaves := make([]tlog.Hash, ledger.TileWidth)
	for i := range leaves {
		rec := fmt.Appendf(nil, "record %d", i)
		tree.add(t, rec)
		leaves[i] = tlog.RecordHash(rec)
	}
	if got := ledger.KeptNodes(512, leaves, [32]byte{1}); got != nil {
		t.Errorf("%v is kept though no size inside was signed", got)
	}
	for _, sizes := range [][]int{{1}, {255}, {128}, {100}, {3, 7}, {100, 101, 102}, {127, 129, 200}} {
		var signed [32]byte
		for _, n := range sizes {
			signed[n/8] |= 1 << (n % 8)
		}
		kept := ledger.KeptNodes(0, leaves, signed)
		next := uint64(0)
		byPlace := map[int64]tlog.Hash{}
		for _, n := range kept {
			if n.First != next {
				t.Fatalf("%v: kept %v", sizes, kept)
			}
			next += 1 << n.Level
			byPlace[tlog.StoredHashIndex(n.Level, int64(n.First)>>n.Level)] = n.Hash
		}
		if next != ledger.TileWidth {
			t.Fatalf("%v: kept up to %d", sizes, next)
		}
		reader := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
			for _, x := range indexes {
				level, n := tlog.SplitStoredHashIndex(x)
				h, ok := ledger.RootOf(kept, uint64(n)<<level, level)
				if !ok {
					return nil, fmt.Errorf("node %d of level %d is not kept", n, level)
				}
				out = append(out, h)
			}
			return out, nil
		})
		for i, newer := range append(slices.Clone(sizes), 256) {
			for _, older := range sizes[:min(i+1, len(sizes))] {
				want, err := tlog.ProveTree(int64(newer), int64(older), tree.reader())
				if err != nil {
					t.Fatal(err)
				}
				if got, err := tlog.ProveTree(int64(newer), int64(older), reader); err != nil || !slices.Equal(got, want) {
					t.Errorf("%v: from %d to %d: %v", sizes, older, newer, err)
				}
			}
		}
		if len(byPlace) != len(kept) {
			t.Errorf("%v: kept twice: %v", sizes, kept)
		}
	}
}

// TestRewriteUnknownSizes: of a log that was signed before sizes were noted,
// every size below that checkpoint can be proved.
func TestRewriteUnknownSizes(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 300)
	old, err := signNow(t, l)
	if err != nil {
		t.Fatal(err)
	}
	forget := func() {
		list, err := s.List(t.Context(), "checkpoint-sizes/acme/", "", 100)
		if err != nil || len(list) == 0 {
			t.Fatal("no sizes were noted", err)
		}
		for _, rec := range list {
			if err := s.Apply(t.Context(), catalog.Change{Key: rec.Key, Rev: rec.Rev, Delete: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	forget()
	record(t, l, "acme", 0, 1000)
	rewrite(t, l, between(0, 256, ledger.Removed), 256, 0) // nothing was signed since
	if _, err := signNow(t, l); err != nil {
		t.Fatal(err)
	}
	rewrite(t, l, between(0, 1024, ledger.Removed), 768, 0)
	checked(t, l, 276, 0, 1024)
	for size := uint64(1); size <= 300; size++ {
		if _, err := l.ProveTree(t.Context(), "acme", 1300, size); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	if newest, err := signNow(t, l); err != nil {
		t.Fatal(err)
	} else {
		checkExtends(t, l, newest, old)
	}
	_, err = l.ProveTree(t.Context(), "acme", 1300, 301)
	wantCode(t, err, audit.CodeGone)
	if err := l.Drop(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context(), "checkpoint-sizes/", "", 100); err != nil || len(list) != 0 {
		t.Errorf("sizes of a dropped log: %v, %v", list, err)
	}
}

// TestRewriteWhileRecording rewrites the range that events come to, again and
// again, while checkpoints are signed.
func TestRewriteWhileRecording(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 100)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for n := range 40 {
				record(t, l, "acme", 1000*w+n, 1+n%13)
				if n%5 == 0 {
					if _, err := l.Checkpoint(t.Context(), "acme"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var signed []audit.Checkpoint
	var removed uint64
	for n := range uint64(40) {
		fate := ledger.Erased
		if n%2 == 0 {
			fate = ledger.Removed
		}
		done, err := l.Rewrite(t.Context(), ledger.Rewrite{Organization: "acme", To: 1 << 62, Fate: func(e *event.Entry) ledger.Fate {
			if e.Seq%40 == n || e.Seq < 10*n {
				return fate
			}
			return ledger.Stays
		}})
		if err != nil {
			t.Fatal(err)
		}
		removed += done.Removed
		c, err := signNow(t, l)
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, c)
	}
	wg.Wait()
	res, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { t.Errorf("check: %s", p.What) })
	if err != nil || res.Removed != removed {
		t.Errorf("check: %+v, %v; %d were removed", res, err, removed)
	}
	for i := range signed[1:] {
		checkExtends(t, l, signed[i+1], signed[i])
	}
	record(t, open(t, s), "acme", 5, 5)
	verifyOne(t, l, res.Head.Size+4)
}

func verifyOne(t testing.TB, l *ledger.Ledger, seq uint64) {
	t.Helper()
	v, err := audit.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	e, err := l.EntryAt(t.Context(), "acme", seq)
	if err != nil {
		t.Fatal(err)
	}
	verifyProof(t, l, v, "acme", e)
}

// rewriteFaults is a store whose Rewrite fails, before or after it was done.
type rewriteFaults struct {
	*faultyStore
	landed bool
	err    error
}

func (s *rewriteFaults) Rewrite(ctx context.Context, r *ledger.Rewrite) (ledger.Rewritten, error) {
	if s.err == nil || s.landed {
		done, err := s.faultyStore.Rewrite(ctx, r)
		if err != nil || s.err == nil {
			return done, err
		}
	}
	return ledger.Rewritten{}, s.err
}

// TestRewriteFails: whether a rewrite landed that failed is not known; the log
// goes on with the keys that the store has.
func TestRewriteFails(t *testing.T) {
	for _, landed := range []bool{false, true} {
		s := &rewriteFaults{faultyStore: newStore(), landed: landed}
		l := open(t, s.faultyStore, func(c *ledger.Config) { c.Store = s })
		record(t, l, "acme", 0, 300)
		s.err = errors.New("broken")
		_, err := l.Rewrite(t.Context(), ledger.Rewrite{Organization: "acme", To: 300, Fate: between(0, 100, ledger.Erased)})
		if !errors.Is(err, s.err) || !strings.Contains(err.Error(), "entries 0..299") {
			t.Errorf("landed: %t: %v", landed, err)
		}
		record(t, l, "acme", 0, 10)
		erased := uint64(0)
		if landed {
			erased = 100
		}
		checked(t, l, 310, erased, 0)
		s.err = nil
		rewrite(t, l, between(0, 100, ledger.Erased), 0, 100-erased)
		record(t, l, "acme", 0, 10)
		checked(t, l, 320, 100, 0)
	}
}

// TestRewriteRefused: not when the sizes that were signed cannot be read, and not
// for a log that was dropped.
func TestRewriteRefused(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 300)
	if _, err := signNow(t, l); err != nil {
		t.Fatal(err)
	}
	record(t, l, "acme", 0, 300)
	all := ledger.Rewrite{Organization: "acme", To: 600, Fate: between(0, 600, ledger.Removed)}
	for _, key := range []string{fmt.Sprintf("checkpoint-sizes/acme/%016x", 1), "checkpoint-sizes/acme/from"} {
		good := s.record(t, key).Value
		for _, bad := range [][]byte{nil, {1}, append([]byte{2}, good[1:]...), good[:len(good)-1]} {
			s.put(t, key, bad)
			if done, err := l.Rewrite(t.Context(), all); err == nil || done.Removed > 0 {
				t.Errorf("%s is %x: %+v, %v", key, bad, done, err)
			}
			var got []string
			if _, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { got = append(got, p.What) }); err != nil {
				t.Fatal(err)
			}
			if key == "checkpoint-sizes/acme/from" && len(got) == 0 {
				t.Errorf("check: %s is %x", key, bad)
			}
		}
		s.put(t, key, good)
	}
	rewrite(t, l, all.Fate, 600, 0)
	if done, err := l.Rewrite(t.Context(), ledger.Rewrite{Organization: "none", To: 300}); err != nil || done.Removed != 0 {
		t.Errorf("an empty log: %+v, %v", done, err)
	}
	record(t, l, "other", 0, 3)
	if err := l.Drop(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if done, err := l.Rewrite(t.Context(), ledger.Rewrite{Organization: "other", To: 3, Fate: all.Fate}); err != nil || done.Removed != 0 {
		t.Errorf("a dropped log: %+v, %v", done, err)
	}
}

// TestIdempotencyAfterRemoval: a key whose entry and all of its block are removed
// counts no more; one whose block is there is answered as ever.
func TestIdempotencyAfterRemoval(t *testing.T) {
	s := newStore()
	l := open(t, s)
	add1 := func(key string) ledger.Outcome {
		b := ledger.NewBatch("acme")
		add(t, b, newEvent(1, key))
		res, err := l.Append(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return res.Receipts[0]
	}
	first := add1("a")
	record(t, l, "acme", 0, ledger.BlockSize)
	second := add1("b")
	rewrite(t, l, between(0, 1, ledger.Removed), 1, 0)
	if got := add1("a"); !got.Duplicate || got.ID != first.ID {
		t.Errorf("a removed entry's key: %+v, want %+v", got, first)
	}
	rewrite(t, l, between(0, ledger.BlockSize, ledger.Removed), ledger.BlockSize-1, 0)
	if got := add1("a"); got.Duplicate || got.Seq != ledger.BlockSize+2 {
		t.Errorf("the key of an entry whose block is removed: %+v", got)
	}
	if got := add1("b"); !got.Duplicate || got.ID != second.ID {
		t.Errorf("another's key: %+v, want %+v", got, second)
	}
	checked(t, l, 3, 0, ledger.BlockSize)
}

// TestShows: what is past its time is shown to nobody, whether it is removed or
// not; its hashes and the proofs of others stay.
func TestShows(t *testing.T) {
	s := newStore()
	var hidden func(*event.Entry) bool
	var broken error
	l := open(t, s, func(c *ledger.Config) {
		c.Shows = func(org string) (func(*event.Entry) bool, error) {
			if org != "acme" {
				t.Errorf("asked about %q", org)
			}
			if hidden == nil {
				return nil, broken
			}
			return func(e *event.Entry) bool { return !hidden(e) }, broken
		}
	})
	record(t, l, "acme", 0, 600)
	verify(t, l, "acme")
	e, err := l.EntryAt(t.Context(), "acme", 299)
	if err != nil {
		t.Fatal(err)
	}
	hidden = func(e *event.Entry) bool { return e.Seq < 300 }
	_, err = l.EntryAt(t.Context(), "acme", 299)
	wantCode(t, err, audit.CodeNotFound)
	_, err = l.Entry(t.Context(), "acme", e.ID.String())
	wantCode(t, err, audit.CodeNotFound)
	_, err = l.Prove(t.Context(), "acme", 299)
	wantCode(t, err, audit.CodeNotFound)
	for i, want := range []audit.Code{audit.CodeGone, audit.CodeGone, ""} {
		_, err := l.Bundle(t.Context(), "acme", uint64(i), 88)
		if got := fmt.Sprint(err); (err != nil) != (want != "") || err != nil && !errors.Is(err, &audit.Error{Code: want}) {
			t.Errorf("bundle %d: %s", i, got)
		}
		if _, err := l.Tile(t.Context(), "acme", 0, uint64(i), 88); err != nil {
			t.Errorf("tile %d: %v", i, err)
		}
	}
	next := uint64(300)
	for e, err := range l.Read(t.Context(), "acme", 0, 600) {
		if err != nil || e.Seq != next {
			t.Fatalf("read %d, %v; want %d", e.Seq, err, next)
		}
		next++
	}
	if next != 600 {
		t.Errorf("read up to %d", next)
	}
	verifyOne(t, l, 300)
	checked(t, l, 600, 0, 0)
	broken = errors.New("broken")
	_, entryErr := l.EntryAt(t.Context(), "acme", 400)
	_, bundleErr := l.Bundle(t.Context(), "acme", 2, 10)
	var readErr error
	for _, readErr = range l.Read(t.Context(), "acme", 0, 600) {
	}
	for _, err := range []error{entryErr, bundleErr, readErr} {
		if !errors.Is(err, broken) {
			t.Errorf("what is kept cannot be told: %v", err)
		}
	}
}

// TestNodes cuts a log at each place.
func TestNodes(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, 700)
	head, err := l.Head(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for cut := uint64(0); cut <= 700; cut += 7 {
		left, errLeft := l.Nodes(t.Context(), "acme", 0, cut)
		right, errRight := l.Nodes(t.Context(), "acme", cut, 700)
		if errLeft != nil || errRight != nil {
			t.Fatal(errLeft, errRight)
		}
		var next uint64
		var hashes []tlog.Hash
		var sizes []int
		for _, n := range append(left, right...) {
			if n.First != next {
				t.Fatalf("cut at %d: %v then %v", cut, left, right)
			}
			next += 1 << n.Level
			h, level := n.Hash, n.Level
			for n.First>>level&1 == 1 {
				h = tlog.NodeHash(hashes[len(hashes)-1], h)
				hashes, sizes = hashes[:len(hashes)-1], sizes[:len(sizes)-1]
				n.First -= 1 << level
				level++
			}
			hashes, sizes = append(hashes, h), append(sizes, level)
		}
		if next != 700 || !slices.Equal(hashes, head.Frontier) {
			t.Fatalf("cut at %d: %v", cut, sizes)
		}
	}
	for _, r := range [][2]uint64{{3, 2}, {0, 701}} {
		if _, err := l.Nodes(t.Context(), "acme", r[0], r[1]); err == nil {
			t.Errorf("nodes of %v", r)
		}
	}
	if nodes, err := l.Nodes(t.Context(), "acme", 5, 5); len(nodes) > 0 || err != nil {
		t.Errorf("nodes of nothing: %v, %v", nodes, err)
	}
	rewrite(t, l, between(0, 600, ledger.Removed), 600, 0)
	_, err = l.Nodes(t.Context(), "acme", 3, 700)
	wantCode(t, err, audit.CodeGone)
	for _, from := range []uint64{0, 256, 513, 600, 650} {
		if _, err := l.Nodes(t.Context(), "acme", from, 700); err != nil {
			t.Errorf("nodes from %d: %v", from, err)
		}
	}
	_, _, err = l.CheckpointFor(t.Context(), "acme", 701)
	wantCode(t, err, audit.CodeNotFound)
}

// TestSignNote: a note opens with both keys and as nothing else.
func TestSignNote(t *testing.T) {
	l := open(t, newStore())
	text := l.Origin("acme") + " destruction certificate v1\n{}\n"
	signed, err := l.SignNote(text, "acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{l.VerifierKey(), l.LogVerifierKey("acme")} {
		v, err := audit.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.OpenNote(signed, l.Origin("acme")+" destruction certificate v1"); err != nil || got != "{}\n" {
			t.Errorf("%q, %v", got, err)
		}
		for name, bad := range map[string]struct {
			note []byte
			line string
		}{
			"another kind": {signed, l.Origin("acme") + " evidence v1"},
			"another log":  {signed, l.Origin("other") + " destruction certificate v1"},
			"no kind":      {signed, l.Origin("acme")},
			"altered":      {bytes.Replace(signed, []byte("{}"), []byte("[]"), 1), l.Origin("acme") + " destruction certificate v1"},
			"no note":      {[]byte("text"), l.Origin("acme") + " destruction certificate v1"},
		} {
			if _, err := v.OpenNote(bad.note, bad.line); err == nil {
				t.Errorf("%s opens", name)
			}
		}
		if _, err := v.Open(signed); err == nil {
			t.Error("a note is a checkpoint")
		}
	}
	other, err := audit.NewVerifier(l.LogVerifierKey("other"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.OpenNote(signed, l.Origin("acme")+" destruction certificate v1"); err == nil {
		t.Error("a note opens with the key of another log")
	}
	origin := l.Origin("acme")
	for _, bad := range []string{
		"", origin, origin + "\n7\n", origin + " evidence v1", origin + " evidence v1\n12\nx\n", origin + "x evidence v1\nx\n",
		"evidence\nx\n", origin + " evidence v1\n", origin + " evidence v1\nx",
	} {
		if _, err := l.SignNote(bad, "acme"); err == nil {
			t.Errorf("%q was signed", bad)
		}
	}
}

// TestCheckNamesDamageAfterRemoval damages what is kept of removed entries.
func TestCheckNamesDamageAfterRemoval(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(log *rawLog)
		want   string
	}{
		{"a kept hash", func(log *rawLog) { log.Kept[1][0].Hash[0] ^= 1 }, "entries 256..511: are removed, and the hashes kept of them do not hash to what is stored for them"},
		{"a kept hash lost", func(log *rawLog) { log.Kept[1] = log.Kept[1][1:] }, "entries 256..511: are removed, and the hashes kept of them do not make up their tile"},
		{"all kept hashes lost", func(log *rawLog) { log.Kept[1] = nil }, "entries 256..511: are removed, and so are hashes that prove the checkpoint of 300 entries"},
		{"a removed entry's hash", func(log *rawLog) {
			m := log.Marks[600]
			m.Leaf[0] ^= 1
			log.Marks[600] = m
		}, "entries 512..767: do not hash to what is stored for them, hash 2 of tile 1/0"},
		{"a tile's hashes, of which entries are left", func(log *rawLog) {
			log.Kept[2] = nil
		}, "entries 512..749: are removed and their hashes too, though other entries of their tile are there"},
		{"an erased entry's digest", func(log *rawLog) {
			m := log.Marks[800]
			m.Digest[0] ^= 1
			log.Marks[800] = m
		}, "entries 768..1023: do not hash to what is stored for them, hash 3 of tile 1/0"},
		{"a salt", func(log *rawLog) {
			m := log.Marks[760]
			m.Salt[0] ^= 1
			log.Marks[760] = m
		}, "entries 512..767: do not hash to what is stored for them, hash 2 of tile 1/0"},
		{"a lost entry", func(log *rawLog) { delete(log.Marks, 600) }, "entries 512..749: cannot be read: the store has neither them nor what it keeps of removed entries: organization \"acme\", entry 600: "},
	} {
		s := newStore()
		l := open(t, s)
		record(t, l, "acme", 0, 300)
		if _, err := signNow(t, l); err != nil {
			t.Fatal(err)
		}
		record(t, l, "acme", 0, 800)
		rewrite(t, l, between(0, 750, ledger.Removed), 750, 0)
		rewrite(t, l, between(800, 801, ledger.Erased), 0, 1)
		s.Damage("acme", c.damage)
		var got []string
		if _, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { got = append(got, p.What) }); err != nil {
			t.Fatal(err)
		}
		// A hash that is wrong is wrong for the checkpoint, too.
		if len(got) < 1 || len(got) > 2 || !strings.HasPrefix(got[0], c.want) || len(got) == 2 && !strings.Contains(got[1], "signed checkpoint") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
