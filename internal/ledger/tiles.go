package ledger

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// tileCacheSize bounds the cache of tiles: 512 of at most 8 KiB.
const tileCacheSize = 512

// Tile returns the first width hashes (1 to TileWidth) of a tile as C2SP
// tlog-tiles serves it, 32 bytes each. It is not_found (audit.Error) when the log
// has not that many yet. Hashes never change.
func (l *Ledger) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]byte, error) {
	if err := l.haveTile(ctx, org, level, index, width); err != nil {
		return nil, err
	}
	hashes, err := l.tiles.tile(ctx, org, level, index, width)
	if errors.Is(err, errPruned) {
		return nil, errRetired("Entries %d to %d were removed by the organization's retention, and so were their hashes; tile/1/%d has the root of this tile.",
			index*TileWidth, (index+1)*TileWidth-1, index/TileWidth)
	}
	if err != nil {
		return nil, fmt.Errorf("read tile %d/%d: %w", level, index, err)
	}
	data := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		data = append(data, hashes[i][:]...)
	}
	return data, nil
}

// Bundle returns the records of entries index·256 to index·256+width-1 as C2SP
// tlog-tiles serves them: each after its length in two bytes, big endian. It is
// not_found (audit.Error) when the log has not that many yet, and gone when one of
// the entries is past its time or removed.
func (l *Ledger) Bundle(ctx context.Context, org string, index uint64, width int) ([]byte, error) {
	if err := l.haveTile(ctx, org, 0, index, width); err != nil {
		return nil, err
	}
	shows, err := l.shownBy(org)
	if err != nil {
		return nil, err
	}
	var data, record []byte
	next := index * TileWidth
	to := next + uint64(width) //nolint:gosec // 1..TileWidth
	for e, err := range l.cfg.Store.Read(ctx, org, next, to) {
		if err != nil {
			return nil, fmt.Errorf("read entry bundle %d: %w", index, err)
		}
		if e.Seq != next || !shows(e) {
			break
		}
		next++
		record = e.AppendRecord(record[:0])
		data = binary.BigEndian.AppendUint16(data, uint16(len(record))) //nolint:gosec // Batch.Add refuses longer ones
		data = append(data, record...)
	}
	if next == to {
		return data, nil
	}
	if err := l.wasRemoved(ctx, org, next); err != nil {
		return nil, fmt.Errorf("read entry bundle %d: %w", index, err)
	}
	return nil, errRetired("Entries of this bundle were removed by the organization's retention, entry %d for one. Those that remain are found by search, each with its proof.", next)
}

// haveTile returns an error unless the log has the hashes that a tile is asked
// for.
func (l *Ledger) haveTile(ctx context.Context, org string, level int, index uint64, width int) error {
	if width < 1 || width > TileWidth {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "width", "A tile has 1 to %d hashes, not %d.", TileWidth, width)
	}
	head, err := l.Head(ctx, org)
	if err != nil {
		return err
	}
	if level < 0 || index >= maxEntries ||
		index*TileWidth+uint64(width) > head.Size>>(tileHeight*level) {
		return audit.Errorf(audit.CodeNotFound, "The log does not have that tile; it has %d entries.", head.Size)
	}
	return nil
}

// Prove returns an entry and the proof that it is in the log, against the newest
// signed checkpoint or, when the entry came after it, a new one. It is not_found
// (audit.Error) when there is no such entry. What it returns has been verified.
func (l *Ledger) Prove(ctx context.Context, org string, seq uint64) (audit.Proof, error) {
	e, err := l.EntryAt(ctx, org, seq)
	if err != nil {
		return audit.Proof{}, err
	}
	cp, err := l.checkpoint(ctx, org, seq+1)
	if err != nil {
		return audit.Proof{}, err
	}
	size, at := int64(cp.Size), int64(seq) //nolint:gosec // below maxEntries
	hashes, err := tlog.ProveRecord(size, at, l.tiles.hashes(ctx, org, cp.Size))
	if err != nil {
		return audit.Proof{}, fmt.Errorf("prove entry %d: %w", seq, err)
	}
	record := e.AppendRecord(nil)
	if err := tlog.CheckRecord(hashes, size, cp.Root, at, tlog.RecordHash(record)); err != nil {
		return audit.Proof{}, fmt.Errorf("entry %d does not fit the tree of its log: %w", seq, err)
	}
	p := audit.Proof{
		Entry:  e.Audit(org),
		Record: string(record),
		Proof:  audit.InclusionProof{Index: seq, Hashes: hashes, Checkpoint: cp.note}.String(),
	}
	if e.ErasedAt == 0 {
		p.Salt = slices.Clone(e.Salt[:])
	}
	return p, nil
}

// ProveTree returns the proof that the tree of newSize entries extends that of
// oldSize (RFC 6962 consistency proof), 0 < oldSize ≤ newSize. It is
// invalid_request or, beyond the log's size, not_found (audit.Error). Between sizes
// of which a checkpoint was signed there is always one; for another size inside a
// tile whose entries were removed it is gone (audit.Error).
func (l *Ledger) ProveTree(ctx context.Context, org string, newSize, oldSize uint64) (tlog.TreeProof, error) {
	if oldSize < 1 || oldSize > newSize {
		return nil, audit.Errorf(audit.CodeInvalidRequest, "A tree of %d entries cannot extend one of %d.", newSize, oldSize)
	}
	head, err := l.Head(ctx, org)
	if err != nil {
		return nil, err
	}
	if newSize > head.Size {
		return nil, audit.Errorf(audit.CodeNotFound, "The log has %d entries, not %d.", head.Size, newSize)
	}
	proof, err := tlog.ProveTree(int64(newSize), int64(oldSize), l.tiles.hashes(ctx, org, newSize)) //nolint:gosec // below maxEntries
	if errors.Is(err, errPruned) {
		return nil, errRetired("Retention has removed entries, and with them the hashes that prove this; a proof between sizes that were signed as a checkpoint is always there.")
	}
	if err != nil {
		return nil, fmt.Errorf("prove tree %d to %d: %w", oldSize, newSize, err)
	}
	return proof, nil
}

// tileReader reads the hashes of logs: those of tile levels 1 and up from the
// store, those of level 0 from the entries.
type tileReader struct {
	store Store
	cache *tileCache // nil for none
}

// hashes returns a reader of the nodes of the tree with size entries.
func (t tileReader) hashes(ctx context.Context, org string, size uint64) tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			h, err := t.node(ctx, org, size, level, uint64(n)) //nolint:gosec // an index
			if err != nil {
				return nil, err
			}
			out[i] = h
		}
		return out, nil
	}
}

// root returns the root of the tree with size entries.
func (t tileReader) root(ctx context.Context, org string, size uint64) (tlog.Hash, error) {
	h, err := tlog.TreeHash(int64(size), t.hashes(ctx, org, size)) //nolint:gosec // below maxEntries
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("hash tree of %d entries: %w", size, err)
	}
	return h, nil
}

// node returns a node of the tree with size entries: the root of the complete
// subtree over entries n·2^level and on. It reads as much of the tile as the tree
// has, since its neighbours are wanted next.
func (t tileReader) node(ctx context.Context, org string, size uint64, level int, n uint64) (tlog.Hash, error) {
	tileLevel, height := level/tileHeight, level%tileHeight
	first := n << height
	index, from := first/TileWidth, first%TileWidth
	width := min(TileWidth, size>>(tileHeight*tileLevel)-index*TileWidth)
	hashes, err := t.tile(ctx, org, tileLevel, index, int(width))
	if errors.Is(err, errPruned) {
		return t.kept(ctx, org, level, n)
	}
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("read tile %d/%d: %w", tileLevel, index, err)
	}
	return fold(hashes[from : from+1<<height]), nil
}

// kept returns a node inside a tile of level 0 whose entries were all removed, if
// that was kept.
func (t tileReader) kept(ctx context.Context, org string, level int, n uint64) (tlog.Hash, error) {
	first := n << level
	leaves, err := t.store.Leaves(ctx, org, first/TileWidth, TileWidth)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("read what was kept of tile 0/%d: %w", first/TileWidth, err)
	}
	h, ok := rootOf(leaves.Nodes, first, level)
	if !ok {
		return tlog.Hash{}, fmt.Errorf("node %d of level %d: %w", n, level, errPruned)
	}
	return h, nil
}

// tile returns the first width hashes of a tile, not to be changed.
func (t tileReader) tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error) {
	key := tileKey{org, level, index}
	have := t.cache.get(key)
	if len(have) >= width {
		return have[:width], nil
	}
	var hashes []tlog.Hash
	var err error
	if level > 0 {
		hashes, err = t.store.Tile(ctx, org, level, index, width)
	} else {
		hashes, err = t.leaves(ctx, org, index*TileWidth, have, width)
	}
	if err != nil {
		return nil, err
	}
	if len(hashes) != width {
		return nil, fmt.Errorf("%d hashes, not %d: %w", len(hashes), width, ErrNotFound)
	}
	t.cache.put(key, hashes)
	return hashes, nil
}

// leaves returns the hashes of width entries from first on, of which have are
// known: of the entries' records or, when some were removed, those that the store
// has kept. It is errPruned when it has not kept all.
func (t tileReader) leaves(ctx context.Context, org string, first uint64, have []tlog.Hash, width int) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(have), width)
	copy(hashes, have)
	record := []byte{leafPrefix}
	next := first + uint64(len(have))
	for e, err := range t.store.Read(ctx, org, next, first+uint64(width)) { //nolint:gosec // at most TileWidth
		if err != nil {
			return nil, err
		}
		if e.Seq != next {
			break
		}
		next++
		record = e.AppendRecord(record[:1])
		hashes = append(hashes, sha256.Sum256(record))
	}
	if len(hashes) == width {
		return hashes, nil
	}
	known, err := t.store.Leaves(ctx, org, first/TileWidth, width)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", missingError(next), err)
	}
	if known.Hashes == nil {
		return nil, errPruned
	}
	return known.Hashes, nil
}

// missingError says that the store skipped an entry.
func missingError(seq uint64) error {
	return fmt.Errorf("entry %d is missing: %w", seq, errMissing)
}

var errMissing = errors.New("the store does not have all entries of the log")

// tileCache keeps the tiles used last. What it holds is never changed. A nil
// cache holds nothing.
type tileCache struct {
	mu    sync.Mutex
	max   int
	order list.List // of *cachedTile, the one used last first
	tiles map[tileKey]*list.Element
}

type tileKey struct {
	org   string
	level int
	index uint64
}

type cachedTile struct {
	key    tileKey
	hashes []tlog.Hash
}

func newTileCache(maxTiles int) *tileCache {
	return &tileCache{max: maxTiles, tiles: map[tileKey]*list.Element{}}
}

// get returns as much of a tile as is known.
func (c *tileCache) get(key tileKey) []tlog.Hash {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.tiles[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(el)
	t, _ := el.Value.(*cachedTile)
	return t.hashes
}

// put keeps a tile unless more of it is known.
func (c *tileCache) put(key tileKey, hashes []tlog.Hash) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.tiles[key]; ok {
		if t, _ := el.Value.(*cachedTile); len(t.hashes) < len(hashes) {
			t.hashes = hashes
		}
		return
	}
	c.tiles[key] = c.order.PushFront(&cachedTile{key, hashes})
	if c.order.Len() > c.max {
		c.drop(c.order.Back())
	}
}

// forget drops the tiles of an organization.
func (c *tileCache) forget(org string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, el := range c.tiles {
		if key.org == org {
			c.drop(el)
		}
	}
}

// drop removes a tile. mu is held.
func (c *tileCache) drop(el *list.Element) {
	t, _ := c.order.Remove(el).(*cachedTile)
	delete(c.tiles, t.key)
}
