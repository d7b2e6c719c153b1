package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// The signing key of all tests: it must outlive a ledger.
const serverName = "log.example.com"

var testKey = func() string {
	key, err := ledger.GenerateKey(serverName)
	if err != nil {
		panic(err)
	}
	return key
}()

// faultyStore is the reference store that fails as it is told. Its hooks are
// called without a lock, so they may block.
type faultyStore struct {
	*storetest.Memory
	onCommit  func(c *ledger.Commit) (landed bool, err error) // nil error: commit as usual
	onHead    func() error
	onReceipt func() error
	onApply   func() error
}

func newStore() *faultyStore { return &faultyStore{Memory: storetest.NewMemory()} }

func (s *faultyStore) Head(ctx context.Context, org string) (ledger.Head, error) {
	if s.onHead != nil {
		if err := s.onHead(); err != nil {
			return ledger.Head{}, err
		}
	}
	return s.Memory.Head(ctx, org)
}

func (s *faultyStore) Commit(ctx context.Context, c *ledger.Commit) error {
	if s.onCommit != nil {
		if landed, err := s.onCommit(c); err != nil {
			if landed {
				if err := s.Memory.Commit(ctx, c); err != nil {
					panic(err)
				}
			}
			return err
		}
	}
	return s.Memory.Commit(ctx, c)
}

func (s *faultyStore) Receipt(ctx context.Context, org string, key ledger.Key) (ledger.Receipt, error) {
	if s.onReceipt != nil {
		if err := s.onReceipt(); err != nil {
			return ledger.Receipt{}, err
		}
	}
	return s.Memory.Receipt(ctx, org, key)
}

// Apply implements catalog.KV.
func (s *faultyStore) Apply(ctx context.Context, changes ...catalog.Change) error {
	if s.onApply != nil {
		if err := s.onApply(); err != nil {
			return err
		}
	}
	return s.Memory.Apply(ctx, changes...)
}

// keys returns the keys of a block, which must exist.
func (s *faultyStore) keys(t testing.TB, org string, block uint64) event.Keys {
	t.Helper()
	k, err := s.Keys(t.Context(), org, block)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// record returns a record of the KV, which must exist.
func (s *faultyStore) record(t testing.TB, key string) catalog.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// put overwrites a record of the KV.
func (s *faultyStore) put(t testing.TB, key string, value []byte) {
	t.Helper()
	if err := s.Apply(t.Context(), catalog.Change{Key: key, Value: value, Rev: s.record(t, key).Rev}); err != nil {
		t.Fatal(err)
	}
}

// copy returns a store with a copy of a log, whose rows are shared.
func (s *faultyStore) copy(t testing.TB, org string) *faultyStore {
	t.Helper()
	out := newStoreOf(t, 1) // so that there is a log to be replaced
	s.Damage(org, func(log *rawLog) {
		out.Damage("acme", func(to *rawLog) {
			*to = rawLog{
				Head: log.Head, Rows: slices.Clone(log.Rows), ReceivedAt: slices.Clone(log.ReceivedAt),
				Nodes: maps.Clone(log.Nodes), Keys: maps.Clone(log.Keys), Receipts: maps.Clone(log.Receipts),
			}
			to.Head.Frontier = slices.Clone(log.Head.Frontier)
		})
	})
	return out
}

// rawLog is what the reference store keeps of a log.
type rawLog = storetest.RawLog

// clock is a clock that tests set.
type clock struct{ ms int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms) }

// open opens a ledger on a store and closes it with the test.
func open(t testing.TB, s *faultyStore, change ...func(*ledger.Config)) *ledger.Ledger {
	t.Helper()
	cfg := ledger.Config{Store: s, KV: s, Signer: testKey, Logger: slog.New(slog.DiscardHandler)}
	for _, fn := range change {
		fn(&cfg)
	}
	l, err := ledger.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// logTo returns a Config change that collects what the operator is told.
func logTo(buf *bytes.Buffer) func(*ledger.Config) {
	return func(c *ledger.Config) { c.Logger = slog.New(slog.NewTextHandler(buf, nil)) }
}

func at(c *clock) func(*ledger.Config) {
	return func(cfg *ledger.Config) { cfg.Now = c.now }
}

// newEvent makes a small event; n tells events apart.
func newEvent(n int, key string) *event.Event {
	return &event.Event{
		Action: []byte("api_key.created"), Version: 1,
		OccurredAt:     1_772_000_000_000_000_000 + int64(n)*1_000_000,
		Actor:          event.Party{Type: []byte("user"), ID: fmt.Appendf(nil, "u%d", n%7), Name: []byte("Ada")},
		Targets:        []event.Party{{Type: []byte("api_key"), ID: fmt.Appendf(nil, "k%d", n)}},
		Location:       []byte("203.0.113.7"),
		IdempotencyKey: []byte(key),
	}
}

// newBatch makes a batch of n events numbered from first, without keys.
func newBatch(t testing.TB, org string, first, n int) *ledger.Batch {
	t.Helper()
	b := ledger.NewBatch(org)
	for i := range n {
		add(t, b, newEvent(first+i, ""))
	}
	return b
}

func add(t testing.TB, b *ledger.Batch, events ...*event.Event) {
	t.Helper()
	for _, ev := range events {
		if err := b.Add(ev); err != nil {
			t.Fatal(err)
		}
	}
}

// record appends n events and fails the test if that fails.
func record(t testing.TB, l *ledger.Ledger, org string, first, n int) ledger.Result {
	t.Helper()
	res, err := l.Append(t.Context(), newBatch(t, org, first, n))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// treeOf hashes records the way golang.org/x/mod/sumdb/tlog does and returns the
// root of each size.
type treeOf struct {
	hashes []tlog.Hash
	size   int64
}

func (m *treeOf) add(t testing.TB, rec []byte) {
	t.Helper()
	hs, err := tlog.StoredHashes(m.size, rec, m.reader())
	if err != nil {
		t.Fatal(err)
	}
	m.hashes = append(m.hashes, hs...)
	m.size++
}

func (m *treeOf) reader() tlog.HashReaderFunc {
	return func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = m.hashes[x]
		}
		return out, nil
	}
}

func (m *treeOf) root(t testing.TB) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(m.size, m.reader())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// fault returns err as an audit.Error, and fails the test unless it has this
// code.
func fault(t testing.TB, err error, code audit.Code) *audit.Error {
	t.Helper()
	var e *audit.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got error %v, want one with code %s", err, code)
	}
	return e
}

// wantCode fails the test unless err is an audit.Error with this code.
func wantCode(t testing.TB, err error, code audit.Code) {
	t.Helper()
	_ = fault(t, err, code)
}

// verify holds a log to its promises: its entries are contiguous and monotonic,
// its root is what tlog says, every entry (every 61st of a long log) has a proof
// that the audit package accepts, and Check finds nothing. It returns the
// entries.
func verify(t testing.TB, l *ledger.Ledger, org string) []*event.Entry {
	t.Helper()
	ctx := t.Context()
	head, err := l.Head(ctx, org)
	if err != nil {
		t.Fatal(err)
	}
	var entries []*event.Entry
	var tree treeOf
	for e, err := range l.Read(ctx, org, 0, head.Size) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != uint64(len(entries)) {
			t.Fatalf("%s: entry %d follows entry %d", org, e.Seq, len(entries)-1)
		}
		if n := len(entries); n > 0 {
			if last := entries[n-1]; e.ReceivedAt < last.ReceivedAt || e.ID.String() <= last.ID.String() {
				t.Fatalf("%s: entry %d (%s, %d) is not after the one before (%s, %d)", org, e.Seq, e.ID, e.ReceivedAt, last.ID, last.ReceivedAt)
			}
		}
		tree.add(t, e.AppendRecord(nil))
		entries = append(entries, e.Clone())
	}
	if uint64(len(entries)) != head.Size {
		t.Fatalf("%s: %d entries, head says %d", org, len(entries), head.Size)
	}
	if got, want := head.Root(), tree.root(t); got != want {
		t.Fatalf("%s: root of %d entries is %v, tlog says %v", org, head.Size, got, want)
	}
	step := 1
	if len(entries) > 1500 {
		step = 61
	}
	v, err := audit.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	for seq := 0; seq < len(entries); seq += step {
		verifyProof(t, l, v, org, entries[seq])
	}
	verifyChecked(t, l, org)
	return entries
}

func verifyProof(t testing.TB, l *ledger.Ledger, v *audit.Verifier, org string, e *event.Entry) {
	t.Helper()
	p, err := l.Prove(t.Context(), org, e.Seq)
	if err != nil {
		t.Fatalf("%s: %v", org, err)
	}
	cp, err := p.Verify(v)
	if err != nil {
		t.Fatalf("%s: proof of entry %d: %v", org, e.Seq, err)
	}
	if cp.Size <= e.Seq || cp.Origin != serverName+"/"+org || p.Entry.ID != e.ID.String() {
		t.Fatalf("%s: proof of entry %d is of %s in %v", org, e.Seq, p.Entry.ID, cp)
	}
}

func verifyChecked(t testing.TB, l *ledger.Ledger, org string) {
	t.Helper()
	res, err := l.Check(t.Context(), org, func(p ledger.Problem) { t.Errorf("%s: check: %s", org, p.What) })
	if err != nil || res.Problems != 0 || res.Entries != res.Head.Size {
		t.Fatalf("%s: check: %+v, %v", org, res, err)
	}
}
