package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
)

// request is one change that waits for the committer. Whoever made it waits for
// done, and owns it again after that.
type request struct {
	batch *pebble.Batch
	done  chan error // of capacity 1
	start time.Time

	// A commit or, with drop, the removal of a log.
	log      *orgLog
	head     *head
	prev     uint64
	rows     int
	receipts []ledger.KeyedReceipt // with stored keys
	drop     bool

	// A change of the catalog.
	changes []catalog.Change
}

// bytes is what the request adds to the write-ahead log, about.
func (r *request) bytes() int { return r.batch.Len() + len(r.receipts)*receiptBytes }

// reset makes a request usable again, keeping its memory.
func (r *request) reset() {
	*r = request{done: r.done, receipts: r.receipts[:0]}
}

// queue is where requests wait for the committer.
type queue struct {
	// gate says why nothing may wait now, nil when it may. What it looks at is
	// changed before refuse is called, so that nobody is left waiting.
	gate func() error

	mu      sync.Mutex
	waiting []*request
	closed  error // why nothing is taken any more

	wake chan struct{} // of capacity 1
}

func (q *queue) push(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	if err := q.gate(); err != nil {
		return err
	}
	q.waiting = append(q.waiting, r)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// gather lets what is about to push do so: goroutines that can run go first, for
// as long as that makes the queue longer. Nobody waits for an idle processor, and
// on a busy one a sync, which costs much more than a commit, serves more of them.
func (q *queue) gather() {
	for n := q.len(); n > 0; {
		runtime.Gosched()
		now := q.len()
		if now <= n {
			return
		}
		n = now
	}
}

// take returns all that waits, in order, and spare in its place.
func (q *queue) take(spare []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = spare[:0]
	return taken
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// refuse answers all that waits with err.
func (q *queue) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, r := range q.waiting {
		r.done <- err
		q.waiting[i] = nil
	}
	q.waiting = q.waiting[:0]
}

// close refuses everything from now on. What waits already is still served.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = err
	close(q.wake)
}

// submit hands a request to the committer and waits for the outcome, however
// long it takes: nobody may leave while it is open.
func (s *Store) submit(r *request) error {
	r.start = s.now()
	if err := s.queue.push(r); err != nil {
		return err
	}
	return <-r.done
}

// Commit implements [ledger.Store]. It waits for the group that it becomes part
// of, whatever becomes of ctx meanwhile.
//
// When the store fails while the group is being written, whether it landed is
// known only after the store was opened again; Head answers with what was durable
// before, and no later commit is taken.
func (s *Store) Commit(ctx context.Context, c *ledger.Commit) error {
	if err := errors.Join(ctx.Err(), checkCommit(c)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	log, err := s.logs.load(c.Organization, true)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	cur := log.head.Load()
	if cur.Size != c.Prev {
		return ledger.ErrHeadMoved
	}
	r := s.newRequest()
	defer s.freeRequest(r)
	r.log, r.prev, r.rows = log, c.Prev, len(c.Rows)
	r.head = &head{
		Head:        c.Head,
		maxOccurred: max(cur.maxOccurred, c.MaxOccurredAt),
		incarnation: cur.incarnation,
	}
	r.head.Head = r.head.ledgerHead()
	if err := s.encodeCommit(r, c, cur); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return s.submit(r)
}

func checkCommit(c *ledger.Commit) error {
	if err := checkOrg(c.Organization); err != nil {
		return err
	}
	if len(c.Rows) == 0 || c.Head.Size != c.Prev+uint64(len(c.Rows)) {
		return fmt.Errorf("%d rows from size %d to %d", len(c.Rows), c.Prev, c.Head.Size)
	}
	if len(c.Head.Frontier) != bits.OnesCount64(c.Head.Size) {
		return fmt.Errorf("frontier of %d hashes for size %d", len(c.Head.Frontier), c.Head.Size)
	}
	if c.MinOccurredAt > c.MaxOccurredAt {
		return fmt.Errorf("times of occurrence from %d to %d", c.MinOccurredAt, c.MaxOccurredAt)
	}
	for i, row := range c.Rows {
		if len(row) > maxRowBytes {
			return fmt.Errorf("row %d has %d bytes, more than %d", i, len(row), maxRowBytes)
		}
	}
	for _, n := range c.Nodes {
		if n.Level < 1 || n.Level > maxLevel {
			return fmt.Errorf("node of tile level %d", n.Level)
		}
	}
	return nil
}

// maxLevel is the highest tile level that 2^64 entries have.
const maxLevel = 8

// encodeCommit writes everything of a commit but its receipts into the request's
// batch.
func (s *Store) encodeCommit(r *request, c *ledger.Commit, cur *head) error {
	e := s.encoders.Get().(*runEncoder)
	defer s.encoders.Put(e)
	if err := encodeRuns(r.batch, e, c, cur.maxOccurred, s.cfg.rangeRows); err != nil {
		return err
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		e.key = nodeKey(e.key[:0], c.Organization, n.Level, n.Index)
		e.value = append(append(e.value[:0], valueVersion), n.Hash[:]...)
		if err := r.batch.Set(e.key, seal(e.key, e.value, 0), nil); err != nil {
			return err
		}
	}
	for i := range c.Blocks {
		key := keysKey(nil, c.Organization, c.Blocks[i].Block)
		if err := r.batch.Set(key, encodeKeys(key, &rangeKeys{Keys: c.Blocks[i].Keys}), nil); err != nil {
			return err
		}
	}
	for _, receipt := range c.Receipts {
		receipt.Key = storedKey(receipt.Key, cur.incarnation)
		r.receipts = append(r.receipts, receipt)
	}
	e.key = appendOrgKey(e.key[:0], kindHead, c.Organization)
	e.value = r.head.encode(e.value[:0], e.key)
	return r.batch.Set(e.key, e.value, nil)
}

func encodeRuns(b *pebble.Batch, e *runEncoder, c *ledger.Commit, priorMax int64, rangeRows uint64) error {
	h := runHeader{
		receivedAt: c.ReceivedAt, minOccurred: c.MinOccurredAt, maxOccurred: c.MaxOccurredAt, priorMax: priorMax,
	}
	seq := c.Prev
	for rows := c.Rows; len(rows) > 0; {
		n := runLen(seq, rows, rangeRows)
		key, value := e.encode(c.Organization, seq, h, rows[:n])
		if err := b.Set(key, value, nil); err != nil {
			return err
		}
		rows = rows[n:]
		seq += uint64(n) //nolint:gosec // at most maxRunRows
		h.priorMax = max(priorMax, c.MaxOccurredAt)
	}
	return nil
}

// runLen is how many of rows make up the run that begins at seq.
func runLen(seq uint64, rows [][]byte, rangeRows uint64) int {
	limit := min(len(rows), maxRunRows, int(rangeRows-seq%rangeRows)) //nolint:gosec // at most ledger.BlockSize
	size := 0
	for i, row := range rows[:limit] {
		size += len(row)
		if size > maxRunBytes && i > 0 {
			return i
		}
	}
	return limit
}

// Drop implements [ledger.Store].
func (s *Store) Drop(ctx context.Context, org string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	log, err := s.logs.load(org, true)
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	r := s.newRequest()
	defer s.freeRequest(r)
	r.log, r.drop = log, true
	if err := s.submit(r); err != nil && !errors.Is(err, errNothing) {
		return fmt.Errorf("drop: %w", err)
	}
	return nil
}

// errNothing answers the removal of a log that is not there.
var errNothing = errors.New("nothing to remove")

// encodeDrop fills the batch of a removal.
func encodeDrop(b *pebble.Batch, org string, cur *head) error {
	for _, kind := range []byte(logKinds) {
		start := appendOrgKey(nil, kind, org)
		if err := b.DeleteRange(start, prefixEnd(start), nil); err != nil {
			return err
		}
	}
	d := dirt{org: org, incarnation: cur.incarnation, from: 0, to: math.MaxUint64}
	if err := d.put(b); err != nil {
		return err
	}
	key := appendOrgKey(nil, kindHead, org)
	empty := &head{incarnation: cur.incarnation + 1}
	return b.Set(key, empty.encode(nil, key), nil)
}

func (s *Store) newRequest() *request {
	r := s.requests.Get().(*request)
	r.batch = s.db.NewBatch()
	return r
}

func (s *Store) freeRequest(r *request) {
	if r.batch != nil {
		_ = r.batch.Close() // a batch that was not applied has nothing to say
	}
	r.reset()
	s.requests.Put(r)
}
