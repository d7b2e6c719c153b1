package pebblestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stelehq/stele/internal/block"
)

// maxMoved is how often in a row a walk finds that what it was about to read had
// been sealed or merged meanwhile before it gives up. Once is rare.
const maxMoved = 100

// logWalk goes over the entries from ≤ seq < to of a log, in order or, when desc,
// from the last to the first: what is sealed block by block, what came after it
// run by run. What was visited is no longer in the range.
//
// Sealing takes runs and small blocks away. A walk that finds something gone looks
// where it is now, and goes on there.
type logWalk struct {
	s        *Store
	log      *orgLog
	from, to uint64
	desc     bool
	// run gets each run, and which of its entries are in the range. The run is
	// valid until it returns.
	run func(r *runReader, from, to uint64, desc bool) error
	// blocks gets consecutive blocks, in order of seq, whose entries are all that
	// is in the range up to the first or after the last of them. It takes what it
	// has done off the range, with done, also when it fails with errMoved.
	blocks func(ctx context.Context, w *logWalk, list []*sealedBlock) error
	// once has the walk end with errMoved: what was visited cannot be taken back
	// half.
	once bool

	moved int
}

// walk visits everything. It returns a *CorruptError when something is missing or
// damaged.
func (w *logWalk) walk(ctx context.Context) error {
	for w.from < w.to {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := w.to - w.from
		err := w.stretch(ctx)
		if left != w.to-w.from {
			w.moved = 0
		}
		if err != nil && (w.once || !errors.Is(err, errMoved)) {
			return err
		}
		if w.moved++; err != nil && w.moved > maxMoved {
			return fmt.Errorf("organization %q, entries %d to %d: %w", w.log.org, w.from, w.to-1, err)
		}
	}
	return nil
}

// stretch visits what is in blocks, or what is not.
func (w *logWalk) stretch(ctx context.Context) error {
	view, err := w.s.blocks.view(w.log)
	if err != nil {
		return err
	}
	end := view.end()
	if w.desc && w.to <= end || !w.desc && w.from < end {
		list := view.blocks[view.find(w.from):]
		if to := view.find(w.to - 1); to < len(view.blocks) {
			list = view.blocks[view.find(w.from) : to+1]
		}
		return w.gone(view, w.blocks(ctx, w, list))
	}
	rw := runWalk{s: w.s, log: w.log, from: max(w.from, end), to: w.to, desc: w.desc, visit: w.run}
	err = rw.walk(ctx)
	if w.desc {
		w.to = min(w.to, rw.to)
	} else {
		w.from = max(w.from, rw.from)
	}
	return w.gone(view, err)
}

// done takes entries off the range that were visited: those up to and with seq, or
// from it on when the walk goes down.
func (w *logWalk) done(seq uint64) {
	if w.desc {
		w.to = min(w.to, seq)
	} else {
		w.from = max(w.from, seq+1)
	}
}

// gone makes sense of an error about something that is not where the view has it:
// errMoved when there is a newer view, errDropped when the log is gone, and damage
// otherwise.
func (w *logWalk) gone(view *sealedView, err error) error {
	var damage *CorruptError
	missing := errors.As(err, &damage) && damage.Err == nil
	switch {
	case err == nil, !missing && !errors.Is(err, errMoved):
		return err
	case w.log.dropping.Load():
		return fmt.Errorf("organization %q: %w", w.log.org, errDropped)
	case w.s.blocks.changed(w.log, view):
		return errMoved
	case missing:
		return err
	default:
		return corrupt(w.log.org, w.from, w.to, err.Error(), nil)
	}
}

// changed reports whether a log has another view by now. Who was told that
// something is gone asks after the sealer is done with what it does to the log at
// the moment.
func (x *blockIndex) changed(log *orgLog, view *sealedView) bool {
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	return log.sealed.view.Load() != view
}

// blockError names the block that could not be read.
func blockError(log *orgLog, b *sealedBlock, err error) error {
	if errors.Is(err, block.ErrCorrupt) && !log.dropping.Load() {
		return corrupt(b.org, b.FirstSeq, b.end(), "block", err)
	}
	return err
}
