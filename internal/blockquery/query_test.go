package blockquery_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

// checkRows holds everything that says which rows match to the definition.
func checkRows(t fataler, q audit.Query, s blockquery.Source, b *testBlock) []int {
	t.Helper()
	want := matching(b, q)
	c := blockquery.Compile(q)
	rows := s.Reader.NewRows()
	if err := c.Rows(s, rows); err != nil {
		t.Fatalf("%q: %v", q, err)
	}
	if got := slices.Collect(rows.All()); !slices.Equal(got, want) {
		t.Fatalf("%q: rows %v, want %v", q, got, want)
	}
	if len(want) > 0 && (c.Skips(b.header) || c.SkipsFilter(b.filter)) {
		t.Fatalf("%q: skips a block that has rows %v", q, want)
	}
	if c.All(b.header) && len(want) != b.header.Rows {
		t.Fatalf("%q: says that all match, but %v do", q, want)
	}
	checkSurvey(t, c, s, b, want)
	return want
}

func checkSurvey(t fataler, c *blockquery.Query, s blockquery.Source, b *testBlock, want []int) {
	t.Helper()
	most := 0
	for _, i := range want {
		most = max(most, len(b.entries[i].Targets))
	}
	entries, targets, err := c.Survey(s)
	if err != nil || entries != uint64(len(want)) || targets != most {
		t.Fatalf("survey: %d entries, %d targets, error %v; want %d, %d", entries, targets, err, len(want), most)
	}
}

// TestRows asks random blocks random queries.
func TestRows(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	asked, found := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		b := drawBlocks(t, enc, 1, 12)[0]
		s := b.source()
		for _, q := range rapid.SliceOfN(searchtest.Queries(b.plain), 1, 12).Draw(t, "queries") {
			if rapid.IntRange(0, 3).Draw(t, "fresh reader") == 0 {
				s = b.source()
			}
			found += len(checkRows(t, q, s, b))
			asked += len(b.plain)
		}
	})
	if found < asked/20 || found > asked*19/20 {
		t.Errorf("%d of %d matched: the queries show little", found, asked)
	}
}

// TestRowsHundreds asks blocks with several chunks of a column.
func TestRowsHundreds(t *testing.T) {
	enc := block.NewEncoder(block.Small)
	b := makeBlock(t, enc, mixedEntries(t, 700))
	s := b.source()
	rapid.Check(t, func(t *rapid.T) {
		checkRows(t, searchtest.Queries(b.plain).Draw(t, "query"), s, b)
	})
}

// TestRowsFull asks a full block of the workload, by parsed queries and random
// ones.
func TestRowsFull(t *testing.T) {
	b := fullBlock(t)
	s := b.source()
	for name, q := range benchQueries(b) {
		if n := len(checkRows(t, q, s, b)); n == 0 {
			t.Errorf("%s: %q finds nothing", name, q)
		}
	}
	queries := searchtest.Queries(b.plain[:100])
	for i := range 5 {
		checkRows(t, queries.Example(i), s, b)
	}
}

// TestIDs asks for ids that are of the block, and for those that are nearly.
func TestIDs(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	b := makeBlock(t, enc, workloadEntries(t, 300))
	id := b.entries[200].ID.String()
	e := b.entries[200]
	other := testCipher.ID(e.ReceivedAt+1, e.Seq).String()
	wrong := id[:25] + "0" // the check bits are not those of the time and seq
	if wrong == id {
		wrong = id[:25] + "1"
	}
	beyond := testCipher.ID(e.ReceivedAt, 1<<39).String()
	for _, tt := range []struct {
		text string
		want int
		skip bool // by the header
	}{
		{"id:" + id, 1, false},
		{"-id:" + id, 299, false},
		{"id:" + id + " id:" + other + " id:" + wrong + " id:" + b.entries[0].ID.String(), 2, false},
		{"id:" + wrong, 0, false},
		{"-id:" + wrong, 300, false},
		{strings.ToLower(wrong), 0, false},
		{"id:" + strings.ToLower(id), 0, true},
		{strings.ToLower(id), 1, false},
		{id, 1, false},
		{"-" + id, 299, false},
		{id[:25], 0, false},
		{id + " " + b.entries[0].ID.String(), 0, false},
		{"id:" + other, 0, false},
		{"id:" + beyond, 0, true},
		{"id:nonsense", 0, true},
		{"-id:nonsense", 300, false},
		{"id:" + id + " actor:nobody", 0, false},
	} {
		q := parse(t, tt.text)
		if got := checkRows(t, q, b.source(), b); len(got) != tt.want {
			t.Errorf("%s: %d rows, want %d", tt.text, len(got), tt.want)
		}
		if got := blockquery.Compile(q).Skips(b.header); got != tt.skip {
			t.Errorf("%s: skips %v", tt.text, got)
		}
	}
}

// TestIDFolding: letters that only strings.ToUpper makes ASCII are not in an id.
func TestIDFolding(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, 300))
	tried := 0
	for _, e := range b.entries[:20] {
		id := e.ID.String()
		for _, fold := range [][2]string{{"S", "ſ"}, {"K", "\u212a"}} {
			if text := strings.ReplaceAll(id, fold[0], fold[1]); text != id {
				tried++
				checkRows(t, parse(t, text), b.source(), b)
			}
		}
	}
	if tried == 0 {
		t.Error("no id has an S or K")
	}
}

// TestSkips asks for what the header and the filter rule out, without a reader.
func TestSkips(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, 1000))
	h := b.header
	have := string(b.entries[500].Actor.ID)
	for _, tt := range []struct {
		query              audit.Query
		skips, filter, all bool
	}{
		{audit.Query{}, false, false, true},
		{audit.Query{OccurredFrom: time.Unix(0, h.MinOccurred), OccurredTo: time.Unix(0, h.MaxOccurred+1)}, false, false, true},
		{audit.Query{OccurredFrom: time.Unix(0, h.MinOccurred+1)}, false, false, false},
		{audit.Query{OccurredTo: time.Unix(0, h.MaxOccurred)}, false, false, false},
		{audit.Query{OccurredFrom: time.Unix(0, h.MaxOccurred)}, false, false, false},
		{audit.Query{OccurredFrom: time.Unix(0, h.MaxOccurred+1)}, true, false, false},
		{audit.Query{OccurredTo: time.Unix(0, h.MinOccurred)}, true, false, false},
		{audit.Query{ReceivedFrom: time.UnixMilli(h.FirstReceived), ReceivedTo: time.UnixMilli(h.LastReceived + 1)}, false, false, true},
		{audit.Query{ReceivedFrom: time.UnixMilli(h.FirstReceived + 1)}, false, false, false},
		{audit.Query{ReceivedTo: time.UnixMilli(h.FirstReceived)}, true, false, false},
		{audit.Query{ReceivedFrom: time.UnixMilli(h.LastReceived + 1)}, true, false, false},
		{parse(t, "actor:"+have), false, false, false},
		{parse(t, "actor:"+have+" actor:nobody1"), false, false, false},
		{parse(t, "actor:nobody1"), false, true, false},
		{parse(t, "-actor:nobody1"), false, false, false},
		{parse(t, "action:none.such"), false, true, false},
		{parse(t, "action:none.such action:none.*"), false, false, false},
		{parse(t, "target:nothing1"), false, true, false},
		{parse(t, "location:nowhere"), false, true, false},
		{parse(t, "actor.name:nobody user_agent:x version:9"), false, false, false},
		{parse(t, "actor:"+have+" location:nowhere"), false, true, false},
	} {
		c := blockquery.Compile(tt.query)
		if c.Skips(h) != tt.skips || c.SkipsFilter(b.filter) != tt.filter || c.All(h) != tt.all {
			t.Errorf("%q: skips %v, by filter %v, all %v", tt.query, c.Skips(h), c.SkipsFilter(b.filter), c.All(h))
		}
		checkRows(t, tt.query, b.source(), b)
	}
}

// TestHeaderAlone: what the header answers is not read.
func TestHeaderAlone(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, 500))
	s := b.source()
	s.Reader = block.NewReader(b.header, func(int) ([]byte, error) { return nil, errors.New("read") })
	day := parseInterval(t, "day", "UTC")
	for _, q := range []audit.Query{
		{},
		{OccurredFrom: time.Unix(0, b.header.MinOccurred).Truncate(24 * time.Hour)},
		{OccurredFrom: time.Unix(0, b.header.MinOccurred).Truncate(24 * time.Hour).Add(24 * time.Hour)},
	} {
		c := search.NewHistogram(day)
		if err := blockquery.Compile(q).Histogram(s, c); err != nil {
			t.Errorf("%q: %v", q, err)
		}
		if diff := cmp.Diff(histogramOf(t, b, matching(b, q), day), resultOf(t, c)); diff != "" {
			t.Errorf("%q: %s", q, diff)
		}
	}
	if err := blockquery.Compile(audit.Query{}).Rows(s, s.Reader.NewRows()); err != nil {
		t.Error(err)
	}
	c := search.NewHistogram(parseInterval(t, "hour", "UTC"))
	if err := blockquery.Compile(audit.Query{}).Histogram(s, c); err == nil {
		t.Error("hours without times")
	}
}

// TestConcurrent asks one query and one reader from several goroutines.
func TestConcurrent(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, 2000))
	for _, q := range benchQueries(b) {
		c, s, want := blockquery.Compile(q), b.source(), matching(b, q)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 3 {
					rows := s.Reader.NewRows()
					if err := c.Rows(s, rows); err != nil {
						t.Error(err)
					}
					if got := slices.Collect(rows.All()); !slices.Equal(got, want) {
						t.Errorf("%q: rows %v, want %v", q, got, want)
					}
					if n, _, err := c.Survey(s); err != nil || n != uint64(len(want)) {
						t.Errorf("%q: survey %d, error %v", q, n, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestErrors: an error of the reader is not lost, whatever part it is about.
func TestErrors(t *testing.T) {
	b := makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, 2000))
	broken := errors.New("broken")
	for name, q := range benchQueries(b) {
		c := blockquery.Compile(q)
		if c.All(b.header) || c.Skips(b.header) {
			continue
		}
		s := b.source()
		s.Reader = block.NewReader(b.header, func(int) ([]byte, error) { return nil, broken })
		if err := c.Rows(s, s.Reader.NewRows()); !errors.Is(err, broken) {
			t.Errorf("%s: rows: error %v", name, err)
		}
		if _, _, err := c.Survey(s); !errors.Is(err, broken) {
			t.Errorf("%s: survey: error %v", name, err)
		}
	}
}
