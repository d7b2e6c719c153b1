package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/search"
)

// found is an entry of a log in the form that Query.Match takes.
type found struct {
	entry *event.Entry
	audit audit.Entry
}

// matching returns the entries of a log that a query means, by definition, as far
// as they are shown.
func matching(l *Log, q audit.Query) []found {
	var list []found
	for _, e := range l.there() {
		if a := e.Audit(l.Org); q.Match(&a) && (l.Shows == nil || l.Shows(&a)) {
			list = append(list, found{e, a})
		}
	}
	return list
}

// byTime sorts into the order of pages.
func byTime(list []found, ascending bool) {
	slices.SortFunc(list, func(a, b found) int {
		c := cmp.Or(cmp.Compare(a.entry.OccurredAt, b.entry.OccurredAt), cmp.Compare(a.entry.Seq, b.entry.Seq))
		if !ascending {
			c = -c
		}
		return c
	})
}

// randomLog commits a log of random events. Their texts come from a small set,
// so that queries over its values find some and not others.
func (s suite) randomLog(t *rapid.T, store Store) *Log {
	l := NewLog(s.org())
	receivedAt := int64(1_772_000_000_000)
	for i := range rapid.IntRange(0, 6).Draw(t, "commits") {
		var events []*event.Event
		for j, e := range rapid.SliceOfN(eventtest.Events(), 1, 12).Draw(t, "events") {
			ev, err := event.FromAudit(e)
			if err != nil {
				t.Fatalf("event: %v", err)
			}
			ev.Unregistered = (i+j)%3 == 0
			events = append(events, ev)
		}
		receivedAt += rapid.Int64Range(0, 2).Draw(t, "later")
		commit(t, store, l, receivedAt, events)
	}
	return l
}

// randomQuery makes a query over values that the log has, and some that it has
// not.
func randomQuery(t *rapid.T, l *Log) audit.Query {
	var q audit.Query
	for range rapid.IntRange(0, 3).Draw(t, "filters") {
		q.Filters = append(q.Filters, randomFilter(t, l))
	}
	bound := func(what string, times func(e *event.Entry) time.Time) (at time.Time) {
		if there := l.there(); len(there) > 0 && rapid.IntRange(0, 3).Draw(t, what) == 0 {
			at = times(rapid.SampledFrom(there).Draw(t, what+" entry"))
			at = at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, what+" offset")))
		}
		return at
	}
	q.OccurredFrom = bound("occurred from", (*event.Entry).OccurredTime)
	q.OccurredTo = bound("occurred to", (*event.Entry).OccurredTime)
	q.ReceivedFrom = bound("received from", (*event.Entry).ReceivedTime)
	q.ReceivedTo = bound("received to", (*event.Entry).ReceivedTime)
	if q.Validate() != nil {
		return audit.Query{}
	}
	return q
}

func randomFilter(t *rapid.T, l *Log) audit.Filter {
	field := rapid.SampledFrom(append(audit.Fields(), "metadata.team", "actor.metadata.count", "target.metadata.nested.a.b")).Draw(t, "field")
	f := audit.Filter{Field: field, Not: rapid.IntRange(0, 3).Draw(t, "not") == 0}
	for range rapid.IntRange(1, 3).Draw(t, "values") {
		f.Values = append(f.Values, randomValue(t, l, field))
	}
	return f
}

func randomValue(t *rapid.T, l *Log, field audit.Field) string {
	value := eventtest.Text().Draw(t, "value")
	there := l.there()
	if len(there) == 0 || rapid.IntRange(0, 4).Draw(t, "other value") == 0 {
		if field == audit.FieldVersion {
			return "2"
		}
		return value
	}
	e := rapid.SampledFrom(there).Draw(t, "entry").Audit(l.Org)
	target := audit.Target{Type: "user", ID: "x", Name: "y"}
	if len(e.Targets) > 0 {
		target = e.Targets[len(e.Targets)-1]
	}
	values := map[audit.Field]string{
		audit.FieldID: e.ID, audit.FieldAction: e.Action, audit.FieldVersion: fmt.Sprint(e.Version),
		audit.FieldActorType: e.Actor.Type, audit.FieldActorID: e.Actor.ID, audit.FieldActorName: e.Actor.Name,
		audit.FieldTargetType: target.Type, audit.FieldTargetID: target.ID, audit.FieldTargetName: target.Name,
		audit.FieldLocation: e.Context.Location, audit.FieldUserAgent: e.Context.UserAgent, audit.FieldSchema: e.Schema,
		audit.FieldText: e.Actor.ID,
	}
	if v := values[field]; v != "" {
		value = v
	}
	if field == audit.FieldAction && rapid.Bool().Draw(t, "prefix") {
		value = string([]rune(value)[:1]) + "*"
	}
	return value
}

func (s suite) testSearch(t *testing.T) {
	store := s.open(t).Store
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 5 {
			checkPages(t, store, l, search.Request{
				Query:     randomQuery(t, l),
				Ascending: rapid.Bool().Draw(t, "ascending"),
				Limit:     rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, audit.MaxQueryLimit)).Draw(t, "limit"),
			})
		}
	})
}

// checkPages pages through everything that a query means.
func checkPages(t TB, store Store, l *Log, r search.Request) {
	t.Helper()
	want := matching(l, r.Query)
	byTime(want, r.Ascending)
	for {
		page, err := store.Search(t.Context(), l.Org, r)
		if err != nil {
			t.Fatalf("search %q: %v", r.Query, err)
		}
		if len(page.Entries) > len(want) || len(page.Entries) > r.Limit {
			t.Fatalf("search %q: a page of %d entries, of %d that are left and a limit of %d", r.Query, len(page.Entries), len(want), r.Limit)
		}
		for i, e := range page.Entries {
			if !sameEntry(e, want[i].entry) {
				t.Fatalf("search %q: got %s, want %s", r.Query, describe(e, l.Org), describe(want[i].entry, l.Org))
			}
		}
		want = want[len(page.Entries):]
		if page.More != (len(want) > 0) {
			t.Fatalf("search %q: More is %t with %d entries left", r.Query, page.More, len(want))
		}
		if diff := gocmp.Diff(search.Through(l.Head.Size, l.Head.ReceivedAt), page.Through); diff != "" {
			t.Fatalf("search %q: through (-want +got):\n%s", r.Query, diff)
		}
		if r.After = roundTrip(t, page.Next); !page.More {
			break
		}
		if len(page.Entries) == 0 {
			t.Fatalf("search %q: an empty page before the end", r.Query)
		}
	}
}

// roundTrip takes a cursor through its text.
func roundTrip(t TB, c search.Cursor) *search.Cursor {
	t.Helper()
	parsed, err := search.ParseCursor(c.String())
	if err != nil || *parsed != c {
		t.Fatalf("cursor %+v: as text it is %+v, %v", c, parsed, err)
	}
	return parsed
}

// testSearchPaging pages through entries of one time, and through large ones.
func (s suite) testSearchPaging(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	events := MakeEvents("a", 2500)
	for i, e := range events {
		e.OccurredAt = 1_772_000_000_000_000_000 - int64(i/1000)*1_000_000
	}
	commit(t, store, l, 1000, events[:1200])
	commit(t, store, l, 1000, events[1200:1201])
	commit(t, store, l, 1001, events[1201:])
	for _, ascending := range []bool{false, true} {
		for _, limit := range []int{1000, 999, 500, 7} {
			checkPages(t, store, l, search.Request{Ascending: ascending, Limit: limit})
		}
	}

	large := NewLog(s.org())
	events = MakeEvents("large", 200)
	for _, e := range events {
		e.UserAgent = []byte(fmt.Sprintf("%60000d", 1))
	}
	commit(t, store, large, 1000, events)
	page, err := store.Search(t.Context(), large.Org, search.Request{Limit: 200})
	if err != nil || !page.More || len(page.Entries) > 1+search.MaxPageBytes/60_000 || len(page.Entries) == 0 {
		t.Errorf("page of large entries: %d of them, more: %t, %v", len(page.Entries), page.More, err)
	}
	checkPages(t, store, large, search.Request{Limit: 200})
	checkPages(t, store, large, search.Request{Limit: 200, Ascending: true})
}

// testSearchStable pages while others commit: what was there at the first page is
// on exactly one page, and an ascending cursor goes on with what is new.
func (s suite) testSearchStable(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 300))
	var stop atomic.Bool
	later := NewLog(l.Org)
	later.Head, later.Entries, later.Keys = cloneHead(l.Head), slices.Clone(l.Entries), slices.Clone(l.Keys)
	parallel(2, func(i int) {
		if i == 1 {
			defer stop.Store(true)
			for range 2 {
				for _, ascending := range []bool{false, true} {
					checkStable(t, store, l, ascending)
				}
			}
			return
		}
		for n := 0; n < 100 && (!stop.Load() || n < 3); n++ {
			c := later.Next(int64(1001+n), MakeEvents("b", 1+n%10), nil)
			if err := store.Commit(t.Context(), c); err != nil {
				t.Errorf("commit: %v", err)
				return
			}
			later.Add(c)
		}
	})
	r := search.Request{Ascending: true, Limit: 1000}
	last := l.Entries[len(l.Entries)-1].OccurredAt
	for {
		page, err := store.Search(t.Context(), l.Org, r)
		if err != nil {
			t.Fatal(err)
		}
		r.After = roundTrip(t, page.Next)
		if !page.More {
			break
		}
	}
	newer := MakeEvents("newer", 3)
	for i, e := range newer {
		e.OccurredAt = last + int64(1+i)*1_000_000_000_000
	}
	commit(t, store, later, 1_000_000, newer)
	page, err := store.Search(t.Context(), l.Org, r)
	if err != nil || len(page.Entries) != 3 || !sameEntry(page.Entries[0], later.Entries[later.Head.Size-3]) {
		t.Errorf("ascending cursor asked again: got %d entries, %v; want the 3 new ones", len(page.Entries), err)
	}
}

// checkStable pages through a log that grows meanwhile.
func checkStable(t TB, store Store, l *Log, ascending bool) {
	var seqs []uint64
	r := search.Request{Ascending: ascending, Limit: 17}
	for {
		page, err := store.Search(t.Context(), l.Org, r)
		if err != nil {
			t.Errorf("search: %v", err)
			return
		}
		for _, e := range page.Entries {
			seqs = append(seqs, e.Seq)
		}
		r.After = &page.Next
		if !page.More {
			if page.Through == nil || uint64(len(seqs)) != page.Through.Seq+1 {
				t.Errorf("search: %d entries on all pages, complete through %v", len(seqs), page.Through)
			}
			break
		}
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		if seq != uint64(i) {
			t.Errorf("search: entry %d is missing or twice on pages made while others commit", i)
			return
		}
	}
}

func (s suite) testSearchInvalid(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", 3))
	page, err := store.Search(t.Context(), l.Org, search.Request{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	other := NewLog(s.org())
	commit(t, store, other, 1000, MakeEvents("a", 3))
	bad := audit.Query{Filters: []audit.Filter{{Field: "nonsense", Values: []string{"x"}}}}
	for name, test := range map[string]struct {
		org  string
		r    search.Request
		code audit.Code
	}{
		"limit 0":          {l.Org, search.Request{}, audit.CodeInvalidRequest},
		"limit too large":  {l.Org, search.Request{Limit: audit.MaxQueryLimit + 1}, audit.CodeInvalidRequest},
		"query":            {l.Org, search.Request{Limit: 1, Query: bad}, audit.CodeInvalidQuery},
		"cursor of other":  {other.Org, search.Request{Limit: 1, After: &page.Next}, audit.CodeInvalidCursor},
		"cursor and order": {l.Org, search.Request{Limit: 1, After: &page.Next, Ascending: true}, audit.CodeInvalidCursor},
	} {
		if _, err := store.Search(t.Context(), test.org, test.r); !errors.Is(err, &audit.Error{Code: test.code}) {
			t.Errorf("%s: got %v, want %s", name, err, test.code)
		}
	}
	ctx := canceled(t)
	if _, err := store.Search(ctx, l.Org, search.Request{Limit: 1}); !errors.Is(err, ctx.Err()) {
		t.Errorf("canceled: got %v", err)
	}
}

func (s suite) testScan(t *testing.T) {
	store := s.open(t).Store
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 3 {
			from := rapid.Uint64Range(0, l.Head.Size+1).Draw(t, "from")
			to := rapid.OneOf(rapid.Uint64Range(0, l.Head.Size+1), rapid.Just(uint64(math.MaxUint64))).Draw(t, "to")
			checkScan(t, store, l, randomQuery(t, l), from, to)
		}
	})
}

// checkScan scans in both directions, and all that is stored.
func checkScan(t TB, store Store, l *Log, q audit.Query, from, to uint64) {
	t.Helper()
	within := func(list []found) []found {
		return slices.DeleteFunc(list, func(f found) bool { return f.entry.Seq < from || f.entry.Seq >= to })
	}
	want := within(matching(l, q))
	for _, desc := range []bool{false, true} {
		sameScan(t, fmt.Sprintf("scan %q from %d to %d, desc %t", q, from, to, desc), l, want, store.Scan(t.Context(), l.Org, q, from, to, desc))
		slices.Reverse(want)
	}
	all := *l
	all.Shows = nil
	what := fmt.Sprintf("scan all that is stored, %q from %d to %d", q, from, to)
	sameScan(t, what, l, within(matching(&all, q)), store.ScanStored(t.Context(), l.Org, q, from, to))
}

// sameScan compares what a scan yields.
func sameScan(t TB, what string, l *Log, want []found, entries iter.Seq2[*event.Entry, error]) {
	t.Helper()
	n := 0
	for e, err := range entries {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n == len(want) || !sameEntry(e, want[n].entry) {
			t.Fatalf("%s: %d of %d is %s", what, n, len(want), describe(e, l.Org))
		}
		n++
	}
	if n != len(want) {
		t.Fatalf("%s: %d entries, want %d", what, n, len(want))
	}
}
