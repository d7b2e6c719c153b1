package pebblestore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
	"github.com/stelehq/stele/internal/storetest"
)

// entryText is all that an entry says but its salt, which not every reader asks
// for.
func entryText(dst []byte, e *event.Entry) []byte {
	dst = fmt.Appendf(dst, "%d %d %x %t ", e.Seq, e.ReceivedAt, e.ID, e.Unregistered)
	return append(hex.AppendEncode(dst, event.AppendRow(nil, &e.Event)), '\n')
}

func texts(entries []*event.Entry) []string {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = string(entryText(nil, e))
	}
	return list
}

// oracle is an engine over the first n entries of a log.
func oracle(entries []*event.Entry, n uint64) search.Engine {
	return &search.Scanner{
		Head: func(context.Context, string) (uint64, int64, error) {
			if n == 0 {
				return 0, 0, nil
			}
			return n, entries[n-1].ReceivedAt, nil
		},
		Read: func(_ context.Context, _ string, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
			return func(yield func(*event.Entry, error) bool) {
				for i := range to - from {
					seq := from + i
					if desc {
						seq = to - 1 - i
					}
					if !yield(entries[seq], nil) {
						return
					}
				}
			}
		},
	}
}

// variedEvents makes events of many shapes, mostly in order of time.
func variedEvents(rng *rand.Rand, tag string, n int) []*event.Event {
	list := storetest.MakeEvents(tag, n)
	start := rng.Int64N(1_000_000) * 1_000_000_000
	for i, e := range list {
		e.OccurredAt += start
		if rng.IntN(10) == 0 {
			e.OccurredAt -= rng.Int64N(100_000) * 1_000_000_000
		}
		if rng.IntN(20) > 0 {
			continue
		}
		ev, err := event.FromAudit(eventtest.Events().Example(rng.IntN(1 << 20)))
		if err != nil {
			continue
		}
		ev.OccurredAt, ev.Actor.ID = e.OccurredAt, e.Actor.ID
		list[i] = ev
	}
	return list
}

// queriesOf makes queries about some entries of a log.
func queriesOf(rng *rand.Rand, org string, entries []*event.Entry, n int) []audit.Query {
	var sample []audit.Entry
	for range min(30, len(entries)) {
		sample = append(sample, entries[rng.IntN(len(entries))].Audit(org))
	}
	queries := []audit.Query{{}}
	for range n {
		queries = append(queries, searchtest.Queries(sample).Example(rng.IntN(1<<30)))
	}
	return queries
}

// question is something that a store and an oracle are asked, and the answer of
// one that has the first n entries. through is that n as far as the answer says.
type question struct {
	what string
	ask  func(ctx context.Context, e search.Engine) (answer any, through *audit.Position, err error)
}

func everyQuestion(rng *rand.Rand, org string, q audit.Query, size uint64) []question {
	from := rng.Uint64N(size + 1)
	to := from + rng.Uint64N(size+1-from)
	if rng.IntN(3) == 0 {
		from, to = 0, size
	}
	day, _ := search.ParseInterval("day", time.UTC)
	field := []audit.Field{audit.FieldAction, audit.FieldActorID, audit.FieldTargetID, audit.FieldLocation, "metadata.tag"}[rng.IntN(5)]
	limit, ascending, desc := 1+rng.IntN(200), rng.IntN(2) == 0, rng.IntN(2) == 0
	rest := fmt.Sprintf("%q from %d to %d, desc %t, field %s, limit %d, ascending %t", q, from, to, desc, field, limit, ascending)
	return []question{
		{"scan " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			var b []byte
			for entry, err := range e.Scan(ctx, org, q, from, to, desc) {
				if err != nil {
					return nil, nil, err
				}
				b = entryText(b, entry)
			}
			return string(b), nil, nil
		}},
		{fmt.Sprint("read from ", from, " to ", to), func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			entries := e.Scan(ctx, org, audit.Query{}, from, to, false)
			if s, ok := e.(*Store); ok {
				entries = s.Read(ctx, org, from, to)
			}
			var b []byte
			for entry, err := range entries {
				if err != nil {
					return nil, nil, err
				}
				b = append(entryText(b, entry), entry.Salt[:]...)
			}
			return string(b), nil, nil
		}},
		{"render " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			return renderText(ctx, e, org, q, from, to, desc, 0)
		}},
		{"survey " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			sum, err := e.Survey(ctx, org, q, from, to)
			return sum, nil, err
		}},
		{"search " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			return pagesText(ctx, e, org, search.Request{Query: q, Limit: limit, Ascending: ascending})
		}},
		{"histogram " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			h, err := e.Histogram(ctx, org, q, day)
			return orRefusal(h, h.Through, err)
		}},
		{"facets " + rest, func(ctx context.Context, e search.Engine) (any, *audit.Position, error) {
			f, err := e.Facets(ctx, org, q, field, limit)
			return orRefusal(f, f.Through, err)
		}},
	}
}

// orRefusal takes what an engine refuses to answer as its answer.
func orRefusal(answer any, through *audit.Position, err error) (any, *audit.Position, error) {
	if refused := new(audit.Error); errors.As(err, &refused) {
		return string(refused.Code), nil, nil
	}
	return answer, through, err
}

// renderText leaves after a number of chunks, zero for none.
func renderText(ctx context.Context, e search.Engine, org string, q audit.Query, from, to uint64, desc bool, leave int) (any, *audit.Position, error) {
	var b strings.Builder
	n := 0
	for chunk, err := range e.Render(ctx, org, q, from, to, desc, entryText) {
		if err != nil {
			return nil, nil, err
		}
		b.Write(chunk.Data)
		if n++; n == leave {
			break
		}
	}
	return b.String(), nil, nil
}

// pagesText is up to four pages.
func pagesText(ctx context.Context, e search.Engine, org string, r search.Request) (any, *audit.Position, error) {
	var pages [][]string
	var through *audit.Position
	for range 4 {
		page, err := e.Search(ctx, org, r)
		if err != nil {
			return nil, nil, err
		}
		pages = append(pages, texts(page.Entries))
		if through == nil {
			through = page.Through
		}
		if r.After = &page.Next; !page.More {
			break
		}
	}
	return pages, through, nil
}

// differs says how an answer differs from that of an oracle.
func (a question) differs(t testing.TB, got any, want search.Engine) string {
	wanted, _, err := a.ask(context.WithoutCancel(t.Context()), want)
	if err != nil {
		return fmt.Sprintf("the oracle failed: %v", err)
	}
	return cmp.Diff(wanted, got, cmpopts.EquateEmpty())
}

// checkAnswers asks a store everything about a log that does not change meanwhile.
func checkAnswers(t testing.TB, s search.Engine, rng *rand.Rand, l *storetest.Log, queries int) {
	t.Helper()
	size := l.Head.Size
	want := oracle(l.Entries, size)
	for _, q := range queriesOf(rng, l.Org, l.Entries, queries) {
		for _, ask := range everyQuestion(rng, l.Org, q, size) {
			got, _, err := ask.ask(t.Context(), s)
			if err != nil {
				t.Fatalf("%s: %v", ask.what, err)
			}
			if diff := ask.differs(t, got, want); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", ask.what, firstLines(diff, 20))
			}
		}
	}
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// sealNow seals a whole log by hand.
func sealNow(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Seal(t.Context()); err != nil {
		t.Fatalf("seal: %v", err)
	}
}

// blocksOf are where the blocks of a log begin and how many entries each has.
func blocksOf(t testing.TB, s *Store, org string) (list []uint64) {
	t.Helper()
	view, err := loadView(s.db, org)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range view.blocks {
		list = append(list, b.end())
	}
	return slices.Clip(list)
}

// eventually waits until something is the case.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) { // polls what goroutines of a store do
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s", what)
		}
	}
}
