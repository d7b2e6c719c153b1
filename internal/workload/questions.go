package workload

import (
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
)

// PageSize is the limit of the questions that ask for entries.
const PageSize = 50

// Question is one of the questions of the measurements, Q1 to Q7. They are asked
// of the big organization.
type Question struct {
	// Name says which it is and what it asks.
	Name string
	// Days says that the answer is a count by day, in UTC. Of the others it is
	// the newest PageSize entries that match.
	Days bool
	// At is the query of the i-th run, i ≥ 0. Its parameters change from run to
	// run and are the same every time, so that answers can be compared.
	At func(i int) audit.Query
}

// Questions are all of them, in order.
func Questions() []Question {
	names := Actions()
	return []Question{
		{Name: "Q1 latest 50", At: func(int) audit.Query { return audit.Query{} }},
		{Name: "Q1 50 before a date", At: func(i int) audit.Query { return audit.Query{OccurredTo: someDay(i + 60)} }},
		{Name: "Q2 rare action", At: func(i int) audit.Query {
			return audit.Query{Filters: []audit.Filter{is(audit.FieldAction, RareAction)}, OccurredTo: someDay(i + 299)}
		}},
		{Name: "Q3 an actor", At: func(i int) audit.Query { return audit.Query{Filters: []audit.Filter{actor(i)}} }},
		{Name: "Q4 a target", At: func(i int) audit.Query {
			return audit.Query{Filters: []audit.Filter{is(audit.FieldTargetID, TargetID((100+7*i)%targets))}}
		}},
		{Name: "Q5 3 actions, actor, 30 days", At: func(i int) audit.Query {
			return audit.Query{
				Filters:      []audit.Filter{is(audit.FieldAction, names[1], names[5], names[9]), actor(i)},
				OccurredFrom: someDay(i), OccurredTo: someDay(i).AddDate(0, 0, 30),
			}
		}},
		{Name: "Q6 histogram by day, 90 days", Days: true, At: func(i int) audit.Query {
			return audit.Query{OccurredFrom: someDay(i), OccurredTo: someDay(i).AddDate(0, 0, 90)}
		}},
		{Name: "Q7 substring", At: func(i int) audit.Query {
			return audit.Query{Filters: []audit.Filter{is(audit.FieldText, fmt.Sprintf("INC-%d", 1000+13*i%9000))}}
		}},
	}
}

func is(f audit.Field, values ...string) audit.Filter {
	return audit.Filter{Field: f, Values: values}
}

// actor is a user neither among the most frequent nor among the rarest.
func actor(i int) audit.Filter { return is(audit.FieldActorID, UserID(5+i%(users-5))) }

// someDay is a day of the year, not among the first 30: most questions then have
// an answer.
func someDay(i int) time.Time { return Start().AddDate(0, 0, 30+i%300) }
