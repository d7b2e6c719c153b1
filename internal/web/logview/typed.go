package logview

import (
	"strings"
	"time"
	"unicode"

	"github.com/stelehq/stele/audit"
)

// bounds are those of time: parts of the language, and no fields.
func bounds() []string { return []string{"after", "before", "received.after", "received.before"} }

// ByClocks is a filter with the dates of its bounds written out with their offset,
// as midnight by the clocks of a zone. In the language, a date is midnight UTC; who
// types one on a page means the zone that the page's times are in. Where clocks is
// true, times without a zone are the zone's too, which the language refuses.
func ByClocks(text string, zone *time.Location, clocks bool) string {
	var b strings.Builder
	quoted, start := false, 0
	for i, r := range text {
		switch {
		case r == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case !quoted && unicode.IsSpace(r):
			b.WriteString(termByClocks(text[start:i], zone, clocks))
			b.WriteRune(r)
			start = i + len(string(r))
		}
	}
	b.WriteString(termByClocks(text[start:], zone, clocks))
	return b.String()
}

func termByClocks(term string, zone *time.Location, clocks bool) string {
	for _, name := range bounds() {
		if value, ok := strings.CutPrefix(term, name+":"); ok {
			return name + ":" + timeByClocks(strings.Trim(value, `"`), value, zone, clocks)
		}
	}
	return term
}

// timeByClocks is a date or a time with its offset; otherwise what was written.
func timeByClocks(text, written string, zone *time.Location, clocks bool) string {
	if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return written
	}
	if _, err := time.Parse(time.DateOnly, text); err != nil && !clocks {
		return written
	} else if err == nil && clocks && zone == time.UTC {
		return written // what the language means
	}
	t, err := ParseTime("", text, zone)
	if err != nil || t.IsZero() || t.Before(audit.MinTime) {
		return written
	}
	return t.In(zone).Format(time.RFC3339)
}
