package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
)

// params are a request's query parameters, each given once at most.
type params url.Values

// parseParams reads the query and refuses a parameter that is not known: a
// mistyped filter must not look like an answer.
func parseParams(r *server.Request, known ...string) (params, error) {
	values, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	for name := range values {
		if !slices.Contains(known, name) {
			return nil, unknownParam(name, known)
		}
	}
	return once(values, known)
}

func unknownParam(name string, known []string) error {
	if len(known) == 0 {
		return audit.FieldErrorf(audit.CodeInvalidRequest, name, "there is no such parameter: this takes none")
	}
	return audit.FieldErrorf(audit.CodeInvalidRequest, name, "there is no such parameter: this takes %s", strings.Join(known, ", "))
}

// parseFilters reads the query of a route that takes filters beside parameters
// of its own.
func parseFilters(r *server.Request, own ...string) (params, audit.Query, error) {
	values, err := parseQuery(r)
	if err != nil {
		return nil, audit.Query{}, err
	}
	query, err := audit.QueryFromValues(values, own...)
	if err != nil {
		return nil, audit.Query{}, err
	}
	p, err := once(values, own)
	return p, query, err
}

func parseQuery(r *server.Request) (url.Values, error) {
	if r.URL.RawQuery == "" {
		return nil, nil //nolint:nilnil // no parameters, and a nil map reads as that
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, audit.Errorf(audit.CodeInvalidRequest, "the query of the URL cannot be read: %v", err)
	}
	return values, nil
}

func once(values url.Values, names []string) (params, error) {
	for _, name := range names {
		if len(values[name]) > 1 {
			return nil, audit.FieldErrorf(audit.CodeInvalidRequest, name, "is given more than once")
		}
	}
	return params(values), nil
}

// text returns a parameter, "" when it is not there.
func (p params) text(name string) string { return url.Values(p).Get(name) }

// has reports whether a parameter is there, be it empty.
func (p params) has(name string) bool { return url.Values(p).Has(name) }

// limit returns the parameter of that name, from 1 to audit.MaxQueryLimit.
func (p params) limit(standard int) (int, error) {
	const name = "limit"
	if !p.has(name) {
		return standard, nil
	}
	n, err := strconv.Atoi(p.text(name))
	if err != nil || n < 1 || n > audit.MaxQueryLimit {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be a number from 1 to %d", audit.MaxQueryLimit)
	}
	return n, nil
}

// parsePage reads the query of a list that takes nothing else: the cursor, "" at
// its beginning, and the most that a page of it has.
func parsePage(r *server.Request) (cursor string, limit int, err error) {
	p, err := parseParams(r, "limit", "cursor")
	if err != nil {
		return "", 0, err
	}
	limit, err = p.limit(defaultList)
	return p.text("cursor"), limit, err
}

// flag returns a parameter that is true or false, false when it is not there.
func (p params) flag(name string) (bool, error) {
	switch p.text(name) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "":
		if !p.has(name) {
			return false, nil
		}
	}
	return false, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be true or false")
}

// choice returns a parameter that is one of several words, the first when it is
// not there.
func (p params) choice(name string, words ...string) (string, error) {
	if !p.has(name) {
		return words[0], nil
	}
	word := p.text(name)
	if !slices.Contains(words, word) {
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be one of %q", words)
	}
	return word, nil
}

// version returns a parameter that is a version of a schema, standard when it
// is not there.
func (p params) version(name string, standard int) (int, error) {
	if !p.has(name) {
		return standard, nil
	}
	return parseVersion(name, p.text(name))
}

func parseVersion(name, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be a number from 1")
	}
	return n, nil
}
