package web

import (
	"fmt"
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/web/logview"
	"github.com/stelehq/stele/internal/web/words"
)

// entriesPath is below which each entry has its page.
const entriesPath = Base + "/audit-log/entries/"

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
	// Occurred is when it happened, Order that as text that sorts as lists do.
	Occurred stamp
	Order    string
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
	// Relative is "5 min ago", Exact has day, time, seconds and zone.
	Relative, Exact string
	// Machine is for the datetime attribute.
	Machine string
}

// Limits of what a row shows of a text, in runes. The details show all.
const (
	maxRowText  = 200
	maxRowTitle = 400
)

// newRow makes the row of an entry. It shares nothing with e.
func newRow(e *event.Entry, in rowContext) row {
	entry := e.Audit(in.Org)
	return entryRow(&entry, in)
}

func entryRow(e *audit.Entry, in rowContext) row {
	marks := words.Marks(&e.Event)
	if !e.ErasedAt.IsZero() {
		marks = append(marks, words.Mark{Name: "erased", Text: "Details erased", Icon: "eraser", Tone: words.ToneNote})
	}
	return row{
		ID: e.ID, Seq: e.Seq, Href: entryURL(e.ID, in.Carry),
		Occurred: newStamp(e.OccurredAt, in), Order: fmt.Sprintf("%019d.%019d", e.OccurredAt.UnixNano(), e.Seq),
		Actor: newRowActor(&e.Actor), Sentence: words.Say(&e.Event), Action: e.Action,
		Location: words.Shorten(e.Context.Location, maxRowText), Marks: marks,
	}
}

// entryURL is the page of an entry.
func entryURL(id string, carry url.Values) string {
	u := url.URL{Path: entriesPath + id, RawQuery: carry.Encode()}
	return u.String()
}

func newRowActor(a *audit.Actor) rowActor {
	return rowActor{
		Type: a.Type, Kind: words.Shorten(words.Title(a.Type), maxRowText), ID: words.Shorten(a.ID, maxRowTitle),
		Name: words.Shorten(a.Name, maxRowText), Icon: actorIcon(a.Type),
	}
}

// actorIcon is the icon of a type of actor. The words are those of many products;
// a type that is not among them has the icon of a thing.
func actorIcon(kind string) string {
	switch kind {
	case "user", "person", "member", "admin", "employee", "owner", "portal":
		return "user"
	case "api_key", "token", "service_account", "key", "access_token", "oauth_client":
		return "key"
	case "system", "service", "server", "scheduler", "cron", "job":
		return "cog"
	case "workflow", "automation", "integration", "app", "bot":
		return "flow"
	case "alert", "monitor", "webhook":
		return "bell"
	}
	return "cube"
}

func newStamp(t time.Time, in rowContext) stamp {
	return stamp{
		Relative: words.Ago(t, in.Now, in.Zone),
		Exact:    exactTime(t, in.Zone),
		Machine:  t.UTC().Format(time.RFC3339Nano),
	}
}

// exactTime is a time to the millisecond, with its zone.
func exactTime(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Mon 2 Jan 2006, 15:04:05.000 ") + logview.Offset(t, zone) + zone.String()
}
