package search

import (
	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Matcher is a query made ready to match many entries. It is immutable and may
// be used concurrently.
type Matcher struct{}

// Compile makes a query ready.
func Compile(q audit.Query) *Matcher { panic("unfinished") }

// Match is [audit.Query.Match] for an entry as the server has it.
func (m *Matcher) Match(e *event.Entry) bool { panic("unfinished") }

// OccurredBounds are the bounds of occurred_at in Unix nanoseconds: from ≤ t <
// to. Unbounded is math.MinInt64 and math.MaxInt64.
func (m *Matcher) OccurredBounds() (from, to int64) { panic("unfinished") }

// ReceivedBounds are the bounds of received_at in Unix milliseconds: from ≤ t <
// to. Unbounded is math.MinInt64 and math.MaxInt64.
func (m *Matcher) ReceivedBounds() (from, to int64) { panic("unfinished") }

// Exact returns the values of which an entry that matches has one in a field,
// letter for letter; nil when the query does not say so.
func (m *Matcher) Exact(field audit.Field) []string { panic("unfinished") }
