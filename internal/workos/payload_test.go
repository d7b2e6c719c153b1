package workos

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// body is a create-event request whose event has the members given besides, or
// in place of, the required ones.
func body(t testing.TB, members string) []byte {
	t.Helper()
	ev := map[string]any{
		"action": "a", "occurred_at": "2026-01-15T12:00:00Z",
		"actor": map[string]any{"id": "u", "type": "user"}, "targets": []any{map[string]any{"id": "t", "type": "team"}},
		"context": map[string]any{"location": "x"},
	}
	if members != "" {
		if err := json.Unmarshal([]byte(members), &ev); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"event": ev, "organization_id": "org_1"})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTolerated reads what SDKs send although it says nothing, as the event
// without it.
func TestTolerated(t *testing.T) {
	plain, err := parseSubmission(body(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, members := range map[string]string{
		"empty names (Go before 7)":    `{"actor":{"id":"u","type":"user","name":""},"targets":[{"id":"t","type":"team","name":""}]}`,
		"empty user agent (Go)":        `{"context":{"location":"x","user_agent":""}}`,
		"nulls (Ruby, PHP, Kotlin)":    `{"version":null,"metadata":null,"actor":{"id":"u","type":"user","name":null,"metadata":null},"context":{"location":"x","user_agent":null}}`,
		"empty metadata (Ruby)":        `{"metadata":{},"actor":{"id":"u","type":"user","metadata":{}}}`,
		"metadata as an array (PHP)":   `{"metadata":[],"actor":{"id":"u","type":"user","metadata":[ ]},"targets":[{"id":"t","type":"team","metadata":[]}]}`,
		"version 1 (Kotlin before 5)":  `{"version":1}`,
		"version as a fraction":        `{"version":1.0}`,
		"offset (PHP, Kotlin)":         `{"occurred_at":"2026-01-15T12:00:00+00:00"}`,
		"time without a zone (Python)": `{"occurred_at":"2026-01-15T12:00:00"}`,
		"unknown members":              `{"color":"red","actor":{"id":"u","type":"user","email":"a@b"},"context":{"location":"x","city":{"name":"y"}}}`,
	} {
		got, err := parseSubmission(body(t, members))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(decode(t, plain.event), decode(t, got.event)); diff != "" {
			t.Errorf("%s: (-plain +got)\n%s", name, diff)
		}
	}
}

func decode(t testing.TB, data []byte) audit.Event {
	t.Helper()
	var ev event.Event
	if err := event.NewDecoder().Decode(data, &ev); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return ev.Audit()
}

func TestFaults(t *testing.T) {
	for members, want := range map[string][]fault{
		`{"action":null,"occurred_at":null,"actor":null,"targets":null,"context":null}`: {
			{faultRequired, "event.action", "is required"},
			{faultRequired, "event.occurred_at", "is required"},
			{faultRequired, "event.actor", "is required"},
			{faultRequired, "event.targets", "is required"},
			{faultRequired, "event.context", "is required"},
		},
		`{"action":"","actor":{"id":"","type":""},"targets":[{"id":"","type":null}],"context":{}}`: {
			{faultRequired, "event.action", "must not be empty"},
			{faultRequired, "event.actor.id", "must not be empty"},
			{faultRequired, "event.actor.type", "must not be empty"},
			{faultRequired, "event.targets.0.id", "must not be empty"},
			{faultRequired, "event.targets.0.type", "is required"},
			{faultRequired, "event.context.location", "is required"},
		},
		`{"action":1,"version":"1","actor":[],"targets":{},"context":"x","metadata":"x"}`: {
			{faultType, "event.action", "must be a string"},
			{faultType, "event.version", "must be a whole number"},
			{faultType, "event.actor", "must be an object"},
			{faultType, "event.targets", "must be an array"},
			{faultType, "event.context", "must be an object"},
			{faultType, "event.metadata", "must be an object"},
		},
		`{"version":1.5,"targets":["t",{"id":1,"type":"t","name":2,"metadata":[1]}]}`: {
			{faultType, "event.version", "must be a whole number"},
			{faultType, "event.targets.0", "must be an object"},
			{faultType, "event.targets.1.id", "must be a string"},
			{faultType, "event.targets.1.name", "must be a string"},
			{faultType, "event.targets.1.metadata", "must be an object"},
		},
		`{"occurred_at":"tomorrow"}`: {
			{faultValue, "event.occurred_at", "must be an ISO 8601 time, such as 2026-01-15T12:00:00.000Z"},
		},
	} {
		_, err := parseSubmission(body(t, members))
		f, ok := errors.AsType[*failure](err)
		if !ok {
			t.Errorf("%s: %v", members, err)
			continue
		}
		if diff := cmp.Diff(want, f.body.Errors); diff != "" || f.status != 422 || f.body.Message != "Validation failed." {
			t.Errorf("%s: %d %s (-want +got)\n%s", members, f.status, f.body.Message, diff)
		}
	}
}

func TestNoObject(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "1", `"x"`, `{`, `{"event":{}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{} {}`} {
		_, err := parseSubmission([]byte(text))
		if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidJSON}) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	keys := func(n int) string {
		members := make([]string, n)
		for i := range members {
			members[i] = `"k` + strconv.Itoa(i) + `":1`
		}
		return `{` + strings.Join(members, ",") + `}`
	}
	targets := func(n int) string {
		return `[` + strings.Repeat(`{"id":"t","type":"team"},`, n-1) + `{"id":"t","type":"team"}]`
	}
	text := func(n int) string { return `"` + strings.Repeat("ö", n) + `"` }
	key := strings.Repeat("k", 40)
	for members, want := range map[string][]string{
		`{"targets":` + targets(20) + `}`:                                               nil,
		`{"targets":` + targets(21) + `}`:                                               {"/targets maxItems"},
		`{"metadata":` + keys(50) + `}`:                                                 nil,
		`{"metadata":` + keys(51) + `}`:                                                 {"/metadata maxProperties"},
		`{"actor":{"id":"u","type":"t","metadata":` + keys(51) + `}}`:                   {"/actor/metadata maxProperties"},
		`{"targets":[{"id":"t","type":"t"},{"id":"t","type":"t","metadata":{"a":[]}}]}`: {"/targets/1/metadata/a type"},
		`{"metadata":{"s":` + text(500) + `,"` + key + `":true,"A-b_9":1.5}}`:           nil,
		`{"metadata":{"s":` + text(501) + `}}`:                                          {"/metadata/s maxLength"},
		`{"metadata":{"` + key + `k":1,"a.b":1,"ö":1}}`:                                 {"/metadata pattern", "/metadata pattern", "/metadata pattern"},
		`{"metadata":{"a":null,"b":[],"c":{},"d":"x"}}`:                                 {"/metadata/a type", "/metadata/b type", "/metadata/c type"},
	} {
		s, err := parseSubmission(body(t, members))
		if err != nil {
			t.Errorf("%.100s: %v", members, err)
			continue
		}
		var got []string
		for _, v := range s.violations {
			got = append(got, v.InstancePath+" "+v.Keyword)
			if v.Message == "" || len(v.Params) == 0 || !strings.HasPrefix(v.SchemaPath, "#/properties/") || !strings.HasSuffix(v.SchemaPath, "/"+v.Keyword) {
				t.Errorf("%.100s: incomplete: %+v", members, v)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.100s: (-want +got)\n%s", members, diff)
		}
	}
}

// FuzzSubmission holds that whatever comes, the answer is an error for the
// caller or JSON that the decoder can at least read.
func FuzzSubmission(f *testing.F) {
	for _, members := range []string{"", `{"metadata":{"a":1}}`, `{"version":0}`, `{"occurred_at":"2026-01-15 12:00"}`, `{"targets":[]}`} {
		f.Add(body(f, members))
	}
	decoder := event.NewDecoder()
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSubmission(data)
		if err != nil {
			if _, ok := errors.AsType[*audit.Error](err); !ok {
				t.Fatalf("not for the caller: %v", err)
			}
			return
		}
		if s.organization == "" || s.action == "" || !json.Valid(s.event) {
			t.Fatalf("%+v: %s", s, s.event)
		}
		var ev event.Event
		err = decoder.Decode(s.event, &ev)
		if errors.Is(err, &audit.Error{Code: audit.CodeInvalidJSON}) || errors.Is(err, &audit.Error{Code: audit.CodeUnknownField}) {
			t.Fatalf("%s: %v", s.event, err)
		}
		if err == nil && string(ev.Action) != s.action {
			t.Fatalf("action %q, checked as %q", ev.Action, s.action)
		}
	})
}

func TestPeriodDays(t *testing.T) {
	for period, want := range map[string]int{
		"1_MONTH": 30, "2_MONTHS": 60, "11_MONTHS": 330, "1_YEAR": 365, "2_YEARS": 730, "10_YEARS": 3650,
	} {
		if got, ok := periodDays(period); !ok || got != want || !isPeriod(int64(got)) {
			t.Errorf("%s: %d, %v; want %d", period, got, ok, want)
		}
	}
	for _, period := range []string{"", "12_MONTHS", "0_YEARS", "1_MONTHS", "2_MONTH", "11_YEARS", "1_YEARSS", "+1_YEAR", "01_YEAR", "-1_YEAR", "1_WEEK", "1_year", "_YEAR"} {
		if got, ok := periodDays(period); ok {
			t.Errorf("%q: %d", period, got)
		}
	}
	for _, days := range []int64{-30, 0, 1, 29, 31, 360, 3651, 4015, 1 << 62} {
		if isPeriod(days) {
			t.Errorf("%d days are a period", days)
		}
	}
}
