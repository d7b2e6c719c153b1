package search_test

import (
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/search/searchtest"
)

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := someEntries(rt, 0, 8)
		log := &memory{entries: entries}
		plain := auditEntries(entries)
		q := searchtest.Queries(plain).Draw(rt, "query")
		text := rapid.SampledFrom([]string{"6h", "day", "week", "month"}).Draw(rt, "interval")
		iv, err := search.ParseInterval(text, zone(t, "Europe/Berlin"))
		if err != nil {
			rt.Fatal(err)
		}
		want := map[time.Time]uint64{}
		total := uint64(0)
		for i := range plain {
			if q.Match(&plain[i]) {
				start, _ := iv.Bucket(plain[i].OccurredAt)
				want[start]++
				total++
			}
		}
		h, err := log.scanner().Histogram(context.Background(), testOrg, q, iv)
		if errors.Is(err, &audit.Error{Code: audit.CodeInvalidRequest}) {
			return // entries of 1970 and 2261; see TestHistogramTooMany
		}
		if err != nil {
			rt.Fatal(err)
		}
		checkHistogram(rt, iv, h, want, total)
	})
}

func checkHistogram(t *rapid.T, iv search.Interval, h search.Histogram, want map[time.Time]uint64, total uint64) {
	for i, b := range h.Buckets {
		if b.Count != want[b.Start] {
			t.Fatalf("%s: %d, want %d", b.Start, b.Count, want[b.Start])
		}
		delete(want, b.Start)
		if _, next := iv.Bucket(b.Start); i+1 < len(h.Buckets) && !next.Equal(h.Buckets[i+1].Start) {
			t.Fatalf("after the bucket of %s comes that of %s", b.Start, h.Buckets[i+1].Start)
		}
	}
	if n := len(h.Buckets); len(want) > 0 || h.Total != total || n > 0 && (h.Buckets[0].Count == 0 || h.Buckets[n-1].Count == 0) {
		t.Fatalf("%d buckets, total %d, want %d; left out %v", n, h.Total, total, want)
	}
}

func TestHistogramTooMany(t *testing.T) {
	iv, err := search.ParseInterval("hour", nil)
	if err != nil {
		t.Fatal(err)
	}
	tooMany := &audit.Error{Code: audit.CodeInvalidRequest}
	h := search.NewHistogram(iv)
	last := int64(search.MaxBuckets-1) * int64(time.Hour)
	if err := errors.Join(h.Add(0, 1), h.Add(last, 2)); err != nil {
		t.Fatal(err)
	}
	out, err := h.Result(nil)
	if err != nil || len(out.Buckets) != search.MaxBuckets || out.Total != 3 {
		t.Fatalf("%d buckets, total %d, error %v", len(out.Buckets), out.Total, err)
	}
	if err := h.Add(last+int64(time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(nil); !errors.Is(err, tooMany) {
		t.Errorf("one bucket too many: error %v", err)
	}
	// Memory is bounded before the end is known.
	for i := range int64(search.MaxBuckets + 10) {
		if err = h.Add(i*int64(2*time.Hour), 1); err != nil {
			break
		}
	}
	if !errors.Is(err, tooMany) {
		t.Errorf("counted more than %d buckets: error %v", search.MaxBuckets, err)
	}
}

// facetsOf counts the plain way.
func facetsOf(plain []audit.Entry, q audit.Query, field audit.Field, candidates []string) map[string]uint64 {
	out := map[string]uint64{}
	for i := range plain {
		if !q.Match(&plain[i]) {
			continue
		}
		for _, v := range candidates {
			has := audit.Query{Filters: []audit.Filter{{Field: field, Values: []string{v}}}}
			if has.Match(&plain[i]) {
				out[v]++
			}
		}
	}
	return out
}

// TestFacets: a value counts as often as there are entries that a filter on it
// finds.
func TestFacets(t *testing.T) {
	fields := []audit.Field{
		audit.FieldID, audit.FieldAction, audit.FieldVersion, audit.FieldActorType, audit.FieldActorID, audit.FieldTargetType,
		audit.FieldTargetID, audit.FieldLocation, audit.FieldSchema, "metadata.team", "metadata.nested.team", "actor.metadata.count", "target.metadata.a.b",
	}
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries(t, 0, 8)
		log := &memory{entries: entries}
		plain := auditEntries(entries)
		q := searchtest.Queries(plain).Draw(t, "query")
		for _, field := range fields {
			f, err := log.scanner().Facets(context.Background(), testOrg, q, field, 1000)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]uint64{}
			var candidates []string
			for i, v := range f.Values {
				got[v.Value] = v.Count
				if !strings.HasSuffix(v.Value, "*") || field != audit.FieldAction { // such an action, as a filter, is a prefix
					candidates = append(candidates, v.Value)
				} else {
					delete(got, v.Value)
				}
				if i > 0 && (v.Count > f.Values[i-1].Count || v.Count == f.Values[i-1].Count && v.Value <= f.Values[i-1].Value) {
					t.Fatalf("%s: out of order: %v", field, f.Values)
				}
			}
			if diff := cmp.Diff(facetsOf(plain, q, field, candidates), got); diff != "" {
				t.Fatalf("%s: %s", field, diff)
			}
			checkNoneLeftOut(t, plain, q, field, candidates)
			if f.Distinct != len(f.Values) {
				t.Fatalf("%s: %d of %d values", field, len(f.Values), f.Distinct)
			}
		}
	})
}

// checkNoneLeftOut fails when an entry has a value in an exact field that was not
// counted.
func checkNoneLeftOut(t *rapid.T, plain []audit.Entry, q audit.Query, field audit.Field, counted []string) {
	for i := range plain {
		var v string
		switch e := &plain[i]; field {
		case audit.FieldActorID:
			v = e.Actor.ID
		case audit.FieldLocation:
			v = e.Context.Location
		case "metadata.team":
			v, _ = e.Metadata["team"].(string)
		}
		if v != "" && q.Match(&plain[i]) && !slices.Contains(counted, v) {
			t.Fatalf("%s: %q is not counted", field, v)
		}
	}
}

func TestFacetNames(t *testing.T) {
	counter, err := search.NewFacets("actor")
	if err != nil {
		t.Fatal(err)
	}
	add := func(seq uint64, at int64, id, name string) {
		e := &event.Entry{Seq: seq}
		e.OccurredAt, e.Actor.ID, e.Actor.Name = at, []byte(id), []byte(name)
		if err := counter.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 10, "u1", "Ada")
	add(1, 30, "u1", "Ada Lovelace") // the newest by when it occurred
	add(2, 20, "u1", "A. Byron")
	add(3, 40, "u1", "")
	add(4, 10, "u2", "")
	got := counter.Result(1, nil)
	want := search.Facets{Values: []search.FacetValue{{Value: "u1", Name: "Ada Lovelace", Count: 4}}, Distinct: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFacetLimits(t *testing.T) {
	for _, field := range []audit.Field{"text", "nope", "metadata", ""} {
		if _, err := search.NewFacets(field); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidRequest}) {
			t.Errorf("%q: error %v", field, err)
		}
	}
	tooLarge := &audit.Error{Code: audit.CodeTooLarge}
	counter, err := search.NewFacets(audit.FieldActorID)
	if err != nil {
		t.Fatal(err)
	}
	add := func(id, name string) error {
		e := &event.Entry{}
		e.Actor.ID, e.Actor.Name = []byte(id), []byte(name)
		return counter.Add(e)
	}
	for i := range search.MaxFacetValues {
		if err := add(fmt.Sprint(i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := add("0", ""); err != nil {
		t.Errorf("a value that is counted already: %v", err)
	}
	if err := add("one more", ""); !errors.Is(err, tooLarge) {
		t.Errorf("one value too many: error %v", err)
	}
	if counter, err = search.NewFacets(audit.FieldActorID); err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", audit.MaxStringBytes)
	n := 0
	for ; err == nil; n++ {
		err = add(fmt.Sprint(n), name)
	}
	if !errors.Is(err, tooLarge) || n > 5000 {
		t.Errorf("long names: error %v after %d values", err, n)
	}
}

// TestFacetTop: the first values of all, whatever the limit.
func TestFacetTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := search.NewFacets(audit.FieldLocation)
		if err != nil {
			t.Fatal(err)
		}
		different := rapid.Uint64Range(1, 50).Draw(t, "different counts")
		n := rapid.IntRange(0, 400).Draw(t, "values")
		for i := range uint64(n) {
			if err := c.AddValue(fmt.Append(nil, i), 1+i*i%different); err != nil {
				t.Fatal(err)
			}
		}
		all := c.Top(n)
		ordered := slices.IsSortedFunc(all, func(a, b search.FacetValue) int {
			return stdcmp.Or(stdcmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
		})
		if len(all) != n || !ordered {
			t.Fatalf("%d of %d values, in order: %v", len(all), n, ordered)
		}
		limit := rapid.IntRange(-1, 500).Draw(t, "limit")
		want := all[:min(max(limit, 0), n)]
		if got := c.Top(limit); !slices.Equal(got, want) {
			t.Fatalf("limit %d: %v, want %v", limit, got, want)
		}
	})
}

// TestFacetOffer: an offered name counts like one that came with an entry.
func TestFacetOffer(t *testing.T) {
	c, err := search.NewFacets(audit.FieldActorID)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"u1", "u1", "u2"} {
		if err := c.AddValue([]byte(v), 2); err != nil {
			t.Fatal(err)
		}
	}
	c.OfferName("u1", []byte("Ada"), search.Key{OccurredAt: 10, Seq: 5})
	c.OfferName("u1", []byte("older"), search.Key{OccurredAt: 10, Seq: 4})
	c.OfferName("u1", nil, search.Key{OccurredAt: 11})
	c.OfferName("nobody", []byte("Nobody"), search.Key{})
	want := search.Facets{Values: []search.FacetValue{{Value: "u1", Name: "Ada", Count: 4}, {Value: "u2", Count: 2}}, Distinct: 2}
	if diff := cmp.Diff(want, c.Result(5, nil)); diff != "" {
		t.Error(diff)
	}
	if name, at := c.NameOf("u1"); name != "Ada" || at.Seq != 5 || !c.Named() {
		t.Errorf("name %q at %v, named %v", name, at, c.Named())
	}
}
