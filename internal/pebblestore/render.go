package pebblestore

import (
	"context"
	"fmt"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Render implements [search.Engine].
func (s *Store) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return search.RenderScan(ctx, s.Scan(ctx, org, q, from, to, desc), from, to, desc, render)
}

// Survey implements [search.Engine].
func (s *Store) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	return search.SurveyScan(ctx, s.Scan(ctx, org, q, from, to, false))
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
