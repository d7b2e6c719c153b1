package logview_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/web/logview"
)

const org = "acme"

// fill records n events, some at the same time, and returns their log.
func fill(t testing.TB, store *storetest.Memory, n int, times func(i int) time.Time) *storetest.Log {
	t.Helper()
	l := storetest.NewLog(org)
	record(t, store, l, n, times)
	return l
}

func record(t testing.TB, store *storetest.Memory, l *storetest.Log, n int, times func(i int) time.Time) {
	t.Helper()
	events := storetest.MakeEvents("e", n)
	for i, e := range events {
		e.OccurredAt = times(i).UnixNano()
	}
	c := l.Next(1_784_000_000_000, events, nil)
	if err := store.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l.Add(c)
}

func seqs(entries []*event.Entry) []uint64 {
	var out []uint64
	for _, e := range entries {
		out = append(out, e.Seq)
	}
	return out
}

// read is the page of a view, newest first.
func read(t testing.TB, store *storetest.Memory, v logview.View, limit int) (search.Page, []uint64) {
	t.Helper()
	page, err := store.Search(t.Context(), org, v.Request(limit))
	if err != nil {
		t.Fatalf("%s: %v", v.URL(), err)
	}
	if v.Place != nil && v.Place.Newer {
		slices.Reverse(page.Entries)
	}
	return page, seqs(page.Entries)
}

// TestPages: to the end and back, each page is the same both ways, by addresses
// alone, whatever is recorded meanwhile and whatever zone the reader is in.
func TestPages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := storetest.NewMemory()
		start := now(t).Add(-31 * 24 * time.Hour)
		times := func(i int) time.Time { return start.Add(time.Duration(i/3) * 7 * time.Hour) }
		log := fill(t, store, rapid.IntRange(1, 60).Draw(rt, "entries"), times)
		limit := rapid.IntRange(1, 9).Draw(rt, "limit")
		v := mustParse(t, "range="+rapid.SampledFrom([]string{"30d", "all"}).Draw(rt, "range"))
		var pages [][]uint64
		page, got := read(t, store, v, limit)
		for pages = append(pages, got); page.More; pages = append(pages, got) {
			v = again(t, v.Older(org, &page))
			v.Zone = time.UTC
			page, got = read(t, store, v, limit)
			if len(pages) == 1 {
				record(t, store, log, 5, func(int) time.Time { return now(t) })
			}
		}
		checkOnce(rt, pages)
		for i := len(pages) - 2; i >= 0; i-- {
			v = again(t, v.Newer(org, &page))
			if page, got = read(t, store, v, limit); !slices.Equal(got, pages[i]) {
				rt.Fatalf("page %d is %v, on the way back %v", i, pages[i], got)
			}
			if page.More != (i > 0) {
				rt.Fatalf("page %d says more: %v", i, page.More)
			}
		}
		if len(pages) > 1 {
			v = again(t, v.Older(org, &page))
			if page, got = read(t, store, v, limit); !slices.Equal(got, pages[1]) {
				rt.Fatalf("page 1 is %v, a third time %v", pages[1], got)
			}
		}
		first := again(t, v.First(org))
		if _, got = read(t, store, first, limit); !slices.Equal(got, pages[0]) {
			rt.Fatalf("the first page is %v, again %v", pages[0], got)
		}
	})
}

func checkOnce(t *rapid.T, pages [][]uint64) {
	all := slices.Concat(pages...)
	if !slices.IsSortedFunc(all, func(a, b uint64) int { return int(b) - int(a) }) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Fatalf("pages %v", pages)
	}
}

// TestPlaceIsOfItsFilter: a place of one filter is refused with another.
func TestPlaceIsOfItsFilter(t *testing.T) {
	store := storetest.NewMemory()
	fill(t, store, 10, func(i int) time.Time { return now(t).Add(time.Duration(-i) * time.Minute) })
	v := mustParse(t, "range=7d")
	page, _ := read(t, store, v, 3)
	older := v.Older(org, &page)
	address := strings.Replace(older.URL(), "range=7d", "range=7d&q=x", 1)
	other := mustParse(t, strings.TrimPrefix(address, path+"?"))
	if _, err := store.Search(t.Context(), org, other.Request(3)); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidCursor}) {
		t.Errorf("error %v", err)
	}
	if changed := older.WithRange("30d"); changed.Place != nil || older.WithFilter(audit.Query{}).Place != nil || older.WithBounds(now(t), time.Time{}).Place != nil {
		t.Errorf("a changed view is at %v", changed.Place)
	}
	if v.First(org).URL() != v.URL() || older.Newest().URL() != v.URL() {
		t.Error(fmt.Sprint("the newest page is ", older.Newest().URL()))
	}
}
