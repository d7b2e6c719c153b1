package ledger

import (
	"context"
	"crypto/subtle"
	"fmt"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Head returns where an organization's log stands. What it returns is durable.
func (l *Ledger) Head(ctx context.Context, org string) (Head, error) {
	h, err := l.cfg.Store.Head(ctx, org)
	if err != nil {
		return Head{}, fmt.Errorf("read head: %w", err)
	}
	if !h.valid() {
		return Head{}, fmt.Errorf("read head: %w", errFrontier)
	}
	return h, nil
}

// Through returns the position of the newest entry, nil for an empty log.
func (l *Ledger) Through(ctx context.Context, org string) (*audit.Position, error) {
	h, err := l.Head(ctx, org)
	if err != nil {
		return nil, err
	}
	return h.Position(), nil
}

// Entry returns an entry by its id, or not_found (audit.Error) for any text that
// is not the id of an entry of this organization. The entry is the caller's.
func (l *Ledger) Entry(ctx context.Context, org, id string) (*event.Entry, error) {
	ms, seq, ok := event.ParseID(id)
	if !ok {
		return nil, noEntry()
	}
	e, err := l.EntryAt(ctx, org, seq)
	if err != nil {
		return nil, err
	}
	// The check bits are what makes ids unguessable.
	if e.ReceivedAt != ms || subtle.ConstantTimeCompare(e.ID[:], []byte(id)) != 1 {
		return nil, noEntry()
	}
	return e, nil
}

// EntryAt returns an entry by its place, or not_found (audit.Error), also for one
// that is past its time or removed. The entry is the caller's.
func (l *Ledger) EntryAt(ctx context.Context, org string, seq uint64) (*event.Entry, error) {
	if seq >= maxEntries { // and seq+1 does not wrap
		return nil, noEntry()
	}
	shows, err := l.shownBy(org)
	if err != nil {
		return nil, err
	}
	for e, err := range l.cfg.Store.Read(ctx, org, seq, seq+1) {
		if err != nil {
			return nil, fmt.Errorf("read entry %d: %w", seq, err)
		}
		if e.Seq != seq {
			return nil, fmt.Errorf("read entry %d: %w", seq, missingError(seq))
		}
		if !shows(e) {
			return nil, noEntry()
		}
		return e.Clone(), nil
	}
	h, err := l.Head(ctx, org)
	if err != nil {
		return nil, err
	}
	if seq < h.Size {
		if err := l.wasRemoved(ctx, org, seq); err != nil {
			return nil, fmt.Errorf("read entry %d: %w", seq, err)
		}
	}
	return nil, noEntry()
}

func noEntry() error {
	return audit.Errorf(audit.CodeNotFound, "There is no such entry.")
}

// Read yields the committed entries with from ≤ seq < to, in order, that are kept.
// The entry is valid until the next one. Entries that are damaged end the sequence
// with an error; the end of the log ends it without one.
func (l *Ledger) Read(ctx context.Context, org string, from, to uint64) iter.Seq2[*event.Entry, error] {
	if l.cfg.Shows == nil {
		return l.cfg.Store.Read(ctx, org, from, to)
	}
	return func(yield func(*event.Entry, error) bool) {
		shows, err := l.shownBy(org)
		if err != nil {
			yield(nil, err)
			return
		}
		for e, err := range l.cfg.Store.Read(ctx, org, from, to) {
			if (err != nil || shows(e)) && !yield(e, err) {
				return
			}
		}
	}
}

// Wait returns nil when the log has more than size entries, which may be at once.
// It ends with ctx's error when ctx ends and with unavailable (audit.Error) when
// the ledger is closed. Waiting costs no goroutine and no polling: the commits of
// this process end it.
func (l *Ledger) Wait(ctx context.Context, org string, size uint64) error {
	lg, err := l.acquire(org)
	if err != nil {
		return err
	}
	defer l.release(lg)
	for {
		next := lg.commitSignal() // before the head is read, or a commit could go unseen
		h, err := l.Head(ctx, org)
		if err != nil {
			return err
		}
		if h.Size > size {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for entry %d: %w", size, context.Cause(ctx))
		case <-l.closing:
			return errClosed()
		}
	}
}
