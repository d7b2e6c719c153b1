package ledger

import (
	"context"
	"errors"
	"iter"
	"math/bits"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// BlockSize is the number of entries of a block: an aligned range of seq whose
// salts and id check bits come from one pair of random keys, and which a store
// may seal into columns. It is part of the stored format.
const BlockSize = 16_384

// TileWidth is the number of hashes of a full tile, 2^8 (C2SP tlog-tiles). It
// is part of the stored format.
const TileWidth = 256

// Errors a Store returns. Any other error leaves open whether the commit
// landed: the caller reads Head again before it goes on.
var (
	// ErrHeadMoved says that the log is not at Commit.Prev: nothing was
	// written. Another writer got there first.
	ErrHeadMoved = errors.New("head moved")
	// ErrDiskFull says that the commit was refused for lack of space:
	// nothing was written, reading goes on.
	ErrDiskFull = errors.New("disk full")
	// ErrOutcomeUnknown says that all or nothing was written, and that Head
	// cannot tell which before the store is opened again.
	ErrOutcomeUnknown = errors.New("whether it was written shows after a restart")
	// ErrNotFound says that the thing asked for is not in the store.
	ErrNotFound = errors.New("not found")
)

// errFrontier says that what a store returned cannot be a head.
var errFrontier = errors.New("the head's frontier does not fit its size")

// Store keeps the logs of all organizations. Every method may be called
// concurrently; commits of one organization are serialized by the caller, those
// of different organizations are not.
//
// A store is done when storetest.Run is green.
type Store interface { //nolint:interfacebloat // one for each thing a log consists of, and what becomes of it
	// Head returns the committed head of an organization's log, the zero
	// Head when nothing was ever committed. What it returns is durable.
	Head(ctx context.Context, org string) (Head, error)

	// Commit appends to one log, atomically: when it returns nil everything
	// in c is durable (fsynced) and visible to every other method, when it
	// returns ErrHeadMoved or ErrDiskFull nothing of it is there. After any
	// other error either all or nothing of c is there, and only Head tells;
	// after ErrOutcomeUnknown not even that, until the store is opened again.
	// It does not keep c or what it points to.
	Commit(ctx context.Context, c *Commit) error

	// Receipt returns what was recorded under an idempotency key hash, or
	// ErrNotFound. It may forget receipts older than the idempotency window
	// the store was opened with, and answers almost every key that was never
	// used without reading from disk.
	Receipt(ctx context.Context, org string, key Key) (Receipt, error)

	// Read yields the committed entries with from ≤ seq < to, in order. The
	// entry is valid until the next one. An entry that should be there and
	// is not, or cannot be decoded, ends the sequence with an error, a
	// DamageError where the store can tell which entries that concerns.
	Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error]

	// Tile returns hashes [index·256, index·256+width) of the given tile
	// level, which is 1 or higher: level 0 is computed from the entries.
	// ErrNotFound when the log has not that many.
	Tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error)

	// Keys returns the keys of a block that has entries, or ErrNotFound.
	Keys(ctx context.Context, org string, block uint64) (event.Keys, error)

	// Leaves returns what is known of the leaf hashes of a tile of level 0,
	// width of them: entries that were removed included. Whoever may see an
	// entry does not matter here, a hash tells nothing. ErrNotFound when the log
	// has not that many.
	Leaves(ctx context.Context, org string, tile uint64, width int) (Leaves, error)

	// Rewrite takes entries or their details out of a log, for good and range
	// by range, each range atomically and durably. What it reports is gone for
	// every reader when it returns; after Scrub its bytes are gone. After an
	// error some ranges may be done and others not: it is called again, and
	// finds what is left to do.
	Rewrite(ctx context.Context, r *Rewrite) (Rewritten, error)

	// Scrub returns once no file of the store has bytes of what Rewrite took
	// out, or Drop removed, or the catalog replaced, before it was called.
	Scrub(ctx context.Context) error

	// Drop removes an organization's log for good: entries, hashes, keys,
	// head and receipts. Dropping what is not there is no error. Durable
	// when it returns.
	Drop(ctx context.Context, org string) error
}

// DamageError is an error of a store that knows which entries it is about, so
// that a check can say so and go on after them.
type DamageError interface {
	error
	// Entries names the entries that cannot be read: from ≤ seq < to.
	Entries() (from, to uint64)
}

// Head is where a log stands.
type Head struct {
	// Size is the number of entries, which is the next seq.
	Size uint64
	// ReceivedAt is that of the last entry, in Unix milliseconds.
	ReceivedAt int64
	// Frontier are the roots of the complete subtrees the tree consists of,
	// from the largest (leftmost) to the smallest: one for each bit of Size.
	Frontier []tlog.Hash
}

// Root returns the root hash of the tree (RFC 6962).
func (h Head) Root() tlog.Hash { return frontierRoot(h.Frontier) }

// Equal reports whether both are the same head of the same tree.
func (h Head) Equal(o Head) bool {
	return h.Size == o.Size && h.ReceivedAt == o.ReceivedAt && slices.Equal(h.Frontier, o.Frontier)
}

// valid reports whether the frontier has a hash for each subtree.
func (h Head) valid() bool { return len(h.Frontier) == bits.OnesCount64(h.Size) }

// Position returns the place of the newest entry, nil for an empty log.
func (h Head) Position() *audit.Position {
	if h.Size == 0 {
		return nil
	}
	return &audit.Position{Seq: h.Size - 1, ReceivedAt: time.UnixMilli(h.ReceivedAt).UTC()}
}

// Commit is what one commit appends to one organization's log.
type Commit struct {
	Organization string
	// Prev is the size of the log before.
	Prev uint64
	// Head is the log after; Head.Size - Prev is the number of rows.
	Head Head
	// ReceivedAt is that of every row of the commit, in Unix milliseconds.
	ReceivedAt int64
	// Rows are the rows in seq order, as event.AppendRow wrote them. MinOccurredAt
	// and MaxOccurredAt bound their times (Unix nanoseconds).
	Rows                         [][]byte
	MinOccurredAt, MaxOccurredAt int64
	// Nodes are the hashes of tile levels 1 and up that the commit completes.
	Nodes []Node
	// Blocks are the keys of blocks whose first entry is in the commit.
	Blocks []BlockKeys
	// Receipts are what the commit records under idempotency keys.
	Receipts []KeyedReceipt
}

// Node is one hash of a tile: the root of a full tile of the level below.
type Node struct {
	Level int // tile level, from 1
	Index uint64
	Hash  tlog.Hash
}

// BlockKeys are the random keys of one block.
type BlockKeys struct {
	Block uint64 // seq / BlockSize
	Keys  event.Keys
}

// Key is the hash of an organization and an idempotency key: the first 16 bytes
// of a SHA-256. It is unique across organizations.
type Key [16]byte

// Receipt says what was recorded under an idempotency key.
type Receipt struct {
	Seq        uint64
	ReceivedAt int64 // Unix milliseconds
	// Fingerprint is a hash of what was sent under the key, to tell a retry
	// from another event.
	Fingerprint [8]byte
}

// KeyedReceipt is a receipt with its key.
type KeyedReceipt struct {
	Key Key
	Receipt
}

// Leaves is what a store knows of the leaf hashes of a tile.
type Leaves struct {
	// Hashes are the leaf hashes, nil when not all of them are known any more.
	Hashes []tlog.Hash
	// Nodes are, when Hashes is nil, the hashes that were kept of the tile, in
	// order of First and then from the largest: roots of complete subtrees.
	Nodes []Subtree
}

// Subtree is the root hash of a complete subtree: of the entries First ≤ seq <
// First + 2^Level. First is a multiple of that.
type Subtree struct {
	First uint64
	Level int
	Hash  tlog.Hash
}

// Fate is what Rewrite makes of an entry.
type Fate byte

// The fates of an entry.
const (
	Stays   Fate = iota // it is left as it is
	Erased              // its details go, its record stays
	Removed             // all of it goes but its leaf hash, as long as that is needed
)

// Rewrite says what is to be taken out of a log.
type Rewrite struct {
	Organization string
	// From ≤ seq < To are the entries that are looked at. Both are multiples of
	// BlockSize, or To is the size of the log: then the caller holds back
	// commits of this log until Rewrite has returned.
	From, To uint64
	// Fate says what becomes of an entry. It is called in seq order for the
	// entries that are still there, maybe twice for one. The entry is valid
	// until it returns. Erasing what is erased changes nothing.
	Fate func(e *event.Entry) Fate
	// ErasedAt is what erased entries get, in Unix milliseconds.
	ErasedAt int64
	// Sizes returns which sizes of the tree, of those within a tile of level
	// 0, were signed: bit i of byte i/8 (from the lowest) stands for the size
	// tile·TileWidth + i. Hashes that prove that the tree extends these are kept.
	// It is called for tiles of which every entry is removed.
	Sizes func(tile uint64) ([TileWidth / 8]byte, error)
}

// Rewritten is what a Rewrite has done.
type Rewritten struct {
	Removed, Erased uint64
	// Keys are those of the range that the next entry lies in, when Rewrite has
	// changed them: entries that come next are salted with these.
	Keys *BlockKeys
}
