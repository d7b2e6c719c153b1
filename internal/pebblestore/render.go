package pebblestore

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

const (
	// pieceBytes is the size from which rendered entries are handed over.
	pieceBytes = 256 << 10
	// renderedBytes bounds what is rendered before its turn comes.
	renderedBytes = 24 << 20
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
	asked

	s        *Store
	log      *orgLog
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
	err := r.s.eachMatch(r.log, b, r.asked, span{from, to, r.desc, r.salts}, func(e *event.Entry) bool {
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
	k, err := s.keepOf(log)
	if err != nil {
		return err
	}
	w := &logWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size), desc: desc}
	out := &chunkWriter{w: w, from: from, to: to, render: render, yield: yield}
	sc := s.newScan(log, q, search.Compile(q), k)
	sc.onMatch = out.entry
	w.run = func(r *runReader, from, to uint64, desc bool) error {
		if err := sc.visit(r, from, to, desc); err != nil {
			return err
		}
		return out.flush(edge(from, to, desc))
	}
	ask := asked{blockquery.Compile(q), k}
	w.blocks = func(ctx context.Context, w *logWalk, list []*sealedBlock) error {
		r := &rendering{s: s, log: log, asked: ask, from: w.from, to: w.to, desc: desc, render: render, salts: true, blocks: inOrder(list, desc)}
		return r.each(func(p *piece) error {
			w.done(p.last)
			if err := out.chunk(p.data, p.entries); err != nil {
				return err
			}
			return ctx.Err()
		})
	}
	if w.from, err = s.since(log, k, w.from, w.to); err != nil {
		return err
	}
	if err := w.walk(ctx); err != nil {
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
