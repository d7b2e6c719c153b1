package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stelehq/stele/internal/catalog"
)

// Progress is what one attempt came to, or that events were skipped; for counting.
type Progress struct {
	// Kind is the kind of destination.
	Kind string
	// Failed says that the batch is still to be delivered.
	Failed bool
	// Skipped is how many events are not sent: then it is about no attempt.
	Skipped uint64
	// Delivered is how many events were taken, DeadLetters how many were
	// refused for good.
	Delivered, DeadLetters int
	// Bytes is the size of the encoded events that were taken.
	Bytes int
	// Latency is how long the attempt took.
	Latency time.Duration
}

// Stat is how one stream stands, as last seen: the state at once, the lag every
// half a minute.
type Stat struct {
	Kind  string
	State State
	// LagEvents and LagSeconds are as in [Status].
	LagEvents  uint64
	LagSeconds float64
	// ExpiresAt is when the first of its credentials expires; zero when none says
	// so.
	ExpiresAt time.Time
}

// Stats lists how all streams stand, in no order. It reads memory only.
func (s *Streams) Stats() []Stat {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	list := make([]Stat, 0, len(s.followers))
	for _, f := range s.followers {
		st := f.shown
		if !f.oldest.IsZero() {
			st.LagSeconds = max(now.Sub(f.oldest).Seconds(), 0)
		}
		list = append(list, st)
	}
	return list
}

// show keeps what Stats says of the stream's state.
func (f *follower) show() {
	state := f.h.State
	if f.st.Paused {
		state = StatePaused
	}
	f.s.mu.Lock()
	f.shown.State = state
	f.s.mu.Unlock()
}

// showExpiry keeps what Stats says of the stream's credentials.
func (f *follower) showExpiry() {
	expires := time.Time{}
	if c := f.s.credential(f.st); c != nil {
		expires = c.ExpiresAt
	}
	f.s.mu.Lock()
	f.shown.ExpiresAt = expires
	f.s.mu.Unlock()
}

// measure looks at a stream's lag, and tells when it passes its limit and when it
// is below again.
func (f *follower) measure(ctx context.Context) error {
	s := f.s
	st, err := catalog.Load[Stream](ctx, s.cfg.KV, prefixStream+f.id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var lag Status
	oldest, err := s.addLag(ctx, &st.Value, &lag)
	if err != nil {
		return err
	}
	s.mu.Lock()
	f.shown.LagEvents, f.oldest = lag.LagEvents, oldest
	s.mu.Unlock()
	return s.watchLag(ctx, &st.Value, &lag)
}

// watchLag tells when a lag passes its limit, and when it is below again.
func (s *Streams) watchLag(ctx context.Context, st *Stream, lag *Status) error {
	was, err := catalog.Load[lagRecord](ctx, s.cfg.KV, prefixLag+st.ID)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	over := st.LagLimit > 0 && lag.LagSeconds > float64(st.LagLimit)
	if over == (err == nil) {
		return nil
	}
	c := Change{Action: ActionLagRecovered}
	record := deleted(prefixLag+st.ID, was.Rev)
	if over {
		c.Action = ActionLagExceeded
		c.Detail = fmt.Sprintf("%d events, %.0f seconds", lag.LagEvents, lag.LagSeconds)
		if record, err = putNew(prefixLag+st.ID, lagRecord{Since: s.now()}); err != nil {
			return err
		}
	}
	note, err := s.note(st, c)
	if err != nil {
		return err
	}
	if err := s.cfg.KV.Apply(ctx, record, note); err != nil && !errors.Is(err, catalog.ErrConflict) {
		return fmt.Errorf("note the lag of %s: %w", st.ID, err)
	}
	s.kickTeller()
	return nil
}
