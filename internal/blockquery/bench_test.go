package blockquery_test

import (
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

// benchQueries are the questions that the program is measured with, put so that
// the block has something to find.
func benchQueries(b *testBlock) map[string]audit.Query {
	middle := &b.entries[len(b.entries)/2].Event
	target, rare, ticket := "", "", ""
	for i := range b.plain {
		e := &b.plain[i]
		if len(e.Targets) > 0 {
			target = e.Targets[0].ID
		}
		if e.Action == workload.RareAction {
			rare = e.Action
		}
		if v, ok := e.Metadata["ticket"].(string); ok {
			ticket = v
		}
	}
	if rare == "" {
		rare = string(b.entries[3].Action)
	}
	filter := func(f audit.Field, values ...string) audit.Filter { return audit.Filter{Field: f, Values: values} }
	of := func(filters ...audit.Filter) audit.Query { return audit.Query{Filters: filters} }
	day := time.Unix(0, middle.OccurredAt).UTC().Truncate(24 * time.Hour)
	three := of(filter(audit.FieldAction, string(middle.Action), string(b.entries[0].Action), string(b.entries[1].Action)),
		filter(audit.FieldActorID, string(middle.Actor.ID)))
	three.OccurredFrom, three.OccurredTo = day, day.AddDate(0, 0, 30)
	return map[string]audit.Query{
		"Q1":          {OccurredTo: day.AddDate(0, 0, 1)},
		"Q2":          of(filter(audit.FieldAction, rare)),
		"Q3":          of(filter(audit.FieldActorID, string(middle.Actor.ID))),
		"Q4":          of(filter(audit.FieldTargetID, target)),
		"Q5":          three,
		"Q6":          {OccurredFrom: day, OccurredTo: day.AddDate(0, 0, 90)},
		"Q7":          of(filter(audit.FieldText, ticket)),
		"rarely meet": rarelyMeet(b),
	}
}

// rarelyMeet asks for two values that are in many entries and together in few.
func rarelyMeet(b *testBlock) audit.Query {
	actions, actors := map[string]int{}, map[string]int{}
	both := map[[2]string]int{}
	for i := range b.plain {
		e := &b.plain[i]
		actions[e.Action]++
		actors[e.Actor.ID]++
		both[[2]string{e.Action, e.Actor.ID}]++
	}
	var best [2]string
	most := 0.0
	for pair, n := range both {
		if common := float64(min(actions[pair[0]], actors[pair[1]])) / float64(n); common > most || common == most && pair[0]+pair[1] < best[0]+best[1] {
			best, most = pair, common
		}
	}
	return audit.Query{Filters: []audit.Filter{
		{Field: audit.FieldAction, Values: []string{best[0]}}, {Field: audit.FieldActorID, Values: []string{best[1]}},
	}}
}
