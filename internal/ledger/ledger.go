package ledger

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
)

// Config says what a ledger works with. Store, KV and Signer are required;
// every other field has a usable zero value.
type Config struct {
	// Store keeps the logs.
	Store Store
	// KV keeps the newest signed checkpoint of each log, under
	// "checkpoint/<organization>".
	KV catalog.KV
	// Signer is the private key that signs checkpoints, as [GenerateKey]
	// writes it.
	Signer string
	// Name is the server's name, the first part of every log's origin. Empty
	// means the name in Signer; any other must be the same.
	Name string
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Logger takes what an operator should know; discarded when nil.
	Logger *slog.Logger
	// IdempotencyWindow is how long a key is remembered, 7 days when zero.
	IdempotencyWindow time.Duration
	// Limits bounds what waits; zero fields mean the defaults.
	Limits Limits
	// OnCommit is called by the owner of a log after each commit, which waits
	// for it: it must be fast. Nil is fine.
	OnCommit func(CommitStats)
}

// Limits bounds the memory of a ledger. The zero value means the defaults.
type Limits struct {
	// PoolEvents and PoolBytes bound what waits in one organization's pool:
	// 65,536 events and 64 MiB.
	PoolEvents, PoolBytes int
	// TotalBytes bounds what waits or is being committed in all pools
	// together: 192 MiB.
	TotalBytes int
	// CommitEvents and CommitBytes bound one commit: 16,384 events and
	// 32 MiB. A batch is never split: one that is larger makes one commit.
	CommitEvents, CommitBytes int
	// Organizations is the number of idle logs whose state stays in memory:
	// 10,000.
	Organizations int
}

// CommitStats describes one round of an organization's owner.
type CommitStats struct {
	Batches    int           // batches answered, refused ones included
	Events     int           // events recorded
	Duplicates int           // events answered with an earlier receipt
	Bytes      int           // size of the rows
	Order      time.Duration // idempotency, seq, salts, hashes
	Commit     time.Duration // Store.Commit; zero when nothing was to be recorded
	Waiting    int           // events in the pool after it
	Err        error         // why the round failed, nil when it is durable
}

// Ledger orders events into one log per organization. All methods may be called
// concurrently.
type Ledger struct{}

// Open makes a ledger on a store. It reads nothing yet: an organization's log
// is read when it is first touched.
func Open(ctx context.Context, cfg Config) (*Ledger, error) { panic("unfinished") }

// Close refuses new batches, waits until those that wait are committed, and
// ends every Wait. The store stays open.
func (l *Ledger) Close() error { panic("unfinished") }

// Batch is a group of events for one organization, prepared for ordering.
type Batch struct {
	// RequestKey is the idempotency key of the whole request, or empty.
	RequestKey string
	// Partial records what it can and reports conflicts per event. Without
	// it a batch is recorded whole or not at all.
	Partial bool
}

// NewBatch returns an empty batch.
func NewBatch(org string) *Batch { panic("unfinished") }

// Reset empties the batch for another use and keeps its memory.
func (b *Batch) Reset(org string) { panic("unfinished") }

// Add appends an event. It copies what it needs of ev.
func (b *Batch) Add(ev *event.Event) error { panic("unfinished") }

// Len returns the number of events.
func (b *Batch) Len() int { panic("unfinished") }

// Result is the answer to a batch.
type Result struct {
	// Receipts has one outcome for each event, in the batch's order. It is
	// valid until the batch is used again.
	Receipts []Outcome
	// Through is the newest entry of the log after the batch.
	Through audit.Position
}

// Outcome is what became of one event.
type Outcome struct {
	Seq        uint64
	ReceivedAt int64 // Unix milliseconds
	ID         event.ID
	// Duplicate says that the event had been recorded earlier under its
	// idempotency key; the other fields are those of then.
	Duplicate bool
	// Err is why the event was not recorded. Only in a partial batch.
	Err *audit.Error
}

// Append records a batch. The events are durable when it returns nil.
func (l *Ledger) Append(ctx context.Context, b *Batch) (Result, error) { panic("unfinished") }

// Head returns where an organization's log stands.
func (l *Ledger) Head(ctx context.Context, org string) (Head, error) { panic("unfinished") }

// Through returns the newest entry's position, nil for an empty log.
func (l *Ledger) Through(ctx context.Context, org string) (*audit.Position, error) {
	panic("unfinished")
}

// Entry returns an entry by its id, or not_found (audit.Error).
func (l *Ledger) Entry(ctx context.Context, org, id string) (*event.Entry, error) {
	panic("unfinished")
}

// EntryAt returns an entry by its place, or not_found (audit.Error).
func (l *Ledger) EntryAt(ctx context.Context, org string, seq uint64) (*event.Entry, error) {
	panic("unfinished")
}

// Read yields the committed entries with from ≤ seq < to, in order. The entry
// is valid until the next one.
func (l *Ledger) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Wait returns when the log has more than size entries.
func (l *Ledger) Wait(ctx context.Context, org string, size uint64) error { panic("unfinished") }

// Drop removes an organization's log for good.
func (l *Ledger) Drop(ctx context.Context, org string) error { panic("unfinished") }

// Checkpoint returns the signed checkpoint of the current head.
func (l *Ledger) Checkpoint(ctx context.Context, org string) ([]byte, error) { panic("unfinished") }

// VerifierKey returns the key that verifies the checkpoints of every log of
// this server, in the form of a note verifier key.
func (l *Ledger) VerifierKey() string { panic("unfinished") }

// LogVerifierKey returns the key that verifies the checkpoints of one log,
// named like its origin.
func (l *Ledger) LogVerifierKey(org string) string { panic("unfinished") }

// GenerateKey makes a new signing key for a server's checkpoints.
func GenerateKey(name string) (skey string, err error) { panic("unfinished") }

// ProveTree returns the proof that the tree of size newSize extends that of
// oldSize.
func (l *Ledger) ProveTree(ctx context.Context, org string, newSize, oldSize uint64) (tlog.TreeProof, error) {
	panic("unfinished")
}

// Tile returns a tile of hashes as C2SP tlog-tiles has it.
func (l *Ledger) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]byte, error) {
	panic("unfinished")
}

// Bundle returns an entry bundle as C2SP tlog-tiles has it.
func (l *Ledger) Bundle(ctx context.Context, org string, index uint64, width int) ([]byte, error) {
	panic("unfinished")
}

// Problem is one thing that is wrong with a log.
type Problem struct {
	From, To uint64 // entries concerned: From ≤ seq < To
	What     string
}

// CheckResult sums up a check.
type CheckResult struct {
	Entries  uint64 // entries read
	Problems int
	Head     Head
	Root     tlog.Hash
}

// Check reads a whole log again and reports everything that does not fit.
func (l *Ledger) Check(ctx context.Context, org string, report func(Problem)) (CheckResult, error) {
	panic("unfinished")
}
