package ledger

import (
	"sync"
	"sync/atomic"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// logState is what the ledger remembers of one organization's log. It is made
// when the log is first touched and forgotten, the one longest unused first,
// when nobody uses it and there are too many.
type logState struct {
	org string

	// Guarded by Ledger.mu.
	refs       int       // users: calls under way, waiters, the owner
	prev, next *logState // in the ring of idle states, the one used last first

	// mu guards the pool. It may be held while Ledger.mu is taken, not the
	// other way round.
	mu         sync.Mutex
	pool       []*load // what waits for the owner
	poolEvents int
	poolBytes  int
	running    bool          // there is an owner
	changed    chan struct{} // closed after the next commit; nil when nobody waits

	// own is held by the owner during a round, and by Drop.
	own    sync.Mutex
	loaded bool // head is the store's, and it may be appended to
	head   Head
	keys   event.Keys // of the block that the next entry lies in, unless that begins with it

	// signing is held while a checkpoint is made.
	signing  sync.Mutex
	newest   signedCheckpoint // its note is nil while it is not known
	verified bool             // the tree was shown to extend newest

	dropped atomic.Bool // by Drop, for good
	warned  atomic.Bool // the operator was told that the log is behind
}

// commitSignal returns a channel that is closed after the next commit.
func (lg *logState) commitSignal() <-chan struct{} {
	lg.mu.Lock()
	defer lg.mu.Unlock()
	if lg.changed == nil {
		lg.changed = make(chan struct{})
	}
	return lg.changed
}

// signalCommit wakes everybody who waits for a commit.
func (lg *logState) signalCommit() {
	lg.mu.Lock()
	defer lg.mu.Unlock()
	if lg.changed != nil {
		close(lg.changed)
		lg.changed = nil
	}
}

// acquire returns the state of an organization's log and keeps it from being
// forgotten until release. It fails once the ledger is closed.
func (l *Ledger) acquire(org string) (*logState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	lg, ok := l.logs[org]
	if !ok {
		lg = &logState{org: org}
		_, dropped := l.dropped[org]
		lg.dropped.Store(dropped)
		l.logs[org] = lg
	}
	l.use(lg)
	return lg, nil
}

// retain counts one more user of a state that the caller has acquired.
func (l *Ledger) retain(lg *logState) {
	l.mu.Lock()
	l.use(lg)
	l.mu.Unlock()
}

// release ends what acquire or retain began.
func (l *Ledger) release(lg *logState) {
	l.mu.Lock()
	lg.refs--
	if lg.refs == 0 {
		l.rest(lg)
	}
	l.mu.Unlock()
	l.users.Done()
}

// use counts one more user. Ledger.mu is held.
func (l *Ledger) use(lg *logState) {
	if lg.next != nil {
		lg.unlink()
		l.idle--
	}
	lg.refs++
	l.users.Add(1)
}

// rest puts a state that nobody uses at the front of the ring, and forgets the
// last one if they are too many. Ledger.mu is held.
func (l *Ledger) rest(lg *logState) {
	lg.linkAfter(&l.ring)
	l.idle++
	if l.idle > l.cfg.Limits.Organizations {
		last := l.ring.prev
		last.unlink()
		l.idle--
		delete(l.logs, last.org)
	}
}

func (lg *logState) linkAfter(at *logState) {
	lg.prev, lg.next = at, at.next
	at.next.prev = lg
	at.next = lg
}

func (lg *logState) unlink() {
	lg.prev.next, lg.next.prev = lg.next, lg.prev
	lg.prev, lg.next = nil, nil
}

func errClosed() error {
	return audit.Errorf(audit.CodeUnavailable, "The server is shutting down; try again soon.")
}
