package logview

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stelehq/stele/internal/search"
)

// Limits of a chart.
const (
	// maxBars is how many bars are told apart on a wide screen.
	maxBars = 120
	// maxTicks is how many times fit below the bars on a phone.
	maxTicks = 6
	// leastHeight, in percent, is that of a bar with an event: next to a
	// thousand, one is still seen.
	leastHeight = 4
)

// Chart is a histogram ready to be drawn. Places and sizes are percentages, as
// SVG attributes have them.
type Chart struct {
	Bars  []Bar
	Ticks []Tick
	// Max is the largest count of a bar, Total that of all.
	Max, Total uint64
	// Each says how much time a bar is, such as "day"; "" when bars differ.
	Each string
}

// Bar is one interval.
type Bar struct {
	From, To time.Time
	Count    uint64
	// X and Width are those of its slot, Y and Height those of the bar in it.
	X, Width, Y, Height string
	// Label is its time in words.
	Label string
	// URL is the view narrowed to it.
	URL string
}

// Tick is a time below the bars.
type Tick struct{ X, Label string }

// Empty reports whether nothing was counted.
func (c *Chart) Empty() bool { return c.Total == 0 }

// NewChart draws a histogram from one time to another: h was counted between
// them, by iv.
func NewChart(v View, h *search.Histogram, iv search.Interval, from, to time.Time) Chart {
	bars := slots(h, iv, from, to)
	c := Chart{Each: iv.String()}
	if group := (len(bars) + maxBars - 1) / maxBars; group > 1 {
		bars = merge(bars, group)
		c.Each = ""
	}
	c.Bars = bars
	for i := range bars {
		c.Total += bars[i].Count
		c.Max = max(c.Max, bars[i].Count)
	}
	width := 100 / float64(max(len(bars), 1))
	for i := range bars {
		b := &bars[i]
		b.X, b.Width = percent(float64(i)*width), percent(width)
		height := 0.0
		if b.Count > 0 {
			height = max(leastHeight, 100*float64(b.Count)/float64(c.Max))
		}
		b.Y, b.Height = percent(100-height), percent(height)
		b.Label = Words(b.From, b.To, iv.Zone())
		b.URL = v.WithBounds(b.From, b.To).URL()
	}
	c.Ticks = ticks(bars, iv.Zone(), from, to)
	return c
}

// slots are the intervals from one time to another, clipped to these, with their
// counts.
func slots(h *search.Histogram, iv search.Interval, from, to time.Time) []Bar {
	var out []Bar
	counts := h.Buckets
	for at := from; at.Before(to) && len(out) < search.MaxBuckets; {
		start, next := iv.Bucket(at)
		b := Bar{From: later(start, from), To: earlier(next, to)}
		for len(counts) > 0 && counts[0].Start.Before(next) {
			b.Count += counts[0].Count
			counts = counts[1:]
		}
		out = append(out, b)
		at = next
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// merge makes one bar of each group that stand side by side.
func merge(bars []Bar, group int) []Bar {
	var out []Bar
	for i := 0; i < len(bars); i += group {
		some := bars[i:min(i+group, len(bars))]
		b := Bar{From: some[0].From, To: some[len(some)-1].To}
		for j := range some {
			b.Count += some[j].Count
		}
		out = append(out, b)
	}
	return out
}

// percent writes a percentage, to hundredths.
func percent(p float64) string {
	return strconv.FormatFloat(math.Round(p*100)/100, 'f', -1, 64) + "%"
}

// ticks chooses the times to write below the bars.
func ticks(bars []Bar, zone *time.Location, from, to time.Time) []Tick {
	span := to.Sub(from)
	layout := "15:04"
	round := func(time.Time) bool { return true }
	switch {
	case span > 100*day:
		layout = "Jan 2006"
		month := time.Month(0)
		round = func(t time.Time) bool {
			first := t.Month() != month
			month = t.Month()
			return first
		}
	case span > 2*day:
		layout = "2 Jan"
		round = isMidnight
	case span > 3*time.Hour:
		round = func(t time.Time) bool { return t.Minute() == 0 }
	}
	var at []int
	for i := range bars {
		if round(bars[i].From.In(zone)) {
			at = append(at, i)
		}
	}
	step := (len(at) + maxTicks - 1) / maxTicks
	var out []Tick
	for i := 0; i < len(at); i += max(step, 1) {
		if at[i]*100 > 86*len(bars) {
			break // would be cut at the edge
		}
		out = append(out, Tick{X: bars[at[i]].X, Label: bars[at[i]].From.In(zone).Format(layout)})
	}
	return out
}

// Name is the chart in words, for those who do not see it.
func (c *Chart) Name(v View) string {
	each := ""
	if c.Each != "" {
		each = ", by " + eachWords(c.Each)
	}
	return fmt.Sprintf("Events over time: %s%s", v.RangeLabel(), each)
}

// eachWords says an interval such as 3h as people do.
func eachWords(interval string) string {
	switch n := interval[:len(interval)-1]; {
	case interval[0] < '0' || interval[0] > '9':
		return interval
	case interval[len(interval)-1] == 'h':
		return n + " hours"
	default:
		return n + " minutes"
	}
}
