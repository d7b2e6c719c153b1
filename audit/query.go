package audit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Field names what a filter looks at. Besides the constants, a field may be a
// path into metadata: "metadata.KEY", "actor.metadata.KEY" or
// "target.metadata.KEY", where KEY may go deeper with further dots (see
// [Field.MetadataPath]).
type Field string

// The fields of an entry that filters know. How each compares is said at
// [Query.Match].
const (
	FieldID         Field = "id"
	FieldAction     Field = "action" // exact, or a prefix ending in "*", such as "api_key.*"
	FieldVersion    Field = "version"
	FieldActorType  Field = "actor.type"
	FieldActorID    Field = "actor.id" // in text also "actor"
	FieldActorName  Field = "actor.name"
	FieldTargetType Field = "target.type"
	FieldTargetID   Field = "target.id" // in text also "target"
	FieldTargetName Field = "target.name"
	FieldLocation   Field = "location"
	FieldUserAgent  Field = "user_agent"
	FieldSchema     Field = "schema"
	FieldText       Field = "text" // free text: a substring, ignoring case
)

// Limits of a query, so that what a stranger asks stays cheap to read.
const (
	// MaxQueryBytes is the size of a query's text.
	MaxQueryBytes = 64 << 10
	// MaxQueryValues is the number of values in all filters of a query.
	MaxQueryValues = 1000
)

// Query says which entries of one organization are meant: those for which every
// filter holds and both times are in bounds. The zero Query means every entry.
//
// Filters on one field add up: what does not have Not becomes one filter that any
// of the values satisfies, what has Not becomes one that none may satisfy. Of
// [FieldText] all values must be there. [Query.Normalize] does the adding up.
//
// [Query.Match] is the definition of what a query finds; every engine is tested
// against it.
type Query struct {
	Filters []Filter
	// OccurredFrom ≤ occurred_at < OccurredTo; zero means unbounded.
	OccurredFrom, OccurredTo time.Time
	// ReceivedFrom ≤ received_at < ReceivedTo; zero means unbounded.
	ReceivedFrom, ReceivedTo time.Time
}

// Filter is one condition: the field has one of the values or, when Not, none
// of them. For targets, "has" means that one of the targets has it; conditions
// on type, id and name may be met by different targets.
type Filter struct {
	Field  Field
	Values []string
	Not    bool
}

// Normalize returns the query in its normal form, which finds the same: one
// filter for each field and Not, in the order of [Fields] with metadata before
// text; values sorted, without duplicates; times in UTC. It shares no memory with
// q.
func (q Query) Normalize() Query {
	n := Query{
		OccurredFrom: utc(q.OccurredFrom), OccurredTo: utc(q.OccurredTo),
		ReceivedFrom: utc(q.ReceivedFrom), ReceivedTo: utc(q.ReceivedTo),
	}
	for _, f := range q.Filters {
		n.add(f)
	}
	for i := range n.Filters {
		values := n.Filters[i].Values
		slices.Sort(values)
		n.Filters[i].Values = slices.Compact(values)
	}
	slices.SortFunc(n.Filters, func(a, b Filter) int {
		return cmp.Or(compareFields(a.Field, b.Field), compareBool(a.Not, b.Not))
	})
	return n
}

// add puts a filter's values with those of the same field and Not.
func (q *Query) add(f Filter) {
	for i := range q.Filters {
		if have := &q.Filters[i]; have.Field == f.Field && have.Not == f.Not {
			have.Values = append(have.Values, f.Values...)
			return
		}
	}
	f.Values = slices.Clone(f.Values)
	q.Filters = append(q.Filters, f)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0) // without a monotonic clock
}

// Validate says what is wrong with a query: an unknown field, a filter without
// values or with one that its field cannot have, times out of range or the wrong
// way round, too many values. Errors are *[Error] with code invalid_query.
func (q Query) Validate() error {
	total := 0
	for _, f := range q.Filters {
		if !f.Field.known() {
			return unknownField(string(f.Field))
		}
		if len(f.Values) == 0 {
			return Errorf(CodeInvalidQuery, "the filter on %s has no value", f.Field)
		}
		for _, v := range f.Values {
			if err := f.Field.checkValue(v); err != nil {
				return err
			}
		}
		total += len(f.Values)
	}
	if total > MaxQueryValues {
		return Errorf(CodeInvalidQuery, "the query has %d values, more than %d; ask in several queries", total, MaxQueryValues)
	}
	for _, b := range q.bounds() {
		if !inTime(b.t) {
			return Errorf(CodeInvalidQuery, "%s is %s; times are from 1970 to 2261", b.name, b.t.Format(time.RFC3339))
		}
	}
	return cmp.Or(
		checkRange(timeBound{rangeAfter, q.OccurredFrom}, timeBound{rangeBefore, q.OccurredTo}),
		checkRange(timeBound{rangeReceivedAfter, q.ReceivedFrom}, timeBound{rangeReceivedBefore, q.ReceivedTo}),
	)
}

// checkValue says whether a filter on the field can have the value.
func (f Field) checkValue(v string) error {
	_, _, metadata := f.MetadataPath()
	switch {
	case !utf8.ValidString(v) || !utf8.ValidString(string(f)):
		return Errorf(CodeInvalidQuery, "the filter on %q is not valid UTF-8", f)
	case v == "" && !metadata:
		return Errorf(CodeInvalidQuery, "the filter on %s has an empty value; leave the filter out to find every entry", f)
	case len(v) > MaxStringBytes:
		return Errorf(CodeInvalidQuery, "the filter on %s has a value of %d bytes; no entry has more than %d", f, len(v), MaxStringBytes)
	case f == FieldAction && strings.Contains(strings.TrimSuffix(v, "*"), "*"):
		return Errorf(CodeInvalidQuery, "%q has a * inside; an action may have one * at its end, as in api_key.*", shorten(v))
	case f == FieldVersion && !isVersion(v):
		return Errorf(CodeInvalidQuery, "%q is not a version; versions are numbers from 1 to 65535", shorten(v))
	case f == FieldSchema && v != SchemaUnregistered:
		return Errorf(CodeInvalidQuery, "schema is %q or nothing; write schema:%[1]s or -schema:%[1]s", SchemaUnregistered)
	}
	return nil
}

func isVersion(v string) bool {
	n, err := strconv.ParseUint(v, 10, 16)
	return err == nil && n > 0 && v == strconv.FormatUint(n, 10)
}

// checkRange says whether a range of time can have an entry.
func checkRange(from, to timeBound) error {
	if from.t.IsZero() || to.t.IsZero() || from.t.Before(to.t) {
		return nil
	}
	return Errorf(CodeInvalidQuery, "nothing can match: %s:%s is not earlier than %s:%s",
		from.name, formatQueryTime(from.t), to.name, formatQueryTime(to.t))
}

// inTime reports whether t may bound a range: the times an entry can have and
// the first moment after them.
func inTime(t time.Time) bool {
	return !t.Before(MinTime) && !t.After(MaxTime.Add(1))
}
