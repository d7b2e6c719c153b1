package pebblestore

import (
	"context"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Search implements [search.Engine].
func (s *Store) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	return s.engine().Search(ctx, org, r)
}

// Scan implements [search.Engine].
func (s *Store) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return s.engine().Scan(ctx, org, q, from, to, desc)
}

// Histogram implements [search.Engine].
func (s *Store) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	return s.engine().Histogram(ctx, org, q, iv)
}

// Facets implements [search.Engine].
func (s *Store) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	return s.engine().Facets(ctx, org, q, field, limit)
}

func (s *Store) engine() *search.Scanner {
	return &search.Scanner{Head: s.size, Read: s.entries, Spans: s.spans}
}

// size returns how far a log is durable.
func (s *Store) size(_ context.Context, org string) (uint64, int64, error) {
	log, err := s.logs.load(org, false)
	if err != nil {
		return 0, 0, err
	}
	h := log.head.Load()
	return h.Size, h.ReceivedAt, nil
}

// spans yields what the headers of runs say, the last one first.
func (s *Store) spans(ctx context.Context, org string, from, to uint64) iter.Seq2[search.Span, error] {
	return func(yield func(search.Span, error) bool) {
		log, err := s.logs.load(org, false)
		if err != nil {
			yield(search.Span{}, err)
			return
		}
		visit := func(r *runReader, from, to uint64, _ bool) error {
			if !yield(search.Span{From: from, To: to, MinOccurredAt: r.minOccurred, MaxOccurredAt: r.maxOccurred}, nil) {
				return errStop
			}
			return nil
		}
		w := runWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size), desc: true, visit: visit}
		if err := w.walk(ctx); err != nil && err != errStop { //nolint:errorlint // not wrapped
			yield(search.Span{}, err)
		}
	}
}
