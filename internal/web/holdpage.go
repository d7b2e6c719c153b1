package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	holdsSection = "holds"
	// holdsPath is the list of holds; each is below it.
	holdsPath = Base + "/" + holdsSection
	// holdsTime bounds the work of counting what all holds of a list keep.
	holdsTime = 1500 * time.Millisecond
	// doCount counts what a hold would keep, and saves nothing.
	doCount = "count"
)

// holdRoutes are for managers: what a hold is for is not everybody's business.
func (p *pages) holdRoutes() []server.Route {
	managers := auth.Managers()
	const one = holdsSection + "/{id}"
	return []server.Route{
		get("page.holds", holdsSection, managers, p.listHolds),
		get("page.holds.new", holdsSection+"/new", managers, p.newHold),
		post("page.holds.create", holdsSection+"/new", managers, p.createHold),
		get("page.hold", one, managers, p.showHold),
		get("page.hold.edit", one+"/edit", managers, p.editHold),
		post("page.hold.update", one+"/edit", managers, p.updateHold),
		get("page.hold.confirm", one+"/lift", managers, p.confirmLift),
		post("page.hold.lift", one+"/lift", managers, p.liftHold),
	}
}

// holdsPage is what holds.html shows.
type holdsPage struct {
	Active, Past []holdRow
	Said         string
	// Full says that there can be no more of them.
	Full bool
	Max  int
}

// holdRow is a hold in the list and on its own page.
type holdRow struct {
	*retention.Hold

	Path string
	// LogURL is the list of what it covers, EntriesURL that of what is recorded
	// about it.
	LogURL, EntriesURL string
	Chips              []logview.Chip
	Range              string // of occurred_at, in words; "" without
	Who, LiftedWho     string
	ByKey, LiftedByKey bool
	StateText, Tone    string
	Active             bool
	Count              tally
}

// tally is how many entries there are, if that could be counted in time.
type tally struct {
	N  uint64
	Ok bool
}

func (p *pages) listHolds(w http.ResponseWriter, r *server.Request) error {
	all, err := p.Retention.Holds(r.Context(), r.Session.Organization)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), holdsTime)
	defer cancel()
	page := holdsPage{Said: heldSaid(r), Max: retention.MaxHolds}
	for _, h := range all {
		row := p.holdRow(r, h)
		if !row.Active {
			page.Past = append(page.Past, row)
			continue
		}
		row.Count = p.countHeld(ctx, h)
		page.Active = append(page.Active, row)
	}
	page.Full = len(page.Active) >= retention.MaxHolds
	return p.show(w, r, "holds", view{Title: "Legal holds", Section: holdsSection, Data: page})
}

// holdRow shows a hold, without what it keeps counted.
func (p *pages) holdRow(r *server.Request, h *retention.Hold) holdRow {
	row := holdRow{
		Hold: h, Path: holdPath(h), LogURL: Base + "/audit-log?range=all",
		EntriesURL: logURL(audit.Query{Filters: []audit.Filter{{Field: audit.FieldTargetID, Values: []string{h.ID}}}}),
		ByKey:      h.Owner.Type == retention.WhoKey, LiftedByKey: h.LiftedBy.Type == retention.WhoKey,
	}
	row.Who = whoWords(h.Owner.Name, h.Owner.ID, row.ByKey)
	row.LiftedWho = whoWords(h.LiftedBy.Name, h.LiftedBy.ID, row.LiftedByKey)
	switch h.State(p.Now()) {
	case retention.HoldActive:
		row.StateText, row.Tone, row.Active = "Active", "accent", true
	case retention.HoldLifted:
		row.StateText = "Lifted"
	case retention.HoldEnded:
		row.StateText = "Ended"
	}
	q, err := audit.ParseQuery(h.Query)
	if err != nil {
		return row
	}
	row.LogURL = logURL(q)
	if !q.OccurredFrom.IsZero() || !q.OccurredTo.IsZero() {
		row.Range = logview.Words(q.OccurredFrom, q.OccurredTo, p.zone(r).Location)
	}
	if v, err := logview.Parse(listPath, url.Values{"q": {h.Query}, "range": {logview.RangeAll}}, p.zone(r).Location, p.Now()); err == nil {
		row.Chips = v.Chips()
	}
	return row
}

func holdPath(h *retention.Hold) string { return holdsPath + "/" + url.PathEscape(h.ID) }

// countHeld counts the entries that a hold covers, as far as they are shown.
func (p *pages) countHeld(ctx context.Context, h *retention.Hold) tally {
	q, err := audit.ParseQuery(h.Query)
	if err != nil {
		return tally{}
	}
	return p.countQuery(ctx, h.Organization, q)
}

// countQuery counts entries. It is a help: what cannot be counted in time is not.
func (p *pages) countQuery(ctx context.Context, org string, q audit.Query) tally {
	months, err := search.ParseInterval("month", time.UTC)
	if err != nil {
		return tally{}
	}
	h, err := p.Engine.Histogram(ctx, org, q, months)
	if err != nil {
		return tally{}
	}
	return tally{h.Total, true}
}

// holdPage is what hold.html shows.
type holdPage struct {
	Hold holdRow
	Said string
	// Past is how many entries only holds keep: their time is over.
	Past tally
}

func (p *pages) showHold(w http.ResponseWriter, r *server.Request) error {
	h, err := p.holdOf(r)
	if err != nil {
		return err
	}
	page := holdPage{Hold: p.holdRow(r, h), Said: heldSaid(r)}
	p.countHold(r, h, &page)
	return p.show(w, r, "hold", view{Title: h.Name, Section: holdsSection, Data: page, Scripts: []string{"js/copy.js"}})
}

func (p *pages) holdOf(r *server.Request) (*retention.Hold, error) {
	return p.Retention.Hold(r.Context(), r.Session.Organization, r.PathValue("id"))
}

// countHold counts what a hold in force covers, and what of it is past its time.
func (p *pages) countHold(r *server.Request, h *retention.Hold, page *holdPage) {
	if !page.Hold.Active {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), holdsTime)
	defer cancel()
	page.Hold.Count = p.countHeld(ctx, h)
	q, err := audit.ParseQuery(h.Query)
	if err != nil {
		return
	}
	page.Past.Ok = true
	for _, due := range retention.Due(r.Organization, p.Now()) { // classes that do not overlap
		past, some := both(q, due)
		if !some {
			continue
		}
		n := p.countQuery(ctx, h.Organization, past)
		page.Past = tally{page.Past.N + n.N, page.Past.Ok && n.Ok}
	}
}

// both finds what two queries find, the second of which is one of [retention.Due]:
// it has no conditions but on the action and the end of received_at. It reports
// false when that is nothing.
func both(q, due audit.Query) (audit.Query, bool) {
	q = q.Normalize()
	if q.ReceivedTo.IsZero() || due.ReceivedTo.Before(q.ReceivedTo) {
		q.ReceivedTo = due.ReceivedTo
	}
	if !q.ReceivedFrom.IsZero() && !q.ReceivedFrom.Before(q.ReceivedTo) {
		return q, false
	}
	for _, class := range due.Filters {
		at := slices.IndexFunc(q.Filters, func(f audit.Filter) bool { return f.Field == class.Field && f.Not == class.Not })
		switch {
		case at < 0:
			q.Filters = append(q.Filters, class)
		case class.Not:
			q.Filters[at].Values = append(q.Filters[at].Values, class.Values...)
		default:
			if q.Filters[at].Values = bothActions(q.Filters[at].Values, class.Values); len(q.Filters[at].Values) == 0 {
				return q, false
			}
		}
	}
	return q, true
}

// bothActions are the actions that are in both lists of patterns.
func bothActions(a, b []string) []string {
	var out []string
	for _, x := range a {
		for _, y := range b {
			switch {
			case covers(x, y):
				out = append(out, y)
			case covers(y, x):
				out = append(out, x)
			}
		}
	}
	return out
}

// covers reports whether a pattern of actions has all those of another.
func covers(outer, inner string) bool {
	start, wild := strings.CutSuffix(outer, "*")
	return outer == inner || wild && strings.HasPrefix(inner, start)
}

// confirmLift asks whether a hold is really to be lifted, and says what that does.
func (p *pages) confirmLift(w http.ResponseWriter, r *server.Request) error {
	h, err := p.holdOf(r)
	if err != nil {
		return err
	}
	return p.showLift(w, r, h, "", nil)
}

// liftPage is what hold-lift.html shows.
type liftPage struct {
	holdPage

	Reason string
	Fault  *audit.Error
}

// FaultOf is what is wrong with a field, "" for nothing.
func (l *liftPage) FaultOf(field string) string { return faultOf(l.Fault, field, "reason") }

func (p *pages) showLift(w http.ResponseWriter, r *server.Request, h *retention.Hold, reason string, fault *audit.Error) error {
	page := &liftPage{holdPage: holdPage{Hold: p.holdRow(r, h)}, Reason: reason, Fault: fault}
	p.countHold(r, h, &page.holdPage)
	v := view{Title: "Lift legal hold", Section: holdsSection, Data: page}
	if fault != nil {
		v.Status = server.StatusOf(fault.Code)
	}
	return p.show(w, r, "hold-lift", v)
}

func (p *pages) liftHold(w http.ResponseWriter, r *server.Request) error {
	h, err := p.holdOf(r)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		return p.showLift(w, r, h, "", audit.FieldErrorf(audit.CodeInvalidRequest, "reason", "say why it is lifted: that is recorded"))
	}
	_, err = p.Retention.LiftHold(r.Context(), h.Organization, h.ID, reason, p.retainer(r))
	if fault := shownFault(err); fault != nil {
		return p.showLift(w, r, h, reason, fault)
	}
	if err != nil {
		return err
	}
	p.lead(w, r, holdPath(h)+"?done=lifted")
	return nil
}

// heldSaid is what the form before led here to say.
func heldSaid(r *server.Request) string {
	switch r.URL.Query().Get("done") {
	case "created":
		return "The hold is in force. What it covers stays, whatever the retention says, and cannot be erased."
	case "changed":
		return "The changes are saved."
	case "lifted":
		return "The hold is lifted. What is past its time, and under no other hold, is hidden from now on."
	}
	return ""
}

// heldBy is a hold that keeps an entry.
type heldBy struct{ Name, Path string }

// holdsOf are the holds in force that keep an entry.
func (p *pages) holdsOf(r *server.Request, e *event.Entry) ([]heldBy, error) {
	org := r.Session.Organization
	keep, err := p.Retention.Keep(org, p.Now())
	if err != nil || !keep.Held(e) {
		return nil, err
	}
	all, err := p.Retention.Holds(r.Context(), org)
	if err != nil {
		return nil, err
	}
	var exact, covers []heldBy
	for _, h := range all {
		if h.State(p.Now()) != retention.HoldActive || !matches(h.Query, e) {
			continue
		}
		by := heldBy{h.Name, holdPath(h)}
		covers = append(covers, by)
		if !matchesAny(h.Due, e) {
			exact = append(exact, by)
		}
	}
	if len(exact) > 0 {
		return exact, nil
	}
	return covers, nil // by what another hold kept when it was made
}

// matches reports whether the text of a query finds an entry.
func matches(text string, e *event.Entry) bool {
	q, err := audit.ParseQuery(text)
	return err == nil && search.Compile(q).Match(e)
}

func matchesAny(texts []string, e *event.Entry) bool {
	for _, text := range texts {
		if matches(text, e) {
			return true
		}
	}
	return false
}
