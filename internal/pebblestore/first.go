package pebblestore

import (
	"context"
	"fmt"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// First implements [search.Engine].
func (s *Store) First(ctx context.Context, org string) (uint64, error) {
	seq, err := s.first(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("find the first entry: %w", err)
	}
	return seq, nil
}

func (s *Store) first(ctx context.Context, org string) (uint64, error) {
	log, err := s.logs.load(org, false)
	if err != nil {
		return 0, err
	}
	k, err := s.keepOf(log)
	if err != nil {
		return 0, err
	}
	w := &logWalk{s: s, log: log, from: k.shownFrom(), to: log.head.Load().Size}
	sc := s.newScan(log, audit.Query{}, search.Compile(audit.Query{}), k)
	first := w.to
	sc.onMatch = func(e *event.Entry) error {
		first = e.Seq
		return errStop
	}
	w.run = func(r *runReader, from, to uint64, desc bool) error {
		if k == nil || r.receivedAt >= k.before {
			first = from
			return errStop
		}
		return sc.visit(r, from, to, desc)
	}
	w.blocks = func(_ context.Context, w *logWalk, list []*sealedBlock) error {
		for _, b := range list {
			seq, some, err := s.firstOf(log, b, k, max(w.from, b.FirstSeq))
			if err != nil {
				return blockError(log, b, err)
			}
			if some {
				first = seq
				return errStop
			}
			w.done(b.end() - 1)
		}
		return ctx.Err()
	}
	if w.from, w.to, err = sc.narrow(w.from, w.to); err == nil {
		err = w.walk(ctx)
	}
	if err == nil {
		k.startsAt(first)
	}
	return first, err
}

// firstOf finds the first entry of a block from seq on that is not hidden.
func (s *Store) firstOf(log *orgLog, b *sealedBlock, k *keep, seq uint64) (first uint64, some bool, err error) {
	rows, all, err := s.hidden(log, b, k)
	if err != nil || all {
		return 0, false, err
	}
	for rows != nil && seq < b.end() && rows.Has(int(seq-b.FirstSeq)) { //nolint:gosec // within the block
		seq++
	}
	return seq, seq < b.end(), nil
}

// shownFrom is a seq before which nothing is shown, as far as is known by now.
func (k *keep) shownFrom() uint64 {
	if k == nil {
		return 0
	}
	return k.first.Load()
}

// startsAt notes the first entry that is shown: a log that grows, or loses
// entries, has no other before it.
func (k *keep) startsAt(seq uint64) {
	if k != nil {
		k.first.Store(max(k.first.Load(), seq))
	}
}
