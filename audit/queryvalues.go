package audit

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// paramQuery is the parameter that holds a query as text.
const paramQuery = "q"

// Values is a valid query as parameters of a URL: one for each value, named like
// the field, with "-" before it where it is negated ("-location=10.0.0.1"), and
// "after", "before", "received.after" and "received.before".
// [QueryFromValues] reads them back.
func (q Query) Values() url.Values {
	q = q.Normalize()
	v := url.Values{}
	for _, f := range q.Filters {
		name := string(f.Field)
		if f.Not {
			name = "-" + name
		}
		v[name] = f.Values
	}
	for _, b := range q.bounds() {
		v.Set(b.name, formatQueryTime(b.t))
	}
	return v
}

// QueryFromValues reads a query from the parameters of a URL, in its normal
// form: those of [Query.Values], and "q" with a query as text. All of them
// together make one query, as if their text stood side by side.
//
// Parameters named in other are the caller's own and left alone. Any other
// parameter is an *[Error] with code invalid_request; a value that cannot be read
// is one with code invalid_query. Both name the parameter as Field.
func QueryFromValues(v url.Values, other ...string) (Query, error) {
	var q Query
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if slices.Contains(other, name) {
			continue
		}
		for _, value := range v[name] {
			if err := q.addParam(name, value, other); err != nil {
				return Query{}, err
			}
		}
	}
	if err := q.Validate(); err != nil {
		return Query{}, err
	}
	return q.Normalize(), nil
}

// addParam adds what one value of one parameter says.
func (q *Query) addParam(name, value string, other []string) error {
	if name == paramQuery {
		more, err := ParseQuery(value)
		if err != nil {
			return inParam(name, err)
		}
		q.merge(more)
		return nil
	}
	if bound := q.bound(name); bound != nil {
		t, err := parseQueryTime(value)
		if err != nil {
			return FieldErrorf(CodeInvalidQuery, name, "%v", err)
		}
		bound(t)
		return nil
	}
	bare, not := strings.CutPrefix(name, "-")
	f, err := ParseField(bare)
	if err != nil {
		names := slices.Concat(queryNames(), other, []string{paramQuery})
		return FieldErrorf(CodeInvalidRequest, shorten(name), "unknown parameter%s", suggest(bare, names))
	}
	if err := f.checkValue(value); err != nil {
		return inParam(name, err)
	}
	q.add(Filter{Field: f, Values: []string{value}, Not: not})
	return nil
}

// merge narrows q by all that more says.
func (q *Query) merge(more Query) {
	for _, f := range more.Filters {
		q.add(f)
	}
	for _, b := range more.bounds() {
		q.bound(b.name)(b.t)
	}
}

// inParam names the parameter that an error is about.
func inParam(name string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return FieldErrorf(e.Code, name, "%s", e.Message)
	}
	return err
}
