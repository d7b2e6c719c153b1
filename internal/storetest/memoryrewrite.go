package storetest

import (
	"context"
	"errors"

	"github.com/stelehq/stele/internal/ledger"
)

var errNotBuilt = errors.New("rewriting logs is not built yet")

// Leaves implements [ledger.Store].
func (m *Memory) Leaves(context.Context, string, uint64, int) (ledger.Leaves, error) {
	return ledger.Leaves{}, errNotBuilt
}

// Rewrite implements [ledger.Store].
func (m *Memory) Rewrite(context.Context, *ledger.Rewrite) (ledger.Rewritten, error) {
	return ledger.Rewritten{}, errNotBuilt
}

// Scrub implements [ledger.Store].
func (m *Memory) Scrub(context.Context) error { return errNotBuilt }
