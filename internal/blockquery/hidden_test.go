package blockquery_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

// veiled is a block of which some rows are hidden.
type veiled struct {
	*testBlock

	hidden *block.Rows
}

// drawVeiled hides some rows of a block, often none or all.
func drawVeiled(t *rapid.T, b *testBlock) veiled {
	v := veiled{b, b.source().Reader.NewRows()}
	odds := rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "of four hidden")
	for i := range b.entries {
		if rapid.IntRange(0, 3).Draw(t, "hidden") < odds {
			v.hidden.Add(i)
		}
	}
	return v
}

func (v veiled) source() blockquery.Source {
	s := v.testBlock.source()
	s.Hidden = v.hidden
	return s
}

// matching are the rows that match and are not hidden, by definition.
func (v veiled) matching(q audit.Query) []int {
	return slices.DeleteFunc(matching(v.testBlock, q), v.hidden.Has)
}

// TestHidden: no answer about a block has a row that is hidden.
func TestHidden(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	left, gone := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		v := drawVeiled(t, drawBlocks(t, enc, 1, 20)[0])
		hidden := slices.Collect(v.hidden.All())
		for range 4 {
			q := nearlyAll(t, v.plain)
			checkVeiled(t, v, q, drawInterval(t))
			left += len(v.matching(q))
			gone += len(matching(v.testBlock, q)) - len(v.matching(q))
		}
		if now := slices.Collect(v.hidden.All()); !slices.Equal(now, hidden) {
			t.Fatalf("the hidden rows were %v and are %v", hidden, now)
		}
	})
	if min(left, gone) == 0 {
		t.Errorf("%d rows found and %d hidden show little", left, gone)
	}
}

func checkVeiled(t *rapid.T, v veiled, q audit.Query, iv search.Interval) {
	want, c, s := v.matching(q), blockquery.Compile(q), v.source()
	rows := s.Reader.NewRows()
	if err := c.Rows(s, rows); err != nil {
		t.Fatalf("%q: %v", q, err)
	}
	if got := slices.Collect(rows.All()); !slices.Equal(got, want) {
		t.Fatalf("%q: rows %v, want %v", q, got, want)
	}
	checkSurvey(t, c, s, v.testBlock, want)
	counted, counter := search.NewHistogram(iv), search.NewHistogram(iv)
	for _, i := range want {
		if err := counted.Add(v.entries[i].OccurredAt, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Histogram(s, counter); err != nil {
		t.Fatal(err)
	}
	wantResult, wantErr := counted.Result(nil)
	gotResult, gotErr := counter.Result(nil)
	if (wantErr == nil) != (gotErr == nil) || !equalHistograms(wantResult, gotResult) {
		t.Fatalf("%q by %s: %v, want %v: %s", q, iv, gotErr, wantErr, cmp.Diff(wantResult, gotResult))
	}
}

// TestHiddenFacets counts blocks, and looks for names in them, with rows hidden.
func TestHiddenFacets(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	named := 0
	rapid.Check(t, func(t *rapid.T) {
		var blocks []veiled
		var plain []audit.Entry
		for _, b := range drawBlocks(t, enc, 3, 12) {
			blocks = append(blocks, drawVeiled(t, b))
			plain = append(plain, b.plain...)
		}
		q := searchtest.Queries(plain).Draw(t, "query")
		if rapid.Bool().Draw(t, "no conditions") {
			q = audit.Query{}
		}
		for _, field := range facetFields() {
			want, got, query := newFacets(t, field), newFacets(t, field), blockquery.Compile(q)
			for _, v := range blocks {
				addRows(t, want, v.testBlock, v.matching(q))
				if err := query.Facets(v.source(), got); err != nil {
					t.Fatal(err)
				}
			}
			names := query.Names(got, 20)
			for _, v := range slices.Backward(blocks) {
				if names.Skips(v.header) || names.SkipsFilter(v.filter) {
					continue
				}
				if err := names.Find(v.source()); err != nil {
					t.Fatal(err)
				}
			}
			result := got.Result(20, nil)
			if diff := cmp.Diff(want.Result(20, nil), result); diff != "" {
				t.Fatalf("%q by %s: %s", q, field, diff)
			}
			for _, f := range result.Values {
				named += len(f.Name)
			}
		}
	})
	if named == 0 {
		t.Error("no value had a name")
	}
}

// TestHiddenFull hides every third row of a full block, whose header and
// dictionaries would answer otherwise.
func TestHiddenFull(t *testing.T) {
	b := fullBlock(t)
	v := veiled{b, b.source().Reader.NewRows()}
	for i := 0; i < len(b.entries); i += 3 {
		v.hidden.Add(i)
	}
	s := v.source()
	for name, q := range benchQueries(b) {
		want, c, rows := v.matching(q), blockquery.Compile(q), s.Reader.NewRows()
		if err := c.Rows(s, rows); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(rows.All()); !slices.Equal(got, want) {
			t.Errorf("%s: %q finds %d rows, want %d", name, q, len(got), len(want))
		}
		checkSurvey(t, c, s, b, want)
	}
}
