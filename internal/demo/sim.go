package demo

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
)

// sim lives through an organization's year. First everything that will happen
// is planned, as tasks with their times; then the tasks run in that order, each
// on what the ones before it left, and emit events.
type sim struct {
	rng        *rand.Rand
	org        Organization
	start, end time.Time
	words      words
	kinds      []*kind
	people     []*person
	things     map[string][]*thing // by kind
	agents     agents
	tasks      []task
	size       float64 // of what programs and incidents do: 1 for the large organization
	pace       float64 // of what people do
	incidents  int     // how many there were
	private    []*incident
	seats      int // for on-call
	emitted    int
	pending    outbox
}

// task is something that happens at a time.
type task struct {
	at time.Time
	do func(at time.Time)
}

// plan adds a task. Those outside the year do not happen.
func (s *sim) plan(at time.Time, do func(at time.Time)) {
	if at.Before(s.start) || !at.Before(s.end) {
		return
	}
	s.tasks = append(s.tasks, task{at: at, do: do})
}

// run lives through the tasks and yields the events in the order in which the
// server receives them.
func (s *sim) run(yield func(Item) bool) {
	slices.SortStableFunc(s.tasks, func(a, b task) int { return a.at.Compare(b.at) })
	relay := relay{s: s, yield: yield}
	for _, t := range s.tasks {
		// Whatever the task emits arrives later than it begins, so batches
		// that are over by then are complete.
		if !relay.flush(t.at) {
			return
		}
		t.do(t.at)
	}
	relay.flush(s.end.Add(maxWait))
}

// emission is an event with the time at which it reaches the product's outbox:
// when it occurred or, from a phone without a connection, hours later.
type emission struct {
	event  audit.Event
	arrive time.Time
	n      int // order of emission, for equal times
}

// outbox holds the emissions that were not sent yet, earliest first.
type outbox []emission

func (o outbox) Len() int { return len(o) }

func (o outbox) Less(i, j int) bool {
	return cmp.Or(o[i].arrive.Compare(o[j].arrive), cmp.Compare(o[i].n, o[j].n)) < 0
}
func (o outbox) Swap(i, j int) { o[i], o[j] = o[j], o[i] }

// Push implements [heap.Interface].
func (o *outbox) Push(x any) { *o = append(*o, x.(emission)) }

// Pop implements [heap.Interface].
func (o *outbox) Pop() any {
	last := len(*o) - 1
	x := (*o)[last]
	(*o)[last] = emission{}
	*o = (*o)[:last]
	return x
}

// The product sends its events in batches: everything that happens within
// maxWait of the first, at most maxBatch events, and a moment after the last.
const (
	maxWait  = 90 * time.Second
	maxBatch = 100
)

// relay sends what is in the outbox, in batches.
type relay struct {
	s     *sim
	yield func(Item) bool
	last  time.Time // when the last batch was received
}

// flush sends the batches that nothing emitted at or after now can belong to.
// It returns false when nobody wants more.
func (r *relay) flush(now time.Time) bool {
	for len(r.s.pending) > 0 {
		first := r.s.pending[0].arrive
		if !first.Add(maxWait).Before(now) {
			return true
		}
		if !r.send(r.batch(first.Add(maxWait))) {
			return false
		}
	}
	return true
}

func (r *relay) batch(until time.Time) []emission {
	var out []emission
	for len(r.s.pending) > 0 && len(out) < maxBatch && r.s.pending[0].arrive.Before(until) {
		out = append(out, heap.Pop(&r.s.pending).(emission))
	}
	return out
}

func (r *relay) send(batch []emission) bool {
	lag := time.Duration(180+r.s.rng.IntN(900)) * time.Millisecond
	if r.s.rng.IntN(60) == 0 {
		lag += time.Duration(r.s.rng.IntN(20)) * time.Second // the network's bad days
	}
	at := batch[len(batch)-1].arrive.Add(lag).Truncate(time.Millisecond)
	if at.Before(r.last.Add(time.Millisecond)) {
		at = r.last.Add(time.Millisecond)
	}
	if at.After(r.s.end) {
		return false
	}
	r.last = at
	for i := range batch {
		if !r.yield(Item{Event: batch[i].event, ReceivedAt: at}) {
			return false
		}
	}
	return true
}

// emit records that something happened. The version of its action is the one
// the product used at the time.
func (s *sim) emit(ev audit.Event, arrive time.Time) {
	ev.Version = s.version(ev.Action, ev.OccurredAt)
	s.emitted++
	heap.Push(&s.pending, emission{event: ev, arrive: arrive, n: s.emitted})
}

// Chance helpers. All chance comes from one source, so that a seed decides
// everything.

// odds is true n times of a hundred.
func (s *sim) odds(percent float64) bool { return s.rng.Float64()*100 < percent }

// between returns a whole number from lo to hi, both included.
func (s *sim) between(lo, hi int) int { return lo + s.rng.IntN(hi-lo+1) }

// poisson returns how often something happens that does so rate times on
// average.
func (s *sim) poisson(rate float64) int {
	n, p, limit := 0, s.rng.Float64(), math.Exp(-rate)
	for p > limit {
		n++
		p *= s.rng.Float64()
	}
	return n
}

// normal returns a time of day, in hours, around mean.
func (s *sim) normal(mean, spread float64) float64 { return mean + s.rng.NormFloat64()*spread }

// pause returns a time to think of about the given seconds.
func (s *sim) pause(seconds float64) time.Duration {
	return time.Duration(seconds * math.Exp(s.rng.NormFloat64()*0.6) * float64(time.Second)).Truncate(time.Millisecond)
}

// pick returns one of the values.
func pick[T any](s *sim, values []T) T { return values[s.rng.IntN(len(values))] }

// day calls fn for every day of the year with its midnight in UTC.
func (s *sim) days(fn func(midnight time.Time)) {
	for d := s.start.Truncate(24 * time.Hour); d.Before(s.end); d = d.AddDate(0, 0, 1) {
		fn(d)
	}
}

// busy says how busy a date is: 1 on a working day.
func busy(d time.Time) float64 {
	_, month, day := d.Date()
	switch {
	case month == time.December && day >= 24 && day <= 26, month == time.January && day == 1:
		return 0.06
	case month == time.December && day > 26:
		return 0.35
	case d.Weekday() == time.Saturday, d.Weekday() == time.Sunday:
		return 0.07
	case d.Weekday() == time.Friday:
		return 0.85
	default:
		return 1
	}
}
