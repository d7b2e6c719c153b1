package workos

import (
	"regexp"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// isoTime is a time as ISO 8601 has it and SDKs write it: seconds, fraction and
// zone may be missing, the zone may have no colon.
var isoTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(:\d{2})?([.,]\d+)?([Zz]|[+-]\d{2}(?::?\d{2})?)?$`)

// isoDate is a date alone.
var isoDate = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// rfc3339 brings a time into the strict form of RFC 3339 that the log takes. A
// time without a zone is UTC: Python's naive datetimes arrive so. It says
// whether the text looks like a time, not whether there is such a day.
func rfc3339(text string) (string, bool) {
	m := isoTime.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	date, clock, seconds, fraction, zone := m[1], m[2], m[3], m[4], m[5]
	if seconds == "" {
		if fraction != "" {
			return "", false
		}
		seconds = ":00"
	}
	fraction = strings.Replace(fraction, ",", ".", 1)
	return date + "T" + clock + seconds + fraction + fullZone(zone), true
}

// fullZone is a zone with minutes and a colon.
func fullZone(zone string) string {
	switch {
	case zone == "" || zone == "z":
		return "Z"
	case len(zone) == len("+00"):
		return zone + ":00"
	case len(zone) == len("+0000"):
		return zone[:3] + ":" + zone[3:]
	default:
		return zone
	}
}

// bound reads one end of a range: a time, or a date which means its midnight in
// UTC. A time that no entry can have is the zero time, which bounds nothing.
func bound(text string) (time.Time, bool) {
	if isoDate.MatchString(text) {
		text += "T00:00:00Z"
	}
	full, ok := rfc3339(text)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, full)
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// unbounded gives up a bound beyond every time that an entry can have.
func unbounded(t time.Time) time.Time {
	if t.Before(audit.MinTime) || t.After(audit.MaxTime) {
		return time.Time{}
	}
	return t
}

// stamp writes a time as WorkOS does: UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
