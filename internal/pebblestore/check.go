package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Check reads everything in the store and reports what is damaged, missing or
// where it should not be: checksums, the order and bounds of entries, keys and
// hashes of every log, receipts and their filters, records. Whether hashes are
// right is for the ledger to say. Commits may go on meanwhile. The error is that
// of a read that failed, or of ctx.
func (s *Store) Check(ctx context.Context, report func(problem error)) error {
	snapshot := s.snapshots.take(s.db)
	c := &checker{db: snapshot, report: report, logs: map[string]*checkedLog{}, windows: map[uint64]*checkedWindow{}}
	if err := errors.Join(c.all(ctx), snapshot.Close()); err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	return nil
}

type checker struct {
	db      pebble.Reader
	report  func(error)
	logs    map[string]*checkedLog
	windows map[uint64]*checkedWindow
	reader  runReader
	event   event.Event
}

// checkedLog is what was seen of a log so far.
type checkedLog struct {
	head       *head
	next       uint64 // the seq that the next run should begin with
	seen       uint64 // the seq after the last entry seen
	receivedAt int64  // of that one
	newest     int64  // occurred_at of all entries seen
	// damaged is a run that could not be read, until the next one shows how far
	// it should have gone.
	damaged *CorruptError
	keys    uint64
	nodes   [maxLevel + 1]uint64
	// parts is the number of parts of each block.
	parts map[partsOf]int
	// gaps are what was removed, rewritten the keys of ranges out of which
	// something was taken.
	gaps      []gap
	rewritten map[uint64]*rangeKeys
}

// partsOf is what the keys of a block's parts begin with, after the organization.
type partsOf struct {
	first      uint64
	rows       uint16
	generation uint32
}

// checkedWindow is a closed window and what was seen of its chunks.
type checkedWindow struct {
	*window
	seen int
	last ledger.Key
}

// all looks at every row. Kinds are in the order in which they explain each
// other.
func (c *checker) all(ctx context.Context) error {
	for _, step := range []struct {
		kind byte
		look func(key, value []byte) error
	}{
		{kindHead, c.head},
		{kindGap, c.gap},
		{kindKeys, c.keys},
		{kindBlock, c.block},
		{kindPart, c.part},
		{kindRun, c.run},
		{kindTile, c.tile},
		{kindNode, c.node},
		{kindFilter, c.filter},
		{kindChunk, c.chunk},
		{kindReceipts, c.receipts},
		{kindRecord, c.record},
		{kindDirt, c.dirt},
	} {
		err := eachRow(c.db, step.kind, func(key, value []byte) error {
			if err := step.look(key, value); err != nil {
				c.report(fmt.Errorf("row %q: %w", key, err))
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	c.ends()
	return c.foreign()
}

// logKey takes a key apart that begins with an organization, and finds its log.
func (c *checker) logKey(key []byte, rest int) (org string, log *checkedLog, tail []byte, err error) {
	if len(key) < 2 || len(key) != 2+int(key[1])+rest {
		return "", nil, nil, errLength
	}
	org = string(key[2 : len(key)-rest])
	if log = c.logs[org]; log == nil {
		return "", nil, nil, fmt.Errorf("organization %q has no head", org)
	}
	return org, log, key[len(key)-rest:], nil
}

func (c *checker) head(key, value []byte) error {
	if len(key) < 2 || len(key) != 2+int(key[1]) {
		return errLength
	}
	h, err := decodeHead(key, value)
	if err != nil {
		return err
	}
	c.logs[string(key[2:])] = &checkedLog{
		head: h, receivedAt: math.MinInt64, newest: math.MinInt64, parts: map[partsOf]int{}, rewritten: map[uint64]*rangeKeys{},
	}
	return nil
}

// block looks at a block whole, its filter included. Runs come after all blocks.
func (c *checker) block(key, value []byte) error {
	org, log, tail, err := c.logKey(key, 8)
	if err != nil {
		return err
	}
	first := binary.BigEndian.Uint64(tail)
	if log.damaged != nil {
		c.reportDamaged(log, first)
	}
	c.missing(org, log, first)
	b, err := decodeBlock(org, key, value)
	if err != nil {
		log.damaged = corrupt(org, first, first+1, "block", err)
		return nil
	}
	h := b.Header
	log.parts[partsOf{first, uint16(h.Rows), b.generation}] = h.Parts //nolint:gosec // at most block.MaxRows
	before, size := log.next, log.head.Size
	log.next, log.seen = max(log.next, b.end()), b.end()
	err = block.NewReader(h, fetchPart(c.db, b)).Check()
	if err == nil {
		err = c.marks(log, b)
	}
	if err != nil {
		return corrupt(org, first, b.end(), "block", err)
	}
	switch {
	case log.removed(first, b.end()):
		return corrupt(org, first, b.end(), "in the store though it was removed", nil)
	case first < before:
		return corrupt(org, first, b.end(), "in the store twice", nil)
	case b.end() > size:
		return corrupt(org, first, b.end(), "beyond the end of the log", nil)
	case first/ledger.BlockSize != (b.end()-1)/ledger.BlockSize:
		return corrupt(org, first, b.end(), "block has entries of two ranges", nil)
	case h.FirstReceived < log.receivedAt:
		return corrupt(org, first, b.end(), "received before what is before it", nil)
	}
	log.receivedAt, log.newest = h.LastReceived, max(log.newest, h.MaxOccurred)
	return nil
}

// part looks for parts without a block: what the parts of a block hold was looked
// at with it.
func (c *checker) part(key, _ []byte) error {
	_, log, tail, err := c.logKey(key, 8+2+2)
	if err != nil {
		if _, log, tail, err = c.logKey(key, 8+2+2+4); err != nil {
			return err
		}
	}
	of := partsOf{first: binary.BigEndian.Uint64(tail), rows: binary.BigEndian.Uint16(tail[8:])}
	lowest := block.HeaderPart + 1
	if len(tail) > 12 {
		of.generation, lowest = binary.BigEndian.Uint32(tail[12:]), markPart
	}
	if n := int(binary.BigEndian.Uint16(tail[10:])); n < lowest || n >= log.parts[of] {
		return errors.New("part of no block")
	}
	return nil
}

func (c *checker) run(key, value []byte) error {
	org, log, tail, err := c.logKey(key, 8)
	if err != nil {
		return err
	}
	first, r := binary.BigEndian.Uint64(tail), &c.reader
	if log.damaged != nil {
		c.reportDamaged(log, first)
	}
	c.missing(org, log, first)
	err = r.open(key, value)
	if err == nil {
		err = r.unpack()
	}
	if err != nil {
		log.damaged = corrupt(org, first, first+1, "run", err)
		return nil
	}
	before := log.next
	log.next, log.seen = max(log.next, r.end()), r.end()
	switch {
	case log.removed(first, r.end()):
		return corrupt(org, first, r.end(), "in the store though it was removed", nil)
	case first < before:
		return corrupt(org, first, r.end(), "in the store twice", nil)
	case r.end() > log.head.Size:
		return corrupt(org, first, r.end(), "beyond the end of the log", nil)
	case first/ledger.BlockSize != (r.end()-1)/ledger.BlockSize:
		return corrupt(org, first, r.end(), "run crosses blocks", nil)
	case r.receivedAt < log.receivedAt:
		return corrupt(org, first, r.end(), "received before what is before it", nil)
	case r.priorMax < log.newest:
		return corrupt(org, first, r.end(), "something before it occurred later than it says", nil)
	}
	log.receivedAt, log.newest = r.receivedAt, max(log.newest, r.maxOccurred)
	return c.rows(org)
}

// reportDamaged reports the run before the one that begins at next.
func (c *checker) reportDamaged(log *checkedLog, next uint64) {
	log.damaged.ToSeq = max(log.damaged.ToSeq, next)
	c.report(log.damaged)
	log.damaged, log.next = nil, max(log.next, next)
}

// rows looks at the rows of the run that was unpacked.
func (c *checker) rows(org string) error {
	r := &c.reader
	for i := range int(r.rows) {
		seq := r.first + uint64(i)
		if err := event.DecodeRow(r.row(i), &c.event); err != nil {
			return corrupt(org, seq, seq+1, "row", err)
		}
		if t := c.event.OccurredAt; t < r.minOccurred || t > r.maxOccurred {
			return corrupt(org, seq, seq+1, "occurred outside of the bounds of its run", nil)
		}
	}
	return nil
}

func (c *checker) keys(key, value []byte) error {
	org, log, tail, err := c.logKey(key, 8)
	if err != nil {
		return err
	}
	block := binary.BigEndian.Uint64(tail)
	c.missingKeys(org, log, block)
	log.keys = block + 1
	k, err := decodeKeys(key, value)
	if err != nil {
		return corrupt(org, block*ledger.BlockSize, (block+1)*ledger.BlockSize, "keys", err)
	}
	if k.generation > 0 {
		log.rewritten[block] = k
	}
	return nil
}

func (c *checker) node(key, value []byte) error {
	org, log, tail, err := c.logKey(key, 1+8)
	if err != nil {
		return err
	}
	level, index := int(tail[0]), binary.BigEndian.Uint64(tail[1:])
	if level < 1 || level > maxLevel {
		return fmt.Errorf("hash of tile level %d", level)
	}
	if next := log.nodes[level]; index != next {
		c.report(corrupt(org, next<<(8*level), index<<(8*level), "missing hash", nil))
	}
	log.nodes[level] = index + 1
	b, err := unseal(key, value)
	if err == nil && len(b) != len(ledger.Node{}.Hash) {
		err = errLength
	}
	if err != nil {
		return corrupt(org, index<<(8*level), (index+1)<<(8*level), "hash", err)
	}
	return nil
}

func (c *checker) filter(key, value []byte) error {
	if len(key) == 1+8+2 {
		return c.piece(key, value)
	}
	w, err := decodeWindow(key, value)
	if err == nil {
		c.windows[w.id] = &checkedWindow{window: w}
	}
	return err
}

// piece looks at a piece of a window's filter and keeps it for the chunks.
func (c *checker) piece(key, value []byte) error {
	w, i := c.windows[binary.BigEndian.Uint64(key[1:])], int(binary.BigEndian.Uint16(key[9:]))
	if w == nil {
		return nil // of a merge that is not complete
	}
	if i >= len(w.pieces) {
		return fmt.Errorf("window %d has no piece %d", w.id, i)
	}
	f, err := decodeFuse(key, value)
	if err == nil {
		w.pieces[i].Store(f)
	}
	return err
}

func (c *checker) chunk(key, value []byte) error {
	if len(key) < 1+8 {
		return errLength
	}
	w := c.windows[binary.BigEndian.Uint64(key[1:])]
	if w == nil {
		return nil // of a rewrite or merge that is not complete
	}
	list, err := decodeChunk(nil, key, value)
	if err != nil {
		return err
	}
	for i := range list {
		r := &list[i]
		if w.seen > 0 && bytes.Compare(r.Key[:], w.last[:]) <= 0 {
			return errOrder
		}
		if !w.knows(&r.Key) || r.ReceivedAt > w.newest {
			return fmt.Errorf("filter of window %d does not know a receipt", w.id)
		}
		w.seen++
		w.last = r.Key
	}
	return nil
}

// knows says whether the window has a filter for a key which lets it pass.
func (w *checkedWindow) knows(key *ledger.Key) bool {
	if n := len(w.pieces); n > 0 && w.pieces[pieceOf(key, n)].Load() == nil {
		return false
	}
	return w.mayHave(key, fuseHash(key))
}

func (c *checker) receipts(key, value []byte) error {
	if len(key) != 1+8+8 {
		return errLength
	}
	if w := c.windows[binary.BigEndian.Uint64(key[1:])]; w != nil {
		return fmt.Errorf("window %d is rewritten and still has its groups", w.id)
	}
	_, err := receiptList(key, value)
	return err
}

func (c *checker) record(key, value []byte) error {
	_, err := decodeRecord(key, value)
	return err
}

// ends reports what should have followed the last row of its kind.
func (c *checker) ends() {
	for org, log := range c.logs {
		size := log.head.Size
		if log.damaged != nil {
			c.reportDamaged(log, size)
		}
		c.missing(org, log, size)
		if size > 0 && log.seen == size && log.receivedAt != log.head.ReceivedAt {
			c.report(corrupt(org, size-1, size, "received at another time than the head says", nil))
		}
		c.missingKeys(org, log, (size+ledger.BlockSize-1)/ledger.BlockSize)
		for level := 1; level <= maxLevel; level++ {
			if next := log.nodes[level]; next != size>>(8*level) {
				c.report(corrupt(org, next<<(8*level), size, fmt.Sprintf("hashes of tile level %d: %d of %d", level, next, size>>(8*level)), nil))
			}
		}
	}
	for id, w := range c.windows {
		if w.seen != w.count {
			c.report(fmt.Errorf("window %d has %d receipts of %d", id, w.seen, w.count))
		}
	}
}

// foreign reports rows of no known kind.
func (c *checker) foreign() error {
	const known = "!bcfghkmnprstx"
	it, err := c.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		kind := it.Key()[0]
		if !bytes.ContainsRune([]byte(known), rune(kind)) {
			c.report(fmt.Errorf("row %q: of no known kind", it.Key()))
		}
		if kind == math.MaxUint8 {
			break
		}
		ok = it.SeekGE([]byte{kind + 1})
	}
	return errors.Join(it.Error(), it.Close())
}
