package pebblestore

import (
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/ledger"
)

// The file system is asked for its free space again after lookEvery, or sooner
// when lookBytes were written.
const (
	lookEvery = time.Second
	lookBytes = 16 << 20
)

// space keeps a reserve of free space: Pebble must be able to flush and compact
// what was already accepted.
type space struct {
	fs      vfs.FS
	dir     string
	now     func() time.Time
	reserve uint64

	mu     sync.Mutex
	looked time.Time
	known  bool
	free   uint64
	spent  uint64 // since looked
}

// check returns ledger.ErrDiskFull when less than the reserve, divided by share,
// is free. A file system that does not tell is never full here.
func (s *space) check(share uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve == 0 {
		return nil
	}
	now := s.now()
	if s.looked.IsZero() || s.spent >= lookBytes || now.Sub(s.looked).Abs() >= lookEvery {
		s.look(now)
	}
	if need := s.reserve / share; s.known && s.left() < need {
		return fmt.Errorf("%w: %d MiB are free, less than the reserve of %d MiB", ledger.ErrDiskFull, s.left()>>20, need>>20)
	}
	return nil
}

func (s *space) look(now time.Time) {
	usage, err := s.fs.GetDiskUsage(s.dir)
	s.looked, s.spent = now, 0
	s.known = err == nil
	s.free = usage.AvailBytes
}

func (s *space) left() uint64 { return s.free - min(s.free, s.spent) }

// spend counts what was written.
func (s *space) spend(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent += uint64(n) //nolint:gosec // a length
}

// state returns what is free, as far as known, and the reserve.
func (s *space) state() (free, reserve uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return 0, s.reserve
	}
	return s.left(), s.reserve
}

// Room says whether there is room for n bytes that somebody else is about to
// write to the store's file system, and counts them. The answer is
// ledger.ErrDiskFull when less than twice the reserve is free: a file that can be
// made again must not be what brings commits to be refused.
func (s *Store) Room(n int64) error {
	s.space.spend(int(n))
	if err := s.space.check(1); err != nil {
		return err
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	if left := s.space.left(); s.space.known && left < 2*s.space.reserve {
		return fmt.Errorf("%w: %d MiB are free, less than twice the reserve of %d MiB", ledger.ErrDiskFull, left>>20, s.space.reserve>>20)
	}
	return nil
}
