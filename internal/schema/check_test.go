package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

func clock() time.Time { return time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC) }

func openRegistry(t testing.TB, kv *memKV, mode schema.Mode) *schema.Registry {
	t.Helper()
	r, err := schema.Open(context.Background(), kv, mode, clock)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// registered returns a registry that knows the given schemas, each in order.
func registered(t testing.TB, schemas ...schema.Schema) *schema.Registry {
	t.Helper()
	r := openRegistry(t, newKV(), schema.ModeStrict)
	for _, s := range schemas {
		if _, err := r.Register(context.Background(), s); err != nil {
			t.Fatalf("register %s: %v", s.Action, err)
		}
	}
	return r
}

func TestExampleSatisfiesItsSchema(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSchema(rt, "thing.done")
		r := registered(t, s)
		if err := r.Check(toEvent(t, schema.Example(&s, clock()))); err != nil {
			rt.Fatalf("example of %+v: %v", s, err)
		}
	})
}

func TestCheckMeansWhatTheSchemaSays(t *testing.T) {
	var right, wrong int
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSchema(rt, "thing.done")
		r := registered(t, s)
		ev := drawEvent(rt, &s)
		want := satisfies(&ev, &s)
		err := r.Check(toEvent(t, ev))
		if (err == nil) != want {
			rt.Fatalf("check: %v; the event should pass: %v", err, want)
		}
		violations, known := r.CheckDetailed(toEvent(t, ev))
		if !known || (len(violations) == 0) != want {
			rt.Fatalf("violations %v; the event should pass: %v", violations, want)
		}
		if want {
			right++
		} else {
			wrong++
			if !errors.Is(err, &audit.Error{Code: audit.CodeSchemaViolation}) {
				rt.Fatalf("error %v is not a schema_violation", err)
			}
		}
	})
	if right == 0 || wrong == 0 {
		t.Errorf("%d events were right and %d wrong: the test tells nothing", right, wrong)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	r, ev := typical(t)
	if n := testing.AllocsPerRun(100, func() { _ = r.Check(ev) }); n != 0 {
		t.Errorf("a check allocates %v times", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, s := range map[string]schema.Schema{"plain": plain(), "rich": role(b)} {
		b.Run(name, func(b *testing.B) {
			r, ev := registered(b, s), toEvent(b, schema.Example(&s, clock()))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Check(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// plain is a schema like most: strings, before and after.
func plain() schema.Schema {
	s := flat("user.roles_updated", 0, "before_base_role", "before_custom_roles", "after_base_role", "after_custom_roles")
	s.Metadata.Required = []string{"before_base_role", "after_base_role"}
	s.Actor = &schema.Actor{Metadata: flat("", 0, "user_role", "user_custom_roles", "api_key_roles").Metadata}
	return s
}

// typical is a registry and an event like most: two targets, six fields.
func typical(t testing.TB) (*schema.Registry, *event.Event) {
	s := role(t)
	return registered(t, s), toEvent(t, schema.Example(&s, clock()))
}

// role is a schema with something of everything.
func role(t testing.TB) schema.Schema {
	t.Helper()
	data, err := os.ReadFile("testdata/role.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.ParseSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestViolations(t *testing.T) {
	r := registered(t, role(t))
	base := schema.Example(must(r.Get("role.granted", 1)), clock())
	tests := []struct {
		name   string
		change func(*audit.Event)
		want   string // the violations as JSON
		err    string
	}{
		{
			"wrong type", func(e *audit.Event) { e.Metadata["seats"] = "3" },
			`[{"instancePath":"/metadata/seats","schemaPath":"#/properties/metadata/properties/seats/type","keyword":"type","params":{"type":"integer"},"message":"must be integer"}]`,
			"/metadata/seats: must be an integer (schema of role.granted, version 1)",
		},
		{
			"fraction", func(e *audit.Event) { e.Metadata["seats"] = 2.5 },
			`[{"instancePath":"/metadata/seats","schemaPath":"#/properties/metadata/properties/seats/type","keyword":"type","params":{"type":"integer"},"message":"must be integer"}]`,
			"/metadata/seats: must be an integer (schema of role.granted, version 1)",
		},
		{
			"null", func(e *audit.Event) { e.Metadata["seats"] = nil },
			`[{"instancePath":"/metadata/seats","schemaPath":"#/properties/metadata/properties/seats/type","keyword":"type","params":{"type":"integer"},"message":"must be integer"}]`,
			"/metadata/seats: must be an integer (schema of role.granted, version 1)",
		},
		{
			"not in enum", func(e *audit.Event) { e.Metadata["outcome"] = "perhaps" },
			`[{"instancePath":"/metadata/outcome","schemaPath":"#/properties/metadata/properties/outcome/enum","keyword":"enum","params":{"allowedValues":["granted","denied"]},"message":"must be equal to one of the allowed values"}]`,
			`/metadata/outcome: must be one of "granted", "denied" (schema of role.granted, version 1)`,
		},
		{
			"missing field", func(e *audit.Event) { delete(e.Metadata, "outcome") },
			`[{"instancePath":"/metadata","schemaPath":"#/properties/metadata/required","keyword":"required","params":{"missingProperty":"outcome"},"message":"must have required property 'outcome'"}]`,
			"/metadata/outcome: is required (schema of role.granted, version 1)",
		},
		{
			"missing metadata", func(e *audit.Event) { e.Metadata = nil },
			`[{"instancePath":"/metadata","schemaPath":"#/properties/metadata/required","keyword":"required","params":{"missingProperty":"outcome"},"message":"must have required property 'outcome'"}]`,
			"/metadata/outcome: is required (schema of role.granted, version 1)",
		},
		{
			"format", func(e *audit.Event) { e.Metadata["expires_at"] = "tomorrow" },
			`[{"instancePath":"/metadata/expires_at","schemaPath":"#/properties/metadata/properties/expires_at/format","keyword":"format","params":{"format":"date-time"},"message":"must match format \"date-time\""}]`,
			"/metadata/expires_at: must have the format date-time (schema of role.granted, version 1)",
		},
		{
			"element", func(e *audit.Event) { e.Metadata["teams"] = []any{"core", true} },
			`[{"instancePath":"/metadata/teams/1","schemaPath":"#/properties/metadata/properties/teams/items/type","keyword":"type","params":{"type":"string"},"message":"must be string"}]`,
			"/metadata/teams/1: must be a string (schema of role.granted, version 1)",
		},
		{
			"nested", func(e *audit.Event) { e.Metadata["limits"] = map[string]any{"per/day": "1"} },
			`[{"instancePath":"/metadata/limits/per~1day","schemaPath":"#/properties/metadata/properties/limits/properties/per~1day/type","keyword":"type","params":{"type":"number"},"message":"must be number"}]`,
			"/metadata/limits/per~1day: must be a number (schema of role.granted, version 1)",
		},
		{
			"actor", func(e *audit.Event) { e.Actor.Metadata["mfa"] = "yes" },
			`[{"instancePath":"/actor/metadata/mfa","schemaPath":"#/properties/actor/properties/metadata/properties/mfa/type","keyword":"type","params":{"type":"boolean"},"message":"must be boolean"}]`,
			"/actor/metadata/mfa: must be a boolean (schema of role.granted, version 1)",
		},
		{
			"target metadata", func(e *audit.Event) { e.Targets[1].Metadata["level"] = 1.0 },
			`[{"instancePath":"/targets/1/metadata/level","schemaPath":"#/properties/targets/allOf/1/contains/properties/metadata/properties/level/type","keyword":"type","params":{"type":"string"},"message":"must be string"}]`,
			"/targets/1/metadata/level: must be a string (schema of role.granted, version 1)",
		},
		{
			"no targets", func(e *audit.Event) { e.Targets = nil },
			`[{"instancePath":"/targets","schemaPath":"#/properties/targets/allOf/0/contains","keyword":"contains","params":{"minContains":1},"message":"must contain at least 1 valid item(s)"},` +
				`{"instancePath":"/targets","schemaPath":"#/properties/targets/allOf/1/contains","keyword":"contains","params":{"minContains":1},"message":"must contain at least 1 valid item(s)"}]`,
			`/targets: must have a target of type "user" (schema of role.granted, version 1)`,
		},
		{
			"other target", func(e *audit.Event) { e.Targets[1] = audit.Target{Type: "team", ID: "t"} },
			`[{"instancePath":"/targets/0/type","schemaPath":"#/properties/targets/allOf/1/contains/properties/type/const","keyword":"const","params":{"allowedValue":"role"},"message":"must be equal to constant"},` +
				`{"instancePath":"/targets/1/type","schemaPath":"#/properties/targets/allOf/1/contains/properties/type/const","keyword":"const","params":{"allowedValue":"role"},"message":"must be equal to constant"},` +
				`{"instancePath":"/targets","schemaPath":"#/properties/targets/allOf/1/contains","keyword":"contains","params":{"minContains":1},"message":"must contain at least 1 valid item(s)"},` +
				`{"instancePath":"/targets/1/type","schemaPath":"#/properties/targets/items/properties/type/enum","keyword":"enum","params":{"allowedValues":["user","role"]},"message":"must be equal to one of the allowed values"}]`,
			`/targets: must have a target of type "role" (schema of role.granted, version 1)`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ev audit.Event
			copyJSON(t, base, &ev)
			tt.change(&ev)
			violations, known := r.CheckDetailed(toEvent(t, ev))
			if !known {
				t.Fatal("the action is not known")
			}
			if diff := cmp.Diff(decodeJSON(t, tt.want), decodeJSON(t, encodeJSON(t, violations))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if err := r.Check(toEvent(t, ev)); err == nil || err.Error() != tt.err {
				t.Errorf("error %v, want %s", err, tt.err)
			}
		})
	}
}

func TestErrorHasEveryFault(t *testing.T) {
	r := registered(t, role(t))
	ev := schema.Example(must(r.Get("role.granted", 1)), clock())
	ev.Targets[1].Type = "team"
	ev.Metadata["seats"] = true
	ev.Metadata["outcome"] = "perhaps"
	var e *audit.Error
	if err := r.Check(toEvent(t, ev)); !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	var got []string
	for _, fault := range e.Errors {
		got = append(got, fault.Error())
	}
	want := []string{
		`/targets: must have a target of type "role"`,
		`/targets/1/type: must be one of "user", "role"`,
		`/metadata/outcome: must be one of "granted", "denied"`,
		`/metadata/seats: must be an integer`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestUndeclaredPasses(t *testing.T) {
	s := role(t)
	open := schema.Schema{Action: "free.form"}
	r := registered(t, s, open)
	ev := schema.Example(&s, clock())
	ev.Metadata["not declared"] = []any{nil, 1.0}
	ev.Targets = append(ev.Targets, ev.Targets[0])
	if err := r.Check(toEvent(t, ev)); err != nil {
		t.Errorf("undeclared key and second target: %v", err)
	}
	for _, targets := range [][]audit.Target{nil, {{Type: "anything", ID: "1"}}} {
		ev := audit.Event{Action: "free.form", Version: 1, OccurredAt: clock(), Actor: audit.Actor{Type: "user", ID: "1"}, Targets: targets}
		if err := r.Check(toEvent(t, ev)); err != nil {
			t.Errorf("no targets declared, %d there: %v", len(targets), err)
		}
	}
}

func TestModes(t *testing.T) {
	s := role(t)
	tests := []struct {
		mode    schema.Mode
		flagged bool
		action  string
		version int
		code    audit.Code
		field   string
	}{
		{schema.ModeStrict, false, "role.granted", 1, "", ""},
		{schema.ModeStrict, false, "role.granted", 2, audit.CodeSchemaUnregistered, "/version"},
		{schema.ModeStrict, false, "role.taken", 1, audit.CodeSchemaUnregistered, "/action"},
		{schema.ModeWarn, false, "role.granted", 1, "", ""},
		{schema.ModeWarn, true, "role.granted", 2, "", ""},
		{schema.ModeWarn, true, "role.taken", 1, "", ""},
		{schema.ModeOpen, false, "role.granted", 2, "", ""},
		{schema.ModeOpen, false, "role.taken", 1, "", ""},
	}
	for _, tt := range tests {
		r := openRegistry(t, newKV(), tt.mode)
		if _, err := r.Register(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		ev := schema.Example(&s, clock())
		ev.Action, ev.Version = tt.action, tt.version
		e := toEvent(t, ev)
		e.Unregistered = !tt.flagged
		err := r.Check(e)
		if tt.code == "" && err != nil || tt.code != "" && !errors.Is(err, &audit.Error{Code: tt.code}) {
			t.Errorf("%s, %s version %d: error %v, want code %q", tt.mode, tt.action, tt.version, err, tt.code)
		}
		var ae *audit.Error
		if errors.As(err, &ae) && ae.Field != tt.field {
			t.Errorf("%s, %s version %d: field %q, want %q", tt.mode, tt.action, tt.version, ae.Field, tt.field)
		}
		if err == nil && e.Unregistered != tt.flagged {
			t.Errorf("%s, %s version %d: flagged %v, want %v", tt.mode, tt.action, tt.version, e.Unregistered, tt.flagged)
		}
		ev.Action, ev.Version = "role.granted", 1
		ev.Metadata["outcome"] = 7.0
		if err := r.Check(toEvent(t, ev)); !errors.Is(err, &audit.Error{Code: audit.CodeSchemaViolation}) {
			t.Errorf("%s: a registered schema is not enforced: %v", tt.mode, err)
		}
	}
	if _, err := schema.ParseMode("lax"); err == nil {
		t.Error("mode lax is accepted")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encodeJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func decodeJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func copyJSON(t testing.TB, from, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(encodeJSON(t, from)), to); err != nil {
		t.Fatal(err)
	}
}

// toEventOrSkip is the example of a schema as an event. An example may be larger
// than an event can be: then there is nothing to check.
func toEventOrSkip(t testing.TB, s *schema.Schema) *event.Event {
	t.Helper()
	out := new(event.Event)
	if err := event.NewDecoder().Decode([]byte(encodeJSON(t, schema.Example(s, clock()))), out); err != nil {
		t.Skip(err)
	}
	return out
}

func TestIntegers(t *testing.T) {
	s := flat("a.b", 0, "n")
	s.Metadata.Properties["n"].Type = schema.TypeInteger
	r := registered(t, s)
	for n, want := range map[float64]bool{0: true, -3: true, 123456789: true, 1e21: true, 1.5e300: true, 2.5: false, 1e-7: false, -1.25e-9: false} {
		ev := audit.Event{
			Action: "a.b", Version: 1, OccurredAt: clock(), Actor: audit.Actor{Type: "user", ID: "1"},
			Targets: []audit.Target{{Type: "thing", ID: "1"}}, Metadata: audit.Metadata{"n": n},
		}
		if err := r.Check(toEvent(t, ev)); (err == nil) != want {
			t.Errorf("%v as an integer: %v", n, err)
		}
	}
}
