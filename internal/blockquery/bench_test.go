package blockquery_test

import (
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/workload"
)

// benchQueries are the questions that the program is measured with, put so that
// the block has something to find.
func benchQueries(b *testBlock) map[string]audit.Query {
	middle := &b.entries[len(b.entries)/2].Event
	target, rare, ticket := "", "", ""
	for i := range b.plain {
		e := &b.plain[i]
		if len(e.Targets) > 0 {
			target = e.Targets[0].ID
		}
		if e.Action == workload.RareAction {
			rare = e.Action
		}
		if v, ok := e.Metadata["ticket"].(string); ok {
			ticket = v
		}
	}
	if rare == "" {
		rare = string(b.entries[3].Action)
	}
	filter := func(f audit.Field, values ...string) audit.Filter { return audit.Filter{Field: f, Values: values} }
	of := func(filters ...audit.Filter) audit.Query { return audit.Query{Filters: filters} }
	day := time.Unix(0, middle.OccurredAt).UTC().Truncate(24 * time.Hour)
	three := of(filter(audit.FieldAction, string(middle.Action), string(b.entries[0].Action), string(b.entries[1].Action)),
		filter(audit.FieldActorID, string(middle.Actor.ID)))
	three.OccurredFrom, three.OccurredTo = day, day.AddDate(0, 0, 30)
	return map[string]audit.Query{
		"Q1":          {OccurredTo: day.AddDate(0, 0, 1)},
		"Q2":          of(filter(audit.FieldAction, rare)),
		"Q3":          of(filter(audit.FieldActorID, string(middle.Actor.ID))),
		"Q4":          of(filter(audit.FieldTargetID, target)),
		"Q5":          three,
		"Q6":          {OccurredFrom: day, OccurredTo: day.AddDate(0, 0, 90)},
		"Q7":          of(filter(audit.FieldText, ticket)),
		"rarely meet": rarelyMeet(b),
		"metadata":    of(filter("metadata.ticket", ticket)),
		"name":        of(filter(audit.FieldActorName, b.plain[9].Actor.Name)),
		"text, few rows left": of(filter(audit.FieldActorID, string(middle.Actor.ID)), filter(audit.FieldAction, string(middle.Action)),
			filter(audit.FieldText, string(middle.Location[:4]))),
	}
}

// rarelyMeet asks for two values that are in many entries and together in few.
func rarelyMeet(b *testBlock) audit.Query {
	actions, actors := map[string]int{}, map[string]int{}
	both := map[[2]string]int{}
	for i := range b.plain {
		e := &b.plain[i]
		actions[e.Action]++
		actors[e.Actor.ID]++
		both[[2]string{e.Action, e.Actor.ID}]++
	}
	var best [2]string
	most := 0.0
	for pair, n := range both {
		if common := float64(min(actions[pair[0]], actors[pair[1]])) / float64(n); common > most || common == most && pair[0]+pair[1] < best[0]+best[1] {
			best, most = pair, common
		}
	}
	return audit.Query{Filters: []audit.Filter{
		{Field: audit.FieldAction, Values: []string{best[0]}}, {Field: audit.FieldActorID, Values: []string{best[1]}},
	}}
}

// measure runs fn with readers that have read nothing yet, and with one that has
// read all that the question needs. Beside the time it reports the CPU that was
// used, which other programs on the machine change less.
func measure(b *testing.B, name string, t *testBlock, fn func(blockquery.Source)) {
	b.Helper()
	for _, cold := range []bool{true, false} {
		temperature := "warm"
		if cold {
			temperature = "cold"
		}
		b.Run(name+"/"+temperature, func(b *testing.B) {
			b.ReportAllocs()
			s := t.source()
			fn(s)
			before := cpuNanos(b)
			for b.Loop() {
				if cold {
					s = t.source()
				}
				fn(s)
			}
			b.ReportMetric(float64(cpuNanos(b)-before)/float64(b.N)/1000, "cpu-µs/op")
		})
	}
}

func cpuNanos(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkRows finds the rows of each question in a full block.
func BenchmarkRows(b *testing.B) {
	t := fullBlock(b)
	queries := benchQueries(t)
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		q := blockquery.Compile(queries[name])
		rows := t.source().Reader.NewRows()
		measure(b, name, t, func(s blockquery.Source) {
			rows.Reset(rows.Bound())
			if err := q.Rows(s, rows); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkSkips asks what is in memory of a block.
func BenchmarkSkips(b *testing.B) {
	t := fullBlock(b)
	q := blockquery.Compile(benchQueries(t)["Q5"])
	b.ReportAllocs()
	for b.Loop() {
		if q.Skips(t.header) || q.SkipsFilter(t.filter) {
			b.Fatal("skipped")
		}
	}
}

// BenchmarkHistogram counts a full block by day.
func BenchmarkHistogram(b *testing.B) {
	t := fullBlock(b)
	queries := benchQueries(t)
	day := parseInterval(b, "day", "UTC")
	for _, name := range []string{"Q1", "Q2", "Q6"} {
		q := blockquery.Compile(queries[name])
		measure(b, name, t, func(s blockquery.Source) {
			if err := q.Histogram(s, search.NewHistogram(day)); err != nil {
				b.Fatal(err)
			}
		})
	}
	q := blockquery.Compile(queries["Q6"])
	berlin := parseInterval(b, "6h", "Europe/Berlin")
	measure(b, "6h Berlin", t, func(s blockquery.Source) {
		if err := q.Histogram(s, search.NewHistogram(berlin)); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkFacets counts a full block by value, and finds the names of ten.
func BenchmarkFacets(b *testing.B) {
	t := fullBlock(b)
	q := blockquery.Compile(audit.Query{})
	for _, field := range []audit.Field{
		audit.FieldAction, audit.FieldActorID, audit.FieldTargetID, audit.FieldUserAgent, "metadata.ticket", "actor.metadata.team", "target.metadata.team",
	} {
		measure(b, string(field), t, func(s blockquery.Source) {
			c := newFacets(b, field)
			if err := q.Facets(s, c); err != nil {
				b.Fatal(err)
			}
			if names := q.Names(c, 10); !names.Skips(s.Reader.Header()) {
				if err := names.Find(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSurvey counts what matches and its targets.
func BenchmarkSurvey(b *testing.B) {
	t := fullBlock(b)
	queries := benchQueries(t)
	for _, name := range []string{"Q3", "Q6"} {
		q := blockquery.Compile(queries[name])
		measure(b, name, t, func(s blockquery.Source) {
			if _, _, err := q.Survey(s); err != nil {
				b.Fatal(err)
			}
		})
	}
}
