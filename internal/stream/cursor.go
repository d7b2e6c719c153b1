package stream

import (
	"slices"
	"time"

	"github.com/stelehq/stele/internal/stream/sink"
)

// cursor is how far a stream is in one log. Everything below Next is delivered,
// in the dead letters, skipped, or did not match.
type cursor struct {
	Organization string `json:"organization"`
	Next         uint64 `json:"next"`
	// Frozen is the batch in flight.
	Frozen *frozen `json:"frozen,omitempty"`
	// Like is how events of a batch that was given up are encoded: it may have
	// arrived, and what comes again is to be the same.
	Like *likeness `json:"like,omitempty"`
	// Suspect is a range that a receiver refused as a whole.
	Suspect *suspect `json:"suspect,omitempty"`
	// Skipped are ranges not delivered because the destination does not take
	// them, the newest maxSkips.
	Skipped []Skip `json:"skipped,omitempty"`
	// Witness is the size of the last checkpoint that was delivered.
	Witness uint64 `json:"witness,omitempty"`
	// WitnessAt is when that was.
	WitnessAt time.Time `json:"witness_at,omitzero"`
	// Chosen is a digest of the filter that live batches are made with from
	// ChosenFrom on; those below were made with another. "" before the first.
	Chosen     string `json:"chosen,omitempty"`
	ChosenFrom uint64 `json:"chosen_from,omitempty"`

	rev uint64 // of the record it was read from, where that matters
}

// frozen is what a batch is made of again: with the log it gives the same bytes
// for as long as the log does.
type frozen struct {
	// From ≤ seq < To is what the batch covers. First and Last are the seq of
	// its first and last event.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
	Events int    `json:"events"`
	Bytes  int    `json:"bytes"`
	// Since is the received_at of the first event.
	Since time.Time `json:"since"`
	// Digest is the SHA-256 of the encoded events.
	Digest [32]byte `json:"digest"`

	Shape         int       `json:"shape"`
	Filter        string    `json:"filter,omitempty"`
	Format        string    `json:"format"`
	FormatVersion int       `json:"format_version"`
	Name          string    `json:"name,omitempty"` // the organization's
	Product       string    `json:"product,omitempty"`
	Server        string    `json:"server,omitempty"`
	Oldest        time.Time `json:"oldest,omitzero"` // what occurred before is skipped
	// Except are events left out because the receiver refused them.
	Except []uint64 `json:"except,omitempty"`
	// Replay is the id of the replay that the batch belongs to.
	Replay string `json:"replay,omitempty"`
	// Note is the signed note when the batch is a checkpoint.
	Note string `json:"note,omitempty"`

	FrozenAt time.Time `json:"frozen_at"`
	Attempts int       `json:"attempts,omitempty"`
	// Failures are the newest failed attempts, maxFailures of them.
	Failures []Attempt `json:"failures,omitempty"`
	// Changed says that the log gives other bytes than before the first
	// attempt: details were erased meanwhile.
	Changed bool `json:"changed,omitempty"`
}

// likeness is what the encoding of events below To follows from, beside the log.
type likeness struct {
	To            uint64 `json:"to"`
	Shape         int    `json:"shape"`
	FormatVersion int    `json:"format_version"`
	Name          string `json:"name,omitempty"`
	Product       string `json:"product,omitempty"`
	Server        string `json:"server,omitempty"`
}

// giveUp drops the frozen batch, so that others are made of its events.
func (c *cursor) giveUp() {
	fz := c.Frozen
	c.Frozen = nil
	if fz.Note != "" || c.Like != nil && c.Like.Shape == fz.Shape && c.Like.To >= fz.To {
		return
	}
	c.Like = &likeness{
		To: fz.To, Shape: fz.Shape, FormatVersion: fz.FormatVersion, Name: fz.Name, Product: fz.Product, Server: fz.Server,
	}
}

// chooses notes the filter of a batch that begins with seq from.
func (c *cursor) chooses(filter string, from uint64) {
	digest := digestText(filter)
	if c.Chosen == digest {
		return
	}
	if c.Chosen != "" {
		c.ChosenFrom = from
	}
	c.Chosen = digest
}

// chosenFrom is the first seq from which on a filter has chosen what was
// delivered.
func (c *cursor) chosenFrom(filter string) uint64 {
	if c.Chosen != "" && c.Chosen != digestText(filter) {
		return c.Next // nothing yet
	}
	return c.ChosenFrom
}

// alike makes a new batch like the one before it, where it is of the same
// events.
func (c *cursor) alike(fz *frozen, next uint64) {
	like := c.Like
	if like == nil || like.Shape != fz.Shape || next >= like.To {
		c.Like = nil
		return
	}
	fz.FormatVersion, fz.Name, fz.Product, fz.Server = like.FormatVersion, like.Name, like.Product, like.Server
}

// suspect is a range that holds an event which the receiver refuses, while it
// does not say which. It is narrowed down by halves.
type suspect struct {
	To     uint64 `json:"to"`
	Events int    `json:"events"`
}

// Attempt is one failed attempt.
type Attempt struct {
	At      time.Time `json:"at"`
	Latency int64     `json:"latency_ms"`
	Class   string    `json:"class"`
	Code    string    `json:"code,omitempty"`
	// Message says what happened and what to do, Text is what the receiver
	// said.
	Message string `json:"message"`
	Status  int    `json:"status,omitempty"`
	Text    string `json:"text,omitempty"`
}

// Skip is a range whose events were not sent.
type Skip struct {
	// From and To are the seq of the first and last event skipped.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
	Reason string `json:"reason"`
}

const (
	maxSkips    = 100
	maxFailures = 5
)

// addSkip records a skipped range; it grows the last one when it goes on there.
// Of too many, the oldest are put together.
func (c *cursor) addSkip(s Skip) {
	if s.Events == 0 {
		return
	}
	join := func(a *Skip, b Skip) {
		a.To, a.Events = b.To, a.Events+b.Events
	}
	if n := len(c.Skipped); n > 0 && c.Skipped[n-1].Reason == s.Reason {
		join(&c.Skipped[n-1], s)
		return
	}
	c.Skipped = append(c.Skipped, s)
	if len(c.Skipped) > maxSkips {
		join(&c.Skipped[0], c.Skipped[1])
		c.Skipped[0].Reason += "; " + c.Skipped[1].Reason
		if len(c.Skipped[0].Reason) > 500 {
			c.Skipped[0].Reason = "several reasons"
		}
		c.Skipped = append(c.Skipped[:1], c.Skipped[2:]...)
	}
}

// addFailure counts a failed attempt.
func (f *frozen) addFailure(a Attempt) {
	f.Failures = newest(append(f.Failures, a), maxFailures)
}

// health is how a stream is doing, over all its logs.
type health struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	// Announced is the state last told to the owner.
	Announced State `json:"announced"`
	Epoch     int   `json:"epoch"` // of the stream, when last looked at

	Failures     int       `json:"failures,omitempty"` // in a row
	FailingSince time.Time `json:"failing_since,omitzero"`
	NextAttempt  time.Time `json:"next_attempt,omitzero"`
	Stopped      bool      `json:"stopped,omitempty"` // not tried again before the owner acts
	LastError    *Attempt  `json:"last_error,omitempty"`
	LastSuccess  time.Time `json:"last_success,omitzero"`
	// Ramp bounds the events of a batch after trouble; 0 when there is none.
	Ramp int `json:"ramp,omitempty"`
	// CapBytes bounds a batch since the receiver found a larger one too large;
	// 0 when it never did.
	CapBytes int `json:"cap_bytes,omitempty"`
	// Refused counts events put into the dead letters since one was taken.
	Refused int `json:"refused,omitempty"`
	// Slow says that the last attempt failed or took long.
	Slow bool `json:"slow,omitempty"`

	FirstDelivery uint64 `json:"first_delivery"` // the history holds
	NextDelivery  uint64 `json:"next_delivery"`  // first ≤ number < next

	Events      uint64 `json:"events"` // delivered in all
	Bytes       uint64 `json:"bytes"`
	Batches     uint64 `json:"batches"`
	DeadLetters uint64 `json:"dead_letters"` // put there in all
	Skipped     uint64 `json:"skipped"`

	// Rate are events delivered by minute, RateMinute (Unix minutes) being
	// the last one's.
	Rate       []int `json:"rate,omitempty"`
	RateMinute int64 `json:"rate_minute,omitempty"`
	// Latencies are those of the last attempts, in milliseconds.
	Latencies []int64 `json:"latencies,omitempty"`
	Lagging   bool    `json:"lagging,omitempty"` // told that the lag is over the limit
}

const (
	rateMinutes  = 60
	maxLatencies = 32
)

// count adds a delivered batch.
func (h *health) count(at time.Time, b *sink.Batch, events, size int) {
	h.Events += uint64(max(events, 0))
	h.Bytes += uint64(max(size, 0))
	if b.Checkpoint == nil {
		h.Batches++
	}
	h.Rate = h.rateAt(at)
	h.RateMinute = at.Unix() / 60
	h.Rate[len(h.Rate)-1] += events
}

// rateAt is the rate with the minute of at as its last: always rateMinutes long.
func (h *health) rateAt(at time.Time) []int {
	rate := make([]int, rateMinutes)
	shift := max(at.Unix()/60-h.RateMinute, 0)
	for i, n := range h.Rate {
		if j := int64(i) - shift; j >= 0 {
			rate[j] = n
		}
	}
	return rate
}

func (h *health) addLatency(ms int64) {
	h.Latencies = newest(append(h.Latencies, ms), maxLatencies)
}

// newest are the last n of a list, all when it has no more.
func newest[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	return slices.Clone(list[len(list)-n:])
}

// Delivery is one line of the history: a batch that has left the cursor behind.
type Delivery struct {
	Number       uint64    `json:"number"`
	Batch        string    `json:"batch"`
	Organization string    `json:"organization"`
	First        uint64    `json:"first"`
	Last         uint64    `json:"last"`
	Events       int       `json:"events"`
	Bytes        int       `json:"bytes"`
	Outcome      Outcome   `json:"outcome"`
	Attempts     int       `json:"attempts"`
	FrozenAt     time.Time `json:"frozen_at"`
	EndedAt      time.Time `json:"ended_at"`
	Latency      int64     `json:"latency_ms"` // of the last attempt
	Status       int       `json:"status,omitempty"`
	Text         string    `json:"text,omitempty"`
	// Failures are the newest failed attempts.
	Failures []Attempt `json:"failures,omitempty"`
	// DeadLetters is how many of the events went there.
	DeadLetters int    `json:"dead_letters,omitempty"`
	Replay      string `json:"replay,omitempty"`
	Checkpoint  bool   `json:"checkpoint,omitempty"`
	// Changed says that attempts were not identical, since details were
	// erased between them.
	Changed bool `json:"changed,omitempty"`
}

// Outcome is how a batch ended.
type Outcome string

// The outcomes of batches.
const (
	OutcomeDelivered Outcome = "delivered" // all of it
	OutcomePartly    Outcome = "partly"    // but for what went to the dead letters
	OutcomeRefused   Outcome = "refused"   // nothing of it
	OutcomeSplit     Outcome = "split"     // refused as a whole: sent again in halves
)

// maxDeliveries bounds the history of a stream.
const maxDeliveries = 200
