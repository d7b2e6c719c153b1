package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"

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
	// SetKeeper has the methods of search.Engine show what the Keeper says is
	// kept; everything without one. It is called before the store is used.
	SetKeeper(k search.Keeper)
	// ScanStored is search.Engine's Scan in seq order over all that the store has:
	// entries that the Keeper hides are among them as long as they are not removed.
	// Nothing of it is for whoever reads a log: erasure is.
	ScanStored(ctx context.Context, org string, q audit.Query, from, to uint64) iter.Seq2[*event.Entry, error]
}

// Fault is how a commit of the memory store fails.
type Fault struct {
	// Err is what Commit returns; nil for no fault.
	Err error
	// Landed makes the commit take effect all the same.
	Landed bool
}

// Memory is the reference store: maps and slices under one mutex. It forgets
// nothing but what is dropped, removed or erased.
type Memory struct {
	// OnCommit, when not nil, is asked before each commit that would succeed
	// whether it fails. It is set before the store is used.
	OnCommit func(c *ledger.Commit) Fault

	engine search.Scanner

	mu      sync.Mutex
	logs    map[string]*RawLog
	records map[string]catalog.Record
}

var _ Store = (*Memory)(nil)

// RawLog is what the memory store keeps of one log.
type RawLog struct {
	Head ledger.Head
	// Rows and ReceivedAt (Unix milliseconds) are by seq. A nil row is missing.
	Rows       [][]byte
	ReceivedAt []int64
	Nodes      map[NodeID]tlog.Hash
	Keys       map[uint64]event.Keys
	Receipts   map[ledger.Key]ledger.Receipt
	// Marks, by seq, are those of ranges that were rewritten. Kept, by tile,
	// are the hashes left of tiles whose entries were all removed.
	Marks map[uint64]Mark
	Kept  map[uint64][]ledger.Subtree
}

// NodeID is the place of a hash in the tiles.
type NodeID struct {
	Level int
	Index uint64
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{logs: map[string]*RawLog{}, records: map[string]catalog.Record{}}
	m.engine = search.Scanner{Head: m.size, Read: m.entries}
	return m
}

// Damage lets a test change what the store keeps of a log, which must exist.
func (m *Memory) Damage(org string, change func(*RawLog)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.logs[org])
}

// Head implements [ledger.Store].
func (m *Memory) Head(ctx context.Context, org string) (ledger.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.logs[org]
	if log == nil {
		return ledger.Head{}, ctx.Err()
	}
	return cloneHead(log.Head), ctx.Err()
}

func cloneHead(h ledger.Head) ledger.Head {
	h.Frontier = slices.Clone(h.Frontier)
	return h
}

// Commit implements [ledger.Store].
func (m *Memory) Commit(ctx context.Context, c *ledger.Commit) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(c.Rows) == 0 || c.Head.Size != c.Prev+uint64(len(c.Rows)) || len(c.Head.Frontier) != bits.OnesCount64(c.Head.Size) {
		return fmt.Errorf("commit: %d rows from size %d to %d, frontier of %d", len(c.Rows), c.Prev, c.Head.Size, len(c.Head.Frontier))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.logs[c.Organization]
	if log == nil {
		log = newRawLog()
	}
	if log.Head.Size != c.Prev {
		return ledger.ErrHeadMoved
	}
	var fault Fault
	if m.OnCommit != nil {
		fault = m.OnCommit(c)
	}
	if fault.Err == nil || fault.Landed {
		log.append(c)
		m.logs[c.Organization] = log
	}
	return fault.Err
}

func newRawLog() *RawLog {
	return &RawLog{
		Nodes: map[NodeID]tlog.Hash{}, Keys: map[uint64]event.Keys{}, Receipts: map[ledger.Key]ledger.Receipt{},
		Marks: map[uint64]Mark{}, Kept: map[uint64][]ledger.Subtree{},
	}
}

func (l *RawLog) append(c *ledger.Commit) {
	for _, row := range c.Rows {
		l.Rows = append(l.Rows, append([]byte{}, row...))
		l.ReceivedAt = append(l.ReceivedAt, c.ReceivedAt)
	}
	for _, n := range c.Nodes {
		l.Nodes[NodeID{n.Level, n.Index}] = n.Hash
	}
	for _, b := range c.Blocks {
		l.Keys[b.Block] = b.Keys
	}
	for _, r := range c.Receipts {
		l.Receipts[r.Key] = r.Receipt
	}
	l.Head = cloneHead(c.Head)
}

// Receipt implements [ledger.Store].
func (m *Memory) Receipt(ctx context.Context, org string, key ledger.Key) (ledger.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if log := m.logs[org]; log != nil {
		if r, ok := log.Receipts[key]; ok {
			return r, ctx.Err()
		}
	}
	return ledger.Receipt{}, errors.Join(ctx.Err(), ledger.ErrNotFound)
}

// Read implements [ledger.Store].
func (m *Memory) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	return m.entries(ctx, org, from, to, false)
}

func (m *Memory) entries(ctx context.Context, org string, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		log := m.snapshot(org)
		var e event.Entry
		to := min(to, uint64(len(log.Rows)))
		for i := from; i < to; i++ {
			seq := i
			if desc {
				seq = to - 1 - (i - from)
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if log.Marks[seq].Removed {
				continue
			}
			if err := log.entry(seq, &e); err != nil {
				yield(nil, &damagedError{org, seq, err})
				return
			}
			if !yield(&e, nil) {
				return
			}
		}
	}
}

// damagedError is a ledger.DamageError about one entry.
type damagedError struct {
	org string
	seq uint64
	err error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("organization %q, entry %d: %v", e.org, e.seq, e.err)
}

func (e *damagedError) Unwrap() error { return e.err }

// Entries implements [ledger.DamageError].
func (e *damagedError) Entries() (from, to uint64) { return e.seq, e.seq + 1 }

// snapshot returns a log that does not change: what is shared is replaced when it
// changes, or appended to.
func (m *Memory) snapshot(org string) RawLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.logs[org]
	if log == nil {
		return RawLog{}
	}
	return RawLog{
		Head: cloneHead(log.Head), Rows: log.Rows, ReceivedAt: log.ReceivedAt, Keys: maps.Clone(log.Keys),
		Marks: log.Marks, Kept: log.Kept,
	}
}

func (l *RawLog) entry(seq uint64, e *event.Entry) error {
	keys, ok := l.Keys[seq/ledger.BlockSize]
	if !ok || l.Rows[seq] == nil {
		return errMissingRow
	}
	if err := event.DecodeRow(l.Rows[seq], &e.Event); err != nil {
		return fmt.Errorf("decode row: %w", err)
	}
	c := keys.Cipher()
	e.Seq, e.ReceivedAt = seq, l.ReceivedAt[seq]
	e.ID, e.Salt = c.ID(e.ReceivedAt, seq), c.Salt(seq)
	e.ErasedAt, e.Digest = 0, [32]byte{}
	if m, ok := l.Marks[seq]; ok {
		e.Salt, e.ErasedAt, e.Digest = m.Salt, m.ErasedAt, m.Digest
	}
	return nil
}

// Tile implements [ledger.Store].
func (m *Memory) Tile(ctx context.Context, org string, level int, index uint64, width int) ([]tlog.Hash, error) {
	if level < 1 || width < 1 || width > ledger.TileWidth {
		return nil, fmt.Errorf("tile of level %d and width %d", level, width)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.logs[org]
	if log == nil {
		return nil, errors.Join(ctx.Err(), ledger.ErrNotFound)
	}
	hashes := make([]tlog.Hash, width)
	for i := range hashes {
		h, ok := log.Nodes[NodeID{level, index*ledger.TileWidth + uint64(i)}]
		if !ok {
			return nil, errors.Join(ctx.Err(), ledger.ErrNotFound)
		}
		hashes[i] = h
	}
	return hashes, ctx.Err()
}

// Keys implements [ledger.Store].
func (m *Memory) Keys(ctx context.Context, org string, block uint64) (event.Keys, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if log := m.logs[org]; log != nil {
		if k, ok := log.Keys[block]; ok {
			return k, ctx.Err()
		}
	}
	return event.Keys{}, errors.Join(ctx.Err(), ledger.ErrNotFound)
}

// Drop implements [ledger.Store].
func (m *Memory) Drop(ctx context.Context, org string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.logs, org)
	return nil
}

// Search implements [search.Engine].
func (m *Memory) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	return m.engine.Search(ctx, org, r)
}

// Scan implements [search.Engine].
func (m *Memory) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return m.engine.Scan(ctx, org, q, from, to, desc)
}

// Render implements [search.Engine].
func (m *Memory) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return m.engine.Render(ctx, org, q, from, to, desc, render)
}

// Survey implements [search.Engine].
func (m *Memory) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	return m.engine.Survey(ctx, org, q, from, to)
}

// Histogram implements [search.Engine].
func (m *Memory) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	return m.engine.Histogram(ctx, org, q, iv)
}

// Facets implements [search.Engine].
func (m *Memory) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	return m.engine.Facets(ctx, org, q, field, limit)
}

// First implements [search.Engine].
func (m *Memory) First(ctx context.Context, org string) (uint64, error) {
	return m.engine.First(ctx, org)
}

// SetKeeper implements [Store].
func (m *Memory) SetKeeper(k search.Keeper) { m.engine.Keep = k }

// ScanStored implements [Store].
func (m *Memory) ScanStored(ctx context.Context, org string, q audit.Query, from, to uint64) iter.Seq2[*event.Entry, error] {
	engine := m.engine
	engine.Keep = nil
	return engine.Scan(ctx, org, q, from, to, false)
}

func (m *Memory) size(ctx context.Context, org string) (uint64, int64, error) {
	h, err := m.Head(ctx, org)
	return h.Size, h.ReceivedAt, err
}

// Get implements [catalog.KV].
func (m *Memory) Get(ctx context.Context, key string) (catalog.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[key]
	if !ok {
		return catalog.Record{}, errors.Join(ctx.Err(), catalog.ErrNotFound)
	}
	return cloneRecord(r), ctx.Err()
}

func cloneRecord(r catalog.Record) catalog.Record {
	r.Value = append([]byte{}, r.Value...)
	return r
}

// Apply implements [catalog.KV].
func (m *Memory) Apply(ctx context.Context, changes ...catalog.Change) error {
	for i := range changes {
		if err := errors.Join(ctx.Err(), checkChange(&changes[i])); err != nil {
			return fmt.Errorf("change records: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	records := maps.Clone(m.records)
	for _, c := range changes {
		if records[c.Key].Rev != c.Rev {
			return catalog.ErrConflict
		}
		if c.Delete {
			delete(records, c.Key)
			continue
		}
		records[c.Key] = cloneRecord(catalog.Record{Key: c.Key, Value: c.Value, Rev: c.Rev + 1})
	}
	m.records = records
	return nil
}

func checkChange(c *catalog.Change) error {
	if c.Key == "" || len(c.Key) > 512 || strings.Contains(c.Key, "\x00") || len(c.Value) > 1<<20 {
		return fmt.Errorf("record with a key of %d bytes and a value of %d", len(c.Key), len(c.Value))
	}
	return nil
}

// List implements [catalog.KV].
func (m *Memory) List(ctx context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []catalog.Record
	for key, r := range m.records {
		if strings.HasPrefix(key, prefix) && key > after {
			list = append(list, cloneRecord(r))
		}
	}
	slices.SortFunc(list, func(a, b catalog.Record) int { return cmp.Compare(a.Key, b.Key) })
	return list[:min(len(list), max(limit, 0))], ctx.Err()
}
