package pebblestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Rewrite implements [ledger.Store]. A range of which something cannot be read stays
// as it is, and so does the range of the head then; the others are done, and the
// error says which one it was.
func (s *Store) Rewrite(ctx context.Context, r *ledger.Rewrite) (ledger.Rewritten, error) {
	log, err := s.logs.load(r.Organization, false)
	if err != nil {
		return ledger.Rewritten{}, fmt.Errorf("rewrite: %w", err)
	}
	size := log.head.Load().Size
	if r.From%ledger.BlockSize != 0 || r.From > r.To || r.To > size || r.To%ledger.BlockSize != 0 && r.To != size {
		return ledger.Rewritten{}, fmt.Errorf("rewrite: %d to %d are no whole ranges of a log of %d entries", r.From, r.To, size)
	}
	var done ledger.Rewritten
	var damaged error
	for from := r.From; from < r.To; from += ledger.BlockSize {
		to := min(from+ledger.BlockSize, r.To)
		if damaged != nil && to%ledger.BlockSize != 0 {
			break // an error must not leave the caller with keys that are not those of the head
		}
		if s.isGone(log, from, to) {
			continue
		}
		err := s.rewriteRange(ctx, log, &rangeRewrite{Rewrite: r, base: from, end: to, done: &done})
		var damage *CorruptError
		if errors.As(err, &damage) && !log.dropping.Load() {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err != nil {
			return done, fmt.Errorf("rewrite: %w", err)
		}
	}
	if damaged != nil {
		return done, fmt.Errorf("rewrite: %w", damaged)
	}
	return done, nil
}

// rewriteRange has all of a range in blocks, and then takes out of it what is to be
// taken out.
func (s *Store) rewriteRange(ctx context.Context, log *orgLog, w *rangeRewrite) error {
	for {
		if err := errors.Join(ctx.Err(), s.stopped()); err != nil {
			return err
		}
		if err := s.space.check(2); err != nil {
			return err // it frees space, but needs some first
		}
		end, _, err := s.sealer.builder.seal(log, w.end)
		if err != nil {
			return err
		}
		s.sealer.sealed(log, end, s.now())
		if end >= w.end {
			return s.sealer.builder.rewrite(log, w)
		}
	}
}

// isGone reports whether entries were all removed before.
func (s *Store) isGone(log *orgLog, from, to uint64) bool {
	view, err := s.blocks.view(log)
	if err != nil {
		return false
	}
	i := view.find(from)
	return i < len(view.blocks) && view.blocks[i].removed && view.blocks[i].end() >= to
}

// rewrite takes entries and details out of a range that is in blocks.
func (b *blockBuilder) rewrite(log *orgLog, w *rangeRewrite) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.blocks.pin(log, true)
	defer b.s.blocks.pin(log, false)
	if err := w.load(b.s, log); err != nil {
		return err
	}
	if err := w.decide(); err != nil || w.removed+w.erased == 0 {
		return err
	}
	if err := w.plan(); err != nil {
		return err
	}
	b.begin(log, w.keys.generation+1)
	defer func() { b.batch = nil }()
	keys, view, err := b.rewritten(w)
	if err != nil {
		_ = b.batch.Close() // nothing of it was written
		return fmt.Errorf("rewrite entries %d to %d: %w", w.base, w.end-1, err)
	}
	how := pebble.Sync
	if b.s.cfg.Unsynced {
		how = pebble.NoSync
	}
	if err := b.write(func() *sealedView { return view }, how); err != nil {
		return err
	}
	for _, o := range w.old {
		b.s.blocks.readers.forget(o)
	}
	w.done.Removed += w.removed
	w.done.Erased += w.erased
	w.done.Keys = keys
	return nil
}

// rewritten fills the batch: first with the removal of all that the range has, then
// with what is left of it.
func (b *blockBuilder) rewritten(w *rangeRewrite) (*ledger.BlockKeys, *sealedView, error) {
	org := b.log.org
	for _, kind := range []byte{kindBlock, kindPart} {
		err := b.batch.DeleteRange(appendSeqKey(nil, kind, org, w.base), appendSeqKey(nil, kind, org, w.base+ledger.BlockSize), nil)
		if err != nil {
			return nil, nil, err
		}
	}
	d := dirt{org, b.log.head.Load().incarnation, b.generation, w.base, w.base + ledger.BlockSize}
	if err := d.put(b.batch); err != nil {
		return nil, nil, err
	}
	tile := w.base / ledger.TileWidth
	if err := b.batch.DeleteRange(tileKey(org, tile), tileKey(org, tile+tilesOfRange), nil); err != nil {
		return nil, nil, err
	}
	for _, o := range w.old {
		if err := b.reencode(w, o); err != nil {
			return nil, nil, err
		}
	}
	for i, t := range w.tilesAfter(b.generation) {
		if t == nil {
			continue
		}
		key := tileKey(org, tile+uint64(i))
		if err := b.batch.Set(key, t.encode(key), nil); err != nil {
			return nil, nil, err
		}
	}
	view := w.view.rewritten(org, w.base, w.base+ledger.BlockSize, b.blocks)
	if err := putGaps(b.batch, org, w.view.gaps(), view.gaps()); err != nil {
		return nil, nil, err
	}
	keys, err := b.putKeys(w)
	return keys, view, err
}

// putKeys takes the salt key away, of which every salt that stays is given from now
// on. A range that still grows gets a new one; one of which nothing is left has no
// keys.
func (b *blockBuilder) putKeys(w *rangeRewrite) (*ledger.BlockKeys, error) {
	block := w.base / ledger.BlockSize
	key := keysKey(nil, b.log.org, block)
	grows := w.end < w.base+ledger.BlockSize
	if !grows && len(b.blocks) == 0 {
		return nil, b.batch.Delete(key, nil)
	}
	k := rangeKeys{Keys: event.Keys{Check: w.keys.Check}, generation: b.generation, from: w.end}
	if !grows {
		return nil, b.batch.Set(key, encodeKeys(key, &k), nil)
	}
	fresh, err := event.NewKeys()
	if err != nil {
		return nil, err
	}
	k.Salt = fresh.Salt
	return &ledger.BlockKeys{Block: block, Keys: k.Keys}, b.batch.Set(key, encodeKeys(key, &k), nil)
}

// reencode makes blocks of what stays of a block: from the first entry that stays to
// the last. It also computes the leaf hashes that are kept.
func (b *blockBuilder) reencode(w *rangeRewrite, o *sealedBlock) error {
	lo, hi := w.stay(o)
	m := matched{s: b.s, log: b.log, b: o, salts: true}
	p := placer{b: b, w: w}
	if lo < hi {
		b.next = lo
		b.enc.Reset(lo)
	}
	m.fn = func(e *event.Entry) bool {
		p.err = p.entry(e)
		return p.err == nil
	}
	for _, span := range w.needed(o) {
		err := m.scan(int(span.from-o.FirstSeq), int(span.to-o.FirstSeq), false, nil) //nolint:gosec // within the block
		if err := errors.Join(blockError(b.log, o, err), p.err); err != nil {
			return err
		}
	}
	if lo == hi {
		return nil
	}
	return b.finish()
}

// placer gives every entry of a block its place in the one that takes its place.
type placer struct {
	b      *blockBuilder
	w      *rangeRewrite
	void   event.Entry // what stands in the place of the next one that was removed
	record []byte
	err    error
}

// entry takes the next entry that is needed.
func (p *placer) entry(e *event.Entry) error {
	i := e.Seq - p.w.base
	if p.w.fates[i] == ledger.Removed {
		if p.w.hashed[i/ledger.TileWidth] {
			p.record = e.AppendRecord(p.record[:0])
			p.w.setLeaf(i, p.record)
		}
		return nil
	}
	for p.b.next < e.Seq {
		if err := p.b.addMarked(&p.void, true); err != nil {
			return err
		}
	}
	if p.w.fates[i] == ledger.Erased {
		e.Erase(p.w.ErasedAt)
	}
	p.void.Version, p.void.OccurredAt, p.void.ReceivedAt = 1, e.OccurredAt, e.ReceivedAt
	return p.b.addMarked(e, false)
}
