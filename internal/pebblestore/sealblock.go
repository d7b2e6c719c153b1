package pebblestore

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// mergeFactor is how much larger than what comes after it a block may be and still
// be merged with that: entries of an organization that grows slowly are encoded
// again with every growth of their block by that factor.
const mergeFactor = 2

// blockBuilder makes blocks of rows and of smaller blocks and puts them in their
// place. One at a time: mu.
type blockBuilder struct {
	s *Store

	mu  sync.Mutex
	enc *block.Encoder

	// Of the range that is being sealed.
	log        *orgLog
	generation uint32
	batch      *pebble.Batch
	next       uint64 // seq of the next entry
	marks      marks  // of the block that is being made
	blocks     []*sealedBlock
	stats      SealStats
	event      event.Event
}

func newBlockBuilder(s *Store) *blockBuilder {
	return &blockBuilder{s: s}
}

// rest gives the encoder's memory back until there is something to do again.
func (b *blockBuilder) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enc = nil
}

// seal has entries of a log in blocks: those that are rows, below to and up to the
// end of a range, and those of small blocks before them in the range. It returns up
// to where all are in blocks then. A commit ended at to, or a range does.
func (b *blockBuilder) seal(log *orgLog, to uint64) (end uint64, stats SealStats, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.blocks.pin(log, true)
	defer b.s.blocks.pin(log, false)
	view, err := b.s.blocks.view(log)
	if err != nil {
		return 0, SealStats{}, err
	}
	// A block has entries of one range only, whose keys give it ids and salts.
	from, to := view.end(), min(to, b.s.rangeEnd(view.end()))
	if from >= to {
		return from, SealStats{}, nil
	}
	old := b.absorbed(view, to)
	if err := b.replace(log, view, old, to); err != nil {
		return 0, SealStats{}, fmt.Errorf("seal entries %d to %d: %w", from, to-1, err)
	}
	for _, o := range old {
		b.s.blocks.readers.forget(o)
	}
	return to, b.stats, nil
}

// replace puts blocks in the place of old ones, which are the last of the view, and
// of the rows after them below to.
func (b *blockBuilder) replace(log *orgLog, view *sealedView, old []*sealedBlock, to uint64) error {
	keys, err := b.s.readKeys(log, view.end()/ledger.BlockSize)
	if err != nil {
		return err
	}
	b.begin(log, keys.generation)
	defer func() { b.batch = nil }()
	err = b.encode(old, view.end(), to)
	if err == nil {
		err = b.remove(old, view.end(), to)
	}
	if err != nil {
		_ = b.batch.Close() // nothing of it was written
		return err
	}
	return b.write(func() *sealedView { return view.replace(b.blocks) }, pebble.NoSync)
}

// begin begins with a range of a log.
func (b *blockBuilder) begin(log *orgLog, generation uint32) {
	if b.enc == nil {
		b.enc = block.NewEncoder(block.Fast)
	}
	b.log, b.generation, b.blocks, b.stats, b.marks = log, generation, nil, SealStats{}, marks{}
	b.batch = b.s.db.NewBatch()
}

// absorbed returns the blocks that are to be merged with the rows up to to: all of
// the range when that ends there, otherwise those that are not much larger than
// what comes after them. None before a damaged one are.
func (b *blockBuilder) absorbed(view *sealedView, to uint64) []*sealedBlock {
	end := b.s.rangeEnd(view.end())
	start, whole := end-b.s.cfg.rangeRows, to == end
	n := to - view.end()
	i := len(view.blocks)
	for ; i > 0; i-- {
		prev := view.blocks[i-1]
		if prev.damage != nil || prev.removed || prev.FirstSeq < start || !whole && uint64(prev.Rows) > mergeFactor*n { //nolint:gosec // 1..block.MaxRows
			break
		}
		n += uint64(prev.Rows) //nolint:gosec // 1..block.MaxRows
	}
	return view.blocks[i:]
}

// encode makes blocks of old and of the rows from ≤ seq < to and puts them in the
// batch.
func (b *blockBuilder) encode(old []*sealedBlock, from, to uint64) error {
	b.next = from
	if len(old) > 0 {
		b.next = old[0].FirstSeq
	}
	b.enc.Reset(b.next)
	for _, o := range old {
		if err := b.merge(o); err != nil {
			return err
		}
	}
	w := runWalk{s: b.s, log: b.log, from: from, to: to, visit: b.run}
	if err := w.walk(context.Background()); err != nil {
		return err
	}
	return b.finish()
}

// merge adds the rows of a block, with their marks.
func (b *blockBuilder) merge(o *sealedBlock) error {
	marks, err := b.s.blocks.marksOf(o)
	if err != nil {
		return err
	}
	r := block.NewReader(o.Header, b.s.blocks.fetch(o))
	for e, err := range r.All(0, o.Rows, false) {
		if err != nil {
			return err
		}
		row := int(e.Seq - o.FirstSeq) //nolint:gosec // within the block
		marks.erase(e, row)
		if err := b.addMarked(e, marks.isRemoved(row)); err != nil {
			return err
		}
	}
	b.stats.Merged += o.Rows
	return nil
}

// run adds the rows of a run, which is sealed whole: it is removed whole.
func (b *blockBuilder) run(r *runReader, from, to uint64, _ bool) error {
	if err := r.unpack(); err != nil {
		return corrupt(b.log.org, r.first, r.end(), "run", err)
	}
	if r.first != from || r.end() != to {
		return corrupt(b.log.org, r.first, r.end(), "run goes beyond the range that is sealed", nil)
	}
	for seq := from; seq < to; seq++ {
		if err := event.DecodeRow(r.row(int(seq-r.first)), &b.event); err != nil { //nolint:gosec // within the run
			return corrupt(b.log.org, seq, seq+1, "row", err)
		}
		if err := b.add(&b.event, r.receivedAt); err != nil {
			return err
		}
	}
	return nil
}

func (b *blockBuilder) add(ev *event.Event, receivedAt int64) error {
	if !b.enc.Add(ev, receivedAt) {
		if err := b.finish(); err != nil {
			return err
		}
		b.enc.Reset(b.next)
		if !b.enc.Add(ev, receivedAt) {
			return fmt.Errorf("entry %d does not fit an empty block", b.next)
		}
	}
	b.next++
	b.stats.Rows++
	return nil
}

// addMarked adds an entry that may have been erased, or removed.
func (b *blockBuilder) addMarked(e *event.Entry, removed bool) error {
	if err := b.add(&e.Event, e.ReceivedAt); err != nil {
		return err
	}
	row := b.enc.Rows() - 1
	switch {
	case removed:
		b.marks.remove(row, block.MaxRows)
	case e.ErasedAt != 0:
		b.marks.erased = append(b.marks.erased, erasedRow{row, e.ErasedAt, e.Digest})
	}
	return nil
}

// finish puts the block that is being made in the batch.
func (b *blockBuilder) finish() error {
	parts := b.enc.Finish()
	h, err := block.ParseHeader(parts[block.HeaderPart])
	if err != nil {
		return err
	}
	if len(parts) > maxParts {
		return fmt.Errorf("a block of %d parts", len(parts))
	}
	org := b.log.org
	key := blockKey(org, h.FirstSeq)
	if err := b.batch.Set(key, encodeHeader(key, parts[block.HeaderPart], b.generation), nil); err != nil {
		return err
	}
	for i, part := range parts {
		if i == block.HeaderPart {
			continue
		}
		key = partKey(key[:0], org, h, b.generation, i)
		if err := b.batch.Set(key, part, nil); err != nil {
			return err
		}
	}
	if b.generation > 0 {
		key = partKey(key[:0], org, h, b.generation, markPart)
		if err := b.batch.Set(key, b.marks.encode(key, h.Rows), nil); err != nil {
			return err
		}
	}
	b.marks = marks{}
	b.blocks = append(b.blocks, &sealedBlock{org: org, Header: h, generation: b.generation})
	b.stats.Blocks++
	b.stats.Bytes += h.Bytes
	return nil
}

// remove has the batch remove what the new blocks take the place of: old blocks,
// but for a header that the batch has replaced, and the runs from ≤ seq < to.
func (b *blockBuilder) remove(old []*sealedBlock, from, to uint64) error {
	org := b.log.org
	for _, o := range old {
		if !slices.ContainsFunc(b.blocks, func(n *sealedBlock) bool { return n.FirstSeq == o.FirstSeq }) {
			if err := b.batch.Delete(blockKey(org, o.FirstSeq), nil); err != nil {
				return err
			}
		}
		first := block.HeaderPart + 1
		if o.generation > 0 {
			first = markPart
		}
		for part := first; part < o.Parts; part++ {
			if err := b.batch.Delete(partKey(nil, org, o.Header, o.generation, part), nil); err != nil {
				return err
			}
		}
	}
	return b.batch.DeleteRange(runKey(nil, org, from), runKey(nil, org, to), nil)
}

// write applies the batch. It need not be synced when all it removes is in it too:
// until it is durable, that is. The view changes with it.
func (b *blockBuilder) write(view func() *sealedView, how *pebble.WriteOptions) error {
	log := b.log
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	if log.dropping.Load() {
		_ = b.batch.Close() // nothing of it was written
		return errDropped
	}
	b.s.space.spend(b.batch.Len())
	if err := b.s.apply(b.batch, how); err != nil {
		// Pebble may still hold the batch, and show it to readers or not.
		b.s.blocks.doubt(log)
		return err
	}
	b.s.blocks.keep(log, view())
	return b.batch.Close()
}
