package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

// rewriteBytes is how much of a window is written in one batch, so that no commit
// has to wait behind all of it.
const rewriteBytes = 256 << 10

// rewriteReceipts turns closed windows into chunks and removes expired ones,
// whenever there is work, until the store is closed. It needs no sync: until its
// last batch is durable, the receipts are where they were before.
func (s *Store) rewriteReceipts() {
	for range s.receipts.work {
		if err := s.receipts.tidy(s.now(), s.apply); err != nil {
			s.log.LogAttrs(context.Background(), slog.LevelWarn,
				"idempotency receipts could not be rewritten; they stay where they are", slog.String("error", err.Error()))
		}
	}
}

// applyFunc writes a batch.
type applyFunc func(*pebble.Batch, *pebble.WriteOptions) error

// tidy removes the windows that expired, rewrites those that are closed and
// merges those that are many.
func (r *receipts) tidy(now time.Time, apply applyFunc) error {
	r.tidying.Lock()
	defer r.tidying.Unlock()
	r.again = true
	for r.again {
		r.again = false
		if err := r.tidyOnce(now, apply); err != nil {
			r.swept = false
			return err
		}
	}
	notes := r.notes
	r.notes = nil
	return errors.Join(notes...)
}

func (r *receipts) tidyOnce(now time.Time, apply applyFunc) error {
	if err := r.loadFilters(); err != nil {
		return err
	}
	for _, w := range r.expired(now) {
		if err := r.remove(w, apply); err != nil {
			return err
		}
	}
	if err := r.sweep(apply); err != nil {
		return err
	}
	for !r.interrupted() {
		if list := r.closed(); len(list) > 0 {
			if err := r.rewrite(list[0], apply); err != nil {
				return err
			}
			continue
		}
		list := r.mergeable(now)
		if list == nil {
			break
		}
		if err := r.merge(list, apply); err != nil {
			return err
		}
	}
	return nil
}

// interrupted says whether a long look should end because the store is closed. It
// also notes work that has come.
func (r *receipts) interrupted() bool {
	select {
	case _, ok := <-r.work:
		r.again, r.stop = ok, r.stop || !ok
	default:
	}
	return r.stop
}

// expired returns the windows at the front that hold nothing young enough.
func (r *receipts) expired(now time.Time) []*window {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for _, w := range r.windows[:r.closedLen()] {
		if w.newest > now.Add(-r.expire).UnixMilli() {
			break
		}
		n++
	}
	return slices.Clone(r.windows[:n])
}

// closedLen is the number of windows that get nothing more.
func (r *receipts) closedLen() int {
	if r.sealed {
		return len(r.windows)
	}
	return len(r.windows) - 1
}

// closed returns the closed windows that are not rewritten, oldest first.
func (r *receipts) closed() []*window {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []*window
	for _, w := range r.windows[:r.closedLen()] {
		if w.exact != nil {
			list = append(list, w)
		}
	}
	return list
}

// remove forgets a window, in memory first.
func (r *receipts) remove(w *window, apply applyFunc) error {
	r.mu.Lock()
	r.windows = slices.DeleteFunc(slices.Clone(r.windows), func(other *window) bool { return other == w })
	r.mu.Unlock()
	r.filterBytes -= w.filterBytes()
	b := r.db.NewBatch()
	if err := removeWindow(b, w.id); err != nil {
		return fmt.Errorf("remove window %d: %w", w.id, err)
	}
	if err := apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("remove window %d: %w", w.id, err)
	}
	return b.Close()
}

func removeWindow(b *pebble.Batch, id uint64) error {
	for _, kind := range []byte{kindReceipts, kindChunk, kindFilter} {
		if err := removeRange(b, kind, id); err != nil {
			return err
		}
	}
	return nil
}

func removeRange(b *pebble.Batch, kind byte, window uint64) error {
	start := windowKey(nil, kind, window)
	return b.DeleteRange(start, prefixEnd(start), nil)
}

// sweep removes what rewrites and merges left that stopped before their last
// batch: chunks and filters of windows that nobody knows.
func (r *receipts) sweep(apply applyFunc) error {
	if r.swept {
		return nil
	}
	known := map[uint64]bool{}
	r.mu.RLock()
	for _, w := range r.windows {
		known[w.id] = w.exact == nil
	}
	r.mu.RUnlock()
	b := r.db.NewBatch()
	for _, kind := range []byte{kindChunk, kindFilter} {
		err := eachWindow(r.db, kind, func(id uint64, _, _ []byte) error {
			if known[id] {
				return nil
			}
			return removeRange(b, kind, id)
		})
		if err != nil {
			return fmt.Errorf("look for unfinished windows: %w", err)
		}
	}
	if err := applyAndClose(b, apply); err != nil {
		return fmt.Errorf("remove unfinished windows: %w", err)
	}
	r.swept = true
	return nil
}

// rewrite writes a window as chunks and a filter, which then takes its place in
// memory.
func (r *receipts) rewrite(w *window, apply applyFunc) error {
	exact := w.exact // nobody writes to a closed window
	out := r.newWriter(&window{id: w.id}, len(exact.entries), apply)
	err := out.addAll(exact)
	if err == nil {
		err = r.finishRewrite(out.w, apply)
	}
	if err != nil {
		out.discard()
		return fmt.Errorf("rewrite window %d: %w", w.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.exact, w.pieces, w.count, w.newest = nil, out.w.pieces, out.w.count, out.w.newest
	return nil
}

// addAll adds the receipts of a table and finishes.
func (o *windowWriter) addAll(t *receiptTable) error {
	for _, i := range t.sorted() {
		if err := o.add(&t.entries[i]); err != nil {
			return err
		}
	}
	return o.finish()
}

// finishRewrite is the last step, which makes the chunks count.
func (r *receipts) finishRewrite(w *window, apply applyFunc) error {
	b := r.db.NewBatch()
	key := windowKey(nil, kindFilter, w.id)
	if err := b.Set(key, encodeWindow(key, w), nil); err != nil {
		return err
	}
	if err := removeRange(b, kindReceipts, w.id); err != nil {
		return err
	}
	return applyAndClose(b, apply)
}

// sorted returns the indexes of the entries in the order of their keys.
func (t *receiptTable) sorted() []uint32 {
	type place struct {
		key uint64
		i   uint32
	}
	places := make([]place, len(t.entries))
	for i := range t.entries {
		places[i] = place{binary.BigEndian.Uint64(t.entries[i].Key[:8]), uint32(i)}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return bytes.Compare(t.entries[a.i].Key[8:], t.entries[b.i].Key[8:])
	})
	order := make([]uint32, len(places))
	for i := range places {
		order[i] = places[i].i
	}
	return order
}

// applyAndClose gives the batch back, unless Pebble may still hold it.
func applyAndClose(b *pebble.Batch, apply applyFunc) error {
	if b.Empty() {
		return b.Close()
	}
	if err := apply(b, pebble.NoSync); err != nil {
		return err
	}
	return b.Close()
}

func encodeWindow(key []byte, w *window) []byte {
	value := binary.LittleEndian.AppendUint64([]byte{packedVersion}, uint64(w.count)) //nolint:gosec // a length
	value = appendInt(value, w.newest)
	value = binary.LittleEndian.AppendUint16(value, uint16(len(w.pieces))) //nolint:gosec // at most maxPieces
	return seal(key, value, 0)
}

func decodeWindow(key, value []byte) (*window, error) {
	b, version, err := unsealAny(key, value)
	if err != nil {
		return nil, err
	}
	if len(key) != 1+8 || len(b) < 16 {
		return nil, errLength
	}
	count := binary.LittleEndian.Uint64(b)
	w := &window{id: binary.BigEndian.Uint64(key[1:]), count: int(count), newest: int64At(b, 8)} //nolint:gosec // checked
	switch b = b[16:]; {
	case version == valueVersion && len(b) >= oldBlockBytes && len(b)%oldBlockBytes == 0 && count <= uint64(len(b))*8:
		w.old, w.wholeKeys = bytes.Clone(b), true
		return w, nil
	case version == packedVersion && len(b) == 2 && count <= maxPieces*pieceKeys*2:
		w.pieces = make([]atomic.Pointer[fuse], binary.LittleEndian.Uint16(b))
		return w, nil
	case version > packedVersion:
		return nil, errVersion(version)
	}
	return nil, errLength
}

// load reads all windows, when the store is opened, but for their filters. The
// newest that is not rewritten goes on. Damaged values are left out and told to
// onDamage: a store that does not open because of them would help nobody.
func (r *receipts) load(onDamage func(error)) error {
	byID := map[uint64]*window{}
	err := eachWindow(r.db, kindFilter, func(id uint64, key, value []byte) error {
		if len(key) != 1+8 {
			return nil // pieces of a merge that stopped
		}
		w, err := decodeWindow(key, value)
		if err != nil {
			onDamage(fmt.Errorf("filter of receipts %x: %w", key, err))
			if w, err = r.restoreWindow(id); err != nil {
				return err
			}
		}
		byID[id] = w
		return nil
	})
	if err != nil {
		return fmt.Errorf("read filters of receipts: %w", err)
	}
	err = eachRow(r.db, kindReceipts, func(key, value []byte) error {
		if err := r.loadGroup(byID, key, value); err != nil {
			onDamage(fmt.Errorf("receipts of group %x: %w", key, err))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read receipts: %w", err)
	}
	r.windows = slices.SortedFunc(maps.Values(byID), func(a, b *window) int { return cmp.Compare(a.opened(), b.opened()) })
	if n := len(r.windows); n > 0 {
		r.sealed = r.windows[n-1].exact == nil
	}
	r.nudge()
	return nil
}

// restoreWindow makes a window of its chunks. It has no filter.
func (r *receipts) restoreWindow(id uint64) (*window, error) {
	w := &window{id: id}
	var list []ledger.KeyedReceipt
	prefix := windowKey(nil, kindChunk, id)
	err := eachRowIn(r.db, prefix, prefixEnd(prefix), func(key, value []byte) error {
		w.wholeKeys = len(key) == 1+8+len(ledger.Key{})
		list, _ = decodeChunk(list[:0], key, value) // damage is told by whoever looks for a key in it
		for i := range list {
			w.newest = max(w.newest, list[i].ReceivedAt)
		}
		w.count += len(list)
		return nil
	})
	return w, err
}

// loadFilters reads the filters of rewritten windows, newest first, so far as
// memory may hold them. Until it is done, chunks answer.
func (r *receipts) loadFilters() error {
	if r.loaded.Load() {
		return nil
	}
	r.mu.RLock()
	list := slices.Clone(r.windows)
	r.mu.RUnlock()
	for _, w := range slices.Backward(list) {
		for i := range w.pieces {
			if w.pieces[i].Load() != nil || r.filterBytes >= r.filterLimit {
				continue
			}
			if r.interrupted() {
				return nil
			}
			f, err := r.readPiece(w.id, i)
			if err != nil {
				r.notes = append(r.notes, fmt.Errorf("filter of window %d, piece %d, is done without: %w", w.id, i, err))
				f = &fuse{}
			}
			w.pieces[i].Store(f)
			r.filterBytes += f.bytes()
		}
	}
	r.loaded.Store(true)
	return nil
}

// filterBytes is what the window's filter takes of the memory for filters.
func (w *window) filterBytes() (n int) {
	for i := range w.pieces {
		if f := w.pieces[i].Load(); f != nil {
			n += f.bytes()
		}
	}
	return n
}

func pieceKey(dst []byte, window uint64, piece int) []byte {
	return binary.BigEndian.AppendUint16(windowKey(dst, kindFilter, window), uint16(piece)) //nolint:gosec // below maxPieces
}

// readPiece reads a piece of a window's filter.
func (r *receipts) readPiece(window uint64, piece int) (*fuse, error) {
	key := pieceKey(nil, window, piece)
	value, closer, err := r.db.Get(key)
	if err != nil {
		return nil, err
	}
	f, err := decodeFuse(key, value)
	return f, errors.Join(err, closer.Close())
}

func (r *receipts) loadGroup(byID map[uint64]*window, key, value []byte) error {
	list, err := receiptList(key, value)
	if err != nil {
		return err
	}
	if len(key) != 1+8+8 {
		return errLength
	}
	id := binary.BigEndian.Uint64(key[1:])
	w := byID[id]
	if w == nil {
		w = &window{id: id, exact: &receiptTable{}}
		byID[id] = w
	}
	if w.exact == nil {
		return fmt.Errorf("window %d is rewritten and still has its groups", id)
	}
	one := make([]ledger.KeyedReceipt, 1)
	for i := range list.len() {
		list.at(i, &one[0])
		w.add(one)
	}
	r.group = binary.BigEndian.Uint64(key[9:]) + 1
	return nil
}

// eachWindow calls fn for the first row of one kind of every window.
func eachWindow(db pebble.Reader, kind byte, fn func(id uint64, key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; {
		key := it.Key()
		if len(key) < 1+8 {
			ok = it.Next()
			continue
		}
		id := binary.BigEndian.Uint64(key[1:])
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = fn(id, key, value)
		}
		ok = it.SeekGE(prefixEnd(windowKey(nil, kind, id)))
	}
	return errors.Join(err, it.Error(), it.Close())
}

// eachRow calls fn for every row of one kind, in order.
func eachRow(db pebble.Reader, kind byte, fn func(key, value []byte) error) error {
	return eachRowIn(db, []byte{kind}, []byte{kind + 1}, fn)
}

// eachRowIn calls fn for every row with start ≤ key < end, in order.
func eachRowIn(db pebble.Reader, start, end []byte, fn func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = fn(it.Key(), value)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}
