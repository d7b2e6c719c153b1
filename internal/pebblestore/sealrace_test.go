package pebblestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/storetest"
)

// generation is a log of an organization from its first commit to its removal.
type generation struct {
	entries []*event.Entry // also those of the commit under way
	sizes   []uint64       // that the log had or will have
	acked   uint64
	ending  bool // the removal has begun
}

// livingOrg is an organization that is written to, dropped and made again while it
// is read.
type livingOrg struct {
	org     string
	queries []audit.Query

	mu   sync.Mutex
	gens []generation
}

// snapshot is what is known now, from the from-th generation on.
func (o *livingOrg) snapshot(from int) (gens []generation, last int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(gens, o.gens[from:]...), len(o.gens) - 1
}

func (o *livingOrg) change(fn func(g *generation)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn(&o.gens[len(o.gens)-1])
}

// write commits, drops and commits again.
func (o *livingOrg) write(t *testing.T, s *Store, rng *rand.Rand, commits int) {
	l := storetest.NewLog(o.org)
	for n := range commits {
		if rng.IntN(30) == 0 && l.Head.Size > 0 {
			o.change(func(g *generation) { g.ending = true })
			if err := s.Drop(t.Context(), o.org); err != nil {
				t.Errorf("drop: %v", err)
				return
			}
			o.mu.Lock()
			o.gens = append(o.gens, generation{sizes: []uint64{0}})
			o.mu.Unlock()
			l = storetest.NewLog(o.org)
		}
		c := l.Next(int64(n), variedEvents(rng, fmt.Sprint("g", n%3), 1+rng.IntN(90)), nil)
		l.Add(c)
		o.change(func(g *generation) { g.entries, g.sizes = l.Entries, append(g.sizes, l.Head.Size) })
		if err := s.Commit(t.Context(), c); err != nil {
			t.Errorf("commit: %v", err)
			return
		}
		o.change(func(g *generation) { g.acked = l.Head.Size })
	}
}

// ask asks one question of every kind and compares the answers.
func (o *livingOrg) ask(t *testing.T, s *Store, rng *rand.Rand) {
	_, first := o.snapshot(0)
	now, _ := o.snapshot(first)
	size := now[0].acked
	for _, a := range everyQuestion(rng, o.org, o.queries[rng.IntN(len(o.queries))], size) {
		got, through, err := a.ask(t.Context(), s)
		gens, _ := o.snapshot(first)
		switch {
		case errors.Is(err, errDropped) && gens[0].ending:
		case errors.Is(err, &audit.Error{Code: audit.CodeInvalidCursor}) && gens[0].ending: // of the log before
		case err != nil:
			t.Errorf("%s: %v", a.what, err)
		case !o.matches(t, a, got, through, gens, size):
			if len(gens) == 1 && !gens[0].ending {
				n := size
				if through != nil {
					n = through.Seq + 1
				}
				t.Errorf("%s, of %d (-want +got):\n%s", a.what, n, firstLines(a.differs(t, got, oracle(gens[0].entries, n)), 20))
			} else {
				t.Errorf("%s: no log of the organization has this answer", a.what)
			}
		}
		if t.Failed() {
			return
		}
	}
	o.leave(t, s, rng, size, first)
}

// matches compares an answer with those of the oracles of all logs that the
// organization had meanwhile.
func (o *livingOrg) matches(t *testing.T, a question, got any, through *audit.Position, gens []generation, size uint64) bool {
	counted := !strings.HasPrefix(a.what, "scan ") && !strings.HasPrefix(a.what, "re") && !strings.HasPrefix(a.what, "survey ")
	for i, g := range gens {
		var sizes []uint64
		switch {
		case counted && through == nil:
			sizes = []uint64{0}
		case counted:
			sizes = []uint64{through.Seq + 1}
		case i == 0:
			sizes = []uint64{size}
		default:
			sizes = g.sizes // of which the range may be a part
		}
		if g.ending || i > 0 {
			sizes = append([]uint64{0}, sizes...) // between two logs there is none
		}
		for _, n := range sizes {
			if n <= uint64(len(g.entries)) && a.differs(t, got, oracle(g.entries, n)) == "" {
				return true
			}
		}
		if strings.HasPrefix(a.what, "search ") && len(gens) > 1 {
			return true // pages of two logs
		}
	}
	return false
}

// leave begins to render and leaves at the first chunk.
func (o *livingOrg) leave(t *testing.T, s *Store, rng *rand.Rand, size uint64, first int) {
	desc := rng.IntN(2) == 0
	got, _, err := renderText(t.Context(), s, o.org, audit.Query{}, 0, size, desc, 1)
	gens, _ := o.snapshot(first)
	if len(gens) > 1 || gens[0].ending {
		return
	}
	want, _, _ := renderText(t.Context(), oracle(gens[0].entries, size), o.org, audit.Query{}, 0, size, desc, 0)
	if text, _ := got.(string); err != nil || text == "" && size > 0 || !strings.HasPrefix(want.(string), text) {
		t.Errorf("first chunk of %d entries: %d bytes, %v", size, len(text), err)
	}
}

// TestSealingConcurrently has writers, sealer, drops, all readers and Check at work
// at once, with next to no memory for headers, filters and columns. Every answer is
// that of an oracle for as much of the log as the answer says it has.
func TestSealingConcurrently(t *testing.T) {
	t.Parallel()
	commits := 120
	if testing.Short() {
		commits = 15
	}
	cfg := sealingConfig(t, vfs.NewMem())
	cfg.IndexBytes, cfg.ColumnBytes = 3<<10, 8<<10
	var sealed, merged atomic.Int64
	cfg.OnSeal = func(st SealStats) {
		sealed.Add(int64(st.Rows))
		merged.Add(int64(st.Merged))
	}
	s := mustOpen(t, cfg)
	orgs := make([]*livingOrg, 3)
	for i := range orgs {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		sample := storetest.NewLog(fmt.Sprint("org", i))
		sample.Add(sample.Next(1, variedEvents(rng, "g1", 200), nil))
		orgs[i] = &livingOrg{org: sample.Org, gens: []generation{{sizes: []uint64{0}}}}
		orgs[i].queries = queriesOf(rng, sample.Org, sample.Entries, 40)
	}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for i, o := range orgs {
		writers.Go(func() { o.write(t, s, rand.New(rand.NewPCG(2, uint64(i))), commits) })
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			for !done.Load() && !t.Failed() {
				o.ask(t, s, rng)
			}
		})
	}
	readers.Go(func() {
		for !done.Load() && !t.Failed() {
			if err := s.Check(t.Context(), func(problem error) { t.Errorf("check: %v", problem) }); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for _, o := range orgs {
		o.ask(t, s, rand.New(rand.NewPCG(4, 4)))
	}
	t.Logf("%d entries sealed, %d of them again", sealed.Load(), merged.Load())
	if sealed.Load() == 0 || merged.Load() == 0 {
		t.Error("nothing was sealed or merged")
	}
}
