package web

import (
	"context"
	"sync"
)

// turnsEach is how many of an organization's people may have something counted at
// the same time beside their pages: completions, and histograms that take long. So
// whoever types fast, or writes a program, takes no more of the server than that.
const turnsEach = 4

// turns are the counts that go on. The zero value is ready.
type turns struct {
	mu  sync.Mutex
	all map[string]*turn // by organization; those that have one or wait
}

type turn struct {
	slots chan struct{}
	users int // guarded by turns.mu
}

// take waits for a turn of an organization, as long as ctx lasts. done gives it
// back; it is nil when there was none.
func (t *turns) take(ctx context.Context, organization string) (done func()) {
	own := t.join(organization)
	select {
	case own.slots <- struct{}{}:
		return func() {
			<-own.slots
			t.leave(organization, own)
		}
	case <-ctx.Done():
		t.leave(organization, own)
		return nil
	}
}

func (t *turns) join(organization string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.all[organization]
	if own == nil {
		if t.all == nil {
			t.all = map[string]*turn{}
		}
		own = &turn{slots: make(chan struct{}, turnsEach)}
		t.all[organization] = own
	}
	own.users++
	return own
}

func (t *turns) leave(organization string, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.all, organization)
	}
}
