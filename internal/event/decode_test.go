package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
)

// minimal is the smallest event, to be extended.
const minimal = `{"action":"a.b","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":"u1"}}`

// with returns the minimal event with more members.
func with(members string) string {
	return strings.TrimSuffix(minimal, "}") + "," + members + "}"
}

// without returns the minimal event with old replaced by new.
func replaced(old, replacement string) string {
	if !strings.Contains(minimal, old) {
		panic("not in the minimal event: " + old)
	}
	return strings.Replace(minimal, old, replacement, 1)
}

func decode(t *testing.T, data string) *Event {
	t.Helper()
	ev := new(Event)
	if err := NewDecoder().Decode([]byte(data), ev); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return ev
}

func TestDecodeEveryField(t *testing.T) {
	ev := decode(t, `{
		"action": "api_key.created", "version": 2, "occurred_at": "2026-03-01T10:30:00.123456+01:00",
		"actor": {"type": "user", "id": "u1", "name": "Ada", "metadata": {"b": 1, "a": "x"}},
		"targets": [{"type": "api_key", "id": "k1", "name": "Dev"}, {"id": "t", "type": "team", "metadata": {"n": null}}],
		"context": {"location": "203.0.113.7", "user_agent": "curl"},
		"metadata": {"z": [true, {"y": -5}], "é": 1.50},
		"idempotency_key": "once"}`)
	want := &Event{
		Action:     []byte("api_key.created"),
		Version:    2,
		OccurredAt: 1772357400123456000,
		Actor:      Party{Type: []byte("user"), ID: []byte("u1"), Name: []byte("Ada"), Metadata: []byte(`{"a":"x","b":1}`)},
		Targets: []Party{
			{Type: []byte("api_key"), ID: []byte("k1"), Name: []byte("Dev")},
			{Type: []byte("team"), ID: []byte("t"), Metadata: []byte(`{"n":null}`)},
		},
		Location: []byte("203.0.113.7"), UserAgent: []byte("curl"),
		Metadata:       []byte(`{"z":[true,{"y":-5}],"é":1.5}`),
		IdempotencyKey: []byte("once"),
	}
	if diff := cmp.Diff(want, ev); diff != "" {
		t.Error(diff)
	}
}

// What is empty or null is absent, whichever reader sees it.
func TestDecodeAbsent(t *testing.T) {
	want := decode(t, minimal)
	for _, members := range []string{
		`"version":null`, `"version":1`, `"version":1.0`, `"version":1e0`,
		`"targets":null`, `"targets":[]`, `"targets":[ ]`,
		`"context":null`, `"context":{}`, `"context":{"location":"","user_agent":null}`,
		`"metadata":null`, `"metadata":{}`, `"metadata":{ }`, `"idempotency_key":""`, `"idempotency_key":null`,
	} {
		if diff := cmp.Diff(want, decode(t, with(members)), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", members, diff)
		}
	}
	actor := replaced(`"id":"u1"`, `"id":"u1","name":"","metadata":{}`)
	if diff := cmp.Diff(want, decode(t, actor), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeMetadataForms(t *testing.T) {
	for sent, want := range map[string]string{
		`{"a":-0}`: `{"a":0}`, `{"a":0}`: `{"a":0}`, `{"a":-1}`: `{"a":-1}`, `{"a":1.0}`: `{"a":1}`,
		`{"a":999999999999999}`: `{"a":999999999999999}`, `{"a":1e15}`: `{"a":1000000000000000}`,
		`{ "a" : [ ] , "A" : { } }`:                  `{"A":{},"a":[]}`,
		`{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":"\/"}`: `{"a":"/","b":{"c":[{"e":2,"f":1}],"d":1}}`,
		`{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":""}`:   `{"a":"","b":{"c":[{"e":2,"f":1}],"d":1}}`,
		"{\"\uffff\":1,\"\U00010000\":2}":            "{\"\U00010000\":2,\"\uffff\":1}",
		`{"\u0061b":1,"a\"":2,"a":3}`:                `{"a":3,"a\"":2,"ab":1}`,
		`{"":null}`:                                  `{"":null}`,
	} {
		data := with(`"metadata":` + sent)
		agree(t, []byte(data))
		if got := decode(t, data).Metadata; string(got) != want {
			t.Errorf("%s becomes %s, want %s", sent, got, want)
		}
	}
}

func metadataOfKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%03d":{}`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func targetsOf(n int) string {
	return `"targets":[` + strings.TrimSuffix(strings.Repeat(`{"type":"t","id":"i"},`, n), ",") + `]`
}

func sized(n int) string {
	return minimal + strings.Repeat(" ", n-len(minimal))
}

func longRecord() string {
	id := strings.Repeat("i", audit.MaxStringBytes)
	return with(`"targets":[` +
		`{"type":"t","id":"` + id + `"},{"type":"t","id":"` + id + `"},{"type":"t","id":"` + id + `"},` +
		`{"type":"t","id":"` + id[:audit.MaxEventBytes-3*audit.MaxStringBytes-200] + `"}]`)
}

func TestDecodeAtLimits(t *testing.T) {
	for name, data := range map[string]string{
		"action":          replaced("a.b", strings.Repeat("a", audit.MaxActionBytes)),
		"action in UTF-8": replaced("a.b", strings.Repeat("é", audit.MaxActionBytes/2)),
		"actor id":        replaced("u1", strings.Repeat("a", audit.MaxStringBytes)),
		"targets":         with(targetsOf(audit.MaxTargets)),
		"depth":           with(`"metadata":{"a":{"b":{"c":{}}}}`),
		"depth of arrays": with(`"metadata":{"a":[[[1,"x"]]]}`),
		"keys":            with(`"metadata":` + metadataOfKeys(audit.MaxMetadataKeys)),
		"string":          with(`"metadata":{"a":"` + strings.Repeat("a", audit.MaxStringBytes) + `"}`),
		"key":             with(`"metadata":{"` + strings.Repeat("a", audit.MaxStringBytes) + `":1}`),
		"idempotency key": with(`"idempotency_key":"` + strings.Repeat("a", audit.MaxIdempotencyKeyBytes) + `"`),
		"version":         with(`"version":65535`),
		"size":            sized(audit.MaxEventBytes),
		"first time":      replaced("2026-03-01T09:30:00Z", "1970-01-01T00:00:00Z"),
		"last time":       replaced("2026-03-01T09:30:00Z", "2261-12-31T23:59:59.999999999Z"),
		"first time east": replaced("2026-03-01T09:30:00Z", "1970-01-01T14:00:00+14:00"),
		"last time east":  replaced("2026-03-01T09:30:00Z", "2262-01-01T00:00:00+00:01"),
		"largest integer": with(`"metadata":{"n":9007199254740992}`),
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, []byte(data))
			decode(t, data)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name, data string
		code       audit.Code
		field      string
		message    string // a part of it
	}{
		{"nothing", "", audit.CodeInvalidJSON, "", "is empty"},
		{"white space", " \n", audit.CodeInvalidJSON, "", "is empty"},
		{"no object", `["a"]`, audit.CodeInvalidEvent, "", "must be an object"},
		{"half an event", minimal[:40], audit.CodeInvalidJSON, "", "ends in the middle"},
		{"half a string", minimal[:14], audit.CodeInvalidJSON, "", "ends in the middle"},
		{"no comma", `{"action":"a" "x":1}`, audit.CodeInvalidJSON, "", "not valid JSON at byte 14"},
		{"trailing data", minimal + "{}", audit.CodeInvalidJSON, "", "more after"},
		{"trailing comma", replaced(`"u1"}}`, `"u1"},}`), audit.CodeInvalidJSON, "", "not valid JSON"},
		{"wrong bracket", replaced(`"u1"}}`, `"u1"]}`), audit.CodeInvalidJSON, "", "not valid JSON"},
		{"wrong brace", with(`"targets":[{"type":"t","id":"i"}}`), audit.CodeInvalidJSON, "/targets", "not valid JSON"},
		{"wrong bracket in metadata", with(`"metadata":{"a":[1}}`), audit.CodeInvalidJSON, "/metadata/a", "not valid JSON"},
		{"comment", minimal + "// x", audit.CodeInvalidJSON, "", "more after"},
		{"single quotes", `{'action':'a'}`, audit.CodeInvalidJSON, "", "not valid JSON"},
		{"duplicate", with(`"action":"c"`), audit.CodeInvalidJSON, "/action", "twice"},
		{"duplicate escaped", with(`"\u0061ction":"c"`), audit.CodeInvalidJSON, "/action", "twice"},
		{"duplicate in a row", with(`"metadata":{"a":1,"a":1}`), audit.CodeInvalidJSON, "/metadata/a", "twice"},
		{"duplicate in metadata", with(`"metadata":{"b":1,"a":2,"b":3}`), audit.CodeInvalidJSON, "/metadata/b", "twice"},
		{"invalid UTF-8", replaced("a.b", "a\xff"), audit.CodeInvalidJSON, "/action", "invalid UTF-8"},
		{"overlong UTF-8", replaced("a.b", "a\xc0\xaf"), audit.CodeInvalidJSON, "/action", "invalid UTF-8"},
		{"raw surrogate", replaced("a.b", "a\xed\xa0\x80"), audit.CodeInvalidJSON, "/action", "invalid UTF-8"},
		{"lone surrogate", replaced("a.b", `\ud800`), audit.CodeInvalidJSON, "/action", "surrogate"},
		{"low surrogate", replaced("a.b", `\udc00x`), audit.CodeInvalidJSON, "/action", "surrogate"},
		{"bad escape", replaced("a.b", `\q`), audit.CodeInvalidJSON, "/action", "escape"},
		{"raw control", replaced("a.b", "a\tb"), audit.CodeInvalidJSON, "/action", "invalid character"},
		{"raw NUL", replaced("a.b", "a\x00b"), audit.CodeInvalidJSON, "/action", "invalid character"},
		{"NUL", replaced("u1", `a\u0000`), audit.CodeInvalidEvent, "/actor/id", "NUL"},
		{"NUL in a key", with(`"metadata":{"a\u0000":1}`), audit.CodeInvalidEvent, "/metadata/a\x00", "NUL"},
		{"NUL in metadata", with(`"metadata":{"a":["\u0000"]}`), audit.CodeInvalidEvent, "/metadata/a/0", "NUL"},
		{"leading zero", with(`"metadata":{"a":01}`), audit.CodeInvalidJSON, "/metadata", "not valid JSON"},
		{"NaN", with(`"metadata":{"a":NaN}`), audit.CodeInvalidJSON, "/metadata/a", "not valid JSON"},
		{"plus", with(`"metadata":{"a":+1}`), audit.CodeInvalidJSON, "/metadata/a", "not valid JSON"},
		{"hexadecimal", with(`"metadata":{"a":0x10}`), audit.CodeInvalidJSON, "/metadata", "not valid JSON"},
		{"large integer", with(`"metadata":{"a":9007199254740993}`), audit.CodeInvalidEvent, "/metadata/a", "send it as a string"},
		{"huge number", with(`"metadata":{"a":[1,1e400]}`), audit.CodeInvalidEvent, "/metadata/a/1", "send it as a string"},
		{"tiny number", with(`"metadata":{"a":1e-400}`), audit.CodeInvalidEvent, "/metadata/a", "send it as a string"},
		{"long fraction", with(`"metadata":{"a":0.10000000000000000001}`), audit.CodeInvalidEvent, "/metadata/a", "send it as a string"},
		{"unknown", with(`"when":1`), audit.CodeUnknownField, "/when", "not a field"},
		{"unknown, escaped pointer", with(`"a/b~c":1`), audit.CodeUnknownField, "/a~1b~0c", "not a field"},
		{"unknown in actor", replaced(`"id":"u1"`, `"id":"u1","email":"x"`), audit.CodeUnknownField, "/actor/email", "not a field"},
		{"unknown in context", with(`"context":{"ip":"x"}`), audit.CodeUnknownField, "/context/ip", "not a field"},
		{"unknown in target", with(`"targets":[{"type":"t","id":"i"},{"kind":"t"}]`), audit.CodeUnknownField, "/targets/1/kind", "not a field"},
		{"recorded field", with(`"seq":1`), audit.CodeUnknownField, "/seq", "given by the server"},
		{"other case", replaced("action", "Action"), audit.CodeUnknownField, "/Action", "not a field"},
		{"no action", replaced(`"action":"a.b",`, ``), audit.CodeInvalidEvent, "/action", "required"},
		{"empty action", replaced(`a.b`, ``), audit.CodeInvalidEvent, "/action", "required"},
		{"null action", replaced(`"a.b"`, `null`), audit.CodeInvalidEvent, "/action", "required"},
		{"no time", replaced(`"occurred_at":"2026-03-01T09:30:00Z",`, ``), audit.CodeInvalidEvent, "/occurred_at", "required"},
		{"null time", replaced(`"2026-03-01T09:30:00Z"`, `null`), audit.CodeInvalidEvent, "/occurred_at", "required"},
		{"no actor", `{"action":"a","occurred_at":"2026-03-01T09:30:00Z"}`, audit.CodeInvalidEvent, "/actor", "required"},
		{"null actor", replaced(`{"type":"user","id":"u1"}`, `null`), audit.CodeInvalidEvent, "/actor", "required"},
		{"no actor id", replaced(`,"id":"u1"`, ``), audit.CodeInvalidEvent, "/actor/id", "required"},
		{"no actor type", replaced(`"type":"user",`, ``), audit.CodeInvalidEvent, "/actor/type", "required"},
		{"no target id", with(`"targets":[{"type":"t","id":"i"},{"type":"t"}]`), audit.CodeInvalidEvent, "/targets/1/id", "required"},
		{"empty target type", with(`"targets":[{"type":"","id":"i"}]`), audit.CodeInvalidEvent, "/targets/0/type", "required"},
		{"null target", with(`"targets":[null]`), audit.CodeInvalidEvent, "/targets/0", "required"},
		{"text is a number", replaced(`"u1"`, `1`), audit.CodeInvalidEvent, "/actor/id", "must be a string"},
		{"actor is text", replaced(`{"type":"user","id":"u1"}`, `"u1"`), audit.CodeInvalidEvent, "/actor", "must be an object"},
		{"targets are an object", with(`"targets":{}`), audit.CodeInvalidEvent, "/targets", "must be an array"},
		{"target is text", with(`"targets":["t"]`), audit.CodeInvalidEvent, "/targets/0", "must be an object"},
		{"metadata is an array", with(`"metadata":[]`), audit.CodeInvalidEvent, "/metadata", "must be an object"},
		{"context is text", with(`"context":"x"`), audit.CodeInvalidEvent, "/context", "must be an object"},
		{"version 0", with(`"version":0`), audit.CodeInvalidEvent, "/version", "1 to 65535"},
		{"version 65536", with(`"version":65536`), audit.CodeInvalidEvent, "/version", "1 to 65535"},
		{"version 1.5", with(`"version":1.5`), audit.CodeInvalidEvent, "/version", "1 to 65535"},
		{"version 1e99", with(`"version":1e99`), audit.CodeInvalidEvent, "/version", "1 to 65535"},
		{"version in text", with(`"version":"1"`), audit.CodeInvalidEvent, "/version", "whole number"},
		{"long action", replaced("a.b", strings.Repeat("a", 201)), audit.CodeInvalidEvent, "/action", "201 bytes; 200"},
		{"long id", replaced("u1", strings.Repeat("a", 16<<10+1)), audit.CodeInvalidEvent, "/actor/id", "16385 bytes; 16384"},
		{"long string", with(`"metadata":{"a":"` + strings.Repeat("a", 16<<10+1) + `"}`), audit.CodeInvalidEvent, "/metadata/a", "16385 bytes"},
		{"long idempotency key", with(`"idempotency_key":"` + strings.Repeat("a", 256) + `"`), audit.CodeInvalidEvent, "/idempotency_key", "256 bytes; 255"},
		{"101 targets", with(targetsOf(101)), audit.CodeInvalidEvent, "/targets", "more than 100"},
		{"201 keys", with(`"metadata":` + metadataOfKeys(201)), audit.CodeInvalidEvent, "/metadata", "more than 200 keys"},
		{"too deep", with(`"metadata":{"a":{"b":{"c":{"d":{}}}}}`), audit.CodeInvalidEvent, "/metadata/a/b/c/d", "4 deep"},
		{"arrays too deep", with(`"metadata":{"a":[[[[]]]]}`), audit.CodeInvalidEvent, "/metadata/a/0/0/0", "4 deep"},
		{"64 KiB and a byte", sized(audit.MaxEventBytes + 1), audit.CodeTooLarge, "", "65537 bytes"},
		{"long record", longRecord(), audit.CodeTooLarge, "", "record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agree(t, []byte(tt.data))
			err := NewDecoder().Decode([]byte(tt.data), new(Event))
			var e *audit.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *audit.Error", err)
			}
			if e.Code != tt.code || e.Field != tt.field || !strings.Contains(e.Message, tt.message) || e.Line != 0 {
				t.Errorf("got %s at %q: %s\nwant %s at %q: …%s…", e.Code, e.Field, e.Message, tt.code, tt.field, tt.message)
			}
		})
	}
}

// agree checks that the plain reader, where it accepts, says what the strict one
// says, and returns whether it accepted.
func agree(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, data []byte,
) bool {
	t.Helper()
	if len(data) > audit.MaxEventBytes {
		return false
	}
	var plain, strict Event
	ok := NewDecoder().decodePlain(data, &plain)
	if !ok {
		return false
	}
	if err := NewDecoder().decodeStrict(data, &strict); err != nil {
		t.Fatalf("the plain reader takes what the strict one refuses with %v:\n%s", err, data)
	}
	if diff := cmp.Diff(strict, plain, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the readers differ (-strict +plain): %s\n%s", diff, data)
	}
	return true
}

// plainEvents are what the plain reader must take itself, or it is for nothing.
func plainEvents() []string {
	return []string{
		minimal,
		benchEvent,
		sized(len(minimal) + 10),
		with(`"metadata":{"b":1,"a":{"z":[1,2,"x",true,null],"y":-12}},"version":3`),
		with(`"metadata":{"é":"日本","😀":"שלום"}`),
		strings.NewReplacer(`,`, ",\n\t", `:{`, `: {`).Replace(with(`"metadata":{"a":1},"context":null,"targets":null`)),
	}
}

func TestPlainReaderTakesPlainEvents(t *testing.T) {
	for _, data := range plainEvents() {
		if strings.ContainsRune(data, '\\') {
			t.Fatalf("not plain: %s", data)
		}
		if !agree(t, []byte(data)) {
			t.Errorf("given up: %s", data)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range plainEvents() {
		f.Add([]byte(data))
	}
	f.Add([]byte(with(`"metadata":{"\u0061":1e2,"A":[-0,0.5]},"targets":[{"type":"t","id":"\ud83d\ude00"}]`)))
	f.Add([]byte(with(`"metadata":{"\uffff":1,"😀":2," ":{}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		agree(t, data)
		var ev Event
		if err := NewDecoder().Decode(data, &ev); err != nil {
			var e *audit.Error
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Fatalf("unhelpful error %#v", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is not JSON")
		}
		checkEncodings(t, &ev)
	})
}

// checkEncodings checks every encoding of an event against its promise.
func checkEncodings(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, ev *Event,
) {
	t.Helper()
	record, _ := AppendRecord(nil, ev)
	for name, text := range map[string][]byte{
		"record": record, "details": AppendDetails(nil, ev),
		"metadata": orEmpty(ev.Metadata), "actor metadata": orEmpty(ev.Actor.Metadata),
	} {
		canonical := jsontext.Value(bytes.Clone(text))
		if err := canonical.Canonicalize(); err != nil {
			t.Fatalf("%s is not JSON: %v\n%s", name, err, text)
		}
		if !bytes.Equal(canonical, text) {
			t.Fatalf("%s is not canonical:\n got %s\nwant %s", name, text, canonical)
		}
	}
	row := AppendRow(nil, ev)
	var fromRow, again Event
	if err := DecodeRow(row, &fromRow); err != nil {
		t.Fatalf("decode row: %v", err)
	}
	fromRow.IdempotencyKey = ev.IdempotencyKey // not kept
	if diff := cmp.Diff(*ev, fromRow, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("row: %s", diff)
	}
	sent := fromRow.AppendJSON(nil)
	if err := NewDecoder().DecodeAny(sent, &again); err != nil {
		t.Fatalf("decode own JSON: %v\n%s", err, sent)
	}
	again.Unregistered = ev.Unregistered // not in the JSON
	if diff := cmp.Diff(*ev, again, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("own JSON: %s", diff)
	}
}

// DecodeAny is Decode without the limit of size, which an event's normal form
// may be over when the sent form was just below it.
func (d *Decoder) DecodeAny(data []byte, ev *Event) error {
	if d.decodePlain(data, ev) {
		return nil
	}
	return d.decodeStrict(data, ev)
}

func orEmpty(metadata []byte) []byte {
	if len(metadata) == 0 {
		return []byte("{}")
	}
	return metadata
}

func TestDecodeRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := eventtest.Events().Draw(t, "event")
		data := eventtest.JSON(e)
		agree(t, data)
		var ev Event
		if err := NewDecoder().Decode(data, &ev); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(*e, ev.Audit(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("decoded (-sent +got): %s\n%s", diff, data)
		}
		ev.Unregistered = rapid.Bool().Draw(t, "unregistered")
		checkEncodings(t, &ev)
		fromAudit, err := FromAudit(e)
		if err != nil {
			t.Fatalf("from audit: %v", err)
		}
		fromAudit.Unregistered = ev.Unregistered
		if diff := cmp.Diff(&ev, fromAudit, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("from audit: %s", diff)
		}
	})
}

// However an event is laid out, it is the same event.
func TestDecodeLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := eventtest.Events().Draw(t, "event")
		var plain, loose Event
		if err := NewDecoder().Decode(eventtest.JSON(e), &plain); err != nil {
			t.Fatalf("%v", err)
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(eventtest.JSON(e)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v", err)
		}
		data := layOut(t, nil, v)
		agree(t, data)
		if err := NewDecoder().Decode(data, &loose); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(plain, loose, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, data)
		}
	})
}

// layOut writes a value with random white space, order of members and escapes.
func layOut(t *rapid.T, dst []byte, v any) []byte {
	space := func() {
		dst = append(dst, rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n"}).Draw(t, "space")...)
	}
	space()
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "order") {
			dst = appendComma(dst, i > 0)
			space()
			dst = layOutString(t, dst, k)
			space()
			dst = layOut(t, append(dst, ':'), v[k])
		}
		space()
		dst = append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			dst = appendComma(dst, i > 0)
			dst = layOut(t, dst, e)
		}
		space()
		dst = append(dst, ']')
	case string:
		dst = layOutString(t, dst, v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%v", err)
		}
		dst = append(dst, b...)
	}
	space()
	return dst
}

func layOutString(t *rapid.T, dst []byte, s string) []byte {
	if !rapid.Bool().Draw(t, "escape") {
		return appendString(dst, []byte(s))
	}
	dst = append(dst, '"')
	for _, r := range s {
		if r > 0xffff {
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			dst = fmt.Appendf(dst, `\u%04x\u%04X`, hi, lo)
			continue
		}
		dst = fmt.Appendf(dst, `\u%04X`, r)
	}
	return append(dst, '"')
}

func TestDecodeKeep(t *testing.T) {
	d := NewDecoder()
	var events []*Event
	var want []string
	for i := range 200 {
		ev := new(Event)
		data := fmt.Sprintf(`{"action":"a\u0062%d","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":"u"},`+
			`"metadata":{"b":%d,"a":"x"}}`, i, i)
		if err := d.DecodeKeep([]byte(data), ev); err != nil {
			t.Fatal(err)
		}
		// A bad one in between must not disturb the others.
		if err := d.DecodeKeep([]byte(with(`"metadata":{"b":"\u0062","a":1e999}`)), new(Event)); err == nil {
			t.Fatal("accepted")
		}
		events = append(events, ev)
		want = append(want, fmt.Sprintf(`ab%d {"a":"x","b":%d}`, i, i))
	}
	for i, ev := range events {
		if got := fmt.Sprintf("%s %s", ev.Action, ev.Metadata); got != want[i] {
			t.Fatalf("event %d is %s, want %s", i, got, want[i])
		}
	}
}

func TestDecodeReusesTargets(t *testing.T) {
	d := NewDecoder()
	var ev Event
	for _, n := range []int{3, 1, 0} {
		if err := d.Decode([]byte(with(targetsOf(n))), &ev); err != nil {
			t.Fatal(err)
		}
		if len(ev.Targets) != n || cap(ev.Targets) < 3 {
			t.Fatalf("%d targets of capacity %d, want %d of at least 3", len(ev.Targets), cap(ev.Targets), n)
		}
	}
}
