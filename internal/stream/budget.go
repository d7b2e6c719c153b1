package stream

import (
	"context"
	"sync"
)

// budget bounds the bytes in flight of a group of streams. Who asks first gets
// first, so that a large batch is not starved by small ones.
type budget struct {
	mu    sync.Mutex
	free  int
	size  int
	queue []*claim
}

type claim struct {
	n     int
	ready chan struct{} // closed once granted
}

func newBudget(size int) *budget { return &budget{free: size, size: size} }

// try takes n bytes if that needs no waiting.
func (b *budget) try(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 || b.free < n {
		return false
	}
	b.free -= n
	return true
}

// take waits for n bytes, which are at most the whole budget.
func (b *budget) take(ctx context.Context, n int) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n: n, ready: make(chan struct{})}
	b.queue = append(b.queue, c)
	b.mu.Unlock()
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.ready: // granted at the same moment
		b.free += n
	default:
		for i, other := range b.queue {
			if other == c {
				b.queue = append(b.queue[:i], b.queue[i+1:]...)
				break
			}
		}
	}
	b.grant()
	return context.Cause(ctx)
}

// give returns n bytes.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.grant()
}

func (b *budget) grant() {
	for len(b.queue) > 0 && b.queue[0].n <= b.free {
		c := b.queue[0]
		b.queue = b.queue[1:]
		b.free -= c.n
		close(c.ready)
	}
}

// wanted reports whether somebody waits.
func (b *budget) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0
}

// inUse is how many bytes are taken.
func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.free
}
