package workos

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/server"
)

// exportPrefix goes before the id of a job.
const exportPrefix = "audit_log_export_"

// exportView is an export as WorkOS shows it. URL is there only while the file
// can be had.
type exportView struct {
	Object    string `json:"object"`
	ID        string `json:"id"`
	State     string `json:"state"`
	URL       string `json:"url,omitempty"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

func viewExport(j *export.Job) exportView {
	v := exportView{
		Object: "audit_log_export", ID: exportPrefix + j.ID, State: string(j.State),
		CreatedAt: stamp(j.CreatedAt), UpdatedAt: stamp(j.UpdatedAt),
	}
	if j.State == export.StateRunning {
		v.State = string(export.StatePending)
	}
	return v
}

// createExport starts an export. Idempotency keys are ignored: two calls are two
// exports.
func (w *dropIn) createExport(rw http.ResponseWriter, r *server.Request) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	organization := f.filled("organization_id")
	query, err := readFilters(f)
	if err != nil {
		return err
	}
	org, err := allow(r, organization)
	if err != nil {
		return err
	}
	job, err := w.Exports.Create(r.Context(), export.Spec{
		Organization: org.ID, Query: query.String(), Format: export.CSV, Descending: true,
		CreatedBy: export.Creator{Type: export.CreatorKey, ID: r.Identity.KeyID, Name: r.Identity.KeyName},
	})
	if err != nil {
		return err
	}
	return answer(rw, http.StatusCreated, viewExport(&job))
}

// readFilters reads what an export is limited to: values of one array are
// alternatives, arrays must all hold.
func readFilters(f form) (audit.Query, error) {
	from, to := readBound(f, "range_start"), readBound(f, "range_end")
	lists := []struct {
		field  audit.Field
		values []string
	}{
		{audit.FieldAction, f.texts("actions")},
		{audit.FieldActorName, append(f.texts("actor_names"), f.texts("actors")...)},
		{audit.FieldActorID, f.texts("actor_ids")},
		{audit.FieldTargetType, f.texts("targets")},
	}
	if f.failed() {
		return audit.Query{}, invalid(*f.faults...)
	}
	if !from.Before(to) || from.After(audit.MaxTime) || to.Before(audit.MinTime) {
		return audit.Query{}, refuse(http.StatusBadRequest, audit.CodeInvalidRequest, "Invalid date range").
			withCode("invalid_audit_log_export_range_date")
	}
	q := audit.Query{OccurredFrom: unbounded(from), OccurredTo: unbounded(to)}
	for _, l := range lists {
		if len(l.values) > 0 {
			q.Filters = append(q.Filters, audit.Filter{Field: l.field, Values: l.values})
		}
	}
	return q, nil
}

func readBound(f form, name string) time.Time {
	text := f.requireFilled(name)
	t, ok := bound(unquote(text))
	if text != nil && !ok {
		f.fault(faultValue, name, "must be an ISO 8601 time, such as 2026-01-15T12:00:00.000Z")
	}
	return t
}

// getExport shows where an export stands. Each time that its file can be had, it
// mints a new address for it.
func (w *dropIn) getExport(rw http.ResponseWriter, r *server.Request) error {
	job, err := w.findExport(r, r.PathValue("id"))
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return notFound("Audit Log Export not found: '%s'.", short(r.PathValue("id")))
	}
	if err != nil {
		return err
	}
	view := viewExport(&job)
	if job.State == export.StateReady {
		link, err := w.Signer.SignURL(job.LinkPath(), auth.PurposeDownload, w.Now().Add(export.LinkLife))
		if err != nil {
			return err
		}
		view.URL = w.PublicURL + link
	}
	return answer(rw, http.StatusOK, view)
}

// findExport returns an export that the caller may see: the native API's CSV
// exports too, but not its JSONL, whose address would not end in .csv.
func (w *dropIn) findExport(r *server.Request, id string) (export.Job, error) {
	ulid, ok := strings.CutPrefix(id, exportPrefix)
	if !ok {
		return export.Job{}, audit.Errorf(audit.CodeNotFound, "there is no export %q", short(id))
	}
	job, err := w.Exports.Get(r.Context(), "", ulid)
	if err != nil {
		return job, err
	}
	if !r.Opens(job.Organization) || job.Format != export.CSV {
		return job, audit.Errorf(audit.CodeNotFound, "there is no CSV export %q", short(id))
	}
	_, err = r.AllowOrg(job.Organization)
	return job, err
}
