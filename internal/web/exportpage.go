package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// exportsPath is the list of exports; each is below it.
	exportsPath = Base + "/exports"
	// exportPrefix is before the id of an export, as in the API.
	exportPrefix = "export_"
	// exportsPerPage is how many exports one page lists.
	exportsPerPage = 25
	// countTime bounds the work of telling beforehand what an export will
	// hold.
	countTime = 700 * time.Millisecond
)

// exportRoutes are open to viewers too: who reads the log may take it along, and
// the log says who did.
func (p *pages) exportRoutes() []server.Route {
	person := auth.Person()
	return []server.Route{
		get("page.exports", "exports", person, p.listExports),
		post("page.exports.create", "exports", person, p.createExport),
		get("page.export", "exports/{id}", person, p.showExport),
		get("page.export.status", "exports/{id}/status", person, p.exportStatus),
		get("page.export.file", "exports/{id}/file", person, p.exportFile),
		post("page.export.cancel", "exports/{id}/cancel", person, p.cancelExport),
	}
}

// exportsPage is what exports.html shows.
type exportsPage struct {
	// Form is the new export; nil when none is being made.
	Form    *exportForm
	Exports []exportRow
	// Said is what the form before led here to say.
	Said string
	// Later says that the page is not the first; Older leads to the next.
	Later bool
	Older string
}

// listExports lists the past exports, newest first, and with new=1 begins with
// the form of a new one.
func (p *pages) listExports(w http.ResponseWriter, r *server.Request) error {
	params := r.URL.Query()
	var form *exportForm
	if params.Get("new") == "1" {
		form = p.readExportForm(r, params)
		p.countExport(r, form)
	}
	return p.exports(w, r, form)
}

// exports answers with the list, and the form if there is one.
func (p *pages) exports(w http.ResponseWriter, r *server.Request, form *exportForm) error {
	after := strings.TrimPrefix(r.URL.Query().Get("cursor"), exportPrefix)
	jobs, more, err := p.Exports.List(r.Context(), r.Session.Organization, after, exportsPerPage)
	if err != nil {
		return err
	}
	page := exportsPage{Form: form, Later: after != ""}
	if r.URL.Query().Get("done") == "canceled" {
		page.Said = "The export is canceled. There is no file of it."
	}
	for i := range jobs {
		page.Exports = append(page.Exports, p.exportRow(r, &jobs[i]))
	}
	if more {
		page.Older = exportsPath + "?cursor=" + page.Exports[len(jobs)-1].ID
	}
	v := view{Title: "Exports", Section: "exports", Data: page, Scripts: []string{"js/export.js"}}
	if form != nil && form.Fault != nil {
		v.Status = server.StatusOf(form.Fault.Code)
	}
	return p.show(w, r, "exports", v)
}

// createExport starts an export, and records who did.
func (p *pages) createExport(w http.ResponseWriter, r *server.Request) error {
	form := p.readExportForm(r, r.PostForm)
	if form.Fault != nil {
		return p.exports(w, r, form)
	}
	spec := form.spec(p.zone(r).Label)
	spec.Organization, spec.CreatedBy = r.Session.Organization, creatorOf(r.Session)
	job, err := p.Exports.Create(r.Context(), spec)
	if form.Fault = exportFault(err); form.Fault != nil {
		return p.exports(w, r, form)
	}
	if err != nil {
		return err
	}
	if err := p.record(r, p.exportedEvent(r, &job)); err != nil {
		// An export that nobody could find in the log must not be.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
		defer cancel()
		return errors.Join(err, p.Exports.Cancel(ctx, job.Organization, job.ID))
	}
	p.protect(w.Header())
	http.Redirect(w, r.Request, exportPath(&job), http.StatusSeeOther)
	return nil
}

// exportFault is what a person can do something about: the form says it.
func exportFault(err error) *audit.Error {
	if errors.Is(err, ledger.ErrDiskFull) {
		return audit.Errorf(audit.CodeDiskFull, "The server's disk is full, so no export can be made now. Tell whoever runs it; what is recorded is safe")
	}
	if e, ok := errors.AsType[*audit.Error](err); ok && e.Code != audit.CodeInternal {
		return e
	}
	return nil
}

// creatorOf is the person of a session as who made an export.
func creatorOf(s *auth.Session) export.Creator {
	return export.Creator{Type: export.CreatorPerson, ID: cmp.Or(s.PersonID, s.ID), Name: s.PersonName}
}

// record writes down what a person did. A log that takes no events any more can
// still be read, and then nothing is recorded.
func (p *pages) record(r *server.Request, e audit.Event) error {
	err := p.Journal.Record(r.Context(), r.Session.Organization, e)
	if errors.Is(err, &audit.Error{Code: audit.CodeLogDisabled}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Action, err)
	}
	return nil
}

// maxRecordedFilter is how much of a filter an own entry keeps: a filter may be
// longer than a value in metadata. The export has all of it.
const maxRecordedFilter = 8 << 10

// exportedEvent says that the person of a session made an export of what.
func (p *pages) exportedEvent(r *server.Request, j *export.Job) audit.Event {
	e := p.personEvent(r, actionExported)
	e.Targets = []audit.Target{exportTarget(j)}
	e.Metadata = audit.Metadata{"filter": plain(j.Query, maxRecordedFilter), "format": string(j.Format), "order": orderOf(j)}
	return e
}

// targetExport is the type of target that an export is.
const targetExport = "export"

// exportedMetadata describes the metadata of an exportedEvent.
func exportedMetadata() *schema.Property {
	return &schema.Property{
		Type: schema.TypeObject, Required: []string{"filter", "format", "order"},
		Properties: map[string]*schema.Property{
			"filter": {Type: schema.TypeString, Description: "What the export holds, its time included; empty for every entry. Of a long filter the first 8 KiB."},
			"format": {Type: schema.TypeString, Enum: []any{string(export.CSV), string(export.JSONL), string(export.Evidence)}},
			"order":  {Type: schema.TypeString, Enum: []any{orderAsc, orderDesc}},
		},
	}
}

func exportTarget(j *export.Job) audit.Target {
	return audit.Target{Type: targetExport, ID: exportPrefix + j.ID, Name: j.FileName()}
}

// exportPath is the page of an export.
func exportPath(j *export.Job) string { return exportsPath + "/" + exportPrefix + j.ID }

// findExport is the export that the path names, of this organization.
func (p *pages) findExport(r *server.Request) (export.Job, error) {
	return p.Exports.Get(r.Context(), r.Session.Organization, exportID(r))
}

func exportID(r *server.Request) string { return strings.TrimPrefix(r.PathValue("id"), exportPrefix) }

// exportPage is what export.html shows.
type exportPage struct {
	Export   exportRow
	Progress exportProgress
	// Refresh is how often a browser without scripts asks again, in seconds; 0
	// once there is nothing to wait for.
	Refresh int
	// Cancel says that it is for this person to cancel.
	Cancel bool
}

func (p *pages) showExport(w http.ResponseWriter, r *server.Request) error {
	job, err := p.findExport(r)
	if err != nil {
		return err
	}
	return p.exportPage(w, r, &job, http.StatusOK)
}

func (p *pages) exportPage(w http.ResponseWriter, r *server.Request, job *export.Job, status int) error {
	page := exportPage{Export: p.exportRow(r, job), Progress: progressOf(job)}
	if !job.Ended() {
		page.Refresh, page.Cancel = 2, mayCancel(r.Session, job)
	}
	return p.show(w, r, "export", view{
		Title: "Export", Section: "exports", Status: status, Data: page, Scripts: []string{"js/export.js", "js/copy.js"},
	})
}

// exportStatus is how far an export is, for js/export.js.
func (p *pages) exportStatus(w http.ResponseWriter, r *server.Request) error {
	job, err := p.findExport(r)
	if err != nil {
		return err
	}
	p.protect(w.Header())
	return server.WriteJSON(w, http.StatusOK, progressOf(&job))
}

// cancelExport stops an export that is not done. It is on record before it
// happens.
func (p *pages) cancelExport(w http.ResponseWriter, r *server.Request) error {
	job, err := p.findExport(r)
	if err != nil {
		return err
	}
	if job.Ended() { // meanwhile: there is a file, or why there is none
		p.lead(w, r, exportPath(&job))
		return nil
	}
	if !mayCancel(r.Session, &job) {
		return audit.Errorf(audit.CodeForbidden, "only who made an export, and managers, may cancel it")
	}
	e := p.personEvent(r, actionExportCanceled)
	e.Targets = []audit.Target{exportTarget(&job)}
	if err := p.record(r, e); err != nil {
		return err
	}
	if err := p.Exports.Cancel(r.Context(), job.Organization, job.ID); err != nil {
		return err
	}
	p.lead(w, r, exportsPath+"?done=canceled")
	return nil
}

// mayCancel says whether an export is for the person of a session to cancel.
func mayCancel(s *auth.Session, j *export.Job) bool {
	by, me := j.Creator(), creatorOf(s)
	return s.Manager() || by.Type == me.Type && by.ID == me.ID
}

// exportFile sends the file of an export, whole or the part that is asked for. A
// file that cannot be had leads to the page that says why.
func (p *pages) exportFile(w http.ResponseWriter, r *server.Request) error {
	file, job, err := p.Exports.File(r.Context(), r.Session.Organization, exportID(r))
	for _, code := range []audit.Code{audit.CodeGone, audit.CodeConflict} {
		if errors.Is(err, &audit.Error{Code: code}) {
			return p.exportPage(w, r, &job, server.StatusOf(code))
		}
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	if r.Method != http.MethodHead {
		if err := p.recordDownload(r, &job); err != nil {
			return err
		}
	}
	h := w.Header()
	p.protect(h)
	h.Set("Content-Type", job.Format.ContentType())
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": job.FileName()}))
	h.Set("Cache-Control", "private, no-store")
	h.Set("ETag", `"`+job.ID+`"`) // a file never changes
	http.ServeContent(w, r.Request, "", job.ReadyAt, file)
	return nil
}

// recordDownload records that the person has the file, before they have it. A
// browser may fetch one file in parts: they are one download, once an hour.
func (p *pages) recordDownload(r *server.Request, j *export.Job) error {
	e := p.personEvent(r, actionExportDownloaded)
	e.Targets = []audit.Target{exportTarget(j)}
	e.IdempotencyKey = strings.Join([]string{
		"stele", actionExportDownloaded, r.Session.ID, j.ID, e.OccurredAt.Truncate(time.Hour).Format(time.RFC3339),
	}, "/")
	err := p.record(r, e)
	if errors.Is(err, &audit.Error{Code: audit.CodeIdempotencyConflict}) {
		return nil
	}
	return err
}

// logURL is the list of the log with what an export was made of.
func logURL(q audit.Query) string {
	params := url.Values{"range": {logview.RangeAll}}
	if text := q.String(); text != "" {
		params.Set("q", text)
	}
	return Base + "/audit-log?" + params.Encode()
}
