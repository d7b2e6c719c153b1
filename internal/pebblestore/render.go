package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

const (
	// pieceBytes is the size from which rendered entries are handed over.
	pieceBytes = 256 << 10
	// renderedBytes bounds what is rendered before its turn comes.
	renderedBytes = 24 << 20
	// fewRows is the part of a block's rows below which they are read one by one.
	fewRows = 8
)

// renderFunc appends an entry to dst. It is called by several goroutines.
type renderFunc func(dst []byte, e *event.Entry) []byte

// piece is consecutive entries that match, rendered.
type piece struct {
	data    []byte
	entries int
	// last is the seq of the last entry that the piece covers, matching or not,
	// in the order of the walk.
	last uint64
	err  error
}

// rendering renders the entries of consecutive blocks in several goroutines, in
// order. Each takes one block after the other; how far they may be ahead of whoever
// takes the pieces is bounded by renderedBytes, but for the block that is next.
type rendering struct {
	s        *Store
	log      *orgLog
	query    *blockquery.Query // nil for every entry
	from, to uint64
	desc     bool
	render   renderFunc
	salts    bool           // render looks at salts
	blocks   []*sealedBlock // in the order of the walk

	mu      sync.Mutex
	changed sync.Cond
	pieces  [][]piece // of each block, those not taken yet
	ended   []bool
	turn    int // the block whose pieces are taken
	taken   int // the next block to be rendered
	ahead   int // bytes in pieces
	stopped bool
	spare   [][]byte
}

// each calls fn with every piece, in order, until that returns an error.
func (r *rendering) each(fn func(p *piece) error) error {
	r.changed.L = &r.mu
	r.pieces, r.ended = make([][]piece, len(r.blocks)), make([]bool, len(r.blocks))
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(r.blocks)) {
		workers.Go(r.work)
	}
	defer workers.Wait()
	defer r.stop()
	for {
		p, ok := r.next()
		if !ok {
			return nil
		}
		if p.err != nil {
			return p.err
		}
		if err := fn(&p); err != nil {
			return err
		}
		r.giveBack(p.data)
	}
}

func (r *rendering) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.changed.Broadcast()
}

// next waits for the next piece.
func (r *rendering) next() (piece, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.turn < len(r.blocks) {
		if list := r.pieces[r.turn]; len(list) > 0 {
			p := list[0]
			r.pieces[r.turn] = list[1:]
			r.ahead -= len(p.data)
			r.changed.Broadcast()
			return p, true
		}
		if r.ended[r.turn] {
			r.pieces[r.turn] = nil
			r.turn++
			r.changed.Broadcast()
			continue
		}
		r.changed.Wait()
	}
	return piece{}, false
}

func (r *rendering) giveBack(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cap(b) <= 2*pieceBytes {
		r.spare = append(r.spare, b[:0])
	}
}

func (r *rendering) buffer() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.spare); n > 0 {
		b := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return b
	}
	return make([]byte, 0, pieceBytes+pieceBytes/8)
}

// work renders blocks until there are none.
func (r *rendering) work() {
	for {
		r.mu.Lock()
		for r.ahead > renderedBytes && r.taken > r.turn && !r.stopped {
			r.changed.Wait()
		}
		i := r.taken
		if r.stopped || i == len(r.blocks) {
			r.mu.Unlock()
			return
		}
		r.taken++
		r.mu.Unlock()
		r.block(i)
	}
}

// put hands over a piece of the i-th block. It reports false when nobody wants it.
func (r *rendering) put(i int, p piece) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.ahead > renderedBytes && i != r.turn && !r.stopped {
		r.changed.Wait()
	}
	r.pieces[i] = append(r.pieces[i], p)
	r.ahead += len(p.data)
	r.changed.Broadcast()
	return !r.stopped
}

// block renders the i-th block.
func (r *rendering) block(i int) {
	b := r.blocks[i]
	from, to := max(r.from, b.FirstSeq), min(r.to, b.end())
	p := piece{data: r.buffer()}
	err := r.s.eachMatch(r.log, b, r.query, span{from, to, r.desc, r.salts}, func(e *event.Entry) bool {
		p.data = r.render(p.data, e)
		p.entries++
		p.last = e.Seq
		if len(p.data) < pieceBytes {
			return true
		}
		ok := r.put(i, p)
		p = piece{data: r.buffer()}
		return ok
	})
	p.err = err
	if p.last = to - 1; r.desc {
		p.last = from
	}
	r.put(i, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[i] = true
	r.changed.Broadcast()
}

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
	lo, hi := int(want.from-b.FirstSeq), int(want.to-b.FirstSeq) //nolint:gosec // within the block
	if query != nil && query.All(b.Header) {
		query = nil
	}
	m := matched{s: s, log: log, b: b, salts: want.salts, fn: fn}
	if query == nil && hi-lo > b.Rows/fewRows {
		m.reader = block.NewReader(b.Header, s.blocks.fetch(b))
		return blockError(log, b, m.scan(lo, hi, want.desc, nil))
	}
	m.reader = s.blocks.reader(b)
	defer s.blocks.release(b)
	rows := m.reader.NewRows()
	if query == nil {
		rows.AddRange(lo, hi)
		return blockError(log, b, m.single(rows, want.desc))
	}
	if skip, err := s.skips(b, query); err != nil || skip {
		return blockError(log, b, err)
	}
	if err := query.Rows(m.source(), rows); err != nil {
		return blockError(log, b, err)
	}
	clip(rows, lo, hi)
	if rows.Len() > b.Rows/fewRows {
		return blockError(log, b, m.scan(lo, hi, want.desc, rows))
	}
	return blockError(log, b, m.single(rows, want.desc))
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
	reader *block.Reader
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

// scan decodes a range of rows and gives those among rows, nil for all.
func (m *matched) scan(lo, hi int, desc bool, rows *block.Rows) error {
	if err := m.identify(); err != nil {
		return err
	}
	for e, err := range m.reader.All(lo, hi, desc) {
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

// Render implements [search.Engine].
func (s *Store) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return func(yield func(search.Chunk, error) bool) {
		if err := s.render(ctx, org, q, from, to, desc, render, yield); err != nil {
			yield(search.Chunk{}, fmt.Errorf("render: %w", err))
		}
	}
}

func (s *Store) render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render renderFunc, yield func(search.Chunk, error) bool,
) error {
	if err := q.Validate(); err != nil {
		return err
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return err
	}
	w := &logWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size), desc: desc}
	out := &chunkWriter{w: w, from: from, to: to, render: render, yield: yield}
	sc := s.newScan(log, q, search.Compile(q))
	sc.onMatch = out.entry
	w.run = func(r *runReader, from, to uint64, desc bool) error {
		if err := sc.visit(r, from, to, desc); err != nil {
			return err
		}
		return out.flush(edge(from, to, desc))
	}
	query := blockquery.Compile(q)
	w.blocks = func(ctx context.Context, w *logWalk, list []*sealedBlock) error {
		r := &rendering{s: s, log: log, query: query, from: w.from, to: w.to, desc: desc, render: render, blocks: inOrder(list, desc)}
		return r.each(func(p *piece) error {
			w.done(p.last)
			if err := out.chunk(p.data, p.entries); err != nil {
				return err
			}
			return ctx.Err()
		})
	}
	if err := w.walk(ctx); err != nil && !errors.Is(err, errStop) {
		return err
	}
	if out.stopped {
		return nil
	}
	return ctx.Err()
}

// edge is the last entry of a range in the order of a walk.
func edge(from, to uint64, desc bool) uint64 {
	if desc {
		return from
	}
	return to - 1
}

// inOrder returns blocks in the order of a walk.
func inOrder(list []*sealedBlock, desc bool) []*sealedBlock {
	if !desc {
		return list
	}
	turned := make([]*sealedBlock, len(list))
	for i, b := range list {
		turned[len(list)-1-i] = b
	}
	return turned
}

// chunkWriter yields what was rendered.
type chunkWriter struct {
	w        *logWalk
	from, to uint64
	render   renderFunc
	yield    func(search.Chunk, error) bool
	stopped  bool

	data    []byte
	entries int
}

// entry renders one entry that is not in a block.
func (o *chunkWriter) entry(e *event.Entry) error {
	o.data = o.render(o.data, e)
	o.entries++
	if len(o.data) < pieceBytes {
		return nil
	}
	return o.flush(e.Seq)
}

// flush yields what was collected, once entries up to last are done.
func (o *chunkWriter) flush(last uint64) error {
	o.w.done(last)
	err := o.chunk(o.data, o.entries)
	o.data, o.entries = o.data[:0], 0
	return err
}

func (o *chunkWriter) chunk(data []byte, entries int) error {
	passed := o.w.from - o.from
	if o.w.desc {
		passed = o.to - o.w.to
	}
	if !o.yield(search.Chunk{Data: data, Entries: entries, Passed: passed}, nil) {
		o.stopped = true
		return errStop
	}
	return nil
}

// Survey implements [search.Engine].
func (s *Store) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	var sum search.Survey
	if err := s.survey(ctx, org, q, from, to, func(n uint64, targets int) {
		sum.Entries += n
		sum.MaxTargets = max(sum.MaxTargets, targets)
	}); err != nil {
		return search.Survey{}, fmt.Errorf("survey: %w", err)
	}
	return sum, nil
}

// survey calls add for entries that match, one by one or many together.
func (s *Store) survey(ctx context.Context, org string, q audit.Query, from, to uint64, add func(n uint64, targets int)) error {
	if err := q.Validate(); err != nil {
		return err
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return err
	}
	one := func(e *event.Entry) error { //nolint:unparam // it is an onMatch
		add(1, len(e.Targets))
		return nil
	}
	query := blockquery.Compile(q)
	sc := s.newScan(log, q, search.Compile(q))
	sc.onMatch = one
	w := &logWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size), run: sc.visit}
	w.blocks = func(ctx context.Context, w *logWalk, list []*sealedBlock) error {
		for _, b := range list {
			if err := errors.Join(ctx.Err(), w.surveyBlock(b, query, add, one)); err != nil {
				return err
			}
			w.done(b.end() - 1)
		}
		return nil
	}
	w.from, w.to = sc.narrow(w.from, w.to)
	if err := w.walk(ctx); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return ctx.Err()
}

// surveyBlock counts a whole block by its columns, and a part of one entry by
// entry.
func (w *logWalk) surveyBlock(b *sealedBlock, query *blockquery.Query, add func(n uint64, targets int), one func(*event.Entry) error) error {
	if w.from > b.FirstSeq || w.to < b.end() {
		return w.direct(b, query, func(e *event.Entry) error {
			w.done(e.Seq)
			return one(e)
		})
	}
	if skip, err := w.s.skips(b, query); err != nil || skip {
		return blockError(w.log, b, err)
	}
	return w.s.withSource(w.log, b, func(src blockquery.Source) error {
		n, targets, err := query.Survey(src)
		if err == nil {
			add(n, targets)
		}
		return err
	})
}

// Room says whether there is room for n bytes that somebody else is about to
// write to the store's file system, and counts them. The answer is
// ledger.ErrDiskFull when less than twice the reserve is free: a file that can be
// made again must not be what brings commits to be refused.
func (s *Store) Room(n int64) error {
	s.space.spend(int(n))
	if err := s.space.check(1); err != nil {
		return err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	if left := s.space.left(); s.space.known && left < 2*s.space.reserve {
		return fmt.Errorf("%w: %d MiB are free, less than twice the reserve of %d MiB", ledger.ErrDiskFull, left>>20, s.space.reserve>>20)
	}
	return nil
}

// appendStored and storedEntry are how entries travel from the goroutines that
// decode blocks to whoever reads entries in order.
func appendStored(dst []byte, e *event.Entry) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, e.Seq)
	dst = appendInt(dst, e.ReceivedAt)
	dst = append(dst, e.ID[:]...)
	dst = append(dst, e.Salt[:]...)
	dst = event.AppendRow(dst, &e.Event)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4)) //nolint:gosec // one event
	return dst
}

func storedEntry(b []byte, e *event.Entry) (rest []byte, err error) {
	n := binary.LittleEndian.Uint32(b)
	b, rest = b[4:4+n], b[4+n:]
	seq, receivedAt := binary.LittleEndian.Uint64(b), int64At(b, 8)
	b = b[16:]
	copy(e.ID[:], b)
	b = b[len(e.ID):]
	copy(e.Salt[:], b)
	err = event.DecodeRow(b[len(e.Salt):], &e.Event)
	e.Seq, e.ReceivedAt = seq, receivedAt
	return rest, err
}
