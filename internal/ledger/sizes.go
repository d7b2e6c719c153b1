package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stelehq/stele/internal/catalog"
)

// Which sizes of a tree were signed decides which hashes must stay when entries
// are removed: those that prove that the log extends such a tree. They are noted
// by tile of level 0, in the same change of the KV as the checkpoint.

// signedSizes says which sizes within a tile were signed, see Rewrite.Sizes.
type signedSizes = [TileWidth / 8]byte

func sizesPrefix(org string) string { return "checkpoint-sizes/" + org + "/" }

// sizesKey is where the KV keeps the sizes that were signed within a tile.
func sizesKey(org string, tile uint64) string {
	return fmt.Sprintf("%s%016x", sizesPrefix(org), tile)
}

// sizesFromKey is where the KV keeps from which size on sizes were noted. Below
// it every size may have been signed.
func sizesFromKey(org string) string { return sizesPrefix(org) + "from" }

// noteSize returns the changes that note that a size is signed after the newest
// checkpoint.
func (l *Ledger) noteSize(ctx context.Context, org string, newest signedCheckpoint, size uint64) ([]catalog.Change, error) {
	var changes []catalog.Change
	_, err := l.cfg.KV.Get(ctx, sizesFromKey(org))
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		value := binary.LittleEndian.AppendUint64([]byte{recordFormat}, newest.Size)
		changes = append(changes, catalog.Change{Key: sizesFromKey(org), Value: value})
	case err != nil:
		return nil, fmt.Errorf("note signed size: %w", err)
	}
	if size%TileWidth == 0 {
		return changes, nil // the nodes of level 1 and up prove it
	}
	key := sizesKey(org, size/TileWidth)
	signed, rev, err := l.readSizes(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("note signed size: %w", err)
	}
	signed[size%TileWidth/8] |= 1 << (size % 8)
	return append(changes, catalog.Change{Key: key, Value: append([]byte{recordFormat}, signed[:]...), Rev: rev}), nil
}

// readSizes reads what was noted of a tile; of most tiles nothing is.
func (l *Ledger) readSizes(ctx context.Context, key string) (signed signedSizes, rev uint64, err error) {
	rec, err := l.cfg.KV.Get(ctx, key)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return signed, 0, nil
	case err != nil:
		return signed, 0, err
	case len(rec.Value) != 1+len(signed) || rec.Value[0] != recordFormat:
		return signed, 0, fmt.Errorf("%s: %w", key, errRecordFormat)
	}
	copy(signed[:], rec.Value[1:])
	return signed, rec.Rev, nil
}

// sizesOf returns which sizes of a log were signed, for Rewrite.Sizes.
func (l *Ledger) sizesOf(ctx context.Context, org string) (func(tile uint64) (signedSizes, error), error) {
	unknown, err := l.sizesFrom(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("read signed sizes: %w", err)
	}
	return func(tile uint64) (signedSizes, error) {
		signed, _, err := l.readSizes(ctx, sizesKey(org, tile))
		if err != nil {
			return signed, fmt.Errorf("read signed sizes: %w", err)
		}
		for i := uint64(0); i < TileWidth && tile*TileWidth+i <= unknown; i++ {
			signed[i/8] |= 1 << (i % 8)
		}
		return signed, nil
	}, nil
}

// sizesFrom returns up to which size it is not known which sizes were signed:
// that of the newest checkpoint from before sizes were noted.
func (l *Ledger) sizesFrom(ctx context.Context, org string) (uint64, error) {
	rec, err := l.cfg.KV.Get(ctx, sizesFromKey(org))
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		newest, err := l.newestCheckpoint(ctx, org)
		return newest.Size, err
	case err != nil:
		return 0, err
	case len(rec.Value) != 9 || rec.Value[0] != recordFormat:
		return 0, fmt.Errorf("%s: %w", sizesFromKey(org), errRecordFormat)
	}
	return binary.LittleEndian.Uint64(rec.Value[1:]), nil
}

// forgetSizes removes what was noted of a log that was dropped.
func (l *Ledger) forgetSizes(ctx context.Context, org string) error {
	for {
		list, err := l.cfg.KV.List(ctx, sizesPrefix(org), "", 1000)
		if err != nil || len(list) == 0 {
			return err
		}
		changes := make([]catalog.Change, len(list))
		for i, rec := range list {
			changes[i] = catalog.Change{Key: rec.Key, Rev: rec.Rev, Delete: true}
		}
		if err := l.cfg.KV.Apply(ctx, changes...); err != nil {
			return err
		}
	}
}
