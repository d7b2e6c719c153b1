package blockquery_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

func histogramOf(t fataler, b *testBlock, rows []int, iv search.Interval) search.Histogram {
	t.Helper()
	c := search.NewHistogram(iv)
	for _, i := range rows {
		if err := c.Add(b.entries[i].OccurredAt, 1); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return resultOf(t, c)
}

func resultOf(t fataler, c *search.HistogramCounter) search.Histogram {
	t.Helper()
	h, err := c.Result(nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return h
}

// nearlyAll gives queries without conditions, which the header may answer, and
// others.
func nearlyAll(t *rapid.T, plain []audit.Entry) audit.Query {
	q := searchtest.Queries(plain).Draw(t, "query")
	if rapid.Bool().Draw(t, "no conditions") {
		q.Filters = nil
	}
	if !q.OccurredFrom.IsZero() && rapid.Bool().Draw(t, "from a whole day") {
		q.OccurredFrom = q.OccurredFrom.Truncate(24 * time.Hour)
	}
	return q
}

// TestHistogram compares with counting one by one, of entries near each other in
// time and of others.
func TestHistogram(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	counted := 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawBlocks(t, enc, 1, 12)[0]
		iv := drawInterval(t)
		for range 3 {
			q := nearlyAll(t, b.plain)
			want := search.NewHistogram(iv)
			for _, i := range matching(b, q) {
				if err := want.Add(b.entries[i].OccurredAt, 1); err != nil {
					t.Fatal(err)
				}
			}
			got := search.NewHistogram(iv)
			if err := blockquery.Compile(q).Histogram(b.source(), got); err != nil {
				t.Fatalf("%q by %s: %v", q, iv, err)
			}
			wantResult, wantErr := want.Result(nil)
			gotResult, gotErr := got.Result(nil)
			if (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("%q by %s: error %v, want %v", q, iv, gotErr, wantErr)
			}
			if !equalHistograms(wantResult, gotResult) {
				t.Fatalf("%q by %s: %s", q, iv, cmp.Diff(wantResult, gotResult))
			}
			counted += len(gotResult.Buckets)
		}
	})
	if counted == 0 {
		t.Error("every histogram was empty")
	}
}

// equalHistograms is a quick way to see that nothing differs: there may be
// thousands of buckets.
func equalHistograms(a, b search.Histogram) bool {
	return a.Total == b.Total && slices.EqualFunc(a.Buckets, b.Buckets, func(a, b search.Bucket) bool {
		return a.Start.Equal(b.Start) && a.Count == b.Count
	})
}

func drawInterval(t *rapid.T) search.Interval {
	return parseInterval(t, rapid.SampledFrom([]string{"month", "week", "day", "day", "6h"}).Draw(t, "interval"),
		rapid.SampledFrom([]string{"UTC", "UTC", "Europe/Berlin", "Asia/Kolkata"}).Draw(t, "zone"))
}

// TestHistogramFull counts a full block by intervals that its header answers and
// others.
func TestHistogramFull(t *testing.T) {
	b := fullBlock(t)
	s := b.source()
	middle := time.Unix(0, b.entries[8000].OccurredAt)
	for _, q := range []audit.Query{
		{},
		{OccurredFrom: middle},
		{OccurredTo: middle},
		{ReceivedFrom: middle},
		parse(t, "actor.type:user"),
		{OccurredFrom: middle.Truncate(24 * time.Hour), OccurredTo: middle.Add(72 * time.Hour).Truncate(24 * time.Hour)},
	} {
		rows := matching(b, q)
		for _, text := range []string{"month", "day", "6h"} {
			for _, zone := range []string{"UTC", "Asia/Kolkata"} {
				iv := parseInterval(t, text, zone)
				c := search.NewHistogram(iv)
				if err := blockquery.Compile(q).Histogram(s, c); err != nil {
					t.Fatal(err)
				}
				got := resultOf(t, c)
				if diff := cmp.Diff(histogramOf(t, b, rows, iv), got); diff != "" || got.Total == 0 {
					t.Errorf("%q by %s in %s: total %d, %s", q, iv, zone, got.Total, diff)
				}
			}
		}
	}
}

func facetFields() []audit.Field {
	fields := slices.DeleteFunc(audit.Fields(), func(f audit.Field) bool { return f == audit.FieldText })
	return append(fields, "metadata.team", "metadata.nested.team", "metadata.a.b", "actor.metadata.team", "actor.metadata.count",
		"target.metadata.team", "target.metadata.nested.team", "target.metadata.count")
}

func newFacets(t fataler, field audit.Field) *search.FacetCounter {
	t.Helper()
	c, err := search.NewFacets(field)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// addRows counts entries of a block one by one.
func addRows(t fataler, c *search.FacetCounter, b *testBlock, rows []int) {
	t.Helper()
	for _, i := range rows {
		if err := c.Add(b.entries[i]); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// countBlocks counts as a store does: by value, or entry by entry those for which
// tail says so.
func countBlocks(t fataler, blocks []*testBlock, q audit.Query, field audit.Field, limit int, tail func(*testBlock) bool) search.Facets {
	t.Helper()
	query, c := blockquery.Compile(q), newFacets(t, field)
	for _, b := range blocks {
		if tail(b) {
			addRows(t, c, b, matching(b, q))
			continue
		}
		if err := query.Facets(b.source(), c); err != nil {
			t.Fatalf("%q by %s: %v", q, field, err)
		}
	}
	names := query.Names(c, limit)
	for _, b := range blocks {
		if names.Skips(b.header) || names.SkipsFilter(b.filter) {
			continue
		}
		if err := names.Find(b.source()); err != nil {
			t.Fatalf("%q by %s: %v", q, field, err)
		}
	}
	return c.Result(limit, nil)
}

// TestFacets counts random blocks in any order, some of them entry by entry, and
// compares with counting every entry.
func TestFacets(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	values, named := map[audit.Field]int{}, 0
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t, enc, 3, 12)
		var plain []audit.Entry
		for _, b := range blocks {
			plain = append(plain, b.plain...)
		}
		order := rapid.Permutation(blocks).Draw(t, "order")
		tails := rapid.SliceOfNDistinct(rapid.SampledFrom(blocks), 0, 1, func(b *testBlock) *testBlock { return b }).Draw(t, "tail")
		q := nearlyAll(t, plain)
		for _, field := range facetFields() {
			limit := rapid.IntRange(1, 20).Draw(t, "limit")
			want := newFacets(t, field)
			for _, b := range blocks {
				addRows(t, want, b, matching(b, q))
			}
			got := countBlocks(t, order, q, field, limit, func(b *testBlock) bool { return slices.Contains(tails, b) })
			if diff := cmp.Diff(want.Result(limit, nil), got); diff != "" {
				t.Fatalf("%q by %s: %s", q, field, diff)
			}
			values[field] += len(got.Values)
			for _, v := range got.Values {
				named += len(v.Name)
			}
		}
	})
	for _, field := range facetFields() {
		if values[field] == 0 && !strings.Contains(string(field), ".nested.") && field != "metadata.a.b" { // those are rare
			t.Errorf("no value of %s was counted", field)
		}
	}
	if named == 0 {
		t.Error("no value had a name")
	}
}

// TestFacetsFull counts a full block.
func TestFacetsFull(t *testing.T) {
	b := fullBlock(t)
	s := b.source()
	for _, q := range []audit.Query{{}, parse(t, "action:"+string(b.entries[7].Action))} {
		rows := matching(b, q)
		for _, field := range append(facetFields(), "metadata.team", "metadata.ticket", "target.metadata.plan") {
			want := newFacets(t, field)
			addRows(t, want, b, rows)
			query, c := blockquery.Compile(q), newFacets(t, field)
			if err := query.Facets(s, c); err != nil {
				t.Fatal(err)
			}
			if err := query.Names(c, 50).Find(s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Result(50, nil), c.Result(50, nil), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q by %s: %s", q, field, diff)
			}
		}
	}
}

// TestSharedTargetValues: values that targets of one entry share are counted
// once, whether they are few or many.
func TestSharedTargetValues(t *testing.T) {
	for _, values := range []int{3, 40} {
		b := makeBlock(t, block.NewEncoder(block.Fast), entriesOf(t, 400, func(i int) *audit.Event {
			e := plainEvent(i)
			for j := range 3 {
				tier := fmt.Sprint("tier ", (i+i*j%2)%values)
				e.Targets = append(e.Targets, audit.Target{
					Type: "team", ID: fmt.Sprint("t", i%7, j), Metadata: audit.Metadata{"n": i % 11, "tier": []any{tier, tier, "all"}},
				})
			}
			return e
		}))
		for _, q := range []audit.Query{{}, parse(t, "version:2")} {
			want := newFacets(t, "target.metadata.tier")
			addRows(t, want, b, matching(b, q))
			got := countBlocks(t, []*testBlock{b}, q, "target.metadata.tier", 100, func(*testBlock) bool { return false })
			if diff := cmp.Diff(want.Result(100, nil), got); diff != "" || got.Distinct != values+1 {
				t.Errorf("%d values: %d, %s", values, got.Distinct, diff)
			}
		}
	}
}

// TestFacetsTooMany: more values than are counted are an error, as they are for
// entries.
func TestFacetsTooMany(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	list := entriesOf(t, 20, plainEvent)
	tooLarge := &audit.Error{Code: audit.CodeTooLarge}
	for _, field := range []audit.Field{audit.FieldID, audit.FieldActorID, "metadata.n", "target.metadata.n"} {
		c := newFacets(t, field)
		var value []byte
		for i := range int64(search.MaxFacetValues - 5) {
			value = strconv.AppendInt(value[:0], -1-i, 10)
			if err := c.AddValue(value, 1); err != nil {
				t.Fatal(err)
			}
		}
		b := makeBlock(t, enc, withTargets(list))
		if err := blockquery.Compile(audit.Query{}).Facets(b.source(), c); !errors.Is(err, tooLarge) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}

// withTargets are entries whose targets have metadata of their own.
func withTargets(list []*event.Entry) []*event.Entry {
	var out []*event.Entry
	for i, e := range list {
		e = e.Clone()
		e.Targets = []event.Party{{Type: []byte("t"), ID: []byte("t"), Metadata: fmt.Appendf(nil, `{"n":%d}`, i)}}
		out = append(out, e)
	}
	return out
}

// TestSharedMembers: a value that an entry has in two readings of a path, or twice
// in an array, is counted once.
func TestSharedMembers(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), entriesOf(t, 20, func(i int) *audit.Event {
		e := plainEvent(i)
		e.Metadata = audit.Metadata{"a.b": []any{"x", "x", i}, "a": map[string]any{"b": "x"}}
		e.Actor.Metadata = e.Metadata
		return e
	}))
	for _, field := range []audit.Field{"metadata.a.b", "actor.metadata.a.b"} {
		got := countBlocks(t, []*testBlock{b}, audit.Query{}, field, 1, func(*testBlock) bool { return false })
		want := search.Facets{Values: []search.FacetValue{{Value: "x", Count: 20}}, Distinct: 21}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
}
