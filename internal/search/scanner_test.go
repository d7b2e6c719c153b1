package search_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

// memory is a log that a Scanner reads. It gives every entry in the same place,
// as stores may.
type memory struct {
	entries []*event.Entry
	spans   []search.Span
	read    int // entries yielded
	fail    error
}

func (m *memory) scanner() *search.Scanner {
	s := &search.Scanner{Head: m.head, Read: m.readRange}
	if m.spans != nil {
		s.Spans = m.eachSpan
	}
	return s
}

func (m *memory) head(context.Context, string) (uint64, int64, error) {
	if len(m.entries) == 0 {
		return 0, 0, m.fail
	}
	return uint64(len(m.entries)), m.entries[len(m.entries)-1].ReceivedAt, m.fail
}

func (m *memory) readRange(_ context.Context, _ string, from, to uint64, desc bool) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		part := slices.Clone(m.entries[from:to])
		if desc {
			slices.Reverse(part)
		}
		var e event.Entry
		for _, stored := range part {
			m.read++
			e = *stored.Clone()
			if !yield(&e, nil) {
				return
			}
			for _, text := range [][]byte{e.Action, e.Actor.ID, e.Metadata} {
				clear(text) // valid until the next only
			}
		}
	}
}

func (m *memory) eachSpan(_ context.Context, _ string, from, to uint64, desc bool) iter.Seq2[search.Span, error] {
	return func(yield func(search.Span, error) bool) {
		spans := slices.Clone(m.spans)
		if desc {
			slices.Reverse(spans)
		}
		for _, s := range spans {
			if s.To > from && s.From < to && !yield(s, nil) {
				return
			}
		}
	}
}

// makeSpans cuts the log in ranges.
func (m *memory) makeSpans(t *rapid.T) {
	m.spans = []search.Span{}
	for from := 0; from < len(m.entries); {
		to := from + rapid.IntRange(1, len(m.entries)-from).Draw(t, "span")
		s := search.Span{From: uint64(from), To: uint64(to), MinOccurredAt: m.entries[from].OccurredAt, MaxOccurredAt: m.entries[from].OccurredAt}
		for _, e := range m.entries[from:to] {
			s.MinOccurredAt, s.MaxOccurredAt = min(s.MinOccurredAt, e.OccurredAt), max(s.MaxOccurredAt, e.OccurredAt)
		}
		m.spans = append(m.spans, s)
		from = to
	}
}

func seqs(entries []*event.Entry) []uint64 {
	out := []uint64{}
	for _, e := range entries {
		out = append(out, e.Seq)
	}
	return out
}

// wanted are the places of what a query finds among the first size entries, in
// order: what Search is, the plain way.
func wanted(entries []*event.Entry, q audit.Query, ascending bool, size int) []uint64 {
	var found []*event.Entry
	for _, e := range entries[:size] {
		if plain := e.Audit(testOrg); q.Match(&plain) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *event.Entry) int { return search.KeyOf(a).Compare(search.KeyOf(b)) })
	if !ascending {
		slices.Reverse(found)
	}
	return seqs(found)
}

// TestSearchPages pages through what a query finds while the log grows: the pages
// together are the log as it was at the first.
func TestSearchPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 0, 12)
		log := &memory{entries: entries}
		if rapid.Bool().Draw(t, "spans") {
			log.makeSpans(t)
		}
		q := searchtest.Queries(auditEntries(entries)).Draw(t, "query")
		r := search.Request{Query: q, Ascending: rapid.Bool().Draw(t, "ascending"), Limit: rapid.IntRange(1, 4).Draw(t, "limit")}
		size := rapid.IntRange(0, len(entries)).Draw(t, "size at first")
		log.entries = entries[:size]
		got := []uint64{}
		for more := true; more; log.entries = entries {
			page := searchPage(t, log, r)
			if len(page.Entries) > r.Limit || page.More && len(page.Entries) < r.Limit {
				t.Fatalf("%d entries on a page of %d, more %v", len(page.Entries), r.Limit, page.More)
			}
			checkThrough(t, page.Through, entries, size)
			got = append(got, seqs(page.Entries)...)
			if len(got) > len(entries) {
				t.Fatalf("paging does not end: %v", got)
			}
			r.After, more = parseNext(t, page), page.More
		}
		if diff := cmp.Diff(wanted(entries, q, r.Ascending, size), got); diff != "" {
			t.Fatalf("%s: %s", q, diff)
		}
		if r.Ascending || size == 0 {
			checkGoesOn(t, log, r, got)
		} else if page := searchPage(t, log, r); len(page.Entries) > 0 || page.More {
			t.Fatalf("after the last page there are %v", seqs(page.Entries))
		}
	})
}

func searchPage(t *rapid.T, log *memory, r search.Request) search.Page {
	page, err := log.scanner().Search(context.Background(), testOrg, r)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func parseNext(t *rapid.T, page search.Page) *search.Cursor {
	c, err := search.ParseCursor(page.Next.String())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page.Next, *c); diff != "" {
		t.Fatal(diff)
	}
	return c
}

func checkThrough(t *rapid.T, got *audit.Position, entries []*event.Entry, size int) {
	var want *audit.Position
	if size > 0 {
		want = &audit.Position{Seq: uint64(size - 1), ReceivedAt: entries[size-1].ReceivedTime()}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("complete_through: %s", diff)
	}
}

// checkGoesOn asks again after the last page: what was recorded meanwhile, and
// comes after it in order, is there.
func checkGoesOn(t *rapid.T, log *memory, r search.Request, got []uint64) {
	r.Limit = audit.MaxQueryLimit
	page := searchPage(t, log, r)
	want := []uint64{}
	for _, seq := range wanted(log.entries, r.Query, r.Ascending, len(log.entries)) {
		after := len(got) == 0 || search.KeyOf(log.entries[got[len(got)-1]]).Before(search.KeyOf(log.entries[seq]), r.Ascending)
		if after {
			want = append(want, seq)
		}
	}
	if diff := cmp.Diff(want, seqs(page.Entries)); diff != "" {
		t.Fatalf("going on: %s", diff)
	}
}

// big gives a log of entries of a size, n of them at one time.
func big(n, size int) *memory {
	m := &memory{}
	for i := range n {
		e := &event.Entry{Seq: uint64(i)}
		e.Action = []byte(strings.Repeat("a", size))
		m.entries = append(m.entries, e)
	}
	return m
}

// TestSearchBytes: a page ends once it holds MaxPageBytes, and has one entry at
// least.
func TestSearchBytes(t *testing.T) {
	const size = 60 << 10
	log := big(200, size)
	r := search.Request{Limit: 1000}
	perPage := (search.MaxPageBytes + search.SizeOf(log.entries[0]) - 1) / search.SizeOf(log.entries[0])
	var lens []int
	for more := true; more; {
		page, err := log.scanner().Search(t.Context(), testOrg, r)
		if err != nil {
			t.Fatal(err)
		}
		lens = append(lens, len(page.Entries))
		r.After, more = &page.Next, page.More
	}
	if want := []int{perPage, perPage, 200 - 2*perPage}; !slices.Equal(lens, want) {
		t.Errorf("pages of %v entries, want %v", lens, want)
	}
	page, err := big(2, search.MaxPageBytes+1).scanner().Search(t.Context(), testOrg, search.Request{Limit: 5})
	if err != nil || len(page.Entries) != 1 || !page.More {
		t.Errorf("a page of one big entry has %d, more %v, error %v", len(page.Entries), page.More, err)
	}
}

// TestSearchReadsLittle: the newest page of a log in order needs its newest spans
// only, and a time range only its own.
func TestSearchReadsLittle(t *testing.T) {
	const spans, spanSize = 100, 5000
	log := &memory{}
	for i := range spans * spanSize {
		e := &event.Entry{Seq: uint64(i)}
		e.OccurredAt = int64(i) * 1e9
		log.entries = append(log.entries, e)
	}
	for i := range spans {
		from := i * spanSize
		log.spans = append(log.spans, search.Span{
			From: uint64(from), To: uint64(from + spanSize),
			MinOccurredAt: int64(from) * 1e9, MaxOccurredAt: int64(from+spanSize-1) * 1e9,
		})
	}
	between, err := audit.ParseQuery("after:1970-01-02 before:1970-01-02T00:30:00Z")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []search.Request{{Limit: 50}, {Limit: 50, Ascending: true}, {Limit: 1000, Query: between}} {
		log.read = 0
		page, err := log.scanner().Search(t.Context(), testOrg, r)
		if err != nil || len(page.Entries) != r.Limit || !page.More {
			t.Fatalf("%d entries, more %v, error %v", len(page.Entries), page.More, err)
		}
		if log.read > 2*spanSize {
			t.Errorf("%+v: read %d entries", r, log.read)
		}
	}
}

func TestScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 0, 10)
		log := &memory{entries: entries}
		if rapid.Bool().Draw(t, "spans") {
			log.makeSpans(t)
		}
		q := searchtest.Queries(auditEntries(entries)).Draw(t, "query")
		plain := auditEntries(entries)
		for from := range uint64(12) {
			for to := range uint64(12) {
				for _, desc := range []bool{false, true} {
					checkScan(t, log, plain, q, from, to, desc)
				}
			}
		}
	})
}

func checkScan(t *rapid.T, log *memory, plain []audit.Entry, q audit.Query, from, to uint64, desc bool) {
	var want, got []uint64
	for i := range plain {
		if seq := uint64(i); q.Match(&plain[i]) && from <= seq && seq < to {
			want = append(want, seq)
		}
	}
	if desc {
		slices.Reverse(want)
	}
	for e, err := range log.scanner().Scan(context.Background(), testOrg, q, from, to, desc) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s: %d to %d: %s", q, from, to, diff)
	}
}

// TestPagerAnyOrder: in what order entries are offered, how often, and whether
// those of the future or those that Skips rules out are among them, is all one.
func TestPagerAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 1, 12)
		size := rapid.IntRange(1, len(entries)).Draw(t, "size")
		r := search.Request{Ascending: rapid.Bool().Draw(t, "ascending"), Limit: rapid.IntRange(1, 6).Draw(t, "limit")}
		p, err := search.NewPager(testOrg, r, uint64(size), entries[size-1].ReceivedAt)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range rapid.Permutation(indexes(2*len(entries))).Draw(t, "offers") {
			e := entries[i%len(entries)]
			if rapid.Bool().Draw(t, "asks") && p.Skips(e.OccurredAt, e.OccurredAt) {
				continue
			}
			p.Offer(e)
		}
		page := p.Page()
		want := wanted(entries, r.Query, r.Ascending, size)
		if page.More != (len(want) > r.Limit) {
			t.Fatalf("more is %v, of %d entries on pages of %d", page.More, len(want), r.Limit)
		}
		if diff := cmp.Diff(want[:min(len(want), r.Limit)], seqs(page.Entries)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// TestScannerErrors: what goes wrong below is an error above, never an answer.
func TestScannerErrors(t *testing.T) {
	broken := errors.New("broken")
	bad := audit.Query{Filters: []audit.Filter{{Field: "nope", Values: []string{"x"}}}}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	failing := func(s *search.Scanner) *search.Scanner {
		s.Read = func(context.Context, string, uint64, uint64, bool) iter.Seq2[*event.Entry, error] {
			return func(yield func(*event.Entry, error) bool) { yield(nil, broken) }
		}
		return s
	}
	spanless := func(s *search.Scanner) *search.Scanner {
		s.Spans = func(context.Context, string, uint64, uint64, bool) iter.Seq2[search.Span, error] {
			return func(yield func(search.Span, error) bool) { yield(search.Span{}, broken) }
		}
		return s
	}
	for _, tt := range []struct {
		name string
		ctx  context.Context
		s    *search.Scanner
		q    audit.Query
		want error
	}{
		{"head", t.Context(), (&memory{fail: broken}).scanner(), audit.Query{}, broken},
		{"read", t.Context(), failing(big(1, 1).scanner()), audit.Query{}, broken},
		{"spans", t.Context(), spanless(big(1, 1).scanner()), audit.Query{}, broken},
		{"canceled", canceled, big(1, 1).scanner(), audit.Query{}, context.Canceled},
		{"query", t.Context(), big(1, 1).scanner(), bad, &audit.Error{Code: audit.CodeInvalidQuery}},
	} {
		for name, err := range allErrors(tt.ctx, tt.s, tt.q) {
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %s: error %v, want %v", tt.name, name, err, tt.want)
			}
		}
	}
}

// allErrors asks an engine in every way.
func allErrors(ctx context.Context, s search.Engine, q audit.Query) map[string]error {
	errs := map[string]error{}
	_, errs["search"] = s.Search(ctx, testOrg, search.Request{Query: q, Limit: 1})
	day, _ := search.ParseInterval("day", nil)
	_, errs["histogram"] = s.Histogram(ctx, testOrg, q, day)
	_, errs["facets"] = s.Facets(ctx, testOrg, q, audit.FieldAction, 1)
	for _, err := range s.Scan(ctx, testOrg, q, 0, 1, false) {
		errs["scan"] = err
	}
	return errs
}

func TestSearchRefuses(t *testing.T) {
	log := big(3, 1)
	page, err := log.scanner().Search(t.Context(), testOrg, search.Request{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.ParseQuery("action:x")
	if err != nil {
		t.Fatal(err)
	}
	longer := page.Next
	longer.Bound = 4
	for _, tt := range []struct {
		org  string
		r    search.Request
		code audit.Code
	}{
		{testOrg, search.Request{}, audit.CodeInvalidRequest},
		{testOrg, search.Request{Limit: 1001}, audit.CodeInvalidRequest},
		{testOrg, search.Request{Limit: 1, After: &page.Next, Query: other}, audit.CodeInvalidCursor},
		{testOrg, search.Request{Limit: 1, After: &page.Next, Ascending: true}, audit.CodeInvalidCursor},
		{"org_2", search.Request{Limit: 1, After: &page.Next}, audit.CodeInvalidCursor},
		{testOrg, search.Request{Limit: 1, After: &longer}, audit.CodeInvalidCursor},
	} {
		if _, err := log.scanner().Search(t.Context(), tt.org, tt.r); !errors.Is(err, &audit.Error{Code: tt.code}) {
			t.Errorf("%s %+v: error %v, want %s", tt.org, tt.r, err, tt.code)
		}
	}
	r := search.Request{Limit: 5, After: &page.Next}
	if page, err = log.scanner().Search(t.Context(), testOrg, r); err != nil || len(page.Entries) != 2 {
		t.Errorf("another limit: %d entries, error %v", len(page.Entries), err)
	}
}
