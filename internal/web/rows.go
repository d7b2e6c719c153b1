package web

import (
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/web/words"
)

// entriesPath is below which each entry has its page.
const entriesPath = "/settings/security/audit-log/entries/"

// rowContext is what the rows of one answer share.
type rowContext struct {
	Org  string
	Now  time.Time
	Zone *time.Location
	// Carry is what of the list's address goes into the links of rows, so that
	// the way back leads to the same list: q, range, from, to, cursor, tz, embed.
	Carry url.Values
}

// row is an entry in a list. Templates show it with "row".
type row struct {
	ID  string
	Seq uint64
	// Href is the page of the entry, with the way back to the list.
	Href string
	// Occurred is when it happened.
	Occurred stamp
	Actor    rowActor
	// Sentence is what happened; its Actor is shown in Actor.
	Sentence words.Sentence
	Action   string
	Location string
	Marks    []words.Mark
}

// rowActor is the actor of a row.
type rowActor struct {
	// Type is the product's word, Kind that word as people read it.
	Type, Kind string
	ID, Name   string
	// Icon is the name of the icon of its type.
	Icon string
}

// stamp is a time, as people and machines read it.
type stamp struct {
	// Relative is "5 minutes ago", Exact has day, time, seconds and zone.
	Relative, Exact string
	// Machine is for the datetime attribute.
	Machine string
}

// newRow makes the row of an entry. It shares nothing with e.
func newRow(e *event.Entry, in rowContext) row {
	entry := e.Audit(in.Org)
	return entryRow(&entry, in)
}

func entryRow(e *audit.Entry, in rowContext) row {
	r := row{
		ID: e.ID, Seq: e.Seq, Action: e.Action, Location: e.Context.Location,
		Sentence: words.Say(&e.Event), Occurred: newStamp(e.OccurredAt, in),
		Actor: rowActor{Type: e.Actor.Type, Kind: e.Actor.Type, ID: e.Actor.ID, Name: e.Actor.Name, Icon: "user"},
	}
	u := url.URL{Path: entriesPath + e.ID, RawQuery: in.Carry.Encode()}
	r.Href = u.String()
	return r
}

func newStamp(t time.Time, in rowContext) stamp {
	local := t.In(in.Zone)
	return stamp{
		Relative: local.Format("2 Jan 2006"),
		Exact:    local.Format("Mon 2 Jan 2006, 15:04:05.000 MST"),
		Machine:  t.UTC().Format(time.RFC3339Nano),
	}
}
