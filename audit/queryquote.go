package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// quoteUnless returns s as it is where plain admits every way to read it bare,
// else in quotes.
func quoteUnless(plain func(string) bool, s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r != ' ' && !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// plainValue reports whether a value means itself without quotes. What cannot be
// seen is quoted, so that it can be written as an escape.
func plainValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '"' || r == ' ' || !unicode.IsPrint(r)
	})
}

// plainName is plainValue for the name of a field.
func plainName(s string) bool { return plainValue(s) && !strings.Contains(s, ":") }

// plainText is plainValue for free text.
func plainText(s string) bool { return plainName(s) && s[0] != '-' && !isOperator(s) }

// formatQueryTime writes a time as [parseQueryTime] reads it, as a date where it
// is midnight UTC.
func formatQueryTime(t time.Time) string {
	t = t.UTC()
	if h, m, s := t.Clock(); h == 0 && m == 0 && s == 0 && t.Nanosecond() == 0 {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339Nano)
}

// parseQueryTime reads a date, meaning midnight UTC, or a time with its zone.
func parseQueryTime(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		err = t.UnmarshalText([]byte(s)) // RFC 3339, strictly
	}
	if err != nil {
		if _, zoneless := time.Parse("2006-01-02T15:04:05", s); zoneless == nil {
			return time.Time{}, fmt.Errorf("%q has no time zone; add Z for UTC or an offset such as +01:00", s)
		}
		return time.Time{}, fmt.Errorf("%q is not a time; write 2026-03-01 or 2026-03-01T09:30:00Z", shorten(s))
	}
	if _, fraction, ok := strings.Cut(s, "."); ok && len(fraction)-len(strings.TrimLeft(fraction, "0123456789")) > 9 {
		return time.Time{}, fmt.Errorf("%q is finer than a nanosecond", shorten(s))
	}
	if !inTime(t) {
		return time.Time{}, errors.New("times are from 1970 to 2261")
	}
	return t.UTC(), nil
}

// invalidUTF8 returns where s stops being valid UTF-8, -1 when it does not.
func invalidUTF8(s string) int {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
