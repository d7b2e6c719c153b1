package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/schema"
)

const (
	events  = "/v1/organizations/acme/events"
	aTime   = "2026-03-01T09:30:00.123Z"
	ndjson  = "application/x-ndjson"
	minimal = `{"action":"a.b","occurred_at":"` + aTime + `","actor":{"type":"user","id":"u1"}}`
)

// eventWith is a valid event with a part of its own.
func eventWith(part string) string {
	return strings.TrimSuffix(minimal, "}") + "," + part + "}"
}

// ofSize is a valid event of so many bytes.
func ofSize(n int) string {
	return strings.TrimSuffix(minimal, "}") + strings.Repeat(" ", n-len(minimal)) + "}"
}

// appended is the answer to recording.
type appended struct {
	Entries []struct {
		ID         string `json:"id"`
		Seq        uint64 `json:"seq"`
		ReceivedAt string `json:"received_at"`
		Duplicate  bool   `json:"duplicate"`
		Line       int    `json:"line"`
	} `json:"entries"`
	Errors          []fault `json:"errors"`
	CompleteThrough *struct {
		Seq        uint64 `json:"seq"`
		ReceivedAt string `json:"received_at"`
	} `json:"complete_through"`
}

func (h *host) append(body string, options ...option) appended {
	h.t.Helper()
	var got appended
	h.call(http.MethodPost, events, body, options...).want(http.StatusCreated).into(&got)
	return got
}

// size is the number of entries of acme.
func (h *host) size() uint64 {
	h.t.Helper()
	head, err := h.ledger.Head(h.t.Context(), "acme")
	if err != nil {
		h.t.Fatal(err)
	}
	return head.Size
}

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestAppendForms(t *testing.T) {
	h := start(t, schema.ModeOpen)
	zstdWriter, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	two := minimal + "\r\n\n " + minimal + " \n"
	seq := uint64(0)
	for _, tt := range []struct {
		name, body string
		options    []option
		n          int
	}{
		{"object", minimal, nil, 1},
		{"object after space", "\n\t " + minimal + "\n", nil, 1},
		{"array", "[" + minimal + ", " + minimal + "]", nil, 2},
		{"64 KiB", ofSize(audit.MaxEventBytes), nil, 1},
		{"no content type", minimal, []option{withHeader("Content-Type", "")}, 1},
		{"charset", minimal, []option{withHeader("Content-Type", `application/json; charset="UTF-8"`)}, 1},
		{"ndjson", two, []option{withHeader("Content-Type", ndjson)}, 2},
		{"ndjson of one line", minimal, []option{withHeader("Content-Type", ndjson)}, 1},
		{"gzip", zip(two), []option{withHeader("Content-Type", ndjson), withHeader("Content-Encoding", "gzip")}, 2},
		{"zstd", string(zstdWriter.EncodeAll([]byte(two), nil)), []option{withHeader("Content-Type", ndjson), withHeader("Content-Encoding", "zstd")}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := h.append(tt.body, tt.options...)
			if len(got.Entries) != tt.n {
				t.Fatalf("%d entries, want %d", len(got.Entries), tt.n)
			}
			for _, e := range got.Entries {
				if e.Seq != seq || e.Line != 0 || e.Duplicate {
					t.Errorf("got %+v, want seq %d", e, seq)
				}
				var entry audit.Entry
				h.get(events + "/" + e.ID).want(200).into(&entry)
				if entry.Seq != seq || entry.Action != "a.b" || entry.ReceivedAt.Format("2006-01-02T15:04:05.000Z") != e.ReceivedAt {
					t.Errorf("got %+v for %+v", entry, e)
				}
				seq++
			}
			last := got.Entries[tt.n-1]
			if through := got.CompleteThrough; through == nil || through.Seq != last.Seq || through.ReceivedAt != last.ReceivedAt {
				t.Errorf("complete through %+v after %+v", through, last)
			}
		})
	}
}

// TestBadInput sends everything that is to be refused: with its own error, and
// nothing stored.
func TestBadInput(t *testing.T) {
	h := start(t, schema.ModeStrict)
	h.call("POST", "/v1/schemas", `{"action":"a.b","targets":[]}`).want(201)
	h.call("POST", "/v1/schemas", `{"action":"strict","targets":[{"type":"team"}],
		"actor":{"metadata":{"type":"object","properties":{"role":{"type":"string"}},"required":["role"]}},
		"metadata":{"type":"object","properties":{"count":{"type":"number"}}}}`).want(201)
	type want struct {
		status  int
		code    audit.Code
		field   string
		line    int
		mention string
	}
	json, lines := withHeader("Content-Type", "application/json"), withHeader("Content-Type", ndjson)
	deep := `"metadata":{"a":{"b":{"c":{"d":{}}}}}`
	targets := `"targets":[` + strings.TrimSuffix(strings.Repeat(`{"type":"t","id":"1"},`, 101), ",") + `]`
	at := func(time string) string { return strings.Replace(minimal, aTime, time, 1) }
	strict := func(rest string) string { return strings.Replace(eventWith(rest), "a.b", "strict", 1) }
	long := strings.Repeat("x", audit.MaxStringBytes+1)
	for _, tt := range []struct {
		name, body string
		option     option
		want       want
	}{
		{"empty body", "", json, want{400, "invalid_request", "", 0, "no event"}},
		{"blank body", " \n", json, want{400, "invalid_request", "", 0, "no event"}},
		{"empty array", "[]", json, want{400, "invalid_request", "", 0, "no event"}},
		{"blank lines", "\n\r\n", lines, want{400, "invalid_request", "", 0, "no event"}},
		{"malformed object", `{"action":`, json, want{400, "invalid_json", "", 0, ""}},
		{"not an object", `"text"`, json, want{422, "invalid_event", "", 0, "object"}},
		{"malformed JSON at line 3", minimal + "\n" + minimal + "\n{oops}\n" + minimal, lines, want{400, "invalid_json", "", 3, ""}},
		{"malformed element 2", "[" + minimal + ",{oops}]", json, want{400, "invalid_json", "", 2, ""}},
		{"array not closed", "[" + minimal, json, want{400, "invalid_json", "", 1, "not closed"}},
		{"array of texts", `["a"]`, json, want{400, "invalid_json", "", 1, "object"}},
		{"more after the array", "[" + minimal + "] x", json, want{400, "invalid_json", "", 0, "more after"}},
		{"two objects as JSON", minimal + minimal, json, want{400, "invalid_json", "", 0, ""}},
		{"two events on a line", minimal + " " + minimal, lines, want{400, "invalid_json", "", 1, ""}},
		{"duplicate key", eventWith(`"action":"again"`), json, want{400, "invalid_json", "/action", 0, ""}},
		{"unknown field", eventWith(`"tenant":"x"`), json, want{422, "unknown_field", "/tenant", 0, ""}},
		{"unknown field of the actor", strings.Replace(minimal, `"id":"u1"`, `"id":"u1","email":"x"`, 1), json, want{422, "unknown_field", "/actor/email", 0, ""}},
		{"no actor id", strings.Replace(minimal, `,"id":"u1"`, ``, 1), json, want{422, "invalid_event", "/actor/id", 0, ""}},
		{"empty actor id", strings.Replace(minimal, `"u1"`, `""`, 1), json, want{422, "invalid_event", "/actor/id", 0, ""}},
		{"no action", strings.Replace(minimal, `"action":"a.b",`, ``, 1), json, want{422, "invalid_event", "/action", 0, ""}},
		{"number as action", strings.Replace(minimal, `"a.b"`, `7`, 1), json, want{422, "invalid_event", "/action", 0, ""}},
		{"no time", strings.Replace(minimal, `"occurred_at":"`+aTime+`",`, ``, 1), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"year 9999", at("9999-01-01T00:00:00Z"), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"year 1969", at("1969-12-31T23:59:59Z"), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"time without zone", at("2026-03-01T09:30:00"), json, want{422, "invalid_event", "/occurred_at", 0, "zone"}},
		{"date alone", at("2026-03-01"), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"30 February", at("2026-02-30T00:00:00Z"), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"ten digits of fraction", at("2026-03-01T09:30:00.0123456789Z"), json, want{422, "invalid_event", "/occurred_at", 0, ""}},
		{"version 0", eventWith(`"version":0`), json, want{422, "invalid_event", "/version", 0, ""}},
		{"version 65536", eventWith(`"version":65536`), json, want{422, "invalid_event", "/version", 0, ""}},
		{"64 KiB and a byte", ofSize(audit.MaxEventBytes + 1), json, want{413, "too_large", "", 0, "65536"}},
		{"long string", eventWith(`"metadata":{"a":"` + long + `"}`), json, want{422, "invalid_event", "/metadata/a", 0, ""}},
		{"long action", strings.Replace(minimal, "a.b", strings.Repeat("x", 201), 1), json, want{422, "invalid_event", "/action", 0, ""}},
		{"101 targets", eventWith(targets), json, want{422, "invalid_event", "/targets", 0, "100"}},
		{"too deep", eventWith(deep), json, want{422, "invalid_event", "/metadata/a/b/c/d", 0, ""}},
		{"NUL", eventWith(`"metadata":{"a":"x\u0000y"}`), json, want{422, "invalid_event", "/metadata/a", 0, "NUL"}},
		{"invalid UTF-8", eventWith(`"metadata":{"a":"` + "\xff" + `"}`), json, want{400, "invalid_json", "/metadata/a", 0, "UTF-8"}},
		{"lone surrogate", eventWith(`"metadata":{"a":"\ud800"}`), json, want{400, "invalid_json", "/metadata/a", 0, ""}},
		{"2^53+1", eventWith(`"metadata":{"a":9007199254740993}`), json, want{422, "invalid_event", "/metadata/a", 0, "string"}},
		{"1e400", eventWith(`"metadata":{"a":1e400}`), json, want{422, "invalid_event", "/metadata/a", 0, "string"}},
		{"number 01", eventWith(`"metadata":{"a":01}`), json, want{400, "invalid_json", "/metadata", 0, ""}},
		{"long idempotency key", eventWith(`"idempotency_key":"` + strings.Repeat("k", 256) + `"`), json, want{422, "invalid_event", "/idempotency_key", 0, ""}},
		{"unknown action in strict mode", strings.Replace(minimal, "a.b", "never.heard", 1), json, want{422, "schema_unregistered", "/action", 0, "never.heard"}},
		{"unknown version in strict mode", eventWith(`"version":2`), json, want{422, "schema_unregistered", "/version", 0, ""}},
		{"empty targets where one is wanted", strict(`"targets":[]`), json, want{422, "schema_violation", "/targets", 0, "team"}},
		{"key that the schema requires", strict(`"targets":[{"type":"team","id":"1"}]`), json, want{422, "schema_violation", "/actor/metadata/role", 0, ""}},
		{"wrong type for a schema field", strings.Replace(strict(`"targets":[{"type":"team","id":"1"}],"metadata":{"count":"3"}`), `"id":"u1"`, `"id":"u1","metadata":{"role":"x"}`, 1), json, want{422, "schema_violation", "/metadata/count", 0, "number"}},
		{"form", "a=b", withHeader("Content-Type", "application/x-www-form-urlencoded"), want{415, "unsupported_media", "Content-Type", 0, "application/json"}},
		{"Latin-1", minimal, withHeader("Content-Type", "application/json; charset=iso-8859-1"), want{415, "unsupported_media", "Content-Type", 0, "UTF-8"}},
		{"not gzip", minimal, withHeader("Content-Encoding", "gzip"), want{400, "invalid_request", "", 0, ""}},
		{"brotli", minimal, withHeader("Content-Encoding", "br"), want{415, "unsupported_media", "Content-Encoding", 0, ""}},
		{"gzip bomb", zip(strings.Repeat(" ", 64<<20)), withHeader("Content-Encoding", "gzip"), want{413, "too_large", "", 0, ""}},
		{"16 MiB and a byte", strings.Repeat(" ", audit.MaxBatchBytes+1), json, want{413, "too_large", "", 0, ""}},
		{"10,001 events", strings.Repeat(minimal+"\n", 10_001), lines, want{413, "too_large", "", 0, "10000"}},
		{"one bad event in 10,000", strings.Repeat(minimal+"\n", 7_776) + "{}\n" + strings.Repeat(minimal+"\n", 2_223), lines, want{422, "invalid_event", "/action", 7_777, ""}},
		{"long request key", minimal, withHeader("Idempotency-Key", strings.Repeat("k", 256)), want{400, "invalid_request", "Idempotency-Key", 0, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.t = t
			got := h.call(http.MethodPost, events, tt.body, tt.option).fails(tt.want.status, string(tt.want.code))
			if got.Field != tt.want.field || got.Line != tt.want.line || !strings.Contains(got.Detail, tt.want.mention) {
				t.Errorf("got field %q, line %d, %q; want field %q, line %d, mention of %q",
					got.Field, got.Line, got.Detail, tt.want.field, tt.want.line, tt.want.mention)
			}
			if len(got.Errors) > 0 && tt.want.code != audit.CodeSchemaViolation {
				t.Errorf("there is one fault, listed are %+v", got.Errors)
			}
			if n := h.size(); n != 0 {
				t.Fatalf("%d entries are stored", n)
			}
		})
	}
}

func TestFaultsOfABatch(t *testing.T) {
	h := start(t, schema.ModeOpen)
	bad := `{"action":"a.b"}`
	lines := withHeader("Content-Type", ndjson)
	got := h.call(http.MethodPost, events, minimal+"\n"+bad+"\n\n{oops\n"+minimal, lines).fails(422, "invalid_event")
	var at []string
	for _, e := range got.Errors {
		at = append(at, fmt.Sprint(e.Line, " ", e.Code))
	}
	if diff := cmp.Diff([]string{"2 invalid_event", "4 invalid_json"}, at); diff != "" || got.Line != 2 {
		t.Errorf("line %d: %s", got.Line, diff)
	}
	got = h.call(http.MethodPost, events, strings.Repeat(bad+"\n", 1000), lines).fails(422, "invalid_event")
	if len(got.Errors) != maxFaults {
		t.Errorf("%d faults are listed", len(got.Errors))
	}
	if h.size() != 0 {
		t.Error("something is stored")
	}
}

func TestPartial(t *testing.T) {
	h := start(t, schema.ModeOpen)
	lines := withHeader("Content-Type", ndjson)
	body := minimal + "\n{oops\n" + eventWith(`"idempotency_key":"k"`) + "\n" + `{"action":"x"}` + "\n" + minimal
	var got appended
	h.call(http.MethodPost, events+"?partial=true", body, lines).want(201).into(&got)
	var places [][2]int
	for _, e := range got.Entries {
		places = append(places, [2]int{int(e.Seq), e.Line})
	}
	if diff := cmp.Diff([][2]int{{0, 1}, {1, 3}, {2, 5}}, places); diff != "" {
		t.Error(diff)
	}
	if len(got.Errors) != 2 || got.Errors[0].Line != 2 || got.Errors[0].Code != "invalid_json" || got.Errors[1].Line != 4 {
		t.Errorf("refused: %+v", got.Errors)
	}

	// A key used with another event is a fault of that line only.
	body = strings.Replace(eventWith(`"idempotency_key":"k"`), "a.b", "other", 1) + "\n" + minimal
	got = appended{}
	h.call(http.MethodPost, events+"?partial=true", body, lines).want(201).into(&got)
	if len(got.Entries) != 1 || got.Entries[0].Line != 2 || len(got.Errors) != 1 || got.Errors[0].Code != "idempotency_conflict" || got.Errors[0].Line != 1 {
		t.Errorf("got %+v", got)
	}

	// Nothing valid, nothing recorded: an error.
	for _, body := range []string{"{oops\n{oops", strings.Replace(eventWith(`"idempotency_key":"k"`), "a.b", "other", 1)} {
		if status := h.call(http.MethodPost, events+"?partial=true", body, lines).status; status != 400 && status != 409 {
			t.Errorf("status %d for %s", status, body)
		}
	}
	// Every line of it is reported, however many.
	if got := h.call(http.MethodPost, events+"?partial=true", strings.Repeat("{oops\n", 250), lines).fails(400, "invalid_json"); len(got.Errors) != 250 {
		t.Errorf("%d of 250 refused lines are reported", len(got.Errors))
	}
	if n := h.size(); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}
	h.call(http.MethodPost, events+"?partial=yes", minimal).fails(400, "invalid_request")
	h.call(http.MethodPost, events+"?partial=true&partial=true", minimal).fails(400, "invalid_request")
	h.call(http.MethodPost, events+"?dry_run=true", minimal).fails(400, "invalid_request")
}

// TestIngestIsReused decodes with what another request left.
func TestIngestIsReused(t *testing.T) {
	h := start(t, schema.ModeOpen)
	in := newIngest()
	for range 2 {
		in.reset("acme")
		in.batch.Partial = true
		if err := in.decode(h.schemas, []byte("{\n"+minimal), true); err != nil {
			t.Fatal(err)
		}
		if in.batch.Len() != 1 || !cmp.Equal(in.lines, []int{2}) || len(in.faults) != 1 || in.faults[0].Line != 1 {
			t.Errorf("%d events of lines %v, faults %v", in.batch.Len(), in.lines, in.faults)
		}
	}
	in.reset("acme")
	if err := in.decode(h.schemas, []byte(minimal), false); err != nil || !in.single {
		t.Errorf("%v, %v", err, in.single)
	}
	in.reset("acme")
	if in.single {
		t.Error("the next request is taken for a single event too")
	}
}

func TestIdempotency(t *testing.T) {
	h := start(t, schema.ModeOpen)
	keyed := eventWith(`"idempotency_key":"one"`)
	first := h.append(keyed)
	again := h.append(keyed)
	if got := again.Entries[0]; !got.Duplicate || got.ID != first.Entries[0].ID || got.ReceivedAt != first.Entries[0].ReceivedAt {
		t.Errorf("sent again: %+v, first %+v", got, first.Entries[0])
	}
	other := strings.Replace(keyed, "a.b", "other", 1)
	h.call(http.MethodPost, events, other).fails(409, "idempotency_conflict")
	got := h.call(http.MethodPost, events, minimal+"\n\n"+other, withHeader("Content-Type", ndjson)).fails(409, "idempotency_conflict")
	if got.Line != 3 {
		t.Errorf("the conflict is on line %d, want 3", got.Line)
	}
	if n := h.size(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}

	request := withHeader("Idempotency-Key", "request")
	batch := "[" + minimal + "," + minimal + "]"
	first = h.append(batch, request)
	again = h.append(batch, request)
	for i, e := range again.Entries {
		if !e.Duplicate || e.ID != first.Entries[i].ID {
			t.Errorf("sent again: %+v, first %+v", e, first.Entries[i])
		}
	}
	h.call(http.MethodPost, events, minimal, request).fails(409, "idempotency_conflict")
	if n := h.size(); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}

	// Also where faulty lines are left out: the repaired body is another.
	parts := func(key, body string) *reply {
		return h.call(http.MethodPost, events+"?partial=true", body, withHeader("Idempotency-Key", key), withHeader("Content-Type", ndjson))
	}
	parts("partial", minimal+"\n{oops").want(201)
	if got := parts("partial", minimal+"\n"+minimal).fails(409, "idempotency_conflict"); got.Line != 0 || len(got.Errors) != 0 {
		t.Errorf("the repaired request: %+v", got)
	}
	parts("partial", minimal+"\n{oops").want(201)
	if n := h.size(); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}

	// Another organization's keys are its own.
	h.call("POST", "/v1/organizations", `{"id":"other","name":"Other"}`).want(201)
	var elsewhere appended
	h.call(http.MethodPost, "/v1/organizations/other/events", keyed).want(201).into(&elsewhere)
	if elsewhere.Entries[0].Duplicate {
		t.Error("an organization's idempotency key is seen by another")
	}
}

func TestStates(t *testing.T) {
	h := start(t, schema.ModeOpen)
	reader, writer := withKey(h.key(auth.RoleReader, "acme")), withKey(h.key(auth.RoleWriter, "acme"))
	id := h.append(minimal).Entries[0].ID
	set := func(s catalog.State) {
		h.call("PATCH", "/v1/organizations/acme", fmt.Sprintf(`{"state":%q}`, s)).want(200)
	}
	reads := []string{
		events, events + "/" + id, events + "/" + id + "/proof", events + "/tail", "/v1/organizations/acme/histogram",
		"/v1/organizations/acme/facets?field=action", "/v1/organizations/acme/log/checkpoint",
		"/v1/organizations/acme/log/tile/0/000.p/1", "/v1/organizations/acme/log/vkey",
	}
	exports := "/v1/organizations/acme/exports"

	set(catalog.StateInactive)
	h.call(http.MethodPost, events, minimal, writer).want(201)
	for _, path := range reads {
		h.get(path, reader).fails(403, "audit_log_inactive")
		if !strings.HasSuffix(path, "tail") {
			h.get(path).want(200)
		}
	}
	for _, who := range []option{reader, withKey(h.root)} {
		h.call(http.MethodPost, exports, `{}`, who).fails(403, "audit_log_inactive")
		h.get(exports, who).fails(403, "audit_log_inactive")
	}

	set(catalog.StateDisabled)
	h.call(http.MethodPost, events, minimal, writer).fails(403, "audit_log_disabled")
	h.call(http.MethodPost, events, minimal).fails(403, "audit_log_disabled")
	h.get(events, reader).want(200)
	h.call(http.MethodPost, exports, `{}`, reader).want(201)

	set(catalog.StateActive)
	h.call(http.MethodPost, events, minimal, writer).want(201)
	if n := h.size(); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// TestWarnFlagsTheUnregistered records an action that nobody has registered.
func TestWarnFlagsTheUnregistered(t *testing.T) {
	h := start(t, schema.ModeWarn)
	h.call("POST", "/v1/schemas", `{"action":"a.b","targets":[]}`).want(201)
	h.append("[" + minimal + "," + strings.Replace(minimal, "a.b", "never.heard", 1) + "]")
	var page struct {
		Entries []audit.Entry `json:"entries"`
	}
	h.get(events + "?schema=unregistered").want(200).into(&page)
	if len(page.Entries) != 1 || page.Entries[0].Action != "never.heard" || page.Entries[0].Schema != audit.SchemaUnregistered {
		t.Errorf("got %+v", page.Entries)
	}
}
