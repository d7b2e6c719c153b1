package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Check holds one event, as JSON, to its class. It returns every fault it finds,
// each with the path of what it is about: attributes that the class or an object
// does not have or that are deprecated, missing required ones, types, values that
// an attribute cannot have, constraints, captions that are not those of their
// numbers, and a type_uid that does not follow from class and activity.
func (s *Schema) Check(data []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var event map[string]any
	if err := dec.Decode(&event); err != nil {
		return []string{"is no JSON object: " + err.Error()}
	}
	if _, err := dec.Token(); err != io.EOF {
		return []string{"something follows the event"}
	}
	c := &checker{s: s}
	uid, ok := integer(event["class_uid"])
	class := s.Class(int(uid))
	switch {
	case !ok || class == nil:
		c.fault("class_uid", "%v is no class of the table of OCSF %s", event["class_uid"], s.Version)
		return c.faults
	case class.Deprecated:
		c.fault("class_uid", "class %d is deprecated in OCSF %s", uid, s.Version)
	}
	c.object("", &class.Object, event)
	c.event(class, event)
	return c.faults
}

type checker struct {
	s      *Schema
	faults []string
}

func (c *checker) fault(path, format string, args ...any) {
	c.faults = append(c.faults, strings.TrimPrefix(path, ".")+": "+fmt.Sprintf(format, args...))
}

// event checks what the attributes of an event must have to do with each other.
func (c *checker) event(class *Class, event map[string]any) {
	activity, _ := integer(event["activity_id"])
	if typ, _ := integer(event["type_uid"]); typ != int64(class.UID)*100+activity {
		c.fault("type_uid", "%d is not class_uid * 100 + activity_id", typ)
	}
	if category, _ := integer(event["category_uid"]); category != int64(class.UID/1000) {
		c.fault("category_uid", "%d is not that of class %d", category, class.UID)
	}
	if _, named := event["activity_name"]; activity == 99 && !named {
		c.fault("activity_name", "is missing beside activity_id 99")
	}
	if m, _ := event["metadata"].(map[string]any); m["version"] != c.s.Version {
		c.fault("metadata.version", "%v is not %s", m["version"], c.s.Version)
	}
}

func (c *checker) object(path string, o *Object, v map[string]any) {
	for _, name := range o.required {
		if _, ok := v[name]; !ok {
			c.fault(path+"."+name, "is missing from %s", o.Name)
		}
	}
	count := func(names []string) (n int) {
		for _, name := range names {
			if _, ok := v[name]; ok {
				n++
			}
		}
		return n
	}
	if o.AtLeastOne != nil && count(o.AtLeastOne) == 0 {
		c.fault(path, "%s needs one of %s", o.Name, strings.Join(o.AtLeastOne, ", "))
	}
	if o.JustOne != nil && count(o.JustOne) != 1 {
		c.fault(path, "%s needs just one of %s", o.Name, strings.Join(o.JustOne, ", "))
	}
	if o.Name == "object" { // of any shape
		return
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		at := path + "." + name
		switch a := o.attributes[name]; {
		case a == nil:
			c.fault(at, "is no attribute of %s in OCSF %s", o.Name, c.s.Version)
		case a.Deprecated:
			c.fault(at, "is deprecated in OCSF %s", c.s.Version)
		default:
			c.attribute(at, a, v[name])
			c.caption(at, o, a, v)
		}
	}
}

// caption holds a text that stands beside a number to the caption of the number:
// "status" beside "status_id". Beside 99 it may be anything.
func (c *checker) caption(path string, o *Object, a *Attribute, v map[string]any) {
	for _, text := range []string{
		strings.TrimSuffix(a.Name, "_id"), strings.TrimSuffix(a.Name, "_id") + "_name", strings.TrimSuffix(a.Name, "_uid") + "_name",
	} {
		beside, ok := v[text].(string)
		number, isNumber := integer(v[a.Name])
		if text == a.Name || !ok || !isNumber || a.Enum == nil || o.attributes[text] == nil || number == 99 {
			continue
		}
		if want := a.Enum[strconv.FormatInt(number, 10)]; beside != want {
			c.fault(path, "%d is %q, and %s says %q", number, want, text, beside)
		}
	}
}

func (c *checker) attribute(path string, a *Attribute, v any) {
	if !a.Array {
		c.value(path, a, v)
		return
	}
	list, ok := v.([]any)
	if !ok {
		c.fault(path, "is no array")
	}
	for i, e := range list {
		c.value(fmt.Sprintf("%s[%d]", path, i), a, e)
	}
}

func (c *checker) value(path string, a *Attribute, v any) {
	if a.Object {
		o := c.s.objects[a.Type]
		m, isObject := v.(map[string]any)
		switch {
		case !isObject:
			c.fault(path, "is no object")
		case o == nil:
			c.fault(path, "the table does not have the object %s", a.Type)
		default:
			c.object(path, o, m)
		}
		return
	}
	base, ok := c.s.types[a.Type]
	switch {
	case !ok:
		c.fault(path, "the table does not have the type %s", a.Type)
	case !isA(base, v):
		c.fault(path, "%v is no %s", v, base)
	case a.Type == "ip_t" && !isIP(v):
		c.fault(path, "%v is no address", v)
	case a.Type == "port_t" && !inRange(v, 0, math.MaxUint16):
		c.fault(path, "%v is no port", v)
	case a.Enum != nil:
		if _, ok := a.Enum[fmt.Sprint(v)]; !ok {
			c.fault(path, "%v is none of its values", v)
		}
	}
}

func isA(base string, v any) bool {
	switch base {
	case "string_t":
		_, ok := v.(string)
		return ok
	case "boolean_t":
		_, ok := v.(bool)
		return ok
	case "integer_t", "long_t":
		_, ok := integer(v)
		return ok
	case "float_t":
		_, ok := v.(json.Number)
		return ok
	default:
		return base == "json_t"
	}
}

func isIP(v any) bool {
	text, _ := v.(string)
	_, err := netip.ParseAddr(text)
	return err == nil
}

func inRange(v any, low, high int64) bool {
	n, ok := integer(v)
	return ok && n >= low && n <= high
}

func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}
