// Package eventtest makes random events for tests: valid, and as nasty as valid
// events get. Values repeat, so that filters match some events and not others.
package eventtest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

// nasty are texts that have broken log stores, CSV files, pages and sorting.
func nasty() []string {
	return []string{
		"=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "\tx", "a\r\nb", "line\nbreak",
		`"quoted"`, `back\slash`, "a,b;c", "'", "</script><script>", "a b", " lead", "trail ",
		"a/b/c", "../..", "%00", "null", "true", "0", "*", "a*", "a:b", "-x", "{}", "[]",
		"שלום עולם", "مرحبا", "\u202eevil\u202c", "日本語", "İstanbul", "straße", "STRASSE",
		"😀", "👩‍👩‍👧", "\uffff", "\U00010000", "\U0010ffff", "\ue000", "\u2028\u2029",
		"\x01\x1f\x7f", "\u0080", "\ufeff", "e\u0301", "é", strings.Repeat("long ", 60),
	}
}

func plain() []string {
	return []string{
		"user", "api_key", "system", "workflow", "alert", "team", "admin", "viewer",
		"203.0.113.7", "10.0.0.1", "Ada Lovelace", "ada lovelace", "Grace Hopper",
		"01G0J1F3GQ5B5S0000000000", "01G0J1F3GQ5B5S0000000001", "Dev key", "dev",
		"Mozilla/5.0 (X11; Linux x86_64)", "core", "INC-1042",
	}
}

// Text gives non-empty texts without NUL: common words, nasty ones and anything.
func Text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(plain()),
		rapid.SampledFrom(plain()),
		rapid.SampledFrom(nasty()),
		rapid.Custom(anyText),
	)
}

func anyText(t *rapid.T) string {
	return strings.ReplaceAll(rapid.StringN(1, 20, 80).Draw(t, "text"), "\x00", "0")
}

// Action gives names of actions, most of them of a few families.
func Action() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"api_key.created", "api_key.deleted", "api_key_role.updated", "user.created",
			"incident.closed", "export.started", "a", "api_key", "api_key.", "API_KEY.CREATED",
		}),
		Text().Filter(func(s string) bool { return len(s) <= audit.MaxActionBytes }),
	)
}

// Time gives times that an event may have: most of them within a few days of
// each other, many to the millisecond, some at the ends of the range.
func Time() *rapid.Generator[time.Time] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) time.Time {
			ms := rapid.Int64Range(0, 5*24*3600*1000).Draw(t, "ms")
			return time.UnixMilli(1_772_000_000_000 + ms).UTC()
		}),
		rapid.SampledFrom([]time.Time{
			audit.MinTime, audit.MaxTime, time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC),
			time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		}),
		rapid.Custom(func(t *rapid.T) time.Time {
			ns := rapid.Int64Range(0, audit.MaxTime.UnixNano()).Draw(t, "ns")
			return time.Unix(0, ns).UTC()
		}),
	)
}

// Number gives numbers that canonical JSON keeps.
func Number() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 1000), func(i int) float64 { return float64(i) }),
		rapid.SampledFrom([]float64{
			0.1, 1e21, 1e20, 1e-6, 1e-7, 1.5, -2.25, 1<<53 - 1, 1 << 53, -1 << 53, 5e-324,
			math.MaxFloat64, 123456789012345680000, 0.000001234,
		}),
		rapid.Float64().Filter(func(f float64) bool {
			return !math.IsNaN(f) && !math.IsInf(f, 0) && (f != 0 || !math.Signbit(f))
		}),
	)
}

// Metadata gives metadata, often none, within all limits.
func Metadata() *rapid.Generator[audit.Metadata] {
	return rapid.Custom(func(t *rapid.T) audit.Metadata {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		return audit.Metadata(object(t, audit.MaxMetadataDepth))
	})
}

func key() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"team", "after_roles", "before_roles", "count", "nested", "a.b", "", "0"}),
		Text(),
	)
}

func object(t *rapid.T, depth int) map[string]any {
	m := map[string]any{}
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		m[key().Draw(t, "key")] = value(t, depth-1)
	}
	return m
}

func value(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 8).Draw(t, "kind"); {
	case kind == 0:
		return nil
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	case kind == 2:
		return Number().Draw(t, "number")
	case kind == 3 && depth > 0:
		return object(t, depth)
	case kind == 4 && depth > 0:
		s := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			s = append(s, value(t, depth-1))
		}
		return s
	default:
		return rapid.OneOf(rapid.Just(""), Text()).Draw(t, "string")
	}
}

func optional(t *rapid.T, what string) string {
	if rapid.Bool().Draw(t, "no "+what) {
		return ""
	}
	return Text().Draw(t, what)
}

// Events gives valid events in their normal form: Version is set, times are UTC,
// and what is empty is zero. None has an idempotency key.
func Events() *rapid.Generator[*audit.Event] {
	return rapid.Custom(func(t *rapid.T) *audit.Event {
		e := &audit.Event{
			Action:     Action().Draw(t, "action"),
			Version:    rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 3), rapid.IntRange(1, 65_535)).Draw(t, "version"),
			OccurredAt: Time().Draw(t, "occurred_at"),
			Actor:      audit.Actor(party(t, "actor")),
			Context:    audit.Context{Location: optional(t, "location"), UserAgent: optional(t, "user_agent")},
			Metadata:   normal(Metadata().Draw(t, "metadata")),
		}
		for i := range rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 12)).Draw(t, "targets") {
			e.Targets = append(e.Targets, party(t, fmt.Sprint("target ", i)))
		}
		return e
	})
}

func party(t *rapid.T, what string) audit.Target {
	return audit.Target{
		Type:     Text().Draw(t, what+" type"),
		ID:       Text().Draw(t, what+" id"),
		Name:     optional(t, what+" name"),
		Metadata: normal(Metadata().Draw(t, what+" metadata")),
	}
}

func normal(m audit.Metadata) audit.Metadata {
	if len(m) == 0 {
		return nil
	}
	return m
}

// JSON returns an event's JSON as encoding/json writes it, which is how the Go
// client sends it: valid, but not canonical.
func JSON(e *audit.Event) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("event that Events cannot give: %v", err))
	}
	return b
}
