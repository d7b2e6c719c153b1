package pebblestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// TestChunkRoundTrip writes receipts of all sizes as chunks and reads them.
func TestChunkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		list := randomReceipts(rng, rapid.IntRange(1, chunkReceipts).Draw(t, "receipts"))
		if rapid.Bool().Draw(t, "dense") {
			for i := range list {
				list[i].Key = ledger.Key{2, 9: byte(i)}
			}
		}
		key := packedChunkKey(nil, 7, &list[0].Key)
		value := appendChunk(nil, key, list)
		got, err := decodeChunk(nil, key, value)
		if err != nil || !slices.Equal(got, list) {
			t.Fatalf("got %v, %v; want %v", got, err, list)
		}
		for i := range list {
			whole := list[i].Key
			whole[15] = 1 // is not kept
			if got, ok, err := searchChunk(key, value, &whole); err != nil || !ok || got != list[i].Receipt {
				t.Fatalf("search: got %v, %t, %v; want %v", got, ok, err, list[i])
			}
			whole[8] ^= 0x80
			if got, ok, err := searchChunk(key, value, &whole); err != nil || ok {
				t.Fatalf("search for another key: got %v, %t, %v", got, ok, err)
			}
		}
	})
}

// commitKeys commits n events with keys, of which the log remembers every step-th
// receipt.
func commitKeys(t testing.TB, s *Store, l *storetest.Log, tag string, n, step int) {
	t.Helper()
	c := l.Next(s.now().UnixMilli(), storetest.MakeEvents("a", n), func(i int) (ledger.Key, bool) {
		return storetest.KeyOf(l.Org, fmt.Sprint(tag, i)), true
	})
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	i := 0
	c.Receipts = slices.DeleteFunc(c.Receipts, func(ledger.KeyedReceipt) bool { i++; return i%step != 0 })
	l.Add(c)
}

// TestMergeStops stops a merge before each of its batches, and opens the store
// again: every receipt is found, before and after, and nothing is left over.
func TestMergeStops(t *testing.T) {
	for stop, done := 0, false; !done; stop++ {
		cfg := testConfig(t, vfs.NewMem())
		cfg.windowReceipts = 6000
		s := mustOpen(t, cfg)
		l := storetest.NewLog("org")
		for n := range mergeFan {
			commitKeys(t, s, l, fmt.Sprint(n, "-"), 6000, 50)
		}
		// Close the last window by hand, and merge before anybody else does.
		s.receipts.tidying.Lock()
		s.receipts.mu.Lock()
		s.receipts.sealed = true
		s.receipts.mu.Unlock()
		for _, w := range s.receipts.closed() {
			if err := s.receipts.rewrite(w, s.apply); err != nil {
				t.Fatal(err)
			}
		}
		list := s.receipts.mergeable(s.now())
		if len(list) != mergeFan {
			t.Fatalf("%d windows to merge, want %d", len(list), mergeFan)
		}
		stopped, batches := errors.New("stopped"), 0
		err := s.receipts.merge(list, func(b *pebble.Batch, o *pebble.WriteOptions) error {
			if batches == stop {
				return stopped
			}
			batches++
			return s.apply(b, o)
		})
		if done = err == nil; !done && !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		if done && batches < 3 {
			t.Errorf("%d receipts were merged in %d batches: no commit should wait for so much", 4*6000, batches)
		}
		storetest.CheckLog(t, s, l)
		s.receipts.swept = true // so that the next start has to find what is left
		s.receipts.stop = true
		if !done && stop%2 == 0 {
			sweepAsNext(t, s, cfg)
		}
		s.receipts.tidying.Unlock()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, cfg)
		storetest.CheckLog(t, s, l)
		settle(t, s)
		storetest.CheckLog(t, s, l)
		if list := problems(t, s); len(list) > 0 {
			t.Errorf("stopped before batch %d: check: %v", stop, list)
		}
		if count, windows := s.receipts.size(); count != 4*6000 || windows != 1 {
			t.Errorf("stopped before batch %d: %d receipts in %d windows", stop, count, windows)
		}
		if filters, chunks := rowsOf(t, s, kindFilter), rowsOf(t, s, kindChunk); len(filters) != 1+2 || len(chunks) != (4*6000+255)/256 {
			t.Errorf("stopped before batch %d: %d filter rows, %d chunks", stop, len(filters), len(chunks))
		}
	}
}

// sweepAsNext removes what is left of a merge as the next start does, but for the
// new merge, which would write over it.
func sweepAsNext(t testing.TB, s *Store, cfg Config) {
	t.Helper()
	r := newReceipts(s.db, cfg.IdempotencyWindow, cfg.windowReceipts)
	r.stop = true
	if err := errors.Join(r.load(func(err error) { t.Error(err) }), r.tidy(s.now(), s.apply)); err != nil {
		t.Fatal(err)
	}
	if filters, chunks := rowsOf(t, s, kindFilter), rowsOf(t, s, kindChunk); len(filters) != mergeFan*2 || len(chunks) != mergeFan*((6000+255)/256) {
		t.Errorf("after a sweep: %d filter rows, %d chunks", len(filters), len(chunks))
	}
}

// TestFindWhileMerging looks for receipts without pause while windows are
// rewritten and merged under it.
func TestFindWhileMerging(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.windowReceipts = 50
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	commitKeys(t, s, l, "first", 50, 1)
	keys := slices.Clone(l.Receipts)
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := 0; !done.Load(); n++ {
				want := keys[n%len(keys)]
				if got, err := s.Receipt(t.Context(), "org", want.Key); err != nil || got != want.Receipt {
					t.Errorf("got %v, %v; want %v", got, err, want.Receipt)
					return
				}
			}
		})
	}
	for n := range 300 {
		commitKeys(t, s, l, fmt.Sprint(n, "-"), 50, 10)
		settle(t, s)
	}
	done.Store(true)
	wg.Wait()
	storetest.CheckLog(t, s, l)
	if count, windows := s.receipts.size(); count != 301*50 || windows > 3*5+1 {
		t.Errorf("%d receipts in %d windows", count, windows)
	}
}

// TestMergeKeepsNewest uses a key again after it was forgotten: of its receipts in
// two windows the newer is found, also once they are one.
func TestMergeKeepsNewest(t *testing.T) {
	now := &clock{t: time.UnixMilli(1_772_000_000_000)}
	cfg := testConfig(t, vfs.NewMem())
	cfg.windowReceipts, cfg.Now = 10, now.now
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	for n := range 4 * mergeFan {
		commitKeys(t, s, l, "same", 10, 1)
		l.Receipts = l.Receipts[len(l.Receipts)-10:]
		now.add(time.Millisecond)
		settle(t, s)
		for _, want := range l.Receipts {
			if got, err := s.Receipt(t.Context(), "org", want.Key); err != nil || got != want.Receipt {
				t.Fatalf("after %d: got %v, %v; want %v", n, got, err, want.Receipt)
			}
		}
	}
	if count, _ := s.receipts.size(); count > 7*10 {
		t.Errorf("%d receipts are kept of 10 keys", count)
	}
}

// TestPartsMergeApart lets time pass: the windows of a part of the idempotency
// window become one when it is over, and those of different parts stay apart.
func TestPartsMergeApart(t *testing.T) {
	now := &clock{t: time.UnixMilli(1_772_000_000_000).Truncate(time.Hour)}
	cfg := testConfig(t, vfs.NewMem())
	cfg.IdempotencyWindow, cfg.windowReceipts, cfg.Now = 14*time.Hour, 100, now.now
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	for n := range 20 {
		for m := range 3 {
			commitKeys(t, s, l, fmt.Sprint(n, "-", m, "-"), 100, 10)
			now.add(20 * time.Minute)
		}
		settle(t, s)
	}
	s.receipts.mu.RLock()
	defer s.receipts.mu.RUnlock()
	parts := map[uint64]int{}
	for _, w := range s.receipts.windows {
		parts[s.receipts.part(w.opened())]++
	}
	if len(parts) < 13 || len(parts) > 15 {
		t.Errorf("%d parts are left, want 14 or so", len(parts))
	}
	many := 0
	for _, n := range parts {
		if n > 1 {
			many++
		}
	}
	if many > 1 { // the newest, which is not merged before the next commit
		t.Errorf("%d parts have several windows: %v", many, parts)
	}
}

// oldWindow writes a window as old programs did.
func oldWindow(t testing.TB, s *Store, id uint64, list []ledger.KeyedReceipt) {
	t.Helper()
	slices.SortFunc(list, func(a, b ledger.KeyedReceipt) int { return strings.Compare(string(a.Key[:]), string(b.Key[:])) })
	newest := int64(0)
	for part := range slices.Chunk(list, chunkReceipts) {
		key, value := chunkKey(nil, id, &part[0].Key), []byte{valueVersion}
		for i := range part {
			value = appendReceipt(value, &part[i])
			newest = max(newest, part[i].ReceivedAt)
		}
		if err := s.db.Set(key, seal(key, value, 0), nil); err != nil {
			t.Fatal(err)
		}
	}
	key := windowKey(nil, kindFilter, id)
	value := appendInt(appendInt([]byte{valueVersion}, int64(len(list))), newest)
	if err := s.db.Set(key, seal(key, append(value, oldFilterOf(list)...), 0), nil); err != nil {
		t.Fatal(err)
	}
}

// TestOldWindows opens a store with windows of an old program, finds what is in
// them, and merges them.
func TestOldWindows(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.windowReceipts = 500
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	c := l.Next(5, storetest.MakeEvents("a", 2000), func(i int) (ledger.Key, bool) {
		return storetest.KeyOf("org", fmt.Sprint(i)), true
	})
	receipts := c.Receipts
	c.Receipts = nil
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.Receipts = receipts
	l.Add(c)
	for n, part := range slices.Collect(slices.Chunk(slices.Clone(receipts), 500)) {
		oldWindow(t, s, uint64(n+1), part)
	}
	snapshot := s.db.NewSnapshot()
	r := newReceipts(s.db, cfg.IdempotencyWindow, cfg.windowReceipts)
	if err := errors.Join(r.load(func(err error) { t.Error(err) }), snapshot.Close()); err != nil {
		t.Fatal(err)
	}
	find := func() {
		t.Helper()
		for _, want := range receipts {
			if got, err := r.find(want.Key); err != nil || got != want.Receipt {
				t.Fatalf("got %v, %v; want %v", got, err, want.Receipt)
			}
		}
	}
	find()
	if list := problems(t, s); len(list) > 0 {
		t.Errorf("check: %v", list)
	}
	if err := r.tidy(s.now(), s.apply); err != nil {
		t.Fatal(err)
	}
	if count, windows := r.size(); count != 2000 || windows != 1 {
		t.Errorf("%d receipts in %d windows", count, windows)
	}
	find()
	if list := problems(t, s); len(list) > 0 {
		t.Errorf("merged: check: %v", list)
	}
}

// TestFiltersOnDisk gives filters no memory: they are read, and answer as before.
func TestFiltersOnDisk(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	s.receipts.tidying.Lock()
	s.receipts.filterLimit = 0
	s.receipts.tidying.Unlock()
	for n := range 10 {
		commitKeys(t, s, l, fmt.Sprint(n, "-"), 400, 10)
	}
	settle(t, s)
	storetest.CheckLog(t, s, l)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		if _, err := s.receipts.find(randomKey(rng)); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("new key: got %v", err)
		}
	}
	if n := s.receipts.filterBytes; n != 0 {
		t.Errorf("filters take %d bytes of memory", n)
	}
	// Without chunks only the filter can say that a key is new.
	key := rowsOf(t, s, kindChunk)[0]
	edit(t, s, key, flip(30))
	asked := 0
	for range 1000 {
		if _, err := s.receipts.find(randomKey(rng)); !errors.Is(err, ledger.ErrNotFound) {
			asked++
		}
	}
	if asked > 2 {
		t.Errorf("%d of 1000 new keys were looked for in chunks", asked)
	}
}

// TestDamagedChunkIsNotMerged damages a chunk: its window stays as it is and says
// so whenever one of its keys is asked for, and the others go on.
func TestDamagedChunkIsNotMerged(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	for n := range mergeFan - 1 {
		commitKeys(t, s, l, fmt.Sprint(n, "-"), 400, 1)
	}
	damaged := l.Receipts[:400]
	commitKeys(t, s, l, "open", 1, 1)
	settle(t, s)
	edit(t, s, rowsOf(t, s, kindChunk)[0], flip(30))
	for n := range 2 * mergeFan {
		commitKeys(t, s, l, fmt.Sprint("more", n, "-"), 400, 1)
	}
	if err := s.receipts.tidy(s.now(), s.apply); err != nil && !strings.Contains(err.Error(), "checksum") {
		t.Fatal(err)
	}
	failed := 0
	for i, want := range l.Receipts {
		got, err := s.Receipt(t.Context(), "org", want.Key)
		switch {
		case err == nil && got == want.Receipt:
		case i < len(damaged) && err != nil && strings.Contains(err.Error(), "checksum"):
			failed++
		default:
			t.Fatalf("got %v, %v; want %v", got, err, want.Receipt)
		}
	}
	if failed == 0 {
		t.Error("nobody was told of the damage")
	}
	if _, windows := s.receipts.size(); windows > 9 {
		t.Errorf("%d windows: the others are not merged", windows)
	}
}
