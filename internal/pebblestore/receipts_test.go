package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// logBuffer is a log that a test may read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func randomKey(rng *rand.Rand) (key ledger.Key) {
	binary.BigEndian.PutUint64(key[:], rng.Uint64())
	binary.BigEndian.PutUint64(key[8:], rng.Uint64())
	return key
}

// TestFuse adds keys, all of which must pass, and asks for others, of which few
// may.
func TestFuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var builder fuseBuilder
	for _, n := range []int{0, 1, 2, 3, 10, 1000, pieceKeys, 30_000} {
		keys := make([]ledger.Key, n)
		hashes := make([]uint64, n)
		for i := range keys {
			keys[i] = randomKey(rng)
			hashes[i] = fuseHash(&keys[i])
		}
		f := builder.build(hashes)
		for i := range keys {
			if !f.has(fuseHash(&keys[i])) {
				t.Fatalf("fuse of %d: a key that was added does not pass", n)
			}
		}
		passed := 0
		for range 400_000 {
			if key := randomKey(rng); f.has(fuseHash(&key)) {
				passed++
			}
		}
		if passed > 25 {
			t.Errorf("fuse of %d: %d of 400,000 other keys pass, want 6 or so", n, passed)
		}
		if bits := 8 * f.bytes(); n >= pieceKeys && bits > 21*n {
			t.Errorf("fuse of %d takes %d bits", n, bits)
		}
	}
	if f := builder.build([]uint64{1, 2, 1}); !f.has(1) || !f.has(2) {
		t.Error("keys with the same hash do not pass")
	}
}

// oldFilterOf makes the filter of an old store.
func oldFilterOf(list []ledger.KeyedReceipt) oldFilter {
	f := make(oldFilter, max(1, (len(list)*20+511)/512)*oldBlockBytes)
	for i := range list {
		block, probes := f.place(&list[i].Key)
		for range oldProbes {
			block[probes>>3&63] |= 1 << (probes & 7)
			probes >>= 9
		}
	}
	return f
}

// TestWindows lets time pass: windows close, are rewritten, and expire together
// with all their rows.
func TestWindows(t *testing.T) {
	now := &clock{t: time.UnixMilli(1_772_000_000_000)}
	cfg := testConfig(t, vfs.NewMem())
	cfg.IdempotencyWindow, cfg.windowReceipts, cfg.Now = 14*time.Hour, 1000, now.now
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := storetest.NewLog("org")
	type stamped struct {
		at time.Time
		ledger.KeyedReceipt
	}
	var all []stamped
	for n := range 60 {
		c := l.Next(now.now().UnixMilli(), storetest.MakeEvents("a", 10+n), func(i int) (ledger.Key, bool) {
			return storetest.KeyOf("org", fmt.Sprint(n, "-", i)), true
		})
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
		for _, r := range c.Receipts {
			all = append(all, stamped{now.now(), r})
		}
		if n%7 == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(cfg); err != nil {
				t.Fatal(err)
			}
		}
		settle(t, s)
		for _, r := range all[n%10:] {
			if r.Seq%10 != uint64(n%10) {
				continue
			}
			got, err := s.Receipt(t.Context(), "org", r.Key)
			age := now.now().Sub(r.at)
			switch {
			case err == nil && got == r.Receipt:
			case errors.Is(err, ledger.ErrNotFound) && age >= cfg.IdempotencyWindow:
			default:
				t.Fatalf("receipt of %s ago: got %+v, %v; want %+v", age, got, err, r.Receipt)
			}
		}
		now.add(20 * time.Minute)
	}
	count, windows := s.receipts.size()
	if count == len(all) || windows > 3*14 {
		t.Errorf("%d of %d receipts are left, in %d windows", count, len(all), windows)
	}
	if list := problems(t, s); len(list) > 0 {
		t.Errorf("check: %v", list)
	}
	now.add(24 * time.Hour)
	c := l.Next(now.now().UnixMilli(), storetest.MakeEvents("a", 1), func(int) (ledger.Key, bool) {
		return storetest.KeyOf("org", "last"), true
	})
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if count, windows := s.receipts.size(); count != 1 || windows != 1 {
		t.Errorf("a day later %d receipts are left, in %d windows", count, windows)
	}
	if chunks, filters, groups := rowsOf(t, s, kindChunk), rowsOf(t, s, kindFilter), rowsOf(t, s, kindReceipts); len(chunks)+len(filters) > 0 || len(groups) != 1 {
		t.Errorf("a day later there are %d chunks, %d filters and %d groups", len(chunks), len(filters), len(groups))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRewriteStops stops the rewrite of a window after each of its batches, and
// opens the store again.
func TestRewriteStops(t *testing.T) {
	for stop := 0; ; stop++ {
		cfg := testConfig(t, vfs.NewMem())
		cfg.windowReceipts = 28_000
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l := storetest.NewLog("org")
		commitKeys := func(tag string, n int) {
			t.Helper()
			c := l.Next(1, storetest.MakeEvents("a", n), func(i int) (ledger.Key, bool) {
				return storetest.KeyOf("org", fmt.Sprint(tag, i)), true
			})
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			c.Receipts = slices.DeleteFunc(c.Receipts, func(r ledger.KeyedReceipt) bool { return r.Seq%20 > 0 })
			l.Add(c) // which is enough to look for
		}
		for n := range 4 {
			commitKeys(fmt.Sprint("first ", n, "-"), 7000)
		}
		// The window is full. Close it by hand, so that nobody else rewrites it.
		s.receipts.mu.Lock()
		w := s.receipts.windows[0]
		s.receipts.mu.Unlock()
		stopped := errors.New("stopped")
		batches := 0
		err = s.receipts.rewrite(w, func(b *pebble.Batch, o *pebble.WriteOptions) error {
			if batches == stop {
				return stopped
			}
			batches++
			return s.apply(b, o)
		})
		if err != nil && !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		if err == nil && batches < 3 {
			t.Errorf("a window of 28,000 was rewritten in %d batches: no commit should wait for so much", batches)
		}
		done := err == nil
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		storetest.CheckLog(t, s, l)
		commitKeys("second ", 10)
		settle(t, s)
		storetest.CheckLog(t, s, l)
		if list := problems(t, s); len(list) > 0 {
			t.Errorf("stopped before batch %d: check: %v", stop, list)
		}
		if filters := rowsOf(t, s, kindFilter); len(filters) != 1+2 {
			t.Errorf("stopped before batch %d: %d filter rows, want 3", stop, len(filters))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
}

// TestNewKeyReadsNothing asks for keys that were never used.
func TestNewKeyReadsNothing(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.windowReceipts = 1000
	s := mustOpen(t, cfg)
	fill(t, s)
	settle(t, s)
	maybe := 0
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		key := randomKey(rng)
		if _, ok, list, _ := s.receipts.probe(&key); ok || len(list) > 0 {
			maybe++
		}
	}
	if maybe > 10 {
		t.Errorf("%d of 10,000 new keys are looked for on disk", maybe)
	}
}

func FuzzReceipts(f *testing.F) {
	key := receiptsKey(nil, 1, 2)
	packed := packedChunkKey(nil, 1, &ledger.Key{1})
	f.Add([]byte{})
	f.Add(seal(key, appendReceipt([]byte{valueVersion}, &ledger.KeyedReceipt{}), 0)[:1+receiptBytes])
	f.Add(encodeWindow(key[:9], &window{pieces: make([]atomic.Pointer[fuse], 3)})[:1+8+8+2])
	f.Add(new(fuseBuilder).build([]uint64{1, 2, 3}).encode(nil, key)[:60])
	rng := rand.New(rand.NewPCG(1, 1))
	list := randomReceipts(rng, 20)
	chunk := appendChunk(nil, packed, list)
	f.Add(chunk[:len(chunk)-sumBytes])
	f.Fuzz(func(t *testing.T, value []byte) {
		var r ledger.KeyedReceipt
		if list, err := receiptList(key, seal(key, bytes.Clone(value), 0)); err == nil {
			var again []byte
			for i := range list.len() {
				list.at(i, &r)
				again = appendReceipt(again, &r)
			}
			if !bytes.Equal(again, list) {
				t.Errorf("receipts %x are %x when written again", list, again)
			}
		}
		v := seal(packed, bytes.Clone(value), 0)
		if list, err := decodeChunk(nil, packed, v); err == nil {
			for _, want := range list {
				if got, ok, err := searchChunk(packed, v, &want.Key); err != nil || !ok || got != want.Receipt {
					t.Errorf("search found %v, %t, %v; want %v", got, ok, err, want.Receipt)
				}
			}
			again := appendChunk(nil, packed, list)
			if same, err := decodeChunk(nil, packed, again); err != nil || !slices.Equal(same, list) || len(again) > len(v) {
				t.Errorf("chunk %x is %x when written again", v, again)
			}
		}
		if w, err := decodeWindow(key[:9], seal(key[:9], bytes.Clone(value), 0)); err == nil {
			w.mayHave(&r.Key, fuseHash(&r.Key))
		}
		if w, err := decodeFuse(key, seal(key, bytes.Clone(value), 0)); err == nil {
			w.has(fuseHash(&r.Key))
			if again := w.encode(nil, key); !bytes.Equal(again[:len(value)], value) {
				t.Errorf("fuse %x is %x when written again", value, again)
			}
		}
	})
}

// randomReceipts returns receipts in the order of their keys, of which only as
// much is set as chunks keep.
func randomReceipts(rng *rand.Rand, n int) []ledger.KeyedReceipt {
	list := make([]ledger.KeyedReceipt, n)
	for i := range list {
		r := &list[i]
		r.Key = randomKey(rng)
		shorten(&r.Key)
		r.Seq, r.ReceivedAt = rng.Uint64()>>rng.IntN(64), int64(rng.Uint64()>>(1+rng.IntN(63)))
		binary.LittleEndian.PutUint64(r.Fingerprint[:], rng.Uint64())
	}
	slices.SortFunc(list, func(a, b ledger.KeyedReceipt) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return list
}
