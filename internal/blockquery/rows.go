package blockquery

import (
	"cmp"
	"slices"
	"sort"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
)

// Rows adds the rows that match and are not hidden, which are in the order of the
// block, to rows, which are empty and of the source's block.
func (q *Query) Rows(s Source, rows *block.Rows) error {
	if h := s.Reader.Header(); q.Skips(h) {
		return nil
	} else if s.all(q) {
		rows.AddRange(0, h.Rows)
		return nil
	}
	r, _ := q.scratch.Get().(*run)
	r.query, r.source, r.reader, r.rows, r.bounded = q, s, s.Reader, rows, s.Hidden != nil
	if r.bounded {
		rows.Or(s.Hidden)
		rows.Invert()
	}
	err := r.all()
	r.source, r.reader, r.rows, r.entry = Source{}, nil, nil, event.Entry{} // keeps nothing of the block
	q.scratch.Put(r)
	return err
}

// run is one query asked of one block. It is reused, for its memory.
type run struct {
	query  *Query
	source Source
	reader *block.Reader

	// rows are those that are left: every row as long as nothing is bounded.
	rows    *block.Rows
	bounded bool

	looked []looked       // the conditions on dictionaries
	codes  []*block.Codes // scratch
	used   int            // of codes
	found  block.Rows     // scratch

	entry    event.Entry // scratch
	metadata []byte      // scratch
}

// looked is what conditions on a dictionary came to: the codes that a row must
// have, or none of which it may.
type looked struct {
	about about
	not   bool
	codes *block.Codes
}

// all finds the rows.
func (r *run) all() error {
	r.looked, r.used = r.looked[:0], 0
	conditions := r.query.conditions
	next := 0
	for next < len(conditions) && conditions[next].cost <= byChoice {
		some, err := r.first(&conditions[next])
		if err != nil || !some {
			r.none()
			return err
		}
		next++
	}
	if err := r.times(); err != nil {
		return err
	}
	if err := r.dictionaries(); err != nil {
		return err
	}
	for ; next < len(conditions) && !r.empty(); next++ {
		if conditions[next].cost >= byMetadata && r.bounded && r.rows.Len() <= fewRows {
			return r.each()
		}
		if err := r.ask(&conditions[next]); err != nil {
			return err
		}
	}
	if !r.bounded {
		r.rows.AddRange(0, r.rows.Bound())
	}
	return nil
}

// fewRows is how many rows are read rather than the block's metadata: about as
// much work when none of it is decoded yet.
const fewRows = 4

// each asks the rows that are left one by one what is dear to ask the block.
func (r *run) each() error {
	h := r.reader.Header()
	for i := range r.rows.All() {
		var err error
		if r.metadata, err = r.reader.Row(i, &r.entry, r.metadata); err != nil {
			return err
		}
		if r.query.readsID {
			cipher, err := r.source.Cipher()
			if err != nil {
				return err
			}
			r.entry.ID = cipher.ID(r.entry.ReceivedAt, h.FirstSeq+uint64(i)) //nolint:gosec // positive
		}
		if !r.query.dear.Match(&r.entry) {
			r.rows.Remove(i)
		}
	}
	return nil
}

// first asks a condition that can be answered without rows, or by one row. It
// reports false when no row can meet it.
func (r *run) first(c *condition) (some bool, err error) {
	if c.lookup == byID {
		err := r.ask(c)
		return !r.empty(), err
	}
	codes, err := r.lookUp(c)
	if err != nil {
		return false, err
	}
	return r.keep(c, codes), nil
}

// keep puts the codes of a condition with those of others on the same dictionary,
// of which a row has one entry: it must be in all of them. It reports false when
// none is left. Conditions on targets stand for themselves, since different
// targets may meet them.
func (r *run) keep(c *condition, codes *block.Codes) bool {
	if c.about == aboutTargets {
		if !c.not && codes.Empty() {
			return false
		}
		if !codes.Empty() {
			r.looked = append(r.looked, looked{c.about, c.not, codes})
		}
		return true
	}
	if c.not {
		codes.Invert()
	}
	for _, l := range r.looked {
		if l.about == c.about {
			l.codes.And(codes)
			return !l.codes.Empty()
		}
	}
	r.looked = append(r.looked, looked{c.about, false, codes})
	return !codes.Empty()
}

// newCodes returns empty codes.
func (r *run) newCodes() *block.Codes {
	if r.used == len(r.codes) {
		r.codes = append(r.codes, &block.Codes{})
	}
	codes := r.codes[r.used]
	codes.Clear()
	r.used++
	return codes
}

// lookUp returns the entries of a dictionary that have one of a condition's
// values.
func (r *run) lookUp(c *condition) (*block.Codes, error) {
	codes := r.newCodes()
	switch c.lookup {
	case byValue:
		for _, v := range c.values {
			if err := r.reader.Equal(c.field, v, codes); err != nil {
				return nil, err
			}
		}
		for _, p := range c.prefixes {
			if err := r.reader.Prefix(c.field, p, codes); err != nil {
				return nil, err
			}
		}
		return codes, nil
	case byChoice:
		return codes, r.reader.Select(c.field, c.isChoice, codes)
	case byPart:
		for _, v := range c.values {
			if err := r.reader.Contains(c.field, v, codes); err != nil {
				return nil, err
			}
		}
		return codes, nil
	default:
		return codes, r.reader.Select(c.field, c.path.Object, codes)
	}
}

// isChoice reports whether a text is one of the condition's values.
func (c *condition) isChoice(text []byte) bool {
	_, ok := slices.BinarySearchFunc(c.list, text, func(s string, b []byte) int { return cmp.Compare(s, string(b)) })
	return ok
}

// times bounds the rows by the query's times.
func (r *run) times() error {
	q, h := r.query, r.reader.Header()
	if !q.coversReceived(h) {
		lo, hi, err := r.reader.ReceivedBetween(q.receivedFrom, q.receivedTo)
		if err != nil {
			return err
		}
		r.found.Reset(h.Rows)
		r.found.AddRange(lo, hi)
		r.and()
	}
	if q.coversOccurred(h) || r.empty() {
		return nil
	}
	r.found.Reset(h.Rows)
	if err := q.occurred(r.reader, &r.found); err != nil {
		return err
	}
	r.and()
	return nil
}

// occurred adds the rows that are within the bounds of occurred_at.
func (q *Query) occurred(r *block.Reader, rows *block.Rows) error {
	if h := r.Header(); !h.Sorted {
		return r.OccurredBetween(q.occurredFrom, q.occurredTo, rows)
	}
	lo, err := occurredBefore(r, q.occurredFrom)
	if err != nil {
		return err
	}
	hi, err := occurredBefore(r, q.occurredTo)
	rows.AddRange(lo, hi)
	return err
}

// occurredBefore counts the rows of a sorted block that occurred before t. It
// reads as much as halving needs.
func occurredBefore(r *block.Reader, t int64) (int, error) {
	switch h := r.Header(); {
	case t <= h.MinOccurred:
		return 0, nil
	case t > h.MaxOccurred:
		return h.Rows, nil
	}
	var failed error
	n := sort.Search(r.Header().Rows, func(i int) bool {
		at, err := r.Occurred(i)
		if err != nil {
			failed = err
		}
		return at >= t
	})
	return n, failed
}

// dictionaries bounds the rows by the codes that conditions came to, those with
// the fewest first.
func (r *run) dictionaries() error {
	slices.SortStableFunc(r.looked, func(a, b looked) int {
		return cmp.Or(compareBool(a.not, b.not), cmp.Compare(a.codes.Len(), b.codes.Len()))
	})
	for _, l := range r.looked {
		if r.empty() {
			return nil
		}
		if err := r.having(l); err != nil {
			return err
		}
	}
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// having bounds the rows by codes.
func (r *run) having(l looked) error {
	if l.about != aboutTargets && l.codes.Len() == l.codes.Bound() {
		return nil // every row has one of them
	}
	return r.meet(l.not, func(within, rows *block.Rows) error { return r.reader.Rows(l.codes, within, rows) })
}

// ask bounds the rows by a condition.
func (r *run) ask(c *condition) error {
	switch c.lookup {
	case byID:
		return r.meet(c.not, func(_, rows *block.Rows) error { return r.ids(c, rows) })
	case byMetadata:
		return r.meet(c.not, func(within, rows *block.Rows) error {
			return r.reader.MetadataRows(c.path.Path.Leads, c.path.Member, within, rows)
		})
	case byText:
		return r.meet(c.not, func(within, rows *block.Rows) error {
			if err := r.ids(c, rows); err != nil {
				return err
			}
			return r.reader.Text(c.values[0], within, rows)
		})
	}
	codes, err := r.lookUp(c)
	if err != nil {
		return err
	}
	if c.not && c.about != aboutTargets {
		codes.Invert()
	}
	return r.having(looked{c.about, c.not && c.about == aboutTargets, codes})
}

// meet bounds the rows by those that find adds, or when not by the others. find
// is told which rows are left, nil for all, and may add others too.
func (r *run) meet(not bool, find func(within, rows *block.Rows) error) error {
	within := r.rows
	if !r.bounded {
		within = nil
	}
	r.found.Reset(r.rows.Bound())
	if err := find(within, &r.found); err != nil {
		return err
	}
	if not {
		r.found.Invert()
	}
	r.and()
	return nil
}

// and keeps those of the rows that are in found.
func (r *run) and() {
	if r.bounded {
		r.rows.And(&r.found)
		return
	}
	r.rows.Or(&r.found)
	r.bounded = true
}

// none says that no row is left.
func (r *run) none() {
	r.rows.Reset(r.rows.Bound())
	r.bounded = true
}

// empty reports whether no row is left.
func (r *run) empty() bool { return r.bounded && r.rows.Empty() }

// ids adds the rows that have one of a condition's ids. The time in an id must be
// that of the entry which its seq names; then its check bits tell.
func (r *run) ids(c *condition, rows *block.Rows) error {
	h := r.reader.Header()
	for i := range c.ids {
		id := &c.ids[i]
		if !id.mayBeIn(h) {
			continue
		}
		row := int(id.seq - h.FirstSeq) //nolint:gosec // below the block's rows
		lo, hi, err := r.reader.ReceivedBetween(id.ms, id.ms+1)
		if err != nil {
			return err
		}
		if row < lo || row >= hi {
			continue
		}
		cipher, err := r.source.Cipher()
		if err != nil {
			return err
		}
		if cipher.Verify(id.text) {
			rows.Add(row)
		}
	}
	return nil
}
