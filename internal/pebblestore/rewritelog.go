package pebblestore

import (
	"context"
	"errors"

	"github.com/stelehq/stele/internal/ledger"
)

var errNotBuilt = errors.New("rewriting logs is not built yet")

// Leaves implements [ledger.Store].
func (s *Store) Leaves(context.Context, string, uint64, int) (ledger.Leaves, error) {
	return ledger.Leaves{}, errNotBuilt
}

// Rewrite implements [ledger.Store].
func (s *Store) Rewrite(context.Context, *ledger.Rewrite) (ledger.Rewritten, error) {
	return ledger.Rewritten{}, errNotBuilt
}

// Scrub implements [ledger.Store].
func (s *Store) Scrub(context.Context) error { return errNotBuilt }
