package logview

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

// Names of ranges that are no presets.
const (
	RangeAll    = "all"
	RangeCustom = "custom"
	// RangeDefault is what the page shows when the address says nothing.
	RangeDefault = "30d"
)

// Preset is a range that ends now.
type Preset struct {
	Name, Label string
	// Days is how far it goes back. 1 is 24 hours.
	Days int
	// Interval is that of its histogram; the range begins with one.
	Interval string
}

// Presets are the ranges that end now, the shortest first.
func Presets() []Preset {
	return []Preset{
		{"24h", "Last 24 hours", 1, "30m"},
		{"7d", "Last 7 days", 7, "3h"},
		{"30d", "Last 30 days", 30, "day"},
		{"90d", "Last 90 days", 90, "day"},
		{"1y", "Last year", 365, "week"},
	}
}

// presetOf finds a preset by name.
func presetOf(name string) (Preset, bool) {
	all := Presets()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return all[i], true
}

// from is where the preset begins: at the beginning of an interval, so that the
// first bar of its histogram is whole.
func (p Preset) from(now time.Time, zone *time.Location) time.Time {
	iv := interval(p.Interval, zone)
	start := now.In(zone).AddDate(0, 0, -p.Days)
	if p.Days == 1 {
		start = now.Add(-24 * time.Hour) // whatever the clocks do
	}
	start, _ = iv.Bucket(start)
	return start
}

// interval is [search.ParseInterval] for a text that is known to be one.
func interval(text string, zone *time.Location) search.Interval {
	iv, err := search.ParseInterval(text, zone)
	if err != nil {
		panic("logview: " + err.Error())
	}
	return iv
}

// IntervalFor chooses the interval of a histogram from one time to another: about
// 30 to 100 bars.
func IntervalFor(from, to time.Time, zone *time.Location) search.Interval {
	span := to.Sub(from)
	for _, step := range []struct {
		most time.Duration
		text string
	}{
		{100 * time.Minute, "minute"},
		{8 * time.Hour, "5m"},
		{25 * time.Hour, "15m"},
		{50 * time.Hour, "30m"},
		{4 * day, "hour"},
		{12 * day, "3h"},
		{25 * day, "6h"},
		{100 * day, "day"},
		{2 * 366 * day, "week"},
	} {
		if span <= step.most {
			return interval(step.text, zone)
		}
	}
	return interval("month", zone)
}

const day = 24 * time.Hour

// formTime is how a datetime-local input writes a time; seconds may be left out.
const formTime = "2006-01-02T15:04:05"

// ParseTime reads an end of a range: RFC 3339 as links have it, or what a form
// sends, which is by the clocks of the zone, or a date.
func ParseTime(name, text string, zone *time.Location) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return inBounds(name, t)
	}
	for _, layout := range []string{formTime, "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return inBounds(name, t)
		}
	}
	return time.Time{}, audit.FieldErrorf(audit.CodeInvalidQuery, name, "%q is not a time; write 2026-03-01 09:30", shorten(text))
}

func inBounds(name string, t time.Time) (time.Time, error) {
	if t.Before(audit.MinTime) || t.After(audit.MaxTime) {
		return time.Time{}, audit.FieldErrorf(audit.CodeInvalidQuery, name, "times are from 1970 to 2261")
	}
	return t.UTC(), nil
}

// shorten keeps what an error quotes from filling the page.
func shorten(s string) string {
	const most = 40
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// formatTime writes an end of a range as links have it.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// FormTime writes a time as a datetime-local input takes it, by the clocks of the
// zone, "" for the zero time.
func FormTime(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	t = t.In(zone)
	if t.Second() == 0 {
		return t.Format("2006-01-02T15:04")
	}
	return t.Format(formTime)
}

// Words says a span of time in words, by the clocks of the zone. A zero time is
// an open end.
func Words(from, to time.Time, zone *time.Location) string {
	switch {
	case from.IsZero() && to.IsZero():
		return "All time"
	case to.IsZero():
		return "Since " + moment(from, zone)
	case from.IsZero():
		return "Before " + moment(to, zone)
	}
	from, to = from.In(zone), to.In(zone)
	if isMidnight(from) && isMidnight(to) {
		last := to.AddDate(0, 0, -1)
		if !last.After(from) {
			return date(from)
		}
		return fmt.Sprintf("%s – %s", date(from), date(last))
	}
	if date(from) == date(to) {
		return fmt.Sprintf("%s, %s – %s", date(from), clock(from), clock(to))
	}
	return fmt.Sprintf("%s – %s", moment(from, zone), moment(to, zone))
}

func moment(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	if isMidnight(t) {
		return date(t)
	}
	return date(t) + ", " + clock(t)
}

func date(t time.Time) string { return t.Format("2 Jan 2006") }

func clock(t time.Time) string {
	layout := "15:04:05"
	if t.Second() == 0 {
		layout = "15:04"
	}
	return strings.TrimSuffix(t.Format(layout+" ")+Offset(t, t.Location()), " ")
}

// Offset is "UTC-05:00 " for a time that the clocks of the zone show twice, because
// they are set back, and "" for all others, which need none.
func Offset(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	_, offset := t.Zone()
	// shown is when the clocks show the same by the offset on the other side
	// of a change.
	shown := func(other time.Time) time.Time {
		_, there := other.Zone()
		return t.Add(time.Duration(offset-there) * time.Second)
	}
	start, end := t.ZoneBounds()
	later := !end.IsZero() && !shown(end).Before(end)
	if earlier := start.Add(-time.Nanosecond); later || !start.IsZero() && !shown(earlier).After(earlier) {
		return t.Format("UTC-07:00 ")
	}
	return ""
}

func isMidnight(t time.Time) bool {
	h, m, s := t.Clock()
	return h == 0 && m == 0 && s == 0 && t.Nanosecond() == 0
}
