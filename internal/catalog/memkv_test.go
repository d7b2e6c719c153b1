package catalog

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// memKV is a KV in memory whose writes can be made to fail, before they are
// made or after.
type memKV struct {
	mu      sync.Mutex
	records map[string]Record
	// before and after are called around each Apply when set; their error is
	// Apply's.
	before, after func([]Change) error
	// onGet is called before each Get when set.
	onGet func(key string)
	gets  int
}

func newMemKV() *memKV { return &memKV{records: map[string]Record{}} }

func (m *memKV) Get(_ context.Context, key string) (Record, error) {
	if m.onGet != nil {
		m.onGet(key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	rec, ok := m.records[key]
	if !ok {
		return Record{}, ErrNotFound
	}
	rec.Value = slices.Clone(rec.Value)
	return rec, nil
}

func (m *memKV) Apply(_ context.Context, changes ...Change) error {
	if m.before != nil {
		if err := m.before(changes); err != nil {
			return err
		}
	}
	if err := m.apply(changes); err != nil {
		return err
	}
	if m.after != nil {
		return m.after(changes)
	}
	return nil
}

func (m *memKV) apply(changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range changes {
		if seen[c.Key] {
			panic("two changes of " + c.Key)
		}
		seen[c.Key] = true
		if m.records[c.Key].Rev != c.Rev {
			return ErrConflict
		}
	}
	for _, c := range changes {
		if c.Delete {
			delete(m.records, c.Key)
			continue
		}
		m.records[c.Key] = Record{Key: c.Key, Value: slices.Clone(c.Value), Rev: c.Rev + 1}
	}
	return nil
}

func (m *memKV) List(_ context.Context, prefix, after string, limit int) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Record
	for key, rec := range m.records {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(limit, len(out))], nil
}

// keys are the present keys under a prefix.
func (m *memKV) keys(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for key := range m.records {
		if strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
