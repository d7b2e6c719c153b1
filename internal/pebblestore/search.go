package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Search implements [search.Engine]. It goes over the runs from the newest, and
// for the newest entries stops where all that is older occurred before those
// found.
func (s *Store) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	log, err := s.logs.load(org, false)
	if err != nil {
		return search.Page{}, fmt.Errorf("search: %w", err)
	}
	h := log.head.Load()
	pager, err := search.NewPager(org, r, h.Size, h.ReceivedAt)
	if err != nil {
		return search.Page{}, err
	}
	sc := s.newScan(log, r.Query, pager.Matcher())
	sc.skips = pager.Skips
	sc.onMatch = func(e *event.Entry) error {
		pager.Offer(e)
		return nil
	}
	if err := sc.run(ctx, 0, pager.Bound(), !r.Ascending); err != nil {
		return search.Page{}, fmt.Errorf("search: %w", err)
	}
	return pager.Page(), nil
}

// Scan implements [search.Engine].
func (s *Store) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		_, err := s.scan(ctx, org, q, from, to, desc, func(e *event.Entry) error {
			if !yield(e, nil) {
				return errStop
			}
			return nil
		})
		if err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
		}
	}
}

// Histogram implements [search.Engine].
func (s *Store) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	counter := search.NewHistogram(iv)
	through, err := s.scan(ctx, org, q, 0, math.MaxUint64, false, func(e *event.Entry) error {
		return counter.Add(e.OccurredAt, 1)
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
	through, err := s.scan(ctx, org, q, 0, math.MaxUint64, false, counter.Add)
	if err != nil {
		return search.Facets{}, fmt.Errorf("facets: %w", err)
	}
	return counter.Result(limit, through), nil
}

// scan calls onMatch for the entries that match, and says up to where these are
// all.
func (s *Store) scan(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, onMatch func(*event.Entry) error,
) (*audit.Position, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return nil, err
	}
	h := log.head.Load()
	match := search.Compile(q)
	earliest, end := match.OccurredBounds()
	sc := s.newScan(log, q, match)
	sc.skips = func(first, last int64) bool { return last < earliest || first >= end }
	sc.onMatch = onMatch
	if err := sc.run(ctx, from, min(to, h.Size), desc); err != nil {
		return nil, err
	}
	return search.Through(h.Size, h.ReceivedAt), nil
}

// scan goes over the entries of a log that may match a query.
type scan struct {
	entryReader

	match *search.Matcher
	// skips says that entries which occurred from first to last, both included,
	// need not be looked at.
	skips func(first, last int64) bool
	// onMatch gets each entry that matches, valid until it returns.
	onMatch func(*event.Entry) error

	// needles are texts of which, in each list, one is in the row of every
	// entry that matches.
	needles [][][]byte
	// needsID says that matching looks at the id.
	needsID bool
	// A match was received from receivedFrom and before receivedTo.
	receivedFrom, receivedTo int64
}

func (s *Store) newScan(log *orgLog, q audit.Query, match *search.Matcher) *scan {
	sc := &scan{entryReader: entryReader{s: s, log: log}, match: match}
	sc.receivedFrom, sc.receivedTo = match.ReceivedBounds()
	sc.needsID = slices.ContainsFunc(q.Filters, func(f audit.Filter) bool {
		return f.Field == audit.FieldID || f.Field == audit.FieldText
	})
	for _, field := range []audit.Field{
		audit.FieldTargetID, audit.FieldActorID, audit.FieldAction, audit.FieldLocation, audit.FieldTargetType, audit.FieldActorType,
	} {
		if values := match.Exact(field); len(values) > 0 && len(values) <= maxNeedles {
			sc.needles = append(sc.needles, toBytes(values))
		}
	}
	return sc
}

// maxNeedles is how many texts are looked for in a row before it is decoded: more
// cost more than decoding does.
const maxNeedles = 4

func toBytes(texts []string) [][]byte {
	list := make([][]byte, len(texts))
	for i, t := range texts {
		list[i] = []byte(t)
	}
	return list
}

// run scans the entries with from ≤ seq < to.
func (sc *scan) run(ctx context.Context, from, to uint64, desc bool) error {
	from, to = sc.narrow(from, to)
	w := runWalk{s: sc.s, log: sc.log, from: from, to: to, desc: desc, visit: sc.visit}
	if err := w.walk(ctx); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return nil
}

// narrow cuts the range to what the ids allow that a match must have one of.
func (sc *scan) narrow(from, to uint64) (uint64, uint64) {
	ids := sc.match.Exact(audit.FieldID)
	if len(ids) == 0 {
		return from, to
	}
	lo, hi := uint64(math.MaxUint64), uint64(0)
	for _, id := range ids {
		if _, seq, ok := event.ParseID(id); ok {
			lo, hi = min(lo, seq), max(hi, seq+1)
		}
	}
	return max(from, lo), min(to, hi)
}

// visit scans one run, if it may hold a match.
func (sc *scan) visit(r *runReader, from, to uint64, desc bool) error {
	tooOld, tooNew := r.receivedAt < sc.receivedFrom, r.receivedAt >= sc.receivedTo
	switch {
	case desc && tooOld, !desc && tooNew: // and so is all that follows
		return errStop
	case desc && sc.skips(math.MinInt64, max(r.maxOccurred, r.priorMax)):
		return errStop
	case tooOld, tooNew, sc.skips(r.minOccurred, r.maxOccurred):
		return nil
	}
	if err := r.unpack(); err != nil {
		return corrupt(sc.log.org, r.first, r.end(), "run", err)
	}
	if !sc.mayMatch(r.data) {
		return nil
	}
	for i := range to - from {
		seq := from + i
		if desc {
			seq = to - 1 - i
		}
		if err := sc.one(r, seq); err != nil {
			return err
		}
	}
	return nil
}

// mayMatch looks for the needles in one row or in many.
func (sc *scan) mayMatch(rows []byte) bool {
	for _, any := range sc.needles {
		if !slices.ContainsFunc(any, func(needle []byte) bool { return bytes.Contains(rows, needle) }) {
			return false
		}
	}
	return true
}

// one looks at one entry.
func (sc *scan) one(r *runReader, seq uint64) error {
	row := r.row(int(seq - r.first)) //nolint:gosec // within the run
	if !sc.mayMatch(row) {
		return nil
	}
	e := &sc.entry
	if err := event.DecodeRow(row, &e.Event); err != nil {
		return corrupt(sc.log.org, seq, seq+1, "row", err)
	}
	e.Seq, e.ReceivedAt = seq, r.receivedAt
	if sc.skips(e.OccurredAt, e.OccurredAt) {
		return nil
	}
	if sc.needsID {
		if err := sc.identify(); err != nil {
			return err
		}
	}
	if !sc.match.Match(e) {
		return nil
	}
	if !sc.needsID {
		if err := sc.identify(); err != nil {
			return err
		}
	}
	return sc.onMatch(e)
}
