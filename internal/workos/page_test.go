package workos

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestWindow walks a list forwards and backwards, in pages of any size and any
// order, and finds every item once in its place.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := make([]int, rapid.IntRange(0, 40).Draw(t, "items"))
		for i := range all {
			all[i] = i
		}
		swapped := rapid.Bool().Draw(t, "swapped")
		limit := rapid.IntRange(1, 45).Draw(t, "limit")
		ask := func(after, before string) list[int] {
			l, err := window(page{limit: limit, after: after, before: before, swapped: swapped}, all, strconv.Itoa)
			if err != nil {
				t.Fatal(err)
			}
			if swapped {
				l.Metadata.Before, l.Metadata.After = l.Metadata.After, l.Metadata.Before
			}
			return l
		}
		var forwards, backwards []int
		l := ask("", "")
		if l.Metadata.Before != nil {
			t.Fatal("the first page has one before it")
		}
		for forwards = l.Data; l.Metadata.After != nil; forwards = append(forwards, l.Data...) {
			l = ask(*l.Metadata.After, "")
		}
		if !slices.Equal(forwards, all) {
			t.Fatalf("forwards: %v", forwards)
		}
		for backwards = l.Data; l.Metadata.Before != nil; backwards = append(slices.Clone(l.Data), backwards...) {
			l = ask("", *l.Metadata.Before)
		}
		if !slices.Equal(backwards, all) {
			t.Fatalf("backwards: %v", backwards)
		}
	})
}

func TestWindowUnknownCursor(t *testing.T) {
	if l, err := window(page{limit: 1, after: "9"}, []int{1, 2}, strconv.Itoa); err == nil {
		t.Errorf("got %v", l)
	}
}
