package pebblestore

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// benchKeeps are what may be kept of a log whose entries were received in the
// milliseconds from 1 to 200: everything; what came after a tenth of it; and, beside
// that, less of one class of actions, with two holds.
func benchKeeps() []namedKeep {
	before := func(text string, ms int64) audit.Query {
		q, err := audit.ParseQuery(text)
		if err != nil {
			panic(err)
		}
		q.ReceivedTo = time.UnixMilli(ms)
		return q
	}
	return []namedKeep{
		{"everything", nil},
		{"period", search.NewKeep([]audit.Query{before("", 20)}, nil)},
		{"classes", search.NewKeep(
			[]audit.Query{before("-action:user.updated", 20), before("action:user.updated", 180)},
			[]search.Hold{{Query: before("actor:a-3", 1<<40)}, {Query: before("target:target-7", 1<<40), Due: []audit.Query{before("", 10)}}},
		)},
	}
}

type namedKeep struct {
	name string
	keep *search.Keep
}

// BenchmarkKept asks a log of 200,000 entries in blocks, of which some are kept.
// Every call has a Keep of its own moment, as a server's has.
func BenchmarkKept(b *testing.B) {
	cfg := testConfig(b, vfs.NewMem())
	cfg.CacheBytes, cfg.MemTableBytes = 64<<20, 32<<20
	s := mustOpen(b, cfg)
	var keep *search.Keep
	s.SetKeeper(func(string, time.Time) (*search.Keep, error) {
		if keep == nil {
			return nil, nil //nolint:nilnil // everything is kept
		}
		return keep.At(keep.Due()), nil
	})
	l, rng := storetest.NewLog("org"), rand.New(rand.NewPCG(1, 2))
	for ms := int64(1); ms <= 200; ms++ {
		events := storetest.MakeEvents("a", 1000)
		for i, e := range events {
			e.OccurredAt += ms*1_000_000_000_000 + int64(i)
			if rng.IntN(3) > 0 {
				e.Action = []byte("user.logged_in")
			}
		}
		c := l.Next(ms, events, nil)
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		l.Add(c)
	}
	sealNow(b, s)
	day, err := search.ParseInterval("day", time.UTC)
	if err != nil {
		b.Fatal(err)
	}
	actor := audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{"a-5"}}}}
	questions := []struct {
		what string
		ask  func() error
	}{
		{"page", func() error { _, err := s.Search(b.Context(), "org", search.Request{Limit: 50}); return err }},
		{"last page", func() error {
			_, err := s.Search(b.Context(), "org", search.Request{Limit: 50, Ascending: true})
			return err
		}},
		{"histogram", func() error { _, err := s.Histogram(b.Context(), "org", audit.Query{}, day); return err }},
		{"facets", func() error {
			_, err := s.Facets(b.Context(), "org", audit.Query{}, audit.FieldActorID, 10)
			return err
		}},
		{"survey", func() error { _, err := s.Survey(b.Context(), "org", actor, 0, l.Head.Size); return err }},
		{"first", func() error { _, err := s.First(b.Context(), "org"); return err }},
	}
	for _, k := range benchKeeps() {
		keep = k.keep
		for _, q := range questions {
			b.Run(k.name+"/"+q.what, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := q.ask(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
