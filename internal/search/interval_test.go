package search_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
)

func zone(t testing.TB, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParseInterval(t *testing.T) {
	for text, want := range map[string]string{
		"minute": "minute", "1m": "minute", "15m": "15m", "30m": "30m", "hour": "hour", "1h": "hour", "6h": "6h", "12h": "12h",
		"day": "day", "1d": "day", "week": "week", "1w": "week", "month": "month",
	} {
		iv, err := search.ParseInterval(text, nil)
		if err != nil || iv.String() != want {
			t.Errorf("%s: %s, error %v; want %s", text, iv, err, want)
		}
		if again, err := search.ParseInterval(iv.String(), nil); err != nil || again != iv {
			t.Errorf("%s is written as %s and read as %s, error %v", text, iv, again, err)
		}
	}
	for _, text := range []string{"", "x", "m", "h", "0m", "7m", "60m", "24h", "5h", "01h", "-1h", "+1h", "2d", "1.5h", "1M", "300h", "year"} {
		if _, err := search.ParseInterval(text, nil); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidRequest}) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestIntervalBucket(t *testing.T) {
	for _, tt := range []struct{ interval, zone, at, start, next string }{
		{"minute", "UTC", "2026-03-01T09:30:59.999999999Z", "2026-03-01T09:30:00Z", "2026-03-01T09:31:00Z"},
		{"15m", "UTC", "2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z", "2026-03-01T09:45:00Z"},
		{"hour", "Asia/Kolkata", "2026-03-01T09:29:00Z", "2026-03-01T14:00:00+05:30", "2026-03-01T15:00:00+05:30"},
		{"hour", "Asia/Kolkata", "2026-03-01T09:30:00Z", "2026-03-01T15:00:00+05:30", "2026-03-01T16:00:00+05:30"},
		{"6h", "UTC", "2026-03-01T23:59:59Z", "2026-03-01T18:00:00Z", "2026-03-02T00:00:00Z"},
		{"day", "UTC", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"},
		{"day", "America/New_York", "2026-03-01T03:00:00Z", "2026-02-28T00:00:00-05:00", "2026-03-01T00:00:00-05:00"},
		// Clocks go forward on 29 March and back on 25 October.
		{"day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"6h", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T13:00:00+02:00", "2026-03-29T19:00:00+02:00"},
		{"6h", "Europe/Berlin", "2026-03-29T21:00:00Z", "2026-03-29T19:00:00+02:00", "2026-03-30T00:00:00+02:00"},
		{"hour", "Europe/Berlin", "2026-10-25T00:59:00Z", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"week", "UTC", "2026-03-01T09:30:00Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"}, // a Sunday
		{"week", "UTC", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"},
		{"month", "UTC", "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"month", "Asia/Tokyo", "2025-12-31T15:00:00Z", "2026-01-01T00:00:00+09:00", "2026-02-01T00:00:00+09:00"},
		{"month", "UTC", "2261-12-31T23:59:59Z", "2261-12-01T00:00:00Z", "2262-01-01T00:00:00Z"},
		// No midnight: clocks go from 00:00 to 01:00.
		{"day", "America/Havana", "2026-03-08T06:00:00Z", "2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"},
		// Two midnights: clocks go from 01:00 back to 00:00.
		{"day", "America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		{"day", "Asia/Amman", "2021-10-28T21:30:00Z", "2021-10-29T00:00:00+03:00", "2021-10-30T00:00:00+02:00"},
		// The evening comes again: clocks go from 00:01 back to 23:01.
		{"day", "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T00:00:00-02:30", "2010-11-08T00:00:00-03:30"},
		{"hour", "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T00:00:00-02:30", "2010-11-07T00:00:00-03:30"},
		// Clocks go from 00:01 to 01:01.
		{"day", "America/St_Johns", "2010-03-14T03:45:00Z", "2010-03-14T00:00:00-03:30", "2010-03-15T00:00:00-02:30"},
		// A day that was left out.
		{"day", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"},
	} {
		iv, err := search.ParseInterval(tt.interval, zone(t, tt.zone))
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		start, next := iv.Bucket(at)
		if start.Format(time.RFC3339) != tt.start || next.Format(time.RFC3339) != tt.next {
			t.Errorf("%s in %s at %s: %s to %s, want %s to %s", tt.interval, tt.zone, tt.at,
				start.Format(time.RFC3339), next.Format(time.RFC3339), tt.start, tt.next)
		}
	}
}

// TestIntervalPartition: every time is in exactly one bucket, whatever was done to
// the clocks.
func TestIntervalPartition(t *testing.T) {
	zones := []string{
		"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Asia/Gaza",
		"Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kwajalein", "Asia/Kathmandu", "Africa/Casablanca", "Antarctica/Troll", "America/Scoresbysund",
		"Asia/Pyongyang", "America/Caracas", "Africa/Monrovia", "Asia/Tehran", "Atlantic/Azores", "America/St_Johns", "Asia/Amman",
	}
	rapid.Check(t, func(rt *rapid.T) {
		loc := zone(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		text := rapid.SampledFrom([]string{"minute", "15m", "hour", "6h", "12h", "day", "week", "month"}).Draw(rt, "interval")
		iv, err := search.ParseInterval(text, loc)
		if err != nil {
			rt.Fatal(err)
		}
		at := time.Unix(0, rapid.Int64Range(0, audit.MaxTime.UnixNano()).Draw(rt, "at"))
		if rapid.Bool().Draw(rt, "near a change") {
			at = time.Unix(rapid.Int64Range(0, 2_200_000_000).Draw(rt, "second"), 0)
			if change, _ := at.In(loc).ZoneBounds(); !change.IsZero() && change.Unix() > 0 {
				at = change.Add(time.Duration(rapid.Int64Range(-5*3600, 5*3600).Draw(rt, "beside")) * time.Second)
			}
		}
		start, next := iv.Bucket(at)
		if at.Before(start) || !at.Before(next) {
			rt.Fatalf("%s is not in %s to %s", at.In(loc), start, next)
		}
		inside := start.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(start))-1).Draw(rt, "inside")))
		if s, n := iv.Bucket(inside); !s.Equal(start) || !n.Equal(next) {
			rt.Fatalf("%s is in %s to %s, but %s in %s to %s", at.In(loc), start, next, inside, s, n)
		}
		if s, _ := iv.Bucket(next); !s.Equal(next) {
			rt.Fatalf("%s ends at %s, which is in a bucket from %s", start, next, s)
		}
	})
}
