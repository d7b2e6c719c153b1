package pebblestore

import (
	"context"
	"fmt"
)

// Scrub implements [ledger.Store].
func (s *Store) Scrub(ctx context.Context) error {
	if err := s.stopped(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	for _, kind := range []byte(logKinds + "m") {
		if err := s.db.Compact(ctx, []byte{kind}, []byte{kind + 1}, false); err != nil {
			return fmt.Errorf("scrub: %w", err)
		}
	}
	return nil
}
