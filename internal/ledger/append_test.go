package ledger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

func TestAppendOne(t *testing.T) {
	l := open(t, newStore())
	res := record(t, l, "acme", 0, 1)
	if len(res.Receipts) != 1 || res.Receipts[0].Seq != 0 || res.Receipts[0].Duplicate || res.Through.Seq != 0 {
		t.Fatalf("got %+v", res)
	}
	entries := verify(t, l, "acme")
	if entries[0].ID != res.Receipts[0].ID || entries[0].ReceivedAt != res.Receipts[0].ReceivedAt ||
		entries[0].ReceivedAt != res.Through.ReceivedAt.UnixMilli() {
		t.Fatalf("receipt %+v, through %v, entry %+v", res.Receipts[0], res.Through, entries[0])
	}
}

func TestAppendNothing(t *testing.T) {
	l := open(t, newStore())
	for want := range uint64(2) {
		res, err := l.Append(t.Context(), ledger.NewBatch("acme"))
		if err != nil || len(res.Receipts) != 0 || res.Through.Seq != 0 || res.Through.ReceivedAt.IsZero() != (want == 0) {
			t.Fatalf("got %+v, %v", res, err)
		}
		record(t, l, "acme", 0, 1)
	}
}

func TestBatchIsAppendedOnce(t *testing.T) {
	l := open(t, newStore())
	b := newBatch(t, "acme", 0, 3)
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), b); err == nil {
		t.Fatal("a batch was recorded twice")
	}
	b.Reset("globex")
	add(t, b, newEvent(1, ""))
	if res, err := l.Append(t.Context(), b); err != nil || len(res.Receipts) != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
	verify(t, l, "acme")
	verify(t, l, "globex")
}

// What is read back is what was sent, however nasty.
func TestEventsComeBackAsSent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := open(t, newStore())
		b := ledger.NewBatch("acme")
		var sent []audit.Event
		for range rapid.IntRange(1, 8).Draw(rt, "events") {
			ev, err := event.FromAudit(eventtest.Events().Draw(rt, "event"))
			if err != nil {
				rt.Fatal(err)
			}
			add(t, b, ev)
			sent = append(sent, ev.Audit())
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			rt.Fatal(err)
		}
		for i, e := range verify(t, l, "acme") {
			got := e.Event.Audit()
			if diff := cmp.Diff(sent[i], got); diff != "" {
				rt.Fatalf("entry %d (-sent +read):\n%s", i, diff)
			}
		}
	})
}

// Whatever the batches, the root of every size is the one that tlog computes.
func TestRootOfEverySize(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := open(t, newStore())
		var tree treeOf
		limit := rapid.SampledFrom([]int{10, 300, 1200, 3000}).Draw(rt, "entries")
		for seq := 0; seq < limit; {
			n := rapid.SampledFrom([]int{1, 2, 3, 7, 100, 255, 256, 257, 700}).Draw(rt, "batch")
			for _, o := range record(t, l, "acme", seq, n).Receipts {
				if o.Seq != uint64(seq) {
					rt.Fatalf("got seq %d, want %d", o.Seq, seq)
				}
				seq++
			}
			for e, err := range l.Read(t.Context(), "acme", uint64(tree.size), uint64(seq)) {
				if err != nil {
					rt.Fatal(err)
				}
				tree.add(t, e.AppendRecord(nil))
			}
			head, err := l.Head(t.Context(), "acme")
			if err != nil {
				rt.Fatal(err)
			}
			if head.Root() != tree.root(t) {
				rt.Fatalf("root of %d entries differs", seq)
			}
		}
		if limit <= 300 {
			verify(t, l, "acme")
		}
	})
}

func TestBlockBoundary(t *testing.T) {
	s := newStore()
	l := open(t, s)
	seq := 0
	for _, n := range []int{ledger.BlockSize - 100, 300, ledger.BlockSize - 200, 1, ledger.BlockSize} {
		record(t, l, "acme", seq, n)
		seq += n
	}
	verify(t, l, "acme")
	seen := map[event.Keys]bool{}
	for block := range uint64(4) {
		seen[s.keys(t, "acme", block)] = true
	}
	if len(seen) != 4 {
		t.Fatal("two blocks have the same keys")
	}
}

func TestSaltAndIDComeFromTheBlockKeys(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 3)
	for _, e := range verify(t, l, "acme") {
		details := event.AppendDetails(nil, &e.Event)
		digest := event.DetailsDigest(&e.Salt, details)
		if digest != sha256.Sum256(append(e.Salt[:], details...)) {
			t.Fatal("the ledger hashes details in another way than package event")
		}
	}
}

func TestRestart(t *testing.T) {
	s := newStore()
	seq := 0
	for i := range 6 {
		l := open(t, s)
		if i%2 == 0 {
			if _, err := l.Checkpoint(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
		}
		record(t, l, "acme", seq, 97)
		seq += 97
		if i == 3 { // crash: another process takes over while this one lives
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(verify(t, open(t, s), "acme")); n != seq {
		t.Fatalf("%d entries, want %d", n, seq)
	}
}

func TestTwoWritersDoNotFork(t *testing.T) {
	s := newStore()
	a, b := open(t, s), open(t, s)
	for i := range 20 {
		record(t, a, "acme", 3*i, 1)
		record(t, b, "acme", 3*i+1, 2)
	}
	verify(t, a, "acme")
	verify(t, b, "acme")
}

func TestWriterThatNeverWins(t *testing.T) {
	s := newStore()
	l := open(t, s)
	s.onCommit = func(*ledger.Commit) (bool, error) { return false, ledger.ErrHeadMoved }
	_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
	wantCode(t, err, audit.CodeUnavailable)
	s.onCommit = nil
	record(t, l, "acme", 0, 1)
	verify(t, l, "acme")
}

func TestClockStepsBack(t *testing.T) {
	c := &clock{ms: 1_772_000_000_000}
	s := newStore()
	l := open(t, s, at(c))
	var got []int64
	for _, ms := range []int64{0, 5, -3_600_000, 4, 9, -7} {
		c.ms = 1_772_000_000_000 + ms
		got = append(got, record(t, l, "acme", 0, 2).Through.ReceivedAt.UnixMilli()-1_772_000_000_000)
	}
	if want := []int64{0, 5, 5, 5, 9, 9}; !slices.Equal(got, want) {
		t.Fatalf("received at %v, want %v", got, want)
	}
	// Also across a restart, and before 1970.
	c.ms = -5
	l = open(t, s, at(c))
	if res := record(t, l, "acme", 0, 1); res.Receipts[0].ReceivedAt != 1_772_000_000_009 {
		t.Fatalf("received at %d", res.Receipts[0].ReceivedAt)
	}
	if res := record(t, l, "globex", 0, 1); res.Receipts[0].ReceivedAt != 0 {
		t.Fatalf("received at %d", res.Receipts[0].ReceivedAt)
	}
	verify(t, l, "acme")
	verify(t, l, "globex")
}

func TestRecordTooLarge(t *testing.T) {
	b := ledger.NewBatch("acme")
	add(t, b, newEvent(0, ""))
	before := b.Bytes()
	long := bytes.Repeat([]byte("x"), audit.MaxStringBytes)

	many := newEvent(1, "")
	for range 5 {
		many.Targets = append(many.Targets, event.Party{Type: []byte("t"), ID: long})
	}
	if e := fault(t, b.Add(many), audit.CodeTooLarge); e.Field != "/targets" {
		t.Errorf("blames %q", e.Field)
	}
	escaped := newEvent(1, "")
	escaped.Actor.ID = bytes.Repeat([]byte{1}, audit.MaxStringBytes) // six bytes each as JSON
	if e := fault(t, b.Add(escaped), audit.CodeTooLarge); e.Field != "/actor" {
		t.Errorf("blames %q", e.Field)
	}
	if b.Len() != 1 || b.Bytes() != before {
		t.Fatalf("refused events left something behind: %d events, %d bytes", b.Len(), b.Bytes())
	}
	// The largest record that fits goes all the way to the bundle.
	largest := newEvent(1, "")
	for range 3 {
		largest.Targets = append(largest.Targets, event.Party{Type: []byte("t"), ID: long})
	}
	rec, _ := event.AppendRecord(nil, largest)
	largest.Targets = append(largest.Targets, event.Party{Type: []byte("t"), ID: long[:audit.MaxRecordBytes-len(rec)-len(`,{"id":"","type":"t"}`)]})
	add(t, b, largest)
	l := open(t, newStore())
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	verify(t, l, "acme")
	bundle, err := l.Bundle(t.Context(), "acme", 0, 2)
	if err != nil || !bytes.Contains(bundle, []byte{0xff, 0xff, '{'}) {
		t.Fatalf("no record of 65535 bytes in a bundle of %d, %v", len(bundle), err)
	}
}

// Many writers, many organizations, random batches, half of the events sent
// again: every log is contiguous, every key is recorded once, and whoever sent it
// was told the same place.
func TestConcurrentAppends(t *testing.T) {
	const writers, orgs, batches = 8, 5, 40
	s := newStore()
	l := open(t, s, func(c *ledger.Config) { c.Limits = ledger.Limits{CommitEvents: 50, Organizations: 2} })
	var mu sync.Mutex
	places := map[string]uint64{} // by organization and key
	acknowledged := map[string]int{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			b := ledger.NewBatch("")
			for range batches {
				org := fmt.Sprint("org", rng.IntN(orgs))
				b.Reset(org)
				var keys []string
				for range 1 + rng.IntN(30) {
					n := rng.IntN(400) // all writers draw from the same keys
					key := ""
					if n%4 != 0 {
						key = fmt.Sprint("key", n)
					}
					keys = append(keys, key)
					add(t, b, newEvent(n, key))
				}
				res, err := l.Append(context.Background(), b)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, o := range res.Receipts {
					if o.Seq > res.Through.Seq {
						t.Errorf("entry %d is after %d", o.Seq, res.Through.Seq)
					}
					if !o.Duplicate {
						acknowledged[org]++
					}
					if keys[i] == "" {
						continue
					}
					at := org + "/" + keys[i]
					if seq, ok := places[at]; ok && seq != o.Seq {
						t.Errorf("%s is at %d and at %d", at, seq, o.Seq)
					}
					places[at] = o.Seq
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range orgs {
		org := fmt.Sprint("org", i)
		entries := verify(t, l, org)
		if len(entries) != acknowledged[org] {
			t.Errorf("%s: %d entries, %d acknowledged", org, len(entries), acknowledged[org])
		}
		for at, seq := range places {
			if key, ok := strings.CutPrefix(at, org+"/key"); ok && string(entries[seq].Targets[0].ID) != "k"+key {
				t.Errorf("%s is at %d, where there is %s", at, seq, entries[seq].Targets[0].ID)
			}
		}
	}
	if st := l.Stats(); st.Waiting != 0 || st.Organizations > 2 {
		t.Errorf("after all is done: %+v", st)
	}
}

// stall makes every commit say how many events it has, and wait for a word.
func stall(s *faultyStore) (entered <-chan int, goOn chan<- struct{}) {
	in, out := make(chan int), make(chan struct{})
	s.onCommit = func(c *ledger.Commit) (bool, error) {
		in <- len(c.Rows)
		<-out
		return false, nil
	}
	return in, out
}

func TestPoolIsTakenWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s)
		entered, goOn := stall(s)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() { record(t, l, "acme", i, 2) })
			if i == 0 {
				if n := <-entered; n != 2 {
					t.Errorf("first commit has %d events", n)
				}
			}
		}
		synctest.Wait()
		goOn <- struct{}{}
		if n := <-entered; n != 10 {
			t.Errorf("second commit has %d events, want all 10 that waited", n)
		}
		goOn <- struct{}{}
		wg.Wait()
		verify(t, l, "acme")
	})
}

func TestPoolBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s, func(c *ledger.Config) {
			c.Limits = ledger.Limits{PoolEvents: 10, CommitEvents: 4, TotalBytes: 100_000}
		})
		entered, goOn := stall(s)
		var wg sync.WaitGroup
		appendAsync := func(org string, n int) { wg.Go(func() { record(t, l, org, 0, n) }) }
		appendAsync("acme", 20) // more than the pool may hold, but the pool is empty
		<-entered
		appendAsync("acme", 6)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { _, _ = l.Append(ctx, newBatch(t, "acme", 0, 4)) })
		synctest.Wait()
		cancel() // what is taken back makes room
		synctest.Wait()
		appendAsync("acme", 4)
		synctest.Wait()
		_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
		wantCode(t, err, audit.CodeOverloaded)
		// Another organization is not hindered, until all of them hold too much.
		appendAsync("globex", 3)
		<-entered
		_, err = l.Append(t.Context(), newBatch(t, "initech", 0, 400))
		wantCode(t, err, audit.CodeOverloaded)
		s.onCommit = nil
		goOn <- struct{}{}
		goOn <- struct{}{}
		wg.Wait()
		if n := len(verify(t, l, "acme")); n != 30 {
			t.Errorf("%d entries", n)
		}
		verify(t, l, "globex")
		record(t, l, "initech", 0, 400)
		if st := l.Stats(); st.Waiting != 0 {
			t.Errorf("%d bytes still wait", st.Waiting)
		}
	})
}

// The bounds in bytes, of what waits and of a commit.
func TestBytesBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newBatch(t, "acme", 0, 1).Bytes()
		s := newStore()
		var commits []int
		l := open(t, s, func(c *ledger.Config) {
			c.Limits = ledger.Limits{PoolBytes: 5 * one, CommitBytes: 3 * one}
			c.OnCommit = func(st ledger.CommitStats) { commits = append(commits, st.Events) }
		})
		entered, goOn := stall(s)
		var wg sync.WaitGroup
		wg.Go(func() { record(t, l, "acme", 0, 1) })
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { _, _ = l.Append(ctx, newBatch(t, "acme", 0, 5)) })
		synctest.Wait()
		_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
		wantCode(t, err, audit.CodeOverloaded)
		cancel() // what is taken back makes room
		synctest.Wait()
		for range 5 {
			wg.Go(func() { record(t, l, "acme", 0, 1) })
			synctest.Wait()
		}
		s.onCommit = nil
		goOn <- struct{}{}
		wg.Wait()
		if want := []int{1, 3, 2}; !slices.Equal(commits, want) {
			t.Errorf("commits of %v events, want %v", commits, want)
		}
		verify(t, l, "acme")
	})
}

func TestCommitBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var commits []int
		l := open(t, s, func(c *ledger.Config) {
			c.Limits.CommitEvents = 10
			c.OnCommit = func(st ledger.CommitStats) { commits = append(commits, st.Events) }
		})
		entered, goOn := stall(s)
		var wg sync.WaitGroup
		for i, n := range []int{1, 4, 5, 3, 25, 2} {
			wg.Go(func() { record(t, l, "acme", 0, n) })
			if i == 0 {
				<-entered
			}
			synctest.Wait() // the order in the pool is that of this list
		}
		s.onCommit = nil
		goOn <- struct{}{}
		wg.Wait()
		if want := []int{1, 9, 3, 25, 2}; !slices.Equal(commits, want) {
			t.Errorf("commits of %v events, want %v", commits, want)
		}
		verify(t, l, "acme")
	})
}

func TestContextEndsWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s)
		entered, goOn := stall(s)
		ctx, cancel := context.WithCancel(t.Context())
		inCommit, inPool := newBatch(t, "acme", 0, 1), newBatch(t, "acme", 1, 1)
		errs := make(chan error, 2)
		go func() { _, err := l.Append(ctx, inCommit); errs <- err }()
		<-entered
		go func() { _, err := l.Append(ctx, inPool); errs <- err }()
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		// Both batches may be used again at once, also the one whose events
		// are being committed.
		for i, b := range []*ledger.Batch{inCommit, inPool} {
			b.Reset("globex")
			add(t, b, newEvent(10+i, ""))
		}
		s.onCommit = nil
		goOn <- struct{}{}
		synctest.Wait()
		for _, b := range []*ledger.Batch{inCommit, inPool} {
			if _, err := l.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if entries := verify(t, l, "acme"); len(entries) != 1 || string(entries[0].Targets[0].ID) != "k0" {
			t.Errorf("%d entries: what was taken back was recorded, or what was not was lost", len(entries))
		}
		if n := len(verify(t, l, "globex")); n != 2 {
			t.Errorf("%d entries", n)
		}
		if st := l.Stats(); st.Waiting != 0 {
			t.Errorf("%d bytes still wait", st.Waiting)
		}
	})
}

func TestContextEndedBefore(t *testing.T) {
	l := open(t, newStore())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, newBatch(t, "acme", 0, 1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if n := len(verify(t, l, "acme")); n != 0 {
		t.Fatalf("%d entries", n)
	}
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s)
		entered, goOn := stall(s)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { record(t, l, "acme", i, 5) })
			if i == 0 {
				<-entered
			}
		}
		waited := make(chan error, 1)
		go func() { waited <- l.Wait(t.Context(), "globex", 0) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- l.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("closed with a commit under way: %v", err)
		default:
		}
		_, err := l.Append(t.Context(), newBatch(t, "acme", 0, 1))
		wantCode(t, err, audit.CodeUnavailable)
		wantCode(t, <-waited, audit.CodeUnavailable)
		s.onCommit = nil
		goOn <- struct{}{}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		wg.Wait()
		if n := len(verify(t, open(t, s), "acme")); n != 15 {
			t.Errorf("%d entries", n)
		}
	})
}

// An organization that does nothing costs no goroutine: synctest fails a test in
// which one is left.
func TestNoGoroutineWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newStore())
		for i := range 50 {
			record(t, l, fmt.Sprint("org", i), 0, 1)
		}
		if st := l.Stats(); st.Organizations != 50 {
			t.Errorf("%+v", st)
		}
	})
}

func TestIdleStateIsForgotten(t *testing.T) { synctest.Test(t, testIdleStateIsForgotten) }

func testIdleStateIsForgotten(t *testing.T) {
	// Who records is answered before the owner of the log has put its state away.
	inMemory := func(l *ledger.Ledger) int {
		synctest.Wait()
		return l.Stats().Organizations
	}
	s := newStore()
	l := open(t, s, func(c *ledger.Config) { c.Limits.Organizations = 3 })
	for i := range 30 {
		record(t, l, fmt.Sprint("org", i%10), i, 1)
	}
	if n := inMemory(l); n != 3 {
		t.Fatalf("%d organizations in memory", n)
	}
	for i := range 5 {
		record(t, l, "org9", i, 1)
	}
	if n := inMemory(l); n != 3 {
		t.Fatalf("%d organizations in memory", n)
	}
	for i := range 9 {
		if n := len(verify(t, l, fmt.Sprint("org", i))); n != 3 {
			t.Fatalf("org%d has %d entries", i, n)
		}
	}
}

func TestStats(t *testing.T) {
	var got []ledger.CommitStats
	l := open(t, newStore(), func(c *ledger.Config) {
		c.OnCommit = func(st ledger.CommitStats) { got = append(got, st) }
	})
	b := ledger.NewBatch("acme")
	add(t, b, newEvent(0, "a"), newEvent(1, ""), newEvent(0, "a"))
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Batches != 1 || got[0].Events != 2 || got[0].Duplicates != 1 || got[0].Bytes == 0 || got[0].Err != nil {
		t.Fatalf("got %+v", got)
	}
}

// The path of an event allocates nothing for each of them. The bound leaves room
// for what a batch allocates, and for the race detector, under which a sync.Pool
// drops things at random.
func TestNoAllocationPerEvent(t *testing.T) {
	const events = 1000
	s := &headStore{Memory: storetest.NewMemory()}
	l, err := ledger.Open(t.Context(), ledger.Config{Store: s, KV: s, Signer: testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ev, b := benchEvent(""), ledger.NewBatch("acme")
	allocs := testing.AllocsPerRun(20, func() {
		b.Reset("acme")
		for range events {
			add(t, b, ev)
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= events {
		t.Errorf("%v allocations for %d events", allocs, events)
	}
}
