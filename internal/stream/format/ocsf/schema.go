// Package ocsf holds what the project needs to know of the Open Cybersecurity
// Schema Framework: for each version that a customer can pin, the classes and
// objects that the mapping of package format writes, as tables, and a check of
// an event against them. The mapping asks the same tables what a version has, so
// it cannot know more than the check.
//
// # Tables
//
// The tables were made from the sources of the schema at the version's tag
// (github.com/ocsf/ocsf-schema: dictionary, events, objects, profiles), with
// inheritance and includes resolved. They leave out descriptions, attributes that
// come with a profile, and objects that the mapping does not write. A table is
// lines of fields that are separated by one tab:
//
//	version  number
//	type     name   type it is made of
//	class    uid    name   "deprecated" or nothing
//	object   name   "deprecated" or nothing
//
// and below a class or object, beginning with a tab, its attributes
//
//	name   type   requirement   "deprecated" or nothing   value=caption|value=caption…
//
// and its constraints, which are a name that ends with a colon, and the names of
// attributes with blanks between them: "at_least_one:" and "just_one:". A type that
// begins with "@" is an object; "[]" after it makes it an array.
package ocsf

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed tables/*.txt
var tables embed.FS

// Versions are the versions of the schema that there are tables of, oldest first.
func Versions() []string { return []string{"1.1.0", "1.3.0", "1.6.0", "1.8.0"} }

// Schema is one version of the schema. It is not changed after it was loaded.
type Schema struct {
	// Version is the number, such as "1.8.0".
	Version string

	types   map[string]string // a type and what it is made of
	classes map[int]*Class
	objects map[string]*Object
}

// Class is one class of events.
type Class struct {
	Object
	// UID is its number, the category included: 6003.
	UID int
}

// Object is a set of attributes.
type Object struct {
	Name       string
	Deprecated bool
	// AtLeastOne and JustOne are the constraints; nil when there is none.
	AtLeastOne, JustOne []string

	attributes map[string]*Attribute
	required   []string
}

// Attribute is one attribute of a class or object.
type Attribute struct {
	Name string
	// Type is the name of a type, or of an object when Object is set.
	Type          string
	Object, Array bool
	Requirement   string // required, recommended or optional
	Deprecated    bool
	// Enum are the values it may have, with their captions; nil for any.
	Enum map[string]string
}

// Load reads the table of a version, one of [Versions].
func Load(version string) (*Schema, error) {
	text, err := tables.ReadFile("tables/" + version + ".txt")
	if err != nil {
		return nil, fmt.Errorf("OCSF %q is not one of %s", version, strings.Join(Versions(), ", "))
	}
	s, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("table of OCSF %s: %w", version, err)
	}
	return s, nil
}

// Class returns a class by its number, nil when there is none.
func (s *Schema) Class(uid int) *Class { return s.classes[uid] }

// Object returns an object by its name, nil when there is none.
func (s *Schema) Object(name string) *Object { return s.objects[name] }

// Attribute returns an attribute by its name, nil when there is none or it is
// deprecated.
func (o *Object) Attribute(name string) *Attribute {
	if o == nil {
		return nil
	}
	if a := o.attributes[name]; a != nil && !a.Deprecated {
		return a
	}
	return nil
}

// Has reports whether there is an attribute of a name that is not deprecated.
func (o *Object) Has(name string) bool { return o.Attribute(name) != nil }

// Required lists the attributes that must be there, in the order of their names.
func (o *Object) Required() []string { return o.required }

// Caption returns the caption of a value of an attribute, and whether the
// attribute may have that value.
func (o *Object) Caption(name string, value int) (string, bool) {
	a := o.Attribute(name)
	if a == nil {
		return "", false
	}
	caption, ok := a.Enum[strconv.Itoa(value)]
	return caption, ok
}

func parse(text string) (*Schema, error) {
	s := &Schema{types: map[string]string{}, classes: map[int]*Class{}, objects: map[string]*Object{}}
	var into *Object
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		f = append(f, "", "", "", "", "")[:max(6, len(f))]
		switch f[0] {
		case "version":
			s.Version = f[1]
		case "type":
			s.types[f[1]] = f[2]
		case "class":
			uid, err := strconv.Atoi(f[1])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			c := &Class{UID: uid, Object: newObject(f[2], f[3])}
			s.classes[uid], into = c, &c.Object
		case "object":
			o := newObject(f[1], f[2])
			s.objects[f[1]], into = &o, &o
		case "":
			if into == nil {
				return nil, fmt.Errorf("line %d: an attribute of nothing", n)
			}
			into.add(f[1:])
		default:
			return nil, fmt.Errorf("line %d: %q is no kind of line", n, f[0])
		}
	}
	return s, nil
}

func newObject(name, deprecated string) Object {
	return Object{Name: name, Deprecated: deprecated != "", attributes: map[string]*Attribute{}}
}

func (o *Object) add(f []string) {
	switch f[0] {
	case "at_least_one:":
		o.AtLeastOne = strings.Fields(f[1])
		return
	case "just_one:":
		o.JustOne = strings.Fields(f[1])
		return
	}
	a := &Attribute{Name: f[0], Type: f[1], Requirement: f[2], Deprecated: f[3] != ""}
	a.Type, a.Object = strings.CutPrefix(a.Type, "@")
	a.Type, a.Array = strings.CutSuffix(a.Type, "[]")
	if f[4] != "" {
		a.Enum = map[string]string{}
		for pair := range strings.SplitSeq(f[4], "|") {
			value, caption, _ := strings.Cut(pair, "=")
			a.Enum[value] = caption
		}
	}
	o.attributes[a.Name] = a
	if a.Requirement == "required" {
		o.required = append(o.required, a.Name)
	}
}
