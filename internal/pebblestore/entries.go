package pebblestore

import (
	"errors"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// fewRows is the part of a block's rows below which they are read one by one.
const fewRows = 8

// span is which entries of a block are wanted: from ≤ seq < to, in order or not, and
// with salts or not.
type span struct {
	from, to    uint64
	desc, salts bool
}

// asked is what is asked of a log: the entries that match, nil for all, as far as
// they are kept.
type asked struct {
	query *blockquery.Query
	keep  *keep
}

// eachMatch calls fn with the entries of a block that are asked for and wanted, in
// order, until it returns false. What is decoded for it is not kept, but for single
// rows.
func (s *Store) eachMatch(log *orgLog, b *sealedBlock, ask asked, want span, fn func(*event.Entry) bool) error {
	m := matched{s: s, log: log, b: b, salts: want.salts, fn: fn}
	return blockError(log, b, m.each(ask, want))
}

func (m *matched) each(ask asked, want span) error {
	lo, hi := int(want.from-m.b.FirstSeq), int(want.to-m.b.FirstSeq) //nolint:gosec // within the block
	query, all := ask.query, ask.query == nil || ask.query.All(m.b.Header)
	if !all {
		if skip, err := m.s.skips(m.b, query); err != nil || skip {
			return err
		}
	}
	if some, err := m.show(ask.keep); err != nil || !some {
		return err
	}
	if all {
		return m.shown(lo, hi, want.desc)
	}
	return m.keeping(func(rows *block.Rows) error {
		if err := query.Rows(m.source(), rows); err != nil {
			return err
		}
		clip(rows, lo, hi)
		if rows.Len() > m.b.Rows/fewRows {
			return m.scan(lo, hi, want.desc, rows)
		}
		return m.single(rows, want.desc)
	})
}

// show finds out which rows are hidden, and reports whether there are others.
func (m *matched) show(k *keep) (some bool, err error) {
	var all bool
	m.hidden, all, err = m.s.hidden(m.log, m.b, k)
	return !all, err
}

// shown gives the entries of a range that are not hidden.
func (m *matched) shown(lo, hi int, desc bool) error {
	var rows *block.Rows // all
	if m.hidden != nil {
		rows = &block.Rows{}
		rows.Reset(m.b.Rows)
		rows.Or(m.hidden)
		rows.Invert()
		clip(rows, lo, hi)
	}
	if n := hi - lo; n > m.b.Rows/fewRows && (rows == nil || rows.Len() > m.b.Rows/fewRows) {
		return m.scan(lo, hi, desc, rows)
	}
	return m.keeping(func(none *block.Rows) error {
		if rows == nil {
			rows = none
			rows.AddRange(lo, hi)
		}
		return m.single(rows, desc)
	})
}

// keeping calls fn, with no rows yet, while m has a reader whose columns are kept.
func (m *matched) keeping(fn func(rows *block.Rows) error) error {
	m.reader = m.s.blocks.reader(m.b)
	defer m.s.blocks.release(m.b)
	return fn(m.reader.NewRows())
}

// clip removes the rows that are not lo ≤ i < hi.
func clip(rows *block.Rows, lo, hi int) {
	if lo == 0 && hi == rows.Bound() {
		return
	}
	var within block.Rows
	within.Reset(rows.Bound())
	within.AddRange(lo, hi)
	rows.And(&within)
}

// skips reports whether no entry of a block can match, by what is in memory of it.
func (s *Store) skips(b *sealedBlock, query *blockquery.Query) (bool, error) {
	if query.Skips(b.Header) {
		return true, nil
	}
	f, err := s.blocks.filter(b)
	return err == nil && query.SkipsFilter(f), err
}

// matched gives the entries of a block to fn until that returns false.
type matched struct {
	s      *Store
	log    *orgLog
	b      *sealedBlock
	reader *block.Reader // whose columns are kept
	hidden *block.Rows   // nil for none
	salts  bool
	fn     func(*event.Entry) bool
	keys   blockKeys
	rest   *completer
}

func (m *matched) source() blockquery.Source {
	return blockquery.Source{Reader: m.reader, Cipher: m.cipher, Hidden: m.hidden}
}

func (m *matched) cipher() (*event.Cipher, error) {
	c, err := m.keys.cipher(m.s, m.log, m.b.FirstSeq/ledger.BlockSize)
	if err == nil && m.keys.generation != m.b.generation {
		err = errMoved
	}
	return c, err
}

// identify prepares for give.
func (m *matched) identify() (err error) {
	m.rest, err = m.completer()
	return err
}

// give gives an entry to fn, with what is not in its block, unless it was removed.
// It reports false when fn does not want more.
func (m *matched) give(e *event.Entry) (more bool, err error) {
	if m.rest.removed(e) {
		return true, nil
	}
	if err := m.rest.complete(e); err != nil {
		return false, err
	}
	return m.fn(e), nil
}

// scan decodes a range of rows, with a reader that is gone afterwards, and gives
// those among rows, nil for all.
func (m *matched) scan(lo, hi int, desc bool, rows *block.Rows) error {
	if err := m.identify(); err != nil {
		return err
	}
	reader := block.NewReader(m.b.Header, m.s.blocks.fetch(m.b))
	for e, err := range reader.All(lo, hi, desc) {
		if err != nil {
			return err
		}
		if rows != nil && !rows.Has(int(e.Seq-m.b.FirstSeq)) { //nolint:gosec // within the block
			continue
		}
		if more, err := m.give(e); err != nil || !more {
			return err
		}
	}
	return nil
}

// single reads rows one by one.
func (m *matched) single(rows *block.Rows, desc bool) error {
	err := m.identify()
	if err != nil {
		return err
	}
	each := rows.All()
	if desc {
		each = rows.Backward()
	}
	var e event.Entry
	var scratch []byte
	for i := range each {
		if scratch, err = m.reader.Row(i, &e, scratch); err != nil {
			return err
		}
		if more, err := m.give(&e); err != nil || !more {
			return err
		}
	}
	return nil
}

// withSource calls fn with a block, whose reader is kept, unless k shows nothing of
// it.
func (s *Store) withSource(log *orgLog, b *sealedBlock, k *keep, fn func(blockquery.Source) error) error {
	m := matched{s: s, log: log, b: b}
	some, err := m.show(k)
	if err == nil && some {
		err = m.keeping(func(*block.Rows) error { return fn(m.source()) })
	}
	return blockError(log, b, err)
}

// direct gives the entries of one block that are asked for to fn.
func (w *logWalk) direct(b *sealedBlock, ask asked, fn func(*event.Entry) error) error {
	from, to := max(w.from, b.FirstSeq), min(w.to, b.end())
	var failed error
	err := w.s.eachMatch(w.log, b, ask, span{from, to, w.desc, true}, func(e *event.Entry) bool {
		failed = fn(e)
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil {
		w.done(edge(from, to, w.desc))
	}
	return err
}
