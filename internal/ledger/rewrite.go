package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Rewrite takes entries, or their details, out of an organization's log for good:
// what r.Fate says of each entry with r.From ≤ seq < r.To. Sizes is the ledger's
// own. It goes range by range (BlockSize), and a range is done or not: after an
// error, or when ctx ends, it says what was done so far, and doing it again does
// the rest. The log takes no events while the range that its next entry lies in
// is rewritten.
//
// What it reports is gone for every reader when it returns. Its bytes are, after
// Scrub.
func (l *Ledger) Rewrite(ctx context.Context, r Rewrite) (Rewritten, error) {
	lg, err := l.acquire(r.Organization)
	if err != nil {
		return Rewritten{}, err
	}
	defer l.release(lg)
	if r.ErasedAt == 0 {
		r.ErasedAt = l.cfg.Now().UnixMilli()
	}
	var all Rewritten
	for block := r.From / BlockSize; block*BlockSize < min(r.To, maxEntries); block++ {
		head, err := l.Head(ctx, r.Organization)
		if err != nil {
			return all, err
		}
		if block*BlockSize >= head.Size {
			break
		}
		done, err := l.rewriteRange(ctx, lg, r, block, head.Size)
		all.Removed += done.Removed
		all.Erased += done.Erased
		if err != nil {
			return all, fmt.Errorf("rewrite entries %d..%d: %w", block*BlockSize, min((block+1)*BlockSize, head.Size)-1, err)
		}
	}
	return all, nil
}

// rewriteRange rewrites one range of a log that has size entries at least.
func (l *Ledger) rewriteRange(ctx context.Context, lg *logState, r Rewrite, block, size uint64) (Rewritten, error) {
	if lg.dropped.Load() {
		return Rewritten{}, errDropped(lg.org)
	}
	first, end := block*BlockSize, (block+1)*BlockSize
	open := size < end
	if open {
		lg.own.Lock()
		defer lg.own.Unlock()
		if err := l.loadHead(ctx, lg); err != nil {
			return Rewritten{}, err
		}
		end = min(end, lg.head.Size)
	}
	// A checkpoint that is being signed could be of a size inside a tile that
	// is removed meanwhile.
	lg.signing.Lock()
	defer lg.signing.Unlock()
	sizes, err := l.sizesOf(ctx, lg.org)
	if err != nil {
		return Rewritten{}, err
	}
	part := Rewrite{
		Organization: lg.org, From: first, To: end, ErasedAt: r.ErasedAt, Sizes: sizes,
		Fate: func(e *event.Entry) Fate {
			if e.Seq < r.From || e.Seq >= r.To {
				return Stays
			}
			return r.Fate(e)
		},
	}
	done, err := l.cfg.Store.Rewrite(ctx, &part)
	if open {
		// After an error the keys may be others than are remembered here.
		lg.loaded = lg.loaded && err == nil
		if k := done.Keys; k != nil && k.Block == lg.head.Size/BlockSize {
			lg.keys = k.Keys
		}
	}
	l.tiles.cache.forget(lg.org)
	l.ciphers.forget()
	return done, err
}

// forget drops all ciphers: keys that were destroyed are not to live on in them.
func (c *cipherCache) forget() {
	for i := range c {
		c[i].Store(nil)
	}
}

// Scrub returns once no file of the store has bytes of what was taken out of logs
// before it was called.
func (l *Ledger) Scrub(ctx context.Context) error {
	if err := l.cfg.Store.Scrub(ctx); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return nil
}

// errPruned says that a hash went with the entries that it was of.
var errPruned = errors.New("the hash was removed with its entries")

// KeptNodes returns what must be kept of the leaf hashes of a tile of level 0 when
// all its entries are removed: the roots of the largest complete subtrees that
// have no signed size inside, which together make up the tile. It is nil when no
// size inside the tile was signed: the node of level 1 says it all then. first is
// the tile's first entry, leaves are all its hashes, signed is what Rewrite.Sizes
// returns.
func KeptNodes(first uint64, leaves []tlog.Hash, signed [TileWidth / 8]byte) []Subtree {
	nodes := appendKept(nil, first, leaves, func(size int) bool { return signed[size/8]>>(size%8)&1 == 1 })
	if len(nodes) == 1 {
		return nil
	}
	return nodes
}

// appendKept is KeptNodes for a subtree of the tile.
func appendKept(dst []Subtree, first uint64, leaves []tlog.Hash, signed func(size int) bool) []Subtree {
	at, n := int(first%TileWidth), len(leaves)
	for size := at + 1; size < at+n; size++ {
		if signed(size) {
			dst = appendKept(dst, first, leaves[:n/2], signed)
			return appendKept(dst, first+uint64(n/2), leaves[n/2:], signed)
		}
	}
	return append(dst, Subtree{First: first, Level: levelOf(n), Hash: fold(leaves)})
}

// levelOf is the level of a complete subtree of n entries.
func levelOf(n int) (level int) {
	for ; n > 1; n /= 2 {
		level++
	}
	return level
}

// rootOf returns the root of a complete subtree from those that were kept: it is
// one of them, or they make it up.
func rootOf(kept []Subtree, first uint64, level int) (tlog.Hash, bool) {
	for i := range kept {
		if kept[i].First == first && kept[i].Level == level {
			return kept[i].Hash, true
		}
	}
	if level == 0 || len(kept) == 0 {
		return tlog.Hash{}, false
	}
	left, ok := rootOf(kept, first, level-1)
	if !ok {
		return tlog.Hash{}, false
	}
	right, ok := rootOf(kept, first+1<<(level-1), level-1)
	return tlog.NodeHash(left, right), ok
}

// shownBy returns what may be shown of an organization's log at this moment.
func (l *Ledger) shownBy(org string) (func(*event.Entry) bool, error) {
	if l.cfg.Shows != nil {
		shows, err := l.cfg.Shows(org)
		if err != nil {
			return nil, fmt.Errorf("read what is kept: %w", err)
		}
		if shows != nil {
			return shows, nil
		}
	}
	return func(*event.Entry) bool { return true }, nil
}

// wasRemoved returns nil when the store has kept what it must of an entry that it
// does not have any more, and otherwise why it has not: then the entry is lost.
func (l *Ledger) wasRemoved(ctx context.Context, org string, seq uint64) error {
	width := int(seq%TileWidth) + 1
	if _, err := l.cfg.Store.Leaves(ctx, org, seq/TileWidth, width); err != nil {
		return fmt.Errorf("%w: %w", missingError(seq), err)
	}
	return nil
}

// errRetired is the answer for what cannot be given any more, because retention
// has removed entries.
func errRetired(format string, args ...any) error {
	return audit.Errorf(audit.CodeGone, format, args...)
}
