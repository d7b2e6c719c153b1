package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

// holdForm is the form of a hold: what was typed, and what is wrong with it.
type holdForm struct {
	// Hold is the one that is changed; nil for a new one.
	Hold               *holdRow
	Name, Filter, Ends string
	Reason             string
	Fault              *audit.Error
	// Count is how many entries it would cover now.
	Count tally
	// Action is where the form is sent, Cancel where one goes instead.
	Action, Cancel string
	LogURL         string
	// Complete is what the filter's box asks.
	Complete string
}

// FaultOf is what is wrong with a field, "" for nothing.
func (f *holdForm) FaultOf(field string) string {
	return faultOf(f.Fault, field, "name", "query", "reason", "ends_at")
}

// newHold shows the form. An address may fill in the filter, as the list of the
// log has it.
func (p *pages) newHold(w http.ResponseWriter, r *server.Request) error {
	form := &holdForm{Filter: r.URL.Query().Get("q")}
	return p.showHoldForm(w, r, form)
}

// createHold makes a hold, or counts what it would cover.
func (p *pages) createHold(w http.ResponseWriter, r *server.Request) error {
	form := p.readHoldForm(r)
	spec, err := form.spec(p.zone(r).Location)
	if form.Fault = shownFault(err); form.Fault == nil && r.PostForm.Get("do") != doCount {
		var h *retention.Hold
		h, err = p.Retention.CreateHold(r.Context(), r.Session.Organization, spec, p.retainer(r))
		if err == nil {
			p.lead(w, r, holdPath(h)+"?done=created")
			return nil
		}
		if form.Fault = shownFault(err); form.Fault == nil {
			return err
		}
	}
	return p.showHoldForm(w, r, form)
}

// readHoldForm reads what was typed. Dates in the filter are by the clocks of the
// page.
func (p *pages) readHoldForm(r *server.Request) *holdForm {
	posted := r.PostForm
	return &holdForm{
		Name: posted.Get("name"), Filter: logview.ByClocks(strings.TrimSpace(posted.Get("query")), p.zone(r).Location, true),
		Reason: strings.ReplaceAll(posted.Get("reason"), "\r\n", "\n"), Ends: posted.Get("ends_at"),
	}
}

// spec is what the form says. The error is about one of its fields.
func (f *holdForm) spec(zone *time.Location) (retention.HoldSpec, error) {
	ends, err := logview.ParseTime("/ends_at", f.Ends, zone)
	return retention.HoldSpec{Name: f.Name, Query: f.Filter, Reason: f.Reason, EndsAt: ends}, err
}

func (p *pages) showHoldForm(w http.ResponseWriter, r *server.Request, f *holdForm) error {
	zone := url.QueryEscape(p.zone(r).Label)
	f.Action, f.Cancel, f.Complete = holdsPath+"/new?tz="+zone, holdsPath, listPath+"/complete"
	v := view{Title: "New legal hold", Section: holdsSection, Data: f, Scripts: []string{"js/search.js", "js/holds.js"}}
	if f.Hold != nil {
		f.Action, f.Cancel, v.Title = f.Hold.Path+"/edit?tz="+zone, f.Hold.Path, "Change "+f.Hold.Name
	}
	if f.Fault != nil {
		v.Status = server.StatusOf(f.Fault.Code)
	}
	f.LogURL = Base + "/audit-log?" + url.Values{"range": {logview.RangeAll}, "q": {f.Filter}}.Encode()
	if q, err := audit.ParseQuery(f.Filter); err == nil && f.Hold == nil {
		ctx, cancel := context.WithTimeout(r.Context(), countTime)
		defer cancel()
		f.Count = p.countQuery(ctx, r.Session.Organization, q)
	} else if f.Hold == nil && f.FaultOf("query") == "" && f.Fault == nil {
		f.Fault = audit.FieldErrorf(audit.CodeInvalidQuery, "query", "%s", err.Error())
		v.Status = http.StatusBadRequest
	}
	return p.show(w, r, "hold-new", v)
}

// editHold shows the form of a hold there is.
func (p *pages) editHold(w http.ResponseWriter, r *server.Request) error {
	h, err := p.holdOf(r)
	if err != nil {
		return err
	}
	row := p.holdRow(r, h)
	form := &holdForm{Hold: &row, Name: h.Name, Reason: h.Reason}
	if !h.EndsAt.IsZero() {
		form.Ends = logview.FormTime(h.EndsAt, p.zone(r).Location)
	}
	return p.showHoldForm(w, r, form)
}

func (p *pages) updateHold(w http.ResponseWriter, r *server.Request) error {
	h, err := p.holdOf(r)
	if err != nil {
		return err
	}
	row := p.holdRow(r, h)
	form := p.readHoldForm(r)
	form.Hold = &row
	spec, err := form.spec(p.zone(r).Location)
	if form.Fault = shownFault(err); form.Fault != nil {
		return p.showHoldForm(w, r, form)
	}
	change := retention.HoldChange{Name: &spec.Name, Reason: &spec.Reason, EndsAt: &spec.EndsAt}
	_, err = p.Retention.ChangeHold(r.Context(), h.Organization, h.ID, change, p.retainer(r))
	if form.Fault = shownFault(err); form.Fault != nil {
		return p.showHoldForm(w, r, form)
	}
	if err != nil {
		return err
	}
	p.lead(w, r, holdPath(h)+"?done=changed")
	return nil
}
