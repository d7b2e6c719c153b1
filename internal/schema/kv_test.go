package schema_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/stelehq/stele/internal/catalog"
)

// memKV is a catalog.KV in memory.
type memKV struct {
	mu      sync.Mutex
	records map[string]catalog.Record
	applied int // changes made, and
	refused int // those that were in conflict
	// before is called at the start of each Apply, without the lock.
	before func()
}

func newKV() *memKV { return &memKV{records: map[string]catalog.Record{}} }

func (kv *memKV) Get(_ context.Context, key string) (catalog.Record, error) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	rec, ok := kv.records[key]
	if !ok {
		return catalog.Record{}, catalog.ErrNotFound
	}
	return rec, nil
}

func (kv *memKV) Apply(_ context.Context, changes ...catalog.Change) error {
	if kv.before != nil {
		kv.before()
	}
	kv.mu.Lock()
	defer kv.mu.Unlock()
	for _, ch := range changes {
		if kv.records[ch.Key].Rev != ch.Rev {
			kv.refused++
			return catalog.ErrConflict
		}
	}
	for _, ch := range changes {
		kv.records[ch.Key] = catalog.Record{Key: ch.Key, Value: slices.Clone(ch.Value), Rev: ch.Rev + 1}
	}
	kv.applied++
	return nil
}

func (kv *memKV) List(_ context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	var out []catalog.Record
	for key, rec := range kv.records {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, rec)
		}
	}
	slices.SortFunc(out, func(a, b catalog.Record) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(limit, len(out))], nil
}
