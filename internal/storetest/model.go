package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
)

// testModel does random things to a store and to the reference store, and
// compares what comes back.
func (s suite) testModel(t *testing.T) {
	subject := s.open(t)
	store := subject.Store
	rapid.Check(t, func(rt *rapid.T) {
		prefix := s.org()
		m := &model{got: store, want: NewMemory(), logs: map[string]*Log{}, prefix: prefix}
		for _, name := range []string{"", "a", ".a"} {
			m.orgs = append(m.orgs, prefix+name)
			m.logs[prefix+name] = NewLog(prefix + name)
		}
		actions := map[string]func(*rapid.T){"commit": m.commit, "stale": m.stale, "drop": m.drop, "kv": m.change, "": m.check}
		if subject.Reopen != nil {
			actions["reopen"] = func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
					store = subject.Reopen(t)
					m.got = store
				}
			}
		}
		rt.Repeat(actions)
	})
}

type model struct {
	got, want Store
	logs      map[string]*Log
	orgs      []string
	prefix    string
	commits   int
	dropped   []ledger.KeyedReceipt
	droppedOf string
}

func (m *model) log(t *rapid.T) *Log { return m.logs[rapid.SampledFrom(m.orgs).Draw(t, "org")] }

// both does the same to both stores, which must answer the same.
func (m *model) both(t *rapid.T, what string, fn func(s Store) error) error {
	got, want := fn(m.got), fn(m.want)
	if (got == nil) != (want == nil) || want != nil && !errors.Is(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
	return want
}

func (m *model) commit(t *rapid.T) {
	l := m.log(t)
	n := rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 700)).Draw(t, "rows")
	m.commits++
	c := l.Next(int64(m.commits), MakeEvents(fmt.Sprint(m.commits), n), withKeys(l.Org, fmt.Sprint(m.commits, "-")))
	if rapid.Bool().Draw(t, "no keys") {
		c.Receipts = nil
	}
	if err := m.both(t, "commit", func(s Store) error { return s.Commit(t.Context(), c) }); err == nil {
		l.Add(c)
	}
}

// stale commits where the log has been or will be.
func (m *model) stale(t *rapid.T) {
	l := m.log(t)
	other := NewLog(l.Org)
	commitTo := rapid.IntRange(0, 3).Draw(t, "size")
	if uint64(commitTo) == l.Head.Size { //nolint:gosec // small
		return
	}
	if commitTo > 0 {
		other.Add(other.Next(1, MakeEvents("other", commitTo), nil))
	}
	c := other.Next(1, MakeEvents("other", 1), withKeys(l.Org, "stale"))
	if err := m.both(t, "stale commit", func(s Store) error { return s.Commit(t.Context(), c) }); !errors.Is(err, ledger.ErrHeadMoved) {
		t.Fatalf("commit at %d of a log of %d: %v", c.Prev, l.Head.Size, err)
	}
}

func (m *model) drop(t *rapid.T) {
	l := m.log(t)
	if err := m.both(t, "drop", func(s Store) error { return s.Drop(t.Context(), l.Org) }); err == nil {
		m.dropped, m.droppedOf = l.Receipts, l.Org
		m.logs[l.Org] = NewLog(l.Org)
	}
}

func (m *model) change(t *rapid.T) {
	keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "c"}), 1, 3).Draw(t, "keys")
	var changes []catalog.Change
	for _, key := range keys {
		changes = append(changes, catalog.Change{
			Key:    m.prefix + "/" + key,
			Rev:    rapid.Uint64Range(0, 3).Draw(t, "rev"),
			Value:  []byte(rapid.String().Draw(t, "value")),
			Delete: rapid.IntRange(0, 3).Draw(t, "delete") == 0,
		})
	}
	_ = m.both(t, "change", func(s Store) error { return s.Apply(t.Context(), changes...) }) // compared there
}

func (m *model) check(t *rapid.T) {
	for _, org := range m.orgs {
		CheckLog(t, m.got, m.logs[org])
	}
	for _, r := range m.dropped {
		if _, err := m.got.Receipt(t.Context(), m.droppedOf, r.Key); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("receipt of a dropped log: %v", err)
		}
	}
	got, gotErr := m.got.List(t.Context(), m.prefix+"/", "", math.MaxInt)
	want, wantErr := m.want.List(t.Context(), m.prefix+"/", "", math.MaxInt)
	if err := errors.Join(gotErr, wantErr); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("records (-want +got):\n%s", diff)
	}
}
