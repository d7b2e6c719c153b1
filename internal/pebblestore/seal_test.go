package pebblestore

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// sealingStore seals some or all of its rows after some of the commits, so that
// tests meet every mix of blocks and rows.
type sealingStore struct {
	*Store
	t   testing.TB
	mu  *sync.Mutex
	rng *rand.Rand
}

func (s sealingStore) Commit(ctx context.Context, c *ledger.Commit) error {
	if err := s.Store.Commit(ctx, c); err != nil {
		return err
	}
	s.mu.Lock()
	n := s.rng.IntN(4)
	s.mu.Unlock()
	log, err := s.logs.load(c.Organization, false)
	if err != nil {
		s.t.Error(err)
	}
	switch n {
	case 0:
		err = s.sealer.all(ctx, log)
	case 1:
		s.sealer.turn(log) // a complete range, if there is one
	}
	if err != nil && !log.dropping.Load() {
		s.t.Errorf("seal: %v", err)
	}
	return nil
}

func sealingSubject(t testing.TB, cfg Config) storetest.Subject {
	wrap := func(s *Store) storetest.Store {
		return sealingStore{s, t, &sync.Mutex{}, rand.New(rand.NewPCG(1, 2))}
	}
	s := mustOpen(t, cfg)
	return storetest.Subject{
		Store: wrap(s),
		Reopen: func(t testing.TB) storetest.Store {
			t.Helper()
			if list := problems(t, s); len(list) > 0 {
				t.Errorf("check: %v", list)
			}
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			s = mustOpen(t, cfg)
			return wrap(s)
		},
	}
}

// TestStoreSealed runs the suite on blocks and rows in every mix: ranges of
// 128 entries, sealed whole or in part at any time.
func TestStoreSealed(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Subject {
		cfg := testConfig(t, vfs.NewMem())
		cfg.rangeRows = 128
		return sealingSubject(t, cfg)
	})
}

// TestStoreSealing runs the suite while the sealer is at work in the background,
// with next to no room for headers, filters and columns in memory.
func TestStoreSealing(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Subject {
		cfg := testConfig(t, vfs.NewMem())
		cfg.rangeRows, cfg.sealByHand = 128, false
		cfg.IndexBytes, cfg.ColumnBytes = 16<<10, 64<<10
		return subject(t, cfg)
	})
}

// TestSealKeepsToRanges seals what has become more than a range since the sealer
// looked: no block has entries of two ranges, since these have different keys.
func TestSealKeepsToRanges(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.rangeRows = 16
	s := mustOpen(t, cfg)
	l := storetest.NewLog("org")
	addRows(t, s, l, 1, 10)
	log, err := s.logs.load("org", false)
	if err != nil {
		t.Fatal(err)
	}
	s.sealer.seal(log, l.Head.Size)
	addRows(t, s, l, 2, 30)
	s.sealer.seal(log, l.Head.Size)
	s.sealer.seal(log, l.Head.Size)
	s.sealer.seal(log, l.Head.Size)
	view, err := s.blocks.view(log)
	if err != nil {
		t.Fatal(err)
	}
	var ends []uint64
	for _, b := range view.blocks {
		ends = append(ends, b.end())
	}
	if want := []uint64{16, 32, 40}; !slices.Equal(ends, want) {
		t.Errorf("blocks end at %d, want %d", ends, want)
	}
	storetest.CheckLog(t, s, l)
}
