package event

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
)

func TestMaxTime(t *testing.T) {
	if audit.MinTime.UnixNano() != 0 || audit.MaxTime.UnixNano() != maxTime {
		t.Errorf("package audit has %v to %v", audit.MinTime.UnixNano(), audit.MaxTime.UnixNano())
	}
}

// Every day there is, against package time.
func TestCivilEveryDay(t *testing.T) {
	for d := time.Date(1969, 3, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2263; d = d.AddDate(0, 0, 1) {
		days := d.Unix() / day
		if got := daysOf(d.Year(), int(d.Month()), d.Day()); got != days {
			t.Fatalf("%s is day %d, want %d", d, got, days)
		}
		if days < 0 {
			continue
		}
		if y, m, dd := civil(days); y != d.Year() || m != int(d.Month()) || dd != d.Day() {
			t.Fatalf("day %d is %d-%d-%d, want %s", days, y, m, dd, d)
		}
	}
}

func TestTimeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := eventtest.Time().Draw(t, "time")
		if rapid.Bool().Draw(t, "coarse") {
			want = want.Truncate(time.Duration(rapid.SampledFrom([]int{1e2, 1e3, 1e5, 1e6, 1e9}).Draw(t, "to")))
		}
		text := string(AppendTime(nil, want.UnixNano()))
		got, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || !got.Equal(want) {
			t.Fatalf("%s is written as %s", want, text)
		}
		if shortest := want.Format("2006-01-02T15:04:05.000Z"); len(text) > len(shortest) {
			fraction := strings.TrimSuffix(text[len("2006-01-02T15:04:05."):], "Z")
			if len(fraction) != 6 && len(fraction) != 9 || strings.HasSuffix(fraction, "000") {
				t.Fatalf("%s is not the shortest form of %s", text, want)
			}
		}
		zone := time.FixedZone("", 60*rapid.IntRange(-23*60-59, 23*60+59).Draw(t, "zone"))
		there := want.In(zone).Format(time.RFC3339Nano)
		if rapid.Bool().Draw(t, "lower") {
			there = strings.ToLower(there)
		}
		if ns, fault := parseTime([]byte(there)); fault != "" || ns != want.UnixNano() {
			t.Fatalf("%s is read as %d (%s), want %d", there, ns, fault, want.UnixNano())
		}
		ms := want.UnixMilli()
		if got, want := string(AppendMillis(nil, ms)), want.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("%d ms is written as %s, want %s", ms, got, want)
		}
	})
}

func TestParseTimeRefuses(t *testing.T) {
	tests := map[string]string{
		"":                                     "must be an RFC 3339 time",
		"now":                                  "must be an RFC 3339 time",
		"1772357400":                           "must be an RFC 3339 time",
		"2026-03-01":                           "without a time and a zone",
		"2026-03-01T09:30:00":                  "no zone",
		"2026-03-01T09:30:00.5":                "no zone",
		"2026-03-01T09:30Z":                    "must be an RFC 3339 time",
		"2026-03-01 09:30:00Z":                 "must be an RFC 3339 time",
		"2026-3-1T09:30:00Z":                   "must be an RFC 3339 time",
		"2026/03/01T09:30:00Z":                 "must be an RFC 3339 time",
		"2O26-03-01T09:30:00Z":                 "must be an RFC 3339 time",
		"2026-03-01T9:30:000Z":                 "must be an RFC 3339 time",
		"2026-03-01T09:30:00.Z":                "must be an RFC 3339 time",
		"2026-03-01T09:30:00,5Z":               "zone that is neither",
		"2026-03-01T09:30:00.1234567890Z":      "more than 9 digits",
		"2026-03-01T09:30:00.1234567890":       "more than 9 digits",
		"2026-03-01T09:30:00 Z":                "zone that is neither",
		"2026-03-01T09:30:00Z ":                "zone that is neither",
		"2026-03-01T09:30:00+0200":             "zone that is neither",
		"2026-03-01T09:30:00+02":               "zone that is neither",
		"2026-03-01T09:30:00+24:00":            "zone that is neither",
		"2026-03-01T09:30:00+02:60":            "zone that is neither",
		"2026-03-01T09:30:00 02:00":            "zone that is neither",
		"2026-03-01T09:30:00+0a:00":            "zone that is neither",
		"2026-03-01T09:30:00 Europe/Berlin":    "zone that is neither",
		"2026-00-01T09:30:00Z":                 "does not exist",
		"2026-13-01T09:30:00Z":                 "does not exist",
		"2026-02-29T09:30:00Z":                 "does not exist",
		"2100-02-29T09:30:00Z":                 "does not exist",
		"2026-04-31T09:30:00Z":                 "does not exist",
		"2026-03-00T09:30:00Z":                 "does not exist",
		"2026-03-01T24:00:00Z":                 "does not exist",
		"2026-03-01T09:60:00Z":                 "does not exist",
		"2026-03-01T09:30:61Z":                 "does not exist",
		"2016-12-31T23:59:60Z":                 "leap second",
		"1969-12-31T23:59:59.999999999Z":       "1970 to 2261",
		"1970-01-01T00:00:00+00:01":            "1970 to 2261",
		"0000-01-01T00:00:00Z":                 "1970 to 2261",
		"2262-01-01T00:00:00Z":                 "1970 to 2261",
		"2261-12-31T23:59:59-00:01":            "1970 to 2261",
		"9999-12-31T23:59:59Z":                 "1970 to 2261",
		"2026-03-01T09:30:00Z\x00":             "zone that is neither",
		"-026-03-01T09:30:00Z":                 "must be an RFC 3339 time",
		"2026-03-01T09:30:00.-5Z":              "must be an RFC 3339 time",
		"2026-03-01T09:30:00.999999999+23:59x": "zone that is neither",
	}
	for text, want := range tests {
		if ns, fault := parseTime([]byte(text)); !strings.Contains(fault, want) || fault == "" {
			t.Errorf("%q is read as %d: %q, want …%s…", text, ns, fault, want)
		}
	}
}

// What is accepted is what package time reads too, and means the same.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2026-03-01T09:30:00.123Z", "1970-01-01t14:00:00+14:00", "2262-01-01T00:00:00+00:01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ns, fault := parseTime([]byte(text))
		if fault != "" {
			return
		}
		want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
		if err != nil || want.UnixNano() != ns || ns < 0 || ns > maxTime {
			t.Fatal(fmt.Sprintf("%q is read as %d", text, ns), want, err)
		}
	})
}
