package audit

import "net/url"

// Values is the query as parameters of a URL.
func (q Query) Values() url.Values { panic("unfinished") }

// QueryFromValues reads a query from the parameters of a URL. other are the
// caller's own parameters.
func QueryFromValues(v url.Values, other ...string) (Query, error) { panic("unfinished") }
