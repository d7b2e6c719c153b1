package pebblestore

import (
	"context"
	"errors"
	"slices"

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
}

// walk visits everything, or what comes before a visitor returns errStop. It returns
// a *CorruptError when something is missing or damaged.
func (w *logWalk) walk(ctx context.Context) error {
	for moved := 0; w.from < w.to; {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := w.to - w.from
		err := w.stretch(ctx)
		switch {
		case errors.Is(err, errStop):
			return nil
		case err == nil || left != w.to-w.from:
			moved = 0
		default:
			moved++
		}
		if err != nil && (w.once || moved > maxMoved || !errors.Is(err, errMoved)) {
			return err
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
		list, err := w.sound(view)
		if err == nil && len(list) > 0 {
			err = w.blocks(ctx, w, list)
		}
		return w.gone(view, err)
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

// sound returns the blocks that have entries of the range, up to the first of which
// the header cannot be read. When that is the next one it is the error. What was
// removed is left out, and when it comes next, or there is nothing else, taken off
// the range.
func (w *logWalk) sound(view *sealedView) ([]*sealedBlock, error) {
	list, err := w.present(view)
	if err != nil || !slices.ContainsFunc(list, isRemoved) {
		return list, err
	}
	if w.desc {
		for n := len(list); n > 0 && list[n-1].removed; n = len(list) {
			w.done(list[n-1].FirstSeq)
			list = list[:n-1]
		}
	} else {
		for len(list) > 0 && list[0].removed {
			w.done(list[0].end() - 1)
			list = list[1:]
		}
	}
	return slices.DeleteFunc(slices.Clone(list), isRemoved), nil
}

func isRemoved(b *sealedBlock) bool { return b.removed }

// present is sound with what was removed in its place.
func (w *logWalk) present(view *sealedView) ([]*sealedBlock, error) {
	list := view.blocks[view.find(w.from):min(view.find(w.to-1)+1, len(view.blocks))]
	if w.desc {
		for i, b := range slices.Backward(list) {
			if b.damage != nil {
				list = list[i+1:]
				if len(list) == 0 {
					return nil, b.damage
				}
				break
			}
		}
		return list, nil
	}
	if i := slices.IndexFunc(list, func(b *sealedBlock) bool { return b.damage != nil }); i == 0 {
		return nil, list[0].damage
	} else if i > 0 {
		list = list[:i]
	}
	return list, nil
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
// errMoved when it is elsewhere now, errDropped when the log is gone, and damage
// otherwise.
func (w *logWalk) gone(view *sealedView, err error) error {
	var damage *CorruptError
	if err == nil || !errors.As(err, &damage) {
		return err
	}
	part := errors.Is(err, errMoved)
	switch {
	case !part && damage.Err != nil:
		return err
	case w.log.dropping.Load():
		return w.log.gone()
	case part && w.s.blocks.stands(w.log, damage):
		return corrupt(damage.Org, damage.FromSeq, damage.ToSeq, damage.What, nil)
	case part || w.s.blocks.changed(w.log, view):
		return errMoved
	default:
		return err
	}
}

// changed reports whether a log has another view by now. Who was told that
// something is gone asks after the sealer is done with what it does to the log at
// the moment.
func (x *blockIndex) changed(log *orgLog, view *sealedView) bool {
	if log.sealed.view.Load() != view {
		return true // without waiting: the sealer may wait for space
	}
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	return log.sealed.view.Load() != view
}

// stands reports whether a log still has the block that damage is about.
func (x *blockIndex) stands(log *orgLog, damage *CorruptError) bool {
	from, to, generation := damage.FromSeq, damage.ToSeq, damage.generation
	if v := log.sealed.view.Load(); v != nil && !v.has(from, to, generation) {
		return false // without waiting: the sealer may wait for space
	}
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	v, err := x.viewLocked(log)
	return err == nil && v.has(from, to, generation)
}

// blockError names the block that could not be read. What looks like damage in a
// log that was dropped may be the parts of its successor.
func blockError(log *orgLog, b *sealedBlock, err error) error {
	switch {
	case !errors.Is(err, block.ErrCorrupt) && !errors.Is(err, errMoved):
		return err
	case log.dropping.Load():
		return log.gone()
	default:
		damage := corrupt(b.org, b.FirstSeq, b.end(), "block", err)
		damage.generation = b.generation
		return damage
	}
}
