package logview

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// What forms send besides the view's own parameters.
const (
	paramDrop  = "drop"  // terms to take out of the filter
	paramField = "field" // the field of a condition to put in
	paramNot   = "not"   // "1" when the condition is negated
	paramValue = "value" // its values, once each; empty ones count for nothing
	paramName  = "name"  // a part of the name of the actor or target that field is the id of
	paramBy    = "by"    // the zone of the clocks that from and to are read from
	paramTyped = "typed" // the zone of the clocks that dates in q are read from
)

// IsEdit reports whether an address is what a form sends, which [Edit] turns into
// the address of a view.
func IsEdit(params url.Values) bool {
	return params.Has(paramField) || params.Has(paramDrop) || params.Has(paramBy) || params.Has(paramTyped)
}

// Edit returns the view that a form asks for: the view that its parameters name,
// without the terms of drop, with a condition on field. A condition that makes no
// sense is in the text of the filter, where the page says what is wrong with it.
// The error is that of [Parse].
func Edit(path string, params url.Values, zone *time.Location, now time.Time) (View, error) {
	if by, ok := ZoneNamed(params.Get(paramBy)); ok {
		zone = by
	}
	v, err := Parse(path, params, zone, now)
	if err != nil {
		return v, err
	}
	if params.Has(paramTyped) {
		return v, nil // as it was written
	}
	q := v.Filter
	if drop, err := audit.ParseQuery(params.Get(paramDrop)); err == nil {
		q = subtract(q, drop)
	}
	if f, ok := nameOf(params); ok {
		q.Filters = append(q.Filters, f)
	}
	f, ok := conditionOf(params)
	if !ok {
		return v.WithFilter(q), nil
	}
	if slices.Contains(bounds(), string(f.Field)) {
		v = v.WithFilter(q)
		value := strings.TrimSpace(f.Values[0])
		v.Typed = strings.TrimSpace(v.Typed + " " + string(f.Field) + ":" + timeByClocks(value, value, zone, true))
		return v, nil
	}
	q.Filters = append(q.Filters, f)
	return v.WithFilter(q), nil
}

// conditionOf is the condition that a form puts in, if any.
func conditionOf(params url.Values) (audit.Filter, bool) {
	name := strings.TrimSpace(params.Get(paramField))
	values := slices.DeleteFunc(slices.Clone(params[paramValue]), func(s string) bool { return strings.TrimSpace(s) == "" })
	if name == "" || len(values) == 0 {
		return audit.Filter{}, false
	}
	f := audit.Filter{Field: audit.Field(name), Values: values, Not: params.Get(paramNot) == "1"}
	if known, err := audit.ParseField(name); err == nil {
		f.Field = known
	}
	return f, true
}

// nameOf is the condition on a name that a form puts in besides, if any.
func nameOf(params url.Values) (audit.Filter, bool) {
	text := strings.TrimSpace(params.Get(paramName))
	fields := map[string]audit.Field{
		string(audit.FieldActorID): audit.FieldActorName, string(audit.FieldTargetID): audit.FieldTargetName,
	}
	field, ok := fields[params.Get(paramField)]
	return audit.Filter{Field: field, Values: []string{text}, Not: params.Get(paramNot) == "1"}, ok && text != ""
}

// ZoneNamed finds a time zone by its IANA name.
func ZoneNamed(name string) (*time.Location, bool) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}
