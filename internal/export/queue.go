package export

import (
	"context"
	"slices"
)

// enqueue hands a job to the workers.
func (x *Exports) enqueue(t ticket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue = append(x.queue, t)
	x.changed.Broadcast()
}

// open counts an organization's jobs that wait or run.
func (x *Exports) open(org string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, t := range x.queue {
		if t.org == org {
			n++
		}
	}
	for _, r := range x.running {
		if r.org == org {
			n++
		}
	}
	return n
}

// next waits for a job and takes it; false once closed.
func (x *Exports) next(ctx context.Context) (*run, context.Context, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.queue) == 0 && !x.closed {
		x.changed.Wait()
	}
	if x.closed {
		return nil, nil, false
	}
	i := x.fairest()
	r := &run{ticket: x.queue[i]}
	x.queue = slices.Delete(x.queue, i, i+1)
	ctx, r.cancel = context.WithCancel(ctx)
	x.running[r.id] = r
	return r, ctx, true
}

// fairest is the place of the oldest job of an organization that has none
// running, or of the oldest of all: one organization's jobs do not take every
// worker while another waits.
func (x *Exports) fairest() int {
	busy := map[string]bool{}
	for _, r := range x.running {
		busy[r.org] = true
	}
	return max(0, slices.IndexFunc(x.queue, func(t ticket) bool { return !busy[t.org] }))
}

// done says that a worker is through with a job.
func (x *Exports) done(r *run) {
	r.cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.running, r.id)
	x.changed.Broadcast()
}

// halt takes jobs from the queue, stops those that run and waits until they
// have.
func (x *Exports) halt(which func(ticket) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue = slices.DeleteFunc(x.queue, which)
	for {
		waiting := false
		for _, r := range x.running {
			if which(r.ticket) {
				r.cancel()
				waiting = true
			}
		}
		if !waiting {
			return
		}
		x.changed.Wait()
	}
}
