package ledger

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// removed goes over entries that the store left out, up to to: it must have kept
// their hashes or, of a tile whose entries were all removed, those that prove
// what was signed.
func (c *checker) removed(ctx context.Context, to uint64) {
	for c.next < to && ctx.Err() == nil {
		from, tile := c.next, c.next/TileWidth
		end := min(to, (tile+1)*TileWidth)
		c.readKnown(ctx, tile)
		switch whole := from%TileWidth == 0 && end-from == TileWidth; {
		case c.knownErr != nil:
			c.gap = true
			c.unreadable(from, end, fmt.Errorf("the store has neither them nor what it keeps of removed entries: %w", c.knownErr))
		case c.known.Hashes != nil:
			c.leaves = append(c.leaves, c.known.Hashes[from%TileWidth:end-tile*TileWidth]...)
			c.res.Removed += end - from
		case whole:
			c.res.Removed += TileWidth
		default:
			c.gap = true
			c.problem(from, end, "are removed and their hashes too, though other entries of their tile are there")
		}
		c.next = end
		if c.next%TileWidth == 0 {
			c.endTile(ctx)
		}
	}
}

// readKnown reads what the store has of the hashes of a tile.
func (c *checker) readKnown(ctx context.Context, tile uint64) {
	if c.knownOf == tile+1 {
		return
	}
	width := int(min(TileWidth, c.res.Head.Size-tile*TileWidth))
	c.knownOf = tile + 1
	c.known, c.knownErr = c.l.cfg.Store.Leaves(ctx, c.org, tile, width)
	if c.knownErr == nil && c.known.Hashes != nil && len(c.known.Hashes) != width {
		c.knownErr = errMissing
	}
}

// checkKept checks the hashes that are left of a tile whose entries were all
// removed: they make up the tile's root, and prove each size that was signed.
func (c *checker) checkKept(first uint64, root tlog.Hash) {
	kept := c.known.Nodes
	if h, ok := rootOf(kept, first, tileHeight); ok && h != root {
		c.problem(first, first+TileWidth, "are removed, and the hashes kept of them do not hash to what is stored for them")
		return
	} else if !ok && len(kept) > 0 {
		c.problem(first, first+TileWidth, "are removed, and the hashes kept of them do not make up their tile")
		return
	}
	if c.sizes == nil {
		return // which was reported
	}
	signed, err := c.sizes(first / TileWidth)
	if err != nil {
		c.problem(first, first+TileWidth, "are removed, and which sizes of their tile were signed cannot be read: %v", err)
		return
	}
	for i := uint64(1); i < TileWidth; i++ {
		if signed[i/8]>>(i%8)&1 == 1 && !cutAt(kept, first, i) {
			c.problem(first, first+TileWidth, "are removed, and so are hashes that prove the checkpoint of %d entries", first+i)
			return
		}
	}
}

// cutAt reports whether the subtrees kept of a tile show its first n entries apart
// from the others.
func cutAt(kept []Subtree, first, n uint64) bool {
	for level := tileHeight - 1; ; level-- {
		half := uint64(1) << level
		_, left := rootOf(kept, first, level)
		_, right := rootOf(kept, first+half, level)
		if !left || !right || n == half {
			return left && right
		}
		if n > half {
			first, n = first+half, n-half
		}
	}
}

// checkTiles compares each stored hash of levels 2 and up with the tile below.
func (c *checker) checkTiles(ctx context.Context) {
	for level := 2; level <= maxTileLevel; level++ {
		full := c.res.Head.Size >> (tileHeight * level)
		for first := uint64(0); first < full && ctx.Err() == nil; first += TileWidth {
			c.checkTile(ctx, level, first/TileWidth, int(min(TileWidth, full-first)))
		}
	}
}

// checkTile compares the hashes of one tile with the tiles below.
func (c *checker) checkTile(ctx context.Context, level int, index uint64, width int) {
	span := uint64(1) << (tileHeight * level) // entries under one hash
	first := index * TileWidth
	nodes, err := c.tiles.tile(ctx, c.org, level, index, width)
	if err != nil {
		c.problem(first*span, (first+uint64(width))*span, "tile %d/%d over them cannot be read: %v", level, index, err) //nolint:gosec // positive
		return
	}
	for i, node := range nodes {
		at := first + uint64(i)
		below, err := c.tiles.tile(ctx, c.org, level-1, at, TileWidth)
		switch {
		case err != nil && level > 2: // level 1 was reported with the entries
			c.problem(at*span, (at+1)*span, "tile %d/%d over them cannot be read: %v", level-1, at, err)
		case err == nil && fold(below) != node:
			c.problem(at*span, (at+1)*span, "tile %d/%d over them does not hash to hash %d of tile %d/%d", level-1, at, i, level, index)
		}
	}
}

// checkFrontier compares the head's hashes with the tree.
func (c *checker) checkFrontier(ctx context.Context) {
	head := c.res.Head
	from, i := uint64(0), 0
	for level := 63; level >= 0; level-- {
		if head.Size>>level&1 == 0 {
			continue
		}
		to := from + 1<<level
		if h, ok := c.subtree(ctx, from, level); ok && h != head.Frontier[i] {
			c.problem(from, to, "do not hash to what the head has for them")
		}
		from = to
		i++
	}
}

// subtree returns the root over 2^level entries as the tree has it. It is not ok
// when that cannot be told, which has been reported.
func (c *checker) subtree(ctx context.Context, from uint64, level int) (tlog.Hash, bool) {
	if level < tileHeight {
		if c.gap || c.next != c.res.Head.Size {
			return tlog.Hash{}, false
		}
		at := from % TileWidth
		return fold(c.leaves[at : at+1<<level]), true
	}
	h, err := c.tiles.node(ctx, c.org, c.res.Head.Size, level, from>>level)
	return h, err == nil
}
