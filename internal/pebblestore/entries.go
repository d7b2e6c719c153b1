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

// eachMatch calls fn with the entries of a block that match and are wanted, in
// order, until it returns false. query is nil for all. What is decoded for it is
// not kept, but for single rows.
func (s *Store) eachMatch(log *orgLog, b *sealedBlock, query *blockquery.Query, want span, fn func(*event.Entry) bool) error {
	m := matched{s: s, log: log, b: b, salts: want.salts, fn: fn}
	return blockError(log, b, m.each(query, want))
}

func (m *matched) each(query *blockquery.Query, want span) error {
	lo, hi := int(want.from-m.b.FirstSeq), int(want.to-m.b.FirstSeq) //nolint:gosec // within the block
	if query == nil || query.All(m.b.Header) {
		if hi-lo > m.b.Rows/fewRows {
			return m.scan(lo, hi, want.desc, nil)
		}
		return m.keeping(func(rows *block.Rows) error {
			rows.AddRange(lo, hi)
			return m.single(rows, want.desc)
		})
	}
	if skip, err := m.s.skips(m.b, query); err != nil || skip {
		return err
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
	salts  bool
	fn     func(*event.Entry) bool
	keys   blockKeys
	ids    *event.Identifier
}

func (m *matched) source() blockquery.Source {
	return blockquery.Source{Reader: m.reader, Cipher: m.cipher}
}

func (m *matched) cipher() (*event.Cipher, error) {
	return m.keys.cipher(m.s, m.log, m.b.FirstSeq/ledger.BlockSize)
}

// identify prepares for give.
func (m *matched) identify() error {
	c, err := m.cipher()
	if err == nil {
		m.ids = c.Identifier()
	}
	return err
}

// give gives an entry to fn, with what is not in its block.
func (m *matched) give(e *event.Entry) bool {
	m.ids.SetID(e)
	if m.salts {
		m.ids.SetSalt(e)
	}
	return m.fn(e)
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
		if !m.give(e) {
			return nil
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
		if !m.give(&e) {
			return nil
		}
	}
	return nil
}

// withSource calls fn with a block, whose reader is kept.
func (s *Store) withSource(log *orgLog, b *sealedBlock, fn func(blockquery.Source) error) error {
	m := matched{s: s, log: log, b: b}
	return blockError(log, b, m.keeping(func(*block.Rows) error { return fn(m.source()) }))
}

// direct gives the entries of one block to fn.
func (w *logWalk) direct(b *sealedBlock, query *blockquery.Query, fn func(*event.Entry) error) error {
	from, to := max(w.from, b.FirstSeq), min(w.to, b.end())
	var failed error
	err := w.s.eachMatch(w.log, b, query, span{from, to, w.desc, true}, func(e *event.Entry) bool {
		failed = fn(e)
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil {
		w.done(edge(from, to, w.desc))
	}
	return err
}
