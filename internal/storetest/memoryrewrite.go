package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Mark says what became of an entry whose range was rewritten.
type Mark struct {
	// Salt is that of an entry that has its details: the key that it was made
	// of is gone.
	Salt [16]byte
	// ErasedAt and Digest are those of an erased entry.
	ErasedAt int64
	Digest   [32]byte
	// Leaf is the hash of a removed entry.
	Removed bool
	Leaf    tlog.Hash
}

// Leaves implements [ledger.Store].
func (m *Memory) Leaves(ctx context.Context, org string, tile uint64, width int) (ledger.Leaves, error) {
	log := m.snapshot(org)
	first := tile * ledger.TileWidth
	if err := ctx.Err(); err != nil {
		return ledger.Leaves{}, fmt.Errorf("leaves: %w", err)
	}
	if first+uint64(width) > log.Head.Size { //nolint:gosec // at most TileWidth
		return ledger.Leaves{}, ledger.ErrNotFound
	}
	if kept, ok := log.Kept[tile]; ok {
		return ledger.Leaves{Nodes: slices.Clone(kept)}, nil
	}
	hashes := make([]tlog.Hash, width)
	for i := range hashes {
		var err error
		if hashes[i], err = log.leaf(first + uint64(i)); err != nil {
			return ledger.Leaves{}, fmt.Errorf("organization %q, entry %d: %w", org, first+uint64(i), err)
		}
	}
	return ledger.Leaves{Hashes: hashes}, nil
}

// leaf is the hash of an entry, which may be removed.
func (l *RawLog) leaf(seq uint64) (tlog.Hash, error) {
	if m, ok := l.Marks[seq]; ok && m.Removed {
		return m.Leaf, nil
	}
	if seq >= uint64(len(l.Rows)) {
		return tlog.Hash{}, errMissingRow
	}
	var e event.Entry
	if err := l.entry(seq, &e); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.RecordHash(e.AppendRecord(nil)), nil
}

// Rewrite implements [ledger.Store].
func (m *Memory) Rewrite(ctx context.Context, r *ledger.Rewrite) (ledger.Rewritten, error) {
	size := m.snapshot(r.Organization).Head.Size
	if r.From%ledger.BlockSize != 0 || r.To%ledger.BlockSize != 0 && r.To != size || r.To > size {
		return ledger.Rewritten{}, fmt.Errorf("rewrite %d to %d of a log of %d entries", r.From, r.To, size)
	}
	var all ledger.Rewritten
	for from := r.From; from < r.To; from += ledger.BlockSize {
		done, err := m.rewriteRange(ctx, r, from, min(r.To, from+ledger.BlockSize))
		if err != nil {
			return all, err
		}
		all.Removed += done.Removed
		all.Erased += done.Erased
		all.Keys = done.Keys
	}
	return all, nil
}

// rewriteRange rewrites a copy of the log and, when all went well, puts what
// changed in its place.
func (m *Memory) rewriteRange(ctx context.Context, r *ledger.Rewrite, from, to uint64) (ledger.Rewritten, error) {
	var done ledger.Rewritten
	if err := ctx.Err(); err != nil {
		return done, fmt.Errorf("rewrite: %w", err)
	}
	log := m.snapshot(r.Organization)
	log.Rows, log.Marks, log.Kept = slices.Clone(log.Rows), maps.Clone(log.Marks), maps.Clone(log.Kept)
	for seq := from; seq < to; seq++ {
		if err := log.rewrite(r, seq, &done); err != nil {
			return ledger.Rewritten{}, fmt.Errorf("organization %q, entry %d: %w", r.Organization, seq, err)
		}
	}
	if done.Removed+done.Erased == 0 {
		return done, nil
	}
	for tile := from / ledger.TileWidth; (tile+1)*ledger.TileWidth <= to; tile++ {
		if err := log.removeTile(r, tile); err != nil {
			return ledger.Rewritten{}, err
		}
	}
	block := from / ledger.BlockSize
	if err := log.rotate(block, from, to, &done); err != nil {
		return ledger.Rewritten{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.logs[r.Organization]
	if now == nil || to%ledger.BlockSize != 0 && now.Head.Size != to {
		return ledger.Rewritten{}, ledger.ErrHeadMoved
	}
	log.Rows = append(log.Rows, now.Rows[len(log.Rows):]...)
	now.Rows, now.Marks, now.Kept = log.Rows, log.Marks, log.Kept
	now.Keys = maps.Clone(now.Keys)
	if keys, ok := log.Keys[block]; ok {
		now.Keys[block] = keys
	} else {
		delete(now.Keys, block)
	}
	return done, nil
}

// rewrite does to an entry what the Rewrite says.
func (l *RawLog) rewrite(r *ledger.Rewrite, seq uint64, done *ledger.Rewritten) error {
	if l.Marks[seq].Removed {
		return nil
	}
	var e event.Entry
	if err := l.entry(seq, &e); err != nil {
		return err
	}
	before := *e.Clone()
	fate := r.Fate(&e)
	e = before
	mark := Mark{Salt: e.Salt, ErasedAt: e.ErasedAt, Digest: e.Digest}
	switch {
	case fate == ledger.Removed:
		mark = Mark{Removed: true, Leaf: tlog.RecordHash(e.AppendRecord(nil))}
		l.Rows[seq] = nil
		done.Removed++
	case fate == ledger.Erased && e.ErasedAt == 0:
		e.Erase(r.ErasedAt)
		mark = Mark{ErasedAt: e.ErasedAt, Digest: e.Digest}
		l.Rows[seq] = event.AppendRow(nil, &e.Event)
		done.Erased++
	}
	l.Marks[seq] = mark
	return nil
}

// removeTile forgets the hashes of a tile of which nothing is left, but for those
// that prove what was signed.
func (l *RawLog) removeTile(r *ledger.Rewrite, tile uint64) error {
	first := tile * ledger.TileWidth
	if _, ok := l.Kept[tile]; ok {
		return nil
	}
	hashes := make([]tlog.Hash, ledger.TileWidth)
	for i := range hashes {
		m := l.Marks[first+uint64(i)]
		if !m.Removed {
			return nil
		}
		hashes[i] = m.Leaf
	}
	signed, err := r.Sizes(tile)
	if err != nil {
		return fmt.Errorf("sizes in tile %d: %w", tile, err)
	}
	l.Kept[tile] = ledger.KeptNodes(first, hashes, signed)
	for i := range hashes {
		l.Marks[first+uint64(i)] = Mark{Removed: true}
	}
	return nil
}

// rotate destroys the salt key of a range. One that goes on gets another; one
// that has no entries any more loses its keys.
func (l *RawLog) rotate(block, from, to uint64, done *ledger.Rewritten) error {
	keys := l.Keys[block]
	keys.Salt = [16]byte{}
	if to%ledger.BlockSize != 0 {
		fresh, err := event.NewKeys()
		if err != nil {
			return err
		}
		keys.Salt = fresh.Salt
		done.Keys = &ledger.BlockKeys{Block: block, Keys: keys}
	}
	l.Keys[block] = keys
	for seq := from; seq < to; seq++ {
		if !l.Marks[seq].Removed || done.Keys != nil {
			return nil
		}
	}
	delete(l.Keys, block)
	return nil
}

// Scrub implements [ledger.Store]. There are no files.
func (m *Memory) Scrub(ctx context.Context) error { return ctx.Err() }

var errMissingRow = errors.New("row or keys are missing")
