package search

import (
	"math"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Keep says which entries of a log are past their time at a moment, and so are
// shown to nobody, whether or not their bytes are gone. It is immutable. Nil
// keeps everything.
//
// Which entries are due depends on nothing but the entry: an entry that is due
// stays due, so what one reader does not see none will see again.
type Keep struct {
	due  []*Matcher
	held []heldBy
	// Queries of due and of holds, for engines that answer them in bulk.
	dueQueries  []audit.Query
	heldQueries []Hold
}

// Hold keeps the entries that match Query, but for those that were due already
// when the hold was made, which match one of Due, and that no hold of then kept.
type Hold struct {
	Query audit.Query
	Due   []audit.Query
	// Before are holds that were in force when this one was made and are over
	// since, by their place in the list of holds, which is before this one's:
	// what they keep and this one's Query matches is kept although it was due.
	Before []int
	// Over says that the hold keeps nothing itself: it is there for those that
	// name it in Before.
	Over bool
}

type heldBy struct {
	match  *Matcher
	due    []*Matcher
	before []int
	over   bool
}

// keeps reports whether the i-th hold keeps an entry, in force or not. What is
// known of each hold is noted, so that none is asked twice.
func keeps(list []heldBy, i int, e *event.Entry, known map[int]bool) bool {
	h := &list[i]
	if !h.match.Match(e) {
		return false
	}
	if !anyMatches(h.due, e) {
		return true
	}
	for _, b := range h.before {
		kept, ok := known[b]
		if !ok {
			kept = keeps(list, b, e, known)
			known[b] = kept
		}
		if kept {
			return true
		}
	}
	return false
}

// NewKeep says that entries which match one of due are past their time, unless
// one of the holds keeps them. Queries of due have a ReceivedTo: nothing is due
// that was received at or after the latest of these.
func NewKeep(due []audit.Query, holds []Hold) *Keep {
	k := &Keep{dueQueries: due, heldQueries: holds, due: compileAll(due)}
	for _, h := range holds {
		k.held = append(k.held, heldBy{Compile(h.Query), compileAll(h.Due), h.Before, h.Over})
	}
	return k
}

// At is the Keep of another moment: with the same holds, and other entries past
// their time.
func (k *Keep) At(due []audit.Query) *Keep {
	return &Keep{dueQueries: due, heldQueries: k.heldQueries, due: compileAll(due), held: k.held}
}

func compileAll(queries []audit.Query) []*Matcher {
	list := make([]*Matcher, len(queries))
	for i, q := range queries {
		list[i] = Compile(q)
	}
	return list
}

// Due and Holds are what the Keep was made of.
func (k *Keep) Due() []audit.Query {
	if k == nil {
		return nil
	}
	return k.dueQueries
}

// Holds returns the holds that the Keep was made of.
func (k *Keep) Holds() []Hold {
	if k == nil {
		return nil
	}
	return k.heldQueries
}

// Shows reports whether an entry is shown.
func (k *Keep) Shows(e *event.Entry) bool {
	return k == nil || !anyMatches(k.due, e) || k.Held(e)
}

// Held reports whether a hold keeps the entry, due or not.
func (k *Keep) Held(e *event.Entry) bool {
	if k == nil {
		return false
	}
	var known map[int]bool
	for i := range k.held {
		if k.held[i].over {
			continue
		}
		if known == nil && len(k.held[i].before) > 0 {
			known = map[int]bool{}
		}
		if keeps(k.held, i, e, known) {
			return true
		}
	}
	return false
}

// DueBefore is the received_at from which on nothing is due, in Unix
// milliseconds; math.MinInt64 when nothing ever is.
func (k *Keep) DueBefore() int64 {
	before := MinReceived
	if k == nil {
		return before
	}
	for _, m := range k.due {
		before = max(before, m.receivedTo)
	}
	return before
}

// DueFloor is a received_at before which everything is due, held or not, in Unix
// milliseconds; MinReceived when that is not known. It is as late as the queries
// that are about actions and an end of received_at alone can tell.
func (k *Keep) DueFloor() int64 {
	if k == nil {
		return MinReceived
	}
	// Of all actions, the patterns tell no more apart than these: each one that is
	// named, with "a.*" for one that begins with "a." and that no longer pattern
	// names, and one that none names.
	actions := []string{unnamed}
	var plain []*Matcher
	for _, m := range k.due {
		if !m.plainClass() {
			continue
		}
		plain = append(plain, m)
		for i := range m.conditions {
			actions = append(actions, m.conditions[i].values.list...)
		}
	}
	floor := int64(math.MaxInt64)
	for _, action := range actions {
		due := MinReceived
		e := event.Entry{Event: event.Event{Action: []byte(action)}}
		for _, m := range plain {
			if m.matchesConditions(&e) {
				due = max(due, m.receivedTo)
			}
		}
		floor = min(floor, due)
	}
	return floor
}

// unnamed is what no action has: actions are of letters, digits and the like.
const unnamed = "\x00"

// plainClass reports whether nothing but the action and an end of received_at
// decides about an entry.
func (m *Matcher) plainClass() bool {
	return m.occurredFrom == math.MinInt64 && m.occurredTo == math.MaxInt64 && m.receivedFrom == math.MinInt64 &&
		!slices.ContainsFunc(m.conditions, func(c condition) bool { return c.field != audit.FieldAction })
}

// MinReceived is before every received_at.
const MinReceived = int64(math.MinInt64)

func anyMatches(list []*Matcher, e *event.Entry) bool {
	for _, m := range list {
		if m.Match(e) {
			return true
		}
	}
	return false
}

// Keeper says what is kept of an organization's log at this moment. It is
// called for every read, so it must be fast and must not read from the store's
// logs. Its error fails the read.
type Keeper func(org string, now time.Time) (*Keep, error)
