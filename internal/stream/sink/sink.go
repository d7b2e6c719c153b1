// Package sink is where streams deliver to. One file holds one kind of
// destination: a table of its settings, from which API, command line, page and
// documentation are made, and a [Sink] that sends one batch at a time.
//
// A sink decides nothing about retries, order or what is skipped: it sends what
// it is given, waits for the strongest acknowledgement that the destination has,
// and says in an [Error] what kind of failure it met. The engine (package
// stream) decides. A sink therefore never retries a whole batch by itself, never
// follows a redirect, and connects only through [Env.Dial].
package sink

import (
	"context"
	"iter"
	"net"
	"time"

	"github.com/stelehq/stele/internal/event"
)

// Sink is one open destination. The engine calls its methods one at a time.
type Sink interface {
	// Send delivers a batch. It returns nil when the destination has
	// acknowledged all of it by the strongest means it has: it may not lose
	// it any more. A batch may be sent again, also after it was acknowledged,
	// by this process or a later one: then it is identical but for Attempt.
	//
	// Any error is an *[Error], or is treated as one of class [Retry]. The
	// Answer is what the destination said, as far as it said anything, also
	// beside an error. Send ends soon after ctx does.
	Send(ctx context.Context, b *Batch) (Answer, error)
	// Test sends one synthetic event, or validates the settings without
	// sending where the destination has a way. b is marked by Test.
	Test(ctx context.Context, b *Batch) (Answer, error)
	// Limits bounds batches. It never changes.
	Limits() Limits
	// Close frees connections.
	Close() error
}

// Lister is a sink that can say what it holds, for reconciliation.
type Lister interface {
	// List yields the batches of a stream and organization that lie at the
	// destination, in no particular order, the same one as often as it lies
	// there.
	List(ctx context.Context, stream, organization string) iter.Seq2[Held, error]
}

// Held is a batch as found at the destination.
type Held struct {
	// Name is where it lies.
	Name string
	// First and Last are the seq of its first and last event.
	First, Last uint64
	// Events is how many events it holds; 0 when only reading it would tell.
	Events int
	// Replay is the id of the replay that wrote it; "" for live delivery.
	Replay string
	// Size is in bytes, as stored.
	Size int64
}

// Batch is what is sent at once: events of one organization in seq order. It is
// frozen before the first attempt; only Attempt differs between attempts.
type Batch struct {
	// ID is the same for every attempt and for no other batch: 1 to 64
	// letters, digits, '_' and '-'. It is what a receiver can tell duplicates
	// by where events have no ids of their own, such as webhook-id.
	ID string
	// Stream is the stream's id, Organization whose events these are, and
	// OrganizationName its name when the batch was frozen.
	Stream, Organization, OrganizationName string
	// First and Last are the seq of the first and last event. Events between
	// them that are missing did not match the stream's filter.
	First, Last uint64
	// Events is never empty.
	Events []Event
	// Bytes is the sum of the encoded events.
	Bytes int
	// Format is the format's name; JSON says that each event is a JSON object;
	// ContentType is that of one event.
	Format      string
	JSON        bool
	ContentType string
	// Attempt counts from 1.
	Attempt int
	// Replay is the id of the replay job; "" for live delivery.
	Replay string
	// Checkpoint is a signed note when the batch is a checkpoint record: then
	// Events holds it encoded, as the only one, without Entry and ID, and with
	// the seq of the last entry that it commits to. Otherwise nil.
	Checkpoint []byte
	// Test marks the synthetic event of [Sink.Test]; its seq means nothing.
	Test bool
}

// Event is one event of a batch.
type Event struct {
	Seq        uint64
	ID         event.ID
	OccurredAt time.Time
	ReceivedAt time.Time
	// Encoded is the event in the stream's format: one line without its end.
	// It must not be changed.
	Encoded []byte
	// Entry is what Encoded was made of, for kinds that ask for it
	// ([Kind.Entries]); nil otherwise. It is valid during Send and must not be
	// changed.
	Entry *event.Entry
}

// Answer is what a destination said.
type Answer struct {
	// Status is the HTTP status, or 0.
	Status int
	// Text is the beginning of what it answered, printable and at most 512
	// bytes; see [Excerpt].
	Text string
}

// Limits bounds batches of one destination. Zero values are replaced by the
// engine's defaults.
type Limits struct {
	// MaxEvents is the largest number of events.
	MaxEvents int
	// MaxBytes bounds the sum of encoded events plus EventOverhead for each.
	// A single event that is larger is sent alone.
	MaxBytes int
	// EventOverhead is what the destination's envelope adds to an event, in
	// bytes.
	EventOverhead int
	// FlushAfter is how long an event may wait for others to fill a batch
	// with; 0 sends at once what is there. Object stores use it to make fewer
	// and larger objects.
	FlushAfter time.Duration
	// OldestEvent is how long ago an event may have occurred for the
	// destination to take it; older ones are recorded as skipped. 0 is no
	// limit.
	OldestEvent time.Duration
	// SendTimeout bounds one attempt, waiting for acknowledgements included.
	SendTimeout time.Duration
}

// Env is what a sink is given from outside.
type Env struct {
	// Dial connects, and refuses addresses the operator has not opened. Every
	// connection is made by it, those to addresses that a destination names
	// included. Host names are resolved by it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock.
	Now func() time.Time
	// UserAgent is sent where the protocol has a place for it.
	UserAgent string
	// Server is the public host name of this server.
	Server string
	// Stream is the stream's id; "" when settings are only being tested.
	Stream string
}
