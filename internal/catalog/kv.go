// Package catalog keeps the small records beside the logs: organizations, keys,
// schemas and exports. They live in a compare-and-set key-value store which
// each storage adapter provides.
package catalog

import (
	"context"
	"errors"
)

// Errors of a KV.
var (
	// ErrNotFound says that there is no record under the key.
	ErrNotFound = errors.New("record not found")
	// ErrConflict says that the record is not at the revision named: nothing
	// was written.
	ErrConflict = errors.New("record changed meanwhile")
)

// KV is a small, durable, compare-and-set store. Keys are UTF-8 without NUL, up
// to 512 bytes; values up to 1 MiB. All methods may be called concurrently.
type KV interface {
	// Get returns the record under a key, or ErrNotFound. The value is the
	// caller's to keep.
	Get(ctx context.Context, key string) (Record, error)
	// Apply makes all changes or, with ErrConflict, none. Durable when it
	// returns nil.
	Apply(ctx context.Context, changes ...Change) error
	// List returns up to limit records whose key begins with prefix and is
	// greater than after, in key order.
	List(ctx context.Context, prefix, after string, limit int) ([]Record, error)
}

// Record is a stored value at a revision. Revisions of a key grow with each
// change and begin at 1.
type Record struct {
	Key   string
	Value []byte
	Rev   uint64
}

// Change writes or, when Delete, removes one record. It applies only while the
// record is at Rev; Rev 0 means that it must not exist.
type Change struct {
	Key    string
	Value  []byte
	Rev    uint64
	Delete bool
}
