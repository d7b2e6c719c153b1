package searchtest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

// Keep is what a search.Keep is made of.
type Keep struct {
	Due   []audit.Query
	Holds []search.Hold
}

// New makes the search.Keep.
func (k Keep) New() *search.Keep { return search.NewKeep(k.Due, k.Holds) }

// Shows is the definition of what is shown: what is not due, and what a hold keeps.
func (k Keep) Shows(e *audit.Entry) bool {
	if !matchesAny(k.Due, e) {
		return true
	}
	for i, h := range k.Holds {
		if !h.Over && k.keeps(i, e) {
			return true
		}
	}
	return false
}

// keeps reports whether the i-th hold keeps an entry: what it finds, but for what
// was due when it was made and which no hold of then kept.
func (k Keep) keeps(i int, e *audit.Entry) bool {
	h := &k.Holds[i]
	return h.Query.Match(e) && (!matchesAny(h.Due, e) || slices.ContainsFunc(h.Before, func(b int) bool { return k.keeps(b, e) }))
}

func matchesAny(queries []audit.Query, e *audit.Entry) bool {
	return slices.ContainsFunc(queries, func(q audit.Query) bool { return q.Match(e) })
}

// Keeps gives what may be kept of a log of entries: a period for all, periods for
// classes of actions beside one for the others, or any queries; and holds, some of
// which were made when some entries were due already, or are over.
func Keeps(entries []audit.Entry) *rapid.Generator[Keep] {
	return rapid.Custom(func(t *rapid.T) Keep {
		k := Keep{Due: due(t, entries, "due")}
		for i := range rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "holds") {
			h := search.Hold{Query: Queries(entries).Draw(t, "hold"), Over: rapid.IntRange(0, 3).Draw(t, "over") == 0}
			if rapid.Bool().Draw(t, "made late") {
				h.Due = due(t, entries, "due before")
			}
			for b := range i {
				if rapid.Bool().Draw(t, "named") {
					h.Before = append(h.Before, b)
				}
			}
			k.Holds = append(k.Holds, h)
		}
		return k
	})
}

func due(t *rapid.T, entries []audit.Entry, what string) []audit.Query {
	if len(entries) == 0 {
		return nil
	}
	switch rapid.IntRange(0, 5).Draw(t, what) {
	case 0:
		return nil
	case 1, 2:
		return []audit.Query{before(t, entries, audit.Query{})}
	case 3, 4:
		return classes(t, entries)
	default:
		return []audit.Query{before(t, entries, Queries(entries).Draw(t, "odd"))}
	}
}

// classes are periods for patterns of actions, and one for all other actions.
func classes(t *rapid.T, entries []audit.Entry) []audit.Query {
	var patterns []string
	var list []audit.Query
	for range rapid.IntRange(1, 3).Draw(t, "classes") {
		p := actionPattern(t, pick(t, entries).Action)
		if p == "" || slices.Contains(patterns, p) {
			continue
		}
		class := []audit.Filter{{Field: audit.FieldAction, Values: []string{p}}}
		if len(patterns) > 0 {
			class = append(class, audit.Filter{Field: audit.FieldAction, Not: true, Values: slices.Clone(patterns)})
		}
		patterns = append(patterns, p)
		list = append(list, before(t, entries, audit.Query{Filters: class}))
	}
	others := audit.Query{}
	if len(patterns) > 0 {
		others.Filters = []audit.Filter{{Field: audit.FieldAction, Not: true, Values: patterns}}
	}
	return append(list, before(t, entries, others))
}

// before has a query end at the time of an entry or just beside, or after all.
func before(t *rapid.T, entries []audit.Entry, q audit.Query) audit.Query {
	at := pick(t, entries).ReceivedAt.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "beside")) * time.Millisecond)
	if !q.ReceivedFrom.IsZero() && at.Before(q.ReceivedFrom) {
		at = q.ReceivedFrom
	}
	q.ReceivedTo = at
	if q.Validate() != nil {
		return audit.Query{ReceivedTo: at}
	}
	return q
}
