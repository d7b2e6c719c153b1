package schema_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

func TestCompare(t *testing.T) {
	tests := []struct {
		name, a, b string // the part of a schema that differs
		want       []string
	}{
		{"nothing", `"targets":[{"type":"x"},{"type":"y"}]`, `"targets":[{"type":"y"},{"type":"x"}],"actor":{}`, nil},
		{"an object without fields", `"targets":[]`, `"targets":[],"metadata":{"type":"object"},"actor":{"metadata":{"type":"object"}}`, nil},
		{"description", `"targets":[]`, `"targets":[],"description":"d"`, nil},
		{"target added", `"targets":[{"type":"x"}]`, `"targets":[{"type":"x"},{"type":"y"}]`, []string{`! /targets/y: target type "y" is new and must be there`}},
		{"target removed", `"targets":[{"type":"x"},{"type":"y"}]`, `"targets":[{"type":"x"}]`, []string{`! /targets/y: target type "y" is gone: an event that has one is refused`}},
		{"targets constrained", `"targets":[]`, `"targets":[{"type":"y"},{"type":"x"}]`, []string{`! /targets: targets were of any type and must now be "x" and "y"`}},
		{"targets freed", `"targets":[{"type":"x"}]`, `"targets":[]`, []string{`  /targets: targets may now be of any type, and need not be there`}},
		{"target metadata", `"targets":[{"type":"x","metadata":{"type":"object","properties":{"m":{"type":"string"}}}}]`, `"targets":[{"type":"x"}]`, []string{`! /targets/x/metadata/properties/m: x metadata.m is gone`}},
		{"actor", `"targets":[]`, `"targets":[],"actor":{"metadata":{"type":"object","properties":{"m":{"type":"string"}},"required":["m"]}}`, []string{`! /actor/metadata/properties/m: actor metadata.m is new and required`}},
		{"field removed", meta(`"a":{"type":"string"}`), meta(``), []string{`! /metadata/properties/a: metadata.a is gone`}},
		{"optional field added", meta(``), meta(`"a":{"type":"string"}`), []string{`  /metadata/properties/a: metadata.a is new and optional`}},
		{"made required", meta(`"a":{"type":"string"}`), meta(`"a":{"type":"string"}`, "a"), []string{`! /metadata/properties/a: metadata.a was optional and is now required`}},
		{"made optional", meta(`"a":{"type":"string"}`, "a"), meta(`"a":{"type":"string"}`), []string{`  /metadata/properties/a: metadata.a was required and is now optional`}},
		{"other type", meta(`"a":{"type":"array"}`), meta(`"a":{"type":"string"}`), []string{`! /metadata/properties/a: metadata.a was an array and is now a string`}},
		{"narrower number", meta(`"a":{"type":"number"}`), meta(`"a":{"type":"integer"}`), []string{`! /metadata/properties/a: metadata.a was any number and must now be an integer`}},
		{"wider number", meta(`"a":{"type":"integer"}`), meta(`"a":{"type":"number"}`), []string{`  /metadata/properties/a: metadata.a was an integer and may now be any number`}},
		{"enum changed", meta(`"a":{"type":"string","enum":["x","y"]}`), meta(`"a":{"type":"string","enum":["y","z"]}`), []string{`! /metadata/properties/a: metadata.a may no longer be "x"`, `  /metadata/properties/a: metadata.a may now also be "z"`}},
		{"enum reordered", meta(`"a":{"type":"string","enum":["x","y"]}`), meta(`"a":{"type":"string","enum":["y","x"]}`), nil},
		{"enum added", meta(`"a":{"type":"number"}`), meta(`"a":{"type":"number","enum":[1,2]}`), []string{`! /metadata/properties/a: metadata.a had any value and must now be one of 1, 2`}},
		{"enum dropped", meta(`"a":{"type":"boolean","enum":[true]}`), meta(`"a":{"type":"boolean"}`), []string{`  /metadata/properties/a: metadata.a may now have any value`}},
		{"format added", meta(`"a":{"type":"string"}`), meta(`"a":{"type":"string","format":"uuid"}`), []string{`! /metadata/properties/a: metadata.a had any form and must now be in the format uuid`}},
		{"format dropped", meta(`"a":{"type":"string","format":"uuid"}`), meta(`"a":{"type":"string"}`), []string{`  /metadata/properties/a: metadata.a need no longer be in the format uuid`}},
		{"format changed", meta(`"a":{"type":"string","format":"ip"}`), meta(`"a":{"type":"string","format":"ipv4"}`), []string{`! /metadata/properties/a: metadata.a was in the format ip and must now be in the format ipv4`}},
		{"format widened", meta(`"a":{"type":"string","format":"ipv4"}`), meta(`"a":{"type":"string","format":"ip"}`), []string{`  /metadata/properties/a: metadata.a was in the format ipv4 and may now be any IP address`}},
		{"format narrowed to addresses", meta(`"a":{"type":"string","format":"hostname"}`), meta(`"a":{"type":"string","format":"ip"}`), []string{`! /metadata/properties/a: metadata.a was in the format hostname and must now be in the format ip`}},
		{"items added", meta(`"a":{"type":"array"}`), meta(`"a":{"type":"array","items":{"type":"string"}}`), []string{`! /metadata/properties/a/items: metadata.a elements were anything and must now be of type string`}},
		{"items dropped", meta(`"a":{"type":"array","items":{"type":"string"}}`), meta(`"a":{"type":"array"}`), []string{`  /metadata/properties/a/items: metadata.a elements may now be anything`}},
		{"items changed", meta(`"a":{"type":"array","items":{"type":"string"}}`), meta(`"a":{"type":"array","items":{"type":"number"}}`), []string{`! /metadata/properties/a/items: metadata.a elements was a string and is now a number`}},
		{"nested", meta(`"a":{"type":"object","properties":{"b":{"type":"string"}}}`), meta(`"a":{"type":"object"}`), []string{`! /metadata/properties/a/properties/b: metadata.a.b is gone`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := parse(t, tt.a), parse(t, tt.b)
			var got []string
			for _, ch := range schema.Compare(&a, &b) {
				mark := " "
				if ch.Breaking {
					mark = "!"
				}
				got = append(got, fmt.Sprintf("%s %s: %s", mark, ch.Path, ch.Message))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// meta is the part of a schema with metadata of the given properties.
func meta(properties string, required ...string) string {
	list := ""
	for _, r := range required {
		list = `"` + r + `"`
	}
	return `"targets":[],"metadata":{"type":"object","properties":{` + properties + `},"required":[` + list + `]}`
}

func parse(t testing.TB, part string) schema.Schema {
	t.Helper()
	s, err := schema.ParseSchema([]byte(`{"action":"a.b","version":1,` + part + `}`))
	if err != nil {
		t.Fatalf("%v in %s", err, part)
	}
	return s
}

// TestNotBreakingMeansStillAccepted holds Compare to what events do: without a
// breaking change, whatever satisfied the first version satisfies the second.
func TestNotBreakingMeansStillAccepted(t *testing.T) {
	tried := 0
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawSchema(rt, "thing.done"), drawSchema(rt, "thing.done")
		if rapid.IntRange(0, 9).Draw(rt, "near") > 0 {
			b = edited(rt, a)
		}
		if changes := schema.Compare(&a, &a); len(changes) > 0 {
			rt.Fatalf("changes from a schema to itself: %+v", changes)
		}
		changes := schema.Compare(&a, &b)
		for _, ch := range changes {
			if ch.Breaking {
				return
			}
		}
		ev := knownOnly(drawEvent(rt, &a), &a)
		if !satisfies(&ev, &a) {
			return
		}
		tried++
		if !satisfies(&ev, &b) {
			rt.Fatalf("changes %+v are not breaking, but the event satisfies only the first", changes)
		}
	})
	if tried == 0 {
		t.Error("no case was tried")
	}
}

// edited returns a schema with one part of it drawn anew.
func edited(t *rapid.T, a schema.Schema) schema.Schema {
	b := a
	switch rapid.IntRange(0, 3).Draw(t, "edit") {
	case 0:
		b.Metadata = drawMetadata(t, 3)
	case 1:
		b.Targets = drawSchema(t, a.Action).Targets
	default:
		if a.Metadata == nil {
			return b
		}
		m := *a.Metadata
		b.Metadata = &m
		m.Properties = map[string]*schema.Property{}
		for name, p := range a.Metadata.Properties {
			m.Properties[name] = editedProperty(t, p)
		}
	}
	return b
}

func editedProperty(t *rapid.T, p *schema.Property) *schema.Property {
	next := *p
	switch rapid.IntRange(0, 7).Draw(t, "property") {
	case 0:
		next.Enum = nil
	case 1:
		next.Format = ""
	case 2:
		next.Items = nil
	case 3:
		if p.Type == schema.TypeInteger {
			next.Type = schema.TypeNumber
		}
	case 4:
		next.Required = nil
	case 5:
		if p.Format == "ipv4" {
			next.Format = "ip"
		}
	}
	return &next
}

// knownOnly drops the keys that s does not know.
func knownOnly(ev audit.Event, s *schema.Schema) audit.Event {
	ev.Metadata = known(ev.Metadata, s.Metadata)
	if s.Actor != nil {
		ev.Actor.Metadata = known(ev.Actor.Metadata, s.Actor.Metadata)
	} else {
		ev.Actor.Metadata = nil
	}
	for i := range ev.Targets {
		var p *schema.Property
		for _, d := range s.Targets {
			if d.Type == ev.Targets[i].Type {
				p = d.Metadata
			}
		}
		ev.Targets[i].Metadata = known(ev.Targets[i].Metadata, p)
	}
	return ev
}

func known(m map[string]any, p *schema.Property) map[string]any {
	out := map[string]any{}
	if p == nil {
		return out
	}
	for name, v := range m {
		prop := p.Properties[name]
		if prop == nil {
			continue
		}
		if nested, ok := v.(map[string]any); ok {
			v = known(nested, prop)
		}
		if elems, ok := v.([]any); ok && prop.Items != nil {
			var kept []any
			for _, e := range elems {
				if nested, ok := e.(map[string]any); ok {
					e = known(nested, prop.Items)
				}
				kept = append(kept, e)
			}
			v = append([]any{}, kept...)
		}
		out[name] = v
	}
	return out
}

func TestReview(t *testing.T) {
	old := []schema.Schema{flat("thing.made", 1, "a"), flat("thing.kept", 1), flat("thing.told", 1), flat("thing.bad", 1)}
	told := flat("thing.told", 1)
	told.Description = "now with words"
	c := file(
		flat("thing.made", 3, "b"), flat("thing.made", 2, "a", "b"), flat("thing.kept", 1), told,
		flat("thing.bad", 1, "x"), flat("thing.holey", 2), flat("thing.new", 1, "a"), flat("thing.new", 2),
	)
	var got []string
	for _, f := range schema.Review(old, c) {
		got = append(got, fmt.Sprintf("%s %d %s %v %d", f.Action, f.Version, f.Status, f.Breaking(), len(f.Changes)))
	}
	want := []string{
		"thing.bad 1 conflict true 1",
		"thing.holey 2 gap true 1",
		"thing.kept 1 unchanged false 0",
		"thing.made 2 next false 1",
		"thing.made 3 next true 1",
		"thing.new 1 new false 0",
		"thing.new 2 next false 0", // nobody uses version 1 yet
		"thing.told 1 described false 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
