package storetest

import (
	"context"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// Store is everything a storage adapter provides.
type Store interface {
	ledger.Store
	search.Engine
	catalog.KV
}

// Fault is how a commit of the memory store fails.
type Fault struct {
	// Err is what Commit returns; nil for no fault.
	Err error
	// Landed makes the commit take effect all the same.
	Landed bool
}

// Memory is the reference store: slices and maps under one mutex.
type Memory struct {
	// OnCommit, when not nil, is asked before each commit whether it fails.
	// It is set before the store is used.
	OnCommit func(c *ledger.Commit) Fault
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{} }

// Head implements [ledger.Store].
func (m *Memory) Head(ctx context.Context, org string) (ledger.Head, error) { panic("unfinished") }

// Commit implements [ledger.Store].
func (m *Memory) Commit(ctx context.Context, c *ledger.Commit) error { panic("unfinished") }

// Receipt implements [ledger.Store].
func (m *Memory) Receipt(ctx context.Context, org string, key ledger.Key) (ledger.Receipt, error) {
	panic("unfinished")
}

// Read implements [ledger.Store].
func (m *Memory) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Tile implements [ledger.Store].
func (m *Memory) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error) {
	panic("unfinished")
}

// Keys implements [ledger.Store].
func (m *Memory) Keys(ctx context.Context, org string, block uint64) (event.Keys, error) {
	panic("unfinished")
}

// Drop implements [ledger.Store].
func (m *Memory) Drop(ctx context.Context, org string) error { panic("unfinished") }

// Search implements [search.Engine].
func (m *Memory) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	panic("unfinished")
}

// Scan implements [search.Engine].
func (m *Memory) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	panic("unfinished")
}

// Histogram implements [search.Engine].
func (m *Memory) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	panic("unfinished")
}

// Facets implements [search.Engine].
func (m *Memory) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	panic("unfinished")
}

// Get implements [catalog.KV].
func (m *Memory) Get(ctx context.Context, key string) (catalog.Record, error) { panic("unfinished") }

// Apply implements [catalog.KV].
func (m *Memory) Apply(ctx context.Context, changes ...catalog.Change) error { panic("unfinished") }

// List implements [catalog.KV].
func (m *Memory) List(ctx context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	panic("unfinished")
}
