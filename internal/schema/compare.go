package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Change is one difference between two versions of a schema.
type Change struct {
	// Path is where, as a JSON pointer into the schema in which targets go by
	// their type, such as "/metadata/properties/team".
	Path string `json:"path"`
	// Breaking says that an event with the fields of the first version may be
	// refused by the second, or that a field which readers know is gone.
	Breaking bool `json:"breaking"`
	// Message says what changed, in a sentence without its full stop.
	Message string `json:"message"`
}

// Compare returns what changed from a to b, in the order of the paths; none when
// they let the same events pass. Descriptions are not compared.
func Compare(a, b *Schema) []Change {
	var c comparer
	c.targets(a.Targets, b.Targets)
	c.object(a.actorMetadata(), b.actorMetadata(), place{"/actor/metadata", "actor metadata"})
	c.object(a.Metadata, b.Metadata, place{"/metadata", "metadata"})
	slices.SortStableFunc(c.changes, func(x, y Change) int { return strings.Compare(x.Path, y.Path) })
	return c.changes
}

func (s *Schema) actorMetadata() *Property {
	if s.Actor == nil {
		return nil
	}
	return s.Actor.Metadata
}

// comparer collects changes.
type comparer struct {
	changes []Change
}

// place is where a comparison is, for programs and for people.
type place struct {
	path, words string
}

func (p place) property(name string) place {
	return place{pointer(p.path+"/properties", name), p.words + "." + name}
}

func (c *comparer) breaks(p place, format string, args ...any) {
	c.changes = append(c.changes, Change{Path: p.path, Breaking: true, Message: p.words + " " + fmt.Sprintf(format, args...)})
}

func (c *comparer) widens(p place, format string, args ...any) {
	c.changes = append(c.changes, Change{Path: p.path, Message: p.words + " " + fmt.Sprintf(format, args...)})
}

func (c *comparer) targets(a, b []Target) {
	here := place{"/targets", "targets"}
	switch {
	case len(a) == 0 && len(b) == 0:
		return
	case len(a) == 0:
		c.breaks(here, "were of any type and must now be %s", typeNames(b))
	case len(b) == 0:
		c.widens(here, "may now be of any type, and need not be there")
		return
	}
	for _, t := range sortTargets(a) {
		at := place{pointer("/targets", t.Type), "target type " + strconv.Quote(t.Type)}
		if n := findTarget(b, t.Type); n < 0 {
			c.breaks(at, "is gone: an event that has one is refused")
		} else {
			c.object(t.Metadata, b[n].Metadata, place{at.path + "/metadata", t.Type + " metadata"})
		}
	}
	for _, t := range sortTargets(b) {
		if len(a) > 0 && findTarget(a, t.Type) < 0 {
			c.breaks(place{pointer("/targets", t.Type), "target type " + strconv.Quote(t.Type)}, "is new and must be there")
		}
	}
}

func findTarget(targets []Target, name string) int {
	return slices.IndexFunc(targets, func(t Target) bool { return t.Type == name })
}

func typeNames(targets []Target) string {
	var names []string
	for _, t := range sortTargets(targets) {
		names = append(names, strconv.Quote(t.Type))
	}
	return strings.Join(slices.Compact(names), " and ")
}

// object compares what two objects may hold; nil knows no keys.
func (c *comparer) object(a, b *Property, at place) {
	a, b = orEmpty(a), orEmpty(b)
	for _, name := range sortedKeys(a.Properties) {
		p := at.property(name)
		if b.Properties[name] == nil {
			c.breaks(p, "is gone")
			continue
		}
		was, is := slices.Contains(a.Required, name), slices.Contains(b.Required, name)
		if is && !was {
			c.breaks(p, "was optional and is now required")
		} else if was && !is {
			c.widens(p, "was required and is now optional")
		}
		c.value(a.Properties[name], b.Properties[name], p)
	}
	for _, name := range sortedKeys(b.Properties) {
		if a.Properties[name] != nil {
			continue
		}
		if slices.Contains(b.Required, name) {
			c.breaks(at.property(name), "is new and required")
		} else {
			c.widens(at.property(name), "is new and optional")
		}
	}
}

func orEmpty(p *Property) *Property {
	if p == nil {
		return &Property{Type: TypeObject}
	}
	return p
}

func (c *comparer) value(a, b *Property, at place) {
	switch {
	case a.Type == b.Type:
	case a.Type == TypeInteger && b.Type == TypeNumber:
		c.widens(at, "was an integer and may now be any number")
	case a.Type == TypeNumber && b.Type == TypeInteger:
		c.breaks(at, "was any number and must now be an integer")
	default:
		c.breaks(at, "was %s and is now %s", a.Type.words(), b.Type.words())
		return
	}
	c.enum(a.Enum, b.Enum, at)
	c.format(a.Format, b.Format, at)
	c.items(a.Items, b.Items, at)
	c.object(a, b, at)
}

func (c *comparer) enum(a, b []any, at place) {
	switch {
	case len(a) == 0 && len(b) == 0:
		return
	case len(a) == 0:
		c.breaks(at, "had any value and must now be one of %s", list(b))
		return
	case len(b) == 0:
		c.widens(at, "may now have any value")
		return
	}
	if gone := without(a, b); len(gone) > 0 {
		c.breaks(at, "may no longer be %s", list(gone))
	}
	if added := without(b, a); len(added) > 0 {
		c.widens(at, "may now also be %s", list(added))
	}
}

func without(a, b []any) []any {
	return slices.DeleteFunc(slices.Clone(a), func(v any) bool { return slices.Contains(b, v) })
}

func (c *comparer) format(a, b string, at place) {
	switch {
	case a == b:
	case a == "":
		c.breaks(at, "had any form and must now be in the format %s", b)
	case b == "":
		c.widens(at, "need no longer be in the format %s", a)
	case b == "ip" && (a == "ipv4" || a == "ipv6"):
		c.widens(at, "was in the format %s and may now be any IP address", a)
	default:
		c.breaks(at, "was in the format %s and must now be in the format %s", a, b)
	}
}

func (c *comparer) items(a, b *Property, at place) {
	at = place{at.path + "/items", at.words + " elements"}
	switch {
	case a == nil && b == nil:
	case a == nil:
		c.breaks(at, "were anything and must now be of type %s", b.Type)
	case b == nil:
		c.widens(at, "may now be anything")
	default:
		c.value(a, b, at)
	}
}

// sameDescriptions says whether two schemas that mean the same also say the
// same to people.
func sameDescriptions(a, b *Schema) bool {
	return slices.Equal(a.descriptions(), b.descriptions())
}

// descriptions lists every description with its place.
func (s *Schema) descriptions() []string {
	out := []string{s.Description}
	for _, t := range sortTargets(s.Targets) {
		out = t.Metadata.descriptions(out, pointer("/targets", t.Type))
	}
	out = s.actorMetadata().descriptions(out, "/actor")
	return s.Metadata.descriptions(out, "/metadata")
}

func (p *Property) descriptions(out []string, path string) []string {
	if p == nil {
		return out
	}
	if p.Description != "" {
		out = append(out, path+" "+p.Description)
	}
	for _, name := range sortedKeys(p.Properties) {
		out = p.Properties[name].descriptions(out, pointer(path, name))
	}
	return p.Items.descriptions(out, path+"/items")
}
