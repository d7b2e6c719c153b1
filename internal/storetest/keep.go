package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

// keeper is a search.Keeper of which a test says what it answers.
type keeper struct {
	mu    sync.Mutex
	keeps map[string]*search.Keep
	asked map[string]int
	err   error
}

func newKeeper() *keeper {
	return &keeper{keeps: map[string]*search.Keep{}, asked: map[string]int{}}
}

func (k *keeper) keep(org string, _ time.Time) (*search.Keep, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked[org]++
	return k.keeps[org], k.err
}

func (k *keeper) set(org string, keep *search.Keep) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keeps[org] = keep
}

func (k *keeper) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// timesAsked says how often it was asked since it was asked last.
func (k *keeper) timesAsked(org string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.asked[org]
	k.asked[org] = 0
	return n
}

// testKeep asks everything about logs of which some entries are due and some
// held: engines answer as if the others were not there, and the ledger's side
// goes on to see all.
func (s suite) testKeep(t *testing.T) {
	store, k := s.open(t).Store, newKeeper()
	store.SetKeeper(k.keep)
	fields := []audit.Field{
		audit.FieldAction, audit.FieldActorID, audit.FieldTargetID, audit.FieldTargetType, audit.FieldID, audit.FieldVersion,
		"metadata.team", "actor.metadata.count", "target.metadata.team",
	}
	hidden, shown := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 3 {
			spec := searchtest.Keeps(plain(l)).Draw(t, "keep")
			l.Shows = spec.Shows
			k.set(l.Org, spec.New())
			shown += len(matching(l, audit.Query{}))
			hidden += len(l.Entries) - len(matching(l, audit.Query{}))
			q := randomQuery(t, l)
			checkFirst(t, store, l)
			checkPages(t, store, l, search.Request{
				Query: q, Ascending: rapid.Bool().Draw(t, "ascending"), Limit: rapid.IntRange(1, 20).Draw(t, "limit"),
			})
			from := rapid.Uint64Range(0, l.Head.Size).Draw(t, "from")
			to := rapid.Uint64Range(from, l.Head.Size+1).Draw(t, "to")
			checkScan(t, store, l, q, from, to)
			r := rendering{store, l, q, from, to}
			r.check(t, false)
			r.check(t, true)
			r.checkSurvey(t)
			rendering{store, l, audit.Query{}, 0, l.Head.Size}.checkSurvey(t)
			checkHistogram(t, store, l, q, dayInterval(t))
			checkFacets(t, store, l, q, rapid.SampledFrom(fields).Draw(t, "field"), rapid.IntRange(1, 20).Draw(t, "values"))
		}
		checkRange(t, store, l, 0, l.Head.Size)
		k.set(l.Org, nil)
	})
	if min(hidden, shown) == 0 {
		t.Errorf("%d hidden and %d shown entries show little", hidden, shown)
	}
}

func plain(l *Log) []audit.Entry {
	list := make([]audit.Entry, len(l.Entries))
	for i, e := range l.Entries {
		list[i] = e.Audit(l.Org)
	}
	return list
}

func dayInterval(t TB) search.Interval {
	iv, err := search.ParseInterval("day", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return iv
}

// checkFirst compares where a log begins for its readers.
func checkFirst(t TB, store Store, l *Log) {
	t.Helper()
	want := l.Head.Size
	if list := matching(l, audit.Query{}); len(list) > 0 {
		want = list[0].entry.Seq
	}
	for range 2 { // from memory too
		if got, err := store.First(t.Context(), l.Org); err != nil || got != want {
			t.Fatalf("first entry of a log of %d: %d, %v; want %d", l.Head.Size, got, err, want)
		}
	}
}

// everyAnswer asks an engine one question of each kind.
func everyAnswer(t TB, store Store, org string) map[string]error {
	errs := map[string]error{}
	_, errs["search"] = store.Search(t.Context(), org, search.Request{Limit: 10})
	for _, err := range store.Scan(t.Context(), org, audit.Query{}, 0, 10, false) {
		errs["scan"] = err
	}
	_, errs["render"] = collect(store.Render(t.Context(), org, audit.Query{}, 0, 10, false, func(dst []byte, _ *event.Entry) []byte { return dst }))
	_, errs["survey"] = store.Survey(t.Context(), org, audit.Query{}, 0, 10)
	_, errs["histogram"] = store.Histogram(t.Context(), org, audit.Query{}, dayInterval(t))
	_, errs["facets"] = store.Facets(t.Context(), org, audit.Query{}, audit.FieldActorID, 10)
	_, errs["first"] = store.First(t.Context(), org)
	return errs
}

// testKeepHolds: a hold keeps what was due when it was made, as far as one of then
// kept it, whether that is over by now or not.
func (s suite) testKeepHolds(t *testing.T) {
	store, l, k := s.open(t).Store, NewLog(s.org()), newKeeper()
	store.SetKeeper(k.keep)
	for i := range 30 {
		commit(t, store, l, int64(1000+i), MakeEvents("a", 1+i%3))
	}
	due := func(ms int64) []audit.Query { return []audit.Query{{ReceivedTo: time.UnixMilli(ms)}} }
	actor := audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{"a-1"}}}}
	from := audit.Query{ReceivedFrom: time.UnixMilli(1005)}
	for _, holds := range [][]search.Hold{
		{{Query: actor}},
		{{Query: actor, Due: due(1010)}},
		{{Query: actor, Over: true}},
		{{Query: actor, Over: true}, {Query: from, Due: due(1012), Before: []int{0}}},
		{{Query: actor, Due: due(1008), Over: true}, {Query: from, Due: due(1012), Before: []int{0}}},
		{{Query: from, Due: due(1007)}, {Query: actor, Due: due(1012), Before: []int{0}}},
	} {
		spec := searchtest.Keep{Due: due(1020), Holds: holds}
		l.Shows = spec.Shows
		k.set(l.Org, spec.New())
		checkFirst(t, store, l)
		checkScan(t, store, l, audit.Query{}, 0, l.Head.Size)
		checkPages(t, store, l, search.Request{Limit: 7})
	}
}

// testKeepFails: what is kept is asked once for an answer, and one that cannot be
// had is no answer.
func (s suite) testKeepFails(t *testing.T) {
	store, l, k := s.open(t).Store, NewLog(s.org()), newKeeper()
	store.SetKeeper(k.keep)
	commit(t, store, l, 1000, MakeEvents("a", 20))
	k.set(l.Org, search.NewKeep([]audit.Query{{ReceivedTo: time.UnixMilli(1000)}}, nil))
	for what, err := range everyAnswer(t, store, l.Org) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := k.timesAsked(l.Org); n != 7 {
		t.Errorf("7 answers have asked %d times", n)
	}
	broken := errors.New("broken")
	k.fail(broken)
	for what, err := range everyAnswer(t, store, l.Org) {
		if !errors.Is(err, broken) {
			t.Errorf("%s while it cannot be said what is kept: %v", what, err)
		}
	}
	checkRange(t, store, l, 0, l.Head.Size)
}

// testFirst: a log begins later as its entries become due, commit after commit,
// and with its size when all are.
func (s suite) testFirst(t *testing.T) {
	store, l, k := s.open(t).Store, NewLog(s.org()), newKeeper()
	store.SetKeeper(k.keep)
	checkFirst(t, store, l)
	for i := range 40 {
		commit(t, store, l, int64(1000+i), MakeEvents("a", 1+i%13))
		if i%10 == 0 {
			checkFirst(t, store, l)
		}
	}
	for _, holds := range [][]search.Hold{
		nil, {{Query: audit.Query{ReceivedFrom: time.UnixMilli(1020), ReceivedTo: time.UnixMilli(1022)}}},
	} {
		held := search.NewKeep(nil, holds)
		for cut := int64(995); cut < 1045; cut += 3 {
			spec := searchtest.Keep{Due: []audit.Query{{ReceivedTo: time.UnixMilli(cut)}}, Holds: holds}
			l.Shows = spec.Shows
			k.set(l.Org, held.At(spec.Due))
			checkFirst(t, store, l)
			checkScan(t, store, l, audit.Query{}, 0, l.Head.Size)
		}
	}
	l.Shows = nil
	k.set(l.Org, search.NewKeep(nil, nil).At([]audit.Query{{ReceivedTo: time.UnixMilli(990)}}))
	checkFirst(t, store, l) // a clock that was set back
	commit(t, store, l, 2000, MakeEvents("late", 1))
	checkFirst(t, store, l)
}
