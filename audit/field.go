package audit

import (
	"fmt"
	"slices"
	"strings"
)

// The parts of a query that are no fields: each bounds a time.
const (
	rangeAfter          = "after"
	rangeBefore         = "before"
	rangeReceivedAfter  = "received.after"
	rangeReceivedBefore = "received.before"
)

// Fields returns the fields that every entry has, in the order of a query's
// canonical text. Paths into metadata come besides.
func Fields() []Field {
	return []Field{
		FieldID, FieldAction, FieldVersion, FieldActorType, FieldActorID, FieldActorName,
		FieldTargetType, FieldTargetID, FieldTargetName, FieldLocation, FieldUserAgent, FieldSchema, FieldText,
	}
}

// ParseField reads the name of a field: one of [Fields], a path into metadata,
// or "actor" and "target", which are short for their ids. Errors are *[Error]
// with code invalid_query and suggest a field that exists.
func ParseField(name string) (Field, error) {
	switch f := Field(name); {
	case f == "actor":
		return FieldActorID, nil
	case f == "target":
		return FieldTargetID, nil
	case f.known():
		return f, nil
	}
	return "", unknownField(name)
}

// unknownField is the error for a name that is no field.
func unknownField(name string) error {
	switch name {
	case rangeAfter, rangeBefore, rangeReceivedAfter, rangeReceivedBefore:
		return Errorf(CodeInvalidQuery, "%q bounds a time: it is no field and has no values to compare or count", name)
	}
	return Errorf(CodeInvalidQuery, "unknown field %q%s", shorten(name), suggest(name, queryNames()))
}

// MetadataPath splits a path into metadata: whose metadata it is ("actor",
// "target" or, for the entry's own, ""), and the path in it. It reports false for
// any other field.
//
// A dot in the path goes one object deeper or is part of a key: both readings
// count, so that every key can be reached. Arrays are transparent: a path leads
// into each of their elements.
func (f Field) MetadataPath() (owner, path string, ok bool) {
	for _, owner := range []string{"", "actor", "target"} {
		prefix := "metadata."
		if owner != "" {
			prefix = owner + "." + prefix
		}
		if path, ok := strings.CutPrefix(string(f), prefix); ok && path != "" {
			return owner, path, true
		}
	}
	return "", "", false
}

// known reports whether f is a field, with its full name.
func (f Field) known() bool {
	_, _, ok := f.MetadataPath()
	return ok || slices.Contains(Fields(), f)
}

// rank is the field's place in canonical text: fixed fields, then metadata, then
// free text.
func (f Field) rank() int {
	fields := Fields()
	switch i := slices.Index(fields, f); {
	case f == FieldText:
		return len(fields) + 1
	case i < 0:
		return len(fields)
	default:
		return i
	}
}

// compareFields is the order of filters in canonical text.
func compareFields(a, b Field) int {
	if d := a.rank() - b.rank(); d != 0 {
		return d
	}
	return strings.Compare(string(a), string(b))
}

// queryNames are the names that may stand before a colon, paths left out.
func queryNames() []string {
	var names []string
	for _, f := range Fields() {
		names = append(names, string(f))
	}
	return append(names, "actor", "target", rangeAfter, rangeBefore, rangeReceivedAfter, rangeReceivedBefore)
}

// suggest ends an error about an unknown name with the name that was probably
// meant, or with all of them.
func suggest(name string, names []string) string {
	if meant := otherWord(name); meant != "" && slices.Contains(names, meant) {
		return fmt.Sprintf("; did you mean %q?", meant)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	names = slices.Sorted(slices.Values(names))
	return "; known are " + strings.Join(names, ", ") + ", metadata.KEY, actor.metadata.KEY and target.metadata.KEY"
}

// otherWord gives our word for what other audit logs call a field.
func otherWord(name string) string {
	switch strings.ToLower(name) {
	case "since", "from", "start", "occurred.after", "occurred_at", "date", "time":
		return rangeAfter
	case "until", "to", "end", "occurred.before":
		return rangeBefore
	case "received", "received_at":
		return rangeReceivedAfter
	case "user", "who", "by", "email":
		return "actor"
	case "resource", "object", "entity":
		return "target"
	case "event", "type", "event_type":
		return string(FieldAction)
	case "ip", "address", "ip_address", "context.location":
		return string(FieldLocation)
	case "agent", "useragent", "browser", "context.user_agent":
		return string(FieldUserAgent)
	case "name":
		return string(FieldActorName)
	default:
		return ""
	}
}

// nearest returns the name that is a slip of the finger away, "" when none is.
func nearest(name string, names []string) string {
	name = strings.ToLower(name)
	best, least := "", 3
	for _, n := range names {
		limit := min(least, 1+len(n)/3)
		if d := editDistance(name, n); d < limit {
			best, least = n, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, remove or replace to make b of a.
func editDistance(a, b string) int {
	if len(a) > 2*len(b)+2 { // far apart whatever the rest is
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// shorten keeps what an error quotes from filling the screen.
func shorten(s string) string {
	const most = 60
	runes := 0
	for i := range s {
		if runes++; runes > most {
			return s[:i] + "…"
		}
	}
	return s
}
