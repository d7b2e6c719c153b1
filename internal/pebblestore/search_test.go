package pebblestore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// TestSearchLooksAtLittle counts the runs of which a search decodes an entry, in
// a log of 20 runs. Each has one entry that occurred long before the others.
func TestSearchLooksAtLittle(t *testing.T) {
	s := mustOpen(t, testConfig(t, vfs.NewMem()))
	l := storetest.NewLog("org")
	for n := range 20 {
		events := storetest.MakeEvents("a", 1000)
		for i, e := range events {
			e.OccurredAt = 1_772_000_000_000_000_000 + int64(n*1000+i)*1_000_000_000
			e.Actor.ID = fmt.Appendf(nil, "user-%d", n)
		}
		events[0].OccurredAt -= 15_000 * 1_000_000_000 // a late one
		c := l.Next(1_772_000_000_000+int64(n), events, nil)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		l.Add(c)
	}
	actor := func(id string) audit.Query {
		return audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{id}}}}
	}
	for name, test := range map[string]struct {
		request search.Request
		want    int // runs at most
	}{
		"newest":         {search.Request{Limit: 50}, 1},
		"newest 1000":    {search.Request{Limit: 1000}, 2},
		"rare actor":     {search.Request{Limit: 50, Query: actor("user-3")}, 1},
		"id":             {search.Request{Limit: 1, Query: audit.Query{Filters: []audit.Filter{{Field: audit.FieldID, Values: []string{l.Entries[7000].ID.String()}}}}}, 1},
		"occurred":       {search.Request{Limit: 50, Query: audit.Query{OccurredFrom: l.Entries[3100].OccurredTime(), OccurredTo: l.Entries[3200].OccurredTime()}}, 17},
		"received":       {search.Request{Limit: 50, Query: audit.Query{ReceivedFrom: l.Entries[3100].ReceivedTime(), ReceivedTo: l.Entries[4100].ReceivedTime()}}, 1},
		"absent actor":   {search.Request{Limit: 50, Query: actor("nobody at all")}, 0},
		"ascending id":   {search.Request{Limit: 1, Ascending: true, Query: audit.Query{Filters: []audit.Filter{{Field: audit.FieldID, Values: []string{l.Entries[7000].ID.String()}}}}}, 1},
		"oldest at once": {search.Request{Limit: 50, Ascending: true}, 17},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := s.logs.load("org", false)
			if err != nil {
				t.Fatal(err)
			}
			pager, err := search.NewPager("org", test.request, l.Head.Size, l.Head.ReceivedAt)
			if err != nil {
				t.Fatal(err)
			}
			sc := s.newScan(log, test.request.Query, pager.Matcher(), nil)
			runs := map[uint64]bool{}
			sc.skips = func(first, last int64) bool {
				if first == last {
					runs[sc.entry.Seq/1000] = true
				}
				return pager.Skips(first, last)
			}
			sc.onMatch = func(e *event.Entry) error {
				pager.Offer(e)
				return nil
			}
			w := runWalk{s: s, log: log, to: pager.Bound(), desc: !test.request.Ascending, visit: sc.visit}
			if w.from, w.to, err = sc.narrow(w.from, w.to); err != nil {
				t.Fatal(err)
			}
			if err := w.walk(t.Context()); err != nil && !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			if len(runs) > test.want {
				t.Errorf("entries of %d runs were decoded, want %d at most", len(runs), test.want)
			}
			want, err := s.Search(t.Context(), "org", test.request)
			if err != nil || len(want.Entries) != len(pager.Page().Entries) {
				t.Errorf("%d entries, %v; want %d", len(pager.Page().Entries), err, len(want.Entries))
			}
		})
	}
}
