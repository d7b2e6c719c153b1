package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/server"
)

const (
	erasureSection = "erasure"
	// erasurePath is the list of erasures; each is below it.
	erasurePath = Base + "/" + erasureSection
	// erasuresPerPage is how many erasures one page lists.
	erasuresPerPage = 25
	// typedFrom is from how many entries on a number is typed to confirm that
	// they go.
	typedFrom = 1000
)

// What the buttons of forms in two steps ask for.
const (
	doPreview = "preview"
	doEdit    = "edit"
	doConfirm = "confirm"
)

// erasureRoutes are for managers: what is erased is gone.
func (p *pages) erasureRoutes() []server.Route {
	managers := auth.Managers()
	const one = erasureSection + "/{id}"
	return []server.Route{
		get("page.erasures", erasureSection, managers, p.listErasures),
		get("page.erasures.new", erasureSection+"/new", managers, p.newErasure),
		post("page.erasures.create", erasureSection+"/new", managers, p.createErasure),
		get("page.erasure", one, managers, p.showErasure),
		get("page.erasure.status", one+"/status", managers, p.erasureStatus),
	}
}

// erasuresPage is what erasures.html shows.
type erasuresPage struct {
	Erasures []erasureRow
	// Later says that the page is not the first; Older leads to the next.
	Later bool
	Older string
}

func (p *pages) listErasures(w http.ResponseWriter, r *server.Request) error {
	after := r.URL.Query().Get("cursor")
	list, more, err := p.Erasures.List(r.Context(), r.Session.Organization, after, erasuresPerPage)
	if err != nil {
		return err
	}
	page := erasuresPage{Later: after != ""}
	for i := range list {
		page.Erasures = append(page.Erasures, erasureRowOf(&list[i]))
	}
	if more {
		page.Older = erasurePath + "?cursor=" + url.QueryEscape(list[len(list)-1].ID)
	}
	return p.show(w, r, "erasures", view{Title: "Erasure", Section: erasureSection, Data: page})
}

// erasureForm is the form of an erasure: what was typed, what is wrong with it,
// and what a dry run found.
type erasureForm struct {
	Subject, Type, Reference string
	Fault                    *audit.Error
	// Preview is what it would do; nil before that was asked for.
	Preview *erasure.Preview
	Confirm confirmation
}

// FaultOf is what is wrong with a field, "" for nothing. The empty name is what
// is about no field.
func (f *erasureForm) FaultOf(field string) string {
	return faultOf(f.Fault, field, "subject", "subject_type", "reference", "typed")
}

// faultOf is what a fault says of a field, "" when it is about another. The empty
// name is for what is about none of those that the form has.
func faultOf(fault *audit.Error, field string, has ...string) string {
	if fault == nil {
		return ""
	}
	about := strings.TrimPrefix(fault.Field, "/")
	known := false
	for _, name := range has {
		known = known || name == about
	}
	if !known {
		about = ""
	}
	if about != field {
		return ""
	}
	return sentence(fault.Message)
}

// newErasure shows the form. An address may fill it in.
func (p *pages) newErasure(w http.ResponseWriter, r *server.Request) error {
	params := r.URL.Query()
	return p.showErasureForm(w, r, &erasureForm{Subject: params.Get("subject"), Type: params.Get("subject_type")})
}

func (p *pages) showErasureForm(w http.ResponseWriter, r *server.Request, f *erasureForm) error {
	v := view{Title: "Erase a person", Section: erasureSection, Data: f}
	if f.Fault != nil {
		v.Status = server.StatusOf(f.Fault.Code)
	}
	if f.Preview != nil {
		v.Title = "Review the erasure"
		return p.show(w, r, "erasure-review", v)
	}
	return p.show(w, r, "erasure-new", v)
}

// createErasure makes a dry run first, and erases once that is confirmed.
func (p *pages) createErasure(w http.ResponseWriter, r *server.Request) error {
	posted := r.PostForm
	form := &erasureForm{
		Subject: strings.TrimSpace(posted.Get("subject")), Type: strings.TrimSpace(posted.Get("subject_type")),
		Reference: strings.TrimSpace(posted.Get("reference")),
	}
	if posted.Get("do") == doEdit {
		return p.showErasureForm(w, r, form)
	}
	request := form.request(p.requester(r))
	request.Organization = r.Session.Organization
	preview, err := p.Erasures.Preview(r.Context(), request)
	if form.Fault = shownFault(err); form.Fault != nil {
		return p.showErasureForm(w, r, form)
	}
	if err != nil {
		return err
	}
	form.Preview, form.Confirm = &preview, confirmationOf(preview.WillErase(), posted)
	if posted.Get("do") != doConfirm {
		return p.showErasureForm(w, r, form)
	}
	if form.Fault = form.Confirm.check(); form.Fault != nil {
		return p.showErasureForm(w, r, form)
	}
	made, err := p.Erasures.Create(r.Context(), request)
	if form.Fault = shownFault(err); form.Fault != nil {
		return p.showErasureForm(w, r, form)
	}
	if err != nil {
		return err
	}
	p.lead(w, r, erasurePath+"/"+url.PathEscape(made.ID))
	return nil
}

func (f *erasureForm) request(by erasure.Requester) erasure.Request {
	return erasure.Request{Subject: f.Subject, SubjectType: f.Type, Reference: f.Reference, RequestedBy: by}
}

// requester is the person of a session as who asks for an erasure.
func (p *pages) requester(r *server.Request) erasure.Requester {
	a := actorOf(r.Session)
	return erasure.Requester{
		Type: erasure.ByPerson, ID: a.ID, Name: a.Name,
		Location: p.clientAddress(r.Request), UserAgent: plain(r.UserAgent(), maxAgentBytes),
	}
}

// shownFault is what a person can do something about; nil for what is the
// server's.
func shownFault(err error) *audit.Error {
	if e, ok := errors.AsType[*audit.Error](err); ok && e.Code != audit.CodeInternal {
		return e
	}
	return nil
}

// confirmation asks that somebody means it: when many entries go, by typing how
// many.
type confirmation struct {
	Count uint64
	Typed string
	// Ask says that the number is to be typed.
	Ask bool
}

func confirmationOf(count uint64, form url.Values) confirmation {
	return confirmation{Count: count, Typed: form.Get("typed"), Ask: count >= typedFrom}
}

// typedView is the field of a confirmation.
type typedView struct {
	confirmation

	Fault string
}

// check is what is wrong with the confirmation, nil when it is given.
func (c *confirmation) check() *audit.Error {
	if !c.Ask {
		return nil
	}
	typed := strings.NewReplacer(",", "", " ", "", ".", "", "'", "").Replace(c.Typed)
	if typed == strconv.FormatUint(c.Count, 10) {
		return nil
	}
	return audit.FieldErrorf(audit.CodeInvalidRequest, "typed", "Type %s, the number of entries, to confirm", thousands(c.Count))
}

// erasurePage is what erasure.html shows.
type erasurePage struct {
	Erasure  erasureRow
	Progress erasureProgress
	Steps    []erasureStep
	// Refresh is how often a browser without scripts asks again, in seconds; 0
	// once there is nothing to wait for.
	Refresh int
	// SubjectURL is the log of what the subject did, EntryURL that of the entry
	// which says that the erasure is done.
	SubjectURL, EntryURL string
	// Mentions are holds and log streams that name the subject still.
	Mentions []mention
}

// mention is a record that names the subject, which only people can change.
type mention struct{ What, Path string }

// mentionsOf are the records that name the subject of an erasure.
func mentionsOf(e *erasure.Record) []mention {
	out := make([]mention, len(e.Mentions))
	for i, m := range e.Mentions {
		out[i].What = m.Kind + " " + m.ID
		switch m.Kind {
		case "hold":
			out[i] = mention{"Legal hold " + m.ID, holdsPath + "/" + url.PathEscape(m.ID)}
		case "stream":
			out[i] = mention{"Log stream " + m.ID, streamsPath + "/" + url.PathEscape(m.ID)}
		}
	}
	return out
}

func (p *pages) showErasure(w http.ResponseWriter, r *server.Request) error {
	record, err := p.Erasures.Get(r.Context(), r.Session.Organization, r.PathValue("id"))
	if err != nil {
		return err
	}
	page := erasurePage{
		Erasure: erasureRowOf(&record), Progress: erasureProgressOf(&record), Steps: erasureSteps(&record),
		SubjectURL: logURL(subjectQuery(&record)), EntryURL: logURL(erasedQuery(&record)), Mentions: mentionsOf(&record),
	}
	if !record.Ended() {
		page.Refresh = 3
	}
	return p.show(w, r, "erasure", view{
		Title: "Erasure", Section: erasureSection, Data: page, Scripts: []string{"js/progress.js", "js/copy.js"},
	})
}

// erasureStatus is how far an erasure is, for js/progress.js.
func (p *pages) erasureStatus(w http.ResponseWriter, r *server.Request) error {
	record, err := p.Erasures.Get(r.Context(), r.Session.Organization, r.PathValue("id"))
	if err != nil {
		return err
	}
	p.protect(w.Header())
	return server.WriteJSON(w, http.StatusOK, erasureProgressOf(&record))
}

// subjectQuery finds the entries whose actor is the subject.
func subjectQuery(e *erasure.Record) audit.Query {
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{e.Subject}}}}
	if e.SubjectType != "" {
		q.Filters = append(q.Filters, audit.Filter{Field: audit.FieldActorType, Values: []string{e.SubjectType}})
	}
	return q
}

// erasedQuery finds the entry that says that an erasure is done.
func erasedQuery(e *erasure.Record) audit.Query {
	q := erasedAt(e.ErasedAt)
	q.Filters = append(q.Filters, audit.Filter{Field: audit.FieldTargetID, Values: []string{e.Subject}})
	return q
}

// erasureRow is an erasure in the list and on its own page.
type erasureRow struct {
	erasure.Record
	Path      string
	Who       string
	ByKey     bool
	StateText string
	Tone      string // class of the chip
	Ended     bool
}

func erasureRowOf(e *erasure.Record) erasureRow {
	row := erasureRow{Record: *e, Path: erasurePath + "/" + url.PathEscape(e.ID), ByKey: e.RequestedBy.Type == erasure.ByKey}
	row.Who = whoWords(e.RequestedBy.Name, e.RequestedBy.ID, row.ByKey)
	row.StateText, row.Tone = erasureState(e)
	row.Ended = e.Ended()
	return row
}

// whoWords names who did something: a key by its id, when it has no name.
func whoWords(name, id string, key bool) string {
	switch {
	case name != "":
		return name
	case key:
		return id
	}
	return "Someone from the product"
}

func erasureState(e *erasure.Record) (text, tone string) {
	switch e.State {
	case erasure.StatePending:
		return "Waiting", ""
	case erasure.StateRunning:
		return "Running", "accent"
	case erasure.StateDone:
		return "Done", "ok"
	case erasure.StateFailed:
		return "Failed", "danger"
	}
	return string(e.State), ""
}

// erasureStep is a part of the work, as the page lists it.
type erasureStep struct {
	Title, Words string
	// State is done, now or later.
	State string
}

// erasureSteps are what an erasure consists of, and where it is.
func erasureSteps(e *erasure.Record) []erasureStep {
	steps := []struct {
		step         erasure.Step
		title, words string
	}{
		{erasure.StepErase, "Erase the details", "Names, metadata, addresses and browsers of every entry that has the subject as actor or target. The keys that could prove them go too."},
		{erasure.StepForget, "Remove copies", "Files of exports, sessions, and names that the server keeps beside the log."},
		{erasure.StepScrub, "Clear the disk", "The bytes in the server's files are written over or removed."},
		{erasure.StepVerify, "Look again", "The log is searched once more: no entry may have details of the subject, but those under legal hold."},
		{erasure.StepConfirm, "Write it down", "An entry in this log says that it is done, how many entries it was, and for which request."},
	}
	at := -1 // the step under way
	for i := range steps {
		if steps[i].step == e.Step {
			at = i
		}
	}
	if e.State == erasure.StateDone {
		at = len(steps)
	}
	out := make([]erasureStep, len(steps))
	for i, s := range steps {
		out[i] = erasureStep{Title: s.title, Words: s.words, State: "later"}
		switch {
		case i < at:
			out[i].State = "done"
		case i == at && !e.Ended():
			out[i].State = "now"
		}
	}
	return out
}

// erasureProgress is how far an erasure is, in words too: scripts put them in
// place as they are.
type erasureProgress struct {
	State erasure.State `json:"state"`
	Ended bool          `json:"ended"`
	// Version changes when the page has more to show than these numbers.
	Version string `json:"version"`
	Found   string `json:"found_text"`
	Erased  string `json:"erased_text"`
	Held    string `json:"held_text"`
	// Say is what a reader of screens is told when Version changes.
	Say string `json:"say"`
}

func erasureProgressOf(e *erasure.Record) erasureProgress {
	text, _ := erasureState(e)
	out := erasureProgress{
		State: e.State, Ended: e.Ended(), Version: string(e.State) + "/" + string(e.Step) + "/" + e.Error,
		Found: thousands(e.Found), Erased: thousands(e.Erased), Held: thousands(e.Held), Say: "The erasure: " + text,
	}
	for _, step := range erasureSteps(e) {
		if step.State == "now" {
			out.Say += ", " + step.Title
		}
	}
	return out
}
