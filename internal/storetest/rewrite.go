package storetest

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// RunRewrite tests what a store promises of taking entries and details out of
// logs. open is that of [Run].
func RunRewrite(t *testing.T, open func(t testing.TB) Subject) {
	t.Helper()
	s := suite{open: open, orgs: new(atomic.Int64)}
	for _, test := range []struct {
		name string
		fn   func(t *testing.T)
	}{
		{"Leaves", s.testLeaves},
		{"Rewrite", s.testRewrite},
		{"RewriteRanges", s.testRewriteRanges},
		{"RewriteReaders", s.testRewriteReaders},
		{"RewriteFails", s.testRewriteFails},
	} {
		t.Run(test.name, test.fn)
	}
}

// Sign makes the log's size one that was signed, which Sizes then tells.
func (l *Log) Sign() {
	if l.signed == nil {
		l.signed = map[uint64]bool{}
	}
	l.signed[l.Head.Size] = true
}

// Sizes tells which sizes in a tile were signed, as a store asks.
func (l *Log) Sizes(tile uint64) (signed [ledger.TileWidth / 8]byte, err error) {
	for i := range uint64(ledger.TileWidth) {
		if l.signed[tile*ledger.TileWidth+i] {
			signed[i/8] |= 1 << (i % 8)
		}
	}
	return signed, nil
}

// Rewrite rewrites the log and the store's, and compares what the store reports.
// fate must give the same for an entry each time.
func (l *Log) Rewrite(t TB, store ledger.Store, from, to uint64, at int64, fate func(e *event.Entry) ledger.Fate) {
	t.Helper()
	next := from
	done, err := store.Rewrite(t.Context(), &ledger.Rewrite{
		Organization: l.Org, From: from, To: to, ErasedAt: at, Sizes: l.Sizes,
		Fate: func(e *event.Entry) ledger.Fate {
			if e.Seq >= from && e.Seq < to && !sameEntry(e, l.Entries[e.Seq]) {
				t.Errorf("rewrite of %q looks at %s, want %s", l.Org, describe(e, l.Org), describe(l.Entries[e.Seq], l.Org))
			}
			if e.Seq < from || e.Seq >= to {
				t.Errorf("rewrite of %d to %d of %q looks at entry %d", from, to, l.Org, e.Seq)
			}
			next = e.Seq
			return fate(e)
		},
	})
	if err != nil {
		t.Fatalf("rewrite %d to %d of %q: after entry %d: %v", from, to, l.Org, next, err)
	}
	want := l.rewrite(t, from, to, at, fate, done.Keys)
	if done.Removed != want.Removed || done.Erased != want.Erased {
		t.Fatalf("rewrite %d to %d of %q: %d removed and %d erased, want %d and %d",
			from, to, l.Org, done.Removed, done.Erased, want.Removed, want.Erased)
	}
}

// rewrite does by definition what a store does to the entries from ≤ seq < to,
// range by range. keys are the new ones of the range that goes on.
func (l *Log) rewrite(t TB, from, to uint64, at int64, fate func(e *event.Entry) ledger.Fate, keys *ledger.BlockKeys) (all ledger.Rewritten) {
	t.Helper()
	l.Entries = slices.Clone(l.Entries)
	changed := false
	for first := from; first < to; first += ledger.BlockSize {
		end := min(to, first+ledger.BlockSize)
		n := all.Removed + all.Erased
		for seq := first; seq < end; seq++ {
			l.rewriteEntry(seq, at, fate, &all)
		}
		if changed = n != all.Removed+all.Erased; changed && end%ledger.BlockSize == 0 {
			l.destroyed(first / ledger.BlockSize)
		}
	}
	switch goesOn := to%ledger.BlockSize != 0 && changed; {
	case goesOn != (keys != nil):
		t.Fatalf("rewrite %d to %d of %q: new keys are %v, the range that goes on was changed: %t", from, to, l.Org, keys, goesOn)
	case goesOn:
		old := l.Keys[keys.Block]
		if keys.Block != to/ledger.BlockSize || keys.Keys.Salt == old.Salt || keys.Keys.Check != old.Check {
			t.Fatalf("rewrite %d to %d of %q: new keys %+v after %+v", from, to, l.Org, keys, old)
		}
		l.Keys = slices.Clone(l.Keys)
		l.Keys[keys.Block] = keys.Keys
	}
	return all
}

// destroyed says that the salt key of a block is gone.
func (l *Log) destroyed(block uint64) {
	if l.rewritten == nil {
		l.rewritten = map[uint64]bool{}
	}
	l.rewritten[block] = true
}

func (l *Log) rewriteEntry(seq uint64, at int64, fate func(e *event.Entry) ledger.Fate, all *ledger.Rewritten) {
	e := l.Entries[seq]
	if e == nil {
		return
	}
	switch fate(e) {
	case ledger.Removed:
		l.Entries[seq] = nil
		all.Removed++
	case ledger.Erased:
		if e.ErasedAt == 0 {
			e = e.Clone()
			e.Erase(at)
			l.Entries[seq] = e
			all.Erased++
		}
	case ledger.Stays:
	}
}

// there are the entries that were not removed.
func (l *Log) there() []*event.Entry {
	if !slices.Contains(l.Entries, nil) {
		return l.Entries
	}
	return slices.DeleteFunc(slices.Clone(l.Entries), func(e *event.Entry) bool { return e == nil })
}

// checkRewrittenKeys checks the keys of a block whose salt key is destroyed: the
// check key is there as long as an entry is.
func checkRewrittenKeys(t TB, l *Log, block uint64, got event.Keys, err error) {
	t.Helper()
	old := l.Keys[block]
	first := block * ledger.BlockSize
	left := l.skipRemoved(first) < min(first+ledger.BlockSize, l.Head.Size)
	switch {
	case err == nil && got.Salt == old.Salt:
		t.Errorf("keys of block %d of %q: the salt key is there, of a block that was rewritten", block, l.Org)
	case left && (err != nil || got.Check != old.Check):
		t.Errorf("keys of block %d of %q: got %x, %v; want the check key %x", block, l.Org, got, err, old.Check)
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		t.Errorf("keys of block %d of %q, of which nothing is left: %v", block, l.Org, err)
	}
}

// checkLeaves compares the hashes of all tiles of level 0.
func checkLeaves(t TB, store ledger.Store, l *Log) {
	t.Helper()
	for first := uint64(0); first < l.Head.Size; first += ledger.TileWidth {
		full := int(min(l.Head.Size-first, ledger.TileWidth))
		for _, width := range []int{full, 1, (full + 1) / 2} {
			got, err := store.Leaves(t.Context(), l.Org, first/ledger.TileWidth, width)
			if err != nil {
				t.Fatalf("leaves of tile %d of %q, %d wide: %v", first/ledger.TileWidth, l.Org, width, err)
			}
			if l.skipRemoved(first) >= first+ledger.TileWidth {
				checkKept(t, l, first, got, width)
				continue
			}
			if want := l.Leaves[first : first+uint64(width)]; !slices.Equal(got.Hashes, want) { //nolint:gosec // at most TileWidth
				t.Fatalf("leaves of tile %d of %q, %d wide: got %v, want %v", first/ledger.TileWidth, l.Org, width, got.Hashes, want)
			}
		}
	}
	tile, width := l.Head.Size/ledger.TileWidth, int(l.Head.Size%ledger.TileWidth)+1
	if _, err := store.Leaves(t.Context(), l.Org, tile, width); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("leaves of tile %d of %q, %d wide: got %v, want ErrNotFound", tile, l.Org, width, err)
	}
}

// checkKept checks what is left of a tile whose entries were all removed: true
// hashes, those that prove what was signed, and no others. The tile is asked for
// whole; asked for in part, what it gives must be true.
func checkKept(t TB, l *Log, first uint64, got ledger.Leaves, width int) {
	t.Helper()
	if got.Hashes != nil {
		t.Fatalf("leaves of tile %d of %q: the hashes of removed entries are there", first/ledger.TileWidth, l.Org)
	}
	have := map[ledger.Subtree]bool{}
	for _, n := range got.Nodes {
		size := uint64(1) << n.Level
		if n.First%size != 0 || n.First < first || n.First+size > first+ledger.TileWidth || n.Hash != l.subtree(n.First, n.Level) {
			t.Fatalf("tile %d of %q: no such subtree: %+v", first/ledger.TileWidth, l.Org, n)
		}
		if parent := n.First &^ (2*size - 1); n.Level < 8 && !l.signedInside(parent, 2*size) {
			t.Fatalf("tile %d of %q: the hash of %d entries from %d is kept, but nothing was signed around it", first/ledger.TileWidth, l.Org, size, n.First)
		}
		have[ledger.Subtree{First: n.First, Level: n.Level}] = true
	}
	for size := first + 1; size < first+ledger.TileWidth && width == ledger.TileWidth; size++ {
		if l.signed[size] && !l.cuts(have, first, 8, size) {
			t.Fatalf("tile %d of %q: hashes that prove the signed size %d are not kept", first/ledger.TileWidth, l.Org, size)
		}
	}
}

// signedInside reports whether a size was signed that lies inside n entries from
// first on.
func (l *Log) signedInside(first, n uint64) bool {
	for size := first + 1; size < first+n; size++ {
		if l.signed[size] {
			return true
		}
	}
	return false
}

// cuts reports whether the subtrees can be cut at a size inside the one that
// begins with first.
func (l *Log) cuts(have map[ledger.Subtree]bool, first uint64, level int, size uint64) bool {
	if size == first || size == first+1<<level {
		return madeUp(have, first, level)
	}
	half := uint64(1) << (level - 1)
	if size <= first+half {
		return l.cuts(have, first, level-1, size) && madeUp(have, first+half, level-1)
	}
	return madeUp(have, first, level-1) && l.cuts(have, first+half, level-1, size)
}

// madeUp reports whether a subtree is there or all its parts.
func madeUp(have map[ledger.Subtree]bool, first uint64, level int) bool {
	return have[ledger.Subtree{First: first, Level: level}] ||
		level > 0 && madeUp(have, first, level-1) && madeUp(have, first+1<<(level-1), level-1)
}

// subtree hashes 2^level entries from first on.
func (l *Log) subtree(first uint64, level int) tlog.Hash {
	if level == 0 {
		return l.Leaves[first]
	}
	return tlog.NodeHash(l.subtree(first, level-1), l.subtree(first+1<<(level-1), level-1))
}

// CheckRewritten compares all that a store has of a log, in each way to read it.
func CheckRewritten(t TB, store Store, l *Log) {
	t.Helper()
	CheckLog(t, store, l)
	checkLeaves(t, store, l)
	for _, q := range []audit.Query{
		{},
		{Filters: []audit.Filter{{Field: audit.FieldActorName, Values: []string{"Ada"}}}},
		{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{"203.0.113.7"}}}},
		{Filters: []audit.Filter{{Field: "metadata.tag", Values: []string{"t3"}, Not: true}}},
		{Filters: []audit.Filter{{Field: audit.FieldTargetID, Values: []string{"target-77", "target-300"}}}},
	} {
		checkAnswers(t, store, l, q)
	}
}

// checkAnswers asks every method of the engine one query.
func checkAnswers(t TB, store Store, l *Log, q audit.Query) {
	t.Helper()
	checkPages(t, store, l, search.Request{Query: q, Limit: 1000})
	checkPages(t, store, l, search.Request{Query: q, Limit: 1000, Ascending: true})
	checkScan(t, store, l, q, 0, math.MaxUint64)
	r := rendering{store, l, q, 0, l.Head.Size}
	r.check(t, false)
	r.check(t, true)
	r.checkSurvey(t)
	iv, err := search.ParseInterval("month", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	checkHistogram(t, store, l, q, iv)
	for _, field := range []audit.Field{audit.FieldActorName, audit.FieldActorID, audit.FieldLocation, "metadata.tag", audit.FieldAction} {
		checkFacets(t, store, l, q, field, 20)
	}
}

// testLeaves reads the hashes of a log that nothing was taken out of.
func (s suite) testLeaves(t *testing.T) {
	subject, l := s.open(t), NewLog(s.org())
	checkLeaves(t, subject.Store, l)
	for i, n := range []int{1, 254, 1, 1, 700} {
		commit(t, subject.Store, l, int64(1000+i), MakeEvents("a", n))
		checkLeaves(t, subject.Store, l)
	}
	if _, err := subject.Store.Leaves(canceled(t), l.Org, 0, 1); !errors.Is(err, canceled(t).Err()) {
		t.Errorf("canceled: %v", err)
	}
	if subject.Reopen != nil {
		checkLeaves(t, subject.Reopen(t), l)
	}
}

// testRewrite takes random entries and details out of a log that goes on, between
// commits, signatures and restarts, and drops it at the end.
func (s suite) testRewrite(t *testing.T) {
	subject := s.open(t)
	store := subject.Store
	rapid.Check(t, func(rt *rapid.T) {
		l := NewLog(s.org())
		receivedAt := int64(1_772_000_000_000)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			n := rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 600)).Draw(rt, "rows")
			receivedAt += rapid.Int64Range(0, 2).Draw(rt, "later")
			commit(rt, store, l, receivedAt, MakeEvents("a", n))
			if rapid.Bool().Draw(rt, "sign") {
				l.Sign()
			}
			fate := randomFate(rt, l)
			for range rapid.IntRange(0, 2).Draw(rt, "times") { // the second time there is nothing to do
				l.Rewrite(rt, store, 0, l.Head.Size, receivedAt+1, fate)
				checkQuick(rt, store, l)
			}
			if subject.Reopen != nil && rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
				store = subject.Reopen(t)
				checkQuick(rt, store, l)
			}
		}
		checkAnswers(rt, store, l, randomQuery(rt, l))
		CheckRewritten(rt, store, l)
		if err := store.Drop(rt.Context(), l.Org); err != nil {
			rt.Fatal(err)
		}
		checkGone(rt, store, l)
	})
}

func checkQuick(t TB, store Store, l *Log) {
	t.Helper()
	CheckLog(t, store, l)
	checkLeaves(t, store, l)
}

// randomFate decides about entries: all up to some place, none, or some of the
// rest.
func randomFate(t *rapid.T, l *Log) func(e *event.Entry) ledger.Fate {
	before := rapid.Uint64Range(0, l.Head.Size).Draw(t, "removed before")
	first := rapid.SampledFrom([]ledger.Fate{ledger.Removed, ledger.Removed, ledger.Erased, ledger.Stays}).Draw(t, "fate before")
	every := rapid.Uint64Range(1, 50).Draw(t, "every")
	some := rapid.SampledFrom([]ledger.Fate{ledger.Removed, ledger.Erased, ledger.Stays}).Draw(t, "fate of some")
	held := rapid.Uint64Range(0, 2*l.Head.Size).Draw(t, "held")
	return func(e *event.Entry) ledger.Fate {
		switch {
		case e.Seq == held:
			return ledger.Stays
		case e.Seq < before:
			return first
		case e.Seq%every == 0:
			return some
		default:
			return ledger.Stays
		}
	}
}

// testRewriteRanges rewrites several ranges of a long log, one after the other,
// and records into what goes on.
func (s suite) testRewriteRanges(t *testing.T) {
	subject, l := s.open(t), NewLog(s.org())
	store := subject.Store
	for n, size := range []int{5, 10_000, 10_000, 13_000, 500} {
		commit(t, store, l, int64(1000+n), MakeEvents("a", size))
		l.Sign()
	}
	for step, fate := range []func(e *event.Entry) ledger.Fate{
		func(e *event.Entry) ledger.Fate { // the beginning, and one here and there
			if e.Seq < 1_000 || e.Seq > 16_000 && e.Seq%997 == 0 {
				return ledger.Removed
			}
			return ledger.Stays
		},
		func(e *event.Entry) ledger.Fate { // the details of a person
			if string(e.Actor.ID) == "a-7" {
				return ledger.Erased
			}
			return ledger.Stays
		},
		func(e *event.Entry) ledger.Fate { // all but what is held
			if e.Seq < ledger.BlockSize+2_000 && e.Seq != 9_000 {
				return ledger.Removed
			}
			return ledger.Stays
		},
		func(e *event.Entry) ledger.Fate { // whole ranges
			if e.Seq < 2*ledger.BlockSize {
				return ledger.Removed
			}
			return ledger.Stays
		},
		func(*event.Entry) ledger.Fate { return ledger.Removed }, // everything
	} {
		l.Rewrite(t, store, 0, l.Head.Size, int64(2000+step), fate)
		checkQuick(t, store, l)
		commit(t, store, l, int64(2000+step), MakeEvents("more", 300))
		l.Sign()
		if subject.Reopen != nil {
			store = subject.Reopen(t)
		}
		checkQuick(t, store, l)
		if step%2 == 1 { // every query takes its time here
			checkAnswers(t, store, l, audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorName, Values: []string{"ada"}, Not: true}}})
		}
	}
	if err := store.Scrub(t.Context()); err != nil {
		t.Errorf("scrub: %v", err)
	}
	CheckRewritten(t, store, l)
	if err := store.Drop(t.Context(), l.Org); err != nil {
		t.Fatal(err)
	}
	checkGone(t, store, l)
}

// testRewriteReaders reads while a range is rewritten and others are committed
// to: an entry is what it was, or what it becomes, or not there when it is to go.
func (s suite) testRewriteReaders(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", ledger.BlockSize+500))
	fate := func(e *event.Entry) ledger.Fate { return ledger.Fate(e.Seq % 3) }
	before := l.Entries
	after := NewLog(l.Org)
	after.Entries, after.Head = before, cloneHead(l.Head)
	after.rewrite(parallelTB{t}, 0, ledger.BlockSize, 2000, fate, nil)
	var done atomic.Bool
	parallel(4, func(i int) {
		p := parallelTB{t}
		switch i {
		case 0:
			defer done.Store(true)
			if _, err := store.Rewrite(t.Context(), &ledger.Rewrite{
				Organization: l.Org, To: ledger.BlockSize, ErasedAt: 2000, Fate: fate, Sizes: l.Sizes,
			}); err != nil {
				p.Errorf("rewrite: %v", err)
			}
		case 1:
			other := NewLog(l.Org)
			other.Head, other.Keys = cloneHead(l.Head), slices.Clone(l.Keys)
			other.Entries = slices.Clone(l.Entries)
			for n := range 20 {
				commit(p, store, other, int64(1001+n), MakeEvents("b", 10))
			}
		default:
			for more := true; more; {
				more = !done.Load()
				checkDuring(p, store, l.Org, before, after.Entries)
			}
		}
	})
}

// checkDuring reads entries while they are being rewritten.
func checkDuring(t TB, store Store, org string, before, after []*event.Entry) {
	next := uint64(0)
	to := uint64(len(before))
	for e, err := range store.Read(t.Context(), org, 0, to) {
		if err != nil {
			t.Fatalf("read while it is rewritten: after %d: %v", next, err)
		}
		for ; next < e.Seq; next++ {
			if after[next] != nil {
				t.Fatalf("read while it is rewritten: entry %d is missing", next)
			}
		}
		if !sameEntry(e, before[e.Seq]) && (after[e.Seq] == nil || !sameEntry(e, after[e.Seq])) {
			t.Fatalf("read while it is rewritten: got %s", describe(e, org))
		}
		next = e.Seq + 1
	}
	for ; next < to; next++ {
		if after[next] != nil {
			t.Fatalf("read while it is rewritten: ended before %d", next)
		}
	}
}

// testRewriteFails: after an error nothing of the range is done, and doing it
// again does it.
func (s suite) testRewriteFails(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 600))
	all := func(*event.Entry) ledger.Fate { return ledger.Removed }
	r := &ledger.Rewrite{Organization: l.Org, To: 600, ErasedAt: 1, Fate: all, Sizes: l.Sizes}
	if _, err := store.Rewrite(canceled(t), r); !errors.Is(err, canceled(t).Err()) {
		t.Errorf("canceled: %v", err)
	}
	CheckRewritten(t, store, l)
	broken := errors.New("broken")
	r.Sizes = func(uint64) (signed [ledger.TileWidth / 8]byte, err error) { return signed, broken }
	if _, err := store.Rewrite(t.Context(), r); !errors.Is(err, broken) {
		t.Errorf("sizes that cannot be read: %v", err)
	}
	CheckRewritten(t, store, l)
	l.Rewrite(t, store, 0, 600, 1, all)
	CheckRewritten(t, store, l)
	other := NewLog(s.org())
	commit(t, store, other, 1000, MakeEvents("a", 3))
	if _, err := store.Rewrite(t.Context(), &ledger.Rewrite{Organization: other.Org, To: 2, Fate: all, Sizes: l.Sizes}); err == nil {
		t.Error("part of a range was rewritten")
	}
	CheckRewritten(t, store, other)
}
