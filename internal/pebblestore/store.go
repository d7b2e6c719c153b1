package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Config says where a store lives and how much it may use. Every field but Dir
// has a usable zero value.
type Config struct {
	// Dir is the data directory; Open creates it with mode 0700.
	Dir string
	// CacheBytes is the size of the cache of table blocks, 64 MiB when zero.
	CacheBytes int64
	// MemTableBytes is the size of one memtable, 32 MiB when zero. Up to three
	// may be in memory, and one more than that on disk as write-ahead logs.
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
	// Unsynced makes commits durable when Close has returned without an error,
	// and not before: for data that is thrown away when making it fails, such
	// as a demo's. Never set it where somebody is told that an event is
	// recorded.
	Unsynced bool
	// Uncompressed writes tables as they are, for who looks for bytes in files.
	Uncompressed bool
	// OnCommit is called after every group of commits by the committer,
	// which waits for it. It must be fast; nil is fine.
	OnCommit func(CommitStats)

	// OnSeal is called after entries were sealed into blocks, by the sealer,
	// which waits for it. nil is fine.
	OnSeal func(SealStats)
	// IndexBytes bounds the headers and filters of blocks that are kept in
	// memory, 128 MiB when zero; ColumnBytes the decoded columns, 64 MiB when
	// zero.
	IndexBytes, ColumnBytes int64

	// For tests: the entries of a range that is sealed as a whole, a divisor of
	// ledger.BlockSize; how many entries are sealed when nothing was added for a
	// while and when they waited long, and how often the sealer looks for those;
	// whether only Seal seals; the file system, how many receipts a window holds,
	// how often a write that waits for space is tried again, and what Pebble may
	// change in its options.
	rangeRows      uint64
	quietRows      uint64
	staleRows      uint64
	sealEvery      time.Duration
	sealByHand     bool
	fs             vfs.FS
	windowReceipts int
	retryEvery     time.Duration
	tune           func(*pebble.Options)
}

const (
	defaultCache    = 64 << 20
	defaultMemTable = 32 << 20
	defaultReserve  = 256 << 20
	defaultWindow   = 7 * 24 * time.Hour
	defaultIndex    = 128 << 20
	defaultColumns  = 64 << 20
)

func (c Config) withDefaults() Config {
	setDefault(&c.CacheBytes, defaultCache)
	setDefault(&c.MemTableBytes, defaultMemTable)
	setDefault(&c.ReserveBytes, defaultReserve)
	setDefault(&c.IdempotencyWindow, defaultWindow)
	setDefault(&c.windowReceipts, windowReceipts)
	setDefault(&c.IndexBytes, defaultIndex)
	setDefault(&c.ColumnBytes, defaultColumns)
	setDefault(&c.rangeRows, ledger.BlockSize)
	setDefault(&c.quietRows, quietRows)
	setDefault(&c.staleRows, staleRows)
	setDefault(&c.sealEvery, sealEvery)
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of the clock that callers pass
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.fs == nil {
		c.fs = vfs.Default
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Store keeps everything in one Pebble database. All its methods may be called
// concurrently, but Close only when no other is running.
type Store struct {
	cfg Config
	log *slog.Logger
	now func() time.Time

	fs    *guardFS
	db    *pebble.DB
	cache *pebble.Cache
	lock  io.Closer // of the directory

	logs     orgLogs
	blocks   blockIndex
	sealer   *sealer
	kv       records
	receipts *receipts
	space    space
	queue    queue

	snapshots snapshots
	scrubbing sync.Mutex

	keeper search.Keeper // nil keeps everything

	requests, encoders, readers sync.Pool

	committing, rewriting sync.WaitGroup
	closed                atomic.Bool
}

var (
	_ ledger.Store  = (*Store)(nil)
	_ search.Engine = (*Store)(nil)
	_ catalog.KV    = (*Store)(nil)
)

// Open opens the store in cfg.Dir, or makes a new one. Only one Store may have a
// directory open: a second gets ErrInUse.
//
// When the disk is so full that the store cannot be opened for writing, it is
// opened for reading, and every commit gets ledger.ErrDiskFull.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("open store: no data directory")
	}
	s, err := open(cfg, false)
	if isNoSpace(err) {
		reader, readErr := open(cfg, true)
		if readErr != nil {
			return nil, fmt.Errorf("open store %s: %w", cfg.Dir, err)
		}
		reader.fs.fail(fmt.Errorf("open: %w", err))
		return reader, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func open(cfg Config, readOnly bool) (*Store, error) {
	s := &Store{cfg: cfg, log: cfg.Logger, now: cfg.Now, fs: newGuardFS(cfg.fs, cfg.Now)}
	setDefault(&cfg.retryEvery, s.fs.retry)
	s.fs.retry = cfg.retryEvery
	s.fs.onFail, s.fs.onFull = s.onFail, s.onFull
	s.queue.wake, s.queue.gate = make(chan struct{}, 1), s.stopped
	s.requests.New = func() any { return &request{done: make(chan error, 1)} }
	s.encoders.New = func() any { return &runEncoder{} }
	s.readers.New = func() any { return &runReader{} }
	s.space = space{fs: s.fs, dir: cfg.Dir, now: cfg.Now, reserve: uint64(max(cfg.ReserveBytes, 0))}
	if err := s.openDB(readOnly); err != nil {
		return nil, errors.Join(err, s.closeDB())
	}
	if err := s.start(readOnly); err != nil {
		return nil, errors.Join(err, s.closeDB())
	}
	s.fs.armed.Store(true)
	s.committing.Go((&committer{s: s}).run)
	s.rewriting.Go(s.rewriteReceipts)
	if !readOnly && !cfg.sealByHand {
		s.sealer.done.Go(s.sealer.run)
	}
	return s, nil
}

// openDB locks the directory and opens Pebble.
func (s *Store) openDB(readOnly bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("pebble: %v", r)
		}
	}()
	if err := makeDir(s.fs, s.cfg.Dir); err != nil {
		return err
	}
	if s.lock, err = lockDir(s.cfg.fs, s.cfg.Dir); err != nil {
		return err
	}
	s.cache = pebble.NewCache(s.cfg.CacheBytes)
	opts := s.options()
	opts.ReadOnly = readOnly
	if s.db, err = pebble.Open(s.cfg.Dir, opts); err != nil {
		return err
	}
	return s.fs.failed()
}

// start reads what must be in memory.
func (s *Store) start(readOnly bool) error {
	if err := s.checkFormat(readOnly); err != nil {
		return err
	}
	s.logs.db, s.logs.logs = s.db, map[string]*orgLog{}
	s.blocks.open(s.db, s.cfg.IndexBytes, s.cfg.ColumnBytes)
	s.sealer = newSealer(s)
	s.kv.db, s.kv.snapshots = s.db, &s.snapshots
	s.receipts = newReceipts(s.db, s.cfg.IdempotencyWindow, s.cfg.windowReceipts)
	err := s.receipts.load(func(err error) {
		s.log.LogAttrs(context.Background(), slog.LevelError,
			"damaged idempotency receipts are left out: what was recorded under their keys may be recorded again",
			slog.String("error", err.Error()))
	})
	return errors.Join(err, s.fs.failed())
}

// StopWaiting ends all waiting for space, for good: a write that waits fails, and
// with it the store. Whoever closes what commits to the store before the store
// itself calls it first, lest that wait for a disk which stays full.
func (s *Store) StopWaiting() { s.fs.release() }

// Refusing says why the store takes no commits now, nil when it does. Reading
// goes on meanwhile.
func (s *Store) Refusing() error {
	if err := s.stopped(); err != nil {
		return err
	}
	return s.space.check(1)
}

// Close waits for commits under way and closes the database. Reads must have
// ended.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.fs.release()
	s.sealer.close()
	s.queue.close(errClosed)
	s.committing.Wait()
	close(s.receipts.work)
	s.rewriting.Wait()
	if err := s.closeDB(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// closeDB gives back what openDB took, also half of it. A Pebble of which part
// will never return is left alone, since it would wait for that part; it writes
// nothing any more.
func (s *Store) closeDB() error {
	s.fs.release()
	var errs []error
	if s.db != nil {
		closed := make(chan error, 1)
		go func() { closed <- s.db.Close() }()
		select {
		case err := <-closed:
			errs = append(errs, err)
		case <-s.fs.wedged:
		}
	}
	if s.cache != nil {
		s.cache.Unref()
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := s.fs.failed(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// onFail is called once, by whatever noticed, perhaps with Pebble's locks held.
func (s *Store) onFail(err error) {
	s.log.LogAttrs(context.Background(), slog.LevelError,
		"the store stopped writing; it goes on reading and must be restarted", slog.String("error", err.Error()))
	s.queue.refuse(s.failedError(err))
}

// onFull is called when a write begins to wait for space.
func (s *Store) onFull() {
	s.log.LogAttrs(context.Background(), slog.LevelError,
		"the disk is full; commits are refused until there is space", slog.String("dir", s.cfg.Dir))
	s.queue.refuse(errWaiting)
}

// Failed returns why the store takes no more commits until it is opened again,
// nil while it does.
func (s *Store) Failed() error { return s.fs.failed() }

// Stats is how a store stands.
type Stats struct {
	// Failed is why the store takes no more commits, nil while it does.
	Failed error
	// DiskBytes is what the database uses on disk, files about to be deleted
	// included.
	DiskBytes uint64
	// FreeBytes is the free space of its file system, zero when unknown, and
	// ReserveBytes what is kept of it.
	FreeBytes, ReserveBytes uint64
	// CacheBytes and MemTableBytes are what block cache and memtables take.
	CacheBytes    int64
	MemTableBytes uint64
	// Waiting is the number of commits that wait for a group.
	Waiting int
	// Logs is the number of organizations whose heads are in memory.
	Logs int
	// Receipts is the number of receipts kept, and ReceiptWindows that of the
	// windows they are in.
	Receipts, ReceiptWindows int
	// UnsealedEntries is how many entries of logs in use are rows and in no
	// block, DueEntries how many of them are in complete ranges or have waited
	// long enough, and are sealed next.
	UnsealedEntries, DueEntries uint64
	// IndexBytes and ColumnBytes are what headers and filters of blocks, and
	// their decoded columns, take in memory.
	IndexBytes, ColumnBytes int64
	// CompactionDebtBytes is how much table data waits to be compacted.
	CompactionDebtBytes uint64
	// BackgroundFailures is the number of failures to write tables in a row.
	BackgroundFailures int
}

// Stats returns how the store stands.
func (s *Store) Stats() Stats {
	_ = s.space.check(1) // for a fresh look
	m := s.db.Metrics()
	st := Stats{
		Failed:              s.fs.failed(),
		DiskBytes:           m.DiskSpaceUsage(),
		CacheBytes:          m.BlockCache.Size,
		MemTableBytes:       m.MemTable.Size,
		Waiting:             s.queue.len(),
		CompactionDebtBytes: m.Compact.EstimatedDebt,
		BackgroundFailures:  int(s.fs.setbacks.Load()),
	}
	st.FreeBytes, st.ReserveBytes = s.space.state()
	st.Receipts, st.ReceiptWindows = s.receipts.size()
	st.UnsealedEntries, st.DueEntries = s.sealer.stats(s.now())
	st.IndexBytes, st.ColumnBytes = s.blocks.used.Load(), s.blocks.readers.size()
	s.logs.mu.RLock()
	defer s.logs.mu.RUnlock()
	st.Logs = len(s.logs.logs)
	return st
}

// CachedBytes is what caches hold in the Go heap: headers, filters and decoded
// columns of blocks. The cache of table blocks is outside of it.
func (s *Store) CachedBytes() int64 { return s.blocks.used.Load() + s.blocks.readers.size() }

// makeDir makes the data directory, for its owner only, and has the directories
// above know it after a crash.
func makeDir(fs vfs.FS, dir string) error {
	var made []string
	for d := dir; ; d = fs.PathDir(d) {
		if _, err := fs.Stat(d); err == nil || d == fs.PathDir(d) {
			break
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("make data directory: %w", err)
		}
		made = append(made, d)
	}
	if len(made) == 0 {
		return nil
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	for _, d := range made {
		if err := syncDir(fs, fs.PathDir(d)); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
