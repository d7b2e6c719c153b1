package web

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// The actions that the pages themselves record.
const (
	actionOpened           = "audit_log.opened"
	actionExported         = "audit_log.exported"
	actionExportDownloaded = "audit_log.export_downloaded"
	actionExportCanceled   = "audit_log.export_canceled"
)

// ownAction describes an action that this server records by itself, for the
// catalogue: products register no schemas for these.
type ownAction struct {
	Action, Description string
	// Targets and Metadata say what its events have, as a schema does.
	Targets  []schema.Target
	Metadata *schema.Property
}

// schema is what the catalogue shows of the action. It is not registered: own
// events are not checked.
func (o ownAction) schema() *schema.Schema {
	return &schema.Schema{Action: o.Action, Version: 1, Description: o.Description, Targets: o.Targets, Metadata: o.Metadata}
}

// ownActions are all of them.
func ownActions() []ownAction {
	ofExport := []schema.Target{{Type: targetExport}}
	return append([]ownAction{
		{Action: actionOpened, Description: "Someone looked at the audit log. Recorded at most once an hour for each person."},
		{Action: actionExported, Description: "Someone asked for an export of the audit log.", Targets: ofExport, Metadata: exportedMetadata()},
		{Action: actionExportDownloaded, Description: "Someone downloaded the file of an export. Recorded once an hour, also when it is fetched in parts.", Targets: ofExport},
		{Action: actionExportCanceled, Description: "Someone canceled an export before it was done. There is no file.", Targets: ofExport},
	}, slices.Concat(streamActions(), keepingActions())...)
}

// keepingActions are what is recorded about how long entries are kept, and about
// those whose details were erased.
func keepingActions() []ownAction {
	ofOrganization := []schema.Target{{Type: "organization"}}
	ofCertificate := []schema.Target{{Type: "certificate"}}
	ofHold := []schema.Target{{Type: "legal_hold"}}
	return []ownAction{
		{
			Action: retention.ActionChanged, Description: "Someone changed how long entries are kept.", Targets: ofOrganization,
			Metadata: textMetadata([]string{"from", "to"}, map[string]string{"from": "The policy before, in words.", "to": "The policy after."}),
		},
		{
			Action: retention.ActionApplied, Description: "Entries whose time was over were removed for good. A signed certificate says the same.", Targets: ofCertificate,
			Metadata: numberMetadata(textMetadata([]string{"policy", "certificate"}, map[string]string{
				"policy": "How long entries were kept, in words.", "certificate": "The id of the certificate.",
				"oldest": "The first received_at of what was removed.", "newest": "The last.",
			}), map[string]string{
				"from_seq": "The first entry of the range.", "to_seq": "The first behind it.", "removed": "How many entries of the range were removed.",
				"held": "How many stayed under legal holds.",
			}),
		},
		{Action: retention.ActionHoldCreated, Description: "Someone placed a legal hold: what its filter finds stays, and cannot be erased.", Targets: ofHold, Metadata: holdMetadata()},
		{Action: retention.ActionHoldChanged, Description: "Someone changed the name, the reason or the end of a legal hold.", Targets: ofHold, Metadata: holdMetadata()},
		{Action: retention.ActionHoldLifted, Description: "Someone lifted a legal hold: it keeps nothing any more.", Targets: ofHold, Metadata: holdMetadata()},
		{Action: retention.ActionHoldEnded, Description: "The end of a legal hold has come: it keeps nothing any more.", Targets: ofHold, Metadata: holdMetadata()},
		{
			Action: erasure.ActionErased, Description: "The details of every entry about somebody were erased: names, metadata, addresses, browsers. The target is the id that was erased.",
			Metadata: numberMetadata(textMetadata([]string{"erasure_id"}, map[string]string{
				"erasure_id": "The id of the erasure.", "reference": "What it was for, such as the number of a request.",
			}), map[string]string{
				"entries": "How many entries were erased.", "held": "How many stayed under legal holds.", "removed_exports": "How many files of exports were removed.",
				"through_seq": "The last entry that was looked at.",
			}),
		},
	}
}

// holdMetadata describes the metadata of entries about legal holds.
func holdMetadata() *schema.Property {
	return textMetadata(nil, map[string]string{
		"query": "What the hold covers; empty for every entry.", "reason": "Why, in words.", "ends_at": "When it is over by itself, RFC 3339.",
	})
}

// textMetadata describes metadata that consists of texts.
func textMetadata(required []string, about map[string]string) *schema.Property {
	out := &schema.Property{Type: schema.TypeObject, Required: required, Properties: map[string]*schema.Property{}}
	for name, description := range about {
		out.Properties[name] = &schema.Property{Type: schema.TypeString, Description: description}
	}
	return out
}

// targetStream is the type of target that a log stream is.
const targetStream = "log_stream"

// streamActions are what is recorded about log streams.
func streamActions() []ownAction {
	var out []ownAction
	for _, a := range [][2]string{
		{stream.ActionCreated, "Someone added a log stream, which delivers the log to another system."},
		{stream.ActionUpdated, "Someone changed a log stream. The metadata names the fields; secrets are not in it."},
		{stream.ActionDeleted, "Someone deleted a log stream."},
		{stream.ActionPaused, "Someone paused a log stream. It goes on where it stopped."},
		{stream.ActionResumed, "Someone resumed a log stream, or had a failing one ask its destination again."},
		{stream.ActionStateChanged, "A log stream came into another state, such as invalid when the destination refuses its credentials. A failure that is over within a minute is not recorded."},
		{stream.ActionLagExceeded, "A log stream is further behind than its notice of lag allows."},
		{stream.ActionLagRecovered, "A log stream is no longer further behind than its notice of lag allows."},
		{stream.ActionReplayStarted, "Someone had a part of the log, or dead letters, delivered again."},
		{stream.ActionReplayEnded, "A replay of a log stream is through, or was canceled."},
		{stream.ActionDiscarded, "Someone discarded dead letters: events that a destination refused. They stay in the log."},
		{stream.ActionReconciled, "What lies at a log stream's destination was compared with the log. The metadata says in detail what came of it."},
	} {
		out = append(out, ownAction{Action: a[0], Description: a[1], Targets: []schema.Target{{Type: targetStream}}, Metadata: streamMetadata()})
	}
	return out
}

// streamMetadata describes the metadata of entries about log streams.
func streamMetadata() *schema.Property {
	text := func(description string) *schema.Property {
		return &schema.Property{Type: schema.TypeString, Description: description}
	}
	return &schema.Property{
		Type: schema.TypeObject, Required: []string{"kind"},
		Properties: map[string]*schema.Property{
			"kind": text("The kind of destination."), "from": text("The state before."), "to": text("The state after."),
			"fields": text("What was changed, by name."), "replay": text("The replay's id."), "detail": text("More about it, in words."),
		},
	}
}

// numberMetadata adds whole numbers to metadata.
func numberMetadata(to *schema.Property, about map[string]string) *schema.Property {
	for name, description := range about {
		to.Properties[name] = &schema.Property{Type: schema.TypeInteger, Description: description}
	}
	return to
}

// maxAgentBytes is how much of a user agent an own entry keeps: real ones are
// shorter, and a header may be longer than an event.
const maxAgentBytes = 1024

// personEvent is an event of what the person of a session does now: with the
// person as actor, from where they are.
func (p *pages) personEvent(r *server.Request, action string) audit.Event {
	return audit.Event{
		Action: action, Version: 1, OccurredAt: p.Now().UTC(), Actor: actorOf(r.Session),
		Context: audit.Context{Location: p.clientAddress(r.Request), UserAgent: plain(r.UserAgent(), maxAgentBytes)},
	}
}

// actorOf is the person of a session as an actor. When the product did not say
// who it is, only the session is known.
func actorOf(s *auth.Session) audit.Actor {
	if s.PersonID == "" {
		return audit.Actor{Type: "portal", ID: s.ID, Name: s.PersonName}
	}
	return audit.Actor{Type: "user", ID: s.PersonID, Name: s.PersonName}
}

// plain is text that an event can hold, of at most limit bytes.
func plain(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// openedEvery is how often looking at the log is recorded, for one person.
const openedEvery = time.Hour

// openings folds what people look at: that someone opened the log is an entry
// once an hour, whatever they look at then. The log itself says when that was
// last, so that a restart changes nothing; what is remembered here only saves
// asking it.
type openings struct {
	mu   sync.Mutex // never held while asking or recording
	seen map[opening]time.Time
	busy map[opening]bool // being asked for and recorded, so that two pages at once make one entry
}

// opening is whose: an organization and an actor.
type opening struct{ org, actorType, actorID string }

const (
	// maxOpenings bounds what is remembered. When it is full, all is forgotten.
	maxOpenings = 16384
	// openedTime is how long a page waits for it to be on record that it was
	// opened.
	openedTime = 5 * time.Second
)

// begin says whether it is for the caller to ask and record; it then calls end.
// When somebody else is at it, the caller's page need not wait for them.
func (o *openings) begin(who opening, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, ok := o.seen[who]; o.busy[who] || ok && now.Sub(last) < openedEvery {
		return false
	}
	if o.busy == nil {
		o.busy = map[opening]bool{}
	}
	o.busy[who] = true
	return true
}

// end remembers when it was recorded last; zero when that did not work.
func (o *openings) end(who opening, last time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.busy, who)
	if last.IsZero() {
		return
	}
	if o.seen == nil || len(o.seen) >= maxOpenings {
		o.seen = map[opening]time.Time{}
	}
	o.seen[who] = last
}

// opened records that the person of a session looks at the log, unless that was
// recorded within the hour. A disabled log takes no entries, this one included. What
// else keeps it from being recorded, such as a full disk, is noted in the server's
// own log, and reading goes on.
func (p *pages) opened(r *server.Request) {
	err := p.recordOpened(r.Context(), r)
	if err != nil && !errors.Is(err, &audit.Error{Code: audit.CodeLogDisabled}) {
		r.Log(slog.String("opened_not_recorded", err.Error()))
	}
}

// recordOpened does not end with the request: another page of the same person may
// count on it.
func (p *pages) recordOpened(ctx context.Context, r *server.Request) error {
	e := p.personEvent(r, actionOpened)
	who := opening{r.Session.Organization, e.Actor.Type, e.Actor.ID}
	if !p.openings.begin(who, e.OccurredAt) {
		return nil
	}
	var last time.Time
	defer func() { p.openings.end(who, last) }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openedTime)
	defer cancel()
	found, err := p.lastOpened(ctx, who, e.OccurredAt.Add(-openedEvery))
	if err != nil {
		return err
	}
	if found.IsZero() {
		if err := p.Journal.Record(ctx, who.org, e); err != nil {
			return err
		}
		found = e.OccurredAt
	}
	last = found
	return nil
}

// lastOpened is when the log has it that someone opened it, after since; zero
// when it has not.
func (p *pages) lastOpened(ctx context.Context, who opening, since time.Time) (time.Time, error) {
	page, err := p.Engine.Search(ctx, who.org, search.Request{Limit: 1, Query: audit.Query{
		OccurredFrom: since.Add(time.Nanosecond),
		Filters: []audit.Filter{
			{Field: audit.FieldAction, Values: []string{actionOpened}},
			{Field: audit.FieldActorType, Values: []string{who.actorType}},
			{Field: audit.FieldActorID, Values: []string{who.actorID}},
		},
	}})
	if err != nil || len(page.Entries) == 0 {
		return time.Time{}, err
	}
	return time.Unix(0, page.Entries[0].OccurredAt).UTC(), nil
}
