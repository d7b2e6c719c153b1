package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

func (s suite) testHistogram(t *testing.T) {
	store := s.open(t).Store
	zone := time.FixedZone("UTC-3:30", -3*3600-1800)
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 3 {
			text := rapid.SampledFrom([]string{"month", "week", "day", "6h"}).Draw(t, "interval")
			iv, err := search.ParseInterval(text, rapid.SampledFrom([]*time.Location{time.UTC, zone}).Draw(t, "zone"))
			if err != nil {
				t.Fatal(err)
			}
			checkHistogram(t, store, l, randomQuery(t, l), iv)
		}
	})
}

func checkHistogram(t TB, store Store, l *Log, q audit.Query, iv search.Interval) {
	t.Helper()
	got, err := store.Histogram(t.Context(), l.Org, q, iv)
	want := histogram(l, q, iv)
	if len(want.Buckets) > search.MaxBuckets {
		if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidRequest}) {
			t.Fatalf("histogram of %q by %s: got %v for %d buckets", q, iv, err, len(want.Buckets))
		}
		return
	}
	if err != nil {
		t.Fatalf("histogram of %q by %s: %v", q, iv, err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("histogram of %q by %s (-want +got):\n%s", q, iv, diff)
	}
}

// histogram counts by definition, one bucket more than may be at most.
func histogram(l *Log, q audit.Query, iv search.Interval) search.Histogram {
	h := search.Histogram{Through: search.Through(l.Head.Size, l.Head.ReceivedAt)}
	list := matching(l, q)
	byTime(list, true)
	for len(list) > 0 && len(h.Buckets) <= search.MaxBuckets {
		at := list[0].audit.OccurredAt
		if n := len(h.Buckets); n > 0 {
			_, at = iv.Bucket(h.Buckets[n-1].Start)
		}
		start, next := iv.Bucket(at)
		n := 0
		for n < len(list) && list[n].audit.OccurredAt.Before(next) {
			n++
		}
		h.Buckets = append(h.Buckets, search.Bucket{Start: start, Count: uint64(n)})
		h.Total += uint64(n)
		list = list[n:]
	}
	return h
}

func (s suite) testFacets(t *testing.T) {
	store := s.open(t).Store
	fields := slices.DeleteFunc(audit.Fields(), func(f audit.Field) bool { return f == audit.FieldText })
	fields = append(fields, "metadata.team", "metadata.nested.team", "actor.metadata.count", "target.metadata.team")
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 5 {
			field := rapid.SampledFrom(fields).Draw(t, "field")
			limit := rapid.IntRange(1, 20).Draw(t, "limit")
			checkFacets(t, store, l, randomQuery(t, l), field, limit)
		}
	})
	if _, err := store.Facets(t.Context(), s.org(), audit.Query{}, "nonsense", 10); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidRequest}) {
		t.Errorf("facets of an unknown field: %v", err)
	}
}

// checkFacets compares counts with those by definition: a value's count is that
// of the entries which the query has and a filter for the value finds.
func checkFacets(t TB, store Store, l *Log, q audit.Query, field audit.Field, limit int) {
	t.Helper()
	got, err := store.Facets(t.Context(), l.Org, q, field, limit)
	if err != nil {
		t.Fatalf("facets of %q by %s: %v", q, field, err)
	}
	counts, names := map[string]uint64{}, map[string]string{}
	list := matching(l, q)
	byTime(list, true)
	for _, f := range list {
		for value, name := range valuesOf(&f.audit, field) {
			counts[value]++
			if name != "" {
				names[value] = name
			}
		}
	}
	want := search.Facets{Distinct: len(counts), Through: search.Through(l.Head.Size, l.Head.ReceivedAt)}
	for value, n := range counts {
		want.Values = append(want.Values, search.FacetValue{Value: value, Name: names[value], Count: n})
	}
	slices.SortFunc(want.Values, func(a, b search.FacetValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	want.Values = want.Values[:min(limit, len(want.Values))]
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("facets of %q by %s (-want +got):\n%s", q, field, diff)
	}
}

// valuesOf returns the different values that an entry has in a field, with the
// names of those that have one.
func valuesOf(e *audit.Entry, field audit.Field) map[string]string {
	values := map[string]string{}
	add := func(value, name string) {
		if value == "" {
			return
		}
		if values[value] == "" || name != "" {
			values[value] = name
		}
	}
	switch field {
	case audit.FieldID:
		add(e.ID, "")
	case audit.FieldAction:
		add(e.Action, "")
	case audit.FieldVersion:
		add(strconv.Itoa(e.Version), "")
	case audit.FieldActorType:
		add(e.Actor.Type, "")
	case audit.FieldActorID:
		add(e.Actor.ID, e.Actor.Name)
	case audit.FieldActorName:
		add(e.Actor.Name, "")
	case audit.FieldLocation:
		add(e.Context.Location, "")
	case audit.FieldUserAgent:
		add(e.Context.UserAgent, "")
	case audit.FieldSchema:
		add(e.Schema, "")
	case audit.FieldTargetType, audit.FieldTargetID, audit.FieldTargetName:
		for _, target := range e.Targets {
			switch field {
			case audit.FieldTargetType:
				add(target.Type, "")
			case audit.FieldTargetID:
				add(target.ID, target.Name)
			default:
				add(target.Name, "")
			}
		}
	default:
		return metadataValues(e, field)
	}
	return values
}

// metadataValues collects candidates from all metadata and keeps those that a
// filter for them finds.
func metadataValues(e *audit.Entry, field audit.Field) map[string]string {
	candidates := map[string]bool{}
	owners := []audit.Metadata{e.Metadata, e.Actor.Metadata}
	for _, target := range e.Targets {
		owners = append(owners, target.Metadata)
	}
	for _, m := range owners {
		leaves(map[string]any(m), candidates)
	}
	values := map[string]string{}
	for value := range candidates {
		if (audit.Query{Filters: []audit.Filter{{Field: field, Values: []string{value}}}}).Match(e) {
			values[value] = ""
		}
	}
	return values
}

// leaves collects the texts that filters on metadata compare with.
func leaves(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			leaves(member, into)
		}
	case []any:
		for _, element := range v {
			leaves(element, into)
		}
	case string:
		into[v] = true
	case bool:
		into[strconv.FormatBool(v)] = true
	case float64:
		into[canonicalNumber(v)] = true
	}
}

// canonicalNumber writes a number as canonical JSON does.
func canonicalNumber(v float64) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("number in metadata: %v", err))
	}
	return string(b)
}
