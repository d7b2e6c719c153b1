package search

import (
	"context"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Scanner is the plainest [Engine]: it looks at every entry that it cannot rule
// out. A store that can read its entries in order has an engine by filling in
// Head and Read.
type Scanner struct {
	// Head returns the size of a log and the received_at (Unix milliseconds)
	// of its last entry, as far as commits are durable.
	Head func(ctx context.Context, org string) (size uint64, receivedAt int64, err error)
	// Read yields the entries with from ≤ seq < to, in seq order or falling
	// when desc. An entry is valid until the next one.
	Read func(ctx context.Context, org string, from, to uint64, desc bool) iter.Seq2[*event.Entry, error]
	// Spans, when not nil, yields what is known about ranges of seq that
	// together cover from ≤ seq < to, in falling order, so that ranges which
	// cannot matter are not read.
	Spans func(ctx context.Context, org string, from, to uint64) iter.Seq2[Span, error]
}

// Span is what is known about the entries with From ≤ seq < To.
type Span struct {
	From, To uint64
	// MinOccurredAt and MaxOccurredAt bound their occurred_at, both included
	// (Unix nanoseconds).
	MinOccurredAt, MaxOccurredAt int64
}

var _ Engine = (*Scanner)(nil)

// Search implements [Engine].
func (s *Scanner) Search(ctx context.Context, org string, r Request) (Page, error) {
	panic("unfinished")
}

// Scan implements [Engine].
func (s *Scanner) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Histogram implements [Engine].
func (s *Scanner) Histogram(ctx context.Context, org string, q audit.Query, iv Interval) (Histogram, error) {
	panic("unfinished")
}

// Facets implements [Engine].
func (s *Scanner) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (Facets, error) {
	panic("unfinished")
}
