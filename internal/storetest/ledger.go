package storetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// KeyOf makes up the key of an idempotency key's text.
func KeyOf(org, text string) ledger.Key {
	sum := sha256.Sum256([]byte(org + "\x00" + text))
	return ledger.Key(sum[:16])
}

// withKeys gives every event a key that is made of tag and its number.
func withKeys(org, tag string) func(i int) (ledger.Key, bool) {
	return func(i int) (ledger.Key, bool) { return KeyOf(org, fmt.Sprint(tag, i)), true }
}

func (s suite) testEmpty(t *testing.T) {
	store, org := s.open(t).Store, s.org()
	CheckLog(t, store, NewLog(org))
	if _, err := store.Receipt(t.Context(), org, KeyOf(org, "a")); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("receipt: got %v, want ErrNotFound", err)
	}
	if err := store.Drop(t.Context(), org); err != nil {
		t.Errorf("drop what is not there: %v", err)
	}
	page, err := store.Search(t.Context(), org, search.Request{Limit: 1})
	if err != nil || len(page.Entries) != 0 || page.More || page.Through != nil {
		t.Errorf("search: got %+v, %v; want an empty page", page, err)
	}
	facets, err := store.Facets(t.Context(), org, audit.Query{}, audit.FieldAction, 10)
	if err != nil || len(facets.Values) != 0 || facets.Through != nil {
		t.Errorf("facets: got %+v, %v; want none", facets, err)
	}
}

func (s suite) testCommit(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	for i, n := range []int{1, 2, 255, 1, 300, 3000} {
		c := l.Next(int64(1000+i), MakeEvents("a", n), withKeys(l.Org, fmt.Sprint(i, "-")))
		if err := store.Commit(t.Context(), c); err != nil {
			t.Fatalf("commit of %d: %v", n, err)
		}
		l.Add(c)
		CheckLog(t, store, l)
	}
}

func (s suite) testCommitKeepsNothing(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	c := l.Next(1000, MakeEvents("a", 300), withKeys(l.Org, "k"))
	l.Add(l.Next(1000, MakeEvents("a", 300), withKeys(l.Org, "k")))
	if err := store.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, row := range c.Rows {
		clear(row)
	}
	clear(c.Rows)
	clear(c.Head.Frontier)
	clear(c.Nodes)
	clear(c.Blocks)
	clear(c.Receipts)
	CheckLog(t, store, l)
	head, err := store.Head(t.Context(), l.Org)
	if err != nil {
		t.Fatal(err)
	}
	clear(head.Frontier)
	checkHead(t, store, l)
}

// testCommitInvalid commits what does not fit together.
func (s suite) testCommitInvalid(t *testing.T) {
	store := s.open(t).Store
	for name, spoil := range map[string]func(c *ledger.Commit){
		"no rows":        func(c *ledger.Commit) { c.Rows, c.Head.Size = nil, 0 },
		"head too large": func(c *ledger.Commit) { c.Head.Size++ },
		"frontier":       func(c *ledger.Commit) { c.Head.Frontier = c.Head.Frontier[1:] },
	} {
		l := NewLog(s.org())
		c := l.Next(1000, MakeEvents("a", 3), nil)
		spoil(c)
		if err := store.Commit(t.Context(), c); err == nil {
			t.Errorf("%s: committed", name)
		}
		CheckLog(t, store, l)
	}
}

func (s suite) testHeadMoved(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 255))
	for _, prev := range []uint64{0, 254, 256, math.MaxUint64 - 1} {
		c := l.Next(1001, MakeEvents("b", 2), withKeys(l.Org, "k"))
		c.Prev, c.Head.Size = prev, prev+2
		c.Head.Frontier = make([]tlog.Hash, bits.OnesCount64(c.Head.Size))
		if err := store.Commit(t.Context(), c); !errors.Is(err, ledger.ErrHeadMoved) {
			t.Errorf("commit at %d of a log of 255: got %v, want ErrHeadMoved", prev, err)
		}
		for _, r := range c.Receipts {
			if _, err := store.Receipt(t.Context(), l.Org, r.Key); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("receipt of a refused commit: got %v, want ErrNotFound", err)
			}
		}
		CheckLog(t, store, l)
	}
}

// testOneWins has several writers commit at the same place.
func (s suite) testOneWins(t *testing.T) {
	store, org := s.open(t).Store, s.org()
	l := NewLog(org)
	for round := range 20 {
		commits := make([]*ledger.Commit, 8)
		for i := range commits {
			tag := fmt.Sprint("writer ", i, " round ", round)
			commits[i] = l.Next(int64(round), MakeEvents(tag, 1+i), withKeys(org, tag))
		}
		var winner atomic.Pointer[ledger.Commit]
		parallel(len(commits), func(i int) {
			switch err := store.Commit(t.Context(), commits[i]); {
			case err == nil:
				if !winner.CompareAndSwap(nil, commits[i]) {
					t.Errorf("round %d: two commits at %d succeeded", round, commits[i].Prev)
				}
			case !errors.Is(err, ledger.ErrHeadMoved):
				t.Errorf("round %d: got %v, want ErrHeadMoved", round, err)
			}
		})
		if winner.Load() == nil {
			t.Fatalf("round %d: no commit at %d succeeded", round, l.Head.Size)
		}
		l.Add(winner.Load())
		CheckLog(t, store, l)
	}
}

// testConcurrent has many organizations commit at once while others read.
func (s suite) testConcurrent(t *testing.T) {
	store := s.open(t).Store
	logs := make([]*Log, 8)
	for i := range logs {
		logs[i] = NewLog(s.org())
	}
	var writing atomic.Int64
	writing.Store(int64(len(logs)))
	parallel(len(logs)+2, func(i int) {
		if i >= len(logs) {
			for n := 0; writing.Load() > 0; n++ {
				checkSnapshot(t, store, logs[n%len(logs)].Org)
			}
			return
		}
		defer writing.Add(-1)
		for n := range 30 {
			c := logs[i].Next(int64(n), MakeEvents(fmt.Sprint(i), 1+n*i), withKeys(logs[i].Org, fmt.Sprint(n, "-")))
			if err := store.Commit(t.Context(), c); err != nil {
				t.Errorf("commit %d of %d: %v", n, i, err)
				return
			}
			logs[i].Add(c)
		}
	})
	for _, l := range logs {
		CheckLog(t, store, l)
	}
}

// checkSnapshot fails unless everything that a head counts can be read.
func checkSnapshot(t TB, store ledger.Store, org string) {
	head, err := store.Head(t.Context(), org)
	if err != nil {
		t.Errorf("head: %v", err)
		return
	}
	next := uint64(0)
	for e, err := range store.Read(t.Context(), org, 0, head.Size) {
		if err != nil || e.Seq != next {
			t.Errorf("read %q: want entry %d, got %s, %v", org, next, describe(e, org), err)
			return
		}
		next++
	}
	if next != head.Size {
		t.Errorf("read %q: ended at %d, the head is at %d", org, next, head.Size)
	}
}

// testLarge goes past the first tile of level 2 and over several blocks.
func (s suite) testLarge(t *testing.T) {
	subject, l := s.open(t), NewLog(s.org())
	store := subject.Store
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for l.Head.Size < 70_000 {
		commit(t, store, l, int64(l.Head.Size), MakeEvents("a", 1+rng.IntN(1<<rng.IntN(14))))
	}
	CheckLog(t, store, l)
	if subject.Reopen != nil {
		store = subject.Reopen(t)
		CheckLog(t, store, l)
	}
	for range 50 {
		from := rng.Uint64N(l.Head.Size + 10)
		checkRange(t, store, l, from, from+rng.Uint64N(1<<rng.IntN(16)))
	}
	for _, edge := range []uint64{ledger.BlockSize, 4 * ledger.BlockSize, l.Head.Size} {
		checkRange(t, store, l, edge-1, edge)
		checkRange(t, store, l, edge-1, edge+1)
		checkRange(t, store, l, edge, edge+1)
	}
}

func (s suite) testReadEnds(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 100))
	commit(t, store, l, 1001, MakeEvents("b", 100))
	for _, r := range [][2]uint64{
		{0, 0},
		{5, 5},
		{7, 3},
		{199, 200},
		{200, 201},
		{0, 1},
		{99, 101},
		{150, math.MaxUint64},
		{math.MaxUint64, math.MaxUint64},
		{201, math.MaxUint64},
		{math.MaxUint64 - 1, 0},
	} {
		checkRange(t, store, l, r[0], r[1])
	}
	count := 0
	for _, err := range store.Read(t.Context(), l.Org, 0, 200) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count == 150 {
			break
		}
	}
	if count != 150 {
		t.Errorf("read %d entries before leaving, want 150", count)
	}
	commit(t, store, l, 1002, MakeEvents("c", 1))
	seq := store.Read(t.Context(), l.Org, 0, 3)
	for range 2 { // a sequence may be gone over again
		n := 0
		for _, err := range seq {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != 3 {
			t.Errorf("read %d entries, want 3", n)
		}
	}
}

func (s suite) testReceipts(t *testing.T) {
	subject := s.open(t)
	store, a, b := subject.Store, NewLog(s.org()), NewLog(s.org())
	for n := range 40 {
		for _, l := range []*Log{a, b} {
			keys := withKeys(l.Org, fmt.Sprint(n, "-"))
			c := l.Next(int64(1000+n), MakeEvents(l.Org, 20), func(i int) (ledger.Key, bool) {
				key, _ := keys(i)
				return key, i%2 == 0
			})
			if err := store.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			l.Add(c)
		}
	}
	check := func(store Store) {
		t.Helper()
		CheckLog(t, store, a)
		CheckLog(t, store, b)
		for n := range 1000 {
			key := KeyOf(a.Org, fmt.Sprint("never used ", n))
			if _, err := store.Receipt(t.Context(), a.Org, key); !errors.Is(err, ledger.ErrNotFound) {
				t.Fatalf("receipt of a key never used: got %v, want ErrNotFound", err)
			}
		}
	}
	check(store)
	if subject.Reopen != nil {
		check(subject.Reopen(t))
	}
}

func (s suite) testDrop(t *testing.T) {
	subject, l, other := s.open(t), NewLog(s.org()), NewLog(s.org())
	store := subject.Store
	for _, l := range []*Log{l, other} {
		c := l.Next(1000, MakeEvents(l.Org, 600), withKeys(l.Org, "k"))
		if err := store.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
	}
	check := func() {
		t.Helper()
		checkGone(t, store, l)
		CheckLog(t, store, other)
		if subject.Reopen != nil {
			store = subject.Reopen(t)
			checkGone(t, store, l)
			CheckLog(t, store, other)
		}
	}
	for range 2 {
		if err := store.Drop(t.Context(), l.Org); err != nil {
			t.Fatal(err)
		}
		check()
	}
	// The same organization again: nothing of its first log comes back.
	again := NewLog(l.Org)
	c := again.Next(999, MakeEvents("again", 5), withKeys(l.Org, "other"))
	if err := store.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	again.Add(c)
	CheckLog(t, store, again)
	for _, r := range l.Receipts {
		if _, err := store.Receipt(t.Context(), l.Org, r.Key); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("receipt of a dropped log: got %v, want ErrNotFound", err)
		}
	}
	if err := store.Drop(t.Context(), l.Org); err != nil {
		t.Fatal(err)
	}
	l = again
	check()
}

// testDropReaders drops a log that is being read: a reader sees entries in order,
// or an error, or none.
func (s suite) testDropReaders(t *testing.T) {
	store, org := s.open(t).Store, s.org()
	for range 10 {
		l := NewLog(org)
		for n := range 10 {
			commit(t, store, l, int64(n), MakeEvents("a", 100))
		}
		parallel(3, func(i int) {
			if i == 0 {
				if err := store.Drop(t.Context(), org); err != nil {
					t.Errorf("drop: %v", err)
				}
				return
			}
			next := 0
			for e, err := range store.Read(t.Context(), org, 0, math.MaxUint64) {
				if err != nil {
					break
				}
				if !sameEntry(e, l.Entries[next]) {
					t.Errorf("entry %d: got %s", next, describe(e, org))
				}
				next++
			}
		})
		checkGone(t, store, l)
	}
}

// testSeparate uses organizations whose ids are parts of each other.
func (s suite) testSeparate(t *testing.T) {
	subject := s.open(t)
	store := subject.Store
	var logs []*Log
	for _, org := range []string{
		"a", "aa", "ab", "a.b", "a-b", "a_b", "A", "b", "a0", "a00", "0", "org", "org_1.", "org_1.2",
		string(bytes.Repeat([]byte("a"), 63)), string(bytes.Repeat([]byte("a"), 64)), "\x01", "\x01a", "\xff", "\xff\xff",
	} {
		logs = append(logs, NewLog(org))
	}
	for n := range 3 {
		for _, l := range logs {
			c := l.Next(int64(n), MakeEvents(l.Org, 100), withKeys(l.Org, fmt.Sprint(n, "-")))
			c.Receipts = c.Receipts[:10]
			if err := store.Commit(t.Context(), c); err != nil {
				t.Fatalf("commit to %q: %v", l.Org, err)
			}
			l.Add(c)
		}
	}
	check := func() {
		t.Helper()
		for _, l := range logs {
			CheckLog(t, store, l)
			checkScan(t, store, l, audit.Query{}, 0, math.MaxUint64)
		}
	}
	check()
	for i := 0; i < len(logs); i += 3 {
		if err := store.Drop(t.Context(), logs[i].Org); err != nil {
			t.Fatal(err)
		}
		logs[i] = NewLog(logs[i].Org)
	}
	check()
	if subject.Reopen != nil {
		store = subject.Reopen(t)
		check()
	}
}

// testCanceled calls everything with a context that is done.
func (s suite) testCanceled(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 300))
	ctx := canceled(t)
	_, headErr := store.Head(ctx, l.Org)
	_, receiptErr := store.Receipt(ctx, l.Org, ledger.Key{})
	_, tileErr := store.Tile(ctx, l.Org, 1, 0, 1)
	_, keysErr := store.Keys(ctx, l.Org, 0)
	var readErr error
	for _, err := range store.Read(ctx, l.Org, 0, 300) {
		readErr = err
	}
	for name, err := range map[string]error{
		"commit": store.Commit(ctx, l.Next(1001, MakeEvents("b", 1), nil)),
		"drop":   store.Drop(ctx, l.Org),
		"head":   headErr, "receipt": receiptErr, "tile": tileErr, "keys": keysErr, "read": readErr,
	} {
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: got %v, want %v", name, err, ctx.Err())
		}
	}
	CheckLog(t, store, l)
}

func (s suite) testReopen(t *testing.T) {
	subject, l := s.open(t), NewLog(s.org())
	if subject.Reopen == nil {
		t.Skip("the store does not outlive its process")
	}
	store := subject.Store
	for n := range 5 {
		c := l.Next(int64(1000+n), MakeEvents(fmt.Sprint(n), 1+n%2*2500), withKeys(l.Org, fmt.Sprint(n, "-")))
		if err := store.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
		store = subject.Reopen(t)
		CheckLog(t, store, l)
	}
}
