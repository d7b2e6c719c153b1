package words

import (
	"strconv"
	"time"
)

// Ago says how long before now a time was, in few letters: "just now", "5 min
// ago", "today 09:30", "yesterday 14:05", then the day. Days are those of the
// zone. From an hour on the clock says more than a count of hours.
func Ago(t, now time.Time, zone *time.Location) string {
	t, now = t.In(zone), now.In(zone)
	d := now.Sub(t)
	switch {
	case d < -time.Minute:
		return day(t, now)
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min ago"
	}
	return day(t, now)
}

// day names the day of a time, and the time of day as long as it matters.
func day(t, now time.Time) string {
	at := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	switch days := int(today.Sub(at) / (24 * time.Hour)); {
	case days == 0:
		return "today " + t.Format("15:04")
	case days == 1:
		return "yesterday " + t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006")
}

// Span says how long something took: "42 s", "5 min", "3 h", "12 days".
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " days"
}
