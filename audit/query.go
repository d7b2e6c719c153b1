package audit

import "time"

// Field names what a filter looks at. Besides the constants, a field may be a
// path into metadata: "metadata.KEY", "actor.metadata.KEY" or
// "target.metadata.KEY", where KEY may go deeper with further dots.
type Field string

// The fields of an entry that filters know.
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

// Query says which entries of one organization are meant. Filters on different
// fields must all hold; within one filter one value suffices. The zero Query
// means every entry.
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
