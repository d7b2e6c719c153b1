package logview

import (
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Chip is one condition of the filter, as it is shown below the search box.
type Chip struct {
	// Field is the field; "" for bounds of received_at.
	Field audit.Field
	Not   bool
	// Label and Verb are the words before Values, such as "Event type" "is". Is
	// and IsNot are the verbs that the field has.
	Label, Verb, Is, IsNot string
	Values                 []string
	// Terms is the condition in the filter language.
	Terms string
	// At is a bound of received_at, by the clocks of the view.
	At string
	// Without is the view that lacks it.
	Without View
}

// Name is the chip in words.
func (c Chip) Name() string {
	return c.Label + " " + c.Verb + " " + strings.Join(c.Values, " or ")
}

// Chips are the conditions of the filter, in the order of its text. Those on one
// field are one chip, but for texts, which must all be there.
func (v View) Chips() []Chip {
	var out []Chip
	for _, f := range v.Filter.Filters {
		if f.Field != audit.FieldText {
			out = append(out, v.chip(f))
			continue
		}
		for _, text := range f.Values {
			out = append(out, v.chip(audit.Filter{Field: f.Field, Not: f.Not, Values: []string{text}}))
		}
	}
	if at := v.Filter.ReceivedFrom; !at.IsZero() {
		out = append(out, v.boundChip("since", at, audit.Query{ReceivedFrom: at}))
	}
	if at := v.Filter.ReceivedTo; !at.IsZero() {
		out = append(out, v.boundChip("before", at, audit.Query{ReceivedTo: at}))
	}
	return out
}

func (v View) chip(f audit.Filter) Chip {
	q := audit.Query{Filters: []audit.Filter{f}}
	is, isNot := verbs(f.Field)
	verb := is
	if f.Not {
		verb = isNot
	}
	return Chip{
		Field: f.Field, Not: f.Not, Label: FieldLabel(f.Field), Verb: verb, Is: is, IsNot: isNot, Values: f.Values,
		Terms: q.String(), Without: v.WithFilter(subtract(v.Filter, q)),
	}
}

func (v View) boundChip(verb string, at time.Time, q audit.Query) Chip {
	return Chip{
		At: at.In(v.Zone).Format(time.RFC3339Nano), Label: "Recorded", Verb: verb, Values: []string{moment(at, v.Zone)},
		Terms: q.String(), Without: v.WithFilter(subtract(v.Filter, q)),
	}
}

// verbs say how a filter on a field compares.
func verbs(f audit.Field) (is, isNot string) {
	switch f {
	case audit.FieldActorName, audit.FieldTargetName, audit.FieldUserAgent, audit.FieldText:
		return "contains", "does not contain"
	default:
		return "is", "is not"
	}
}

// FieldLabel is a field as people read it.
func FieldLabel(f audit.Field) string {
	switch f {
	case audit.FieldID:
		return "Entry"
	case audit.FieldAction:
		return "Event type"
	case audit.FieldVersion:
		return "Version"
	case audit.FieldActorType:
		return "Actor type"
	case audit.FieldActorID:
		return "Actor"
	case audit.FieldActorName:
		return "Actor name"
	case audit.FieldTargetType:
		return "Target type"
	case audit.FieldTargetID:
		return "Target"
	case audit.FieldTargetName:
		return "Target name"
	case audit.FieldLocation:
		return "Location"
	case audit.FieldUserAgent:
		return "User agent"
	case audit.FieldSchema:
		return "Schema"
	case audit.FieldText:
		return "Text"
	default:
		return string(f)
	}
}

// subtract takes the values and bounds of less out of a query.
func subtract(q, less audit.Query) audit.Query {
	q, less = q.Normalize(), less.Normalize()
	var kept []audit.Filter
	for _, f := range q.Filters {
		for _, gone := range less.Filters {
			if gone.Field == f.Field && gone.Not == f.Not {
				f.Values = without(f.Values, gone.Values)
			}
		}
		if len(f.Values) > 0 {
			kept = append(kept, f)
		}
	}
	q.Filters = kept
	clearEqual(&q.ReceivedFrom, less.ReceivedFrom)
	clearEqual(&q.ReceivedTo, less.ReceivedTo)
	return q
}

func clearEqual(have *time.Time, gone time.Time) {
	if have.Equal(gone) {
		*have = time.Time{}
	}
}

func without(values, gone []string) []string {
	var kept []string
	for _, v := range values {
		if !slices.Contains(gone, v) {
			kept = append(kept, v)
		}
	}
	return kept
}
