package ledger_test

import (
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// send appends one batch of these events.
func send(t testing.TB, l *ledger.Ledger, change func(*ledger.Batch), events ...*event.Event) (ledger.Result, error) {
	t.Helper()
	b := ledger.NewBatch("acme")
	add(t, b, events...)
	if change != nil {
		change(b)
	}
	return l.Append(t.Context(), b)
}

func mustSend(t testing.TB, l *ledger.Ledger, change func(*ledger.Batch), events ...*event.Event) []ledger.Outcome {
	t.Helper()
	res, err := send(t, l, change, events...)
	if err != nil {
		t.Fatal(err)
	}
	return res.Receipts
}

func partial(b *ledger.Batch) { b.Partial = true }

func requestKey(key string) func(*ledger.Batch) {
	return func(b *ledger.Batch) { b.RequestKey = key }
}

func TestSameKeySameEvent(t *testing.T) {
	s := newStore()
	l := open(t, s)
	record(t, l, "acme", 0, 5)
	first := mustSend(t, l, nil, newEvent(1, "k"))[0]
	again := mustSend(t, l, nil, newEvent(1, "k"))[0]
	inOneBatch := mustSend(t, l, nil, newEvent(2, "j"), newEvent(1, "k"), newEvent(2, "j"))
	afterRestart := mustSend(t, open(t, s), nil, newEvent(1, "k"))[0]
	for _, o := range []ledger.Outcome{again, inOneBatch[1], afterRestart} {
		if !o.Duplicate || o.Seq != first.Seq || o.ID != first.ID || o.ReceivedAt != first.ReceivedAt {
			t.Errorf("got %+v, want the receipt of %+v", o, first)
		}
	}
	if a, b := inOneBatch[0], inOneBatch[2]; a.Duplicate || !b.Duplicate || a.Seq != b.Seq || a.ID != b.ID {
		t.Errorf("got %+v and %+v", a, b)
	}
	if n := len(verify(t, l, "acme")); n != 7 {
		t.Errorf("%d entries", n)
	}
	// The same key of another organization is another key.
	b := ledger.NewBatch("globex")
	add(t, b, newEvent(9, "k"))
	if res, err := l.Append(t.Context(), b); err != nil || res.Receipts[0].Duplicate {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestReceiptFromAnEarlierBlock(t *testing.T) {
	l := open(t, newStore())
	record(t, l, "acme", 0, ledger.BlockSize-1)
	first := mustSend(t, l, nil, newEvent(1, "a"), newEvent(2, "b"), newEvent(3, "c"))
	record(t, l, "acme", 0, 10)
	again := mustSend(t, l, nil, newEvent(3, "c"), newEvent(1, "a"), newEvent(2, "b"))
	for i, o := range again {
		if want := first[(i+2)%3]; o.ID != want.ID || o.Seq != want.Seq || !o.Duplicate {
			t.Errorf("got %+v, want %+v", o, want)
		}
	}
	verify(t, l, "acme")
}

func TestSameKeyOtherEvent(t *testing.T) {
	l := open(t, newStore())
	mustSend(t, l, nil, newEvent(1, "k"))
	other := newEvent(1, "k")
	other.Location = []byte("198.51.100.1") // in the details only

	_, err := send(t, l, nil, newEvent(2, ""), other, newEvent(3, ""))
	if e := fault(t, err, audit.CodeIdempotencyConflict); e.Line != 2 || e.Field != "/idempotency_key" {
		t.Errorf("got %+v", e)
	}
	_, err = send(t, l, nil, newEvent(4, "x"), newEvent(5, "x"))
	wantCode(t, err, audit.CodeIdempotencyConflict)
	if n := len(verify(t, l, "acme")); n != 1 {
		t.Fatalf("%d entries: a refused batch was recorded in part", n)
	}
	// The keys of a refused batch are free.
	if o := mustSend(t, l, nil, newEvent(4, "x"))[0]; o.Duplicate {
		t.Errorf("got %+v", o)
	}

	got := mustSend(t, l, partial, newEvent(6, ""), other, newEvent(7, "y"), newEvent(8, "y"))
	for i, want := range []audit.Code{"", audit.CodeIdempotencyConflict, "", audit.CodeIdempotencyConflict} {
		switch {
		case want == "" && (got[i].Err != nil || got[i].Seq < 2):
			t.Errorf("event %d: %+v", i, got[i])
		case want != "" && (got[i].Err == nil || got[i].Err.Code != want || got[i].Err.Line != i+1):
			t.Errorf("event %d: %+v", i, got[i])
		}
	}
	if n := len(verify(t, l, "acme")); n != 4 {
		t.Errorf("%d entries", n)
	}
}

func TestRequestKey(t *testing.T) {
	s := newStore()
	l := open(t, s)
	req := requestKey("r1")
	first := mustSend(t, l, req, newEvent(1, ""), newEvent(1, ""), newEvent(2, "own"))
	again := mustSend(t, open(t, s), req, newEvent(1, ""), newEvent(1, ""), newEvent(2, "own"))
	for i := range first {
		if first[i].Seq != uint64(i) || first[i].Duplicate {
			t.Errorf("first %d: %+v", i, first[i])
		}
		if again[i].Seq != uint64(i) || !again[i].Duplicate || again[i].ID != first[i].ID {
			t.Errorf("again %d: %+v", i, again[i])
		}
	}
	for name, events := range map[string][]*event.Event{
		"fewer": {newEvent(1, ""), newEvent(1, "")},
		"more":  {newEvent(1, ""), newEvent(1, ""), newEvent(2, "own"), newEvent(3, "")},
		"other": {newEvent(1, ""), newEvent(1, ""), newEvent(3, "")},
	} {
		_, err := send(t, l, req, events...)
		if e := fault(t, err, audit.CodeIdempotencyConflict); e.Line != 0 || e.Field != "Idempotency-Key" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// An event's own key and a request's are different things, and an event
	// sent before under its own key is not recorded again.
	if o := mustSend(t, l, nil, newEvent(5, "r1"))[0]; o.Duplicate {
		t.Errorf("%+v", o)
	}
	got := mustSend(t, l, requestKey("r2"), newEvent(2, "own"), newEvent(6, ""))
	if !got[0].Duplicate || got[0].Seq != 2 || got[1].Duplicate {
		t.Errorf("%+v", got)
	}
	if n := len(verify(t, l, "acme")); n != 5 {
		t.Errorf("%d entries", n)
	}
}

// A request's key stands for the whole request, also where events may be refused
// one by one.
func TestRequestKeyOfAPartialBatch(t *testing.T) {
	l := open(t, newStore())
	both := func(b *ledger.Batch) { b.RequestKey, b.Partial = "r1", true }
	first := mustSend(t, l, both, newEvent(1, ""))
	for name, events := range map[string][]*event.Event{
		"repaired": {newEvent(1, ""), newEvent(2, "")},
		"other":    {newEvent(3, "")},
	} {
		_, err := send(t, l, both, events...)
		if e := fault(t, err, audit.CodeIdempotencyConflict); e.Line != 0 || e.Field != "Idempotency-Key" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if o := mustSend(t, l, both, newEvent(1, ""))[0]; !o.Duplicate || o.ID != first[0].ID {
		t.Errorf("sent again: %+v", o)
	}
	if n := len(verify(t, l, "acme")); n != 1 {
		t.Errorf("%d entries", n)
	}
	// The keys of events are looked at one by one, unless the request's is
	// found to be another's on the way: then what came before is free again.
	mustSend(t, l, nil, newEvent(4, "own"))
	both = func(b *ledger.Batch) { b.RequestKey, b.Partial = "r2", true }
	got := mustSend(t, l, both, newEvent(7, "own"), newEvent(6, ""))
	if got[0].Err == nil || got[0].Err.Line != 1 || got[1].Err != nil {
		t.Errorf("%+v", got)
	}
	_, err := send(t, l, both, newEvent(8, "fresh"), newEvent(6, ""))
	wantCode(t, err, audit.CodeIdempotencyConflict)
	if o := mustSend(t, l, nil, newEvent(9, "fresh"))[0]; o.Err != nil || o.Duplicate {
		t.Errorf("%+v", o)
	}
	if n := len(verify(t, l, "acme")); n != 4 {
		t.Errorf("%d entries", n)
	}
}

func TestKeysAreForgottenAfterTheWindow(t *testing.T) {
	c := &clock{ms: 1_772_000_000_000}
	l := open(t, newStore(), at(c), func(cfg *ledger.Config) { cfg.IdempotencyWindow = time.Hour })
	mustSend(t, l, nil, newEvent(1, "k"))
	c.ms += time.Hour.Milliseconds()
	if o := mustSend(t, l, nil, newEvent(1, "k"))[0]; !o.Duplicate {
		t.Errorf("forgotten in the window: %+v", o)
	}
	c.ms++
	if o := mustSend(t, l, nil, newEvent(2, "k"))[0]; o.Duplicate || o.Seq != 1 {
		t.Errorf("remembered after the window: %+v", o)
	}
	if o := mustSend(t, l, nil, newEvent(2, "k"))[0]; !o.Duplicate || o.Seq != 1 {
		t.Errorf("the key's new receipt was not kept: %+v", o)
	}
	verify(t, l, "acme")
}

// A round in which the store cannot be asked for one batch's keys still records
// the others, and what was recorded earlier is answered although commits fail.
func TestReceiptsWhileTheStoreFails(t *testing.T) {
	s := newStore()
	l := open(t, s)
	first := mustSend(t, l, nil, newEvent(1, "k"))[0]
	s.onReceipt = func() error { return errors.New("bad block") }
	_, err := send(t, l, nil, newEvent(2, "j"))
	wantCode(t, err, audit.CodeUnavailable)
	record(t, l, "acme", 3, 1)
	s.onReceipt = nil

	s.onCommit = func(*ledger.Commit) (bool, error) { return false, ledger.ErrDiskFull }
	if o := mustSend(t, l, nil, newEvent(1, "k"))[0]; o.Seq != first.Seq {
		t.Errorf("%+v", o)
	}
	_, err = send(t, l, nil, newEvent(1, "k"), newEvent(4, ""))
	wantCode(t, err, audit.CodeDiskFull)
	s.onCommit = nil
	if n := len(verify(t, l, "acme")); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// queued stalls a first commit, appends the batches one after the other into the
// pool behind it, lets next decide what happens to the round they make, and
// returns their errors and results.
func queued(t *testing.T, s *faultyStore, l *ledger.Ledger, next func(*ledger.Commit) (bool, error), batches ...*ledger.Batch) ([]ledger.Result, []error) {
	t.Helper()
	entered, goOn := stall(s)
	var wg sync.WaitGroup
	wg.Go(func() { record(t, l, "acme", 1000, 1) })
	<-entered
	results, errs := make([]ledger.Result, len(batches)), make([]error, len(batches))
	for i, b := range batches {
		wg.Go(func() { results[i], errs[i] = l.Append(t.Context(), b) })
		synctest.Wait()
	}
	s.onCommit = next
	goOn <- struct{}{}
	wg.Wait()
	s.onCommit = nil
	return results, errs
}

func batchOf(t testing.TB, events ...*event.Event) *ledger.Batch {
	t.Helper()
	b := ledger.NewBatch("acme")
	add(t, b, events...)
	return b
}

// In one round: the keys of a refused batch are free for the next, and a
// conflict or a repetition counts against what the round itself records.
func TestKeysWithinARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s)
		results, errs := queued(t, s, l, nil,
			batchOf(t, newEvent(4, "x"), newEvent(5, "x")),
			batchOf(t, newEvent(5, "x")),
			batchOf(t, newEvent(4, "x")),
			batchOf(t, newEvent(5, "x")),
		)
		wantCode(t, errs[0], audit.CodeIdempotencyConflict)
		wantCode(t, errs[2], audit.CodeIdempotencyConflict)
		if errs[1] != nil || errs[3] != nil {
			t.Fatal(errs)
		}
		if a, b := results[1].Receipts[0], results[3].Receipts[0]; a.Duplicate || !b.Duplicate || a.ID != b.ID || a.Seq != 1 {
			t.Errorf("got %+v and %+v", a, b)
		}
		verify(t, l, "acme")
	})
}

// When a round fails, what it would have recorded is not held against anybody,
// and what was recorded before is answered all the same.
func TestRoundThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		l := open(t, s)
		old := mustSend(t, l, nil, newEvent(1, "old"))[0]
		partly := batchOf(t, newEvent(7, "new"))
		partly.Partial = true
		results, errs := queued(t, s, l, func(*ledger.Commit) (bool, error) { return false, errDisk },
			batchOf(t, newEvent(2, "new")),
			batchOf(t, newEvent(1, "old")),
			batchOf(t, newEvent(2, "new")), // would be a duplicate
			batchOf(t, newEvent(3, "new")), // would be a conflict
			partly,
			batchOf(t, newEvent(9, "old")), // is a conflict
		)
		for i, want := range []audit.Code{audit.CodeUnavailable, "", audit.CodeUnavailable, audit.CodeUnavailable, audit.CodeUnavailable, audit.CodeIdempotencyConflict} {
			if want != "" {
				wantCode(t, errs[i], want)
			}
		}
		if errs[1] != nil || results[1].Receipts[0].ID != old.ID || results[1].Through.Seq != 1 {
			t.Errorf("got %+v, %v", results[1], errs[1])
		}
		if n := len(verify(t, l, "acme")); n != 2 {
			t.Errorf("%d entries", n)
		}
	})
}

// A receipt from another server's commit shows that the head is an old one.
func TestDuplicateOfAnotherServer(t *testing.T) {
	s := newStore()
	a, b := open(t, s), open(t, s)
	record(t, a, "acme", 0, 1)
	record(t, b, "acme", 0, 3)
	first := mustSend(t, b, nil, newEvent(1, "k"))[0]
	res, err := send(t, a, nil, newEvent(1, "k"))
	if err != nil || !res.Receipts[0].Duplicate || res.Receipts[0].ID != first.ID || res.Through.Seq != first.Seq {
		t.Errorf("got %+v, %v, want %+v", res, err, first)
	}
}

// The hashes of keys and contents are kept by stores for as long as the window
// is: another version must find them again.
func TestKeyHashes(t *testing.T) {
	s := newStore()
	var got []ledger.KeyedReceipt
	s.onCommit = func(c *ledger.Commit) (bool, error) {
		got = append(got, c.Receipts...)
		return false, nil
	}
	l := open(t, s)
	ev := newEvent(1, "key")
	mustSend(t, l, requestKey("request"), newEvent(0, ""), ev)

	content := func(ev *event.Event) []byte {
		rec, _ := event.AppendRecord(nil, ev)
		return event.AppendDetails(rec, ev)
	}
	both := sha256.Sum256(append(content(newEvent(0, "")), content(ev)...))
	one := sha256.Sum256(content(ev))
	want := []ledger.KeyedReceipt{
		keyed("\x01acme\x00request\x00\x00\x00\x00\x00", both, 0),
		keyed("\x01acme\x00request\x00\x00\x00\x00\x01", both, 1),
		keyed("\x00acme\x00key", one, 1),
	}
	for i := range got {
		got[i].ReceivedAt = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func keyed(text string, content [32]byte, seq uint64) ledger.KeyedReceipt {
	sum := sha256.Sum256([]byte(text))
	return ledger.KeyedReceipt{
		Key:     ledger.Key(sum[:16]),
		Receipt: ledger.Receipt{Seq: seq, Fingerprint: [8]byte(content[:8])},
	}
}

// Against a model: a map from key to what was sent and where it went.
func TestIdempotencyModel(t *testing.T) {
	type sent struct {
		n   int
		seq uint64
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore()
		l := open(t, s)
		model, next := map[string]sent{}, uint64(0)
		for range rapid.IntRange(1, 15).Draw(rt, "batches") {
			b := ledger.NewBatch("acme")
			b.Partial = rapid.Bool().Draw(rt, "partial")
			trial, at := map[string]sent{}, next
			var want []any // a seq, or an error
			conflicts := false
			for range rapid.IntRange(1, 6).Draw(rt, "events") {
				key := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "key")
				n := rapid.IntRange(0, 1).Draw(rt, "n")
				add(t, b, newEvent(n, key))
				old, ok := trial[key]
				if !ok {
					old, ok = model[key]
				}
				switch {
				case key != "" && ok && old.n == n:
					want = append(want, old.seq)
				case key != "" && ok:
					want = append(want, errors.New("conflict"))
					conflicts = true
				default:
					want = append(want, at)
					if key != "" {
						trial[key] = sent{n, at}
					}
					at++
				}
			}
			res, err := l.Append(t.Context(), b)
			if conflicts && !b.Partial {
				if err == nil {
					rt.Fatal("a conflict was accepted")
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			for i, o := range res.Receipts {
				seq, ok := want[i].(uint64)
				if ok != (o.Err == nil) || ok && seq != o.Seq || ok && o.Duplicate != (seq < next || i > 0 && o.Seq <= maxSeq(res.Receipts[:i])) {
					rt.Fatalf("event %d: got %+v, want %v", i, o, want[i])
				}
			}
			maps.Copy(model, trial)
			next = at
			if rapid.Bool().Draw(rt, "restart") {
				l = open(t, s)
			}
		}
		verify(t, l, "acme")
	})
}

// maxSeq returns the highest seq among outcomes, 0 for none; entries of one batch
// get rising ones.
func maxSeq(outcomes []ledger.Outcome) uint64 {
	var m uint64
	for _, o := range outcomes {
		if o.Err == nil {
			m = max(m, o.Seq)
		}
	}
	return m
}
