package api

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/server"
)

// exportPrefix is before the id of an export in the native API; the WorkOS
// routes show the same job with another.
const exportPrefix = "export_"

// exportAnswer is an export in an answer.
type exportAnswer struct {
	ID                 string          `json:"id"`
	OrganizationID     string          `json:"organization_id"`
	Query              string          `json:"query"`
	QueryRemoved       bool            `json:"query_removed,omitzero"`
	Format             export.Format   `json:"format"`
	Order              string          `json:"order"`
	NeutralizeFormulas bool            `json:"neutralize_formulas"`
	Zone               string          `json:"zone,omitempty"`
	OlderCheckpoint    string          `json:"older_checkpoint,omitempty"`
	State              export.State    `json:"state"`
	Rows               uint64          `json:"rows"`
	Total              *uint64         `json:"total,omitempty"`
	Percent            int             `json:"percent"`
	Bytes              int64           `json:"bytes"`
	Error              string          `json:"error,omitempty"`
	CompleteThrough    *position       `json:"complete_through"`
	CreatedBy          string          `json:"created_by,omitempty"`
	CreatedByName      string          `json:"created_by_name,omitempty"`
	CreatedByType      string          `json:"created_by_type,omitempty"`
	CreatedAt          stamp           `json:"created_at"`
	UpdatedAt          stamp           `json:"updated_at"`
	ReadyAt            stamp           `json:"ready_at,omitzero"`
	ExpiresAt          stamp           `json:"expires_at,omitzero"`
	Download           *downloadAnswer `json:"download,omitempty"`
}

type downloadAnswer struct {
	URL       string `json:"url"`
	ExpiresAt stamp  `json:"expires_at"`
}

func exportOf(j *export.Job) exportAnswer {
	order := "asc"
	if j.Descending {
		order = "desc"
	}
	return exportAnswer{
		ID: exportPrefix + j.ID, OrganizationID: j.Organization, Query: j.Query, QueryRemoved: j.QueryRemoved,
		Format: j.Format, Order: order, NeutralizeFormulas: !j.RawCells, Zone: j.Zone, OlderCheckpoint: j.OlderCheckpoint,
		State: j.State, Rows: j.Rows, Total: j.Total, Percent: j.Percent, Bytes: j.Bytes,
		Error: j.Error, CompleteThrough: positionOf(j.Through), CreatedBy: j.CreatedBy,
		CreatedByName: j.CreatedByName, CreatedByType: string(j.CreatedByType), CreatedAt: stamp(j.CreatedAt),
		UpdatedAt: stamp(j.UpdatedAt), ReadyAt: stamp(j.ReadyAt), ExpiresAt: stamp(j.ExpiresAt),
	}
}

func (a *api) createExport(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Query              string        `json:"query"`
		Format             export.Format `json:"format"`
		Order              string        `json:"order"`
		NeutralizeFormulas *bool         `json:"neutralize_formulas"`
		Zone               string        `json:"zone"`
		OlderCheckpoint    string        `json:"older_checkpoint"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	if body.Order != "" && body.Order != "asc" && body.Order != "desc" {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/order", "must be asc or desc")
	}
	job, err := a.Exports.Create(r.Context(), export.Spec{
		Organization: r.Org(), Query: body.Query, Format: body.Format, Descending: body.Order == "desc",
		RawCells: body.NeutralizeFormulas != nil && !*body.NeutralizeFormulas,
		Zone:     body.Zone, OlderCheckpoint: body.OlderCheckpoint,
		CreatedBy: export.Creator{Type: export.CreatorKey, ID: r.Identity.KeyID, Name: r.Identity.KeyName},
	})
	if errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
		return named("/query", err)
	}
	if err != nil {
		return err
	}
	path := "/v1/organizations/" + url.PathEscape(r.Org()) + "/exports/" + exportPrefix + job.ID
	return created(w, path, exportOf(&job))
}

func (a *api) getExport(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	job, err := a.Exports.Get(r.Context(), r.Org(), strings.TrimPrefix(r.PathValue("id"), exportPrefix))
	if err != nil {
		return err
	}
	out := exportOf(&job)
	if job.State == export.StateReady {
		if out.Download, err = a.link(r, &job); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store") // the link is a secret
	return server.WriteJSON(w, http.StatusOK, out)
}

// link makes a link that downloads a job's file without a key.
func (a *api) link(r *server.Request, job *export.Job) (*downloadAnswer, error) {
	until := a.Now().Add(export.LinkLife).Truncate(time.Second)
	target, err := a.Signer.SignURL(job.LinkPath(), auth.PurposeDownload, until)
	if err != nil {
		return nil, err
	}
	return &downloadAnswer{URL: a.baseURL(r) + target, ExpiresAt: stamp(until)}, nil
}

// baseURL is where the client reaches the server.
func (a *api) baseURL(r *server.Request) string {
	switch {
	case a.PublicURL != "":
		return a.PublicURL
	case r.TLS != nil:
		return "https://" + r.Host
	default:
		return "http://" + r.Host
	}
}

// exportList is one page of exports.
type exportList struct {
	Exports []exportAnswer `json:"exports"`
	Next    *string        `json:"next"`
	HasMore bool           `json:"has_more"`
}

func (a *api) listExports(w http.ResponseWriter, r *server.Request) error {
	cursor, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	jobs, more, err := a.Exports.List(r.Context(), r.Org(), strings.TrimPrefix(cursor, exportPrefix), limit)
	if err != nil {
		return err
	}
	out := exportList{Exports: make([]exportAnswer, len(jobs)), HasMore: more}
	for i := range jobs {
		out.Exports[i] = exportOf(&jobs[i])
	}
	out.Next = next(more, func() string { return out.Exports[len(jobs)-1].ID })
	return server.WriteJSON(w, http.StatusOK, out)
}

// download serves the target of a link: whoever has it needs no key, as long as
// the organization's log may be handed on.
func (a *api) download(w http.ResponseWriter, r *server.Request) error {
	id, err := export.IDOfLink(r.PathValue("file"))
	if err != nil {
		return err
	}
	job, err := a.Exports.Get(r.Context(), "", id)
	if err != nil {
		return err
	}
	if _, err := r.AllowOrg(job.Organization); err != nil {
		return err
	}
	file, job, err := a.Exports.File(r.Context(), job.Organization, id)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	h := w.Header()
	h.Set("Content-Type", job.Format.ContentType())
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": job.FileName()}))
	h.Set("Cache-Control", "private, no-store")
	h.Set("ETag", `"`+job.ID+`"`) // a file never changes
	http.ServeContent(w, r.Request, "", job.ReadyAt, file)
	return nil
}

func isNotFound(err error) bool {
	return errors.Is(err, &audit.Error{Code: audit.CodeNotFound})
}
