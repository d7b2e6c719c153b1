package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// errReused is a mistake in the caller's code.
var errReused = errors.New("ledger: batch appended again without Reset")

// Result is the answer to a batch.
type Result struct {
	// Receipts has one outcome for each event, in the batch's order. It is
	// the batch's memory, valid until the next Reset.
	Receipts []Outcome
	// Through is the newest entry of the log at that moment, the zero
	// Position when the log is empty.
	Through audit.Position
}

// Outcome is what became of one event.
type Outcome struct {
	// Seq, ReceivedAt (Unix milliseconds) and ID are those of the entry.
	Seq        uint64
	ReceivedAt int64
	ID         event.ID
	// Duplicate says that the event was recorded earlier under the same
	// idempotency key: the entry is the one of then.
	Duplicate bool
	// Err is why the event was not recorded; the other fields are zero. Only
	// in a partial batch.
	Err *audit.Error
}

// Append records a batch. When it returns nil the events are durable (fsynced)
// and in the log's tree, or were already, as Outcome.Duplicate says.
//
// Otherwise nothing of the batch was recorded, but for two cases whose error
// says so: the store failed and could not say whether the commit landed
// (unavailable), and ctx ended while the commit was under way. Sending the
// events again is safe when they have idempotency keys.
//
// Errors for the caller of the API are *audit.Error: idempotency_conflict (its
// Line is the event's place in the batch, from 1), overloaded (too much waits),
// disk_full, unavailable (the log cannot be appended to now) and not_found (the
// organization was dropped). When ctx ends before the batch's turn it is taken
// back and the error is ctx's.
//
// An empty batch is no error. A batch is appended once; Reset it before its next
// use.
func (l *Ledger) Append(ctx context.Context, b *Batch) (Result, error) {
	ld := b.load
	if ld == nil || ld.appended {
		return Result{}, errReused
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("append: %w", err)
	}
	if len(ld.items) == 0 {
		return l.appendNothing(ctx, ld.org)
	}
	ld.prepare(b.RequestKey, b.Partial)
	lg, err := l.acquire(ld.org)
	if err != nil {
		return Result{}, err
	}
	defer l.release(lg)
	if err := l.enqueue(lg, ld); err != nil {
		return Result{}, err
	}
	select {
	case <-ld.done:
	case <-ctx.Done():
		if err := l.giveUp(ctx, lg, b); err != nil {
			return Result{}, err
		}
	}
	if ld.err != nil {
		return Result{}, ld.err
	}
	return Result{Receipts: ld.outcomes, Through: ld.through}, nil
}

// appendNothing answers an empty batch.
func (l *Ledger) appendNothing(ctx context.Context, org string) (Result, error) {
	at, err := l.Through(ctx, org)
	if err != nil || at == nil {
		return Result{}, err
	}
	return Result{Through: *at}, nil
}

// enqueue puts a load into the log's pool and starts an owner if there is none.
func (l *Ledger) enqueue(lg *logState, ld *load) error {
	if lg.dropped.Load() {
		return errDropped(lg.org)
	}
	lg.mu.Lock()
	defer lg.mu.Unlock()
	if err := l.admit(lg, ld); err != nil {
		return err
	}
	lg.pool = append(lg.pool, ld)
	lg.poolEvents += len(ld.items)
	lg.poolBytes += ld.bytes()
	if !lg.running {
		lg.running = true
		l.retain(lg)
		go l.runOwner(lg)
	}
	return nil
}

// admit reserves memory for a load, or says that too much waits already. An
// empty pool takes any batch, or a large one could never be recorded. lg.mu is
// held.
func (l *Ledger) admit(lg *logState, ld *load) error {
	lim, n, size := &l.cfg.Limits, len(ld.items), ld.bytes()
	if len(lg.pool) > 0 && (lg.poolEvents+n > lim.PoolEvents || lg.poolBytes+size > lim.PoolBytes) {
		return audit.Errorf(audit.CodeOverloaded,
			"Too many events of this organization wait to be recorded (%d); try again in a moment.", lg.poolEvents)
	}
	if all := l.waiting.Add(int64(size)); all > int64(lim.TotalBytes) && all > int64(size) {
		l.waiting.Add(-int64(size))
		return audit.Errorf(audit.CodeOverloaded, "Too many events wait to be recorded; try again in a moment.")
	}
	return nil
}

// giveUp ends the wait of a caller whose ctx ended. A load that still waits is
// taken back. One that the owner has is left to it, and the batch with it; unless
// the owner is through by now, then giveUp returns nil and the outcome stands.
func (l *Ledger) giveUp(ctx context.Context, lg *logState, b *Batch) error {
	if l.takeBack(lg, b.load) {
		return fmt.Errorf("append: nothing was recorded: %w", context.Cause(ctx))
	}
	select {
	case <-b.done:
		return nil
	default:
	}
	b.load = nil
	return fmt.Errorf("append: the events may have been recorded: %w", context.Cause(ctx))
}

// takeBack removes a load from the pool, if it still waits there.
func (l *Ledger) takeBack(lg *logState, ld *load) bool {
	lg.mu.Lock()
	defer lg.mu.Unlock()
	i := slices.Index(lg.pool, ld)
	if i < 0 {
		return false
	}
	lg.pool = slices.Delete(lg.pool, i, i+1)
	lg.poolEvents -= len(ld.items)
	lg.poolBytes -= ld.bytes()
	l.waiting.Add(-int64(ld.bytes()))
	return true
}
