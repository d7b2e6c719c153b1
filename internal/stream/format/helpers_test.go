package format_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/stream/format"
)

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// entryOf makes an entry of an event.
func entryOf(t fataler, e *audit.Event, seq uint64, received time.Time) *event.Entry {
	t.Helper()
	ev, err := event.FromAudit(e)
	if err != nil {
		t.Fatalf("event: %v", err)
	}
	out := &event.Entry{Event: *ev, Seq: seq, ReceivedAt: received.UnixMilli()}
	event.Keys{Check: [16]byte{1}}.Cipher().Identifier().SetID(out)
	return out
}

// inputs are random inputs of formats.
func inputs() *rapid.Generator[*format.Input] {
	return rapid.Custom(func(t *rapid.T) *format.Input {
		e := eventtest.Events().Draw(t, "event")
		seq := rapid.Uint64Range(0, 1<<40-1).Draw(t, "seq")
		entry := entryOf(t, e, seq, time.UnixMilli(rapid.Int64Range(0, 9_214_646_399_999).Draw(t, "received")))
		entry.Unregistered = rapid.Bool().Draw(t, "unregistered")
		if rapid.IntRange(0, 9).Draw(t, "erased") == 0 {
			entry.Erase(rapid.Int64Range(1, 9_214_646_399_999).Draw(t, "erased at"))
		}
		return &format.Input{
			Entry:            entry,
			Organization:     rapid.SampledFrom([]string{"org_01", "a=b|c\\d", "organización"}).Draw(t, "org"),
			OrganizationName: rapid.SampledFrom([]string{"", "Example Ltd", `a "b"` + "\n"}).Draw(t, "org name"),
			Description:      rapid.SampledFrom([]string{"", "A key was created", "a|b\\c=d\r\ne"}).Draw(t, "description"),
			Server:           rapid.SampledFrom([]string{"", "audit.example.com"}).Draw(t, "server"),
			Product:          rapid.SampledFrom([]string{"", "1.2.3", "1|2"}).Draw(t, "product"),
			Replay:           rapid.Bool().Draw(t, "replay"),
		}
	})
}

func all(t testing.TB) *format.Registry {
	t.Helper()
	r, err := format.All()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t testing.TB, name string) format.Format {
	t.Helper()
	f, ok := all(t).Get(name, 0)
	if !ok {
		t.Fatalf("no format %q", name)
	}
	return f
}

// object reads JSON strictly: one value, no name twice.
func object(t fataler, data []byte) map[string]any {
	t.Helper()
	if name := twice(data); name != "" {
		t.Fatalf("%q is there twice in one object: %s", name, data)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, data)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than one value: %s", data)
	}
	return m
}

// twice returns a name that an object of data has twice.
func twice(data []byte) string {
	dec := json.NewDecoder(bytes.NewReader(data))
	type level struct {
		names map[string]bool // nil in an array
		value bool            // a value comes next, not a name
	}
	var stack []level
	for {
		tok, err := dec.Token()
		if err != nil {
			return ""
		}
		top := len(stack) - 1
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:top]
			continue
		}
		if top >= 0 && stack[top].names != nil {
			if name, ok := tok.(string); ok && !stack[top].value {
				if stack[top].names[name] {
					return name
				}
				stack[top].names[name], stack[top].value = true, true
				continue
			}
			stack[top].value = false
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		}
	}
}

// at returns what lies at a path of an object.
func at(m map[string]any, path ...string) any {
	var v any = m
	for _, name := range path {
		o, _ := v.(map[string]any)
		v = o[name]
	}
	return v
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(t fataler, v any) int64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%v is no number", v)
	}
	i, err := n.Int64()
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	return i
}

func moment(t fataler, v any) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text(v))
	if err != nil {
		t.Fatalf("time: %v", err)
	}
	return at
}

// metadata turns what json.Decoder with UseNumber gave into metadata as package
// audit has it.
func metadata(t fataler, v any) audit.Metadata {
	t.Helper()
	m, _ := floats(t, v).(map[string]any)
	return m
}

func floats(t fataler, v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return f
	case map[string]any:
		for name := range v {
			v[name] = floats(t, v[name])
		}
	case []any:
		for i := range v {
			v[i] = floats(t, v[i])
		}
	}
	return v
}

// partiesOf reads targets of the members type, id, name and metadata.
func partiesOf(t fataler, v any) []audit.Target {
	t.Helper()
	list, _ := v.([]any)
	var out []audit.Target
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, audit.Target{
			Type: text(m["type"]), ID: text(m["id"]), Name: text(m["name"]), Metadata: metadata(t, m["metadata"]),
		})
	}
	return out
}

// same holds what was read out of an encoded event to the entry.
func same(t fataler, in *format.Input, got *audit.Entry, out []byte) {
	t.Helper()
	want := in.Entry.Audit(in.Organization)
	if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("read back (-want +got):\n%s\n%s", diff, out)
	}
}

// encode checks what holds for every format: the same bytes every time, one
// line, what was there before untouched.
func encode(t fataler, f format.Format, in *format.Input) []byte {
	t.Helper()
	out := f.Append([]byte("before,"), in)
	again := f.Append(make([]byte, 0, 8), in)
	if !bytes.Equal(out, append([]byte("before,"), again...)) {
		t.Fatalf("not the same twice:\n%s\n%s", out, again)
	}
	if bytes.ContainsAny(again, "\n\r") {
		t.Fatalf("more than one line: %q", again)
	}
	return again
}

// erasedAt is the time in an erased_at, the zero time without one.
func erasedAt(v any) time.Time {
	at, _ := time.Parse(time.RFC3339, text(v))
	return at
}
