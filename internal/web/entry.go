package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
	"github.com/stelehq/stele/internal/web/words"
)

// fragmentHeader is what scripts send to get the part of a page that they put in
// place, without the frame.
const fragmentHeader = "X-Fragment"

func (p *pages) entryRoutes() []server.Route {
	return []server.Route{
		get("log.entry", "audit-log/entries/{id}", auth.Person(), p.entry),
		get("log.proof", "audit-log/entries/{id}/proof", auth.Person(), p.proof),
		get("log.growth", "audit-log/consistency", auth.Person(), p.consistency),
		get("log.live", "audit-log/live", auth.Person(), p.live),
	}
}

// entry shows everything about one entry: as a page, or as what opens below its
// row.
func (p *pages) entry(w http.ResponseWriter, r *server.Request) error {
	e, err := p.Ledger.Entry(r.Context(), r.Organization.ID, r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := p.newEntryView(r, e)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", fragmentHeader)
	if r.Header.Get(fragmentHeader) != "" {
		return p.fragment(w, r, "entry", v)
	}
	p.opened(r)
	return p.show(w, r, "entry", view{
		Title: words.Shorten(v.Row.Sentence.String(), maxRowText), Section: "audit-log", Data: v,
		Scripts: []string{"js/entry.js", "js/verify.js", "js/keys.js"},
	})
}

// entryView is what entry.html shows.
type entryView struct {
	Row row
	// Number is the entry's seq, as everywhere.
	Number   uint64
	Occurred stamp
	Received stamp
	// Late says how long after it happened the entry was recorded, when that is
	// long.
	Late    string
	Actor   party
	Targets []party
	Changes []change
	// Unchanged are values that metadata has before and after, and are equal.
	Unchanged int
	Metadata  []field
	Location  shown
	UserAgent shown
	Client    *words.Client
	Schema    schemaNote
	// JSON is the API's, with line breaks.
	JSON string
	// SameAction and the others lead to lists.
	SameAction, SameAddress, SameSession string
	Proof                                proofNote
	// Erased says that the details were erased; nil when they are there.
	Erased *erasedNote
	// Held are the legal holds that keep the entry, for managers.
	Held []heldBy
	// Older and Newer are the neighbours in the list that the way back leads
	// to; Back is that list.
	Older, Newer, Back string
}

// party is an actor or a target.
type party struct {
	Icon, Kind string
	Type       shown
	ID, Name   shown
	Metadata   []field
	// Same is the list of what it did, or of what was done to it.
	Same string
	// At is where it is in the entry, such as "/targets/0".
	At string
	// Erased says that its name and metadata were erased, if it had any.
	Erased bool
}

// field is a member of metadata.
type field struct {
	Key, Label string
	// About is what the schema says of it.
	About string
	Value shown
}

// change is a value before and after.
type change struct {
	Label, About         string
	Before, After        shown
	Had, Has, List       bool
	Added, Removed, Kept []shown
}

// schemaNote is what the version of a schema says.
type schemaNote struct {
	Version     int
	Description string
	// Href is the page of the event type, "" when there is none.
	Href string
	// Unregistered says that there was no schema when the entry was recorded.
	Unregistered bool
}

// shown is a text of the product's, which may be long and hold anything.
type shown struct {
	Text string
	// Short is its beginning when it is Long.
	Short string
	Long  bool
	// Code says that it is no prose: JSON, a number, an id.
	Code bool
	// Hides says that it has characters that cannot be seen or turn its
	// direction.
	Hides bool
}

// maxShown is how many runes of a value are shown before the reader asks for all,
// maxLabel how many of its name; all of them are in the JSON.
const (
	maxShown = 280
	maxLabel = 80
)

func newShown(text string, code bool) shown {
	s := shown{Text: text, Code: code, Hides: words.Hides(text)}
	if short := words.Shorten(text, maxShown); short != text {
		s.Short, s.Long = short, true
	}
	return s
}

// newEntryView collects all there is to say about an entry.
func (p *pages) newEntryView(r *server.Request, e *event.Entry) (*entryView, error) {
	org := r.Organization.ID
	zone := p.zone(r).Location
	entry := e.Audit(org)
	in := rowContext{Org: org, Now: p.Now(), Zone: zone, Carry: r.URL.Query()}
	pretty, err := entryJSON(e, org)
	if err != nil {
		return nil, err
	}
	v := &entryView{
		Row: entryRow(&entry, in), Number: entry.Seq, JSON: pretty,
		Occurred: newStamp(entry.OccurredAt, in), Received: newStamp(entry.ReceivedAt, in),
		Location: newShown(entry.Context.Location, true), UserAgent: newShown(entry.Context.UserAgent, true),
	}
	if late := entry.ReceivedAt.Sub(entry.OccurredAt); late >= lateAfter {
		v.Late = words.Span(late)
	}
	if c, ok := words.ReadUserAgent(entry.Context.UserAgent); ok {
		v.Client = &c
	}
	s := p.schemaOf(&entry)
	v.Schema = schemaNoteOf(&entry, s)
	v.setMetadata(&entry, s)
	v.setParties(&entry, s)
	list := p.backList(r, zone)
	v.Back = list.URL()
	v.links(&entry, list)
	if v.Older, v.Newer, err = p.neighbours(r.Context(), org, list, e, in); err != nil {
		return nil, err
	}
	v.Proof = p.proofNote(r.Context(), org, e)
	if r.Session.Manager() {
		if v.Held, err = p.holdsOf(r, e); err != nil {
			return nil, err
		}
	}
	v.Erased, err = p.erasedNote(r, &entry)
	return v, err
}

// entryJSON is the entry exactly as the API answers it, on many lines.
func entryJSON(e *event.Entry, org string) (string, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, e.AppendJSON(nil, org), "", "  "); err != nil {
		return "", fmt.Errorf("indent entry %d: %w", e.Seq, err)
	}
	return out.String(), nil
}

// backList is the list that the person came from.
func (p *pages) backList(r *server.Request, zone *time.Location) logview.View {
	path := Base + "/audit-log"
	list, err := logview.Parse(path, r.URL.Query(), zone, p.Now())
	if err != nil { // the address was made by hand
		list, _ = logview.Parse(path, nil, zone, p.Now())
	}
	return list
}

// neighbours are the entries before and after in a list. In a log in which they
// are too far to be found in time there is no link to them.
func (p *pages) neighbours(ctx context.Context, org string, list logview.View, e *event.Entry, in rowContext) (older, newer string, err error) {
	q := list.Query()
	within, cancel := context.WithTimeout(ctx, neighbourTime)
	defer cancel()
	for _, ascending := range []bool{false, true} {
		after := search.Cursor{}.From(org, q, ascending, search.KeyOf(e))
		page, err := p.Engine.Search(within, org, search.Request{Query: q, Ascending: ascending, Limit: 1, After: &after})
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return older, newer, nil
		}
		if err != nil {
			return "", "", err
		}
		if len(page.Entries) == 0 {
			continue
		}
		href := entryURL(page.Entries[0].ID.String(), in.Carry)
		if ascending {
			newer = href
		} else {
			older = href
		}
	}
	return older, newer, nil
}

// schemaOf is the schema of an entry's action and version, nil without.
func (p *pages) schemaOf(e *audit.Entry) *schema.Schema {
	s, err := p.Schemas.Get(e.Action, e.Version)
	if err != nil {
		return nil
	}
	return s
}

func schemaNoteOf(e *audit.Entry, s *schema.Schema) schemaNote {
	n := schemaNote{Version: e.Version, Unregistered: e.Schema == audit.SchemaUnregistered}
	if s != nil {
		n.Description, n.Href = s.Description, Base+"/event-types/"+pathSegment(e.Action)
		return n
	}
	for _, own := range ownActions() {
		if own.Action == e.Action {
			n.Description, n.Href = own.Description, Base+"/event-types/"+pathSegment(e.Action)
			n.Unregistered = false
		}
	}
	return n
}

// setMetadata splits the entry's metadata into what changed and the rest.
func (v *entryView) setMetadata(e *audit.Entry, s *schema.Schema) {
	var about *schema.Property
	if s != nil {
		about = s.Metadata
	}
	set := words.Changes(e.Metadata)
	for _, c := range set.Pairs {
		v.Changes = append(v.Changes, newChange(c, about))
	}
	v.Unchanged = len(set.Same)
	used := set.Used
	if len(set.Pairs) == 0 {
		used, v.Unchanged = nil, 0
	}
	v.Metadata = fields(e.Metadata, about, used)
}

func newChange(c words.Change, about *schema.Property) change {
	out := change{Label: "Value", Had: c.Had, Has: c.Has, List: c.List, Before: newShown(c.Before, true), After: newShown(c.After, true)}
	if c.Field != "" {
		out.Label = words.Shorten(words.Title(c.Field), maxLabel)
		out.About = aboutOf(about, c.Field)
	}
	for _, list := range []struct {
		from []string
		to   *[]shown
	}{{c.Added, &out.Added}, {c.Removed, &out.Removed}, {c.Kept, &out.Kept}} {
		for _, text := range list.from {
			*list.to = append(*list.to, newShown(text, true))
		}
	}
	return out
}

// fields are the members of metadata in the order of their keys.
func fields(m audit.Metadata, about *schema.Property, without map[string]bool) []field {
	var out []field
	for _, key := range sortedNames(m) {
		if without[key] {
			continue
		}
		text, code := metadataText(m[key])
		out = append(out, field{Key: words.Shorten(key, maxRowTitle), Label: words.Shorten(words.Title(key), maxLabel), About: aboutOf(about, key), Value: newShown(text, code)})
	}
	return out
}

// metadataText writes a value of metadata, and says whether it is no prose.
func metadataText(v any) (text string, code bool) {
	switch v := v.(type) {
	case string:
		return v, !strings.Contains(v, " ")
	case map[string]any, []any:
		var pretty bytes.Buffer
		if json.Indent(&pretty, []byte(words.Value(v)), "", "  ") == nil {
			return pretty.String(), true
		}
	}
	return words.Value(v), true
}

func aboutOf(p *schema.Property, key string) string {
	if p == nil || p.Properties[key] == nil {
		return ""
	}
	return p.Properties[key].Description
}

func (v *entryView) setParties(e *audit.Entry, s *schema.Schema) {
	var about *schema.Property
	if s != nil && s.Actor != nil {
		about = s.Actor.Metadata
	}
	actor := audit.Target(e.Actor)
	v.Actor = newParty(&actor, "/actor", about)
	v.Actor.Icon = v.Row.Actor.Icon
	v.Actor.Erased = !e.ErasedAt.IsZero()
	for i := range e.Targets {
		t := &e.Targets[i]
		v.Targets = append(v.Targets, newParty(t, "/targets/"+strconv.Itoa(i), targetSchema(s, t.Type)))
		v.Targets[i].Erased = v.Actor.Erased
	}
}

func targetSchema(s *schema.Schema, kind string) *schema.Property {
	if s == nil {
		return nil
	}
	for i := range s.Targets {
		if s.Targets[i].Type == kind {
			return s.Targets[i].Metadata
		}
	}
	return nil
}

func newParty(t *audit.Target, at string, about *schema.Property) party {
	return party{
		Icon: "cube", Kind: words.Shorten(words.Title(t.Type), maxRowText), Type: newShown(t.Type, true),
		ID: newShown(t.ID, true), Name: newShown(t.Name, false), Metadata: fields(t.Metadata, about, nil), At: at,
	}
}
