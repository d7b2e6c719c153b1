package pebblestore

import (
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// snapshots knows which snapshots of the database are open: what they show is not
// given up.
type snapshots struct {
	mu   sync.Mutex
	last uint64
	live map[uint64]struct{} // by number, which grow
}

// snapshot is one of them.
type snapshot struct {
	*pebble.Snapshot
	of *snapshots
	n  uint64
}

// take takes a snapshot, which is closed.
func (l *snapshots) take(db *pebble.DB) *snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live == nil {
		l.live = map[uint64]struct{}{}
	}
	l.last++
	l.live[l.last] = struct{}{}
	return &snapshot{db.NewSnapshot(), l, l.last}
}

// Close gives the snapshot back.
func (s *snapshot) Close() error {
	err := s.Snapshot.Close()
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.live, s.n)
	return err
}

// newest returns the number of the newest snapshot that was taken, zero when there
// was none.
func (l *snapshots) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// oldest returns the number of the oldest that is open.
func (l *snapshots) oldest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := uint64(math.MaxUint64)
	for n := range l.live {
		oldest = min(oldest, n)
	}
	return oldest
}
