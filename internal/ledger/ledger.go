package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
)

// Config says what a ledger works with. Store, KV and Signer are required; every
// other field has a usable zero value.
type Config struct {
	// Store keeps the logs.
	Store Store
	// KV keeps the newest signed checkpoint of each log, under
	// "checkpoint/<organization>", and the verifier key of the signing key.
	KV catalog.KV
	// Signer is the private key that signs checkpoints, as [GenerateKey]
	// writes it. Space around it is ignored.
	Signer string
	// Name is the server's name, the first part of every log's origin. The
	// key has it too, so it may be left empty; any other name is an error.
	Name string
	// AcceptNewKey lets a ledger start although the checkpoints of the store
	// were signed with another key. Without it that is an error, because a
	// key file that was lost and made anew would go unnoticed.
	AcceptNewKey bool
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Logger takes what an operator should know; discarded when nil.
	Logger *slog.Logger
	// IdempotencyWindow is how long an idempotency key counts, 7 days when
	// zero. The store must keep receipts that long.
	IdempotencyWindow time.Duration
	// Limits bounds what waits; zero fields mean the defaults.
	Limits Limits
	// Shows says which entries of an organization's log may be shown at this
	// moment: those that are kept. EntryAt, Entry, Read, Bundle and Prove give
	// no others. It is called for each of these; what it returns is nil for all
	// entries, and so is Shows.
	Shows func(org string) (func(*event.Entry) bool, error)
	// OnCommit is told about each round of a log's owner, before its batches
	// are answered: it must be fast. Called concurrently. Nil is fine.
	OnCommit func(CommitStats)
}

// Limits bounds the memory of a ledger. Zero fields mean the defaults.
type Limits struct {
	// PoolEvents and PoolBytes bound what waits in one organization's pool:
	// 65,536 events and 64 MiB. Beyond, Append is refused (overloaded).
	PoolEvents, PoolBytes int
	// TotalBytes bounds what waits or is being committed in all pools
	// together: 192 MiB. Beyond, Append is refused (overloaded).
	TotalBytes int
	// CommitEvents and CommitBytes bound one commit: 16,384 events and
	// 32 MiB. A batch is never split: one that is larger makes a commit.
	CommitEvents, CommitBytes int
	// Organizations is the number of idle logs whose state stays in memory,
	// about 1 KiB each: 10,000.
	Organizations int
}

func (l *Limits) setDefaults() {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.PoolEvents, 65_536},
		{&l.PoolBytes, 64 << 20},
		{&l.TotalBytes, 192 << 20},
		{&l.CommitEvents, BlockSize},
		{&l.CommitBytes, 32 << 20},
		{&l.Organizations, 10_000},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}

// CommitStats describes one round of a log's owner.
type CommitStats struct {
	// Organization is whose log it is.
	Organization string
	Batches      int           // batches answered, refused ones included
	Events       int           // events recorded, or that would have been if Err is set
	Duplicates   int           // events answered with the receipt of another
	Bytes        int           // size of the rows
	Order        time.Duration // finding duplicates, ordering, hashing
	Commit       time.Duration // Store.Commit; zero when there was nothing to record
	Waiting      int           // events left in the organization's pool
	Err          error         // why the round was refused, nil when it is durable
}

// Stats is how a ledger stands.
type Stats struct {
	Organizations int   // logs whose state is in memory
	Waiting       int64 // bytes that wait or are being committed
}

// Ledger orders events into one log for each organization. All methods may be
// called concurrently. A log that nothing was ever recorded in is an empty log:
// the ledger does not know which organizations exist.
type Ledger struct {
	cfg     Config
	signer  signer
	tiles   tileReader
	rounds  sync.Pool // of *round
	ciphers cipherCache
	waiting atomic.Int64

	users   sync.WaitGroup // one for each reference to a logState
	closing chan struct{}  // closed by Close

	mu      sync.Mutex
	closed  bool
	logs    map[string]*logState
	ring    logState // head of the ring of idle states
	idle    int      // their number
	dropped map[string]struct{}
}

// Open makes a ledger on a store. Logs are read when they are first touched.
func Open(ctx context.Context, cfg Config) (*Ledger, error) {
	if cfg.Store == nil || cfg.KV == nil {
		return nil, errors.New("open ledger: a store and a KV are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default clock
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.IdempotencyWindow <= 0 {
		cfg.IdempotencyWindow = 7 * 24 * time.Hour
	}
	cfg.Limits.setDefaults()
	s, err := newSigner(cfg.Signer)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if cfg.Name != "" && cfg.Name != s.name {
		return nil, fmt.Errorf("open ledger: the signing key is that of %q, not of %q; a server's name is part of what it signed and cannot be changed", s.name, cfg.Name)
	}
	l := &Ledger{
		cfg: cfg, signer: s,
		tiles:   tileReader{cfg.Store, newTileCache(tileCacheSize)},
		rounds:  sync.Pool{New: func() any { return &round{} }},
		closing: make(chan struct{}),
		logs:    map[string]*logState{},
		dropped: map[string]struct{}{},
	}
	l.ring.prev, l.ring.next = &l.ring, &l.ring
	err = l.rememberKey(ctx)
	if errors.Is(err, catalog.ErrConflict) {
		err = l.rememberKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// Close refuses new batches (unavailable), waits until those that wait are
// committed and answered, and ends every Wait. The store stays open and is not
// used for commits after Close has returned. Closing again does nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	l.users.Wait()
	return nil
}

// Stats returns how the ledger stands.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Organizations: len(l.logs), Waiting: l.waiting.Load()}
}

// DropEmpty ends a log that has no entries and reports whether it had none.
// Batches that wait for it or come later are then refused as after Drop. Otherwise
// nothing happens, so no entry that was acknowledged is ever lost by it.
func (l *Ledger) DropEmpty(ctx context.Context, org string) (bool, error) {
	lg, err := l.acquire(org)
	if err != nil {
		return false, err
	}
	defer l.release(lg)
	// Waits for the commit under way; none begins until it is given back.
	lg.own.Lock()
	defer lg.own.Unlock()
	head, err := l.Head(ctx, org)
	if err != nil || head.Size > 0 {
		return false, err
	}
	l.refuseFrom(lg)
	return true, nil
}

// refuseFrom makes batches be refused that are not in a commit yet.
func (l *Ledger) refuseFrom(lg *logState) {
	l.mu.Lock()
	l.dropped[lg.org] = struct{}{}
	l.mu.Unlock()
	lg.dropped.Store(true)
}

// Drop removes an organization's log for good. Batches that wait for it, or come
// later, are refused (not_found) for as long as the process lives; after that it
// is for the catalog not to give the id to another organization. The newest
// signed checkpoint stays in the KV: should the id be used again all the same, the
// log refuses to start a second history under what was signed.
func (l *Ledger) Drop(ctx context.Context, org string) error {
	lg, err := l.acquire(org)
	if err != nil {
		return err
	}
	defer l.release(lg)
	l.refuseFrom(lg)
	// Waits for the commit under way; none begins until it is given back.
	lg.own.Lock()
	defer lg.own.Unlock()
	if err := l.cfg.Store.Drop(ctx, org); err != nil {
		return fmt.Errorf("drop log: %w", err)
	}
	l.tiles.cache.forget(org)
	l.ciphers.forget()
	if err := l.forgetSizes(ctx, org); err != nil {
		return fmt.Errorf("drop log: %w", err)
	}
	return nil
}
