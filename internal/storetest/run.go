package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Subject is a store under test.
type Subject struct {
	Store Store
	// Reopen closes the store and opens it again on the same data. It is nil
	// for a store that does not outlive its process.
	Reopen func(t testing.TB) Store
	// Seal makes the store bring what was committed into the form that it keeps
	// for long. It is nil for a store that has but one.
	Seal func(t testing.TB)
}

// suite is one run of all tests.
type suite struct {
	open func(t testing.TB) Subject
	orgs *atomic.Int64
}

// Run tests everything a store promises. open returns a new, empty store each
// time and has it closed at the end of the test. Times of receipt begin at 1970,
// so a store that forgets receipts needs a window of a hundred years.
func Run(t *testing.T, open func(t testing.TB) Subject) {
	t.Helper()
	s := suite{open: open, orgs: new(atomic.Int64)}
	for _, test := range []struct {
		name string
		fn   func(t *testing.T)
	}{
		{"Empty", s.testEmpty},
		{"Commit", s.testCommit},
		{"CommitKeepsNothing", s.testCommitKeepsNothing},
		{"CommitInvalid", s.testCommitInvalid},
		{"HeadMoved", s.testHeadMoved},
		{"OneWins", s.testOneWins},
		{"Concurrent", s.testConcurrent},
		{"Large", s.testLarge},
		{"ReadEnds", s.testReadEnds},
		{"Receipts", s.testReceipts},
		{"Drop", s.testDrop},
		{"DropReaders", s.testDropReaders},
		{"Separate", s.testSeparate},
		{"Canceled", s.testCanceled},
		{"Reopen", s.testReopen},
		{"Model", s.testModel},
		{"KV", s.testKV},
		{"KVConcurrent", s.testKVConcurrent},
		{"KVList", s.testKVList},
		{"Search", s.testSearch},
		{"SearchPaging", s.testSearchPaging},
		{"SearchStable", s.testSearchStable},
		{"SearchInvalid", s.testSearchInvalid},
		{"Scan", s.testScan},
		{"Render", s.testRender},
		{"RenderLarge", s.testRenderLarge},
		{"RenderStops", s.testRenderStops},
		{"Histogram", s.testHistogram},
		{"Facets", s.testFacets},
		{"Keep", s.testKeep},
		{"KeepHolds", s.testKeepHolds},
		{"KeepFails", s.testKeepFails},
		{"First", s.testFirst},
	} {
		t.Run(test.name, test.fn)
	}
}

// org returns an organization that no other test of the run uses.
func (s suite) org() string { return fmt.Sprintf("org_%d", s.orgs.Add(1)) }

// commit commits events to a log, which then holds them.
func commit(t TB, store ledger.Store, l *Log, receivedAt int64, events []*event.Event) {
	t.Helper()
	c := l.Next(receivedAt, events, nil)
	if err := store.Commit(t.Context(), c); err != nil {
		t.Fatalf("commit of %d rows at %d: %v", len(c.Rows), c.Prev, err)
	}
	l.Add(c)
}

// TB is what the checks need of a test: testing.TB and *rapid.T have it.
type TB interface {
	Helper()
	Context() context.Context
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// CheckLog compares what a store holds of a log with what it should: head,
// entries in both directions, keys, tiles and receipts.
func CheckLog(t TB, store Store, l *Log) {
	t.Helper()
	checkHead(t, store, l)
	checkRange(t, store, l, 0, math.MaxUint64)
	for i, want := range l.Keys {
		got, err := store.Keys(t.Context(), l.Org, uint64(i))
		if l.rewritten[uint64(i)] {
			checkRewrittenKeys(t, l, uint64(i), got, err)
			continue
		}
		if err != nil || got != want {
			t.Errorf("keys of block %d of %q: got %x, %v; want %x", i, l.Org, got, err, want)
		}
	}
	if _, err := store.Keys(t.Context(), l.Org, uint64(len(l.Keys))); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("keys of a block without entries of %q: got %v, want ErrNotFound", l.Org, err)
	}
	checkNodes(t, store, l)
	for _, want := range l.Receipts {
		got, err := store.Receipt(t.Context(), l.Org, want.Key)
		if err != nil || got != want.Receipt {
			t.Fatalf("receipt %x of %q: got %+v, %v; want %+v", want.Key, l.Org, got, err, want.Receipt)
		}
	}
}

func checkHead(t TB, store ledger.Store, l *Log) {
	t.Helper()
	got, err := store.Head(t.Context(), l.Org)
	if err != nil {
		t.Fatalf("head of %q: %v", l.Org, err)
	}
	if got.Size != l.Head.Size || got.ReceivedAt != l.Head.ReceivedAt || !slices.Equal(got.Frontier, l.Head.Frontier) {
		t.Errorf("head of %q: got %+v, want %+v", l.Org, got, l.Head)
	}
}

// checkRange reads a range and compares it with the log's entries.
func checkRange(t TB, store ledger.Store, l *Log, from, to uint64) {
	t.Helper()
	next := from
	for e, err := range store.Read(t.Context(), l.Org, from, to) {
		if err != nil {
			t.Fatalf("read %d to %d of %q: after %d: %v", from, to, l.Org, next, err)
		}
		next = l.skipRemoved(next)
		if next >= min(to, l.Head.Size) {
			t.Fatalf("read %d to %d of %q: got more: %s", from, to, l.Org, describe(e, l.Org))
		}
		if want := l.Entries[next]; !sameEntry(e, want) {
			t.Fatalf("read %d to %d of %q: got %s, want %s", from, to, l.Org, describe(e, l.Org), describe(want, l.Org))
		}
		next++
	}
	if next = l.skipRemoved(next); next < min(to, l.Head.Size) {
		t.Fatalf("read %d to %d of %q: ended before %d", from, to, l.Org, next)
	}
}

// skipRemoved returns the next entry, from seq on, that was not removed.
func (l *Log) skipRemoved(seq uint64) uint64 {
	for seq < l.Head.Size && l.Entries[seq] == nil {
		seq++
	}
	return seq
}

// checkNodes reads every tile, whole, in part, and past its end.
func checkNodes(t TB, store ledger.Store, l *Log) {
	t.Helper()
	for level := 1; level <= 3; level++ {
		nodes := l.Head.Size >> (8 * level)
		for first := uint64(0); first < nodes; first += ledger.TileWidth {
			index, width := first/ledger.TileWidth, int(min(nodes-first, ledger.TileWidth))
			for _, w := range []int{1, (width + 1) / 2, width} {
				checkTile(t, store, l, level, index, w)
			}
		}
		index, width := nodes/ledger.TileWidth, int(nodes%ledger.TileWidth)+1
		if _, err := store.Tile(t.Context(), l.Org, level, index, width); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("tile %d of level %d of %q, %d wide: got %v, want ErrNotFound", index, level, l.Org, width, err)
		}
	}
}

func checkTile(t TB, store ledger.Store, l *Log, level int, index uint64, width int) {
	t.Helper()
	got, err := store.Tile(t.Context(), l.Org, level, index, width)
	if err != nil {
		t.Errorf("tile %d of level %d of %q, %d wide: %v", index, level, l.Org, width, err)
		return
	}
	want := make([]tlog.Hash, width)
	for i := range want {
		want[i] = l.Nodes[NodeID{level, index*ledger.TileWidth + uint64(i)}]
	}
	if !slices.Equal(got, want) {
		t.Errorf("tile %d of level %d of %q, %d wide: got %v, want %v", index, level, l.Org, width, got, want)
	}
}

// checkGone fails unless the store has no trace of an organization's log.
func checkGone(t TB, store Store, l *Log) {
	t.Helper()
	CheckLog(t, store, NewLog(l.Org))
	for _, r := range l.Receipts {
		if got, err := store.Receipt(t.Context(), l.Org, r.Key); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("receipt %x of %q: got %+v, %v; want ErrNotFound", r.Key, l.Org, got, err)
		}
	}
	for id := range l.Nodes {
		if _, err := store.Tile(t.Context(), l.Org, id.Level, id.Index/ledger.TileWidth, 1); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("tile of level %d of %q: got %v, want ErrNotFound", id.Level, l.Org, err)
		}
	}
}

// parallel runs fn n times at once and waits for all.
func parallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func canceled(t TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
