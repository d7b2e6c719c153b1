package stream

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// shelf is a script that can list what it was given.
type shelf struct{ *script }

func (s shelf) List(context.Context, string, string) iter.Seq2[sink.Held, error] {
	return func(yield func(sink.Held, error) bool) {
		for _, b := range s.batches() {
			if !yield(sink.Held{Name: b.ID, First: b.First, Last: b.Last, Events: len(b.Events)}, nil) {
				return
			}
		}
	}
}

// TestReconcileIsNoLie holds that what one filter chose is not certified as all
// that another one asks for, and that an empty range is no certificate.
func TestReconcileIsNoLie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		kind := sc.kind()
		kind.Open = func(sink.Values, sink.Env) (sink.Sink, error) { return shelf{sc}, nil }
		s := open(t, config(t, storetest.NewMemory(), w, kind))
		defer closed(t, s)
		w.add("org_1", 9)
		sp := spec(StartBeginning)
		sp.Filter = "action:user.viewed" // 2, 5, 8: one object from 2 to 8
		st := create(t, s, "org_1", sp)
		synctest.Wait()
		ask := func(from, to *uint64) (Findings, error) {
			return reconcile(t, s, st, ReconcileSpec{From: from, To: to})
		}
		if got, err := ask(nil, nil); err != nil || got.Expected != 3 || got.Missing != 0 {
			t.Fatalf("before: %+v, %v", got, err)
		}
		five, two := uint64(5), uint64(2)
		if got, err := ask(&five, &two); fieldOf(err) != "/to" {
			t.Errorf("5 to 2: %+v, %v", got, err)
		}
		every := func(sp *Spec) error { sp.Filter = ""; return nil }
		if _, err := s.Update(t.Context(), "org_1", st.ID, Key("ada"), every); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, err := ask(nil, nil); fieldOf(err) != "/from" {
			t.Errorf("nothing was chosen by the new filter yet: %+v, %v", got, err)
		}
		w.add("org_1", 3)
		s.Notify("org_1")
		synctest.Wait()
		if got, err := ask(nil, nil); err != nil || got.From != 9 || got.To != 11 || got.Expected != 3 || got.Missing != 0 {
			t.Errorf("after: %+v, %v", got, err)
		}
		if got, err := ask(&two, nil); fieldOf(err) != "/from" {
			t.Errorf("from 2: %+v, %v", got, err)
		}
		if sent := sc.seqs(); !slices.Equal(sent, []uint64{2, 5, 8, 9, 10, 11}) {
			t.Errorf("sent %v", sent)
		}
	})
}

// reconcile starts one and waits for what comes of it.
func reconcile(t *testing.T, s *Streams, st *Stream, spec ReconcileSpec) (Findings, error) {
	t.Helper()
	r, err := s.Reconcile(t.Context(), st.Organization, st.ID, spec)
	if err != nil {
		return Findings{}, err
	}
	if r.State != ReconciliationRunning {
		t.Errorf("it begins as %+v", r)
	}
	synctest.Wait()
	r = reconciliation(t, s, st, r.ID)
	if r.State != ReconciliationDone || r.Found == nil || r.Next != r.To+1 {
		t.Fatalf("it ended as %+v", r)
	}
	return *r.Found, nil
}

func reconciliation(t *testing.T, s *Streams, st *Stream, id string) Reconciliation {
	t.Helper()
	r, err := s.Reconciliation(t.Context(), st.Organization, st.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fieldOf is the field that an error names.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*audit.Error](err); ok {
		return e.Field
	}
	return ""
}
