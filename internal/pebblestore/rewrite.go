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
				"rewrite of idempotency receipts failed; they stay in memory", slog.String("error", err.Error()))
		}
	}
}

// applyFunc writes a batch.
type applyFunc func(*pebble.Batch, *pebble.WriteOptions) error

// tidy removes the windows that expired and rewrites those that are closed.
func (r *receipts) tidy(now time.Time, apply applyFunc) error {
	r.tidying.Lock()
	defer r.tidying.Unlock()
	for _, w := range r.expired(now) {
		if err := r.remove(w, apply); err != nil {
			return err
		}
	}
	for _, w := range r.closed() {
		if err := r.rewrite(w, apply); err != nil {
			return err
		}
	}
	return nil
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

// rewrite writes a window as chunks and a filter, which then takes its place in
// memory.
func (r *receipts) rewrite(w *window, apply applyFunc) error {
	list := sortedReceipts(w.exact) // nobody writes to a closed window
	f := newFilter(len(list))
	for i := range list {
		f.add(&list[i].Key)
	}
	if err := r.writeChunks(w, list, apply); err != nil {
		return fmt.Errorf("rewrite window %d: %w", w.id, err)
	}
	if err := r.writeFilter(w, f, apply); err != nil {
		return fmt.Errorf("rewrite window %d: %w", w.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.exact, w.filter = nil, f
	return nil
}

func sortedReceipts(exact map[ledger.Key]ledger.Receipt) []ledger.KeyedReceipt {
	list := make([]ledger.KeyedReceipt, 0, len(exact))
	for key, receipt := range exact {
		list = append(list, ledger.KeyedReceipt{Key: key, Receipt: receipt})
	}
	slices.SortFunc(list, func(a, b ledger.KeyedReceipt) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return list
}

func (r *receipts) writeChunks(w *window, list []ledger.KeyedReceipt, apply applyFunc) error {
	b := r.db.NewBatch()
	if w.recovered {
		if err := removeRange(b, kindChunk, w.id); err != nil {
			return err
		}
	}
	var key, value []byte
	for part := range slices.Chunk(list, chunkReceipts) {
		key = chunkKey(key[:0], w.id, &part[0].Key)
		value = append(value[:0], valueVersion)
		for i := range part {
			value = appendReceipt(value, &part[i])
		}
		value = seal(key, value, 0)
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
		if b.Len() < rewriteBytes {
			continue
		}
		if err := applyAndClose(b, apply); err != nil {
			return err
		}
		b = r.db.NewBatch()
	}
	return applyAndClose(b, apply)
}

// writeFilter is the last step, which makes the chunks count.
func (r *receipts) writeFilter(w *window, f filter, apply applyFunc) error {
	b := r.db.NewBatch()
	key := windowKey(nil, kindFilter, w.id)
	if err := b.Set(key, encodeFilter(key, w, f), nil); err != nil {
		return err
	}
	if err := removeRange(b, kindReceipts, w.id); err != nil {
		return err
	}
	return applyAndClose(b, apply)
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

func encodeFilter(key []byte, w *window, f filter) []byte {
	value := append(make([]byte, 0, 1+8+8+len(f)+sumBytes), valueVersion)
	value = binary.LittleEndian.AppendUint64(value, uint64(w.count)) //nolint:gosec // a length
	value = appendInt(value, w.newest)
	return seal(key, append(value, f...), 0)
}

func decodeFilter(key, value []byte) (*window, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	id, ok := keyNumber(key)
	if !ok || len(b) < 16+filterBlockBytes || len(b[16:])%filterBlockBytes != 0 {
		return nil, errLength
	}
	count := binary.LittleEndian.Uint64(b)
	if count > uint64(len(b))*8 {
		return nil, errLength
	}
	return &window{
		id: id, count: int(count), newest: int64At(b, 8), //nolint:gosec // checked
		filter: bytes.Clone(b[16:]),
	}, nil
}

// load reads all windows, when the store is opened. The newest that is not
// rewritten goes on. Damaged values are left out and told to onDamage: a store
// that does not open because of them would help nobody.
func (r *receipts) load(onDamage func(error)) error {
	byID := map[uint64]*window{}
	err := eachRow(r.db, kindFilter, func(key, value []byte) error {
		w, err := decodeFilter(key, value)
		if err != nil {
			onDamage(fmt.Errorf("filter of receipts %x: %w", key, err))
			if w, err = r.rebuildFilter(key); err != nil {
				return err
			}
		}
		byID[w.id] = w
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
	r.windows = slices.SortedFunc(maps.Values(byID), func(a, b *window) int { return cmp.Compare(a.id, b.id) })
	if n := len(r.windows); n > 0 {
		r.sealed = r.windows[n-1].exact == nil
		r.nudge()
	}
	return nil
}

// rebuildFilter makes the filter of a window from its chunks. Of a damaged chunk
// the filter says nothing.
func (r *receipts) rebuildFilter(filterKey []byte) (*window, error) {
	id, ok := keyNumber(filterKey)
	if !ok {
		return nil, errLength
	}
	w := &window{id: id}
	var keys []ledger.Key
	prefix := windowKey(nil, kindChunk, id)
	err := eachRowIn(r.db, prefix, prefixEnd(prefix), func(key, value []byte) error {
		list, err := receiptList(key, value)
		if err != nil {
			return nil //nolint:nilerr // told by whoever looks for one of its keys
		}
		var receipt ledger.KeyedReceipt
		for i := range list.len() {
			list.at(i, &receipt)
			keys = append(keys, receipt.Key)
			w.newest = max(w.newest, receipt.ReceivedAt)
		}
		return nil
	})
	w.count, w.filter = len(keys), newFilter(len(keys))
	for i := range keys {
		w.filter.add(&keys[i])
	}
	return w, err
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
		w = &window{id: id, exact: map[ledger.Key]ledger.Receipt{}, recovered: true}
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
