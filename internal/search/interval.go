package search

import (
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Interval divides time into the buckets of a histogram: so many minutes or hours
// of a day, days, weeks from Monday, or months, in a time zone. Every time is in
// exactly one bucket. Where clocks change, days are shorter or longer; minutes and
// hours count from the start of the day, so that the last bucket of such a day may
// be shorter.
type Interval struct {
	unit  unit
	count int // minutes or hours; else 1
	zone  *time.Location
}

type unit byte

const (
	unitMinute unit = iota
	unitHour
	unitDay
	unitWeek
	unitMonth
)

// ParseInterval reads an interval in a time zone, UTC when nil: "minute", "hour",
// "day", "week", "month"; "1m" or "15m", "1h" or "6h" with any number that divides
// an hour or a day; "1d", "1w". Errors are *audit.Error with code invalid_request
// and Field "interval".
func ParseInterval(text string, zone *time.Location) (Interval, error) {
	if zone == nil {
		zone = time.UTC
	}
	iv := Interval{count: 1, zone: zone}
	switch text {
	case "minute":
		iv.unit = unitMinute
	case "hour":
		iv.unit = unitHour
	case "day", "1d":
		iv.unit = unitDay
	case "week", "1w":
		iv.unit = unitWeek
	case "month":
		iv.unit = unitMonth
	default:
		return iv.parse(text)
	}
	return iv, nil
}

// parse reads a number of minutes or hours.
func (iv Interval) parse(text string) (Interval, error) {
	most := 60
	iv.unit = unitMinute
	digits, ok := strings.CutSuffix(text, "m")
	if !ok {
		most = 24
		iv.unit = unitHour
		digits, ok = strings.CutSuffix(text, "h")
	}
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n < 1 || int(n) >= most || most%int(n) != 0 || digits[0] == '0' {
		return Interval{}, audit.FieldErrorf(audit.CodeInvalidRequest, "interval",
			"interval is %q; it must be minute, hour, day, week, month, or minutes or hours that divide a day evenly, such as 15m or 6h", text)
	}
	iv.count = int(n)
	return iv, nil
}

// String is the interval as text, as short as [ParseInterval] reads it.
func (iv Interval) String() string {
	name := [...]string{"minute", "hour", "day", "week", "month"}[iv.unit]
	if iv.count <= 1 {
		return name
	}
	return strconv.Itoa(iv.count) + name[:1]
}

// Zone is the time zone in which days begin.
func (iv Interval) Zone() *time.Location {
	if iv.zone == nil {
		return time.UTC
	}
	return iv.zone
}

// Bucket returns the bucket that t is in: start ≤ t < next, both in the
// interval's zone.
func (iv Interval) Bucket(t time.Time) (start, next time.Time) {
	t = t.In(iv.Zone())
	start, next = iv.days(t.Date())
	if !t.Before(next) {
		// The clocks were put back over midnight: the date is that of the
		// day before once more.
		start, next = iv.days(next.Date())
	}
	if iv.unit >= unitDay {
		return start, next
	}
	length := time.Duration(max(iv.count, 1)) * time.Minute
	if iv.unit == unitHour {
		length *= 60
	}
	start = start.Add(t.Sub(start).Truncate(length))
	if end := start.Add(length); end.Before(next) {
		next = end
	}
	return start, next
}

// days returns the bucket of whole days that a date is in; minutes and hours are
// in one day.
func (iv Interval) days(y int, m time.Month, d int) (start, next time.Time) {
	switch iv.unit {
	case unitWeek:
		weekday := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()
		d -= (int(weekday) + 6) % 7 // since Monday
		return iv.midnight(y, m, d), iv.midnight(y, m, d+7)
	case unitMonth:
		return iv.midnight(y, m, 1), iv.midnight(y, m+1, 1)
	default:
		return iv.midnight(y, m, d), iv.midnight(y, m, d+1)
	}
}

// midnight returns the first moment of a day; the date need not be normal, such
// as 32 January. In most zones that is 00:00. Where clocks are changed around
// midnight, or a day was left out, 00:00 is twice or never.
func (iv Interval) midnight(y int, m time.Month, d int) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, iv.Zone())
	began, ended := t.ZoneBounds()
	switch c := wallClock(t).Compare(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)); {
	case c < 0: // never; t is by the clock before the change
		return ended
	case c > 0: // never; t is by the clock after the change
		return began
	case began.IsZero():
		return t
	}
	_, after := t.Zone()
	_, before := began.Add(-1).Zone()
	if twin := t.Add(time.Duration(after-before) * time.Second); twin.Before(began) {
		return twin // 00:00 by the clock before the change
	}
	return t
}

// wallClock is what the clocks of t's zone show, as if it were UTC.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}
