package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// follower delivers one stream. While it has something to do it has one
// goroutine, and otherwise none.
type follower struct {
	s   *Streams
	id  string
	org string // "" is every organization

	// Guarded by Streams.mu.
	running   bool
	again     bool // run once more
	removed   bool
	stale     bool // its owner changed something
	all       bool // look at every log
	flushing  bool // notBefore is only about filling a batch
	parked    bool // nothing to do before its owner acts
	notBefore time.Time
	timer     *time.Timer
	cancel    context.CancelFunc
	done      chan struct{}
	fresh     map[string]bool // logs that have grown
	seen      uint64          // size of the log when there was nothing to do
	shown     Stat            // but LagSeconds
	oldest    time.Time       // received_at of what is not delivered

	reconciling *reconciling // at work; nil when there is none

	// Owned by the goroutine.
	loaded    bool
	st        *Stream
	kind      *sink.Kind
	sink      sink.Sink
	sinkEpoch int
	limits    sink.Limits
	secrets   []string
	h         health
	hRev      uint64
	lanes     []*lane
	turn      int
	out       []catalog.Change // to be written with the next flush
	told      bool             // out has changes to tell
	dirty     bool             // h is to be written
}

// inflight is a frozen batch on its way, with what it holds of a budget.
type inflight struct {
	lane  *lane
	batch sink.Batch
	skips []Skip
	pool  *budget
	held  int
}

func (b *inflight) release() {
	b.pool.give(b.held)
	b.held = 0
}

// arm and disarm keep the timer that runs the follower again; Streams.mu is held.
func (f *follower) arm(d time.Duration) {
	f.timer = time.AfterFunc(d, func() {
		f.s.mu.Lock()
		defer f.s.mu.Unlock()
		f.s.startLocked(f)
	})
}

func (f *follower) disarm() {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
}

// grown notes that a log has more entries; Streams.mu is held.
func (f *follower) grown(org string) {
	if f.fresh == nil {
		f.fresh = map[string]bool{}
	}
	f.fresh[org] = true
	if !f.parked && (f.running || f.notBefore.IsZero()) {
		f.s.startLocked(f)
	}
}

// due reports whether to run the follower without having been told. A slow look
// measures its lag besides.
func (f *follower) due(ctx context.Context, now time.Time, slow bool) (bool, error) {
	f.s.mu.Lock()
	waiting := f.running || f.parked || f.notBefore.After(now) && !f.flushing
	seen := f.seen
	level := f.shown.LagEvents == 0 && f.oldest.IsZero()
	f.s.mu.Unlock()
	grown := true
	if f.org != "" {
		size, err := f.s.size(ctx, f.org)
		if err != nil {
			return false, err
		}
		grown = size > seen
	}
	if slow && (waiting || grown || !level) { // otherwise there is no lag, as before
		if err := f.measure(ctx); err != nil {
			return false, err
		}
	}
	return !waiting && grown && (slow || f.org != ""), nil
}

// size is the size of a log.
func (s *Streams) size(ctx context.Context, org string) (uint64, error) {
	at, err := s.cfg.Log.Through(ctx, org)
	if err != nil {
		return 0, fmt.Errorf("find end of log: %w", err)
	}
	if at == nil {
		return 0, nil
	}
	return at.Seq + 1, nil
}

// run delivers until there is nothing to do, and says when to look again without
// having been told; never when zero.
func (f *follower) run(ctx context.Context) time.Time {
	wake, err := f.deliver(ctx)
	if err == nil {
		return wake
	}
	f.loaded = false
	if ctx.Err() != nil {
		return time.Time{}
	}
	if isNotFound(err) && errors.Is(err, errGone) {
		return time.Time{}
	}
	f.s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "deliver stream", slog.String("stream", f.id), slog.Any("error", err))
	return f.s.cfg.Now().Add(storeRetry)
}

// errGone says that the stream's record is not there any more.
var errGone = fmt.Errorf("the stream was removed: %w", catalog.ErrNotFound)

func (f *follower) deliver(ctx context.Context) (time.Time, error) {
	all := f.org != "" // an operator's stream has many logs: those that have grown
	for {
		if err := ctx.Err(); err != nil {
			return time.Time{}, fmt.Errorf("deliver: %w", err)
		}
		if err := f.refresh(ctx, all); err != nil {
			return time.Time{}, err
		}
		all = false
		now := f.s.cfg.Now()
		if f.st.Paused || f.h.Stopped || now.Before(f.h.NextAttempt) {
			return f.park(f.st.Paused || f.h.Stopped), f.flush(ctx)
		}
		b, wake, err := f.next(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if b == nil {
			return wake, f.flush(ctx)
		}
		if err := f.attempt(ctx, b); err != nil {
			return time.Time{}, err
		}
	}
}

// park says when to go on: never before the owner acts when idle.
func (f *follower) park(idle bool) time.Time {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.parked = idle && !f.stale
	if idle {
		return time.Time{}
	}
	return f.h.NextAttempt
}

// refresh takes in what owners changed and which logs have grown; all looks at
// every log.
func (f *follower) refresh(ctx context.Context, all bool) error {
	f.s.mu.Lock()
	stale := f.stale
	fresh := f.fresh
	all = all || f.all
	f.stale, f.fresh, f.all = false, nil, false
	f.flushing = false
	f.s.mu.Unlock()
	if stale || !f.loaded {
		err := f.flush(ctx)
		if err == nil {
			err = f.load(ctx)
		}
		if err != nil {
			f.s.mu.Lock()
			f.stale = f.stale || stale
			f.s.mu.Unlock()
			return err
		}
		all = true
	}
	if f.org == "" {
		if err := f.newLanes(ctx, all, fresh); err != nil {
			f.loaded = false // with the lanes that are missing
			return err
		}
	}
	for _, ln := range f.lanes {
		ln.look = ln.look || ln.again || all || fresh[ln.cur.Organization]
		ln.again = false
	}
	return nil
}

// load reads the stream's records anew.
func (f *follower) load(ctx context.Context) error {
	f.out, f.told, f.dirty = nil, false, false
	st, err := catalog.Load[Stream](ctx, f.s.cfg.KV, prefixStream+f.id)
	if errors.Is(err, catalog.ErrNotFound) {
		return errGone
	}
	if err != nil {
		return err
	}
	h, err := catalog.Load[health](ctx, f.s.cfg.KV, prefixHealth+f.id)
	if err != nil {
		return err
	}
	f.st, f.h, f.hRev = &st.Value, h.Value, h.Rev
	if err := f.loadLanes(ctx); err != nil {
		return err
	}
	f.loaded = true
	if f.sink == nil || f.sinkEpoch != f.st.Epoch {
		if err := f.closeSink(); err != nil {
			f.s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "close destination", slog.String("stream", f.id), slog.Any("error", err))
		}
		f.openSink()
	}
	if f.h.Epoch != f.st.Epoch { // the owner acted: ask the destination at once
		f.h.Epoch, f.h.NextAttempt, f.h.Stopped, f.h.Refused, f.h.CapBytes = f.st.Epoch, time.Time{}, false, 0, 0
		f.dirty = true
	}
	return nil
}

// openSink opens the destination. Settings that do not open are one that answers
// everything with what is wrong.
func (f *follower) openSink() {
	f.sinkEpoch = f.st.Epoch
	f.kind, f.sink, f.secrets = f.s.open(f.st)
	f.limits = withDefaults(f.sink.Limits(), f.s.cfg.MaxInFlight)
	f.showExpiry()
}

// open opens the destination of a stream.
func (s *Streams) open(st *Stream) (*sink.Kind, sink.Sink, []string) {
	broken := func(message string) sink.Sink {
		return sink.Unreachable{Err: sink.Errorf(sink.Invalid, "settings", "%s", message)}
	}
	kind, ok := s.cfg.Kinds.Get(st.Kind)
	if !ok {
		return &sink.Kind{Name: st.Kind}, broken("This server does not know the destination " + st.Kind + "."), nil
	}
	values, err := s.values(st)
	if err != nil {
		return kind, broken(err.Error()), nil
	}
	secrets := kind.Secrets(values)
	opened, err := kind.Open(values, sink.Env{
		Dial: s.cfg.Dial, Now: s.cfg.Now, UserAgent: "Stele/" + s.cfg.Product, Server: s.cfg.Server, Stream: st.ID,
	})
	if err != nil {
		return kind, broken(sink.Excerpt(err.Error(), secrets...)), secrets
	}
	return kind, opened, secrets
}

func (f *follower) closeSink() error {
	if f.sink == nil {
		return nil
	}
	err := f.sink.Close()
	f.sink = nil
	if err != nil {
		return fmt.Errorf("close destination of %s: %w", f.id, err)
	}
	return nil
}

// Defaults of limits.
const (
	defaultMaxEvents   = 500
	defaultMaxBytes    = 1 << 20
	defaultSendTimeout = time.Minute
)

func withDefaults(l sink.Limits, inFlight int) sink.Limits {
	if l.MaxEvents <= 0 {
		l.MaxEvents = defaultMaxEvents
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = defaultMaxBytes
	}
	if l.SendTimeout <= 0 {
		l.SendTimeout = defaultSendTimeout
	}
	l.MaxBytes = min(l.MaxBytes, max(inFlight/16, 1<<17))
	return l
}

// next is the next batch, frozen and recorded; or when to look again.
func (f *follower) next(ctx context.Context) (*inflight, time.Time, error) {
	var wake time.Time
	for range len(f.lanes) {
		if f.turn >= len(f.lanes) {
			f.turn = 0
		}
		ln := f.lanes[f.turn]
		f.turn++
		if !ln.look {
			continue
		}
		b, at, err := f.prepare(ctx, ln)
		if err != nil && (ctx.Err() != nil || !f.loaded || len(f.lanes) == 1) {
			return nil, time.Time{}, err
		}
		if err != nil { // of one log: the others do not wait for it
			f.s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "deliver stream", slog.String("stream", f.id),
				slog.String("organization", ln.cur.Organization), slog.Any("error", err))
			if at = (time.Time{}); f.org != "" {
				at = f.s.cfg.Now().Add(storeRetry)
			} // and an operator's stream looks at all logs now and then
		}
		if b != nil {
			if err := f.flush(ctx); err != nil {
				b.release()
				return nil, time.Time{}, err
			}
			return b, time.Time{}, nil
		}
		ln.look, ln.again = false, !at.IsZero()
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	f.lanes = slices.DeleteFunc(f.lanes, func(ln *lane) bool {
		return ln.gone || ln.replay != nil && ln.replay.State != ReplayRunning && !ln.dirty
	})
	f.s.mu.Lock()
	f.flushing = !wake.IsZero()
	f.s.mu.Unlock()
	return nil, wake, nil
}

// prepare makes the next batch of a lane, if there is one.
func (f *follower) prepare(ctx context.Context, ln *lane) (*inflight, time.Time, error) {
	size, open, err := f.reach(ctx, ln)
	if ln.replay == nil && f.org != "" {
		f.s.mu.Lock()
		f.seen = size // 0 when it is closed: the poller looks again
		f.s.mu.Unlock()
	}
	if err != nil || !open {
		return nil, time.Time{}, err
	}
	if f.st.onSchedule() {
		if wake, waits := f.scheduled(ln, size); waits {
			return nil, wake, nil
		}
	} else if ln.cur.Frozen == nil && !ln.witness && !ln.behind(size) {
		return nil, time.Time{}, f.finish(ln)
	}
	b := &inflight{lane: ln, pool: f.s.healthy, held: f.need(ln)}
	if f.h.Slow {
		b.pool = f.s.failing
	}
	b.held = min(b.held, b.pool.size)
	if !b.pool.try(b.held) {
		if err := f.flush(ctx); err != nil { // waiting may take long
			return nil, time.Time{}, err
		}
		if err := b.pool.take(ctx, b.held); err != nil {
			return nil, time.Time{}, fmt.Errorf("wait for memory: %w", err)
		}
	}
	wake, err := f.fill(ctx, b, size)
	if err != nil || len(b.batch.Events) == 0 {
		b.release()
		return nil, wake, err
	}
	if spare := b.held - f.weight(b.batch.Bytes); spare > 0 {
		b.pool.give(spare)
		b.held -= spare
	}
	return b, time.Time{}, nil
}

// need is how many bytes of the budget a lane's next batch takes at most.
func (f *follower) need(ln *lane) int {
	if fz := ln.cur.Frozen; fz != nil {
		return f.weight(fz.Bytes)
	}
	return f.weight(f.limits.MaxBytes)
}

// weight is the memory that a batch takes: the events, the entries where they
// are asked for, and what the sink makes of both.
func (f *follower) weight(encoded int) int {
	const extra = 4 << 10
	if f.kind.Entries {
		return 3*encoded + extra
	}
	return 2*encoded + extra
}

// fill makes the batch again that is frozen, or freezes a new one.
func (f *follower) fill(ctx context.Context, b *inflight, size uint64) (time.Time, error) {
	ln := b.lane
	if fz := ln.cur.Frozen; fz != nil && fz.Shape != f.st.Shape {
		ln.cur.Frozen, ln.cur.Suspect, ln.dirty = nil, nil, true
	}
	if ln.cur.Frozen != nil {
		if done, err := f.refill(ctx, b); done || err != nil {
			return time.Time{}, err
		}
	}
	if ln.witness {
		if err := f.freezeCheckpoint(ctx, b); err != nil || len(b.batch.Events) > 0 {
			return time.Time{}, err
		}
	}
	if f.st.onSchedule() { // it could not be had: the log says why
		return f.s.cfg.Now().Add(storeRetry), nil
	}
	if !ln.behind(size) {
		return time.Time{}, f.finish(ln)
	}
	return f.freeze(ctx, b, size)
}

// finish ends a replay that is through.
func (f *follower) finish(ln *lane) error {
	if ln.replay == nil || ln.replay.State != ReplayRunning || ln.scanned < ln.replay.end() {
		return nil
	}
	ln.cur.Next = ln.scanned
	ln.replay.State, ln.replay.EndedAt, ln.dirty = ReplayDone, f.s.now(), true
	c := Change{Action: ActionReplayEnded, Replay: ln.replay.ID, Organization: ln.cur.Organization}
	if skips := ln.cur.Skipped; len(skips) > 0 {
		r := Replay{Cursor: *ln.cur}
		c.Detail = fmt.Sprintf("%d events skipped: %s", r.Skipped(), skips[len(skips)-1].Reason)
	}
	return f.tell(c)
}

// flush writes what is due as one change: all of it or nothing.
func (f *follower) flush(ctx context.Context) error {
	if !f.loaded {
		return nil
	}
	if err := f.announce(); err != nil {
		return err
	}
	changes := f.out
	var wrote []*lane
	for _, ln := range f.lanes {
		if !ln.dirty {
			continue
		}
		c, err := ln.change()
		if err != nil {
			return err
		}
		changes, wrote = append(changes, c), append(wrote, ln)
	}
	if f.dirty {
		c, err := catalog.Put(prefixHealth+f.id, f.h, f.hRev)
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	f.show()
	if len(changes) == 0 {
		return nil
	}
	if err := f.s.cfg.KV.Apply(ctx, changes...); err != nil {
		f.loaded = false // it may have landed
		return fmt.Errorf("record progress: %w", err)
	}
	for _, ln := range wrote {
		ln.rev++
		ln.dirty = false
	}
	if f.dirty {
		f.hRev++
	}
	if f.told {
		f.s.kickTeller()
	}
	f.out, f.dirty, f.told = nil, false, false
	return nil
}

// put adds a record to what the next flush writes.
func (f *follower) put(c catalog.Change, err error) error {
	if err != nil {
		return err
	}
	f.out = append(f.out, c)
	return nil
}

// batchID names a batch: the same for every attempt, and for no other batch.
func batchID(stream, org, replay string, first, last uint64, kind string) string {
	return "batch_" + digestText(strings.Join([]string{
		stream, org, replay, kind, fmt.Sprint(first), fmt.Sprint(last),
	}, "\x00"))
}

// query reads a filter that was checked when it was recorded.
func query(text string) (audit.Query, error) {
	q, err := audit.ParseQuery(text)
	if err != nil {
		return audit.Query{}, fmt.Errorf("read the stream's filter: %w", err)
	}
	return q, nil
}
