package pebblestore

import (
	"math"
	"reflect"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// keep is a search.Keep made ready to ask blocks. A nil one keeps everything.
type keep struct {
	of *search.Keep
	// Nothing that was received at before or later is due, and nothing that was
	// received before floor is not, held or not.
	before, floor int64
	due           []*blockquery.Query
	held          []heldBy
	first         atomic.Uint64 // seq of the first entry that is shown, or less
}

// heldBy is a hold: what it keeps, but for what was due before it was made.
type heldBy struct {
	query  *blockquery.Query
	due    []*blockquery.Query
	before []int // see search.Hold
	over   bool
}

// SetKeeper has every method of search.Engine show what the Keeper says is kept,
// and nothing else. It is called once, before the store is used; without it
// everything is shown. ledger.Store's methods go on to show everything.
func (s *Store) SetKeeper(k search.Keeper) { s.keeper = k }

// keepOf returns what is kept of a log at this moment: one answer asks once.
func (s *Store) keepOf(log *orgLog) (*keep, error) {
	if s.keeper == nil {
		return nil, nil //nolint:nilnil // nil keeps everything
	}
	of, err := s.keeper(log.org, s.now())
	if err != nil {
		return nil, err
	}
	before := of.DueBefore()
	if before == search.MinReceived {
		return nil, nil //nolint:nilnil // as above
	}
	last := log.keep.Load()
	if last != nil && last.of == of {
		return last, nil
	}
	k := newKeep(of, before, last)
	log.keep.Store(k)
	return k, nil
}

// newKeep makes a Keep ready. last is the one before, nil for none: as a rule it has
// the same holds, and less is due.
func newKeep(of *search.Keep, before int64, last *keep) *keep {
	k := &keep{of: of, before: before, floor: of.DueFloor(), due: compileEach(of.Due())}
	holds := of.Holds()
	same := last != nil && len(last.held) == len(holds) && (len(holds) == 0 || &last.of.Holds()[0] == &holds[0])
	if same {
		k.held = last.held
	} else {
		for _, h := range holds {
			k.held = append(k.held, heldBy{blockquery.Compile(h.Query), compileEach(h.Due), h.Before, h.Over})
		}
	}
	if same && later(last.of.Due(), of.Due()) {
		k.startsAt(last.shownFrom())
	}
	return k
}

// later reports whether queries are the same but for later ends of received_at.
func later(last, due []audit.Query) bool {
	return slices.EqualFunc(last, due, func(a, b audit.Query) bool {
		if a.ReceivedTo.IsZero() || b.ReceivedTo.Before(a.ReceivedTo) {
			return false
		}
		a.ReceivedTo, b.ReceivedTo = time.Time{}, time.Time{}
		return reflect.DeepEqual(a, b)
	})
}

// begin is the received_at before which nothing is shown.
func (k *keep) begin() int64 {
	if k == nil || len(k.held) > 0 {
		return math.MinInt64
	}
	return k.floor
}

// hides reports whether an entry, complete with its id, is not shown.
func (k *keep) hides(e *event.Entry) bool {
	return k != nil && e.ReceivedAt < k.before && !k.of.Shows(e)
}

// since cuts a range at its beginning to what may be shown of the blocks in it.
func (s *Store) since(log *orgLog, k *keep, from, to uint64) (uint64, error) {
	begin := k.begin()
	if begin == math.MinInt64 || from >= to {
		return from, nil
	}
	view, err := s.blocks.view(log)
	if err != nil {
		return 0, err
	}
	list := view.blocks
	i := sort.Search(len(list), func(i int) bool {
		for ; i < len(list); i++ {
			if list[i].damage == nil && !list[i].removed { // of others the time is not known, but not later than of the next
				return list[i].LastReceived >= begin
			}
		}
		return true
	})
	if i > 0 {
		from = max(from, list[i-1].end())
	}
	return from, nil
}

// hidden returns the rows of a block that nobody sees, since they were removed or k
// has it: nil for none, and all when there are no others. The rows are not the
// caller's to change.
func (s *Store) hidden(log *orgLog, b *sealedBlock, k *keep) (rows *block.Rows, all bool, err error) {
	marks, err := s.blocks.marksOf(b)
	if err != nil {
		return nil, false, err
	}
	due, all, err := s.due(log, b, k)
	removed := marks.hidden()
	if removed == nil || all || err != nil {
		return due, all, err
	}
	rows = &block.Rows{}
	rows.Reset(b.Rows)
	rows.Or(removed)
	if due != nil {
		rows.Or(due)
	}
	return rows, rows.Len() == b.Rows, nil
}

// due returns the rows of a block that are due and not held, as hidden does.
func (s *Store) due(log *orgLog, b *sealedBlock, k *keep) (rows *block.Rows, all bool, err error) {
	if k == nil || b.FirstReceived >= k.before {
		return nil, false, nil
	}
	if b.LastReceived < k.begin() {
		return nil, true, nil
	}
	m := masker{matched: matched{s: s, log: log, b: b}}
	defer m.close()
	if rows, err = m.due(k); err != nil || rows.Empty() {
		return nil, false, err
	}
	return rows, rows.Len() == b.Rows, nil
}

// masker asks one block several queries.
type masker struct{ matched }

// due returns the rows that are due and not held.
func (m *masker) due(k *keep) (*block.Rows, error) {
	due, err := m.any(k.due, m.b.LastReceived < k.floor)
	kept := make([]*block.Rows, len(k.held)) // by each hold
	for i := range k.held {
		if err != nil || due.Empty() {
			break
		}
		if kept[i], err = m.hold(&k.held[i], kept); err == nil && !k.held[i].over {
			due.AndNot(kept[i])
		}
	}
	return due, err
}

// hold returns the rows that a hold keeps. What those before it keep is known.
func (m *masker) hold(h *heldBy, kept []*block.Rows) (*block.Rows, error) {
	held, err := m.any([]*blockquery.Query{h.query}, false)
	if err != nil || held.Empty() {
		return held, err
	}
	late, err := m.any(h.due, false)
	if err != nil {
		return nil, err
	}
	for _, b := range h.before {
		late.AndNot(kept[b])
	}
	held.AndNot(late)
	return held, nil
}

// any returns the rows that match one of the queries, or all.
func (m *masker) any(queries []*blockquery.Query, all bool) (*block.Rows, error) {
	rows := &block.Rows{}
	rows.Reset(m.b.Rows)
	for _, q := range queries {
		if all = all || q.All(m.b.Header); all {
			break
		}
		if err := m.add(q, rows); err != nil {
			return nil, err
		}
	}
	if all {
		rows.AddRange(0, m.b.Rows)
	}
	return rows, nil
}

// add adds the rows that match a query.
func (m *masker) add(q *blockquery.Query, rows *block.Rows) error {
	if skip, err := m.s.skips(m.b, q); err != nil || skip {
		return err
	}
	if m.reader == nil {
		m.reader = m.s.blocks.reader(m.b)
	}
	var found block.Rows
	found.Reset(m.b.Rows)
	if err := q.Rows(blockquery.Source{Reader: m.reader, Cipher: m.cipher}, &found); err != nil {
		return err
	}
	rows.Or(&found)
	return nil
}

func (m *masker) close() {
	if m.reader != nil {
		m.s.blocks.release(m.b)
	}
}

func compileEach(queries []audit.Query) []*blockquery.Query {
	list := make([]*blockquery.Query, len(queries))
	for i, q := range queries {
		list[i] = blockquery.Compile(q)
	}
	return list
}
