package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// refreshBytes is how many bytes of runs one iterator reads: while it is open,
// Pebble keeps memtables and tables that it could have dropped.
const refreshBytes = 16 << 20

// Head implements [ledger.Store].
func (s *Store) Head(ctx context.Context, org string) (ledger.Head, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Head{}, fmt.Errorf("head: %w", err)
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return ledger.Head{}, fmt.Errorf("head: %w", err)
	}
	return log.head.Load().ledgerHead(), nil
}

// Read implements [ledger.Store]. What is missing or damaged ends it with a
// *CorruptError.
func (s *Store) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		if err := s.read(ctx, org, from, to, yield); err != nil {
			yield(nil, fmt.Errorf("read entries: %w", err))
		}
	}
}

func (s *Store) read(ctx context.Context, org string, from, to uint64, yield func(*event.Entry, error) bool) error {
	log, err := s.logs.load(org, false)
	if err != nil {
		return err
	}
	w := &logWalk{s: s, log: log, from: from, to: min(to, log.head.Load().Size)}
	w.run = (&entryReader{s: s, log: log, yield: yield}).run
	w.blocks = entryWalk(asked{}, func(e *event.Entry) error {
		if !yield(e, nil) {
			return errStop
		}
		return nil
	})
	return w.walk(ctx)
}

// entryWalk returns what gives the entries of blocks that are asked for to fn,
// which decodes several blocks at once.
func entryWalk(ask asked, fn func(e *event.Entry) error) func(context.Context, *logWalk, []*sealedBlock) error {
	return func(ctx context.Context, w *logWalk, list []*sealedBlock) error {
		one := func(e *event.Entry) error {
			w.done(e.Seq)
			return fn(e)
		}
		if len(list) == 1 {
			return w.direct(list[0], ask, one)
		}
		r := &rendering{
			s: w.s, log: w.log, asked: ask, from: w.from, to: w.to, desc: w.desc,
			render: appendStored, salts: true, blocks: inOrder(list, w.desc),
		}
		var e event.Entry
		return r.each(func(p *piece) (err error) {
			for b := p.data; len(b) > 0; {
				if b, err = storedEntry(b, &e); err == nil {
					err = one(&e)
				}
				if err != nil {
					return err
				}
			}
			w.done(p.last)
			return ctx.Err()
		})
	}
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
	dst = appendInt(dst, e.ErasedAt)
	if e.ErasedAt != 0 {
		dst = append(dst, e.Digest[:]...)
	}
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
	b = b[copy(e.Salt[:], b):]
	e.ErasedAt, e.Digest = int64At(b, 0), [32]byte{}
	if b = b[8:]; e.ErasedAt != 0 {
		b = b[copy(e.Digest[:], b):]
	}
	err = event.DecodeRow(b, &e.Event)
	e.Seq, e.ReceivedAt = seq, receivedAt
	return rest, err
}

// errStop ends a walk that whoever walks has seen enough of.
var errStop = errors.New("stop")

// entryReader yields the entries of runs.
type entryReader struct {
	s     *Store
	log   *orgLog
	yield func(*event.Entry, error) bool
	keys  blockKeys
	entry event.Entry
}

// run yields the entries of a run with from ≤ seq < to.
func (d *entryReader) run(r *runReader, from, to uint64, desc bool) error {
	if err := r.unpack(); err != nil {
		return corrupt(d.log.org, r.first, r.end(), "run", err)
	}
	for i := range to - from {
		seq := from + i
		if desc {
			seq = to - 1 - i
		}
		if err := d.decode(r, seq); err != nil {
			return err
		}
		if !d.yield(&d.entry, nil) {
			return errStop
		}
	}
	return nil
}

func (d *entryReader) decode(r *runReader, seq uint64) error {
	if err := event.DecodeRow(r.row(int(seq-r.first)), &d.entry.Event); err != nil { //nolint:gosec // within the run
		return corrupt(d.log.org, seq, seq+1, "row", err)
	}
	d.entry.Seq, d.entry.ReceivedAt = seq, r.receivedAt
	return d.identify()
}

// identify sets what is derived from the keys of the entry's block.
func (d *entryReader) identify() error {
	seq := d.entry.Seq
	c, err := d.keys.cipher(d.s, d.log, seq/ledger.BlockSize)
	if err != nil {
		return err
	}
	if seq < d.keys.from { // what was a row is in a block by now, with a salt of its own
		return corrupt(d.log.org, seq, seq+1, "salt", errMoved)
	}
	d.entry.ID, d.entry.Salt = c.ID(d.entry.ReceivedAt, seq), c.Salt(seq)
	return nil
}

// blockKeys keeps the keys of one range. Who reads rows may go on with those it has
// when others take their place: all that it is about to read was written before.
type blockKeys struct {
	block      uint64
	c          *event.Cipher
	generation uint32
	from       uint64
}

func (k *blockKeys) cipher(s *Store, log *orgLog, block uint64) (*event.Cipher, error) {
	if k.c != nil && k.block == block {
		return k.c, nil
	}
	keys, err := s.readKeys(log, block)
	if err != nil {
		return nil, err
	}
	k.block, k.c, k.generation, k.from = block, keys.Cipher(), keys.generation, keys.from
	return k.c, nil
}

// runWalk goes over the runs that hold the entries from ≤ seq < to of a log, in
// order of seq or, when desc, from the last to the first.
type runWalk struct {
	s        *Store
	log      *orgLog
	from, to uint64
	desc     bool
	// visit gets each run whose header was read, and which entries of it are
	// within the range. The run is valid until visit returns.
	visit func(r *runReader, from, to uint64, desc bool) error

	it   *pebble.Iterator
	read int
}

// walk visits all runs. It returns a *CorruptError when one is missing or
// damaged.
func (w *runWalk) walk(ctx context.Context) error {
	r := w.s.readers.Get().(*runReader)
	defer w.s.readers.Put(r)
	for w.from < w.to {
		if err := w.some(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// some visits runs with one iterator.
func (w *runWalk) some(ctx context.Context, r *runReader) (err error) {
	prefix := appendOrgKey(nil, kindRun, w.log.org)
	w.it, err = w.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("organization %q: %w", w.log.org, err)
	}
	defer func() {
		if closeErr := w.it.Close(); err == nil && closeErr != nil {
			err = w.readError(closeErr)
		}
	}()
	if w.log.dropping.Load() {
		return w.log.gone() // the iterator may see its successor
	}
	w.read = 0
	for ok := w.seek(); w.from < w.to && w.read < refreshBytes; ok = w.step() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !ok {
			return w.missing(w.from, w.following())
		}
		if err := w.one(r); err != nil {
			return err
		}
	}
	return nil
}

// seek goes to the run that has the next entry.
func (w *runWalk) seek() bool {
	want := w.from
	if w.desc {
		want = w.to - 1
	}
	return w.it.SeekLT(append(runKey(nil, w.log.org, want), 0))
}

func (w *runWalk) step() bool {
	if w.desc {
		return w.it.Prev()
	}
	return w.it.Next()
}

// one visits the run that the iterator is at.
func (w *runWalk) one(r *runReader) error {
	value, err := w.it.ValueAndErr()
	if err != nil {
		return w.readError(err)
	}
	w.read += len(value)
	if err := r.open(w.it.Key(), value); err != nil {
		return w.damaged(err)
	}
	first, end := max(r.first, w.from), min(r.end(), w.to)
	switch {
	case first >= end: // it lies before the range, and is the last that does
		return w.missing(w.from, w.following())
	case !w.desc && first != w.from:
		return w.missing(w.from, first)
	case w.desc && end != w.to:
		return w.missing(end, w.to)
	}
	if err := w.visit(r, first, end, w.desc); err != nil {
		return err
	}
	if w.desc {
		w.to = first
	} else {
		w.from = end
	}
	return nil
}

// missing is the error for entries that should be there.
func (w *runWalk) missing(from, to uint64) error {
	if err := w.it.Error(); err != nil {
		return w.readError(err)
	}
	if w.log.dropping.Load() {
		return w.log.gone()
	}
	return corrupt(w.log.org, from, to, "missing", nil)
}

// damaged names the entries of the run that the iterator is at.
func (w *runWalk) damaged(cause error) error {
	from, _ := keyNumber(w.it.Key())
	return corrupt(w.log.org, from, w.following(), "run", cause)
}

// following returns where the run after the one that the iterator is at begins,
// as far as that is in the range.
func (w *runWalk) following() uint64 {
	if w.desc || !w.it.Next() {
		return w.to
	}
	n, _ := keyNumber(w.it.Key())
	return min(w.to, n)
}

// readError is for what Pebble could not read.
func (w *runWalk) readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return corrupt(w.log.org, w.from, w.to, "table", err)
	}
	return fmt.Errorf("organization %q, entries %d to %d: %w", w.log.org, w.from, w.to-1, err)
}

// Tile implements [ledger.Store].
func (s *Store) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	if level < 1 || level > maxLevel || width < 1 || width > ledger.TileWidth {
		return nil, fmt.Errorf("tile: no tile of level %d is %d wide", level, width)
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return nil, fmt.Errorf("tile: %w", err)
	}
	shift := 8 * level
	nodes := log.head.Load().Size >> shift
	if index > nodes/ledger.TileWidth || index*ledger.TileWidth+uint64(width) > nodes {
		return nil, ledger.ErrNotFound
	}
	hashes, err := s.readNodes(log, level, index*ledger.TileWidth, width)
	if err != nil {
		return nil, fmt.Errorf("tile %d of level %d: %w", index, level, err)
	}
	return hashes, nil
}

func (s *Store) readNodes(log *orgLog, level int, first uint64, width int) (hashes []tlog.Hash, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: nodeKey(nil, log.org, level, first),
		UpperBound: nodeKey(nil, log.org, level, first+uint64(width)), //nolint:gosec // checked
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		next := first + uint64(len(hashes))
		if n, _ := keyNumber(it.Key()); n != next {
			break
		}
		hash, err := nodeAt(it)
		if err != nil {
			return nil, corrupt(log.org, next<<(8*level), (next+1)<<(8*level), "hash", err)
		}
		hashes = append(hashes, hash)
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	if log.dropping.Load() {
		return nil, log.gone()
	}
	if len(hashes) < width {
		next := first + uint64(len(hashes))
		return nil, corrupt(log.org, next<<(8*level), (next+1)<<(8*level), "missing hash", nil)
	}
	return hashes, nil
}

func nodeAt(it *pebble.Iterator) (tlog.Hash, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return tlog.Hash{}, err
	}
	b, err := unseal(it.Key(), value)
	if err != nil {
		return tlog.Hash{}, err
	}
	if len(b) != tlog.HashSize {
		return tlog.Hash{}, errLength
	}
	return tlog.Hash(b), nil
}

// Keys implements [ledger.Store].
func (s *Store) Keys(ctx context.Context, org string, block uint64) (event.Keys, error) {
	if err := ctx.Err(); err != nil {
		return event.Keys{}, fmt.Errorf("keys: %w", err)
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return event.Keys{}, fmt.Errorf("keys: %w", err)
	}
	size := log.head.Load().Size
	if size == 0 || block > (size-1)/ledger.BlockSize {
		return event.Keys{}, ledger.ErrNotFound
	}
	keys, err := s.readKeys(log, block)
	if err != nil {
		if s.isGone(log, block*ledger.BlockSize, (block+1)*ledger.BlockSize) {
			return event.Keys{}, ledger.ErrNotFound
		}
		return event.Keys{}, fmt.Errorf("keys: %w", err)
	}
	return keys.Keys, nil
}

// readKeys returns the keys of a block that has entries.
func (s *Store) readKeys(log *orgLog, block uint64) (*rangeKeys, error) {
	key := keysKey(nil, log.org, block)
	from, to := block*ledger.BlockSize, (block+1)*ledger.BlockSize
	value, closer, err := s.db.Get(key)
	switch {
	case log.dropping.Load(): // they may be its successor's
		if err == nil {
			err = closer.Close()
		} else if errors.Is(err, pebble.ErrNotFound) {
			err = nil
		}
		return nil, errors.Join(log.gone(), err)
	case errors.Is(err, pebble.ErrNotFound):
		return nil, corrupt(log.org, from, to, "missing keys", nil)
	case err != nil:
		return nil, fmt.Errorf("organization %q, keys of block %d: %w", log.org, block, err)
	}
	keys, err := decodeKeys(key, value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, corrupt(log.org, from, to, "keys", err)
	}
	return keys, nil
}
