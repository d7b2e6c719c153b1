package schema

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// mapFrom is the number of known keys from which a map finds one sooner than
// comparing does.
const mapFrom = 9

// compiled is a schema in the form that checks events. It is never changed.
type compiled struct {
	*Schema
	rev      uint64 // revision of the stored record
	targets  []target
	actor    *object
	metadata *object
}

// target is a declared type of target; declared is its place in Schema.Targets.
type target struct {
	name     string
	declared int
	metadata *object
}

// object checks an object. A nil object lets everything pass.
type object struct {
	members  []member
	byKey    map[string]*member // nil when members are few
	required int                // how many members are
}

// member is a known key of an object.
type member struct {
	key      string // as canonical JSON has it, without quotes
	name     string
	required bool
	value
}

// value checks one value.
type value struct {
	kind    Type
	enum    [][]byte // canonical JSON
	allowed []any    // the same, as declared
	format  string
	valid   func([]byte) bool // of the format; nil without one
	items   *value
	object  *object
}

// compile checks a schema and readies it. Errors are *audit.Error.
func compile(s *Schema) (*compiled, error) {
	if err := checkHead(s); err != nil {
		return nil, err
	}
	c := &compiled{Schema: s}
	var err error
	if c.targets, err = compileTargets(s.Targets); err != nil {
		return nil, err
	}
	if s.Actor != nil {
		if c.actor, err = compileMetadata(s.Actor.Metadata, "/actor/metadata"); err != nil {
			return nil, err
		}
	}
	if c.metadata, err = compileMetadata(s.Metadata, "/metadata"); err != nil {
		return nil, err
	}
	return c, nil
}

func checkHead(s *Schema) error {
	if err := checkName(s.Action, "/action", audit.MaxActionBytes); err != nil {
		return err
	}
	if s.Version < 0 || s.Version > MaxVersion {
		return invalid("/version", "versions are 1 to %d", MaxVersion)
	}
	return checkDescription(s.Description, "/description")
}

func compileTargets(declared []Target) ([]target, error) {
	if len(declared) > audit.MaxTargets {
		return nil, invalid("/targets", "an event has at most %d targets", audit.MaxTargets)
	}
	var out []target
	for i, t := range declared {
		path := "/targets/" + strconv.Itoa(i)
		if err := checkName(t.Type, path+"/type", audit.MaxStringBytes); err != nil {
			return nil, err
		}
		o, err := compileMetadata(t.Metadata, path+"/metadata")
		if err != nil {
			return nil, err
		}
		// Declaring a type twice is common and says nothing more; declaring
		// it twice differently would leave open which one a target must be.
		first := slices.IndexFunc(out, func(o target) bool { return o.name == t.Type })
		if first < 0 {
			out = append(out, target{name: t.Type, declared: i, metadata: o})
		} else if !reflect.DeepEqual(declared[out[first].declared].Metadata, t.Metadata) {
			return nil, invalid(path, "target type %q is declared twice with different metadata", t.Type)
		}
	}
	return out, nil
}

func compileMetadata(p *Property, path string) (*object, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // nil is the object that lets everything pass
	}
	if p.Type != TypeObject {
		return nil, invalid(path+"/type", "metadata is always an object")
	}
	return compileObject(p, path, 1)
}

func compileObject(p *Property, path string, depth int) (*object, error) {
	if len(p.Properties) > audit.MaxMetadataKeys {
		return nil, invalid(path+"/properties", "metadata has at most %d keys", audit.MaxMetadataKeys)
	}
	if err := checkProperty(p, path); err != nil {
		return nil, err
	}
	o := &object{required: len(p.Required)}
	for _, name := range sortedKeys(p.Properties) {
		at := pointer(path+"/properties", name)
		if err := checkName(name, at, audit.MaxStringBytes); err != nil {
			return nil, err
		}
		v, err := compileValue(p.Properties[name], at, depth+1)
		if err != nil {
			return nil, err
		}
		o.members = append(o.members, member{
			key: canonicalKey(name), name: name, required: slices.Contains(p.Required, name), value: *v,
		})
	}
	o.index()
	return o, nil
}

func (o *object) index() {
	if len(o.members) < mapFrom {
		return
	}
	o.byKey = make(map[string]*member, len(o.members))
	for i := range o.members {
		o.byKey[o.members[i].key] = &o.members[i]
	}
}

func compileValue(p *Property, path string, depth int) (*value, error) {
	if p == nil {
		return nil, invalid(path, "a property is an object with a type")
	}
	v := &value{kind: p.Type, format: p.Format, allowed: p.Enum}
	var err error
	switch p.Type {
	case TypeObject, TypeArray:
		err = v.compileNested(p, path, depth)
	case TypeString, TypeNumber, TypeInteger, TypeBoolean:
		err = v.compileScalar(p, path)
	case "":
		err = invalid(path+"/type", "the type is missing")
	default:
		err = invalid(path+"/type", "there is no type %q; types are string, number, integer, boolean, array and object", p.Type)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (v *value) compileNested(p *Property, path string, depth int) error {
	if depth > audit.MaxMetadataDepth {
		return invalid(path, "metadata nests at most %d deep", audit.MaxMetadataDepth)
	}
	var err error
	if p.Type == TypeObject {
		v.object, err = compileObject(p, path, depth)
		return err
	}
	if err := checkProperty(p, path); err != nil || p.Items == nil {
		return err
	}
	v.items, err = compileValue(p.Items, path+"/items", depth+1)
	return err
}

func (v *value) compileScalar(p *Property, path string) error {
	if err := checkProperty(p, path); err != nil {
		return err
	}
	if p.Format != "" {
		if v.valid = formatCheck(p.Format); v.valid == nil {
			return invalid(path+"/format", "there is no format %q; formats are %s", p.Format, strings.Join(Formats(), ", "))
		}
	}
	for i, e := range p.Enum {
		at := path + "/enum/" + strconv.Itoa(i)
		text, err := canonicalScalar(e, p.Type, at)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(v.enum, func(b []byte) bool { return string(b) == string(text) }) {
			return invalid(at, "the value occurs twice")
		}
		v.enum = append(v.enum, text)
	}
	return nil
}

// checkProperty says whether what a property declares fits its type.
func checkProperty(p *Property, path string) error {
	scalar := p.Type != TypeObject && p.Type != TypeArray
	switch {
	case p.Enum != nil && !scalar:
		return invalid(path+"/enum", "only strings, numbers and booleans have an enum")
	case p.Enum != nil && len(p.Enum) == 0:
		return invalid(path+"/enum", "an enum has at least one value")
	case len(p.Enum) > MaxEnumValues:
		return invalid(path+"/enum", "an enum has at most %d values", MaxEnumValues)
	case p.Format != "" && p.Type != TypeString:
		return invalid(path+"/format", "only strings have a format")
	case p.Items != nil && p.Type != TypeArray:
		return invalid(path+"/items", "only arrays have items")
	case len(p.Properties) > 0 && p.Type != TypeObject:
		return invalid(path+"/properties", "only objects have properties")
	}
	if err := checkDescription(p.Description, path+"/description"); err != nil {
		return err
	}
	return checkRequired(p, path)
}

func checkRequired(p *Property, path string) error {
	for i, name := range p.Required {
		at := path + "/required/" + strconv.Itoa(i)
		if _, ok := p.Properties[name]; !ok {
			return invalid(at, "%q is required, but is not among the properties", name)
		}
		if slices.Contains(p.Required[:i], name) {
			return invalid(at, "%q is listed twice", name)
		}
	}
	return nil
}

// canonicalScalar returns the canonical JSON of a value of an enum.
func canonicalScalar(v any, t Type, path string) ([]byte, error) {
	switch v := v.(type) {
	case string:
		if t == TypeString && utf8.ValidString(v) && strings.IndexByte(v, 0) < 0 {
			return jsontext.AppendQuote(nil, v)
		}
	case bool:
		if t == TypeBoolean {
			return strconv.AppendBool(nil, v), nil
		}
	case float64:
		if t == TypeNumber || t == TypeInteger && v == math.Trunc(v) {
			return canonicalNumber(v, path)
		}
	}
	return nil, invalid(path, "the value is not a %s", t)
}

func canonicalNumber(v float64, path string) ([]byte, error) {
	// From 2^53 on a JSON number may have meant another one than was read.
	if math.IsNaN(v) || math.Abs(v) >= 1<<53 {
		return nil, invalid(path, "numbers of an enum are below 2^53; use strings for more")
	}
	n := jsontext.Value(strconv.AppendFloat(nil, v, 'g', -1, 64))
	if err := n.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalize enum: %w", err)
	}
	return n, nil
}

// canonicalKey returns a key as canonical JSON has it between its quotes. Names
// were checked to be valid.
func canonicalKey(name string) string {
	quoted, err := jsontext.AppendQuote(nil, name)
	if err != nil {
		return name
	}
	return string(quoted[1 : len(quoted)-1])
}

func checkName(name, path string, limit int) error {
	switch {
	case name == "":
		return invalid(path, "must not be empty")
	case len(name) > limit:
		return invalid(path, "has %d bytes; at most %d are allowed", len(name), limit)
	case !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0:
		return invalid(path, "must be valid UTF-8 without NUL")
	}
	return nil
}

func checkDescription(text, path string) error {
	if len(text) > MaxDescriptionBytes {
		return invalid(path, "has %d bytes; at most %d are allowed", len(text), MaxDescriptionBytes)
	}
	return nil
}

func invalid(path, format string, args ...any) *audit.Error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, path, format, args...)
}
