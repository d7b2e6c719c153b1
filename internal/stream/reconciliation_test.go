package stream

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// slowShelf lists one object a minute, as often as there are, and then fails or
// ends.
type slowShelf struct {
	*script
	objects int
	fault   error
}

func (s slowShelf) List(ctx context.Context, _, _ string) iter.Seq2[sink.Held, error] {
	return func(yield func(sink.Held, error) bool) {
		for i := range uint64(s.objects) {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				yield(sink.Held{}, ctx.Err())
				return
			}
			if !yield(sink.Held{First: i, Last: i}, nil) {
				return
			}
		}
		if s.fault != nil {
			yield(sink.Held{}, s.fault)
		}
	}
}

// slowly runs a test with a stream of ten delivered entries that lie on a slow
// shelf.
func slowly(t *testing.T, fault error, run func(t *testing.T, s *Streams, w *world, st *Stream, cfg Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		kind := sc.kind()
		kind.Open = func(sink.Values, sink.Env) (sink.Sink, error) { return slowShelf{sc, 10, fault}, nil }
		cfg := config(t, storetest.NewMemory(), w, kind)
		s := open(t, cfg)
		w.add("org_1", 10)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		run(t, s, w, st, cfg)
		closed(t, s)
	})
}

func begin(t *testing.T, s *Streams, st *Stream) Reconciliation {
	t.Helper()
	r, err := s.Reconcile(t.Context(), st.Organization, st.ID, ReconcileSpec{By: Key("ada")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReconciliationRuns holds that one shows how far it is, is the only one of
// its stream, leaves an entry, and that the newest are kept.
func TestReconciliationRuns(t *testing.T) {
	slowly(t, nil, func(t *testing.T, s *Streams, w *world, st *Stream, _ Config) {
		r := begin(t, s, st)
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if got := reconciliation(t, s, st, r.ID); got.State != ReconciliationRunning || got.Objects != 2 || got.Next != 0 || got.Found != nil {
			t.Errorf("under way: %+v", got)
		}
		if _, err := s.Reconcile(t.Context(), "org_1", st.ID, ReconcileSpec{}); !errors.Is(err, &audit.Error{Code: audit.CodeConflict}) {
			t.Errorf("a second one: %v", err)
		}
		time.Sleep(time.Hour)
		got := reconciliation(t, s, st, r.ID)
		if got.State != ReconciliationDone || got.Found.Missing != 0 || got.Found.Objects != 10 || got.Objects != 10 || got.Next != 10 || got.CreatedBy != Key("ada") {
			t.Errorf("done: %+v, %+v", got, got.Found)
		}
		if detail := w.detail(ActionReconciled); detail != "seq 0 to 9: all 10 events delivered, 0 missing, 0 duplicate objects" {
			t.Errorf("told %q", detail)
		}
		if err := s.CancelReconciliation(t.Context(), "org_1", st.ID, r.ID); err != nil || reconciliation(t, s, st, r.ID).State != ReconciliationDone {
			t.Errorf("one that has ended is canceled: %v", err)
		}
		var ids []string
		for range keepReconciliations + 3 {
			ids = append(ids, begin(t, s, st).ID)
			time.Sleep(time.Hour)
		}
		all, err := s.Reconciliations(t.Context(), "org_1", st.ID)
		if err != nil || len(all) != keepReconciliations || all[0].ID != ids[len(ids)-1] {
			t.Errorf("%d are kept: %v", len(all), err)
		}
	})
}

// TestReconciliationCanceled holds that one that is canceled stops, tells nothing,
// and makes room for the next.
func TestReconciliationCanceled(t *testing.T) {
	slowly(t, nil, func(t *testing.T, s *Streams, w *world, st *Stream, _ Config) {
		r := begin(t, s, st)
		for _, id := range []string{"reconciliation_x", "reconciliation_" + catalog.NewULID(time.Now())} {
			if err := s.CancelReconciliation(t.Context(), "org_1", st.ID, id); !isNotFound(err) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if err := s.CancelReconciliation(t.Context(), "org_2", st.ID, r.ID); !isNotFound(err) {
			t.Errorf("another organization: %v", err)
		}
		if err := s.CancelReconciliation(t.Context(), "org_1", st.ID, r.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begin(t, s, st)
		if got := reconciliation(t, s, st, r.ID); got.State != ReconciliationCanceled || got.Error != "" || slices.Contains(w.told(), ActionReconciled) {
			t.Errorf("%+v, told %v", got, w.told())
		}
	})
}

// TestReconciliationAcrossRestart holds that one that ran when the server ended,
// in order or killed, has failed and says so, and that another can be started.
func TestReconciliationAcrossRestart(t *testing.T) {
	slowly(t, nil, func(t *testing.T, s *Streams, _ *world, st *Stream, cfg Config) {
		r := begin(t, s, st)
		before, err := cfg.KV.Get(t.Context(), prefixReconciliation+st.ID+"/"+r.ID)
		if err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		now, err := cfg.KV.Get(t.Context(), before.Key)
		if err != nil {
			t.Fatal(err)
		}
		for _, killed := range []bool{false, true} {
			if killed { // what is on disk is what was there while it ran
				if err := cfg.KV.Apply(t.Context(), catalog.Change{Key: now.Key, Value: before.Value, Rev: now.Rev}); err != nil {
					t.Fatal(err)
				}
			}
			again := open(t, cfg)
			if got := reconciliation(t, again, st, r.ID); got.State != ReconciliationFailed || got.Error != reasonStopped || got.EndedAt.IsZero() {
				t.Errorf("killed %v: %+v", killed, got)
			}
			if killed {
				begin(t, again, st)
				time.Sleep(time.Hour)
			}
			closed(t, again)
		}
	})
}

// TestReconciliationOfDeleted holds that nothing of one is left when its stream is
// deleted, and that erasing somebody ends one.
func TestReconciliationOfDeleted(t *testing.T) {
	slowly(t, nil, func(t *testing.T, s *Streams, _ *world, st *Stream, cfg Config) {
		r, err := s.Reconcile(t.Context(), "org_1", st.ID, ReconcileSpec{By: Who{Type: "user", ID: "u1", Name: "Ada"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Forget(t.Context(), "org_1", "u1"); err != nil {
			t.Fatal(err)
		}
		if got := reconciliation(t, s, st, r.ID); got.State != ReconciliationFailed || got.CreatedBy.Name != "" || got.Error != reasonStopped {
			t.Errorf("after erasing: %+v", got)
		}
		begin(t, s, st)
		time.Sleep(time.Minute)
		if err := s.Delete(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		recs, err := cfg.KV.List(t.Context(), "stream", "", 100)
		if synctest.Wait(); err != nil || slices.ContainsFunc(recs, func(r catalog.Record) bool { return !strings.HasPrefix(r.Key, prefixNote) }) {
			t.Errorf("left: %+v, %v", recs, err)
		}
		if _, err := s.Reconcile(t.Context(), "org_1", st.ID, ReconcileSpec{}); !isNotFound(err) {
			t.Errorf("of a deleted stream: %v", err)
		}
	})
}

// TestReconciliationFails holds that a destination that cannot be listed is said in
// its words, without secrets.
func TestReconciliationFails(t *testing.T) {
	fault := sink.Errorf(sink.Invalid, "denied", "The key top-secret-token-1234 may not list. It will be tried again.")
	slowly(t, fault, func(t *testing.T, s *Streams, _ *world, st *Stream, _ Config) {
		r := begin(t, s, st)
		time.Sleep(time.Hour)
		got := reconciliation(t, s, st, r.ID)
		if got.State != ReconciliationFailed || got.Error != "the destination could not be listed: The key [secret] may not list." {
			t.Errorf("%+v", got)
		}
		if err := s.Forget(t.Context(), "org_1", "u1"); err != nil {
			t.Fatal(err)
		}
		if got := reconciliation(t, s, st, r.ID); got.Error != quoteRemoved {
			t.Errorf("after erasing: %+v", got)
		}
	})
}

// TestReconciliationsAreBounded holds that no more than a few work at once, and
// that no more objects are compared than there is memory for.
func TestReconciliationsAreBounded(t *testing.T) {
	slowly(t, nil, func(t *testing.T, s *Streams, w *world, st *Stream, _ Config) {
		streams := []*Stream{st}
		for range maxReconciling {
			streams = append(streams, create(t, s, "org_1", spec(StartBeginning)))
		}
		synctest.Wait()
		var last Reconciliation
		for _, st := range streams {
			last = begin(t, s, st)
			synctest.Wait()
		}
		time.Sleep(9 * time.Minute) // the first are not through
		if got := reconciliation(t, s, streams[maxReconciling], last.ID); got.State != ReconciliationRunning || got.Objects != 0 {
			t.Errorf("it did not wait: %+v", got)
		}
		time.Sleep(13 * time.Minute)
		if got := reconciliation(t, s, streams[maxReconciling], last.ID); got.State != ReconciliationDone {
			t.Errorf("it still waits: %+v", got)
		}
		c := &comparison{s: s, st: st, log: "org_1", found: &Findings{From: 2, To: 5}, progress: func(int, uint64) error { return nil }}
		if held, err := c.held(t.Context(), 4); err != nil || len(held) != 4 {
			t.Errorf("%d objects: %v", len(held), err)
		}
		if _, err := c.held(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "in parts") {
			t.Errorf("more objects than there may be: %v", err)
		}
	})
}

// TestReconciliationEndIsWritten holds that a store that fails for a while keeps no
// result back.
func TestReconciliationEndIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		kind := sc.kind()
		kind.Open = func(sink.Values, sink.Env) (sink.Sink, error) { return slowShelf{sc, 1, nil}, nil }
		until := time.Now().Add(3 * time.Minute)
		kv := &faultyKV{Memory: storetest.NewMemory(), fault: func() (bool, bool) {
			return time.Now().Before(until) && time.Now().After(until.Add(-150*time.Second)), false
		}}
		s := open(t, config(t, kv, w, kind))
		w.add("org_1", 1)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		r := begin(t, s, st)
		time.Sleep(2 * time.Minute)
		if got := reconciliation(t, s, st, r.ID); got.State != ReconciliationRunning {
			t.Errorf("while the store fails: %+v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := reconciliation(t, s, st, r.ID); got.State != ReconciliationDone {
			t.Errorf("afterwards: %+v", got)
		}
		closed(t, s)
	})
}
