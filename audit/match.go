package audit

// Match reports whether the query finds the entry. It is the definition of
// search.
func (q Query) Match(e *Entry) bool { panic("unfinished") }
