package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// verdict is what an event's idempotency keys say of it.
type verdict uint8

const (
	isNew      verdict = iota // to be recorded
	isRecorded                // recorded by an earlier commit: outcome is its receipt
	isRepeat                  // repeats an event of the same round
	isConflict                // a key was used for something else: outcome is the error
)

// resolution is the verdict on an event, and what goes with it.
type resolution struct {
	is      verdict
	whole   bool // isConflict: of the request's key, so that all of it is refused
	outcome Outcome
	repeats int    // isRepeat: the other event's index in the keyTable
	entries [2]int // isNew: where the event's keys are in the keyTable, -1 for none
}

// resolve finds out what the idempotency keys of a load's events say. A load that
// cannot be recorded gets its error; the error returned is ErrHeadMoved when a
// receipt shows that the round works on an old head.
func (r *round) resolve(ctx context.Context, l *Ledger, lg *logState, ld *load) error {
	ld.resolved = ld.resolved[:0]
	for i := range ld.items {
		res, err := r.resolveItem(ctx, l, lg, ld, i)
		if errors.Is(err, ErrHeadMoved) {
			return err
		}
		if ld.err = l.refusal(ctx, ld, res, err); ld.err != nil {
			r.withdraw(ld)
			break
		}
		ld.resolved = append(ld.resolved, res)
	}
	return nil
}

// refusal returns why a load cannot be recorded at all, nil when it can.
func (l *Ledger) refusal(ctx context.Context, ld *load, res resolution, err error) error {
	switch {
	case err != nil:
		return l.internalFault(ctx, ld.org, "look up idempotency keys", err)
	case res.is == isConflict && (res.whole || !ld.partial):
		return res.outcome.Err
	}
	return nil
}

// resolveItem finds out what the keys of one event say. If it is new, the events
// after it can repeat it.
func (r *round) resolveItem(ctx context.Context, l *Ledger, lg *logState, ld *load, i int) (resolution, error) {
	res := resolution{entries: [2]int{-1, -1}}
	for n := range res.entries {
		key, fp, ok := ld.key(i, n)
		if !ok {
			continue
		}
		at, live := r.table.find(key)
		if live {
			ld.depends = true
			if r.table.entries[at].fingerprint != fp {
				return conflict(i, n), nil
			}
			return resolution{is: isRepeat, repeats: at}, nil
		}
		rec, err := l.cfg.Store.Receipt(ctx, ld.org, key)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && rec.ReceivedAt < r.since:
			res.entries[n] = at
			continue
		case err != nil:
			return resolution{}, err
		case rec.Fingerprint != fp:
			return conflict(i, n), nil
		}
		id, err := r.earlierID(ctx, l, lg, rec)
		if errors.Is(err, ErrNotFound) {
			// Retention has removed the entry and all others of its block: as
			// good as a key that is too old to count.
			res.entries[n] = at
			continue
		}
		return resolution{is: isRecorded, outcome: Outcome{
			Seq: rec.Seq, ReceivedAt: rec.ReceivedAt, ID: id, Duplicate: true,
		}}, err
	}
	for n, at := range res.entries {
		if at >= 0 {
			_, fp, _ := ld.key(i, n)
			e := &r.table.entries[at]
			e.live, e.fingerprint = true, fp
		}
	}
	return res, nil
}

// withdraw takes the keys of a load that is not recorded out of the table.
func (r *round) withdraw(ld *load) {
	for i := range ld.resolved {
		if ld.resolved[i].is != isNew {
			continue
		}
		for _, at := range ld.resolved[i].entries {
			if at >= 0 {
				r.table.entries[at].live = false
			}
		}
	}
}

// keep adds receipts under the keys of the event that was recorded last.
func (r *round) keep(ld *load, res *resolution) {
	o := &ld.outcomes[len(ld.outcomes)-1]
	for _, at := range res.entries {
		if at < 0 {
			continue
		}
		e := &r.table.entries[at]
		e.seq, e.id = o.Seq, o.ID
		r.commit.Receipts = append(r.commit.Receipts, KeyedReceipt{
			Key:     e.key,
			Receipt: Receipt{Seq: o.Seq, ReceivedAt: o.ReceivedAt, Fingerprint: e.fingerprint},
		})
	}
}

// earlierID derives the id of an entry that was recorded before the round.
func (r *round) earlierID(ctx context.Context, l *Ledger, lg *logState, rec Receipt) (event.ID, error) {
	if rec.Seq >= lg.head.Size {
		return event.ID{}, ErrHeadMoved
	}
	block := rec.Seq / BlockSize
	if r.earlier.Cipher == nil || r.earlier.block != block {
		keys := lg.keys
		if block != lg.head.Size/BlockSize {
			var err error
			if keys, err = l.cfg.Store.Keys(ctx, lg.org, block); err != nil {
				return event.ID{}, fmt.Errorf("read keys of block %d: %w", block, err)
			}
		}
		r.earlier = blockCipher{block, l.ciphers.of(&keys)}
	}
	return r.earlier.ID(rec.ReceivedAt, rec.Seq), nil
}

// key returns the n-th idempotency key of an event: 0 is the one that the
// request gives it, 1 its own.
func (ld *load) key(i, n int) (key Key, fingerprint [8]byte, ok bool) {
	switch own := ld.items[i].own; {
	case n == 0 && len(ld.request) > 0:
		return ld.request[i], ld.requestFP, true
	case n == 1 && own >= 0:
		return ld.own[own].key, ld.own[own].fingerprint, true
	}
	return Key{}, [8]byte{}, false
}

// conflict says that the n-th key of the i-th event was used for something else.
func conflict(i, n int) resolution {
	err := audit.FieldErrorf(audit.CodeIdempotencyConflict, "/idempotency_key",
		"The idempotency key was used before for another event; use a new key for a new event.")
	err.Line = i + 1
	if n == 0 {
		err = audit.FieldErrorf(audit.CodeIdempotencyConflict, "Idempotency-Key",
			"The idempotency key was used before for a request with other events; use a new key for a new request.")
	}
	return resolution{is: isConflict, whole: n == 0, outcome: Outcome{Err: err}}
}

// internalFault tells the operator why a log cannot be appended to, and returns
// what its caller may know.
func (l *Ledger) internalFault(ctx context.Context, org, what string, err error) error {
	l.cfg.Logger.ErrorContext(ctx, "events cannot be recorded",
		slog.String("organization", org), slog.String("step", what), slog.Any("error", err))
	return audit.Errorf(audit.CodeUnavailable, "The log cannot take events now; nothing was recorded. Try again.")
}

// keyTable holds the idempotency keys of the events of one round, so that two
// events of a round with the same key are found. Keys are parts of SHA-256 sums,
// so their first bytes serve as hash. It is no map so that it keeps its memory
// and does not allocate.
type keyTable struct {
	entries []keyEntry
	slots   []int32 // index into entries plus one; a power of two of them
}

// keyEntry is a key of the round and the event that came with it first.
type keyEntry struct {
	key         Key
	fingerprint [8]byte
	live        bool // the event is being recorded
	seq         uint64
	id          event.ID // like seq, once the event is placed
}

// reset empties the table and makes room for n keys.
func (t *keyTable) reset(n int) {
	t.entries = t.entries[:0]
	size := 16
	for size < 2*n {
		size *= 2
	}
	if size > cap(t.slots) {
		t.slots = make([]int32, size)
		return
	}
	t.slots = t.slots[:size]
	clear(t.slots)
}

// find returns the index of a key's entry and whether it is live. A new key gets
// an entry, which is not.
func (t *keyTable) find(key Key) (index int, live bool) {
	mask := len(t.slots) - 1
	at := int(binary.LittleEndian.Uint32(key[:])) & mask
	for t.slots[at] != 0 {
		i := int(t.slots[at]) - 1
		if t.entries[i].key == key {
			return i, t.entries[i].live
		}
		at = (at + 1) & mask
	}
	t.entries = append(t.entries, keyEntry{key: key})
	t.slots[at] = int32(len(t.entries)) //nolint:gosec // bounded by the size of a round
	return len(t.entries) - 1, false
}
