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

// TestFilter adds keys, all of which must pass, and asks for others, of which few
// may.
func TestFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 10, 1000, 100_000} {
		f := newFilter(n)
		keys := make([]ledger.Key, n)
		for i := range keys {
			keys[i] = randomKey(rng)
			f.add(&keys[i])
		}
		for i := range keys {
			if !f.has(&keys[i]) {
				t.Fatalf("filter of %d: a key that was added does not pass", n)
			}
		}
		passed := 0
		for range 100_000 {
			if key := randomKey(rng); f.has(&key) {
				passed++
			}
		}
		if passed > 60 {
			t.Errorf("filter of %d: %d of 100,000 other keys pass, want 33 or so", n, passed)
		}
	}
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
		cfg.windowReceipts = 14_000
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
			commitKeys(fmt.Sprint("first ", n, "-"), 3500)
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
			t.Errorf("a window of 14,000 was rewritten in %d batches: no commit should wait for so much", batches)
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
		if filters := rowsOf(t, s, kindFilter); len(filters) != 1 {
			t.Errorf("stopped before batch %d: %d filters, want 1", stop, len(filters))
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
		if _, ok, list := s.receipts.probe(&key); ok || len(list) > 0 {
			maybe++
		}
	}
	if maybe > 50 {
		t.Errorf("%d of 10,000 new keys are looked for on disk", maybe)
	}
}

func FuzzReceipts(f *testing.F) {
	key := receiptsKey(nil, 1, 2)
	f.Add([]byte{})
	f.Add(seal(key, appendReceipt([]byte{valueVersion}, &ledger.KeyedReceipt{}), 0)[:1+receiptBytes])
	f.Add(seal(key, encodeFilter(key, &window{}, newFilter(3)), 0))
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, v := range [][]byte{value, seal(key, bytes.Clone(value), 0)} {
			if list, err := receiptList(key, v); err == nil {
				var r ledger.KeyedReceipt
				var again []byte
				for i := range list.len() {
					list.at(i, &r)
					again = appendReceipt(again, &r)
				}
				if !bytes.Equal(again, list) {
					t.Errorf("receipts %x are %x when written again", list, again)
				}
				list.search(&r.Key)
			}
			if w, err := decodeFilter(key, v); err == nil {
				w.filter.has(&ledger.Key{})
				if again := encodeFilter(key, w, w.filter); !bytes.Equal(again, v) {
					t.Errorf("filter %x is %x when written again", v, again)
				}
			}
		}
	})
}
