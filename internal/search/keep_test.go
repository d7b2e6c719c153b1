package search_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

// TestKeep compares what is shown with the definition.
func TestKeep(t *testing.T) {
	hidden, held, shown := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 1, 12)
		plain := auditEntries(entries)
		spec := searchtest.Keeps(plain).Draw(t, "keep")
		k := spec.New()
		for i, e := range entries {
			if got, want := k.Shows(e), spec.Shows(&plain[i]); got != want {
				t.Fatalf("entry %d is shown: %t, want %t", i, got, want)
			}
			switch {
			case !k.Shows(e):
				hidden++
			case k.Held(e):
				held++
			default:
				shown++
			}
			if e.ReceivedAt >= k.DueBefore() && !k.Shows(e) {
				t.Fatalf("entry %d was received at %d and is hidden; nothing is due from %d on", i, e.ReceivedAt, k.DueBefore())
			}
			if e.ReceivedAt < k.DueFloor() && k.Shows(e) && !k.Held(e) {
				t.Fatalf("entry %d was received at %d and is kept; everything is due before %d", i, e.ReceivedAt, k.DueFloor())
			}
		}
	})
	if min(hidden, held, shown) == 0 {
		t.Errorf("%d hidden, %d held and %d others show little", hidden, held, shown)
	}
}

// entryOf is an entry with an action, received at a time in Unix milliseconds.
func entryOf(action string, received int64) *event.Entry {
	return &event.Entry{Event: event.Event{Action: []byte(action), Actor: event.Party{ID: []byte("ada")}}, ReceivedAt: received}
}

// until is a query for what was received before a time.
func until(t *testing.T, text string, ms int64) audit.Query {
	t.Helper()
	q, err := audit.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	q.ReceivedTo = time.UnixMilli(ms)
	return q
}

// TestKeepNil: nil, and a Keep of nothing, show everything and hold nothing.
func TestKeepNil(t *testing.T) {
	for _, k := range []*search.Keep{nil, search.NewKeep(nil, nil)} {
		e := entryOf("a", 1)
		if !k.Shows(e) || k.Held(e) || k.DueBefore() != search.MinReceived || len(k.Due())+len(k.Holds()) > 0 {
			t.Errorf("%+v hides, holds or has something due", k)
		}
		if k.DueFloor() != search.MinReceived {
			t.Errorf("everything is due before %d", k.DueFloor())
		}
	}
}

// TestKeepHolds: a hold keeps what it finds, but not what was due before it was
// made, unless one of then kept it.
func TestKeepHolds(t *testing.T) {
	due := []audit.Query{until(t, "", 1000)}
	late := search.Hold{Query: until(t, "actor:ada", 1<<40), Due: []audit.Query{until(t, "", 500)}}
	early := search.Hold{Query: until(t, "action:b", 1<<40)}
	over, after := early, late
	over.Over, after.Before = true, []int{0}
	for _, tt := range []struct {
		name        string
		holds       []search.Hold
		e           *event.Entry
		shown, held bool
	}{
		{"kept", nil, entryOf("a", 1000), true, false},
		{"due", nil, entryOf("a", 999), false, false},
		{"due and held", []search.Hold{late}, entryOf("a", 999), true, true},
		{"first held", []search.Hold{late}, entryOf("a", 500), true, true},
		{"due before the hold", []search.Hold{late}, entryOf("a", 499), false, false},
		{"not found by the hold", []search.Hold{early}, entryOf("a", 499), false, false},
		{"held by the other", []search.Hold{late, early}, entryOf("b", 499), true, true},
		{"held, not due", []search.Hold{late}, entryOf("a", 2000), true, true},
		{"the hold is over", []search.Hold{over}, entryOf("b", 499), false, false},
		{"kept by one that is over", []search.Hold{over, after}, entryOf("b", 499), true, true},
		{"not kept by the one that is over", []search.Hold{over, after}, entryOf("a", 499), false, false},
		{"not found by the one after", []search.Hold{over, {Query: until(t, "action:c", 1<<40), Before: []int{0}}}, entryOf("b", 499), false, false},
	} {
		k := search.NewKeep(due, tt.holds)
		if k.Shows(tt.e) != tt.shown || k.Held(tt.e) != tt.held {
			t.Errorf("%s: shown %t, held %t; want %t, %t", tt.name, k.Shows(tt.e), k.Held(tt.e), tt.shown, tt.held)
		}
	}
}

// TestKeepFloor: classes of actions, whether they overlap or not, tell how far
// everything is due.
func TestKeepFloor(t *testing.T) {
	for _, tt := range []struct {
		name          string
		due           []audit.Query
		before, floor int64
	}{
		{"one period", []audit.Query{until(t, "", 10)}, 10, 10},
		{"two", []audit.Query{until(t, "", 10), until(t, "", 20)}, 20, 20},
		{"a shorter one for a class", []audit.Query{until(t, "-action:a", 10), until(t, "action:a", 20)}, 20, 10},
		{"a longer one for a class", []audit.Query{until(t, "-action:a", 20), until(t, "action:a", 10)}, 20, 10},
		{"a class is kept for ever", []audit.Query{until(t, "-action:a", 20)}, 20, search.MinReceived},
		{"only a class is due", []audit.Query{until(t, "action:a.*", 20)}, 20, search.MinReceived},
		{"a class in a class", []audit.Query{
			until(t, "-action:a.* -action:a.b", 30), until(t, "action:a.* -action:a.b", 20), until(t, "action:a.b", 10),
		}, 30, 10},
		{"a class in a class that is kept", []audit.Query{
			until(t, "-action:a.* -action:a.b", 30), until(t, "action:a.* -action:a.b", 20),
		}, 30, search.MinReceived},
		{"beginnings of beginnings", []audit.Query{
			until(t, "-action:a.*", 30), until(t, "action:a.* -action:a.b.*", 20), until(t, "action:a.b.*", 40),
		}, 40, 20},
		{"about others than actions", []audit.Query{until(t, "", 10), until(t, "actor:ada", 20)}, 20, 10},
		{"not from the beginning", []audit.Query{{ReceivedFrom: time.UnixMilli(5), ReceivedTo: time.UnixMilli(9)}}, 9, search.MinReceived},
		{"by when it occurred", []audit.Query{{OccurredFrom: time.UnixMilli(5), ReceivedTo: time.UnixMilli(9)}}, 9, search.MinReceived},
	} {
		k := search.NewKeep(tt.due, []search.Hold{{}})
		if k.DueBefore() != tt.before || k.DueFloor() != tt.floor {
			t.Errorf("%s: due before %d, everything before %d; want %d, %d", tt.name, k.DueBefore(), k.DueFloor(), tt.before, tt.floor)
		}
	}
}
