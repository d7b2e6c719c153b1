package demo

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/storetest"
)

func sunday() time.Time { return time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC) }

// year is the large organization's, made once for all tests, which only read it.
var year = sync.OnceValue(func() []Item { return slices.Collect(Main(1, sunday()).All()) })

// years are ends of years on different days of the week, and a seed for each.
func years() map[uint64]time.Time {
	return map[uint64]time.Time{
		1: sunday(),
		2: time.Date(2026, 7, 1, 9, 30, 0, 123, time.UTC),
		3: time.Date(2027, 1, 8, 2, 0, 0, 0, time.UTC),
		4: time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC),
	}
}

// registry knows the catalogue, and refuses everything else.
func registry(t testing.TB) *schema.Registry {
	t.Helper()
	r, err := schema.Open(t.Context(), storetest.NewMemory(), schema.ModeStrict, sunday)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCatalogue(t *testing.T) {
	c, err := Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	r := registry(t)
	if len(c.Schemas) != 203 || len(r.Actions()) != 180 {
		t.Errorf("%d schemas of %d actions, want 203 of 180", len(c.Schemas), len(r.Actions()))
	}
	for i := range c.Schemas {
		s := &c.Schemas[i]
		if s.Description == "" {
			t.Errorf("%s version %d has no description", s.Action, s.Version)
		}
		example := schema.Example(s, sunday())
		if err := check(r, example); err != nil {
			t.Errorf("%s version %d: its example: %v", s.Action, s.Version, err)
		}
		for what, change := range map[string]func(*audit.Event){
			"another target":    func(e *audit.Event) { e.Targets[0].Type = "spaceship" },
			"no target":         func(e *audit.Event) { e.Targets = nil },
			"a third version":   func(e *audit.Event) { e.Version = 3 },
			"a role as a list":  func(e *audit.Event) { e.Actor.Metadata["user_base_role_slug"] = []any{"admin"} },
			"a number for text": func(e *audit.Event) { spoil(e, s) },
		} {
			wrong := schema.Example(s, sunday())
			change(&wrong)
			if err := check(r, wrong); err == nil && !cmp.Equal(wrong, example) {
				t.Errorf("%s version %d: accepted with %s", s.Action, s.Version, what)
			}
		}
	}
}

// spoil gives a field of the metadata, if there is one, a value of another type.
func spoil(e *audit.Event, s *schema.Schema) {
	if s.Metadata != nil {
		for name := range s.Metadata.Properties {
			e.Metadata[name] = 12.0
		}
	}
}

func check(r *schema.Registry, e audit.Event) error {
	ev, err := event.FromAudit(&e)
	if err != nil {
		return err
	}
	return r.Check(ev)
}

// TestYears holds every year to what an audit log must be like: valid, in order,
// within its time, complete in its kinds.
func TestYears(t *testing.T) {
	r := registry(t)
	for seed, end := range years() {
		t.Run(end.Format(time.DateOnly), func(t *testing.T) {
			g := Main(seed, end)
			used := map[schema.Ref]int{}
			n := 0
			var last time.Time
			for item := range g.All() {
				n++
				e := &item.Event
				used[schema.Ref{Action: e.Action, Version: e.Version}]++
				checkTimes(t, g, item, last)
				if seed == 1 || n%10 == 0 { // one year whole, others in samples
					checkTexts(t, e)
					if err := check(r, *e); err != nil {
						t.Fatalf("%s at %s: %v", e.Action, e.OccurredAt, err)
					}
				}
				last = item.ReceivedAt
			}
			if n < 47_500 || n > 52_500 {
				t.Errorf("%d events, want about 50,000", n)
			}
			for _, s := range r.All() {
				if used[s.Ref()] == 0 {
					t.Errorf("there is no %s version %d", s.Action, s.Version)
				}
			}
			if age := end.Sub(last); age > 2*time.Hour {
				t.Errorf("the last event is %s old", age)
			}
		})
	}
}

func checkTimes(t *testing.T, g *Generator, item Item, last time.Time) {
	t.Helper()
	e := &item.Event
	switch lag := item.ReceivedAt.Sub(e.OccurredAt); {
	case lag <= 0 || lag > 8*time.Hour:
		t.Errorf("%s at %s is received %s later", e.Action, e.OccurredAt, lag)
	case item.ReceivedAt.Before(last):
		t.Errorf("%s is received at %s, before the one before it", e.Action, item.ReceivedAt)
	case e.OccurredAt.Before(g.Start()) || item.ReceivedAt.After(g.end):
		t.Errorf("%s at %s is outside the year", e.Action, e.OccurredAt)
	case !item.ReceivedAt.Equal(item.ReceivedAt.Truncate(time.Millisecond)):
		t.Errorf("%s is received at %s, between milliseconds", e.Action, item.ReceivedAt)
	}
}

func checkTexts(t *testing.T, e *audit.Event) {
	t.Helper()
	texts := map[string]string{"actor": e.Actor.Name, "actor id": e.Actor.ID, "location": e.Context.Location}
	for i, target := range e.Targets {
		texts[fmt.Sprint("target ", i)], texts[fmt.Sprint("target id ", i)] = target.Name, target.ID
	}
	for key, v := range e.Metadata {
		if s, ok := v.(string); ok && s != "" {
			texts[key] = s
		}
	}
	for what, text := range texts {
		if strings.TrimSpace(text) != text || text == "" || strings.Contains(text, "%!") || strings.ContainsAny(text, "\n\t|") {
			t.Errorf("%s: %s is %q", e.Action, what, text)
		}
	}
	addr, err := netip.ParseAddr(e.Context.Location)
	if err != nil || !slices.ContainsFunc(documentation(), func(p netip.Prefix) bool { return p.Contains(addr) }) {
		t.Errorf("%s: location %q is somebody's", e.Action, e.Context.Location)
	}
}

// documentation are the networks of RFC 5737 and RFC 3849.
func documentation() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
}

func TestActors(t *testing.T) {
	wants := map[string]struct {
		least int
		keys  []string
	}{
		"user":              {15_000, []string{"user_base_role_slug", "user_custom_role_slugs"}},
		"api_key":           {5_000, []string{"api_key_roles"}},
		"system":            {3_000, nil},
		"workflow":          {300, nil},
		"external_resource": {500, []string{"external_resource_external_id", "external_resource_type"}},
		"alert":             {150, []string{"alert_source_id"}},
	}
	counts := map[string]int{}
	for _, item := range year() {
		a := item.Event.Actor
		counts[a.Type]++
		var keys []string
		for key := range a.Metadata {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if diff := cmp.Diff(wants[a.Type].keys, keys); diff != "" {
			t.Fatalf("metadata of %s %s (-want +got):\n%s", a.Type, a.Name, diff)
		}
	}
	for kind, want := range wants {
		if counts[kind] < want.least {
			t.Errorf("%d events by actors of type %s, want %d or more", counts[kind], kind, want.least)
		}
	}
	if len(counts) != len(wants) {
		t.Errorf("actor types %v", counts)
	}
}

func TestVersionsChangeOnce(t *testing.T) {
	type span struct{ first, last time.Time }
	spans := map[schema.Ref]span{}
	for _, item := range year() {
		ref, at := schema.Ref{Action: item.Event.Action, Version: item.Event.Version}, item.Event.OccurredAt
		s, ok := spans[ref]
		if !ok || at.Before(s.first) {
			s.first = at
		}
		if at.After(s.last) {
			s.last = at
		}
		spans[ref] = s
	}
	both := 0
	for ref, second := range spans {
		first, ok := spans[schema.Ref{Action: ref.Action, Version: 1}]
		if ref.Version != 2 || !ok {
			continue
		}
		both++
		if !first.last.Before(second.first) {
			t.Errorf("%s: version 1 until %s, version 2 from %s", ref.Action, first.last, second.first)
		}
	}
	if both != 23 {
		t.Errorf("%d actions have two versions, want 23", both)
	}
}

// TestRhythm looks at when people do things, in their own zone.
func TestRhythm(t *testing.T) {
	zones := map[string]time.Duration{}
	for line := range strings.SplitSeq(peopleText, "\n") {
		if f := fields(line, "|"); len(f) > 1 && !strings.HasPrefix(line, "#") {
			zones[f[0]] = offices()[f[1]].zone
		}
	}
	var people, office, night, weekend, late, failed int
	for _, item := range year() {
		e := item.Event
		if outcome := e.Metadata["outcome"]; outcome == "failure" || outcome == "denied" {
			failed++
		}
		if item.ReceivedAt.Sub(e.OccurredAt) > time.Hour {
			late++
		}
		if e.Actor.Type != "user" {
			continue
		}
		people++
		local := e.OccurredAt.Add(zones[e.Actor.Name])
		switch day := local.Weekday(); {
		case day == time.Saturday || day == time.Sunday:
			weekend++
		case local.Hour() >= 8 && local.Hour() < 19:
			office++
		case local.Hour() < 6:
			night++
		}
	}
	share := func(what string, n int, lo, hi float64) {
		if s := float64(n) / float64(people); s < lo || s > hi {
			t.Errorf("%.3f of what people do is %s, want %.3f to %.3f", s, what, lo, hi)
		}
	}
	share("in working hours", office, 0.75, 0.95)
	share("at night", night, 0.005, 0.08)
	share("at the weekend", weekend, 0.01, 0.12)
	if late < 10 || late > 200 {
		t.Errorf("%d events are more than an hour late, want some", late)
	}
	if failed < 700 || failed > 4000 {
		t.Errorf("%d failures and refusals, want some", failed)
	}
}

// TestStories looks for what somebody should be able to find.
func TestStories(t *testing.T) {
	const window = 2 * time.Hour
	var times []time.Time
	var intruder []audit.Event
	var joiners, rotated int
	addresses := map[string]map[string]bool{}
	for _, item := range year() {
		e := item.Event
		if addresses[e.Context.Location] == nil {
			addresses[e.Context.Location] = map[string]bool{}
		}
		addresses[e.Context.Location][e.Actor.Name] = true
		if e.Action != "catalog_entry_attribute.updated" {
			times = append(times, e.OccurredAt)
		}
		switch {
		case e.Context.Location == "192.0.2.213":
			intruder = append(intruder, e)
		case e.Action == "user.created":
			joiners++
		case e.Action == "api_key.rotated" && e.Metadata["reason"] != "scheduled":
			rotated++
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	burst, from := 0, 0
	for i := range times {
		for times[i].Sub(times[from]) > window {
			from++
		}
		burst = max(burst, i-from+1)
	}
	if burst < 500 {
		t.Errorf("the busiest two hours have %d events, want the 500 or more of a major incident", burst)
	}
	denied := 0
	for _, e := range intruder {
		if e.Metadata["outcome"] == "denied" {
			denied++
		}
	}
	if denied < 30 || len(addresses["192.0.2.213"]) != 1 {
		t.Errorf("%d refusals from the unusual address, used by %v", denied, addresses["192.0.2.213"])
	}
	if joiners != 15 || rotated < 7 {
		t.Errorf("%d accounts were created and %d keys rotated at once", joiners, rotated)
	}
}

// TestThingsKeepTheirNames: who filters by an id must not find two things.
func TestThingsKeepTheirNames(t *testing.T) {
	names := map[string]string{}
	for _, item := range year() {
		for _, target := range item.Event.Targets {
			key := target.Type + " " + target.ID
			if strings.HasPrefix(item.Event.Action, "postmortem_") {
				continue // their first versions call them by another type
			}
			if was, ok := names[key]; ok && was != target.Name {
				t.Fatalf("%s is %q and %q", key, was, target.Name)
			}
			names[key] = target.Name
		}
	}
	if len(names) < 3000 {
		t.Errorf("only %d things", len(names))
	}
}

// TestValuesFollow: a setting is before a change what it was after the last.
// Sessions that overlap may disagree, as those of people do.
func TestValuesFollow(t *testing.T) {
	var items []Item
	for _, item := range year() {
		if strings.HasSuffix(item.Event.Action, ".updated") && item.Event.Metadata["outcome"] == nil && len(item.Event.Targets) == 1 {
			items = append(items, item)
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int { return a.Event.OccurredAt.Compare(b.Event.OccurredAt) })
	values := map[string]any{}
	follows, breaks := 0, 0
	for _, item := range items {
		e := item.Event
		kind := e.Targets[0].Type
		if kind == "user" || kind == "schedule_override" || kind == "schedule_sync_target" {
			continue
		}
		for key, after := range e.Metadata {
			name, ok := strings.CutPrefix(key, "after_")
			if !ok {
				continue
			}
			id := e.Targets[0].ID + name
			if was, ok := values[id]; ok {
				if was == e.Metadata["before_"+name] {
					follows++
				} else {
					breaks++
				}
			}
			values[id] = after
		}
	}
	if follows < 4000 || breaks*100 > follows {
		t.Errorf("%d changes follow the one before, %d do not", follows, breaks)
	}
}

func TestSameSeedSameYear(t *testing.T) {
	digest := func(items iter.Seq[Item]) [32]byte {
		h := sha256.New()
		enc := json.NewEncoder(h)
		for item := range items {
			if err := enc.Encode(item); err != nil {
				t.Fatal(err)
			}
		}
		return [32]byte(h.Sum(nil))
	}
	one := digest(Second(1, sunday()).All())
	if digest(Second(1, sunday()).All()) != one {
		t.Error("the same seed made another year")
	}
	if digest(Second(2, sunday()).All()) == one {
		t.Error("another seed made the same year")
	}
	n := 0
	for again := range Main(1, sunday()).All() {
		first := &year()[n]
		if again.ReceivedAt != first.ReceivedAt || again.Event.Actor.ID != first.Event.Actor.ID || again.Event.Targets[0].ID != first.Event.Targets[0].ID {
			t.Fatalf("event %d differs when the year is made again", n)
		}
		n++
	}
	if n != len(year()) {
		t.Errorf("%d events, then %d", len(year()), n)
	}
}

func TestAllStopsWhenAsked(t *testing.T) {
	n := 0
	for range Main(1, sunday()).All() {
		if n++; n == 1000 {
			break
		}
	}
	if n != 1000 {
		t.Errorf("%d events after a break at 1000", n)
	}
}

// TestAnyDay makes the small organization's year at many moments: where few
// people work, one day may find nobody who could do what a story wants.
func TestAnyDay(t *testing.T) {
	for i := range 12 {
		now := sunday().Add(time.Duration(i) * 67 * time.Hour)
		n := 0
		for range Second(1, now).All() {
			n++
		}
		if n < 1500 {
			t.Errorf("%s: %d events", now, n)
		}
	}
}

func TestSecondOrganization(t *testing.T) {
	r := registry(t)
	known := map[string]string{}
	for _, item := range year() {
		for _, target := range item.Event.Targets {
			known[target.ID] = target.Name
		}
		known[item.Event.Actor.Name] = item.Event.Actor.Type
	}
	g := Second(1, sunday())
	n := 0
	for item := range g.All() {
		n++
		if err := check(r, item.Event); err != nil {
			t.Fatal(err)
		}
		for _, target := range item.Event.Targets {
			if name, ok := known[target.ID]; ok {
				t.Errorf("%s %q has the id of %q in the other organization", target.Type, target.Name, name)
			}
		}
		if item.Event.Actor.Type == "user" && known[item.Event.Actor.Name] == "user" {
			t.Errorf("%s works for both organizations", item.Event.Actor.Name)
		}
		text, err := json.Marshal(item.Event)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(text)), "corvane") {
			t.Errorf("the other organization's name is in %s", text)
		}
	}
	if n < 2000 || n > 4000 {
		t.Errorf("%d events, want about 3,000", n)
	}
	if a, b := Main(1, sunday()).Organization(), g.Organization(); a.ID == b.ID || a.Name == b.Name || a.ExternalID == b.ExternalID || a.Domain == b.Domain {
		t.Errorf("organizations %+v and %+v", a, b)
	}
}
