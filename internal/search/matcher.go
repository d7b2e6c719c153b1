package search

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Matcher is a query made ready to match many entries. It is immutable and may
// be used concurrently.
type Matcher struct {
	// occurred_at (Unix nanoseconds) and received_at (Unix milliseconds):
	// from ≤ t < to.
	occurredFrom, occurredTo int64
	receivedFrom, receivedTo int64
	conditions               []condition
}

// condition is one filter of a query in normal form.
type condition struct {
	field  audit.Field
	not    bool
	values values
	all    bool // every value must be there, not only one
	owner  string
	path   string
}

// Compile makes a query ready. An invalid query matches as audit.Query.Match has
// it; the caller has refused it before.
func Compile(q audit.Query) *Matcher {
	q = q.Normalize()
	m := &Matcher{
		occurredFrom: bound(q.OccurredFrom, math.MinInt64, time.Nanosecond),
		occurredTo:   bound(q.OccurredTo, math.MaxInt64, time.Nanosecond),
		receivedFrom: bound(q.ReceivedFrom, math.MinInt64, time.Millisecond),
		receivedTo:   bound(q.ReceivedTo, math.MaxInt64, time.Millisecond),
	}
	for _, f := range q.Filters {
		c := condition{field: f.Field, not: f.Not, all: f.Field == audit.FieldText && !f.Not}
		c.owner, c.path, _ = f.Field.MetadataPath()
		c.values = newValues(f.Field, f.Values)
		m.conditions = append(m.conditions, c)
	}
	return m
}

// bound turns one end of a range into a whole number of units, the next one for
// a time between two: for t in whole units, t is before both or neither.
func bound(t time.Time, none int64, unit time.Duration) int64 {
	if t.IsZero() {
		return none
	}
	ns := t.UnixNano()
	n := ns / int64(unit)
	if ns%int64(unit) > 0 {
		n++
	}
	return n
}

// Match is [audit.Query.Match] for an entry as the server has it. It allocates
// only for texts longer than usual that are not ASCII.
func (m *Matcher) Match(e *event.Entry) bool {
	if e.OccurredAt < m.occurredFrom || e.OccurredAt >= m.occurredTo || e.ReceivedAt < m.receivedFrom || e.ReceivedAt >= m.receivedTo {
		return false
	}
	return m.matchesConditions(e)
}

// matchesConditions is Match but for the times.
func (m *Matcher) matchesConditions(e *event.Entry) bool {
	for i := range m.conditions {
		if !m.conditions[i].match(e) {
			return false
		}
	}
	return true
}

// All reports whether every entry matches.
func (m *Matcher) All() bool {
	return len(m.conditions) == 0 && m.occurredFrom == math.MinInt64 && m.occurredTo == math.MaxInt64 &&
		m.receivedFrom == math.MinInt64 && m.receivedTo == math.MaxInt64
}

// OccurredBounds are the bounds of occurred_at in Unix nanoseconds: from ≤ t <
// to. Unbounded is math.MinInt64 and math.MaxInt64.
func (m *Matcher) OccurredBounds() (from, to int64) { return m.occurredFrom, m.occurredTo }

// ReceivedBounds are the bounds of received_at in Unix milliseconds: from ≤ t <
// to. Unbounded is math.MinInt64 and math.MaxInt64.
func (m *Matcher) ReceivedBounds() (from, to int64) { return m.receivedFrom, m.receivedTo }

// Exact returns the values of which an entry that matches has one in a field,
// letter for letter, sorted; nil when the query does not say so. It is what an
// index or a filter over the field can be asked. The caller does not change it.
func (m *Matcher) Exact(field audit.Field) []string {
	switch field {
	case audit.FieldID, audit.FieldAction, audit.FieldActorType, audit.FieldActorID,
		audit.FieldTargetType, audit.FieldTargetID, audit.FieldLocation:
	default:
		return nil
	}
	for i := range m.conditions {
		if c := &m.conditions[i]; c.field == field && !c.not && len(c.values.prefixes) == 0 {
			return c.values.list
		}
	}
	return nil
}

// match reports whether the condition holds.
func (c *condition) match(e *event.Entry) bool {
	if c.all {
		for _, v := range c.values.lower {
			if !hasText(e, v) {
				return false
			}
		}
		return true
	}
	return c.has(e) != c.not
}

// has reports whether the field has one of the values.
func (c *condition) has(e *event.Entry) bool {
	switch v := &c.values; c.field {
	case audit.FieldID:
		return v.has(e.ID[:])
	case audit.FieldAction:
		return v.has(e.Action) || v.hasPrefix(e.Action)
	case audit.FieldVersion:
		var b [8]byte
		return v.has(strconv.AppendInt(b[:0], int64(e.Version), 10))
	case audit.FieldActorType:
		return v.has(e.Actor.Type)
	case audit.FieldActorID:
		return v.has(e.Actor.ID)
	case audit.FieldActorName:
		return v.in(e.Actor.Name)
	case audit.FieldLocation:
		return v.has(e.Location)
	case audit.FieldUserAgent:
		return v.in(e.UserAgent)
	case audit.FieldSchema:
		return e.Unregistered == v.has([]byte(audit.SchemaUnregistered)) && e.Unregistered
	case audit.FieldText:
		return slices.ContainsFunc(v.lower, func(lower []byte) bool { return hasText(e, lower) })
	case audit.FieldTargetType, audit.FieldTargetID, audit.FieldTargetName:
		return c.hasTarget(e)
	default:
		return c.hasMetadata(e)
	}
}

func (c *condition) hasTarget(e *event.Entry) bool {
	for i := range e.Targets {
		t := &e.Targets[i]
		if c.field == audit.FieldTargetType && c.values.has(t.Type) ||
			c.field == audit.FieldTargetID && c.values.has(t.ID) ||
			c.field == audit.FieldTargetName && c.values.in(t.Name) {
			return true
		}
	}
	return false
}

func (c *condition) hasMetadata(e *event.Entry) bool {
	switch c.owner {
	case "actor":
		return c.values.atPath(e.Actor.Metadata, c.path)
	case "target":
		for i := range e.Targets {
			if c.values.atPath(e.Targets[i].Metadata, c.path) {
				return true
			}
		}
		return false
	default:
		return c.values.atPath(e.Metadata, c.path)
	}
}

// values are what a condition compares with: whole texts, prefixes, or parts in
// lower case.
type values struct {
	list     []string            // sorted
	set      map[string]struct{} // list again when it is long
	prefixes []string            // of actions
	lower    [][]byte            // list in lower case, where case is ignored
}

// fewValues is how many values are compared one by one.
const fewValues = 8

func newValues(field audit.Field, list []string) values {
	v := values{list: list}
	switch field {
	case audit.FieldAction:
		for _, s := range list {
			if prefix, ok := strings.CutSuffix(s, "*"); ok {
				v.prefixes = append(v.prefixes, prefix)
			}
		}
	case audit.FieldActorName, audit.FieldTargetName, audit.FieldUserAgent, audit.FieldText:
		for _, s := range list {
			v.lower = append(v.lower, []byte(strings.ToLower(s)))
		}
	}
	if len(list) > fewValues {
		v.set = make(map[string]struct{}, len(list))
		for _, s := range list {
			v.set[s] = struct{}{}
		}
	}
	return v
}

// has reports whether b is one of the values.
func (v *values) has(b []byte) bool {
	if v.set != nil {
		_, ok := v.set[string(b)]
		return ok
	}
	return slices.ContainsFunc(v.list, func(s string) bool { return string(b) == s })
}

// hasPrefix reports whether b begins with one of the prefixes.
func (v *values) hasPrefix(b []byte) bool {
	for _, p := range v.prefixes {
		if len(b) >= len(p) && string(b[:len(p)]) == p {
			return true
		}
	}
	return false
}

// in reports whether b contains one of the values, ignoring case.
func (v *values) in(b []byte) bool {
	for _, lower := range v.lower {
		if containsFold(b, lower) {
			return true
		}
	}
	return false
}
