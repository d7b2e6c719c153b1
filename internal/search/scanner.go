package search

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Scanner is the plainest [Engine]: it looks at every entry that it cannot rule
// out by its time. A store that reads its entries in order has an engine by
// embedding a Scanner and filling in Head and Read. The functions may be called
// concurrently and are not changed once the Scanner is used.
type Scanner struct {
	// Head returns the size of a log and the received_at (Unix milliseconds)
	// of its last entry, as far as commits are durable. An organization
	// without a log has size 0.
	Head func(ctx context.Context, org string) (size uint64, receivedAt int64, err error)
	// Read yields the entries with from ≤ seq < to, which are below a size
	// that Head returned, in seq order or falling when desc. An entry is
	// valid until the next one. An error ends the sequence.
	Read func(ctx context.Context, org string, from, to uint64, desc bool) iter.Seq2[*event.Entry, error]
	// Spans, when not nil, yields what is known about ranges of seq that
	// together are from ≤ seq < to, in seq order or falling when desc, so
	// that ranges which cannot matter are not read.
	Spans func(ctx context.Context, org string, from, to uint64, desc bool) iter.Seq2[Span, error]
	// Keep says what is shown; everything is when nil. Now is its clock, time.Now
	// when nil.
	Keep Keeper
	Now  func() time.Time
}

// Span is what is known about the entries with From ≤ seq < To.
type Span struct {
	From, To uint64
	// MinOccurredAt and MaxOccurredAt bound their occurred_at, both included
	// (Unix nanoseconds).
	MinOccurredAt, MaxOccurredAt int64
}

var _ Engine = (*Scanner)(nil)

// readAhead is how many entries of neighbouring spans are read at once: enough
// to make up for the start of a read, few enough to learn soon that no more are
// needed.
const readAhead = 4096

// Search implements [Engine].
func (s *Scanner) Search(ctx context.Context, org string, r Request) (Page, error) {
	size, receivedAt, err := s.Head(ctx, org)
	if err != nil {
		return Page{}, fmt.Errorf("search: read head: %w", err)
	}
	pager, err := NewPager(org, r, size, receivedAt)
	if err != nil {
		return Page{}, err
	}
	keep, err := s.keep(org)
	if err != nil {
		return Page{}, fmt.Errorf("search: %w", err)
	}
	for e, err := range s.entries(ctx, org, 0, pager.Bound(), !r.Ascending, pager.Skips) {
		if err != nil {
			return Page{}, fmt.Errorf("search: %w", err)
		}
		if keep.Shows(e) {
			pager.Offer(e)
		}
	}
	return pager.Page(), nil
}

// Scan implements [Engine].
func (s *Scanner) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		if err := q.Validate(); err != nil {
			yield(nil, err)
			return
		}
		size, _, err := s.Head(ctx, org)
		if err != nil {
			yield(nil, fmt.Errorf("scan: read head: %w", err))
			return
		}
		for e, err := range s.matching(ctx, org, Compile(q), from, min(to, size), desc) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Histogram implements [Engine].
func (s *Scanner) Histogram(ctx context.Context, org string, q audit.Query, iv Interval) (Histogram, error) {
	h := NewHistogram(iv)
	through, err := s.each(ctx, org, q, func(e *event.Entry) error { return h.Add(e.OccurredAt, 1) })
	if err != nil {
		return Histogram{}, fmt.Errorf("histogram: %w", err)
	}
	return h.Result(through)
}

// Facets implements [Engine].
func (s *Scanner) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (Facets, error) {
	counter, err := NewFacets(field)
	if err != nil {
		return Facets{}, err
	}
	through, err := s.each(ctx, org, q, counter.Add)
	if err != nil {
		return Facets{}, fmt.Errorf("facets: %w", err)
	}
	return counter.Result(limit, through), nil
}

// each calls fn for every entry that matches, and says up to where that is.
func (s *Scanner) each(ctx context.Context, org string, q audit.Query, fn func(*event.Entry) error) (*audit.Position, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	size, receivedAt, err := s.Head(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	for e, err := range s.matching(ctx, org, Compile(q), 0, size, false) {
		if err != nil {
			return nil, err
		}
		if err := fn(e); err != nil {
			return nil, err
		}
	}
	return Through(size, receivedAt), nil
}

// matching yields the entries that match, are shown and have from ≤ seq < to.
func (s *Scanner) matching(ctx context.Context, org string, m *Matcher, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	earliest, end := m.OccurredBounds()
	skip := func(first, last int64) bool { return last < earliest || first >= end }
	return func(yield func(*event.Entry, error) bool) {
		keep, err := s.keep(org)
		if err != nil {
			yield(nil, err)
			return
		}
		for e, err := range s.entries(ctx, org, from, to, desc, skip) {
			if (err != nil || m.Match(e) && keep.Shows(e)) && !yield(e, err) {
				return
			}
		}
	}
}

// keep is what is shown at this moment: an answer asks once.
func (s *Scanner) keep(org string) (*Keep, error) {
	if s.Keep == nil {
		return nil, nil //nolint:nilnil // nil shows everything
	}
	now := s.Now
	if now == nil {
		now = time.Now //nolint:forbidigo // the default of the clock that callers pass
	}
	return s.Keep(org, now())
}

// First implements [Engine].
func (s *Scanner) First(ctx context.Context, org string) (uint64, error) {
	size, _, err := s.Head(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("find the first entry: read head: %w", err)
	}
	for e, err := range s.matching(ctx, org, Compile(audit.Query{}), 0, size, false) {
		if err != nil {
			return 0, fmt.Errorf("find the first entry: %w", err)
		}
		return e.Seq, nil
	}
	return size, nil
}

// entries yields the entries with from ≤ seq < to but for those of spans that
// skip rules out when their turn comes. It ends with ctx.
func (s *Scanner) entries(
	ctx context.Context, org string, from, to uint64, desc bool, skip func(first, last int64) bool,
) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		for run, err := range s.runs(ctx, org, from, to, desc, skip) {
			if err != nil {
				yield(nil, err)
				return
			}
			for e, err := range s.Read(ctx, org, run.From, run.To, desc) {
				if err == nil && e.Seq%1024 == 0 {
					err = ctx.Err()
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// runs yields ranges to be read: neighbouring spans that skip does not rule out,
// up to readAhead entries together.
func (s *Scanner) runs(
	ctx context.Context, org string, from, to uint64, desc bool, skip func(first, last int64) bool,
) iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) {
		if from >= to {
			return
		}
		if s.Spans == nil {
			yield(Span{From: from, To: to}, nil)
			return
		}
		var run Span
		flush := func() bool {
			r := run
			run = Span{}
			return r.From == r.To || yield(r, nil)
		}
		for span, err := range s.Spans(ctx, org, from, to, desc) {
			if err != nil {
				yield(Span{}, err)
				return
			}
			span.From, span.To = max(span.From, from), min(span.To, to)
			skipped := span.From >= span.To || skip(span.MinOccurredAt, span.MaxOccurredAt)
			if (skipped || !run.join(span)) && !flush() {
				return
			}
			if !skipped {
				run.extend(span)
			}
		}
		flush()
	}
}

// join reports whether a run can take in a span.
func (s *Span) join(next Span) bool {
	adjacent := s.To == next.From || next.To == s.From
	return s.From == s.To || adjacent && s.To-s.From+next.To-next.From <= readAhead
}

// extend takes a span into a run that can join it.
func (s *Span) extend(next Span) {
	if s.From == s.To {
		*s = next
		return
	}
	s.From, s.To = min(s.From, next.From), max(s.To, next.To)
}
