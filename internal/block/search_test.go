package block_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
)

// values are the texts that one entry has in a field, the empty one included.
func values(e *event.Entry, f block.Field) []string {
	of := func(get func(*event.Party) []byte) (list []string) {
		for i := range e.Targets {
			list = append(list, string(get(&e.Targets[i])))
		}
		return list
	}
	typ := func(p *event.Party) []byte { return p.Type }
	id := func(p *event.Party) []byte { return p.ID }
	name := func(p *event.Party) []byte { return p.Name }
	meta := func(p *event.Party) []byte { return p.Metadata }
	switch f {
	case block.FieldAction:
		return []string{string(e.Action)}
	case block.FieldVersion:
		return []string{strconv.Itoa(e.Version)}
	case block.FieldUnregistered:
		if e.Unregistered {
			return []string{"unregistered"}
		}
		return []string{""}
	case block.FieldActorType:
		return []string{string(e.Actor.Type)}
	case block.FieldActorID:
		return []string{string(e.Actor.ID)}
	case block.FieldActorName:
		return []string{string(e.Actor.Name)}
	case block.FieldActorMetadata:
		return []string{string(e.Actor.Metadata)}
	case block.FieldTargetType:
		return of(typ)
	case block.FieldTargetID:
		return of(id)
	case block.FieldTargetName:
		return of(name)
	case block.FieldTargetMetadata:
		return of(meta)
	case block.FieldLocation:
		return []string{string(e.Location)}
	default:
		return []string{string(e.UserAgent)}
	}
}

func fields() []block.Field {
	var list []block.Field
	for f := block.FieldAction; f <= block.FieldUserAgent; f++ {
		list = append(list, f)
	}
	return list
}

// naive are the rows, among within, of which a value of the field matches.
func naive(list []*event.Entry, f block.Field, within *block.Rows, match func(string) bool) []int {
	var rows []int
	for i, e := range list {
		if (within == nil || within.Has(i)) && slices.ContainsFunc(values(e, f), match) {
			rows = append(rows, i)
		}
	}
	return rows
}

// drawWithin draws a set of rows, or nil.
func drawWithin(t *rapid.T, r *block.Reader) *block.Rows {
	if rapid.Bool().Draw(t, "all rows") {
		return nil
	}
	within := r.NewRows()
	for i := range r.Header().Rows {
		if rapid.Bool().Draw(t, "within") {
			within.Add(i)
		}
	}
	return within
}

// drawValue draws a value that some entry has in the field, or another one.
func drawValue(t *rapid.T, list []*event.Entry, f block.Field) string {
	var have []string
	for _, e := range list {
		have = append(have, values(e, f)...)
	}
	if len(have) == 0 || rapid.IntRange(0, 4).Draw(t, "other") == 0 {
		return eventtest.Text().Draw(t, "value")
	}
	return rapid.SampledFrom(have).Draw(t, "value")
}

// drawPart draws a part of a value in lower case, at the bounds of letters.
func drawPart(t *rapid.T, s string) string {
	runes := []rune(strings.ToLower(s))
	if len(runes) == 0 {
		return "x"
	}
	lo := rapid.IntRange(0, len(runes)-1).Draw(t, "from")
	return string(runes[lo:rapid.IntRange(lo+1, len(runes)).Draw(t, "to")])
}

func found(rows *block.Rows) []int { return slices.Collect(rows.All()) }

func TestSelect(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, _ := open(t, encode(t, enc, list))
		filter := parseFilter(t, r)
		for range 5 {
			f := rapid.SampledFrom(fields()).Draw(t, "field")
			v := drawValue(t, list, f)
			part := drawPart(t, v)
			within := drawWithin(t, r)
			for _, q := range []struct {
				name  string
				ask   func(*block.Codes) error
				match func(string) bool
			}{
				{"equal", func(c *block.Codes) error { return r.Equal(f, []byte(v), c) }, func(s string) bool { return s == v }},
				{"prefix", func(c *block.Codes) error { return r.Prefix(f, []byte(v), c) }, func(s string) bool { return strings.HasPrefix(s, v) }},
				{"select", func(c *block.Codes) error {
					return r.Select(f, func(b []byte) bool { return len(b)%3 == 0 }, c)
				}, func(s string) bool { return len(s)%3 == 0 }},
				{"contains", func(c *block.Codes) error { return r.Contains(f, []byte(part), c) }, func(s string) bool {
					if f == block.FieldActorMetadata || f == block.FieldTargetMetadata {
						return leafContains(s, part)
					}
					return strings.Contains(strings.ToLower(s), part)
				}},
			} {
				var codes block.Codes
				if err := q.ask(&codes); err != nil {
					t.Fatal(err)
				}
				rows := r.NewRows()
				if err := r.Rows(&codes, within, rows); err != nil {
					t.Fatal(err)
				}
				want := naive(list, f, within, q.match)
				if diff := cmp.Diff(want, found(rows)); diff != "" {
					t.Fatalf("%s, field %d, %q %q: %s", q.name, f, v, part, diff)
				}
				if q.name == "equal" && len(want) > 0 && !filter.MayContain(f, []byte(v)) {
					t.Fatalf("the filter does not have %q", v)
				}
			}
		}
	})
}

func parseFilter(t *rapid.T, r *block.Reader) *block.Filter {
	t.Helper()
	b, err := r.Part(block.FilterPart)
	if err != nil {
		t.Fatal(err)
	}
	f, err := block.ParseFilter(r.Header(), b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// leafContains is the search in a metadata object that audit.Query does.
func leafContains(object, lower string) bool {
	e := event.Entry{Event: event.Event{Metadata: []byte(object)}}
	a := e.Audit("org")
	return audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{lower}}}}.Match(&a)
}

func TestText(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, _ := open(t, encode(t, enc, list))
		for range 5 {
			text := drawText(t, list)
			q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{text}}}}
			within := drawWithin(t, r)
			var want []int
			for i, e := range list {
				if a := e.Audit("org"); (within == nil || within.Has(i)) && q.Match(&a) {
					want = append(want, i)
				}
			}
			rows := r.NewRows()
			if err := r.Text([]byte(strings.ToLower(text)), within, rows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, found(rows)); diff != "" {
				t.Fatalf("%q: %s", text, diff)
			}
		}
	})
}

// drawText draws a part of something in an entry.
func drawText(t *rapid.T, list []*event.Entry) string {
	e := rapid.SampledFrom(list).Draw(t, "entry")
	var texts []string
	for _, f := range fields() {
		texts = append(texts, values(e, f)...)
	}
	event.EachMember(e.Metadata, func(_, v []byte) bool {
		texts = append(texts, string(event.Text(v, nil)), string(v))
		return true
	})
	return drawPart(t, rapid.SampledFrom(texts).Draw(t, "text"))
}

func TestMetadata(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, _ := open(t, encode(t, enc, list))
		within := drawWithin(t, r)
		keep := func(name []byte) bool { return len(name)%2 == 0 }
		type member struct {
			row         int
			name, value string
		}
		var want, got []member
		for i, e := range list {
			if within == nil || within.Has(i) {
				event.EachMember(e.Metadata, func(k, v []byte) bool {
					if keep(k) {
						want = append(want, member{i, string(k), string(v)})
					}
					return true
				})
			}
		}
		err := r.Metadata(keep, within, func(row int, k, v []byte) bool {
			got = append(got, member{row, string(k), string(v)})
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(want, got) {
			t.Fatalf("want %v\ngot %v", want, got)
		}
		match := func(k, v []byte) bool { return (len(k)/2+len(v))%3 == 0 }
		var wantRows []int
		for _, m := range want {
			if match([]byte(m.name), []byte(m.value)) && !slices.Contains(wantRows, m.row) {
				wantRows = append(wantRows, m.row)
			}
		}
		rows := r.NewRows()
		if err := r.MetadataRows(keep, match, within, rows); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantRows, found(rows)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestValues(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, _ := open(t, encode(t, enc, list))
		within := drawWithin(t, r)
		for _, f := range fields() {
			want, got := map[string]int{}, map[string]int{}
			for i, e := range list {
				if within != nil && !within.Has(i) {
					continue
				}
				seen := values(e, f)
				slices.Sort(seen)
				for _, v := range slices.Compact(seen) {
					want[v]++
				}
			}
			delete(want, "")
			if err := r.Values(f, within, func(v block.Value) bool {
				got[string(v.Text)] += v.Count
				return true
			}); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(want, got) {
				t.Fatalf("field %d: %s", f, cmp.Diff(want, got))
			}
		}
	})
}

func TestMostTargets(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, f := open(t, encode(t, enc, list))
		most := func(within *block.Rows) (n int) {
			for i, e := range list {
				if within == nil || within.Has(i) {
					n = max(n, len(e.Targets))
				}
			}
			return n
		}
		if got := r.Header().MaxTargets; got != most(nil) {
			t.Fatalf("the header has %d, want %d", got, most(nil))
		}
		if n, err := r.MostTargets(nil); err != nil || n != most(nil) || len(f.seen) > 0 {
			t.Fatalf("%d %v after parts %v, want %d", n, err, f.seen, most(nil))
		}
		within := drawWithin(t, r)
		if n, err := r.MostTargets(within); err != nil || n != most(within) {
			t.Fatalf("%d %v, want %d", n, err, most(within))
		}
	})
}

func TestNewestName(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		// Few ids, so that they come again with other names.
		for _, e := range list {
			e.Actor.ID = []byte{'a' + byte(rapid.IntRange(0, 2).Draw(t, "id"))}
			for i := range e.Targets {
				e.Targets[i].ID = []byte{'a' + byte(rapid.IntRange(0, 2).Draw(t, "id"))}
			}
		}
		r, _ := open(t, encode(t, enc, list))
		within := drawWithin(t, r)
		for _, f := range []block.Field{block.FieldActorID, block.FieldTargetID} {
			id := []byte{'a' + byte(rapid.IntRange(0, 3).Draw(t, "id"))}
			var want []byte
			var wantRow int
			for i, e := range list {
				parties := e.Targets
				if f == block.FieldActorID {
					parties = []event.Party{e.Actor}
				}
				for _, p := range parties {
					if (within == nil || within.Has(i)) && bytes.Equal(p.ID, id) && len(p.Name) > 0 &&
						(want == nil || e.OccurredAt >= list[wantRow].OccurredAt) {
						want, wantRow = p.Name, i
					}
				}
			}
			name, row, err := r.NewestName(f, id, within)
			if err != nil || !bytes.Equal(name, want) || want != nil && row != wantRow {
				t.Fatalf("%q in row %d, want %q in row %d: %v", name, row, want, wantRow, err)
			}
		}
	})
}

func TestTimes(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 30)
		r, _ := open(t, encode(t, enc, list))
		h := r.Header()
		bound := func(get func(*event.Entry) int64) int64 {
			e := rapid.SampledFrom(list).Draw(t, "entry")
			return get(e) + rapid.Int64Range(-1, 1).Draw(t, "off by")
		}
		occurred := func(e *event.Entry) int64 { return e.OccurredAt }
		received := func(e *event.Entry) int64 { return e.ReceivedAt }

		days := map[int32]int32{}
		var times []int64
		for _, e := range list {
			days[int32(e.OccurredAt/(24*3600*1e9))]++
			times = append(times, e.OccurredAt)
		}
		for _, d := range h.Days {
			if days[d.Day] != d.Rows {
				t.Fatalf("day %d: %d, want %d", d.Day, d.Rows, days[d.Day])
			}
			delete(days, d.Day)
		}
		if len(days) > 0 || h.MinOccurred != slices.Min(times) || h.MaxOccurred != slices.Max(times) || h.Sorted != slices.IsSorted(times) {
			t.Fatalf("%+v; days left %v", h, days)
		}
		got, err := r.AppendOccurred(nil, 0, h.Rows)
		if err != nil || !slices.Equal(got, times) {
			t.Fatalf("%v %v, want %v", err, got, times)
		}

		from, to := bound(occurred), bound(occurred)
		rows := r.NewRows()
		if err := r.OccurredBetween(from, to, rows); err != nil {
			t.Fatal(err)
		}
		for i, at := range times {
			if rows.Has(i) != (from <= at && at < to) {
				t.Fatalf("row %d at %d: from %d to %d gives %v", i, at, from, to, rows.Has(i))
			}
		}
		from, to = bound(received), bound(received)
		lo, hi, err := r.ReceivedBetween(from, to)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range list {
			if (lo <= i && i < hi) != (from <= e.ReceivedAt && e.ReceivedAt < to) {
				t.Fatalf("row %d at %d: from %d to %d gives %d to %d", i, e.ReceivedAt, from, to, lo, hi)
			}
		}
	})
}

func textQuery(text string) audit.Query {
	return audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{text}}}}
}
