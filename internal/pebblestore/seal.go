package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// When rows are sealed. A complete range is sealed at once. What comes after it
// has to be read row by row and takes four times the space, so it is sealed too
// when nothing is added for a while, or when it has waited long; but the fewer
// rows, the less that gives.
const (
	quietAfter = 2 * time.Second
	quietRows  = 512
	staleAfter = 10 * time.Minute
	staleRows  = 64
	// sealEvery is how often the sealer looks for those.
	sealEvery = time.Second
)

// Commits wait when more complete ranges than slowRanges wait to be sealed, a
// little longer with each, and maxWait once it is stopRanges: the rows wait on
// disk, not in memory, so there may be many, but not ever more.
const (
	slowRanges = 24
	stopRanges = 96
	maxWait    = 100 * time.Millisecond
)

// sealer turns rows into blocks in the background, one block a turn, in turns
// between the organizations that have a complete range of them.
type sealer struct {
	s       *Store
	builder *blockBuilder // the sealing goroutine's

	wake chan struct{} // of capacity 1
	stop chan struct{}
	done sync.WaitGroup

	mu sync.Mutex
	// waiting are the logs with a complete range, or of which it is not known
	// yet, first come first served.
	waiting []*orgLog
	// open are all logs that have rows.
	open map[*orgLog]struct{}

	due atomic.Int64 // complete ranges that wait
}

// pending is what the sealer knows of a log. The sealer's mu guards it.
type pending struct {
	known   bool   // sealed is right
	queued  bool   // in waiting
	broken  bool   // rows of it cannot be read; said once and left alone
	size    uint64 // of the log
	sealed  uint64 // seq of the first entry that is not in a block
	due     int64  // complete ranges
	since   time.Time
	changed time.Time
}

// rows is the number of entries that are not in blocks.
func (p *pending) rows() uint64 { return p.size - min(p.size, p.sealed) }

func newSealer(s *Store) *sealer {
	return &sealer{
		s: s, builder: newBlockBuilder(s), open: map[*orgLog]struct{}{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
}

// committed tells the sealer that a log has grown, or what it found when the
// store was opened.
func (z *sealer) committed(log *orgLog, size uint64, now time.Time) {
	z.mu.Lock()
	p := &log.pending
	if p.broken {
		z.mu.Unlock()
		return
	}
	p.size, p.changed = max(p.size, size), now
	if p.since.IsZero() {
		p.since = now
	}
	z.open[log] = struct{}{}
	z.count(p)
	wake := z.enqueue(log)
	z.mu.Unlock()
	if wake {
		z.nudge()
	}
}

// count brings due up to date. mu is held.
func (z *sealer) count(p *pending) {
	n := int64(0)
	if p.known && !p.broken {
		rows := z.s.cfg.rangeRows
		n = int64(p.size/rows) - int64(min(p.sealed, p.size)/rows) //nolint:gosec // far below 2^63
	}
	z.due.Add(n - p.due)
	p.due = n
}

// enqueue has a log wait its turn when there is something to do. mu is held.
func (z *sealer) enqueue(log *orgLog) bool {
	p := &log.pending
	if p.queued || p.broken || p.known && p.due == 0 {
		return false
	}
	p.queued = true
	z.waiting = append(z.waiting, log)
	return true
}

func (z *sealer) nudge() {
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// next returns the log whose turn it is, nil when none waits.
func (z *sealer) next() *orgLog {
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.waiting) == 0 {
		return nil
	}
	log := z.waiting[0]
	z.waiting[0] = nil
	z.waiting = z.waiting[1:]
	log.pending.queued = false
	return log
}

// sealed notes up to where a log is in blocks.
func (z *sealer) sealed(log *orgLog, to uint64, now time.Time) {
	z.mu.Lock()
	defer z.mu.Unlock()
	p := &log.pending
	p.known, p.sealed, p.since = true, max(p.sealed, to), now
	z.count(p)
	z.enqueue(log)
	if p.rows() == 0 {
		delete(z.open, log)
		p.since = time.Time{}
	}
}

// leave forgets a log that is gone, or that cannot be sealed until the store is
// opened again.
func (z *sealer) leave(log *orgLog) {
	z.mu.Lock()
	defer z.mu.Unlock()
	log.pending.broken = true
	z.count(&log.pending)
	delete(z.open, log)
}

// run seals until the sealer is closed.
func (z *sealer) run() {
	z.discover()
	tick := time.NewTicker(z.s.cfg.sealEvery)
	defer tick.Stop()
	for {
		for log := z.next(); log != nil; log = z.next() {
			if z.stopped() || !z.s.roomToSeal() {
				z.postpone(log)
				break
			}
			z.turn(log)
		}
		var clock <-chan time.Time
		if z.anyOpen() {
			clock = tick.C
		}
		select {
		case <-z.stop:
			return
		case <-z.wake:
		case <-clock:
			z.tails()
			if !z.anyOpen() {
				z.builder.rest()
			}
		}
	}
}

func (z *sealer) stopped() bool {
	select {
	case <-z.stop:
		return true
	default:
		return false
	}
}

func (z *sealer) anyOpen() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.open) > 0 || len(z.waiting) > 0
}

// postpone gives a log its place back.
func (z *sealer) postpone(log *orgLog) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.enqueue(log)
}

func (z *sealer) close() {
	close(z.stop)
	z.done.Wait()
}

// turn seals the first complete range of a log.
func (z *sealer) turn(log *orgLog) {
	view, err := z.s.blocks.view(log)
	if err != nil {
		z.fail(log, err)
		return
	}
	end := view.end()
	to := z.s.rangeEnd(end)
	if log.head.Load().Size < to {
		z.sealed(log, end, z.s.now()) // now it is known
		return
	}
	z.seal(log, to)
}

// seal has entries below to in blocks, those of one range at most.
func (z *sealer) seal(log *orgLog, to uint64) {
	start := z.s.now()
	end, stats, err := z.builder.seal(log, to)
	if err != nil {
		z.fail(log, err)
		return
	}
	now := z.s.now()
	z.sealed(log, end, now)
	if stats.Rows == 0 {
		return // Seal was faster
	}
	stats.Duration = now.Sub(start)
	z.s.onSeal(stats)
}

// settle returns once nothing is written to a log that is marked as dropped.
func (z *sealer) settle(log *orgLog) {
	log.sealed.mu.Lock()
	defer log.sealed.mu.Unlock()
	z.leave(log)
}

// fail says why a log is not sealed. Its rows stay as they are.
func (z *sealer) fail(log *orgLog, err error) {
	z.leave(log)
	if log.dropping.Load() || z.s.fs.failed() != nil {
		return // what the error says was said, or is no fault
	}
	z.s.log.LogAttrs(context.Background(), slog.LevelError,
		"entries cannot be sealed into blocks; they stay as rows until the server is restarted",
		slog.String("organization", log.org), slog.String("error", err.Error()))
}

// tails seals what has waited long enough, while there is no complete range.
func (z *sealer) tails() {
	for _, log := range z.ripe(z.s.now()) {
		if z.due.Load() > 0 || z.stopped() || !z.s.roomToSeal() {
			return
		}
		if to := log.head.Load().Size; !log.dropping.Load() {
			z.seal(log, to)
		}
	}
}

// ripe returns the logs with rows that should be sealed though they are no
// complete range, and forgets those with too few until they grow.
func (z *sealer) ripe(now time.Time) []*orgLog {
	z.mu.Lock()
	defer z.mu.Unlock()
	var list []*orgLog
	for log := range z.open {
		p := &log.pending
		switch {
		case !p.known || p.due > 0:
		case p.rows() < z.s.cfg.staleRows:
			delete(z.open, log)
			p.since = time.Time{}
		case p.ripe(now, z.s.cfg.quietRows):
			list = append(list, log)
		}
	}
	return list
}

// ripe reports whether rows that are no complete range have waited long enough.
func (p *pending) ripe(now time.Time, quietRows uint64) bool {
	return p.rows() >= quietRows && now.Sub(p.changed) >= quietAfter || now.Sub(p.since) >= staleAfter
}

// stats counts the entries that are in no block, and those of them that will be
// soon: there are none of these once nothing was recorded for a while.
func (z *sealer) stats(now time.Time) (unsealed, due uint64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	cfg := &z.s.cfg
	for log := range z.open {
		p := &log.pending
		n := p.rows()
		unsealed += n
		if !p.broken && (!p.known || p.due > 0 || n >= cfg.quietRows || n >= cfg.staleRows && p.ripe(now, cfg.quietRows)) {
			due += n
		}
	}
	return unsealed, due
}

// discover finds the logs that have rows, when the store was opened.
func (z *sealer) discover() {
	now := z.s.now()
	err := eachRow(z.s.db, kindHead, func(key, value []byte) error {
		h, err := decodeHead(key, value)
		if err != nil || h.Size == 0 || len(key) < 2 || z.stopped() {
			return nil //nolint:nilerr // told by whoever reads the log
		}
		org := string(key[2:])
		end, err := sealedEnd(z.s.db, org)
		if err == nil && end >= h.Size {
			return nil
		}
		log, err := z.s.logs.load(org, false)
		if err == nil {
			z.committed(log, log.head.Load().Size, now)
		}
		return err
	})
	if err != nil && z.s.fs.failed() == nil {
		z.s.log.LogAttrs(context.Background(), slog.LevelError,
			"could not look for entries to be sealed; those of organizations that are not written to stay as rows",
			slog.String("error", err.Error()))
	}
}

// roomToSeal reports whether the store takes writes now. Sealing frees space, but
// needs some first.
func (s *Store) roomToSeal() bool { return s.stopped() == nil && s.space.check(2) == nil }

// wait holds a group of commits back for as long as the backlog of the sealer
// says, so that it does not grow without end. It returns at once when the store
// stops writing.
func (z *sealer) wait() {
	d := z.hold()
	if d == 0 {
		return
	}
	select {
	case <-z.stop:
	case <-z.s.fs.frozenNow:
	case <-time.After(d):
	}
}

// hold is how long a group of commits should wait.
func (z *sealer) hold() time.Duration {
	over := z.due.Load() - slowRanges
	if over <= 0 {
		return 0
	}
	return min(maxWait, maxWait*time.Duration(over)/(stopRanges-slowRanges))
}

// SealStats describes the sealing of one range of entries.
type SealStats struct {
	// Rows is how many entries were put in blocks, Merged how many of them came
	// out of smaller blocks.
	Rows, Merged int
	// Blocks is the number of blocks they make, Bytes their size.
	Blocks, Bytes int
	// Duration is how long that took.
	Duration time.Duration
}

// onSeal tells whoever counts.
func (s *Store) onSeal(stats SealStats) {
	if s.cfg.OnSeal != nil {
		s.cfg.OnSeal(stats)
	}
}

// Seal has every entry that is recorded when it is called in a block when it
// returns nil, however few they are: for whoever measures, or wants a store small
// before copying it. Commits go on meanwhile.
func (s *Store) Seal(ctx context.Context) error {
	err := eachRow(s.db, kindHead, func(key, _ []byte) error {
		if len(key) < 2 {
			return errLength
		}
		log, err := s.logs.load(string(key[2:]), false)
		if err != nil {
			return err
		}
		return s.sealer.all(ctx, log)
	})
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// all seals a log, range by range.
func (z *sealer) all(ctx context.Context, log *orgLog) error {
	size := log.head.Load().Size
	for {
		if err := errors.Join(ctx.Err(), z.s.stopped()); err != nil {
			return err
		}
		end, _, err := z.builder.seal(log, size)
		if err != nil {
			return err
		}
		z.sealed(log, end, z.s.now())
		if end >= size {
			return nil
		}
	}
}

// rangeEnd is where the range ends that an entry is in.
func (s *Store) rangeEnd(seq uint64) uint64 {
	return seq - seq%s.cfg.rangeRows + s.cfg.rangeRows
}
