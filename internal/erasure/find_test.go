package erasure

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/pebblestore"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
	"github.com/stelehq/stele/internal/storetest"
)

// hall is a server's data with the log of a new organization in each round.
type hall struct {
	store storetest.Store
	seal  func(t *rapid.T)
	log   *ledger.Ledger
	s     *Erasures

	mu    sync.Mutex
	ms    int64
	keeps map[string]*search.Keep
	org   string
	n     int
}

func newHall(t *testing.T, store storetest.Store, seal func(t *rapid.T)) *hall {
	t.Helper()
	h := &hall{store: store, seal: seal, ms: 1_772_357_400_000, keeps: map[string]*search.Keep{}}
	store.SetKeeper(h.keep)
	key, err := ledger.GenerateKey("log.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if h.log, err = ledger.Open(t.Context(), ledger.Config{Store: store, KV: store, Signer: key, Now: h.now}); err != nil {
		t.Fatal(err)
	}
	h.s, err = Open(t.Context(), Config{
		Log: h.log, Store: store, KV: store, Keep: h.keep, Logger: slog.New(slog.DiscardHandler), Now: h.now, retry: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.log.Close() })
	t.Cleanup(func() { _ = h.s.Close() })
	return h
}

func (h *hall) keep(org string, _ time.Time) (*search.Keep, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keeps[org], nil
}

func (h *hall) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ms++
	return time.UnixMilli(h.ms)
}

// next begins a log.
func (h *hall) next() {
	h.n++
	h.org = fmt.Sprint("org-", h.n)
}

// All of these are ids, and types, that an actor or a target may have.
func ids() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"u1", "U1", "u11", "u*", "ü 1", `a"b`, "subject"})
}

func kinds() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"user", "team", "subject"})
}

// record appends random events.
func (h *hall) record(t *rapid.T) {
	b := ledger.NewBatch(h.org)
	for range rapid.IntRange(1, 25).Draw(t, "events") {
		e := audit.Event{
			Action:     rapid.SampledFrom([]string{"user.invited", "user.removed", "team.renamed"}).Draw(t, "action"),
			OccurredAt: time.UnixMilli(1_772_000_000_000 + rapid.Int64Range(0, 1000).Draw(t, "occurred")),
			Actor:      audit.Actor{Type: kinds().Draw(t, "actor type"), ID: ids().Draw(t, "actor"), Name: "Ada Lovelace"},
		}
		for range rapid.IntRange(0, 3).Draw(t, "targets") {
			e.Targets = append(e.Targets, audit.Target{Type: kinds().Draw(t, "target type"), ID: ids().Draw(t, "target"), Name: "Ben"})
		}
		ev, err := event.FromAudit(&e)
		if err == nil {
			err = b.Add(ev)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.log.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// takeOut removes every n-th entry of the first ones, or erases it.
func (h *hall) takeOut(t *rapid.T) {
	every, until := rapid.Uint64Range(1, 5).Draw(t, "every"), rapid.Uint64Range(0, 100).Draw(t, "until")
	what := rapid.SampledFrom([]ledger.Fate{ledger.Removed, ledger.Erased}).Draw(t, "fate")
	_, err := h.log.Rewrite(t.Context(), ledger.Rewrite{
		Organization: h.org, To: ledger.BlockSize, ErasedAt: h.now().UnixMilli(),
		Fate: func(e *event.Entry) ledger.Fate {
			if e.Seq < until && e.Seq%every == 0 {
				return what
			}
			return ledger.Stays
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hide lets some entries be due, and some held.
func (h *hall) hide(t *rapid.T) {
	var list []audit.Entry
	for _, e := range h.stored(t) {
		list = append(list, e.Audit(h.org))
	}
	if len(list) == 0 {
		return
	}
	keep := searchtest.Keeps(list).Draw(t, "keep").New()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keeps[h.org] = keep
}

// stored are all entries, read one after the other.
func (h *hall) stored(t *rapid.T) []*event.Entry {
	var list []*event.Entry
	for e, err := range h.store.Read(t.Context(), h.org, 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Clone())
	}
	return list
}

// previewOf is what a preview is by definition: what comes of looking at every
// entry.
func (h *hall) previewOf(t *rapid.T, r *Request) Preview {
	sub, err := h.s.subjectOf(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	keep, _ := h.keep(h.org, time.Time{})
	var p Preview
	actions := map[string]uint64{}
	for _, e := range h.stored(t) {
		a := e.Audit(h.org)
		is := a.Actor.ID == r.Subject && (r.SubjectType == "" || a.Actor.Type == r.SubjectType)
		for _, target := range a.Targets {
			is = is || target.ID == r.Subject && (r.SubjectType == "" || target.Type == r.SubjectType) && !sub.own[e.Seq]
		}
		if !is {
			continue
		}
		p.Found++
		switch at := (audit.Position{Seq: e.Seq, ReceivedAt: a.ReceivedAt}); {
		case e.ErasedAt != 0:
			p.Erased++
		case keep.Held(e):
			p.Held++
		case p.Oldest == nil:
			p.Oldest, p.Newest = &at, &at
			actions[a.Action]++
		default:
			p.Newest = &at
			actions[a.Action]++
		}
	}
	p.Actions = topActions(actions)
	return p
}

// look compares previews of one subject with what reading says, and returns it.
func (h *hall) look(t *rapid.T, r *Request) Preview {
	want := h.previewOf(t, r)
	got, err := h.s.Preview(t.Context(), *r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s of type %q: %s", r.Subject, r.SubjectType, diff)
	}
	return want
}

// erase erases somebody: what a preview has counted, and nothing else.
func (h *hall) erase(t *rapid.T, r *Request) {
	before, would := h.stored(t), h.look(t, r)
	rec, err := h.s.Create(t.Context(), *r)
	if err == nil {
		rec, err = h.s.Wait(t.Context(), h.org, rec.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if rec.Found != would.Found || rec.Held != would.Held || rec.Erased != would.WillErase() {
		t.Fatalf("%+v after %+v", rec, would)
	}
	after, erased := h.stored(t), uint64(0)
	for i, e := range before {
		if after[i].ErasedAt == rec.ErasedAt.UnixMilli() {
			erased++
		} else if diff := cmp.Diff(e, after[i]); diff != "" {
			t.Fatalf("entry %d: %s", e.Seq, diff)
		}
	}
	if left := h.look(t, r); erased != rec.Erased || left.WillErase() != 0 {
		t.Fatalf("%d are erased, %d said to be; left are %+v", erased, rec.Erased, left)
	}
}

// round takes a log through a random life and looks for everybody in it.
func (h *hall) round(t *rapid.T) {
	h.next()
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		h.record(t)
		rapid.SampledFrom([]func(t *rapid.T){h.hide, h.takeOut, h.seal, func(t *rapid.T) {
			h.erase(t, &Request{Organization: h.org, Subject: ids().Draw(t, "erased"), RequestedBy: admin})
		}}).Draw(t, "step")(t)
	}
	r := Request{Organization: h.org, Subject: ids().Draw(t, "subject"), RequestedBy: admin}
	h.look(t, &r)
	r.SubjectType = kinds().Draw(t, "type")
	h.look(t, &r)
	h.erase(t, &r)
}

// TestFindsAll: looking for somebody finds what reading all of the log finds, in
// logs that are sealed or not, of which entries are hidden, held, removed and
// erased.
func TestFindsAll(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		h := newHall(t, storetest.NewMemory(), func(*rapid.T) {})
		rapid.Check(t, h.round)
	})
	t.Run("pebble", func(t *testing.T) {
		store, err := pebblestore.Open(pebblestore.Config{Dir: t.TempDir(), ReserveBytes: -1, Unsynced: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		h := newHall(t, store, func(t *rapid.T) {
			if err := store.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		rapid.Check(t, h.round)
	})
}
