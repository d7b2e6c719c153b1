package api

import (
	"net/http"
	"net/url"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
)

// retentionRoutes are the routes about how long an organization's entries are kept,
// and about its legal holds.
func (a *api) retentionRoutes(org string) []server.Route {
	const get, post, put, patch = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch
	admin, read := auth.Need(auth.RoleAdmin), auth.Need(auth.RoleReader)
	rules, holds := org+"/retention", org+"/holds"
	return []server.Route{
		{Name: "retention.get", Method: get, Pattern: rules, Access: read, Handler: a.getRetention},
		{Name: "retention.set", Method: put, Pattern: rules, Access: admin, Handler: a.setRetention},
		{Name: "retention.preview", Method: post, Pattern: rules + "/preview", Access: read.ReadsLog(), Handler: a.previewRetention},
		{Name: "retention.certificates", Method: get, Pattern: rules + "/certificates", Access: read, Handler: a.listCertificates},
		{Name: "retention.certificate", Method: get, Pattern: rules + "/certificates/{id}", Access: read, Handler: a.getCertificate},

		{Name: "holds.create", Method: post, Pattern: holds, Access: admin, Handler: a.createHold},
		{Name: "holds.list", Method: get, Pattern: holds, Access: read, Handler: a.listHolds},
		{Name: "holds.get", Method: get, Pattern: holds + "/{id}", Access: read, Handler: a.getHold},
		{Name: "holds.update", Method: patch, Pattern: holds + "/{id}", Access: admin, Handler: a.updateHold},
		{Name: "holds.lift", Method: post, Pattern: holds + "/{id}/lift", Access: admin, Handler: a.liftHold},
	}
}

// askedBy is who asks, as entries about retention name them.
func askedBy(r *server.Request) retention.Who {
	return retention.Key(r.Identity.KeyID, r.Identity.KeyName)
}

// retentionAnswer is how long entries are kept.
type retentionAnswer struct {
	OrganizationID string                    `json:"organization_id"`
	Days           int                       `json:"days"`
	Actions        []catalog.RetentionAction `json:"actions"`
}

func retentionOf(org string, p retention.Policy) retentionAnswer {
	return retentionAnswer{OrganizationID: org, Days: p.Days, Actions: append([]catalog.RetentionAction{}, p.Actions...)}
}

func (a *api) getRetention(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	p, err := a.Retention.Policy(r.Context(), r.Org())
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, retentionOf(r.Org(), p))
}

// newRetention is what is said of how long entries are kept: all of it.
type newRetention struct {
	Days    *int                      `json:"days"`
	Actions []catalog.RetentionAction `json:"actions"`
}

func (n *newRetention) policy() (retention.Policy, error) {
	if n.Days == nil {
		return retention.Policy{}, audit.FieldErrorf(audit.CodeInvalidRequest, "/days", "is required")
	}
	return retention.Policy{Days: *n.Days, Actions: n.Actions}, nil
}

func (a *api) setRetention(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		newRetention
		Confirm *uint64 `json:"confirm"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	p, err := body.policy()
	if err != nil {
		return err
	}
	if p, err = a.Retention.SetPolicy(r.Context(), r.Org(), p, body.Confirm, askedBy(r)); err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, retentionOf(r.Org(), p))
}

// previewAnswer is what a policy would do.
type previewAnswer struct {
	OrganizationID string        `json:"organization_id"`
	At             stamp         `json:"at"`
	Due            uint64        `json:"due"`
	Held           uint64        `json:"held"`
	Oldest         stamp         `json:"oldest,omitzero"`
	Newest         stamp         `json:"newest,omitzero"`
	Classes        []classAnswer `json:"classes"`
}

type classAnswer struct {
	Pattern string `json:"pattern"`
	Days    int    `json:"days"`
	Due     uint64 `json:"due"`
	Held    uint64 `json:"held"`
	Oldest  stamp  `json:"oldest,omitzero"`
	Newest  stamp  `json:"newest,omitzero"`
}

func (a *api) previewRetention(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body newRetention
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	policy, err := body.policy()
	if err != nil {
		return err
	}
	p, err := a.Retention.Preview(r.Context(), r.Org(), policy)
	if err != nil {
		return err
	}
	out := previewAnswer{
		OrganizationID: r.Org(), At: stamp(p.At), Due: p.Due, Held: p.Held, Oldest: stamp(p.Oldest), Newest: stamp(p.Newest),
		Classes: make([]classAnswer, len(p.Classes)),
	}
	for i, c := range p.Classes {
		out.Classes[i] = classAnswer{
			Pattern: c.Pattern, Days: c.Days, Due: c.Due, Held: c.Held, Oldest: stamp(c.Oldest), Newest: stamp(c.Newest),
		}
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// certificateAnswer is a certificate in a list.
type certificateAnswer struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id"`
	CreatedAt      stamp  `json:"created_at"`
	FromSeq        uint64 `json:"from_seq"`
	ToSeq          uint64 `json:"to_seq"`
	Removed        uint64 `json:"removed"`
	Held           uint64 `json:"held"`
	Oldest         stamp  `json:"oldest"`
	Newest         stamp  `json:"newest"`
	Policy         string `json:"policy"`
}

// certificateList is one page of certificates.
type certificateList struct {
	Certificates []certificateAnswer `json:"certificates"`
	Next         *string             `json:"next"`
	HasMore      bool                `json:"has_more"`
}

func (a *api) listCertificates(w http.ResponseWriter, r *server.Request) error {
	cursor, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	list, more, err := a.Retention.Certificates(r.Context(), r.Org(), cursor, limit)
	if err != nil {
		return err
	}
	out := certificateList{Certificates: make([]certificateAnswer, len(list)), HasMore: more}
	for i, c := range list {
		out.Certificates[i] = certificateAnswer{
			ID: c.ID, OrganizationID: c.Organization, CreatedAt: stamp(c.CreatedAt), FromSeq: c.FromSeq, ToSeq: c.ToSeq,
			Removed: c.Removed, Held: c.Held, Oldest: stamp(c.Oldest), Newest: stamp(c.Newest), Policy: c.Policy,
		}
	}
	out.Next = next(more, func() string { return list[limit-1].ID })
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getCertificate(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	c, err := a.Retention.Certificate(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-cache")
	return writeBytes(w, http.StatusOK, textType, c.Note)
}

// holdsPath is where an organization's holds are.
func holdsPath(org string) string { return "/v1/organizations/" + url.PathEscape(org) + "/holds" }
