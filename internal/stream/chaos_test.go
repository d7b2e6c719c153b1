package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// chaos is a receiver that does all that receivers do, and remembers what it
// took. It holds the promises of delivery at every batch.
type chaos struct {
	t      *testing.T
	w      *world
	poison func(seq uint64) bool
	wanted func(seq uint64) bool // by the filter

	mu      sync.Mutex
	rnd     *rand.Rand
	healed  bool
	most    int                 // events of a batch that are not too many
	taken   map[string][]bool   // by organization, then seq
	encoded map[string]string   // organization and seq → bytes
	batches map[string]string   // id → content
	order   map[string][]uint64 // as taken first
	low     map[string]uint64
	again   int // events taken more than once
}

func (c *chaos) kind() sink.Kind {
	return sink.Kind{
		Name: "test", Label: "Chaos", Settings: []sink.Setting{{Name: "url"}, {Name: "token", Secret: true}},
		Open: func(sink.Values, sink.Env) (sink.Sink, error) { return c, nil },
	}
}

func (c *chaos) Test(context.Context, *sink.Batch) (sink.Answer, error) { return sink.Answer{}, nil }
func (c *chaos) Close() error                                           { return nil }
func (c *chaos) Limits() sink.Limits {
	return sink.Limits{MaxEvents: 40, MaxBytes: 4 << 10, SendTimeout: 20 * time.Second}
}

func (c *chaos) Send(ctx context.Context, b *sink.Batch) (sink.Answer, error) {
	c.mu.Lock()
	what := c.rnd.IntN(16)
	if c.healed {
		what = 15
	}
	most := c.most
	c.identical(b)
	c.mu.Unlock()
	fail := func(class sink.Class, wait time.Duration) (sink.Answer, error) {
		return sink.Answer{Status: 500, Text: "no"}, &sink.Error{Class: class, Message: "no", RetryAfter: wait}
	}
	switch what {
	case 0:
		return fail(sink.RateLimited, 0)
	case 1:
		return fail(sink.RateLimited, 7*time.Second)
	case 2, 3:
		return fail(sink.Retry, 0)
	case 4: // hangs
		<-ctx.Done()
		return sink.Answer{}, ctx.Err()
	case 5: // resets after commit
		if !c.bad(b) && len(b.Events) <= most {
			c.take(b, nil)
		}
		return fail(sink.Retry, 0)
	case 6:
		return fail(sink.Invalid, 0)
	case 7: // takes long
		time.Sleep(8 * time.Second)
	}
	if len(b.Events) > most {
		return fail(sink.TooLarge, 0)
	}
	if !c.bad(b) {
		c.take(b, nil)
		return sink.Answer{Status: 200}, nil
	}
	if what < 12 {
		return fail(sink.Malformed, 0)
	}
	e := &sink.Error{Class: sink.Rejected, Message: "bad events", RestTaken: what%2 == 0}
	for i, ev := range b.Events {
		if c.poison(ev.Seq) {
			e.Rejected = append(e.Rejected, sink.Rejection{Index: i, Text: fmt.Sprint("poison ", ev.Seq)})
		}
	}
	if e.RestTaken {
		c.take(b, e.Rejected)
	}
	return sink.Answer{Status: 400}, e
}

func (c *chaos) bad(b *sink.Batch) bool {
	return b.Checkpoint == nil && slices.ContainsFunc(b.Events, func(e sink.Event) bool { return c.poison(e.Seq) })
}

// identical holds that a batch is what it was at every other attempt.
func (c *chaos) identical(b *sink.Batch) {
	content := fmt.Sprint(b.Organization, b.First, b.Last, len(b.Events), b.Replay, b.Format)
	for _, e := range b.Events {
		content += string(e.Encoded)
	}
	if was, ok := c.batches[b.ID]; ok && was != content {
		c.t.Errorf("batch %s was\n%s\nand is\n%s", b.ID, was, content)
	}
	c.batches[b.ID] = content
}

// take holds that nothing was left out and that duplicates are identical.
func (c *chaos) take(b *sink.Batch, but []sink.Rejection) {
	if b.Checkpoint != nil || b.Replay != "" {
		return // a replay is encoded anew, and counts for nothing here
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	org := b.Organization
	for i, e := range b.Events {
		if slices.ContainsFunc(but, func(r sink.Rejection) bool { return r.Index == i }) {
			continue
		}
		taken := c.taken[org]
		for uint64(len(taken)) <= e.Seq {
			taken = append(taken, false)
		}
		c.taken[org] = taken
		key := fmt.Sprint(org, " ", e.Seq)
		if taken[e.Seq] {
			c.again++
			if c.encoded[key] != string(e.Encoded) {
				c.t.Errorf("%s came as %s and then as %s", key, c.encoded[key], e.Encoded)
			}
			continue
		}
		for ; c.low[org] < e.Seq; c.low[org]++ { // all below are taken, or are not to be
			if seq := c.low[org]; c.wanted(seq) && !c.poison(seq) && !taken[seq] {
				c.t.Fatalf("%s: seq %d came before %d", org, e.Seq, seq)
			}
		}
		taken[e.Seq] = true
		c.encoded[key] = string(e.Encoded)
		c.order[org] = append(c.order[org], e.Seq)
	}
}

// TestChaos delivers through a receiver that fails in every way, with a store
// that fails and a server that is killed now and then: nothing is missing, order
// is kept, duplicates are identical, and what was refused is a dead letter.
func TestChaos(t *testing.T) {
	again := 0
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { again += runChaos(t, seed) })
		})
	}
	if again < 100 {
		t.Errorf("%d events came again: this tests nothing", again)
	}
}

// runChaos says how many events came more than once.
func runChaos(t *testing.T, seed uint64) int {
	rnd := rand.New(rand.NewPCG(seed, 1))
	operator := seed%3 == 2
	orgs := []string{"org_1"}
	if operator {
		orgs = []string{"org_1", "org_2", "org_3"}
	}
	w := newWorld(orgs...)
	c := &chaos{
		t: t, w: w, rnd: rand.New(rand.NewPCG(seed, 2)), most: 12 + rnd.IntN(40),
		taken: map[string][]bool{}, encoded: map[string]string{}, batches: map[string]string{}, order: map[string][]uint64{}, low: map[string]uint64{},
		poison: func(seq uint64) bool { return seq%53 == 17 },
		wanted: func(seq uint64) bool { return seed%2 == 0 || seq%3 != 2 },
	}
	var mu sync.Mutex
	dead, storeRnd := false, rand.New(rand.NewPCG(seed, 3))
	kv := &faultyKV{Memory: storetest.NewMemory(), fault: func() (bool, bool) {
		mu.Lock()
		defer mu.Unlock()
		n := storeRnd.IntN(40)
		return dead || n == 0, n == 1
	}}
	cfg := config(t, kv, w, c.kind())
	cfg.Poll = time.Minute
	s := open(t, cfg)
	sp := spec(StartBeginning)
	sp.Checkpoints = seed%4 == 0
	if seed%2 == 1 {
		sp.Filter = "action:user.created"
	}
	owner := "org_1"
	if operator {
		owner = ""
	}
	var st *Stream
	for st == nil {
		st, _ = s.Create(t.Context(), owner, sp, Key("ada"))
	}
	for round := range 25 {
		for _, org := range orgs {
			w.add(org, rnd.IntN(60))
			s.Notify(org)
		}
		time.Sleep(time.Duration(rnd.IntN(40_000)) * time.Millisecond)
		meddle(t, s, st, orgs, rnd)
		if round%3 != 0 {
			continue
		}
		// kill -9: nothing more is written, and what is under way is lost.
		mu.Lock()
		dead = true
		mu.Unlock()
		_ = s.Close()
		mu.Lock()
		dead = false
		mu.Unlock()
		cfg.Product = fmt.Sprint("1.", round) // an upgrade changes no frozen batch
		s = open(t, cfg)
	}
	c.mu.Lock()
	c.healed, c.most = true, 1000
	c.mu.Unlock()
	for {
		if _, err := s.Resume(t.Context(), st.Organization, st.ID, Key("ada")); err == nil {
			break
		}
	}
	time.Sleep(3 * time.Hour)
	synctest.Wait()
	checkChaos(t, s, st, c, orgs)
	closed(t, s)
	return c.again
}

// meddle does what owners do. It may fail, as the store does.
func meddle(t *testing.T, s *Streams, st *Stream, orgs []string, rnd *rand.Rand) {
	ctx, org := t.Context(), st.Organization
	switch rnd.IntN(8) {
	case 0:
		_, _ = s.Pause(ctx, org, st.ID, Key("ada"))
	case 1, 2:
		_, _ = s.Resume(ctx, org, st.ID, Key("ada"))
	case 3:
		_, _ = s.Update(ctx, org, st.ID, Key("ada"), func(sp *Spec) error {
			sp.Name = fmt.Sprint(rnd.Int())
			return nil
		})
	case 4:
		from := uint64(rnd.IntN(100))
		_, _ = s.Replay(ctx, org, st.ID, ReplaySpec{Organization: orgs[0], From: &from})
	case 5:
		_, _ = s.RetryDeadLetters(ctx, org, st.ID, orgs[0], Key("ada"), nil)
	}
}

func checkChaos(t *testing.T, s *Streams, st *Stream, c *chaos, orgs []string) {
	t.Helper()
	got := status(t, s, st)
	if got.LagEvents != 0 || got.State != StateActive {
		t.Errorf("after all that: %+v", got)
	}
	letters, err := s.DeadLetters(t.Context(), st.Organization, st.ID, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	dead := map[string]bool{}
	for _, d := range letters {
		dead[fmt.Sprint(d.Organization, d.Seq)] = true
	}
	for _, org := range orgs {
		for seq := range uint64(c.w.size(org)) {
			taken := seq < uint64(len(c.taken[org])) && c.taken[org][seq]
			wanted := c.wanted(seq) && !c.poison(seq)
			if taken != wanted {
				t.Errorf("%s: seq %d was taken: %v", org, seq, taken)
			}
			if isDead := dead[fmt.Sprint(org, seq)]; isDead != (c.wanted(seq) && c.poison(seq)) {
				t.Errorf("%s: seq %d is a dead letter: %v", org, seq, isDead)
			}
		}
		if !slices.IsSorted(c.order[org]) {
			t.Errorf("%s: order %v", org, c.order[org])
		}
	}
}
