package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Histogram implements [search.Engine].
func (s *Store) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	var counter *search.HistogramCounter
	through, err := s.count(ctx, org, q, 0, math.MaxUint64, func(ask asked) counting {
		counter = search.NewHistogram(iv)
		return counting{
			entry: func(e *event.Entry) error { return counter.Add(e.OccurredAt, 1) },
			block: func(src blockquery.Source) error { return ask.query.Histogram(src, counter) },
		}
	})
	if err != nil {
		return search.Histogram{}, fmt.Errorf("histogram: %w", err)
	}
	return counter.Result(through)
}

// Facets implements [search.Engine].
func (s *Store) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	counter, err := search.NewFacets(field)
	if err != nil {
		return search.Facets{}, err
	}
	through, err := s.count(ctx, org, q, 0, math.MaxUint64, func(ask asked) counting {
		counter, _ = search.NewFacets(field) // the field is known by now
		return counting{
			entry: counter.Add,
			block: func(src blockquery.Source) error { return ask.query.Facets(src, counter) },
			finish: func(log *orgLog, blocks []*sealedBlock) error {
				return s.names(log, blocks, ask.keep, ask.query.Names(counter, limit))
			},
		}
	})
	if err != nil {
		return search.Facets{}, fmt.Errorf("facets: %w", err)
	}
	return counter.Result(limit, through), nil
}

// names looks for the names of values in the blocks that were counted, from the
// newest.
func (s *Store) names(log *orgLog, blocks []*sealedBlock, k *keep, names *blockquery.Names) error {
	for _, b := range slices.Backward(blocks) {
		if names.Skips(b.Header) {
			continue
		}
		f, err := s.blocks.filter(b)
		if err != nil {
			return blockError(log, b, err)
		}
		if names.SkipsFilter(f) {
			continue
		}
		if err := s.withSource(log, b, k, names.Find); err != nil {
			return err
		}
	}
	return nil
}

// Survey implements [search.Engine].
func (s *Store) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	var sum search.Survey
	add := func(n uint64, targets int) {
		sum.Entries += n
		sum.MaxTargets = max(sum.MaxTargets, targets)
	}
	_, err := s.count(ctx, org, q, from, to, func(ask asked) counting {
		sum = search.Survey{}
		return counting{
			entry: func(e *event.Entry) error {
				add(1, len(e.Targets))
				return nil
			},
			block: func(src blockquery.Source) error {
				n, targets, err := ask.query.Survey(src)
				add(n, targets)
				return err
			},
		}
	})
	if err != nil {
		return search.Survey{}, fmt.Errorf("survey: %w", err)
	}
	return sum, nil
}

// counting is what counts the entries that match a query.
type counting struct {
	// entry gets an entry that matches and is not in a block, or in one of which a
	// part counts.
	entry func(e *event.Entry) error
	// block gets a block in which some may match.
	block func(src blockquery.Source) error
	// finish, when not nil, gets all those blocks at the end, in order.
	finish func(log *orgLog, blocks []*sealedBlock) error
}

// count counts what matches and has from ≤ seq < to, and says up to where the log
// was when it did. It begins again, with a new counting, when blocks are merged
// while it looks at them.
func (s *Store) count(
	ctx context.Context, org string, q audit.Query, from, to uint64, begin func(ask asked) counting,
) (*audit.Position, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return nil, err
	}
	k, err := s.keepOf(log)
	if err != nil {
		return nil, err
	}
	ask := asked{blockquery.Compile(q), k}
	for tries := 1; ; tries++ {
		h := log.head.Load()
		c := begin(ask)
		sc := s.newScan(log, q, search.Compile(q), k)
		sc.onMatch = c.entry
		w := &logWalk{s: s, log: log, run: sc.visit, once: true}
		if w.from, w.to, err = sc.narrow(from, min(to, h.Size)); err == nil {
			err = w.count(ctx, ask, c)
		}
		if err == nil {
			return search.Through(h.Size, h.ReceivedAt), ctx.Err()
		}
		if !errors.Is(err, errMoved) || tries == maxMoved {
			return nil, err
		}
	}
}

// count walks, with c for each block.
func (w *logWalk) count(ctx context.Context, ask asked, c counting) error {
	var counted []*sealedBlock
	w.blocks = func(ctx context.Context, w *logWalk, list []*sealedBlock) error {
		for _, b := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			whole, err := w.countBlock(b, ask, c)
			if err != nil {
				return err
			}
			if whole {
				counted = append(counted, b)
			}
			w.done(b.end() - 1)
		}
		return nil
	}
	if err := w.walk(ctx); err != nil || c.finish == nil {
		return err
	}
	view := w.log.sealed.view.Load()
	return w.gone(view, c.finish(w.log, counted))
}

// countBlock counts a block, and reports whether it was looked at as a whole. One
// of which only a part is in the range lies at its ends, was sealed after the size
// was taken, or has taken in blocks that were counted.
func (w *logWalk) countBlock(b *sealedBlock, ask asked, c counting) (whole bool, err error) {
	if b.FirstSeq < w.from || b.end() > w.to {
		return false, w.direct(b, ask, c.entry)
	}
	if skip, err := w.s.skips(b, ask.query); err != nil || skip {
		return false, blockError(w.log, b, err)
	}
	return true, w.s.withSource(w.log, b, ask.keep, c.block)
}
