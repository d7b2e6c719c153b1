package pebblestore

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

const (
	// mergeFan is how many neighbouring windows of a size are merged. A receipt
	// is written once when its window is rewritten, once for every factor of 4 in
	// the receipts of its part of the idempotency window, and once more when that
	// part is over: 6 times at most for 10 million receipts.
	mergeFan = 4
	// maxMerge bounds the windows that are read at a time.
	maxMerge = 16
)

// mergeable returns neighbouring windows that should be one, oldest first, nil
// when there are none: all of a part of the idempotency window that is over, or
// the newest of another part when there are mergeFan of a size. Windows of
// different parts stay apart, so that they expire apart.
func (r *receipts) mergeable(now time.Time) []*window {
	r.mu.RLock()
	defer r.mu.RUnlock()
	current := r.part(uint64(max(now.UnixMilli(), 0)))
	for end := len(r.windows); end > 0; {
		start := end - 1
		part := r.part(r.windows[start].opened())
		for start > 0 && r.part(r.windows[start-1].opened()) == part {
			start--
		}
		if list := r.choose(r.windows[start:end], part < current); list != nil {
			return slices.Clone(list)
		}
		end = start
	}
	return nil
}

// choose chooses among the windows of a part.
func (r *receipts) choose(list []*window, over bool) []*window {
	over = over && !slices.ContainsFunc(list, func(w *window) bool { return w.exact != nil })
	for len(list) > 0 && list[len(list)-1].exact != nil {
		list = list[:len(list)-1]
	}
	// What follows a damaged window is merged without it.
	if i := lastIndex(list, func(w *window) bool { return w.damaged }); i >= 0 {
		list = list[i+1:]
	}
	if over && len(list) > 1 {
		return list[max(0, len(list)-maxMerge):]
	}
	for tier, start := 0, len(list); start > 0; tier++ {
		for start > 0 && r.tier(list[start-1]) <= tier {
			start--
		}
		if len(list)-start >= mergeFan {
			return list[max(start, len(list)-maxMerge):]
		}
	}
	return nil
}

func lastIndex(list []*window, is func(*window) bool) int {
	for i, w := range slices.Backward(list) {
		if is(w) {
			return i
		}
	}
	return -1
}

// tier is how often the window's size is a mergeFan times that of one which was
// just rewritten, rounded.
func (r *receipts) tier(w *window) int {
	return (bits.Len(uint(2*w.count/r.limit)) - 1) / 2
}

// merge makes one window of several neighbours, given oldest first: first chunks
// and filter under a new id, which nobody knows, then, in one batch, the row that
// makes them count and the removal of what was there.
func (r *receipts) merge(list []*window, apply applyFunc) error {
	out, err := r.mergeChunks(list, apply)
	if damage := new(damagedChunkError); errors.As(err, &damage) {
		damage.window.damaged = true
		r.notes = append(r.notes, err)
		r.swept = false
		return r.sweep(apply)
	}
	if err != nil || out == nil {
		return err
	}
	r.replace(list, []*window{out})
	if err := r.finishMerge(out, list, apply); err != nil {
		r.replace([]*window{out}, list)
		r.filterBytes -= out.filterBytes()
		return fmt.Errorf("merge windows: %w", err)
	}
	for _, w := range list {
		r.filterBytes -= w.filterBytes()
	}
	r.loaded.Store(false) // there may be room again
	return r.loadFilters()
}

// mergeChunks writes the receipts of several windows as one, which it returns,
// nil when the store is being closed.
func (r *receipts) mergeChunks(list []*window, apply applyFunc) (*window, error) {
	count, merges := 0, uint64(0)
	for _, w := range list {
		count += w.count
		merges = max(merges, w.merges()+1)
	}
	out := r.newWriter(&window{id: merges<<timeBits | list[0].opened()}, count, apply)
	m, err := r.newMerger(list)
	for n := 0; err == nil; n++ {
		var receipt *ledger.KeyedReceipt
		if receipt, err = m.next(); receipt == nil || err != nil {
			break
		}
		if err = out.add(receipt); n%(1<<16) == 0 && r.interrupted() {
			out.discard()
			r.swept = false
			return nil, errors.Join(err, m.close())
		}
	}
	if err = errors.Join(err, m.close()); err == nil {
		err = out.finish()
	}
	if err != nil {
		out.discard()
		return nil, fmt.Errorf("merge windows: %w", err)
	}
	return out.w, nil
}

// replace puts windows in the place of neighbours, in memory. What they hold is
// found throughout: see find.
func (r *receipts) replace(list, with []*window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.windows, list[0])
	r.windows = slices.Concat(r.windows[:i], with, r.windows[i+len(list):])
	r.version.Add(1)
}

func (r *receipts) finishMerge(out *window, list []*window, apply applyFunc) error {
	b := r.db.NewBatch()
	key := windowKey(nil, kindFilter, out.id)
	if err := b.Set(key, encodeWindow(key, out), nil); err != nil {
		return err
	}
	for _, w := range list {
		if err := removeWindow(b, w.id); err != nil {
			return err
		}
	}
	return applyAndClose(b, apply)
}

// damagedChunkError says that a window cannot be merged.
type damagedChunkError struct {
	window *window
	err    error
}

func (e *damagedChunkError) Error() string {
	return fmt.Sprintf("chunk of window %d, which is not merged: %v", e.window.id, e.err)
}

func (e *damagedChunkError) Unwrap() error { return e.err }

// merger reads the receipts of several windows in the order of their keys.
type merger struct {
	sources []*mergeSource // those of newer windows first
	current *mergeSource   // whose receipt was returned
}

// mergeSource reads the receipts of one window, a chunk at a time.
type mergeSource struct {
	window *window
	it     *pebble.Iterator
	list   []ledger.KeyedReceipt
	i      int
	began  bool
}

func (r *receipts) newMerger(list []*window) (*merger, error) {
	m := &merger{}
	for _, w := range slices.Backward(list) {
		prefix := windowKey(nil, kindChunk, w.id)
		it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
		if err != nil {
			return m, err
		}
		s := &mergeSource{window: w, it: it}
		m.sources = append(m.sources, s)
		if err := s.advance(); err != nil {
			return m, err
		}
	}
	return m, nil
}

// advance goes to the next receipt; list is empty after the last.
func (s *mergeSource) advance() error {
	if s.i++; s.i < len(s.list) {
		return nil
	}
	s.list, s.i = s.list[:0], 0
	var ok bool
	if s.began {
		ok = s.it.Next()
	} else {
		ok, s.began = s.it.First(), true
	}
	if !ok {
		return s.it.Error()
	}
	value, err := s.it.ValueAndErr()
	if err != nil {
		return err
	}
	if s.list, err = decodeChunk(s.list, s.it.Key(), value); err != nil {
		return &damagedChunkError{s.window, err}
	}
	for i := range s.list {
		shorten(&s.list[i].Key)
	}
	return nil
}

// next returns the next receipt, the newest under its key, nil after the last. It
// is valid until the next call.
func (m *merger) next() (*ledger.KeyedReceipt, error) {
	if m.current != nil {
		// The receipts that older windows have under the same key go as well.
		key := m.current.list[m.current.i].Key
		for _, s := range m.sources {
			for len(s.list) > 0 && s.list[s.i].Key == key {
				if err := s.advance(); err != nil {
					return nil, err
				}
			}
		}
	}
	m.current = nil
	best := wide{math.MaxUint16, math.MaxUint64}
	for _, s := range m.sources {
		if len(s.list) == 0 {
			continue
		}
		if at := wideAt(s.list[s.i].Key[:]); m.current == nil || at.less(best) {
			best, m.current = at, s
		}
	}
	if m.current == nil {
		return nil, nil //nolint:nilnil // the end
	}
	return &m.current.list[m.current.i], nil
}

func (m *merger) close() error {
	var err error
	for _, s := range m.sources {
		err = errors.Join(err, s.it.Close())
	}
	return err
}

// windowWriter writes the chunks and the filter of a window from its receipts in
// the order of their keys.
type windowWriter struct {
	r      *receipts
	w      *window
	apply  applyFunc
	batch  *pebble.Batch
	chunk  []ledger.KeyedReceipt
	hashes []uint64 // of the keys of a piece
	piece  int      // of the filter, that is being filled
	key    []byte
	value  []byte
}

// newWriter returns the writer of a window of about count receipts.
func (r *receipts) newWriter(w *window, count int, apply applyFunc) *windowWriter {
	w.pieces = make([]atomic.Pointer[fuse], piecesFor(count))
	w.newest = math.MinInt64
	return &windowWriter{r: r, w: w, apply: apply, batch: r.db.NewBatch()}
}

// add adds a receipt whose key is greater than those before. One whose key is the
// same as far as it is stored takes the place of the one before.
func (o *windowWriter) add(receipt *ledger.KeyedReceipt) error {
	for piece := pieceOf(&receipt.Key, len(o.w.pieces)); o.piece < piece; {
		if err := o.writePiece(); err != nil {
			return err
		}
	}
	o.w.newest = max(o.w.newest, receipt.ReceivedAt)
	if n := len(o.chunk); n > 0 && wideAt(o.chunk[n-1].Key[:]) == wideAt(receipt.Key[:]) {
		o.chunk[n-1] = *receipt
		return nil
	}
	if len(o.chunk) == chunkReceipts {
		if err := o.writeChunk(); err != nil {
			return err
		}
	}
	o.w.count++
	o.hashes = append(o.hashes, fuseHash(&receipt.Key))
	o.chunk = append(o.chunk, *receipt)
	return nil
}

// finish writes what is left of chunks and filter.
func (o *windowWriter) finish() error {
	if len(o.chunk) > 0 {
		if err := o.writeChunk(); err != nil {
			return err
		}
	}
	for o.piece < len(o.w.pieces) {
		if err := o.writePiece(); err != nil {
			return err
		}
	}
	return applyAndClose(o.batch, o.apply)
}

// discard gives back the memory for filters. The rows that were written are
// removed by a sweep.
func (o *windowWriter) discard() { o.r.filterBytes -= o.w.filterBytes() }

func (o *windowWriter) writeChunk() error {
	o.key = packedChunkKey(o.key[:0], o.w.id, &o.chunk[0].Key)
	o.value = appendChunk(o.value[:0], o.key, o.chunk)
	o.chunk = o.chunk[:0]
	return o.set()
}

func (o *windowWriter) writePiece() error {
	f := o.r.fuses.build(o.hashes)
	o.hashes = o.hashes[:0]
	if size := f.bytes(); o.r.filterBytes+size <= o.r.filterLimit {
		o.w.pieces[o.piece].Store(f)
		o.r.filterBytes += size
	}
	o.key = pieceKey(o.key[:0], o.w.id, o.piece)
	o.value = f.encode(o.value[:0], o.key)
	o.piece++
	return o.set()
}

func (o *windowWriter) set() error {
	if err := o.batch.Set(o.key, o.value, nil); err != nil {
		return err
	}
	if o.batch.Len() < rewriteBytes {
		return nil
	}
	full := o.batch
	o.batch = o.r.db.NewBatch()
	return applyAndClose(full, o.apply)
}
