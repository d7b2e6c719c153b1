package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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
	// closed early, at 48 bytes each.
	windowReceipts = 64 << 10
	// filterMemory is how many bytes of filters memory holds: those of 27
	// million receipts. The filters of older windows are read from the database.
	filterMemory = 64 << 20
	// timeBits are the bits of a window's id that say when it was opened. Those
	// above count the merges that made it.
	timeBits = 56
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
	// version counts the times that windows were merged, which moves receipts
	// from under those who look for them. It changes under mu.
	version atomic.Uint64

	// work has the rewriter look for windows to rewrite, merge or remove. It is
	// of capacity 1.
	work chan struct{}
	// tidying is held over a whole look, so that one who asks for it to be done
	// now waits for one under way. It guards what follows.
	tidying     sync.Mutex
	again, stop bool        // work came during the look, or was closed
	swept       bool        // no row is left of a rewrite or merge that stopped
	filterBytes int         // of filters in memory
	filterLimit int         // the largest filterBytes
	loaded      atomic.Bool // all filters are in memory that may be
	fuses       fuseBuilder // for the filter that is being made
	notes       []error     // what was found damaged and is done without
}

// window is the receipts of one stretch of time.
type window struct {
	id     uint64 // see timeBits; the time is in Unix milliseconds, or later
	newest int64  // received_at, in Unix milliseconds
	count  int
	// exact has every receipt until the window is rewritten.
	exact *receiptTable
	// pieces are the filter of a rewritten window, nil where it is not in memory.
	// old is that of one which an old program wrote. A window with neither has
	// lost its filter.
	pieces []atomic.Pointer[fuse]
	old    oldFilter
	// wholeKeys says that an old program wrote the chunks.
	wholeKeys bool
	// damaged windows are not merged, lest nobody finds the damage again.
	damaged bool
}

// opened is when a window was opened.
func (w *window) opened() uint64 { return w.id & (1<<timeBits - 1) }

// merges is how many merges made it, one after the other.
func (w *window) merges() uint64 { return w.id >> timeBits }

func newReceipts(db *pebble.DB, expire time.Duration, limit int) *receipts {
	return &receipts{
		db: db, length: max(expire/windowParts, time.Second), expire: expire, limit: limit,
		sealed: true, work: make(chan struct{}, 1), filterLimit: filterMemory,
	}
}

// part is the stretch of time, a [windowParts]th of the idempotency window, that
// a moment is in.
func (r *receipts) part(ms uint64) uint64 { return ms / uint64(r.length.Milliseconds()) } //nolint:gosec // positive

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
		if !r.sealed && last.count < r.limit && r.part(ms) <= r.part(last.opened()) {
			return last
		}
		ms = max(ms, last.opened()+1)
	}
	w := &window{id: ms, exact: &receiptTable{}}
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
		w.exact.put(&list[i])
		w.newest = max(w.newest, list[i].ReceivedAt)
	}
	w.count = len(w.exact.entries)
}

// find returns the newest receipt under a stored key.
func (r *receipts) find(key ledger.Key) (ledger.Receipt, error) {
	for {
		receipt, ok, maybe, version := r.probe(&key)
		if ok {
			return receipt, nil
		}
		for _, w := range maybe {
			receipt, err := r.read(w, &key)
			if !errors.Is(err, ledger.ErrNotFound) {
				return receipt, err
			}
		}
		// A merge first takes its windows out of memory and then off the disk: if
		// it has not done so by now, their chunks were there to be read.
		if len(maybe) == 0 || r.version.Load() == version {
			return ledger.Receipt{}, ledger.ErrNotFound
		}
	}
}

// probe asks what is in memory. maybe are the windows, newest first, that have
// to be read. Windows are rewritten in order, so those in memory are the newest.
func (r *receipts) probe(key *ledger.Key) (receipt ledger.Receipt, ok bool, maybe []*window, version uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	hash := fuseHash(key)
	for _, w := range slices.Backward(r.windows) {
		if w.exact != nil {
			if receipt, ok = w.exact.get(key); ok {
				return receipt, true, nil, 0
			}
		} else if w.mayHave(key, hash) {
			maybe = append(maybe, w)
		}
	}
	return receipt, false, maybe, r.version.Load()
}

// mayHave asks the filter of a rewritten window, as far as it is in memory.
func (w *window) mayHave(key *ledger.Key, hash uint64) bool {
	if len(w.pieces) > 0 {
		f := w.pieces[pieceOf(key, len(w.pieces))].Load()
		return f == nil || f.has(hash)
	}
	return w.old == nil || w.old.has(key)
}

// read looks for a key on disk: in the filter, when it is there for want of
// memory, and in the one chunk of a window that may have it.
func (r *receipts) read(w *window, key *ledger.Key) (ledger.Receipt, error) {
	if n := len(w.pieces); n > 0 && r.loaded.Load() {
		i := pieceOf(key, n)
		if w.pieces[i].Load() == nil {
			f, err := r.readPiece(w.id, i)
			// Without the piece the chunk answers.
			if err == nil && !f.has(fuseHash(key)) {
				return ledger.Receipt{}, ledger.ErrNotFound
			}
		}
	}
	receipt, err := r.readChunk(w, key)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		err = fmt.Errorf("read receipts of window %d: %w", w.id, err)
	}
	return receipt, err
}

// readChunk looks for a key in the last chunk that begins with no greater one.
func (r *receipts) readChunk(w *window, key *ledger.Key) (receipt ledger.Receipt, err error) {
	prefix := windowKey(nil, kindChunk, w.id)
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return receipt, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	after := packedChunkKey(nil, w.id, key)
	if w.wholeKeys {
		after = chunkKey(nil, w.id, key)
	}
	if !it.SeekLT(append(after, 0)) {
		if err := it.Error(); err != nil {
			return receipt, err
		}
		return receipt, ledger.ErrNotFound
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return receipt, err
	}
	receipt, ok, err := searchChunk(it.Key(), value, key)
	if err == nil && !ok {
		err = ledger.ErrNotFound
	}
	return receipt, err
}

// stored receipts, one after the other.
type storedReceipts []byte

// receiptList checks the value of a group's receipts.
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
