package block_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
)

// TestSelectLarge asks a block whose dictionaries have many chunks, at the first
// and last entries of chunks among others.
func TestSelectLarge(t *testing.T) {
	list := workloadEvents(t, 6000)
	// Identities with several profiles, and ids of several types.
	for i, e := range list {
		if i%7 == 0 {
			e.Targets[0].Name = fmt.Appendf(nil, "name %d", i)
		}
		if i%11 == 0 {
			e.Actor.Type = []byte("alert")
		}
	}
	r, _ := open(t, encode(t, block.NewEncoder(block.Fast), list))
	for _, f := range fields() {
		all, rows := map[string]int{}, make([][]string, len(list))
		for i, e := range list {
			rows[i] = values(e, f)
			for _, v := range rows[i] {
				all[v]++
			}
		}
		var sorted []string
		for v := range all {
			sorted = append(sorted, v)
		}
		slices.Sort(sorted)
		step := max(1, len(sorted)/15)
		for i := 0; i < len(sorted); i += step {
			expectSelected(t, r, rows, f, sorted[i])
		}
		for i := 256; i < len(sorted); i += 256 {
			expectSelected(t, r, rows, f, sorted[i-1])
			expectSelected(t, r, rows, f, sorted[i])
		}
	}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
}

// expectSelected asks for the rows, whose values of the field are given, that have v
// or a part of it.
func expectSelected(t *testing.T, r *block.Reader, list [][]string, f block.Field, v string) {
	t.Helper()
	part := v[:len(v)*2/3]
	lower := strings.ToLower(part)
	json := f == block.FieldActorMetadata || f == block.FieldTargetMetadata
	for name, q := range map[string]struct {
		ask   func(*block.Codes) error
		match func(string) bool
	}{
		"equal":  {func(c *block.Codes) error { return r.Equal(f, []byte(v), c) }, func(s string) bool { return s == v }},
		"prefix": {func(c *block.Codes) error { return r.Prefix(f, []byte(part), c) }, func(s string) bool { return strings.HasPrefix(s, part) }},
		"contains": {func(c *block.Codes) error { return r.Contains(f, []byte(lower), c) }, func(s string) bool {
			if json {
				return leafContains(s, lower)
			}
			return strings.Contains(strings.ToLower(s), lower)
		}},
	} {
		if name == "contains" && (json || lower == "") {
			continue
		}
		var codes block.Codes
		rows := r.NewRows()
		if err := q.ask(&codes); err != nil {
			t.Fatal(err)
		}
		if err := r.Rows(&codes, nil, rows); err != nil {
			t.Fatal(err)
		}
		var want []int
		for i, has := range list {
			if slices.ContainsFunc(has, q.match) {
				want = append(want, i)
			}
		}
		if diff := cmp.Diff(want, found(rows)); diff != "" {
			t.Fatalf("%s, field %d, %q: %s", name, f, v, diff)
		}
	}
}

// TestAllRanges goes through parts of a block, and stops in the middle, so that
// both ways to put rows together are used, and what one leaves behind is used by
// the next.
func TestAllRanges(t *testing.T) {
	var readers []*block.Reader
	var lists [][]*event.Entry
	for _, n := range []int{6000, 700} {
		list := workloadEvents(t, n)
		r, _ := open(t, encode(t, block.NewEncoder(block.Fast), list))
		readers, lists = append(readers, r), append(lists, list)
	}
	for _, c := range []struct{ block, lo, hi, stop int }{
		{0, 0, 6000, 6000}, {1, 0, 700, 700}, {0, 17, 5990, 3000}, {1, 100, 690, 400}, {0, 5000, 5100, 100}, {0, 1, 6000, 129}, {1, -5, 900, 1000},
	} {
		for _, desc := range []bool{false, true} {
			list := lists[c.block]
			lo, hi := max(c.lo, 0), min(c.hi, len(list))
			n := 0
			for e, err := range readers[c.block].All(c.lo, c.hi, desc) {
				if err != nil {
					t.Fatal(err)
				}
				i := lo + n
				if desc {
					i = hi - 1 - n
				}
				expectEntry(t, i, e, list[i])
				if n++; n == c.stop {
					break
				}
			}
			if n != min(c.stop, hi-lo) {
				t.Errorf("%+v, desc %v: %d rows", c, desc, n)
			}
		}
	}
}

func TestTextLarge(t *testing.T) {
	list := workloadEvents(t, 6000)
	list[77].Actor.Name = []byte("Kelvin \u212aent Strasse")
	list[78].Metadata = []byte(`{"ticket":"a\"b\\c\nd"}`)
	r, _ := open(t, encode(t, block.NewEncoder(block.Fast), list))
	for _, text := range []string{"inc-4", "req_00", "kestrel", "zzzz", "ab12", ".created", "kent", `a"b`, "c\nd", "_00", `"inc`, "10_15_3) apple", "1"} {
		var want []int
		for i, e := range list {
			a := e.Audit("org")
			if textQuery(text).Match(&a) {
				want = append(want, i)
			}
		}
		rows := r.NewRows()
		if err := r.Text([]byte(text), nil, rows); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, found(rows)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// TestParts holds the reader to what it may fetch for a question.
func TestParts(t *testing.T) {
	list := workloadEvents(t, block.MaxRows)
	parts := encode(t, block.NewEncoder(block.Fast), list)
	r, f := open(t, parts)
	kinds := block.PartsOf(r.Header())
	ask := func(name string, most int, allowed string, question func(r *block.Reader) error) {
		t.Helper()
		r, f = open(t, parts)
		if err := question(r); err != nil {
			t.Fatal(err)
		}
		slices.Sort(f.seen)
		f.seen = slices.Compact(f.seen)
		for _, part := range f.seen {
			for _, column := range kinds[part] {
				// A part may have the end of one column and the beginning of
				// the next.
				if slices.Contains(strings.Fields(allowed), column) {
					goto next
				}
			}
			t.Errorf("%s: fetched part %d, which has only %v", name, part, kinds[part])
		next:
		}
		if len(f.seen) > most {
			t.Errorf("%s: fetched %d parts, want %d at most: %v", name, len(f.seen), most, f.seen)
		}
	}
	equal := func(field block.Field, value []byte) func(r *block.Reader) error {
		return func(r *block.Reader) error {
			var codes block.Codes
			rows := r.NewRows()
			if err := r.Equal(field, value, &codes); err != nil {
				return err
			}
			return r.Rows(&codes, nil, rows)
		}
	}
	ask("action", 4, "action.codes action.text", equal(block.FieldAction, list[5].Action))
	ask("no such action", 1, "action.text", equal(block.FieldAction, []byte("nope")))
	ask("actor", 4, "actor.codes actor.id", equal(block.FieldActorID, list[5].Actor.ID))
	ask("target", 7, "target.codes target.id target.end", equal(block.FieldTargetID, list[5].Targets[0].ID))
	ask("location", 4, "location.codes location.text agent.codes", equal(block.FieldLocation, list[5].Location))
	ask("days", 0, "", func(r *block.Reader) error { return r.OccurredBetween(0, 1<<62, r.NewRows()) })
	ask("one row", 15, "every", func(r *block.Reader) error {
		_, err := r.Row(7777, &event.Entry{}, nil)
		return err
	})
	ask("ticket", 13, "metadata shape path", func(r *block.Reader) error {
		return r.Text([]byte("inc-4242"), nil, r.NewRows())
	})
	if want := len(parts); r.Header().Parts != want {
		t.Errorf("%d parts, want %d", r.Header().Parts, want)
	}
}

func TestFilterRate(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 100, 1000, block.MaxRows} {
		list := workloadEvents(t, n)
		parts := encode(t, block.NewEncoder(block.Fast), list)
		h, err := block.ParseHeader(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		f, err := block.ParseFilter(h, parts[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			for _, field := range []block.Field{block.FieldAction, block.FieldActorID, block.FieldTargetID, block.FieldLocation} {
				for _, v := range values(e, field) {
					if !f.MayContain(field, []byte(v)) {
						t.Fatalf("%d rows: the filter does not have %q", n, v)
					}
				}
			}
		}
		wrong := 0
		const tries = 20_000
		for i := range tries {
			if f.MayContain(block.FieldTargetID, fmt.Append(nil, "not there ", i)) {
				wrong++
			}
		}
		t.Logf("%d rows: %d bytes, wrong for %.2f %%", n, len(parts[1]), 100*float64(wrong)/tries)
		if wrong > tries/128 {
			t.Errorf("%d rows: wrong for %d of %d", n, wrong, tries)
		}
		if !f.MayContain(block.FieldActorName, []byte("x")) {
			t.Error("a field that the filter does not know is ruled out")
		}
	}
}

// TestLimits fills blocks up to each of their limits.
func TestLimits(t *testing.T) {
	base := workloadEvents(t, 1)[0]
	big := func(i, n int) []byte {
		return fmt.Appendf(nil, `{"v":"%d%s"}`, i, bytes.Repeat([]byte("x"), n))
	}
	target := func(i, j int) event.Party {
		return event.Party{Type: []byte("t"), ID: fmt.Appendf(nil, "%d/%d", i, j)}
	}
	for name, c := range map[string]struct {
		make     func(i int) event.Event
		min, max int
	}{
		"rows": {func(int) event.Event { return base.Event }, block.MaxRows, block.MaxRows},
		"every text another": {func(i int) event.Event {
			e := base.Event
			e.Action = fmt.Appendf(nil, "a.%d", i)
			e.Actor.ID = fmt.Appendf(nil, "%d", i)
			e.Location, e.UserAgent = e.Actor.ID, e.Action
			e.Metadata = fmt.Appendf(nil, `{"k%d":%d}`, i, i)
			return e
		}, block.MaxRows, block.MaxRows},
		"100 targets, the same": {func(int) event.Event {
			e := base.Event
			e.Targets = slices.Repeat([]event.Party{target(0, 0)}, 100)
			return e
		}, block.MaxTargets / 100, block.MaxTargets / 100},
		"100 targets, all different": {func(i int) event.Event {
			e := base.Event
			e.Targets = nil
			for j := range 100 {
				e.Targets = append(e.Targets, target(i, j))
			}
			return e
		}, 655, 655},
		"events of 64 KiB": {func(i int) event.Event {
			e := base.Event
			e.Metadata = big(i, 65_000)
			return e
		}, 500, 520},
		"200 members": {func(i int) event.Event {
			e := base.Event
			e.Metadata = []byte{'{'}
			for j := range 200 {
				e.Metadata = fmt.Appendf(e.Metadata, `"%03d":%d,`, j, i%2)
			}
			e.Metadata[len(e.Metadata)-1] = '}'
			return e
		}, 5000, 5300},
	} {
		t.Run(name, func(t *testing.T) {
			enc := block.NewEncoder(block.Fast)
			var list []*event.Entry
			for i := 0; ; i++ {
				e := &event.Entry{Event: c.make(i), Seq: uint64(i), ReceivedAt: 5}
				if !enc.Add(&e.Event, e.ReceivedAt) {
					break
				}
				list = append(list, e)
			}
			if n := enc.Rows(); n != len(list) || n < c.min || n > c.max {
				t.Fatalf("%d rows, want %d to %d", n, c.min, c.max)
			}
			var parts [][]byte
			for _, p := range enc.Finish() {
				parts = append(parts, bytes.Clone(p))
			}
			r, _ := open(t, parts)
			expectRows(t, r, list)
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			t.Logf("%d rows, %d parts, %d bytes; reader %d", len(list), len(parts), r.Header().Bytes, r.MemoryBytes())
		})
	}
}

// TestSame holds the encoder to give the same bytes for the same entries, whatever
// it made before.
func TestSame(t *testing.T) {
	a, b := block.NewEncoder(block.Fast), block.NewEncoder(block.Fast)
	encode(t, b, workloadEvents(t, 3000))
	list := workloadEvents(t, 2000)
	if diff := cmp.Diff(encode(t, a, list), encode(t, b, list)); diff != "" {
		t.Error(diff)
	}
}

// TestForeignPart swaps a part with that of another block, which has a checksum
// that is right.
func TestForeignPart(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	parts := encode(t, enc, workloadEvents(t, 100))
	list := workloadEvents(t, 100)
	list[0].Action = []byte("other.action")
	other := encode(t, enc, list)
	for i := 1; i < len(parts); i++ {
		if bytes.Equal(parts[i], other[i]) {
			continue
		}
		mixed := slices.Clone(parts)
		mixed[i] = other[i]
		r, _ := open(t, mixed)
		if err := r.Check(); !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("part %d of another block: %v", i, err)
		}
	}
}
