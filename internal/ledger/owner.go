package ledger

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/stelehq/stele/audit"
)

// maxReorders bounds how often a round is ordered again because another writer
// moved the head. With one process it never does.
const maxReorders = 8

// keepPool is how many loads the pool of an idle log has room for.
const keepPool = 8

// runOwner orders and commits what waits in a log's pool, until it is empty.
// Nothing can cancel it: batches that were taken are answered.
func (l *Ledger) runOwner(lg *logState) {
	defer l.release(lg)
	ctx := context.Background()
	r, _ := l.rounds.Get().(*round)
	for l.take(lg, r) {
		l.runRound(ctx, lg, r)
		r.forget()
	}
	l.rounds.Put(r)
}

// take moves loads from the pool into the round, up to the bound of one commit.
// When there are none it ends the ownership.
func (l *Ledger) take(lg *logState, r *round) bool {
	lg.mu.Lock()
	defer lg.mu.Unlock()
	lim := &l.cfg.Limits
	events, size, n := 0, 0, 0
	for _, ld := range lg.pool {
		if n > 0 && (events+len(ld.items) > lim.CommitEvents || size+ld.bytes() > lim.CommitBytes) {
			break
		}
		events += len(ld.items)
		size += ld.bytes()
		n++
	}
	r.loads = append(r.loads[:0], lg.pool[:n]...)
	left := copy(lg.pool, lg.pool[n:])
	clear(lg.pool[left:])
	lg.pool = lg.pool[:left]
	lg.poolEvents -= events
	lg.poolBytes -= size
	lg.running = n > 0
	if !lg.running && cap(lg.pool) > keepPool {
		lg.pool = nil // an idle log keeps next to no memory
	}
	r.stats = CommitStats{Batches: n, Waiting: lg.poolEvents}
	return lg.running
}

// runRound records the loads of a round and answers them.
func (l *Ledger) runRound(ctx context.Context, lg *logState, r *round) {
	lg.own.Lock()
	r.ordered = false
	err := l.record(ctx, lg, r)
	var through audit.Position
	if at := lg.head.Position(); at != nil {
		through = *at
	}
	lg.own.Unlock()

	if err == nil && r.stats.Events > 0 {
		lg.signalCommit()
	}
	var size int64
	for _, ld := range r.loads {
		size += int64(ld.bytes())
	}
	l.waiting.Add(-size)
	if r.stats.Err = err; l.cfg.OnCommit != nil {
		r.stats.Organization = lg.org
		l.cfg.OnCommit(r.stats)
	}
	for _, ld := range r.loads {
		// What does not depend on the commit stands although it failed: a
		// retry of what was recorded long ago, say.
		if err != nil && (ld.depends || !r.ordered) {
			ld.err = err
		}
		ld.through = through
		ld.done <- struct{}{} // from here on the load is the caller's
	}
}

// record orders a round and commits it. Its error is for those loads that have
// none of their own and wait for the commit.
func (l *Ledger) record(ctx context.Context, lg *logState, r *round) error {
	for range maxReorders {
		if err := l.loadHead(ctx, lg); err != nil {
			return err
		}
		began := l.cfg.Now()
		err := r.order(ctx, l, lg)
		r.stats.Order = l.cfg.Now().Sub(began)
		switch {
		case err == nil && len(r.commit.Rows) == 0:
			return nil
		case err == nil:
			err = l.commit(ctx, lg, r)
		case !errors.Is(err, ErrHeadMoved):
			err = l.internalFault(ctx, lg.org, "order", err)
		}
		if !errors.Is(err, ErrHeadMoved) {
			return err
		}
		lg.loaded = false
	}
	l.cfg.Logger.ErrorContext(ctx, "another writer keeps moving the log", slog.String("organization", lg.org))
	return audit.Errorf(audit.CodeUnavailable, "The log is being written by another server; try again.")
}

// commit hands the round to the store and, when the store cannot say what came
// of it, finds out.
func (l *Ledger) commit(ctx context.Context, lg *logState, r *round) error {
	began := l.cfg.Now()
	err := l.cfg.Store.Commit(ctx, &r.commit)
	r.stats.Commit = l.cfg.Now().Sub(began)
	switch {
	case err == nil:
		r.advance(lg)
		return nil
	case errors.Is(err, ErrHeadMoved):
		return err
	case errors.Is(err, ErrDiskFull):
		l.cfg.Logger.ErrorContext(ctx, "the disk is full: events are refused",
			slog.String("organization", lg.org), slog.Any("error", err))
		return audit.Errorf(audit.CodeDiskFull, "The server's disk is full; nothing was recorded. Reading still works.")
	case errors.Is(err, ErrOutcomeUnknown):
		lg.loaded = false
		l.cfg.Logger.ErrorContext(ctx, "a commit failed and whether it landed shows after a restart: restart the server",
			slog.String("organization", lg.org), slog.Any("error", err))
		return errOutcome()
	}
	return l.settle(ctx, lg, r, err)
}

// errOutcome is the honest answer when nobody can say what came of a commit.
func errOutcome() error {
	return audit.Errorf(audit.CodeUnavailable,
		"The store failed and it is not known whether the events were recorded; send them again with the same idempotency keys.")
}

// settle finds out whether a commit landed that returned an error which does not
// say.
func (l *Ledger) settle(ctx context.Context, lg *logState, r *round, cause error) error {
	logger := l.cfg.Logger.With(slog.String("organization", lg.org), slog.Any("error", cause),
		slog.Uint64("from", r.commit.Prev), slog.Uint64("to", r.commit.Head.Size))
	lg.loaded = false // unless it landed the next round reads the head again
	landed, err := l.landed(ctx, lg.org, r.commit.Head)
	switch {
	case err != nil:
		logger.ErrorContext(ctx, "a commit failed and its outcome cannot be read: the log takes no events until it can",
			slog.Any("read_error", err))
		return errOutcome()
	case landed:
		r.advance(lg)
		logger.WarnContext(ctx, "a commit failed but landed: it is acknowledged")
		return nil
	}
	logger.ErrorContext(ctx, "a commit failed and did not land: its events are refused")
	return audit.Errorf(audit.CodeUnavailable, "The store failed; nothing was recorded. Try again.")
}

// landed reports whether the commit that makes want the head is in the log.
func (l *Ledger) landed(ctx context.Context, org string, want Head) (bool, error) {
	now, err := l.cfg.Store.Head(ctx, org)
	if err != nil || now.Size <= want.Size {
		return now.Equal(want), err
	}
	// Another writer went on from some head: from ours, if the tree has our
	// root at our size.
	root, err := l.tiles.root(ctx, org, want.Size)
	return root == want.Root(), err
}

// loadHead reads the head and the current block's keys, unless they are known.
// Its error is for the API's caller: the log cannot be appended to.
func (l *Ledger) loadHead(ctx context.Context, lg *logState) error {
	if lg.dropped.Load() {
		return errDropped(lg.org)
	}
	if lg.loaded {
		return nil
	}
	head, err := l.cfg.Store.Head(ctx, lg.org)
	if err != nil {
		return l.internalFault(ctx, lg.org, "read head", err)
	}
	if !head.valid() {
		return l.internalFault(ctx, lg.org, "read head", errFrontier)
	}
	if err := l.refuseRollback(ctx, lg, head); err != nil {
		return err
	}
	if head.Size%BlockSize != 0 {
		if lg.keys, err = l.cfg.Store.Keys(ctx, lg.org, head.Size/BlockSize); err != nil {
			return l.internalFault(ctx, lg.org, "read block keys", err)
		}
	}
	head.Frontier = slices.Clone(head.Frontier)
	lg.head, lg.loaded = head, true
	return nil
}

func errDropped(org string) error {
	return audit.Errorf(audit.CodeNotFound, "There is no organization %s.", org)
}
