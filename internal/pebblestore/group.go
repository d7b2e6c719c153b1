package pebblestore

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

// maxGroupBytes bounds a group: Pebble writes a batch of half a memtable through
// a slower path. A larger commit is a group of its own.
const maxGroupBytes = 8 << 20

// committer writes requests to disk, a group at a time. It is the only writer of
// logs and catalog, and runs in a goroutine of its own.
type committer struct {
	s *Store

	// The group being formed.
	members  []*request
	bytes    int
	rows     int
	receipts []ledger.KeyedReceipt
	catalog  bool
	// revs are the revisions of catalog records after the changes of the group.
	revs map[string]uint64
}

// run serves the queue until it is closed and empty.
func (c *committer) run() {
	var spare []*request
	for range c.s.queue.wake {
		for {
			c.s.queue.gather()
			taken := c.s.queue.take(spare)
			spare = taken // the queue has the other one now, also when this is empty
			if len(taken) == 0 {
				break
			}
			c.serve(taken)
			clear(taken)
		}
	}
	c.s.queue.refuse(errClosed)
}

var errClosed = errors.New("the store is closed")

// serve writes requests in order, in as few groups as their size allows.
func (c *committer) serve(requests []*request) {
	for _, r := range requests {
		if err := c.s.refusal(r); err != nil {
			r.done <- err
			continue
		}
		alone := r.drop
		if alone || c.bytes+r.bytes() > maxGroupBytes {
			c.flush()
		}
		if err := c.admit(r); err != nil {
			r.done <- err
			continue
		}
		if alone {
			c.flush()
		}
	}
	c.flush()
}

// admit takes a request into the group if it fits what is there.
func (c *committer) admit(r *request) error {
	switch {
	case r.changes != nil:
		return c.admitChanges(r)
	case r.drop:
		return c.admitDrop(r)
	default:
		return c.admitCommit(r)
	}
}

func (c *committer) admitCommit(r *request) error {
	cur := r.log.next
	if cur == nil {
		cur = r.log.head.Load()
	}
	if r.log.dropping.Load() || cur.Size != r.prev {
		return ledger.ErrHeadMoved
	}
	r.log.next = r.head
	c.rows += r.rows
	c.receipts = append(c.receipts, r.receipts...)
	c.join(r)
	return nil
}

func (c *committer) admitDrop(r *request) error {
	cur := r.log.head.Load()
	if r.log.dropping.Load() || cur.Size == 0 {
		return errNothing
	}
	if err := encodeDrop(r.batch, r.log.org, cur); err != nil {
		return err
	}
	r.log.dropping.Store(true)
	c.s.sealer.settle(r.log)
	c.join(r)
	return nil
}

func (c *committer) join(r *request) {
	c.members = append(c.members, r)
	c.bytes += r.bytes()
}

// flush writes the group, has it synced and answers its members.
func (c *committer) flush() {
	if len(c.members) == 0 {
		return
	}
	if c.rows > 0 {
		c.s.sealer.wait()
	}
	start := c.s.now()
	if c.catalog {
		c.s.kv.freeze()
	}
	stats := CommitStats{Commits: len(c.members), Rows: c.rows, Waited: start.Sub(c.members[0].start)}
	stats.Bytes, stats.Err = c.write()
	if c.catalog {
		c.s.kv.thaw(func() { c.settle(stats.Err) })
	} else {
		c.settle(stats.Err)
	}
	stats.Duration = c.s.now().Sub(start)
	c.answer(stats.Err)
	c.s.onCommit(stats)
}

// write makes one batch of the group and applies it. When it returns nil the
// batch is durable.
func (c *committer) write() (size int, err error) {
	batch := c.members[0].batch
	for _, r := range c.members[1:] {
		if err := batch.Apply(r.batch, nil); err != nil {
			return 0, fmt.Errorf("commit group: %w", err)
		}
	}
	if len(c.receipts) > 0 {
		if err := c.s.receipts.append(batch, c.receipts, c.s.now()); err != nil {
			return 0, fmt.Errorf("commit group: %w", err)
		}
	}
	size = batch.Len()
	c.s.space.spend(size)
	how := pebble.Sync
	if c.s.cfg.Unsynced {
		how = pebble.NoSync // closing the write-ahead log syncs it
	}
	if err := c.s.apply(batch, how); err != nil {
		c.members[0].batch = nil // Pebble may still hold it
		return size, fmt.Errorf("commit group: %w: %w", ledger.ErrOutcomeUnknown, err)
	}
	return size, nil
}

// settle makes what became durable visible.
func (c *committer) settle(err error) {
	now := c.s.now()
	for _, r := range c.members {
		switch {
		case r.log == nil:
			c.s.kv.settle(r.changes, err)
		case r.drop && err == nil:
			c.s.logs.forget(r.log)
			c.s.blocks.forget(r.log)
		case !r.drop:
			if err == nil {
				r.log.head.Store(r.head)
				c.s.sealer.committed(r.log, r.head.Size, now)
			}
			r.log.next = nil
		}
	}
	if err == nil {
		c.s.receipts.add(c.receipts)
	}
}

// answer ends the group.
func (c *committer) answer(err error) {
	for i, r := range c.members {
		r.done <- err
		c.members[i] = nil
	}
	c.members, c.receipts = c.members[:0], c.receipts[:0]
	c.bytes, c.rows, c.catalog, c.revs = 0, 0, false, nil
}

// apply writes a batch to Pebble. It returns an error, and the store has failed,
// unless the batch is where the options say.
func (s *Store) apply(batch *pebble.Batch, options *pebble.WriteOptions) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.fs.fail(fmt.Errorf("pebble: %v", r))
			s.fs.wedge() // it may hold its locks
			err = s.fs.failed()
		}
	}()
	if err := s.fs.failed(); err != nil {
		return err
	}
	if err := s.db.Apply(batch, options); err != nil {
		return err
	}
	return s.fs.failed()
}

// stopped says why the store takes nothing now, nil when it does.
func (s *Store) stopped() error {
	if err := s.fs.failed(); err != nil {
		return s.failedError(err)
	}
	switch {
	case s.fs.full():
		return errWaiting
	case s.fs.stuck():
		return errBackground
	default:
		return nil
	}
}

// refusal says why the store does not take a request now, nil when it does. Room
// must be left for what frees space, and for the small records that go with it.
func (s *Store) refusal(r *request) error {
	if err := s.stopped(); err != nil {
		return err
	}
	switch {
	case r.drop:
		return nil
	case r.changes != nil:
		return s.space.check(2)
	default:
		return s.space.check(1)
	}
}

var errWaiting = fmt.Errorf("%w: a write is waiting for space", ledger.ErrDiskFull)

var errBackground = errors.New("no commits are taken while tables cannot be written; see the log")

// failedError is the answer of a store that failed.
func (s *Store) failedError(cause error) error {
	if isNoSpace(cause) {
		return fmt.Errorf("%w: the store stopped writing and must be restarted: %w", ledger.ErrDiskFull, cause)
	}
	return fmt.Errorf("the store stopped writing and must be restarted: %w", cause)
}

// onCommit tells whoever counts.
func (s *Store) onCommit(stats CommitStats) {
	if s.cfg.OnCommit != nil {
		s.cfg.OnCommit(stats)
	}
}

// CommitStats describes one group of commits that were synced together.
type CommitStats struct {
	// Commits is the number of commits and changes of the catalog in the group.
	Commits int
	// Rows is the number of entries.
	Rows int
	// Bytes is the size of the batch.
	Bytes int
	// Waited is how long the first of them waited for the group before it.
	Waited time.Duration
	// Duration is from closing the group until it was durable.
	Duration time.Duration
	// Err is why the group failed, nil when it is durable.
	Err error
}
