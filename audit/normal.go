package audit

// Normalize returns the query in its normal form, which means the same.
func (q Query) Normalize() Query { panic("unfinished") }

// Validate says what is wrong with a query; errors are *Error.
func (q Query) Validate() error { panic("unfinished") }

// ParseField reads the name of a field, or its short form "actor" and "target".
func ParseField(name string) (Field, error) { panic("unfinished") }
