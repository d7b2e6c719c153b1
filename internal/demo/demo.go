// Package demo makes a believable organization's year of audit events from a
// catalogue of schemas, so that a server started to be looked at has something
// to show. Everything follows from a seed and an end time.
package demo

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

// Item is an event and when the server gets it.
type Item struct {
	Event      audit.Event
	ReceivedAt time.Time
}

// Organization describes one of the demo's organizations.
type Organization struct {
	ID, Name, ExternalID, Domain string
}

// Generator makes one organization's events.
type Generator struct{}

// Main returns the large organization: about 50,000 events in the year before end.
func Main(seed uint64, end time.Time) *Generator { panic("unfinished") }

// Second returns the small organization: about 2,500 events.
func Second(seed uint64, end time.Time) *Generator { panic("unfinished") }

// Organization says whose events they are.
func (g *Generator) Organization() Organization { panic("unfinished") }

// All yields the events in the order they are received.
func (g *Generator) All() iter.Seq[Item] { panic("unfinished") }

// Catalogue returns the catalogue the events are made from.
func Catalogue() (*schema.Catalogue, error) { panic("unfinished") }

// Clock is a clock for a ledger that is being loaded: it stands where Load sets
// it, and follows the real one before and after.
type Clock struct {
	Real func() time.Time
	set  atomic.Int64
}

// Now returns the time.
func (c *Clock) Now() time.Time { panic("unfinished") }

// Loader is what Load writes with: the ledger and the schema registry behind it.
type Loader struct {
	Clock  *Clock
	Check  func(ev *event.Event) error
	Append func(ctx context.Context, org string, events []*event.Event) error
}

// Stats says what Load did.
type Stats struct {
	Events, Batches int
}

// Load writes a generator's events.
func Load(ctx context.Context, l Loader, g *Generator) (Stats, error) { panic("unfinished") }
