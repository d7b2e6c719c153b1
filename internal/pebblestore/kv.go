package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
)

const (
	maxRecordKey   = 512
	maxRecordValue = 1 << 20
)

// records are the records of the catalog.
type records struct {
	db        *pebble.DB
	snapshots *snapshots

	// mu guards what follows. It is held for moments, never over a write: a
	// write may wait for space, and reading goes on then.
	mu sync.RWMutex
	// before is what readers see while a group with changes is being written,
	// since Pebble shows a batch before its sync ends; nil at other times. The
	// committer sets and closes it, readers use it under mu.
	before *snapshot
	// unknown are the keys whose last change failed: what is there shows only
	// after the store was opened again.
	unknown map[string]bool
}

var errUnknown = errors.New("whether the last change landed shows after a restart")

// Get implements [catalog.KV].
func (s *Store) Get(ctx context.Context, key string) (catalog.Record, error) {
	if err := errors.Join(ctx.Err(), checkRecordKey(key)); err != nil {
		return catalog.Record{}, fmt.Errorf("get record: %w", err)
	}
	s.kv.mu.RLock()
	defer s.kv.mu.RUnlock()
	if s.kv.unknown[key] {
		return catalog.Record{}, fmt.Errorf("get record %q: %w", key, errUnknown)
	}
	record, err := readRecord(s.kv.durable(), key)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return catalog.Record{}, fmt.Errorf("get record %q: %w", key, err)
	}
	return record, err
}

// freeze lets readers see the records as they are now, until thaw.
func (r *records) freeze() {
	before := r.snapshots.take(r.db)
	r.mu.Lock()
	r.before = before
	r.mu.Unlock()
}

// thaw lets readers see what was written, once settle has noted what came of it.
func (r *records) thaw(settle func()) {
	r.mu.Lock()
	before := r.before
	r.before = nil
	settle()
	r.mu.Unlock()
	_ = before.Close() // nobody reads it any more, and closing it writes nothing
}

// durable is where readers read. The caller holds mu.
func (r *records) durable() pebble.Reader {
	if r.before != nil {
		return r.before
	}
	return r.db
}

// readRecord returns the record that a reader shows.
func readRecord(db pebble.Reader, key string) (catalog.Record, error) {
	k := recordKey(key)
	value, closer, err := db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return catalog.Record{}, catalog.ErrNotFound
	}
	if err != nil {
		return catalog.Record{}, err
	}
	record, err := decodeRecord(k, value)
	return record, errors.Join(err, closer.Close())
}

func decodeRecord(key, value []byte) (catalog.Record, error) {
	b, err := unseal(key, value)
	if err != nil {
		return catalog.Record{}, err
	}
	if len(b) < 8 {
		return catalog.Record{}, errShort
	}
	return catalog.Record{
		Key:   string(key[1:]),
		Rev:   binary.LittleEndian.Uint64(b),
		Value: append([]byte{}, b[8:]...),
	}, nil
}

func encodeRecord(key []byte, rev uint64, value []byte) []byte {
	dst := append(make([]byte, 0, 1+8+len(value)+sumBytes), valueVersion)
	dst = binary.LittleEndian.AppendUint64(dst, rev)
	return seal(key, append(dst, value...), 0)
}

// List implements [catalog.KV].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	s.kv.mu.RLock()
	defer s.kv.mu.RUnlock()
	for key := range s.kv.unknown {
		if strings.HasPrefix(key, prefix) && key > after {
			return nil, fmt.Errorf("list records: %q: %w", key, errUnknown)
		}
	}
	list, err := s.kv.list(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list records %q: %w", prefix, err)
	}
	return list, nil
}

func (r *records) list(ctx context.Context, prefix, after string, limit int) ([]catalog.Record, error) {
	start := recordKey(prefix)
	end := prefixEnd(start)
	if after >= prefix {
		start = append(recordKey(after), 0)
	}
	it, err := r.durable().NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, err
	}
	var list []catalog.Record
	for ok := it.First(); ok && len(list) < limit && err == nil; ok = it.Next() {
		var record catalog.Record
		if record, err = recordAt(it); err == nil {
			list = append(list, record)
			err = ctx.Err()
		}
	}
	return list, errors.Join(err, it.Error(), it.Close())
}

func recordAt(it *pebble.Iterator) (catalog.Record, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return catalog.Record{}, err
	}
	return decodeRecord(it.Key(), value)
}

// Apply implements [catalog.KV].
func (s *Store) Apply(ctx context.Context, changes ...catalog.Change) error {
	if err := errors.Join(ctx.Err(), checkChanges(changes)); err != nil {
		return fmt.Errorf("change records: %w", err)
	}
	if len(changes) == 0 {
		return nil
	}
	r := s.newRequest()
	defer s.freeRequest(r)
	r.changes = changes
	for i := range changes {
		if err := encodeChange(r.batch, &changes[i]); err != nil {
			return fmt.Errorf("change records: %w", err)
		}
	}
	if err := s.submit(r); err != nil {
		if errors.Is(err, catalog.ErrConflict) {
			return err
		}
		if errors.Is(err, ledger.ErrDiskFull) {
			err = fmt.Errorf("%w (%w)", audit.Errorf(audit.CodeDiskFull, "the server's disk is full: nothing was changed, reading still works"), err)
		}
		return fmt.Errorf("change records: %w", err)
	}
	return nil
}

func encodeChange(b *pebble.Batch, c *catalog.Change) error {
	key := recordKey(c.Key)
	if c.Delete {
		return b.Delete(key, nil)
	}
	return b.Set(key, encodeRecord(key, c.Rev+1, c.Value), nil)
}

func checkChanges(changes []catalog.Change) error {
	for i := range changes {
		c := &changes[i]
		if err := checkRecordKey(c.Key); err != nil {
			return err
		}
		if len(c.Value) > maxRecordValue {
			return fmt.Errorf("record %q has %d bytes, more than %d", c.Key, len(c.Value), maxRecordValue)
		}
	}
	return nil
}

func checkRecordKey(key string) error {
	if key == "" || len(key) > maxRecordKey || strings.IndexByte(key, 0) >= 0 {
		return fmt.Errorf("record key of %d bytes: it must have 1 to %d, none of them NUL", len(key), maxRecordKey)
	}
	return nil
}

// admitChanges takes changes of the catalog into the group when every record is
// at the revision that its change names, after the changes before it.
func (c *committer) admitChanges(r *request) error {
	revs := map[string]uint64{}
	for i := range r.changes {
		change := &r.changes[i]
		rev, err := c.rev(change.Key, revs)
		if err != nil {
			return err
		}
		if rev != change.Rev || c.s.kv.unknown[change.Key] {
			return catalog.ErrConflict
		}
		revs[change.Key] = rev + 1
		if change.Delete {
			revs[change.Key] = 0
		}
	}
	if c.revs == nil {
		c.revs = map[string]uint64{}
	}
	maps.Copy(c.revs, revs)
	c.catalog = true
	c.join(r)
	return nil
}

// rev is a record's revision after the changes in revs and in the group, zero
// when it does not exist.
func (c *committer) rev(key string, revs map[string]uint64) (uint64, error) {
	if rev, ok := revs[key]; ok {
		return rev, nil
	}
	if rev, ok := c.revs[key]; ok {
		return rev, nil
	}
	record, err := readRecord(c.s.kv.db, key)
	if errors.Is(err, catalog.ErrNotFound) {
		return 0, nil
	}
	return record.Rev, err
}

// settle records the outcome of a group with changes. The committer holds mu.
func (r *records) settle(changes []catalog.Change, err error) {
	if err == nil {
		return
	}
	if r.unknown == nil {
		r.unknown = map[string]bool{}
	}
	for i := range changes {
		r.unknown[changes[i].Key] = true
	}
}
