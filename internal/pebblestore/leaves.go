package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Leaves implements [ledger.Store].
func (s *Store) Leaves(ctx context.Context, org string, tile uint64, width int) (ledger.Leaves, error) {
	if err := ctx.Err(); err != nil {
		return ledger.Leaves{}, fmt.Errorf("leaves: %w", err)
	}
	if width < 1 || width > ledger.TileWidth {
		return ledger.Leaves{}, fmt.Errorf("leaves: no tile is %d wide", width)
	}
	log, err := s.logs.load(org, false)
	if err != nil {
		return ledger.Leaves{}, fmt.Errorf("leaves: %w", err)
	}
	size := log.head.Load().Size
	if tile > size/ledger.TileWidth || tile*ledger.TileWidth+uint64(width) > size {
		return ledger.Leaves{}, ledger.ErrNotFound
	}
	for moved := 0; ; moved++ {
		leaves, err := s.leaves(ctx, log, tile, width)
		if err == nil || !errors.Is(err, errMoved) || moved > maxMoved {
			if err != nil {
				err = fmt.Errorf("leaves of tile %d: %w", tile, err)
			}
			return leaves, err
		}
	}
}

// leaves fails with errMoved when something was taken out meanwhile.
func (s *Store) leaves(ctx context.Context, log *orgLog, tile uint64, width int) (ledger.Leaves, error) {
	first := tile * ledger.TileWidth
	view, err := s.blocks.view(log)
	if err != nil {
		return ledger.Leaves{}, err
	}
	hashes := make([]tlog.Hash, width)
	known := make([]bool, width)
	var record []byte
	err = s.read(ctx, log.org, first, first+uint64(width), func(e *event.Entry, err error) bool { //nolint:gosec // checked
		record = e.AppendRecord(record[:0])
		i := e.Seq - first
		hashes[i], known[i] = tlog.RecordHash(record), true
		return true
	})
	if err != nil {
		return ledger.Leaves{}, err
	}
	if !slices.Contains(known, false) {
		return ledger.Leaves{Hashes: hashes}, nil
	}
	t, err := readTile(s.db, log.org, tile)
	switch {
	case err != nil:
		return ledger.Leaves{}, err
	case log.dropping.Load(): // they may be its successor's
		return ledger.Leaves{}, log.gone()
	case t != nil && t.whole:
		return ledger.Leaves{Nodes: t.nodes}, nil
	case t == nil:
		gone, err := s.allRemoved(view, first, first+ledger.TileWidth)
		if err == nil && !gone {
			err = s.noLeaf(log, view, first+uint64(slices.Index(known, false))) //nolint:gosec // there is one
		}
		return ledger.Leaves{}, err
	}
	for i := range hashes {
		if known[i] {
			continue
		}
		if t.kinds[i] != leafRemoved {
			return ledger.Leaves{}, s.noLeaf(log, view, first+uint64(i))
		}
		hashes[i] = t.leaves[i]
	}
	return ledger.Leaves{Hashes: hashes}, nil
}

// noLeaf is the error for an entry that is neither there nor has a leaf hash.
func (s *Store) noLeaf(log *orgLog, view *sealedView, seq uint64) error {
	if s.blocks.changed(log, view) {
		return errMoved
	}
	return corrupt(log.org, seq, seq+1, "no leaf hash", nil)
}

// allRemoved reports whether all entries of a range were removed.
func (s *Store) allRemoved(view *sealedView, from, to uint64) (bool, error) {
	for from < to {
		i := view.find(from)
		if i == len(view.blocks) || view.blocks[i].damage != nil {
			return false, nil //nolint:nilerr // damage is told by who reads it
		}
		b := view.blocks[i]
		end := min(b.end(), to)
		if !b.removed {
			m, err := s.blocks.marksOf(b)
			if err != nil {
				return false, err
			}
			for ; from < end; from++ {
				if !m.isRemoved(int(from - b.FirstSeq)) { //nolint:gosec // within the block
					return false, nil
				}
			}
		}
		from = end
	}
	return true, nil
}
