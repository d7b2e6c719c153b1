package ledger_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

func TestEntryByID(t *testing.T) {
	s := newStore()
	l := open(t, s)
	res := record(t, l, "acme", 0, 3)
	record(t, l, "globex", 0, 3)
	id := res.Receipts[1].ID.String()
	got, err := l.Entry(t.Context(), "acme", id)
	if err != nil || got.Seq != 1 || string(got.Targets[0].ID) != "k1" {
		t.Fatalf("got %+v, %v", got, err)
	}
	last := byte('0')
	if id[25] == last {
		last = '1'
	}
	k := s.keys(t, "acme", 0)
	wrong := map[string]string{
		"other check bits":     id[:25] + string(last),
		"lower case":           strings.ToLower(id),
		"empty":                "",
		"short":                id[:25],
		"no id":                "01G0J1F3GQ5B5S00000000000U",
		"seq beyond the log":   k.Cipher().ID(res.Receipts[1].ReceivedAt, 3).String(),
		"another time":         k.Cipher().ID(res.Receipts[1].ReceivedAt+1, 1).String(),
		"another organization": s.keys(t, "globex", 0).Cipher().ID(res.Receipts[1].ReceivedAt, 1).String(),
	}
	for name, id := range wrong {
		if e, err := l.Entry(t.Context(), "acme", id); err == nil {
			t.Errorf("%s: %q gives entry %d", name, id, e.Seq)
		} else {
			wantCode(t, err, audit.CodeNotFound)
		}
	}
}

func TestEntryAt(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 3)
	for _, seq := range []uint64{3, 1 << 40, 1<<64 - 1} {
		_, err := l.EntryAt(t.Context(), "acme", seq)
		wantCode(t, err, audit.CodeNotFound)
	}
	// What is lost is not "not found".
	s.Damage("acme", func(log *rawLog) { log.Rows = log.Rows[:2] })
	var e *audit.Error
	if _, err := l.EntryAt(t.Context(), "acme", 2); err == nil || errors.As(err, &e) {
		t.Errorf("a missing entry gives %v", err)
	}
}

func TestThrough(t *testing.T) {
	l := open(t, newStore())
	if at, err := l.Through(t.Context(), "acme"); at != nil || err != nil {
		t.Fatalf("got %v, %v", at, err)
	}
	res := record(t, l, "acme", 0, 5)
	at, err := l.Through(t.Context(), "acme")
	if err != nil || *at != res.Through || at.Seq != 4 {
		t.Fatalf("got %v, %v, want %v", at, err, res.Through)
	}
}

func TestRead(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, 10)
	var got []*event.Entry
	for e, err := range l.Read(t.Context(), "acme", 7, 100) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Clone())
	}
	if len(got) != 3 || got[0].Seq != 7 {
		t.Fatalf("got %d entries", len(got))
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newStore())
		record(t, l, "acme", 0, 2)
		if err := l.Wait(t.Context(), "acme", 1); err != nil {
			t.Fatal(err) // it has more already
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		woken := map[uint64]bool{}
		for _, size := range []uint64{2, 2, 4} {
			wg.Go(func() {
				if err := l.Wait(t.Context(), "acme", size); err != nil {
					t.Error(err)
				}
				mu.Lock()
				woken[size] = true
				mu.Unlock()
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Wait(ctx, "acme", 100) }()
		synctest.Wait()
		if len(woken) != 0 {
			t.Errorf("woken without a commit: %v", woken)
		}
		record(t, l, "globex", 0, 9) // another log wakes nobody
		synctest.Wait()
		if len(woken) != 0 {
			t.Errorf("woken by another log: %v", woken)
		}
		record(t, l, "acme", 2, 1)
		synctest.Wait()
		if !woken[2] || woken[4] {
			t.Errorf("woken: %v", woken)
		}
		record(t, l, "acme", 3, 2)
		wg.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A reader that waits, reads and waits again sees every entry once.
func TestWaitFollows(t *testing.T) {
	l := open(t, newStore())
	const total = 500
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for next := uint64(0); next < total; {
				if err := l.Wait(t.Context(), "acme", next); err != nil {
					t.Error(err)
					return
				}
				for e, err := range l.Read(t.Context(), "acme", next, total) {
					if err != nil || e.Seq != next {
						t.Errorf("entry %d: %v", next, err)
						return
					}
					next++
				}
			}
		})
	}
	for i := range total / 2 {
		record(t, l, "acme", 2*i, 2)
	}
	wg.Wait()
}

func TestDrop(t *testing.T) {
	s := newStore()
	l := open(t, s, func(c *ledger.Config) { c.Limits.Organizations = 1 })
	record(t, l, "acme", 0, 300)
	record(t, l, "globex", 0, 3)
	if _, err := l.Tile(t.Context(), "acme", 0, 0, 256); err != nil {
		t.Fatal(err)
	}
	if err := l.Drop(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if h, err := l.Head(t.Context(), "acme"); err != nil || h.Size != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if n := ledger.CachedTiles(l); n != 0 {
		t.Errorf("%d tiles of a dropped log are kept", n)
	}
	record(t, l, "globex", 3, 1) // the only state that is kept
	_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeNotFound)
	_, err = l.Tile(t.Context(), "acme", 0, 0, 256)
	wantCode(t, err, audit.CodeNotFound)
	if err := l.Drop(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	verify(t, l, "globex")
}

// An entry on its way keeps the log; one that comes after its end is refused.
func TestDropEmpty(t *testing.T) {
	s := newStore()
	l := open(t, s)
	entered, goOn := stall(s)
	var wg sync.WaitGroup
	wg.Go(func() { record(t, l, "acme", 0, 1) })
	<-entered
	wg.Go(func() {
		if empty, err := l.DropEmpty(t.Context(), "acme"); empty || err != nil {
			t.Errorf("%v, %v", empty, err)
		}
	})
	for range 1000 { // time to be wrong in
		runtime.Gosched()
	}
	s.onCommit = nil
	goOn <- struct{}{}
	wg.Wait()
	record(t, l, "acme", 1, 1)
	verify(t, l, "acme")

	if empty, err := l.DropEmpty(t.Context(), "globex"); !empty || err != nil {
		t.Errorf("%v, %v", empty, err)
	}
	_, err := l.Append(t.Context(), newBatch(t, "globex", 0, 1))
	wantCode(t, err, audit.CodeNotFound)
}

// Batches that wait for a log while it is dropped are refused, not recorded into
// a new one.
func TestDropWhileWaiting(t *testing.T) {
	s := newStore()
	l := open(t, s)
	entered, goOn := stall(s)
	var inCommit, inPool error
	var wg sync.WaitGroup
	wg.Go(func() { _, inCommit = l.Append(t.Context(), newBatch(t, "acme", 0, 1)) })
	<-entered
	wg.Go(func() { _, inPool = l.Append(t.Context(), newBatch(t, "acme", 1, 1)) })
	for l.Stats().Waiting < 2*int64(newBatch(t, "acme", 0, 1).Bytes()) {
		runtime.Gosched()
	}
	wg.Go(func() {
		if err := l.Drop(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
	})
	for { // until Drop has begun; it waits for the commit
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := l.Append(ctx, newBatch(t, "acme", 2, 1))
		cancel()
		if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
			break
		}
	}
	s.onCommit = nil
	goOn <- struct{}{}
	wg.Wait()
	if inCommit != nil {
		t.Errorf("the commit that was under way: %v", inCommit)
	}
	wantCode(t, inPool, audit.CodeNotFound)
	if h, err := l.Head(t.Context(), "acme"); err != nil || h.Size != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}
