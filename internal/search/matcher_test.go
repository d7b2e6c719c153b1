package search_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

const testOrg = "org_1"

// someEntries gives a short log of random events.
func someEntries(t *rapid.T, least, most int) []*event.Entry {
	cipher := event.Keys{Check: [16]byte{1}}.Cipher()
	var entries []*event.Entry
	received := int64(1_772_000_000_000)
	for i := range rapid.IntRange(least, most).Draw(t, "size") {
		ev, err := event.FromAudit(eventtest.Events().Draw(t, "event"))
		if err != nil {
			t.Fatal(err)
		}
		received += rapid.Int64Range(0, 3).Draw(t, "pause")
		e := &event.Entry{Event: *ev, Seq: uint64(i), ReceivedAt: received}
		if i > 0 && rapid.IntRange(0, 2).Draw(t, "same time") == 0 {
			e.OccurredAt = entries[rapid.IntRange(0, i-1).Draw(t, "as")].OccurredAt
		}
		e.Unregistered = rapid.IntRange(0, 3).Draw(t, "unregistered") == 0
		e.ID = cipher.ID(received, e.Seq)
		entries = append(entries, e)
	}
	return entries
}

func auditEntries(entries []*event.Entry) []audit.Entry {
	out := make([]audit.Entry, len(entries))
	for i, e := range entries {
		out[i] = e.Audit(testOrg)
	}
	return out
}

// TestMatcher holds the matcher to the definition of search.
func TestMatcher(t *testing.T) {
	var asked, found int
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 1, 4)
		plain := auditEntries(entries)
		for _, q := range rapid.SliceOfN(searchtest.Queries(plain), 1, 10).Draw(t, "queries") {
			m := search.Compile(q)
			for i, e := range entries {
				want := q.Match(&plain[i])
				if got := m.Match(e); got != want {
					t.Fatalf("%s: Matcher says %v, Query.Match %v, of %s", q, got, want, e.AppendJSON(nil, testOrg))
				}
				checkHints(t, m, e, want)
				asked++
				if want {
					found++
				}
			}
		}
	})
	if found < asked/20 || found > asked*19/20 {
		t.Errorf("%d of %d matched: the queries show little", found, asked)
	}
}

// TestMatcherCorners asks for what is easily got wrong. What is right is said in
// the tests of Query.Match.
func TestMatcherCorners(t *testing.T) {
	ev, err := event.FromAudit(&audit.Event{
		Action: "API_KEY.Created", OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
		Actor:   audit.Actor{Type: "acty", ID: "İD\u212a", Name: strings.Repeat("Ä", 300) + "Z"},
		Targets: []audit.Target{{Type: "tarty", ID: "T"}, {Type: "x", ID: "ẞ\n\"", Metadata: audit.Metadata{"a.b": "one", "a": map[string]any{"b": "two"}}}},
		Metadata: audit.Metadata{
			"keyonly": nil, "n": []any{1e21, -0.5, true, []any{"in\tside", map[string]any{"deep": "x"}}}, "ab": "ab", "": map[string]any{"": "empty"},
			"a": map[string]any{"b.c": map[string]any{"d": "abcd"}}, "q\"\\": "quoted \"\\ value", "s": "",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &event.Entry{Event: *ev, ReceivedAt: 1_772_000_000_000, ID: event.Keys{}.Cipher().ID(1_772_000_000_000, 0)}
	plain := e.Audit(testOrg)
	var matches int
	for _, text := range []string{
		"acty", "tarty", "keyonly", "null", "deep", "api_key.c", "API_KEY", "action:API_KEY.*", "action:api_key.*", "action:API_KEY.Created*",
		"i\u0307d", "id\u212a", "İDk", "idK", "actor:İDK", "ÄZ", "äz", "actor.name:äz", "actor.name:ÄÄ", "ß", "ẞ", `"ß\n\""`, `target:"ẞ\n\""`,
		"1e+21", "1E+21", "-0.5", `"-0.5"`, "true", "TRUE", "metadata.n:true", "metadata.n:TRUE", "metadata.n:1e+21", "metadata.n:1e21", "metadata.n:1000000000000000000000",
		`metadata.n:"in\tside"`, `metadata.n:in`, `in`, `"IN\tS"`, "metadata.n.deep:x", "metadata.deep:x", "metadata.n:x", "metadata.keyonly:null", `metadata.keyonly:""`,
		`metadata.s:""`, "metadata.ab:ab", "metadata.a:b", "metadata.a.b.c.d:abcd", "metadata.a.b.c:abcd", "metadata.a.d:abcd", "metadata.ab.c.d:abcd", "metadata.aXb.c.d:abcd",
		"metadata..:empty", `metadata..x:empty`, "target.metadata.a.b:one", "target.metadata.a.b:two", "target.metadata.ab:two", "actor.metadata.a.b:one",
		`"metadata.q\"\\":"quoted \"\\ value"`, `"\"\\ VAL"`, `quoted`, plain.ID, strings.ToLower(plain.ID), plain.ID[:25], "id:" + plain.ID, "id:" + strings.ToLower(plain.ID),
		"version:1", "version:11", "schema:unregistered", "-schema:unregistered", "location:x", "-location:x", "target:T target:nope", "-target:T", "target:t",
		"target.type:x target.id:T", "after:2026-03-01T09:30:00Z", "before:2026-03-01T09:30:00Z", "before:2026-03-01T09:30:00.000000001Z",
	} {
		q, err := audit.ParseQuery(text)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, unregistered := range []bool{false, true} {
			e.Unregistered = unregistered
			plain = e.Audit(testOrg)
			want := q.Match(&plain)
			if got := search.Compile(q).Match(e); got != want {
				t.Errorf("%s: Matcher says %v, Query.Match %v", q, got, want)
			}
			if want {
				matches++
			}
		}
	}
	if matches < 40 {
		t.Errorf("only %d matches", matches)
	}
}

// checkHints fails when what engines skip by would skip an entry that matches.
func checkHints(t *rapid.T, m *search.Matcher, e *event.Entry, matches bool) {
	if m.All() && !matches {
		t.Fatal("All, but an entry does not match")
	}
	if !matches {
		return
	}
	if from, to := m.OccurredBounds(); e.OccurredAt < from || e.OccurredAt >= to {
		t.Fatal("an entry that matches is out of the bounds of occurred_at")
	}
	if from, to := m.ReceivedBounds(); e.ReceivedAt < from || e.ReceivedAt >= to {
		t.Fatal("an entry that matches is out of the bounds of received_at")
	}
	texts := map[audit.Field][]string{
		audit.FieldID: {e.ID.String()}, audit.FieldAction: {string(e.Action)}, audit.FieldLocation: {string(e.Location)},
		audit.FieldActorID: {string(e.Actor.ID)}, audit.FieldActorType: {string(e.Actor.Type)},
	}
	for i := range e.Targets {
		texts[audit.FieldTargetID] = append(texts[audit.FieldTargetID], string(e.Targets[i].ID))
		texts[audit.FieldTargetType] = append(texts[audit.FieldTargetType], string(e.Targets[i].Type))
	}
	for field, have := range texts {
		want := m.Exact(field)
		if want != nil && !intersects(have, want) {
			t.Fatalf("%s: an entry that matches has %q, Exact says one of %q", field, have, want)
		}
	}
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func TestMatcherHints(t *testing.T) {
	q, err := audit.ParseQuery("action:a action:b actor:u* -target:t actor.name:x after:2026-01-01 received.before:2026-01-01T00:00:00.0001Z")
	if err != nil {
		t.Fatal(err)
	}
	m := search.Compile(q)
	for field, want := range map[audit.Field][]string{
		audit.FieldAction: {"a", "b"}, audit.FieldActorID: {"u*"}, audit.FieldTargetID: nil, audit.FieldActorName: nil,
		audit.FieldLocation: nil, audit.FieldText: nil,
	} {
		if diff := cmp.Diff(want, m.Exact(field)); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
	if from, to := m.OccurredBounds(); from != time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() || to != math.MaxInt64 {
		t.Errorf("occurred_at from %d to %d", from, to)
	}
	if from, to := m.ReceivedBounds(); from != math.MinInt64 || to != time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()+1 {
		t.Errorf("received_at from %d to %d", from, to)
	}
	if m := search.Compile(audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{"a", "b*"}}}}); m.Exact(audit.FieldAction) != nil {
		t.Error("an action with a wildcard is not exact")
	}
	if !search.Compile(audit.Query{}).All() || m.All() {
		t.Error("All is wrong")
	}
}

// TestMatcherLongLists: many values are looked up, few compared one by one.
func TestMatcherLongLists(t *testing.T) {
	var f audit.Filter
	f.Field = audit.FieldActorID
	for i := range 300 {
		f.Values = append(f.Values, strings.Repeat("x", i+1))
	}
	m := search.Compile(audit.Query{Filters: []audit.Filter{f}})
	e := &event.Entry{}
	for _, tt := range []struct {
		id   string
		want bool
	}{{"x", true}, {strings.Repeat("x", 300), true}, {strings.Repeat("x", 301), false}, {"y", false}} {
		e.Actor.ID = []byte(tt.id)
		if m.Match(e) != tt.want {
			t.Errorf("%.10s: %v", tt.id, !tt.want)
		}
	}
}

func commonEntry(t testing.TB) *event.Entry {
	ev, err := event.FromAudit(&audit.Event{
		Action: "api_key.created", OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
		Actor:    audit.Actor{Type: "user", ID: "0197f5c1-6c1e-7a44-9d2e-5b8b8d1f3a77", Name: "Ada Lövelace", Metadata: audit.Metadata{"role": "admin"}},
		Targets:  []audit.Target{{Type: "api_key", ID: "01G1", Name: "Dev key"}, {Type: "team", ID: "t1"}},
		Context:  audit.Context{Location: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},
		Metadata: audit.Metadata{"team": "core", "before": []any{"viewer", 1.5}, "nested": map[string]any{"deep": `va\lue`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &event.Entry{Event: *ev, ReceivedAt: 1_772_000_000_000}
}

func commonQueries() []string {
	return []string{
		"", "action:api_key.created", "action:api_key.*", "actor:0197f5c1-6c1e-7a44-9d2e-5b8b8d1f3a77", "target:t1 -location:10.0.0.1",
		"actor.name:lÖve", "metadata.team:core", "metadata.before:1.5", "metadata.nested.deep:va\\lue", "nothing", `"dev KEY" linux`,
		"after:2026-01-01 before:2027-01-01 actor.type:user", "version:1 -schema:unregistered",
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	e := commonEntry(t)
	for _, text := range commonQueries() {
		q, err := audit.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		m := search.Compile(q)
		if n := testing.AllocsPerRun(100, func() { m.Match(e) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	e := commonEntry(b)
	for _, text := range commonQueries() {
		q, err := audit.ParseQuery(text)
		if err != nil {
			b.Fatal(err)
		}
		m := search.Compile(q)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Match(e)
			}
		})
	}
}
