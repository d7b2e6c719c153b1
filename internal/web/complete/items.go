package complete

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

// Item is one thing that may come next.
type Item struct {
	// Insert takes the place of the term.
	Insert string `json:"insert"`
	// Text is what the item is called, Note what tells it from others.
	Text string `json:"text"`
	Note string `json:"note,omitempty"`
	// Group is what kind of thing it is, such as "Actor".
	Group string `json:"group"`
	// Count is how many events have it; nothing for names of fields.
	Count *uint64 `json:"count,omitempty"`
	// More says that typing goes on in the same term: a name waits for its
	// value.
	More bool `json:"more,omitempty"`
}

// Name is a field or a bound of time, with what it is for.
type Name struct{ Name, Note string }

// Names are what may stand before a colon, what is used most first.
func Names() []Name {
	return []Name{
		{"action", "what was done, such as api_key.created or api_key.*"},
		{"actor", "who did it, by id"},
		{"target", "what it was done to, by id"},
		{"actor.name", "a part of the actor's name"},
		{"actor.type", "such as user or api_key"},
		{"target.name", "a part of a target's name"},
		{"target.type", "such as role or document"},
		{"location", "the address it came from"},
		{"user_agent", "a part of the browser or program"},
		{"after", "occurred then or later: 2026-03-01, by the clocks of this page"},
		{"before", "occurred earlier: 2026-03-01, by the clocks of this page"},
		{"metadata.", "a key of the event's metadata"},
		{"actor.metadata.", "a key of the actor's metadata"},
		{"target.metadata.", "a key of a target's metadata"},
		{"received.after", "recorded then or later"},
		{"received.before", "recorded earlier"},
		{"id", "one entry"},
		{"version", "of the event's schema"},
		{"schema", "unregistered: recorded without a schema"},
	}
}

// Fields are the names that a word may become: those that begin with it, then
// those with a part that does. paths are paths into metadata that were seen.
func Fields(word string, not bool, paths []string) []Item {
	names := Names()
	for _, p := range paths {
		names = append(names, Name{p, "seen in these events"})
	}
	word = strings.ToLower(word)
	var first, then []Item
	for _, n := range names {
		item := Item{Insert: sign(not) + quoteName(n.Name), Text: n.Name, Note: n.Note, Group: "Filter", More: true}
		switch {
		case strings.HasPrefix(n.Name, word):
			first = append(first, item)
		case strings.Contains(n.Name, "."+word) || strings.Contains(n.Name, "_"+word):
			then = append(then, item)
		}
	}
	return append(first, then...)
}

func sign(not bool) string {
	if not {
		return "-"
	}
	return ""
}

// quoteName is a name with its colon; a path that is still to be chosen has none
// yet.
func quoteName(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	if strings.ContainsAny(name, " \":") {
		q := audit.Query{Filters: []audit.Filter{{Field: audit.Field(name), Values: []string{"x"}}}}
		return strings.TrimSuffix(q.String(), "x")
	}
	return name + ":"
}

// Values are the counted values that a word may become: those that begin with it,
// then those that contain it, in their order. Names count like values.
func Values(field audit.Field, group, word string, not bool, counted []search.FacetValue) []Item {
	word = strings.ToLower(word)
	type ranked struct {
		rank int
		item Item
	}
	var found []ranked
	for i := range counted {
		v := &counted[i]
		r := rank(word, strings.ToLower(v.Value), strings.ToLower(v.Name))
		if r < 0 {
			continue
		}
		item := Item{Insert: Term(field, v.Value, not), Text: v.Value, Group: group, Count: &v.Count}
		if v.Name != "" {
			item.Text, item.Note = v.Name, v.Value
		}
		found = append(found, ranked{r, item})
	}
	slices.SortStableFunc(found, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	items := make([]Item, len(found))
	for i := range found {
		items[i] = found[i].item
	}
	return items
}

// rank is 0 for what begins with the word, 1 for what has a part that does, 2 for
// what contains it, -1 for what does not.
func rank(word, value, name string) int {
	best := -1
	for _, s := range []string{value, name} {
		at := strings.Index(s, word)
		r := 2
		switch {
		case at < 0 || s == "":
			continue
		case at == 0:
			r = 0
		case strings.ContainsRune(" ._-:@/", rune(s[at-1])):
			r = 1
		}
		if best < 0 || r < best {
			best = r
		}
	}
	return best
}

// Families are the beginnings that counted actions share, such as api_key.*, with
// the sum of their counts.
func Families(word string, not bool, counted []search.FacetValue) []Item {
	word = strings.ToLower(word)
	type family struct {
		name  string
		count uint64
		n     int
	}
	var all []*family
	byName := map[string]*family{}
	for _, v := range counted {
		i := strings.LastIndexByte(v.Value, '.')
		if i <= 0 || strings.Contains(v.Value[:i], "*") {
			continue
		}
		name := v.Value[:i+1]
		f := byName[name]
		if f == nil {
			f = &family{name: name}
			byName[name] = f
			all = append(all, f)
		}
		f.count += v.Count
		f.n++
	}
	slices.SortStableFunc(all, func(a, b *family) int { return cmp.Compare(b.count, a.count) })
	var items []Item
	for _, f := range all {
		if f.n < 2 || rank(word, strings.ToLower(f.name), "") < 0 || rank(word, strings.ToLower(f.name), "") > 1 {
			continue
		}
		items = append(items, Item{
			Insert: Term(audit.FieldAction, f.name+"*", not), Text: f.name + "*", Note: "all of them", Group: "Event type", Count: &f.count,
		})
	}
	return items
}

// Term is one condition in the filter language.
func Term(field audit.Field, value string, not bool) string {
	return audit.Query{Filters: []audit.Filter{{Field: field, Values: []string{value}, Not: not}}}.String()
}
