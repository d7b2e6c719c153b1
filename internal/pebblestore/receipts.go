package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

const (
	receiptBytes  = 16 + 8 + 8 + 8
	chunkReceipts = 256

	// windowParts is how many windows an idempotency window is long: so much
	// finer than it is what is forgotten. Each costs a probe of every new key.
	windowParts = 14
	// windowReceipts is how many receipts memory holds before a window is
	// closed early.
	windowReceipts = 256 << 10
)

// storedKey is the key that a receipt is stored under, which no receipt of an
// earlier incarnation of the organization's log has.
func storedKey(key ledger.Key, incarnation uint32) ledger.Key {
	if incarnation > 0 {
		n := binary.BigEndian.Uint32(key[:]) ^ incarnation*0x9e3779b1
		binary.BigEndian.PutUint32(key[:], n)
	}
	return key
}

// receipts are the receipts of all organizations.
type receipts struct {
	db     *pebble.DB
	length time.Duration // of a window
	expire time.Duration // the idempotency window
	limit  int           // receipts in a window

	// group is the number of the next group in the open window. The committer's.
	group uint64
	key   []byte
	value []byte

	mu      sync.RWMutex
	windows []*window // oldest first; the last is open unless sealed is set
	sealed  bool

	// work has the rewriter look for windows to rewrite or remove. It is of
	// capacity 1.
	work chan struct{}
	// tidying is held over a whole look, so that one who asks for it to be done
	// now waits for one under way.
	tidying sync.Mutex
}

// window is the receipts of one stretch of time.
type window struct {
	id     uint64 // when it was opened, in Unix milliseconds, or later
	newest int64  // received_at, in Unix milliseconds
	count  int
	// exact has every receipt until the window is rewritten, filter is there
	// from then on. Only one is set.
	exact  map[ledger.Key]ledger.Receipt
	filter filter
	// recovered says that chunks of an earlier process may be there.
	recovered bool
}

func newReceipts(db *pebble.DB, expire time.Duration, limit int) *receipts {
	return &receipts{
		db: db, length: max(expire/windowParts, time.Second), expire: expire, limit: limit,
		sealed: true, work: make(chan struct{}, 1),
	}
}

// append adds the receipts of a group to its batch, opening a window when it is
// time. The committer calls it, and then add.
func (r *receipts) append(b *pebble.Batch, list []ledger.KeyedReceipt, now time.Time) error {
	w := r.openWindow(now)
	r.key = receiptsKey(r.key[:0], w.id, r.group)
	r.group++
	r.value = append(r.value[:0], valueVersion)
	for i := range list {
		r.value = appendReceipt(r.value, &list[i])
	}
	r.value = seal(r.key, r.value, 0)
	return b.Set(r.key, r.value, nil)
}

// openWindow returns the open window, a new one when the last has had its time.
func (r *receipts) openWindow(now time.Time) *window {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms := uint64(max(now.UnixMilli(), 0))
	if n := len(r.windows); n > 0 {
		last := r.windows[n-1]
		if !r.sealed && last.count < r.limit && ms < last.id+uint64(r.length.Milliseconds()) { //nolint:gosec // positive
			return last
		}
		ms = max(ms, last.id+1)
	}
	w := &window{id: ms, exact: map[ledger.Key]ledger.Receipt{}}
	r.windows = append(r.windows, w)
	r.group, r.sealed = 0, false
	r.nudge()
	return w
}

// nudge wakes the rewriter.
func (r *receipts) nudge() {
	select {
	case r.work <- struct{}{}:
	default:
	}
}

// add makes receipts visible, once they are durable, in the window that append
// put them in.
func (r *receipts) add(list []ledger.KeyedReceipt) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows[len(r.windows)-1].add(list)
}

func (w *window) add(list []ledger.KeyedReceipt) {
	for i := range list {
		w.exact[list[i].Key] = list[i].Receipt
		w.newest = max(w.newest, list[i].ReceivedAt)
	}
	w.count = len(w.exact)
}

// find returns the newest receipt under a stored key.
func (r *receipts) find(key ledger.Key) (ledger.Receipt, error) {
	receipt, ok, maybe := r.probe(&key)
	if ok {
		return receipt, nil
	}
	for _, id := range maybe {
		receipt, err := r.readChunk(id, &key)
		if !errors.Is(err, ledger.ErrNotFound) {
			return receipt, err
		}
	}
	return ledger.Receipt{}, ledger.ErrNotFound
}

// probe asks what is in memory. maybe are the windows, newest first, that have
// to be read. Windows are rewritten in order, so those in memory are the newest.
func (r *receipts) probe(key *ledger.Key) (receipt ledger.Receipt, ok bool, maybe []uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, w := range slices.Backward(r.windows) {
		if w.exact != nil {
			if receipt, ok = w.exact[*key]; ok {
				return receipt, true, nil
			}
		} else if w.filter.has(key) {
			maybe = append(maybe, w.id)
		}
	}
	return receipt, false, maybe
}

// readChunk looks for a key in the one chunk of a window that may have it.
func (r *receipts) readChunk(window uint64, key *ledger.Key) (ledger.Receipt, error) {
	prefix := windowKey(nil, kindChunk, window)
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("read receipts: %w", err)
	}
	receipt, err := findInChunk(it, window, key)
	if err := errors.Join(err, it.Close()); err != nil {
		if errors.Is(err, ledger.ErrNotFound) {
			return receipt, ledger.ErrNotFound
		}
		return receipt, fmt.Errorf("read receipts of window %d: %w", window, err)
	}
	return receipt, nil
}

func findInChunk(it *pebble.Iterator, window uint64, key *ledger.Key) (ledger.Receipt, error) {
	var receipt ledger.KeyedReceipt
	after := append(chunkKey(nil, window, key), 0)
	if !it.SeekLT(after) {
		return receipt.Receipt, errors.Join(it.Error(), ledger.ErrNotFound)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return receipt.Receipt, err
	}
	list, err := receiptList(it.Key(), value)
	if err != nil {
		return receipt.Receipt, err
	}
	i, ok := list.search(key)
	if !ok {
		return receipt.Receipt, ledger.ErrNotFound
	}
	list.at(i, &receipt)
	return receipt.Receipt, nil
}

// stored receipts, one after the other.
type storedReceipts []byte

// receiptList checks the value of a group's receipts or of a chunk.
func receiptList(key, value []byte) (storedReceipts, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || len(b)%receiptBytes != 0 {
		return nil, errLength
	}
	return b, nil
}

func (l storedReceipts) len() int { return len(l) / receiptBytes }

func (l storedReceipts) key(i int) []byte { return l[i*receiptBytes:][:16] }

func (l storedReceipts) at(i int, r *ledger.KeyedReceipt) {
	b := l[i*receiptBytes:][:receiptBytes]
	copy(r.Key[:], b)
	copy(r.Fingerprint[:], b[16:])
	r.ReceivedAt = int64At(b, 24)
	r.Seq = binary.LittleEndian.Uint64(b[32:])
}

// search finds a key among sorted receipts.
func (l storedReceipts) search(key *ledger.Key) (int, bool) {
	lo, hi := 0, l.len()
	for lo < hi {
		mid := (lo + hi) / 2
		switch bytes.Compare(l.key(mid), key[:]) {
		case 0:
			return mid, true
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

func appendReceipt(dst []byte, r *ledger.KeyedReceipt) []byte {
	dst = append(dst, r.Key[:]...)
	dst = append(dst, r.Fingerprint[:]...)
	dst = appendInt(dst, r.ReceivedAt)
	return binary.LittleEndian.AppendUint64(dst, r.Seq)
}

// Receipt implements [ledger.Store].
func (s *Store) Receipt(ctx context.Context, org string, key ledger.Key) (ledger.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	cur := log.head.Load()
	if cur.Size == 0 || log.dropping.Load() {
		return ledger.Receipt{}, ledger.ErrNotFound
	}
	return s.receipts.find(storedKey(key, cur.incarnation))
}

// size returns how many receipts and windows there are.
func (r *receipts) size() (count, windows int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, w := range r.windows {
		count += w.count
	}
	return count, len(r.windows)
}
