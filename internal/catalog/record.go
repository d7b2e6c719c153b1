package catalog

import (
	"context"
	"iter"
)

// RecordVersion is written as "v" into every JSON record. A record with a
// greater one was written by a newer Stele and is refused.
const RecordVersion = 1

// Stored is a record as read, with the revision to write it back at.
type Stored[T any] struct {
	Key   string
	Value T
	Rev   uint64
}

// Encode makes the stored form of a record: the JSON object of the struct v with
// "v" in front.
func Encode[T any](v T) ([]byte, error) { panic("unfinished") }

// Decode reads what Encode wrote.
func Decode[T any](data []byte) (T, error) { panic("unfinished") }

// Load reads the record under a key; ErrNotFound when there is none.
func Load[T any](ctx context.Context, kv KV, key string) (Stored[T], error) { panic("unfinished") }

// Save writes one record at a revision, as [KV.Apply] does.
func Save[T any](ctx context.Context, kv KV, key string, v T, rev uint64) error { panic("unfinished") }

// Put is the change that writes a record, to be applied together with others.
func Put[T any](key string, v T, rev uint64) (Change, error) { panic("unfinished") }

// All walks the records under a prefix in key order, from after on. It ends at
// the first error.
func All[T any](ctx context.Context, kv KV, prefix, after string) iter.Seq2[Stored[T], error] {
	panic("unfinished")
}
