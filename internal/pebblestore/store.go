package pebblestore

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Config says where a store lives and how much it may use. Every field but Dir
// has a usable zero value.
type Config struct {
	// Dir is the data directory; Open creates it with mode 0700.
	Dir string
	// CacheBytes is the size of the cache of decoded table blocks, 256 MiB
	// when zero.
	CacheBytes int64
	// MemTableBytes is the size of one memtable, 64 MiB when zero.
	MemTableBytes uint64
	// ReserveBytes is the free space below which commits are refused with
	// ledger.ErrDiskFull: 256 MiB when zero, no reserve when negative.
	ReserveBytes int64
	// IdempotencyWindow is how long receipts are kept: 7 days when zero.
	IdempotencyWindow time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Logger takes what an operator should know; discarded when nil.
	Logger *slog.Logger
	// OnCommit is called after every group of commits by the committer,
	// which waits for it. It must be fast; nil is fine.
	OnCommit func(CommitStats)
}

// CommitStats describes one group of commits that were synced together.
type CommitStats struct {
	Commits  int           // commits in the group, catalog changes included
	Rows     int           // entries in the group
	Bytes    int           // size of the batch
	Duration time.Duration // from the batch being closed until it was durable
	Err      error         // why the group failed, nil when it is durable
}

// Stats is how a store stands.
type Stats struct {
	// Failed is why the store takes no more commits, nil when it does.
	Failed error
	// DiskBytes is what the database uses on disk, files to be deleted
	// included.
	DiskBytes uint64
	// FreeBytes is the free space at the last look, and ReserveBytes what is
	// kept of it.
	FreeBytes, ReserveBytes uint64
	// Waiting is the number of commits that wait for a group.
	Waiting int
	// Receipts is the number of receipts held in memory, exactly and as
	// filters.
	Receipts uint64
	// MemoryBytes is what cache and memtables take.
	MemoryBytes uint64
}

// CorruptError says that stored entries are missing or cannot be read.
type CorruptError struct {
	Org            string
	FromSeq, ToSeq uint64 // FromSeq ≤ seq < ToSeq
	What           string
}

// Error names organization, entries and fault.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("organization %s: entries %d to %d are corrupt: %s", e.Org, e.FromSeq, e.ToSeq, e.What)
}

// Store keeps everything in one Pebble database.
type Store struct{}

var (
	_ ledger.Store  = (*Store)(nil)
	_ search.Engine = (*Store)(nil)
	_ catalog.KV    = (*Store)(nil)
)

// Open opens the store in cfg.Dir, or makes a new one. One process at a time:
// another gets an error that says so.
func Open(cfg Config) (*Store, error) { panic("unfinished") }

// Close waits for commits under way and closes the database.
func (s *Store) Close() error { panic("unfinished") }

// Stats returns how the store stands.
func (s *Store) Stats() Stats { panic("unfinished") }

// Head implements [ledger.Store].
func (s *Store) Head(ctx context.Context, org string) (ledger.Head, error) { panic("unfinished") }

// Commit implements [ledger.Store].
func (s *Store) Commit(ctx context.Context, c *ledger.Commit) error { panic("unfinished") }

// Receipt implements [ledger.Store].
func (s *Store) Receipt(ctx context.Context, org string, key ledger.Key) (ledger.Receipt, error) {
	panic("unfinished")
}

// Read implements [ledger.Store].
func (s *Store) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Tile implements [ledger.Store].
func (s *Store) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error) {
	panic("unfinished")
}

// Keys implements [ledger.Store].
func (s *Store) Keys(ctx context.Context, org string, block uint64) (event.Keys, error) {
	panic("unfinished")
}

// Drop implements [ledger.Store].
func (s *Store) Drop(ctx context.Context, org string) error { panic("unfinished") }

// Search implements [search.Engine].
func (s *Store) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	panic("unfinished")
}

// Scan implements [search.Engine].
func (s *Store) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Histogram implements [search.Engine].
func (s *Store) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	panic("unfinished")
}

// Facets implements [search.Engine].
func (s *Store) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	panic("unfinished")
}

// Get implements [catalog.KV].
func (s *Store) Get(ctx context.Context, key string) (catalog.Record, error) { panic("unfinished") }

// Apply implements [catalog.KV].
func (s *Store) Apply(ctx context.Context, changes ...catalog.Change) error { panic("unfinished") }

// List implements [catalog.KV].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	panic("unfinished")
}
