// Package workload makes the deterministic events and queries that sizes are
// measured with: a year of time in order, one organization with half of all
// events and twenty with the rest, about 200 actions, thousands of actors and
// 50,000 targets, all drawn from Zipf distributions. The same seed and count
// give the same bytes on every machine.
//
// It is a package of its own because the load driver (stele bench), the
// comparison with other stores and benchmarks in other packages all need the
// very same events.
package workload

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Shape of the workload. docs/performance.md describes it in words.
const (
	// Organizations is their number unless another is asked for: the big one
	// and the others.
	Organizations = 21
	actions       = 200
	users         = 2_000
	targets       = 50_000
	locations     = 5_000
	userAgents    = 60
	rareOneIn     = 10_000 // RareAction's share of events
)

// RareAction occurs once in about 10,000 events.
const RareAction = "data_export.purged"

// Start is when the first event occurs; the last occurs a year later.
func Start() time.Time { return time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC) }

// Year is the time the events are spread over.
const Year = 365 * 24 * time.Hour

// Generator yields events one after another. It is not safe for concurrent use.
type Generator struct {
	rng    *rand.Rand
	total  int
	next   int
	pools  *pools
	action *rand.Zipf
	user   *rand.Zipf
	target *rand.Zipf
	place  *rand.Zipf
	other  func() int // an organization that is not the big one
}

// New makes a generator of total events.
func New(seed uint64, total int) *Generator {
	g := newGenerator(seed, total)
	zipf := rand.NewZipf(g.rng, 1.2, 2, Organizations-2)
	g.other = func() int { return 1 + int(zipf.Uint64()) } //nolint:gosec // below Organizations
	return g
}

// NewSpread makes a generator of total events of which half belong to n small
// organizations that are all alike, 1 to n, and half to the big one.
func NewSpread(seed uint64, total, n int) *Generator {
	g := newGenerator(seed, total)
	g.other = func() int { return 1 + g.rng.IntN(n) }
	return g
}

func newGenerator(seed uint64, total int) *Generator {
	rng := rand.New(rand.NewPCG(seed, 0x57e1e)) //nolint:gosec // repeatable on purpose; nothing secret comes of it
	return &Generator{
		rng: rng, total: max(total, 1), pools: newPools(),
		action: rand.NewZipf(rng, 1.1, 4, actions-1),
		user:   rand.NewZipf(rng, 1.1, 20, users-1),
		target: rand.NewZipf(rng, 1.05, 200, targets-1),
		place:  rand.NewZipf(rng, 1.1, 50, locations-1),
	}
}

// Organization is the id of the i-th organization; 0 is the big one.
func Organization(i int) string { return fmt.Sprintf("bench-%02d", i) }

// Next appends the next event's JSON to dst and says which organization it
// belongs to.
func (g *Generator) Next(dst []byte) (event []byte, org int) {
	if g.rng.IntN(2) == 1 {
		org = g.other()
	}
	return g.event(dst), org
}

// For appends the next event's JSON to dst, for one organization.
func (g *Generator) For(dst []byte) []byte { return g.event(dst) }

func (g *Generator) event(dst []byte) []byte {
	at := Start().Add(time.Duration(float64(Year) * float64(g.next) / float64(g.total)))
	g.next++
	action := g.pools.actions[g.action.Uint64()]
	if g.rng.IntN(rareOneIn) == 0 {
		action = RareAction
	}
	dst = append(dst, `{"action":"`...)
	dst = append(dst, action...)
	dst = append(dst, `","version":1,"occurred_at":"`...)
	dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `","actor":`...)
	dst = g.actor(dst)
	dst = append(dst, `,"targets":[`...)
	dst = g.targets(dst)
	dst = append(dst, `],"context":{"location":"`...)
	dst = append(dst, g.pools.locations[g.place.Uint64()]...)
	dst = append(dst, `","user_agent":"`...)
	dst = append(dst, g.pools.userAgents[g.rng.IntN(userAgents)]...)
	dst = append(dst, `"},"metadata":{`...)
	dst = g.metadata(dst)
	return append(dst, '}', '}')
}

func (g *Generator) actor(dst []byte) []byte {
	switch n := g.rng.IntN(100); {
	case n < 80:
		u := g.pools.users[g.user.Uint64()]
		return append(dst, u...)
	case n < 88:
		return g.pools.pick(dst, g.rng, g.pools.apiKeys)
	case n < 90:
		return g.pools.pick(dst, g.rng, g.pools.systems)
	case n < 95:
		return g.pools.pick(dst, g.rng, g.pools.workflows)
	case n < 98:
		return g.pools.pick(dst, g.rng, g.pools.resources)
	default:
		return g.pools.pick(dst, g.rng, g.pools.alerts)
	}
}

func (g *Generator) targets(dst []byte) []byte {
	n := 1
	if r := g.rng.IntN(10); r >= 7 {
		n = 2 + r%2
	}
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, g.pools.targets[g.target.Uint64()]...)
	}
	return dst
}

var metadataKeys = [...]string{"request_id", "ticket", "reason", "after_value"} //nolint:gochecknoglobals // a table

func (g *Generator) metadata(dst []byte) []byte {
	n := g.rng.IntN(5)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, metadataKeys[i]...)
		dst = append(dst, `":"`...)
		switch i {
		case 0:
			dst = fmt.Appendf(dst, "req_%016x", g.rng.Uint64())
		case 1:
			dst = append(dst, "INC-"...)
			dst = strconv.AppendInt(dst, 1000+int64(g.rng.IntN(9000)), 10)
		case 2:
			dst = append(dst, g.pools.reasons[g.rng.IntN(len(g.pools.reasons))]...)
		default:
			dst = append(dst, g.pools.words[g.rng.IntN(len(g.pools.words))]...)
		}
		dst = append(dst, '"')
	}
	return dst
}
