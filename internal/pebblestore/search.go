package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Search implements [search.Engine]. It goes over runs and blocks from the newest,
// and for the newest entries stops where all that is older occurred before those
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
	k, err := s.keepOf(log)
	if err != nil {
		return search.Page{}, fmt.Errorf("search: %w", err)
	}
	sc := s.newScan(log, r.Query, pager.Matcher(), k)
	sc.skips = pager.Skips
	sc.onMatch = func(e *event.Entry) error {
		pager.Offer(e)
		return nil
	}
	blocks := &pageSearch{
		asked: asked{blockquery.Compile(r.Query), k}, s: s, log: log, pager: pager, desc: !r.Ascending, limit: r.Limit,
	}
	w := &logWalk{s: s, log: log, to: pager.Bound(), desc: !r.Ascending, run: sc.visit, blocks: blocks.blocks}
	if w.from, w.to, err = sc.narrow(w.from, w.to); err == nil {
		err = w.walk(ctx)
	}
	if err != nil {
		return search.Page{}, fmt.Errorf("search: %w", err)
	}
	return pager.Page(), nil
}

// Scan implements [search.Engine].
func (s *Store) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		if err := s.scanEntries(ctx, org, q, from, to, desc, s.keepOf, yield); err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
		}
	}
}

// ScanStored is Scan in seq order over all that the store has: entries that the
// Keeper hides are among them as long as they are not removed.
func (s *Store) ScanStored(ctx context.Context, org string, q audit.Query, from, to uint64) iter.Seq2[*event.Entry, error] {
	all := func(*orgLog) (*keep, error) { return nil, nil } //nolint:nilnil // nil keeps everything
	return func(yield func(*event.Entry, error) bool) {
		if err := s.scanEntries(ctx, org, q, from, to, false, all, yield); err != nil {
			yield(nil, fmt.Errorf("scan what is stored: %w", err))
		}
	}
}

func (s *Store) scanEntries(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool,
	keepOf func(*orgLog) (*keep, error), yield func(*event.Entry, error) bool,
) error {
	if err := q.Validate(); err != nil {
		return err
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return err
	}
	k, err := keepOf(log)
	if err != nil {
		return err
	}
	w := &logWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size), desc: desc}
	sc := s.newScan(log, q, search.Compile(q), k)
	sc.onMatch = func(e *event.Entry) error {
		if !yield(e, nil) {
			return errStop
		}
		return nil
	}
	w.run, w.blocks = sc.visit, entryWalk(asked{blockquery.Compile(q), k}, sc.onMatch)
	if w.from, w.to, err = sc.narrow(w.from, w.to); err != nil {
		return err
	}
	return w.walk(ctx)
}

// scan goes over the entries of a log that may match a query.
type scan struct {
	entryReader

	match *search.Matcher
	keep  *keep
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
	// A match that is shown was received from receivedFrom and before receivedTo.
	receivedFrom, receivedTo int64
}

func (s *Store) newScan(log *orgLog, q audit.Query, match *search.Matcher, k *keep) *scan {
	sc := &scan{entryReader: entryReader{s: s, log: log}, match: match, keep: k}
	earliest, end := match.OccurredBounds()
	sc.skips = func(first, last int64) bool { return last < earliest || first >= end }
	sc.receivedFrom, sc.receivedTo = match.ReceivedBounds()
	sc.receivedFrom = max(sc.receivedFrom, k.begin())
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

// narrow cuts the range to what the ids allow that a match must have one of, and
// to what may be shown.
func (sc *scan) narrow(from, to uint64) (uint64, uint64, error) {
	if ids := sc.match.Exact(audit.FieldID); len(ids) > 0 {
		lo, hi := uint64(math.MaxUint64), uint64(0)
		for _, id := range ids {
			if _, seq, ok := event.ParseID(id); ok {
				lo, hi = min(lo, seq), max(hi, seq+1)
			}
		}
		from, to = max(from, lo), min(to, hi)
	}
	from, err := sc.s.since(sc.log, sc.keep, from, to)
	return from, to, err
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
	if sc.keep.hides(e) {
		return nil
	}
	return sc.onMatch(e)
}
