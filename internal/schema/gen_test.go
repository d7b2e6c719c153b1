package schema_test

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

// toEvent takes an event the way a server does, through its JSON.
func toEvent(t testing.TB, ev audit.Event) *event.Event {
	t.Helper()
	data, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	out := new(event.Event)
	if err := event.NewDecoder().Decode(data, out); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return out
}

// fieldNames holds names that canonical JSON escapes and sorts differently from
// Go.
var fieldNames = []string{
	"team", "roles", "count", "a/b", "a~b", "quote\"d", "back\\slash", "tab\tbed", "newline\n", "\u0001",
	"é", "\U0001F600", "\uFB33", "z", "aa", "before_roles", "after_roles", "enabled", "x1", "x2", "x3",
}

var texts = []string{"", "a", "core", "granted", "denied", "\U0001F600", "line\nbreak", "2026-03-01T09:30:00Z", "2026-03-01", "203.0.113.7", "2001:db8::1", "a@example.com"}

var numbers = []float64{0, 1, -1, 3, 2.5, 1e21, 1e-7, 123456789, -0.001}

func drawSchema(t *rapid.T, action string) schema.Schema {
	s := schema.Schema{Action: action, Version: 1, Targets: []schema.Target{}}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"api_key", "user", "incident"}), 0, 3, rapid.ID).Draw(t, "targets") {
		s.Targets = append(s.Targets, schema.Target{Type: name, Metadata: drawMetadata(t, 2)})
	}
	if m := drawMetadata(t, 2); m != nil {
		s.Actor = &schema.Actor{Metadata: m}
	}
	s.Metadata = drawMetadata(t, 12)
	return s
}

func drawMetadata(t *rapid.T, most int) *schema.Property {
	if rapid.Bool().Draw(t, "any") {
		return nil
	}
	return drawObject(t, most, 1)
}

func drawObject(t *rapid.T, most, depth int) *schema.Property {
	p := &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{}}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(fieldNames), 0, most, rapid.ID).Draw(t, "names") {
		p.Properties[name] = drawProperty(t, depth+1)
		if rapid.Bool().Draw(t, "required") {
			p.Required = append(p.Required, name)
		}
	}
	return p
}

func drawProperty(t *rapid.T, depth int) *schema.Property {
	types := []schema.Type{schema.TypeString, schema.TypeNumber, schema.TypeInteger, schema.TypeBoolean}
	if depth < audit.MaxMetadataDepth {
		types = append(types, schema.TypeArray, schema.TypeObject)
	}
	p := &schema.Property{Type: rapid.SampledFrom(types).Draw(t, "type")}
	some := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
	switch p.Type {
	case schema.TypeObject:
		o := drawObject(t, 3, depth)
		p.Properties, p.Required = o.Properties, o.Required
	case schema.TypeArray:
		if !some("no items") {
			p.Items = drawProperty(t, depth+1)
		}
	case schema.TypeString:
		if some("enum") {
			p.Enum = drawEnum(t, texts)
		} else if some("format") {
			p.Format = rapid.SampledFrom(schema.Formats()).Draw(t, "format")
		}
	case schema.TypeInteger:
		if some("enum") {
			p.Enum = drawEnum(t, []float64{0, 1, 3, -1, 123456789})
		}
	case schema.TypeNumber:
		if some("enum") {
			p.Enum = drawEnum(t, []float64{0, 1, 2.5, -0.001})
		}
	}
	return p
}

func drawEnum[T comparable](t *rapid.T, values []T) []any {
	var out []any
	for _, v := range rapid.SliceOfNDistinct(rapid.SampledFrom(values), 1, 3, rapid.ID).Draw(t, "enum") {
		out = append(out, v)
	}
	return out
}

// drawEvent makes an event that is near to satisfying s: every part is right
// most of the time.
func drawEvent(t *rapid.T, s *schema.Schema) audit.Event {
	ev := audit.Event{
		Action: s.Action, Version: s.Version, OccurredAt: time.Unix(1772357400, 0).UTC(),
		Actor: audit.Actor{Type: "user", ID: "u1"},
	}
	if s.Actor != nil {
		ev.Actor.Metadata = drawValues(t, s.Actor.Metadata, 1)
	}
	ev.Metadata = drawValues(t, s.Metadata, 1)
	for _, tg := range s.Targets {
		for range rapid.SampledFrom([]int{1, 1, 1, 1, 2, 0}).Draw(t, "times") {
			ev.Targets = append(ev.Targets, audit.Target{Type: tg.Type, ID: "t", Metadata: drawValues(t, tg.Metadata, 1)})
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "stray") == 0 {
		ev.Targets = append(ev.Targets, audit.Target{Type: "stray", ID: "t"})
	}
	return ev
}

func drawValues(t *rapid.T, p *schema.Property, depth int) map[string]any {
	if p == nil {
		p = &schema.Property{}
	}
	out := map[string]any{}
	for _, name := range fieldNames {
		prop := p.Properties[name]
		odds := rapid.IntRange(0, 19).Draw(t, "odds")
		switch {
		case prop == nil && odds == 0, prop != nil && odds == 1:
			out[name] = drawAny(t, depth+1)
		case prop != nil && (odds > 2 || slices.Contains(p.Required, name) && odds > 0):
			out[name] = drawValue(t, prop, depth+1)
		}
	}
	return out
}

func drawAny(t *rapid.T, depth int) any {
	kinds := 6
	if depth > audit.MaxMetadataDepth {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom(texts).Draw(t, "text")
	case 1:
		return rapid.SampledFrom(numbers).Draw(t, "number")
	case 2:
		return rapid.Bool().Draw(t, "bool")
	case 3:
		return nil
	case 4:
		return []any{drawAny(t, depth+1)}
	default:
		return map[string]any{rapid.SampledFrom(fieldNames).Draw(t, "name"): drawAny(t, depth+1)}
	}
}

// drawValue makes a value that fits p, but for formats, which it meets now and
// then.
func drawValue(t *rapid.T, p *schema.Property, depth int) any {
	if len(p.Enum) > 0 && rapid.IntRange(0, 9).Draw(t, "outside") > 0 {
		return rapid.SampledFrom(p.Enum).Draw(t, "value")
	}
	switch p.Type {
	case schema.TypeObject:
		return drawValues(t, p, depth)
	case schema.TypeArray:
		out := []any{}
		for range rapid.IntRange(0, 2).Draw(t, "elements") {
			if p.Items == nil {
				out = append(out, drawAny(t, depth+1))
			} else {
				out = append(out, drawValue(t, p.Items, depth+1))
			}
		}
		return out
	case schema.TypeBoolean:
		return rapid.Bool().Draw(t, "bool")
	case schema.TypeNumber:
		return rapid.SampledFrom(numbers).Draw(t, "number")
	case schema.TypeInteger:
		return rapid.SampledFrom([]float64{0, 1, 3, -7, 1e21}).Draw(t, "integer")
	default:
		return rapid.SampledFrom(texts).Draw(t, "text")
	}
}

// satisfies is what a schema means, told a second time over decoded values: the
// oracle for the compiled check.
func satisfies(ev *audit.Event, s *schema.Schema) bool {
	if s.Actor != nil && !holds(map[string]any(ev.Actor.Metadata), s.Actor.Metadata) {
		return false
	}
	if s.Metadata != nil && !holds(map[string]any(ev.Metadata), s.Metadata) {
		return false
	}
	for _, declared := range s.Targets {
		if !slices.ContainsFunc(ev.Targets, func(t audit.Target) bool { return t.Type == declared.Type }) {
			return false
		}
	}
	for _, t := range ev.Targets {
		i := slices.IndexFunc(s.Targets, func(d schema.Target) bool { return d.Type == t.Type })
		if len(s.Targets) > 0 && (i < 0 || s.Targets[i].Metadata != nil && !holds(map[string]any(t.Metadata), s.Targets[i].Metadata)) {
			return false
		}
	}
	return true
}

func holds(v any, p *schema.Property) bool {
	if len(p.Enum) > 0 && !slices.Contains(p.Enum, v) {
		return false
	}
	switch v := v.(type) {
	case string:
		return p.Type == schema.TypeString && (p.Format == "" || formatOracle(p.Format, v))
	case float64:
		return p.Type == schema.TypeNumber || p.Type == schema.TypeInteger && v == math.Trunc(v)
	case bool:
		return p.Type == schema.TypeBoolean
	case []any:
		return p.Type == schema.TypeArray && !slices.ContainsFunc(v, func(e any) bool { return p.Items != nil && !holds(e, p.Items) })
	case map[string]any:
		return p.Type == schema.TypeObject && objectHolds(v, p)
	}
	return false
}

func objectHolds(v map[string]any, p *schema.Property) bool {
	for _, name := range p.Required {
		if _, ok := v[name]; !ok {
			return false
		}
	}
	for name, prop := range p.Properties {
		if e, ok := v[name]; ok && !holds(e, prop) {
			return false
		}
	}
	return true
}

// formatOracle knows the formats of texts by other means than the package.
func formatOracle(format, s string) bool {
	ip, err := netip.ParseAddr(s)
	switch format {
	case "date":
		_, err := time.Parse(time.DateOnly, s)
		return err == nil
	case "date-time":
		_, err := time.Parse(time.RFC3339, s)
		return err == nil
	case "ip":
		return err == nil
	case "ipv4":
		return err == nil && ip.Is4()
	case "ipv6":
		return err == nil && ip.Is6()
	case "email":
		return regexp.MustCompile(`^[a-z]+@[a-z.]+$`).MatchString(s)
	case "hostname":
		return regexp.MustCompile(`^[a-z0-9.-]+$`).MatchString(s) || s == "\U0001F600"
	case "uri":
		return regexp.MustCompile(`^[a-z]+:.+$`).MatchString(s)
	case "uuid":
		return len(s) == 36
	}
	panic(fmt.Sprintf("format %q", format))
}
