package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Violation is one way in which an event does not satisfy its schema, in the
// manner of the validator AJV.
type Violation struct {
	// InstancePath points into the event, such as "/targets/0/type".
	InstancePath string `json:"instancePath"`
	// SchemaPath points into the schema as JSON Schema would have it, such
	// as "#/properties/targets/allOf/0/contains".
	SchemaPath string `json:"schemaPath"`
	// Keyword is the JSON Schema keyword that was violated.
	Keyword string `json:"keyword"`
	// Params are what the keyword asks for.
	Params map[string]any `json:"params"`
	// Message is AJV's sentence.
	Message string `json:"message"`
}

// report says how an event violates the schema; nothing when ok.
func (c *compiled) report(ev *event.Event) *reporter {
	r := &reporter{}
	r.targets(c, ev.Targets)
	r.object(c.actor, ev.Actor.Metadata, "/actor/metadata", "#/properties/actor/properties/metadata")
	r.object(c.metadata, ev.Metadata, "/metadata", "#/properties/metadata")
	return r
}

// reporter walks an event as the checks do, but goes on after a fault. It keeps
// each fault twice: as AJV says it, and in plain words.
type reporter struct {
	violations []Violation
	faults     []*audit.Error
}

func (r *reporter) add(at, schema, keyword string, params map[string]any, message string) {
	r.violations = append(r.violations, Violation{
		InstancePath: at, SchemaPath: schema + "/" + keyword, Keyword: keyword, Params: params, Message: message,
	})
}

func (r *reporter) plain(at, format string, args ...any) {
	r.faults = append(r.faults, audit.FieldErrorf(audit.CodeSchemaViolation, at, format, args...))
}

func (r *reporter) targets(c *compiled, targets []event.Party) {
	if len(c.targets) == 0 {
		return
	}
	for i := range c.targets {
		r.contains(&c.targets[i], targets)
	}
	for i := range targets {
		at := "/targets/" + strconv.Itoa(i)
		n := c.target(targets[i].Type)
		if n < 0 {
			r.undeclared(c, at+"/type")
			continue
		}
		t := &c.targets[n]
		r.object(t.metadata, targets[i].Metadata, at+"/metadata", t.path()+"/contains/properties/metadata")
	}
}

func (r *reporter) undeclared(c *compiled, at string) {
	types := make([]any, len(c.targets))
	for i := range c.targets {
		types[i] = c.targets[i].name
	}
	r.enum(types, at, "#/properties/targets/items/properties/type")
}

// contains reports a declared type that does not occur, as JSON Schema does:
// what each target is instead, and then that none was right.
func (r *reporter) contains(t *target, targets []event.Party) {
	if slices.ContainsFunc(targets, func(p event.Party) bool { return string(p.Type) == t.name }) {
		return
	}
	for i := range targets {
		r.add("/targets/"+strconv.Itoa(i)+"/type", t.path()+"/contains/properties/type", "const",
			map[string]any{"allowedValue": t.name}, "must be equal to constant")
	}
	r.add("/targets", t.path(), "contains", map[string]any{"minContains": 1}, "must contain at least 1 valid item(s)")
	r.plain("/targets", "must have a target of type %q", t.name)
}

func (t *target) path() string { return "#/properties/targets/allOf/" + strconv.Itoa(t.declared) }

func (r *reporter) object(o *object, obj []byte, at, schema string) {
	if o == nil {
		return
	}
	there := make(map[string]bool, len(o.members))
	event.EachMember(obj, func(key, val []byte) bool {
		if m := o.member(key); m != nil {
			there[m.name] = true
			r.value(&m.value, val, pointer(at, m.name), pointer(schema+"/properties", m.name))
		}
		return true
	})
	for i := range o.members {
		if name := o.members[i].name; o.members[i].required && !there[name] {
			r.add(at, schema, "required", map[string]any{"missingProperty": name}, "must have required property '"+name+"'")
			r.plain(pointer(at, name), "is required")
		}
	}
}

func (r *reporter) value(v *value, val []byte, at, schema string) {
	if !v.typeOK(val) {
		r.add(at, schema, "type", map[string]any{"type": string(v.kind)}, "must be "+string(v.kind))
		r.plain(at, "must be %s", v.kind.words())
		return
	}
	if !v.enumOK(val) {
		r.enum(v.allowed, at, schema)
	}
	if !v.formatOK(val) {
		r.add(at, schema, "format", map[string]any{"format": v.format}, fmt.Sprintf("must match format %q", v.format))
		r.plain(at, "must have the format %s", v.format)
	}
	if v.object != nil {
		r.object(v.object, val, at, schema)
	}
	if v.items != nil {
		i := 0
		event.EachElement(val, func(elem []byte) bool {
			r.value(v.items, elem, at+"/"+strconv.Itoa(i), schema+"/items")
			i++
			return true
		})
	}
}

func (r *reporter) enum(allowed []any, at, schema string) {
	r.add(at, schema, "enum", map[string]any{"allowedValues": allowed}, "must be equal to one of the allowed values")
	r.plain(at, "must be one of %s", list(allowed))
}

// err is the error of the native API: the first fault with its field and, when
// there are several, all of them.
func (r *reporter) err(ref Ref) *audit.Error {
	out := *r.faults[0]
	out.Message = fmt.Sprintf("%s (schema of %s, version %d)", out.Message, ref.Action, ref.Version)
	if len(r.faults) > 1 {
		out.Errors = r.faults
	}
	return &out
}

// words is the type in a sentence.
func (t Type) words() string {
	switch t {
	case TypeArray, TypeObject, TypeInteger:
		return "an " + string(t)
	default:
		return "a " + string(t)
	}
}

// list writes the values of an enum for a sentence, the first few of many.
func list(values []any) string {
	const most = 20
	words := make([]string, 0, most+1)
	for i, v := range values {
		if i == most {
			words = append(words, fmt.Sprintf("… (%d in all)", len(values)))
			break
		}
		if s, ok := v.(string); ok {
			v = strconv.Quote(s)
		}
		words = append(words, fmt.Sprint(v))
	}
	return strings.Join(words, ", ")
}
