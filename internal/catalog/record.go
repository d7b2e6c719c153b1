package catalog

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"
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

// envelope is the stored form: the members of the record beside "v".
type envelope[T any] struct {
	V     int `json:"v"`
	Value T   `json:",embed"`
}

// Encode makes the stored form of a record: the JSON object of v with "v" in
// front. T is a struct without a marshaler of its own and without a member "v".
func Encode[T any](v T) ([]byte, error) {
	data, err := json.Marshal(envelope[T]{V: RecordVersion, Value: v}, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return data, nil
}

// Decode reads what Encode wrote. It refuses other versions and members it does
// not know, since writing the record back would lose them.
func Decode[T any](data []byte) (T, error) {
	var version struct {
		V int `json:"v"`
	}
	var none T
	if err := json.Unmarshal(data, &version); err != nil {
		return none, fmt.Errorf("decode record: %w", err)
	}
	if version.V != RecordVersion {
		return none, fmt.Errorf("decode record: version %d, this program knows version %d", version.V, RecordVersion)
	}
	var e envelope[T]
	if err := json.Unmarshal(data, &e, json.RejectUnknownMembers(true)); err != nil {
		return none, fmt.Errorf("decode record: %w", err)
	}
	return e.Value, nil
}

// Load reads the record under a key; ErrNotFound when there is none.
func Load[T any](ctx context.Context, kv KV, key string) (Stored[T], error) {
	rec, err := kv.Get(ctx, key)
	if err != nil {
		return Stored[T]{}, fmt.Errorf("load %s: %w", key, err)
	}
	return decodeRecord[T](rec)
}

func decodeRecord[T any](rec Record) (Stored[T], error) {
	v, err := Decode[T](rec.Value)
	if err != nil {
		return Stored[T]{}, fmt.Errorf("load %s: %w", rec.Key, err)
	}
	return Stored[T]{Key: rec.Key, Value: v, Rev: rec.Rev}, nil
}

// Put is the change that writes a record, to be applied together with others.
func Put[T any](key string, v T, rev uint64) (Change, error) {
	data, err := Encode(v)
	if err != nil {
		return Change{}, fmt.Errorf("put %s: %w", key, err)
	}
	return Change{Key: key, Value: data, Rev: rev}, nil
}

// Save writes one record at a revision; ErrConflict when it is at another.
// Durable when it returns nil.
func Save[T any](ctx context.Context, kv KV, key string, v T, rev uint64) error {
	change, err := Put(key, v, rev)
	if err != nil {
		return err
	}
	if err := kv.Apply(ctx, change); err != nil {
		return fmt.Errorf("save %s: %w", key, err)
	}
	return nil
}

// listPage is how many records All reads at once.
const listPage = 256

// All walks the records under a prefix in key order, from after on. It ends at
// the first error.
func All[T any](ctx context.Context, kv KV, prefix, after string) iter.Seq2[Stored[T], error] {
	return func(yield func(Stored[T], error) bool) {
		for {
			recs, err := kv.List(ctx, prefix, after, listPage)
			if err != nil {
				yield(Stored[T]{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, rec := range recs {
				s, err := decodeRecord[T](rec)
				if !yield(s, err) || err != nil {
					return
				}
			}
			if len(recs) < listPage {
				return
			}
			after = recs[len(recs)-1].Key
		}
	}
}
