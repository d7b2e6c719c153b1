package stream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

const (
	// errorAfter is how long a stream fails before that is an error.
	errorAfter = 15 * time.Minute
	// announceAfter is how long a stream is degraded before its owner is told:
	// a single failure is not worth an entry.
	announceAfter = time.Minute

	firstRetry   = time.Second
	maxRetry     = 5 * time.Minute
	maxRetryWish = time.Hour // of a receiver's Retry-After
	firstProbe   = time.Minute
	maxProbe     = 30 * time.Minute

	// slowAfter is the time of an attempt from which on a stream counts as slow.
	slowAfter = 5 * time.Second
	// firstRamp is how many events the batches after trouble begin with.
	firstRamp = 16
	// maxRefused is how many events in a row go to the dead letters before the
	// fault is taken to be the destination's.
	maxRefused = 10
)

// attempt sends a batch and records what became of it. Its error is not about
// the destination.
func (f *follower) attempt(ctx context.Context, b *inflight) error {
	fz := b.lane.cur.Frozen
	b.batch.Attempt = fz.Attempts + 1
	start := f.s.cfg.Now()
	answer, evicted, err := f.send(ctx, b)
	b.release()
	if ctx.Err() != nil {
		return fmt.Errorf("deliver: %w", ctx.Err()) // whether it arrived is not known: it is sent again
	}
	if evicted {
		f.h.Slow, f.dirty = true, true
		f.turn, b.lane.look = max(f.turn-1, 0), true
		return nil // it is sent again, from the other budget
	}
	now := f.s.cfg.Now()
	latency := max(now.Sub(start), 0)
	fz.Attempts++
	f.dirty, b.lane.dirty = true, true
	f.h.addLatency(latency.Milliseconds())
	defer f.report(b.lane, fz, f.h, latency)
	answer.Text = sink.Excerpt(answer.Text, f.secrets...)
	if err == nil {
		f.h.Slow = latency >= slowAfter
		f.taken(len(b.batch.Events))
		return f.advance(ctx, b, answer, latency, nil)
	}
	fault := *sink.AsError(err)
	fault.Message = sink.Excerpt(fault.Message, f.secrets...)
	if cause := fault.Err; cause != nil {
		f.s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "stream attempt failed", slog.String("stream", f.id),
			slog.String("cause", sink.Excerpt(cause.Error(), f.secrets...)))
	}
	failed := Attempt{
		At: start.UTC().Truncate(time.Millisecond), Latency: latency.Milliseconds(), Class: fault.Class.String(),
		Code: sink.Excerpt(fault.Code), Message: fault.Message, Status: answer.Status, Text: answer.Text,
	}
	fz.addFailure(failed)
	f.h.LastError = &failed
	return f.failed(ctx, b, &fault, answer, latency)
}

// report tells what an attempt came to; before is the health before it.
func (f *follower) report(ln *lane, fz *frozen, before health, latency time.Duration) {
	f.s.cfg.Delivered(Progress{
		Kind: f.kind.Name, Failed: ln.cur.Frozen == fz, Latency: latency,
		Delivered:   int(f.h.Events - before.Events),           //nolint:gosec // of one batch
		DeadLetters: int(f.h.DeadLetters - before.DeadLetters), //nolint:gosec // of one batch
		Bytes:       int(f.h.Bytes - before.Bytes),             //nolint:gosec // of one batch
	})
}

// send makes one attempt, in the time it may take. One that is slow holds memory
// of those that are not: when they wait for it, it is evicted.
func (f *follower) send(ctx context.Context, b *inflight) (answer sink.Answer, evicted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.SendTimeout)
	defer cancel()
	if b.pool == f.s.healthy {
		room := make(chan struct{})
		stop := b.makeRoom(func() { close(room); cancel() })
		defer func() {
			stop()
			select {
			case <-room:
				evicted = err != nil
			default:
			}
		}()
	}
	answer, err = f.sink.Send(ctx, &b.batch)
	if err != nil && ctx.Err() != nil && sink.AsError(err).Class == sink.Retry {
		err = &sink.Error{
			Class: sink.Retry, Code: "timeout", Err: err,
			Message: fmt.Sprintf("The destination did not answer within %s.", f.limits.SendTimeout),
		}
	}
	return answer, evicted, err
}

// makeRoom calls evict once the batch has been under way for slowAfter and
// others wait for memory. After stop, it is not called any more.
func (b *inflight) makeRoom(evict func()) (stop func()) {
	var mu sync.Mutex
	ended := false
	var timer *time.Timer
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ended:
		case b.pool.wanted():
			ended = true
			evict()
		default:
			timer.Reset(time.Second)
		}
	}
	mu.Lock()
	timer = time.AfterFunc(slowAfter, check)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		timer.Stop()
	}
}

// taken notes that the destination took events: it works.
func (f *follower) taken(events int) {
	h := &f.h
	h.Failures, h.FailingSince, h.NextAttempt, h.Refused = 0, time.Time{}, time.Time{}, 0
	h.LastSuccess = f.s.now()
	if h.Ramp > 0 {
		h.Ramp = max(h.Ramp, events) * 2
		if h.Ramp >= f.limits.MaxEvents {
			h.Ramp = 0
		}
	}
	f.enter(StateActive)
}

// enter puts the stream in a state.
func (f *follower) enter(state State) {
	if f.h.State == state {
		return
	}
	f.h.State, f.h.Since = state, f.s.now()
	f.dirty = true
}

// advance moves the cursor behind a batch. dead are the places of events that
// went to the dead letters.
func (f *follower) advance(ctx context.Context, b *inflight, answer sink.Answer, latency time.Duration, dead []int) error {
	ln := b.lane
	fz := ln.cur.Frozen
	outcome := OutcomeDelivered
	switch {
	case len(dead) == len(b.batch.Events):
		outcome = OutcomeRefused
	case len(dead) > 0 || len(fz.Except) > 0:
		outcome = OutcomePartly
	}
	if err := f.history(ctx, b, outcome, answer, latency, len(dead)); err != nil {
		return err
	}
	if outcome != OutcomeRefused {
		now := f.s.now()
		if fz.Note != "" {
			ln.cur.Witness, ln.cur.WitnessAt = fz.Last+1, now
			f.h.count(now, &b.batch, 0, 0)
		} else {
			f.h.count(now, &b.batch, len(b.batch.Events)-len(dead), b.batch.Bytes)
			ln.witness = ln.replay == nil && f.st.Checkpoints
		}
		if err := f.revived(ctx, ln, b, dead); err != nil {
			return err
		}
	}
	f.skip(ln, b.skips)
	if s := ln.cur.Suspect; s != nil {
		s.Events -= len(b.batch.Events)
		if fz.To >= s.To || s.Events <= 0 || len(dead) > 0 {
			ln.cur.Suspect = nil
		}
	}
	ln.cur.Next, ln.cur.Frozen, ln.dirty = fz.To, nil, true
	ln.scanned = fz.To
	ln.look = true
	f.dirty = true
	return nil
}

// failed decides what a failure means.
func (f *follower) failed(ctx context.Context, b *inflight, fault *sink.Error, answer sink.Answer, latency time.Duration) error {
	f.h.Slow = latency >= slowAfter || fault.Class == sink.Retry
	class := fault.Class
	if class == sink.Rejected && !soundRejection(fault, len(b.batch.Events)) {
		class = sink.Malformed
	}
	content := class == sink.TooLarge || class == sink.Malformed || class == sink.Rejected
	if content && b.batch.Checkpoint != nil && !f.st.onSchedule() {
		// The receiver takes no checkpoints: events do not wait for that.
		b.lane.cur.Witness = b.lane.cur.Frozen.Last + 1
		return f.advance(ctx, b, answer, latency, []int{0})
	}
	if content && b.batch.Checkpoint != nil { // and it was made for nothing else
		f.refuse(fault)
		return f.flush(ctx)
	}
	switch class {
	case sink.TooLarge, sink.Malformed:
		if len(b.batch.Events) > 1 {
			return f.halve(ctx, b, class, answer, latency)
		}
		return f.bury(ctx, b, []sink.Rejection{{Index: 0, Code: fault.Code, Text: words(fault, answer)}}, true, fault, answer, latency)
	case sink.Rejected:
		return f.bury(ctx, b, fault.Rejected, fault.RestTaken, fault, answer, latency)
	case sink.Invalid, sink.Permanent:
		f.refuse(fault)
		return f.flush(ctx)
	default:
		f.backOff(fault)
		return f.flush(ctx)
	}
}

// soundRejection reports whether a rejection names events of the batch.
func soundRejection(fault *sink.Error, events int) bool {
	seen := map[int]bool{}
	for _, r := range fault.Rejected {
		if r.Index < 0 || r.Index >= events || seen[r.Index] {
			return false
		}
		seen[r.Index] = true
	}
	return len(seen) > 0
}

// words are what a receiver said about an event.
func words(fault *sink.Error, answer sink.Answer) string {
	if answer.Text != "" {
		return answer.Text
	}
	return fault.Message
}

// halve gives a refused batch up for smaller ones.
func (f *follower) halve(ctx context.Context, b *inflight, class sink.Class, answer sink.Answer, latency time.Duration) error {
	ln := b.lane
	fz := ln.cur.Frozen
	if err := f.history(ctx, b, OutcomeSplit, answer, latency, 0); err != nil {
		return err
	}
	if class == sink.TooLarge {
		overhead := len(b.batch.Events) * f.limits.EventOverhead
		f.h.CapBytes = max(1, (b.batch.Bytes+overhead)/2)
	} else {
		ln.cur.Suspect = &suspect{To: fz.To, Events: len(b.batch.Events)}
	}
	ln.scanned = fz.From
	ln.cur.giveUp()
	ln.dirty, ln.look = true, true
	f.turn-- // the same lane goes on
	f.turn = max(f.turn, 0)
	return nil
}

// refuse notes that credentials or settings are wrong.
func (f *follower) refuse(fault *sink.Error) {
	h := &f.h
	f.failing()
	f.enter(StateInvalid)
	h.Stopped = fault.Class == sink.Permanent
	wait := f.backoff(firstProbe, maxProbe, h.Failures)
	h.NextAttempt = f.s.now().Add(max(wait/2+wait/4, f.wished(fault)))
}

// backOff notes a failure that will pass.
func (f *follower) backOff(fault *sink.Error) {
	h := &f.h
	f.failing()
	state := StateDegraded
	if f.s.now().Sub(h.FailingSince) >= errorAfter {
		state = StateError
	}
	f.enter(state)
	wait := time.Duration(f.s.cfg.Rand() * float64(f.backoff(firstRetry, maxRetry, h.Failures)))
	if wish := f.wished(fault); wish > 0 {
		wait = wish + min(wait, wish/10)
	}
	h.NextAttempt = f.s.cfg.Now().UTC().Add(max(wait, 10*time.Millisecond))
}

func (f *follower) failing() {
	h := &f.h
	h.Failures++
	h.Ramp = firstRamp
	if h.FailingSince.IsZero() {
		h.FailingSince = f.s.now()
	}
	f.dirty = true
}

// wished is what the receiver asked for, as far as it is granted.
func (f *follower) wished(fault *sink.Error) time.Duration {
	return max(min(fault.RetryAfter, maxRetryWish), 0)
}

// backoff is the longest pause after so many failures in a row.
func (f *follower) backoff(first, most time.Duration, failures int) time.Duration {
	wait := first
	for range failures - 1 {
		if wait >= most {
			break
		}
		wait *= 2
	}
	return min(wait, most)
}

// bury puts refused events into the dead letters and goes on with the others.
// When nothing but refusals came for a while, the fault is taken to be the
// destination's, and nothing is given up.
func (f *follower) bury(ctx context.Context, b *inflight, refused []sink.Rejection, restTaken bool, fault *sink.Error, answer sink.Answer, latency time.Duration) error {
	ln := b.lane
	fz := ln.cur.Frozen
	all := len(refused) == len(b.batch.Events)
	// Dead letters that are refused again are nothing more that is given up, and
	// live delivery does not wait for them.
	again := ln.replay != nil && ln.replay.Dead
	if all && !again && f.h.Refused+len(refused) > maxRefused && len(fz.Except) == 0 {
		f.refuse(&sink.Error{Class: sink.Invalid, RetryAfter: fault.RetryAfter})
		f.h.LastError.Message = "The destination refuses every event: see its answer. Nothing more is given up until the stream is resumed. " + fault.Message
		return f.flush(ctx)
	}
	var dead []int
	for _, r := range refused {
		if err := f.deadLetter(ctx, b, r, fault); err != nil {
			return err
		}
		dead = append(dead, r.Index)
	}
	if all || restTaken {
		n := len(b.batch.Events) - len(dead)
		switch {
		case n > 0:
			f.taken(n)
		case !again:
			f.h.Refused += len(dead)
		}
		return f.advance(ctx, b, answer, latency, dead)
	}
	f.without(b, dead)
	return f.flush(ctx)
}

// without freezes what is left of a batch anew.
func (f *follower) without(b *inflight, dead []int) {
	ln := b.lane
	fz := ln.cur.Frozen
	hash := sha256.New()
	first := true
	fz.Events, fz.Bytes = 0, 0
	for i := range b.batch.Events {
		ev := &b.batch.Events[i]
		if slices.Contains(dead, i) {
			fz.Except = append(fz.Except, ev.Seq)
			continue
		}
		if first {
			fz.First, fz.Since, first = ev.Seq, ev.ReceivedAt, false
		}
		fz.Last = ev.Seq
		fz.Events++
		fz.Bytes += len(ev.Encoded)
		_, _ = hash.Write(ev.Encoded) // never fails
	}
	hash.Sum(fz.Digest[:0])
	ln.dirty, ln.look = true, true
}

// history adds a line to the stream's history and takes away the oldest.
func (f *follower) history(ctx context.Context, b *inflight, outcome Outcome, answer sink.Answer, latency time.Duration, dead int) error {
	fz := b.lane.cur.Frozen
	h := &f.h
	d := Delivery{
		Number: h.NextDelivery, Batch: b.batch.ID, Organization: b.batch.Organization, First: fz.First, Last: fz.Last,
		Events: len(b.batch.Events), Bytes: b.batch.Bytes, Outcome: outcome, Attempts: fz.Attempts,
		FrozenAt: fz.FrozenAt, EndedAt: f.s.now(), Latency: latency.Milliseconds(), Status: answer.Status, Text: answer.Text,
		Failures: fz.Failures, DeadLetters: dead, Replay: fz.Replay, Checkpoint: fz.Note != "", Changed: fz.Changed,
	}
	key := func(n uint64) string { return fmt.Sprintf("%s%s/%016x", prefixDelivery, f.id, n) }
	if err := f.put(putNew(key(h.NextDelivery), d)); err != nil {
		return err
	}
	h.NextDelivery++
	if h.NextDelivery-h.FirstDelivery > maxDeliveries {
		oldest, err := f.s.cfg.KV.Get(ctx, key(h.FirstDelivery))
		if err == nil {
			f.out = append(f.out, deleted(oldest.Key, oldest.Rev))
		} else if !errors.Is(err, catalog.ErrNotFound) {
			return fmt.Errorf("read history of %s: %w", f.id, err)
		}
		h.FirstDelivery++
	}
	f.dirty = true
	return nil
}
