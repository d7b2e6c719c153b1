package logview_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/web/logview"
)

// TestChart: bars stand side by side from one end to the other, and the bar of a
// time counts exactly the events that the view of its link shows.
func TestChart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := storetest.NewMemory()
		span := time.Duration(rapid.Int64Range(int64(time.Minute), int64(3*366*24*time.Hour)).Draw(rt, "span"))
		from := now(t).Add(-span)
		offsets := rapid.SliceOfN(rapid.Int64Range(0, int64(span)-1), 0, 20).Draw(rt, "events")
		if len(offsets) > 0 {
			fill(t, store, len(offsets), func(i int) time.Time { return from.Add(time.Duration(offsets[i])) })
		}
		v := mustParse(t, "range=all").WithBounds(from, now(t))
		v.Zone = zone(t, rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Asia/Kathmandu"}).Draw(rt, "zone"))
		iv := logview.IntervalFor(from, now(t), v.Zone)
		h, err := store.Histogram(context.Background(), org, v.Query(), iv)
		if err != nil {
			rt.Fatal(err)
		}
		c := logview.NewChart(v, &h, iv, from, now(t))
		if c.Total != uint64(len(offsets)) || c.Empty() != (len(offsets) == 0) {
			rt.Fatalf("total %d of %d", c.Total, len(offsets))
		}
		checkBars(rt, c, from, now(t))
		for _, b := range c.Bars {
			_, query, _ := strings.Cut(b.URL, "?")
			narrow := mustParse(t, query)
			page, err := store.Search(context.Background(), org, narrow.Request(100))
			if err != nil || uint64(len(page.Entries)) != b.Count {
				rt.Fatalf("%s counts %d, its link shows %d, error %v", b.Label, b.Count, len(page.Entries), err)
			}
		}
	})
}

func checkBars(t *rapid.T, c logview.Chart, from, to time.Time) {
	at, x := from, 0.0
	if n := len(c.Bars); n == 0 || n > 120 {
		t.Fatalf("%d bars", n)
	}
	for _, b := range c.Bars {
		if !b.From.Equal(at) || !b.To.After(b.From) {
			t.Fatalf("a bar from %s to %s, want from %s", b.From, b.To, at)
		}
		if number(t, b.X)-x > 0.02 || x-number(t, b.X) > 0.02 {
			t.Fatalf("a bar at %s, want %f", b.X, x)
		}
		if top := number(t, b.Y) + number(t, b.Height); top > 100.011 || top < 99.989 || (b.Height == "0%") != (b.Count == 0) {
			t.Fatalf("%d events: from %s, high %s", b.Count, b.Y, b.Height)
		}
		at, x = b.To, x+100/float64(len(c.Bars))
	}
	if !at.Equal(to) {
		t.Fatalf("bars end at %s, not %s", at, to)
	}
}

func number(t *rapid.T, percent string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64)
	if err != nil || !strings.HasSuffix(percent, "%") || strings.Contains(percent, "e") {
		t.Fatalf("%q is no percentage", percent)
	}
	return n
}

func TestIntervals(t *testing.T) {
	for span, want := range map[time.Duration]string{
		time.Minute: "minute", 90 * time.Minute: "minute", 6 * time.Hour: "5m", 24 * time.Hour: "15m", 48 * time.Hour: "30m",
		72 * time.Hour: "hour", 7 * 24 * time.Hour: "3h", 20 * 24 * time.Hour: "6h", 60 * 24 * time.Hour: "day",
		400 * 24 * time.Hour: "week", 3000 * 24 * time.Hour: "month",
	} {
		if got := logview.IntervalFor(now(t), now(t).Add(span), time.UTC).String(); got != want {
			t.Errorf("%s: %s, want %s", span, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for query, want := range map[string]string{
		"from=2026-07-01T00:00&to=2026-07-02T00:00":       "00:00 04:00 08:00 12:00 16:00 20:00",
		"from=2026-07-01T09:00&to=2026-07-01T09:40":       "09:00 09:07 09:14 09:21 09:28",
		"from=2026-07-01T00:00&to=2026-07-08T00:00":       "1 Jul 3 Jul 5 Jul 7 Jul",
		"from=2025-07-01T00:00&to=2026-07-01T00:00":       "Jul 2025 Sep 2025 Nov 2025 Jan 2026 Mar 2026 May 2026",
		"from=2020-01-01T00:00&to=2026-07-01T00:00":       "Jan 2020 Feb 2021 Mar 2022 Apr 2023 May 2024 Jun 2025",
		"from=2026-07-01T09:00:00&to=2026-07-01T09:00:30": "09:00",
	} {
		v := mustParse(t, query)
		from, to := v.Bounds()
		c := logview.NewChart(v, &search.Histogram{}, logview.IntervalFor(from, to, v.Zone), from, to)
		var labels []string
		for _, tick := range c.Ticks {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestChartName(t *testing.T) {
	for query, want := range map[string]string{
		"range=7d":                      "Events over time: Last 7 days, by 3 hours",
		"range=30d":                     "Events over time: Last 30 days, by day",
		"from=2026-07-01&to=2026-07-02": "Events over time: 1 Jul 2026, by 15 minutes",
		"from=2010-01-01&to=2026-07-02": "Events over time: 1 Jan 2010 – 1 Jul 2026",
	} {
		v := mustParse(t, query)
		from, to := v.Bounds()
		if to.IsZero() {
			to = now(t)
		}
		iv := logview.IntervalFor(from, to, v.Zone)
		c := logview.NewChart(v, &search.Histogram{}, iv, from, to)
		if diff := cmp.Diff(want, c.Name(v)); diff != "" {
			t.Error(fmt.Sprint(query, diff))
		}
	}
}
