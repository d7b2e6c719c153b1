package audit

// ParseQuery reads a filter as text.
func ParseQuery(text string) (Query, error) { panic("unfinished") }

// String is the canonical text of a query: [ParseQuery] gives back the
// normalized query.
func (q Query) String() string { panic("unfinished") }
