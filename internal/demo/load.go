package demo

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

// Clock is the clock of a server that is being loaded: it stands where it was
// set until it is released, and is the real one before and after. Set Real
// before use; the methods may be called concurrently.
type Clock struct {
	// Real gives the time while the clock is not set.
	Real func() time.Time
	set  atomic.Int64 // Unix milliseconds; 0 is not set
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	if ms := c.set.Load(); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return c.Real()
}

// Set has the clock stand at a time, to the millisecond.
func (c *Clock) Set(at time.Time) { c.set.Store(at.UnixMilli()) }

// Release lets the clock follow the real one again.
func (c *Clock) Release() { c.set.Store(0) }

// Loader is what Load writes with. The functions are those of an open server.
type Loader struct {
	// Clock is the one the server was opened with.
	Clock *Clock
	// Check checks an event against its schema and flags it when there is
	// none.
	Check func(ev *event.Event) error
	// Append records events as one batch, durably.
	Append func(ctx context.Context, org string, events []*event.Event) error
}

// Stats says what Load did.
type Stats struct {
	Events, Batches int
}

// ahead is the number of batches that are made while others are being recorded.
const ahead = 64

// Load records a generator's events in an empty log, in the batches in which
// they arrived, with the clock at the time at which they did. When it returns
// the clock is released.
func Load(ctx context.Context, l Loader, g *Generator) (Stats, error) {
	defer l.Clock.Release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan batch, ahead)
	go func() {
		defer close(batches)
		g.batches(ctx, l.Check, batches)
	}()
	var st Stats
	for b := range batches {
		if b.err != nil {
			return st, b.err
		}
		l.Clock.Set(b.received)
		if err := l.Append(ctx, g.org.ID, b.events); err != nil {
			return st, fmt.Errorf("record the events of %s: %w", b.received.Format(time.RFC3339), err)
		}
		st.Events += len(b.events)
		st.Batches++
	}
	if err := ctx.Err(); err != nil {
		return st, fmt.Errorf("load the demo: %w", err)
	}
	return st, nil
}

// batch is what arrived together, or why it could not be made.
type batch struct {
	received time.Time
	events   []*event.Event
	err      error
}

// batches sends the events batch by batch until they end, one cannot be made, or
// nobody listens any more.
func (g *Generator) batches(ctx context.Context, check func(*event.Event) error, out chan<- batch) {
	var b batch
	send := func() bool {
		select {
		case out <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for item := range g.All() {
		if len(b.events) > 0 && !item.ReceivedAt.Equal(b.received) {
			if !send() {
				return
			}
			b = batch{}
		}
		b.received = item.ReceivedAt
		ev, err := prepare(&item, check)
		if err != nil {
			b = batch{err: err}
			send()
			return
		}
		b.events = append(b.events, ev)
	}
	if len(b.events) > 0 {
		send()
	}
}

func prepare(item *Item, check func(*event.Event) error) (*event.Event, error) {
	ev, err := event.FromAudit(&item.Event)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", item.Event.Action, err)
	}
	if err := check(ev); err != nil {
		return nil, fmt.Errorf("check %s: %w", item.Event.Action, err)
	}
	return ev, nil
}

// Register registers the catalogue as the product's developers did: the first
// versions when the year begins, the second ones when the events begin to use
// them. The registry must have been opened with the clock, which is released at
// the end. What is registered already stays.
func Register(ctx context.Context, clock *Clock, r *schema.Registry, g *Generator) error {
	defer clock.Release()
	c, err := Catalogue()
	if err != nil {
		return err
	}
	byDay := map[int]*schema.Catalogue{}
	for _, sc := range c.Schemas {
		day := 0
		if sc.Version == 2 {
			day = secondVersionDay(sc.Action)
		}
		if byDay[day] == nil {
			byDay[day] = &schema.Catalogue{}
		}
		byDay[day].Schemas = append(byDay[day].Schemas, sc)
	}
	for day := range 366 {
		if byDay[day] == nil {
			continue
		}
		clock.Set(g.Start().AddDate(0, 0, day))
		if _, err := r.Apply(ctx, byDay[day]); err != nil {
			return fmt.Errorf("register the demo's catalogue: %w", err)
		}
	}
	return nil
}
