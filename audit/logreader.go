package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Tiles and bundles as C2SP tlog-tiles has them.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// LogReader reads a log as C2SP tlog-tiles serves it. Its methods may be called
// concurrently.
type LogReader interface {
	// ReadCheckpoint returns the newest signed checkpoint.
	ReadCheckpoint(ctx context.Context) ([]byte, error)
	// ReadTile returns a tile or an entry bundle by its path, such as
	// "tile/0/x001/234" or "tile/entries/000.p/17". The error for one that
	// is not there is fs.ErrNotExist (errors.Is); for one whose entries the
	// log does not give any more, because retention removed some, it is
	// [ErrRemoved].
	ReadTile(ctx context.Context, path string) ([]byte, error)
}

// ConsistencyReader is a [LogReader] that also gets proofs that a log extends an
// older one (RFC 6962). They are needed where the tiles are gone that show it.
type ConsistencyReader interface {
	LogReader
	ReadConsistency(ctx context.Context, older, newer uint64) ([]tlog.Hash, error)
}

// ErrRemoved says that a tile or bundle was there and is not any more, because
// retention removed entries.
var ErrRemoved = errors.New("removed by retention")

// DirLog reads a log from files: "checkpoint", and tiles by their paths.
func DirLog(fsys fs.FS) LogReader { return dirLog{fsys} }

type dirLog struct{ fsys fs.FS }

func (d dirLog) ReadCheckpoint(context.Context) ([]byte, error) {
	return fs.ReadFile(d.fsys, "checkpoint")
}

func (d dirLog) ReadTile(_ context.Context, path string) ([]byte, error) {
	return fs.ReadFile(d.fsys, path)
}

// TilePath is the path of a tile of hashes; level -1 means the bundle of entries.
// index counts tiles of the level, width is 1 to 256.
func TilePath(level int, index uint64, width int) string {
	t := tlog.Tile{H: tileHeight, L: level, N: int64(index), W: width} //nolint:gosec // no log has as many
	// tlog has the height in the path and other words for entries.
	path := strings.TrimPrefix(t.Path(), "tile/8/")
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// readTile reads a tile or bundle. A log may have dropped a partial one once it
// is full: then cut says that the full one came instead.
func readTile(ctx context.Context, r LogReader, level int, index uint64, width int) (data []byte, cut bool, err error) {
	path := TilePath(level, index, width)
	data, err = r.ReadTile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) && width < tileWidth {
		full, fullErr := r.ReadTile(ctx, TilePath(level, index, tileWidth))
		if fullErr == nil {
			return full, true, nil
		}
		if errors.Is(fullErr, ErrRemoved) {
			err = fullErr
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", path, err)
	}
	return data, false, nil
}

// tileSource reads hashes of a tree from tiles, each checked against the root
// before it is used. It keeps the tiles used last. One goroutine uses it.
type tileSource struct {
	tlog.HashReader

	ctx    context.Context //nolint:containedctx // the methods of tlog.TileReader have none
	r      LogReader
	kept   []keptTile // the last is the one used last
	failed error      // from reading
}

type keptTile struct {
	tile tlog.Tile
	data []byte
}

// keepTiles is how many tiles are kept: those on the way to the root, at both
// ends of the log, of the largest tree.
const keepTiles = 32

func newTileSource(ctx context.Context, r LogReader, c Checkpoint) *tileSource {
	s := &tileSource{ctx: ctx, r: r}
	s.HashReader = tlog.TileHashReader(c.tree(), s)
	return s
}

// Height implements tlog.TileReader.
func (s *tileSource) Height() int { return tileHeight }

// SaveTiles implements tlog.TileReader. Tiles are kept whether they are checked
// or not: they are checked each time they are used.
func (s *tileSource) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (s *tileSource) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := s.readTile(t)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

func (s *tileSource) readTile(t tlog.Tile) ([]byte, error) {
	if i := slices.IndexFunc(s.kept, func(k keptTile) bool { return k.tile == t }); i >= 0 {
		k := s.kept[i]
		s.kept = append(slices.Delete(s.kept, i, i+1), k)
		return k.data, nil
	}
	data, cut, err := readTile(s.ctx, s.r, t.L, uint64(t.N), t.W) //nolint:gosec // never negative
	if err != nil {
		s.failed = err
		return nil, err
	}
	return s.check(t, data, cut)
}

// check keeps a tile of the right size.
func (s *tileSource) check(t tlog.Tile, data []byte, cut bool) ([]byte, error) {
	want := t.W * tlog.HashSize
	if cut && len(data) == tileWidth*tlog.HashSize {
		data = data[:want]
	}
	if len(data) != want {
		return nil, failed(CheckFormat, "%s has %d bytes, not %d", TilePath(t.L, uint64(t.N), t.W), len(data), want) //nolint:gosec // never negative
	}
	s.offer(t, data)
	return data, nil
}

// offer keeps a tile that was read already.
func (s *tileSource) offer(t tlog.Tile, data []byte) {
	if len(s.kept) == keepTiles {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, keptTile{t, data})
}

// bundle is an entry bundle with the tile of its leaves.
type bundle struct {
	from    uint64 // the first entry
	width   int
	entries []byte
	cut     bool // entries go on after width
	leaves  []byte
	err     error
	// removed says that the log does not give the entries any more, pruned
	// that it does not give their hashes either.
	removed, pruned bool
}

// tile is the tile of the leaves.
func (b *bundle) tile() tlog.Tile {
	return tlog.Tile{H: tileHeight, L: 0, N: int64(b.from / tileWidth), W: b.width} //nolint:gosec // ParseCheckpoint refuses more
}

// last is the last entry.
func (b *bundle) last() uint64 { return b.from + uint64(b.width) - 1 } //nolint:gosec // width is 1 to tileWidth

// leafIndexes are the entries in the way that tlog counts hashes.
func (b *bundle) leafIndexes() []int64 {
	indexes := make([]int64, b.width)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(b.from)+int64(i)) //nolint:gosec // ParseCheckpoint refuses more
	}
	return indexes
}

// readAhead is how many bundles are read at the same time: enough that the
// network does not set the pace.
const readAhead = 8

// readBundles yields the bundles of a log of that size in order, reading ahead.
// It ends after the first error, and with ctx.
func readBundles(ctx context.Context, r LogReader, size uint64) iter.Seq[bundle] {
	return func(yield func(bundle) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		queue := make(chan chan bundle, readAhead)
		go func() {
			defer close(queue)
			for from := uint64(0); from < size; from += tileWidth {
				next := make(chan bundle, 1)
				select {
				case queue <- next:
				case <-ctx.Done():
					return
				}
				go func() { next <- readBundle(ctx, r, from, int(min(size-from, tileWidth))) }()
			}
		}()
		for next := range queue {
			if b := <-next; !yield(b) || b.err != nil {
				return
			}
		}
	}
}

func readBundle(ctx context.Context, r LogReader, from uint64, width int) bundle {
	b := bundle{from: from, width: width}
	b.entries, b.cut, b.err = readTile(ctx, r, -1, from/tileWidth, width)
	if b.removed = errors.Is(b.err, ErrRemoved); b.err != nil && !b.removed {
		return b
	}
	var cut bool
	b.leaves, cut, b.err = readTile(ctx, r, 0, from/tileWidth, width)
	if b.pruned = b.removed && width == tileWidth && errors.Is(b.err, ErrRemoved); b.pruned {
		b.err = nil
	}
	if b.err != nil || b.pruned {
		return b
	}
	want := width * tlog.HashSize
	if cut && len(b.leaves) == tileWidth*tlog.HashSize {
		b.leaves = b.leaves[:want]
	}
	if len(b.leaves) != want {
		b.err = failed(CheckFormat, "%s has %d bytes, not %d", TilePath(0, from/tileWidth, width), len(b.leaves), want)
	}
	return b
}
