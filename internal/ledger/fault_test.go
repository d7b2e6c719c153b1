package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
)

var errDisk = errors.New("input/output error")

func TestCommitFailsAndDidNotLand(t *testing.T) {
	s, told := newStore(), &bytes.Buffer{}
	l := open(t, s, logTo(told))
	record(t, l, "acme", 0, 3)
	s.onCommit = func(*ledger.Commit) (bool, error) { return false, errDisk }
	_, err := l.Append(t.Context(), newBatch(t, "acme", 3, 2))
	if e := fault(t, err, audit.CodeUnavailable); !strings.Contains(e.Message, "nothing was recorded") {
		t.Errorf("%q does not say that nothing was recorded", e.Message)
	}
	if !strings.Contains(told.String(), "did not land") || !strings.Contains(told.String(), errDisk.Error()) {
		t.Errorf("operator was told %q", told)
	}
	s.onCommit = nil
	if res := record(t, l, "acme", 3, 2); res.Receipts[0].Seq != 3 {
		t.Errorf("got seq %d", res.Receipts[0].Seq)
	}
	verify(t, l, "acme")
}

// The store says that only a restart will show what came of the commit: then its
// head proves nothing, and nobody is told that nothing was recorded.
func TestCommitOutcomeUnknown(t *testing.T) {
	s, told := newStore(), &bytes.Buffer{}
	l := open(t, s, logTo(told))
	record(t, l, "acme", 0, 3)
	s.onCommit = func(*ledger.Commit) (bool, error) {
		return false, fmt.Errorf("sync: %w: %w", ledger.ErrOutcomeUnknown, errDisk)
	}
	_, err := l.Append(t.Context(), newBatch(t, "acme", 3, 2))
	if e := fault(t, err, audit.CodeUnavailable); !strings.Contains(e.Message, "not known whether") {
		t.Errorf("%q does not say that it is not known", e.Message)
	}
	if !strings.Contains(told.String(), "restart the server") || !strings.Contains(told.String(), errDisk.Error()) {
		t.Errorf("operator was told %q", told)
	}
}

func TestCommitFailsButLanded(t *testing.T) {
	s, told := newStore(), &bytes.Buffer{}
	l := open(t, s, logTo(told))
	record(t, l, "acme", 0, 3)
	s.onCommit = func(*ledger.Commit) (bool, error) { return true, errDisk }
	res := record(t, l, "acme", 3, 2)
	if res.Receipts[1].Seq != 4 || res.Through.Seq != 4 {
		t.Errorf("got %+v", res)
	}
	if !strings.Contains(told.String(), "failed but landed") {
		t.Errorf("operator was told %q", told)
	}
	s.onCommit = nil
	record(t, l, "acme", 5, 1)
	if n := len(verify(t, l, "acme")); n != 6 {
		t.Errorf("%d entries", n)
	}
}

// The commit landed, and another server went on from it before this one looked.
func TestCommitLandedUnderAnother(t *testing.T) {
	s := newStore()
	l, other := open(t, s), open(t, newStore())
	_ = other
	record(t, l, "acme", 0, 300)
	second := open(t, s)
	s.onCommit = func(c *ledger.Commit) (bool, error) {
		s.onCommit = nil
		if err := s.Memory.Commit(context.Background(), c); err != nil {
			t.Error(err)
		}
		record(t, second, "acme", 100, 7)
		return false, errDisk
	}
	if res := record(t, l, "acme", 300, 2); res.Receipts[0].Seq != 300 {
		t.Errorf("got %+v", res)
	}
	record(t, l, "acme", 302, 1)
	if n := len(verify(t, l, "acme")); n != 310 {
		t.Errorf("%d entries", n)
	}
}

// The commit did not land, and another server took its place before this one
// looked.
func TestCommitLostToAnother(t *testing.T) {
	for _, n := range []int{2, 5} {
		s := newStore()
		l, second := open(t, s), open(t, s)
		record(t, l, "acme", 0, 3)
		s.onCommit = func(*ledger.Commit) (bool, error) {
			s.onCommit = nil
			record(t, second, "acme", 100, n)
			return false, errDisk
		}
		_, err := l.Append(t.Context(), newBatch(t, "acme", 3, 2))
		wantCode(t, err, audit.CodeUnavailable)
		record(t, l, "acme", 5, 1)
		if got := len(verify(t, l, "acme")); got != 4+n {
			t.Errorf("%d entries, want %d", got, 4+n)
		}
	}
}

func TestOutcomeCannotBeRead(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("landed=%t", landed), func(t *testing.T) {
			s, told := newStore(), &bytes.Buffer{}
			l := open(t, s, logTo(told))
			mustSend(t, l, nil, newEvent(0, "k0"))
			s.onCommit = func(*ledger.Commit) (bool, error) {
				s.onHead = func() error { return errDisk }
				return landed, errDisk
			}
			_, err := send(t, l, nil, newEvent(1, "k1"))
			if e := fault(t, err, audit.CodeUnavailable); !strings.Contains(e.Message, "not known") {
				t.Errorf("%q does not say that the outcome is open", e.Message)
			}
			s.onCommit = nil
			_, err = send(t, l, nil, newEvent(1, "k1"))
			wantCode(t, err, audit.CodeUnavailable)
			s.onHead = nil
			// The head can be read again: the log goes on, and the key tells.
			if o := mustSend(t, l, nil, newEvent(1, "k1"))[0]; o.Duplicate != landed || o.Seq != 1 {
				t.Errorf("got %+v", o)
			}
			if n := len(verify(t, l, "acme")); n != 2 {
				t.Errorf("%d entries", n)
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 3)
	s.onCommit = func(*ledger.Commit) (bool, error) { return false, fmt.Errorf("commit: %w", ledger.ErrDiskFull) }
	_, err := l.Append(t.Context(), newBatch(t, "acme", 3, 2))
	wantCode(t, err, audit.CodeDiskFull)
	if _, err := l.EntryAt(t.Context(), "acme", 2); err != nil {
		t.Error(err)
	}
	s.onCommit = nil
	record(t, l, "acme", 3, 2)
	verify(t, l, "acme")
}

func TestFirstTouchFails(t *testing.T) {
	s := newStore()
	l := open(t, s)
	s.onHead = func() error { return errDisk }
	_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeUnavailable)
	if _, err := l.Through(t.Context(), "acme"); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	s.onHead = nil
	record(t, l, "acme", 0, 1)
	verify(t, l, "acme")
}

func TestHeadThatCannotBe(t *testing.T) {
	s := newStore()
	record(t, open(t, s), "acme", 0, 3)
	s.Damage("acme", func(log *rawLog) { log.Head.Frontier = log.Head.Frontier[:1] })
	l := open(t, s)
	_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeUnavailable)
	if _, err := l.Head(t.Context(), "acme"); err == nil {
		t.Error("an impossible head was accepted")
	}
}

func TestKeysOfTheBlockAreGone(t *testing.T) {
	s := newStore()
	record(t, open(t, s), "acme", 0, 3)
	s.Damage("acme", func(log *rawLog) { clear(log.Keys) })
	_, err := open(t, s).Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeUnavailable)
}

// Writers that send again whatever was not acknowledged, a store that fails in
// every way at random: what was acknowledged is there once, nothing is there that
// was not sent.
func TestRandomFaults(t *testing.T) {
	const writers, events = 6, 60
	s := newStore()
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	roll := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n) == 0
	}
	s.onCommit = func(*ledger.Commit) (bool, error) {
		switch {
		case roll(5):
			return true, errDisk
		case roll(5):
			return false, errDisk
		case roll(8):
			return false, ledger.ErrDiskFull
		case roll(8):
			return false, ledger.ErrHeadMoved
		}
		return false, nil
	}
	s.onHead = func() error {
		if roll(4) {
			return errDisk
		}
		return nil
	}
	s.onReceipt = func() error {
		if roll(10) {
			return errDisk
		}
		return nil
	}
	l := open(t, s)
	seqs := make([]uint64, writers*events)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range events {
				n := w*events + i
				for {
					b := ledger.NewBatch("acme")
					add(t, b, newEvent(n, fmt.Sprint("key", n)))
					res, err := l.Append(context.Background(), b)
					if err == nil {
						seqs[n] = res.Receipts[0].Seq
						break
					}
				}
			}
		})
	}
	wg.Wait()
	s.onCommit, s.onHead, s.onReceipt = nil, nil, nil
	entries := verify(t, l, "acme")
	if len(entries) != len(seqs) {
		t.Fatalf("%d entries, %d sent", len(entries), len(seqs))
	}
	for n, seq := range seqs {
		if got, want := string(entries[seq].Targets[0].ID), fmt.Sprint("k", n); got != want {
			t.Errorf("event %s was acknowledged at %d, where there is %s", want, seq, got)
		}
	}
}
