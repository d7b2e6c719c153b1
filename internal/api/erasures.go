package api

import (
	"net/http"
	"net/url"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/server"
)

// erasureRoutes are those of erasures; org is the path of an organization.
func (a *api) erasureRoutes(org string) []server.Route {
	admin := auth.Need(auth.RoleAdmin)
	return []server.Route{
		{Name: "erasures.create", Method: http.MethodPost, Pattern: org + "/erasures", Access: admin, Handler: a.createErasure},
		{Name: "erasures.list", Method: http.MethodGet, Pattern: org + "/erasures", Access: admin, Handler: a.listErasures},
		{Name: "erasures.get", Method: http.MethodGet, Pattern: org + "/erasures/{id}", Access: admin, Handler: a.getErasure},
	}
}

// erasureAnswer is an erasure in an answer.
type erasureAnswer struct {
	ID             string            `json:"id"`
	OrganizationID string            `json:"organization_id"`
	Subject        string            `json:"subject"`
	SubjectType    string            `json:"subject_type,omitempty"`
	Reference      string            `json:"reference,omitempty"`
	RequestedBy    requesterAnswer   `json:"requested_by"`
	State          erasure.State     `json:"state"`
	Step           erasure.Step      `json:"step,omitempty"`
	Found          uint64            `json:"found"`
	Erased         uint64            `json:"erased"`
	Held           uint64            `json:"held"`
	RemovedExports int               `json:"removed_exports"`
	Mentions       []erasure.Mention `json:"mentions,omitempty"`
	Error          string            `json:"error,omitempty"`
	Entry          *position         `json:"entry,omitempty"`
	CreatedAt      stamp             `json:"created_at"`
	ErasedAt       stamp             `json:"erased_at,omitzero"`
	DoneAt         stamp             `json:"done_at,omitzero"`
}

type requesterAnswer struct {
	Type erasure.RequesterType `json:"type"`
	ID   string                `json:"id"`
	Name string                `json:"name,omitempty"`
}

func erasureOf(r *erasure.Record) erasureAnswer {
	by := r.RequestedBy
	return erasureAnswer{
		ID: r.ID, OrganizationID: r.Organization, Subject: r.Subject, SubjectType: r.SubjectType, Reference: r.Reference,
		RequestedBy: requesterAnswer{Type: by.Type, ID: by.ID, Name: by.Name}, State: r.State, Step: r.Step,
		Found: r.Found, Erased: r.Erased, Held: r.Held, RemovedExports: r.RemovedExports, Mentions: r.Mentions, Error: r.Error,
		Entry: positionOf(r.Entry), CreatedAt: stamp(r.CreatedAt), ErasedAt: stamp(r.ErasedAt), DoneAt: stamp(r.DoneAt),
	}
}

// erasurePreview is the answer to a dry run.
type erasurePreview struct {
	DryRun      bool                 `json:"dry_run"`
	Subject     string               `json:"subject"`
	SubjectType string               `json:"subject_type,omitempty"`
	Found       uint64               `json:"found"`
	WouldErase  uint64               `json:"would_erase"`
	Held        uint64               `json:"held"`
	Erased      uint64               `json:"erased"`
	Oldest      *position            `json:"oldest"`
	Newest      *position            `json:"newest"`
	Actions     []erasureActionCount `json:"actions"`
	Exports     int                  `json:"exports"`
}

type erasureActionCount struct {
	Action string `json:"action"`
	Count  uint64 `json:"count"`
}

func (a *api) createErasure(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Subject     string `json:"subject"`
		SubjectType string `json:"subject_type"`
		Reference   string `json:"reference"`
		DryRun      bool   `json:"dry_run"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	request := erasure.Request{
		Organization: r.Org(), Subject: body.Subject, SubjectType: body.SubjectType, Reference: body.Reference,
		RequestedBy: erasure.Requester{Type: erasure.ByKey, ID: r.Identity.KeyID, Name: r.Identity.KeyName},
	}
	if body.DryRun {
		return a.previewErasure(w, r, request)
	}
	rec, err := a.Erasures.Create(r.Context(), request)
	if err != nil {
		return err
	}
	return created(w, "/v1/organizations/"+url.PathEscape(r.Org())+"/erasures/"+rec.ID, erasureOf(&rec))
}

func (a *api) previewErasure(w http.ResponseWriter, r *server.Request, request erasure.Request) error {
	p, err := a.Erasures.Preview(r.Context(), request)
	if err != nil {
		return err
	}
	out := erasurePreview{
		DryRun: true, Subject: request.Subject, SubjectType: request.SubjectType, Found: p.Found, WouldErase: p.WillErase(),
		Held: p.Held, Erased: p.Erased, Oldest: positionOf(p.Oldest), Newest: positionOf(p.Newest), Exports: p.Exports,
		Actions: make([]erasureActionCount, len(p.Actions)),
	}
	for i, c := range p.Actions {
		out.Actions[i] = erasureActionCount(c)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// erasureList is one page of erasures.
type erasureList struct {
	Erasures []erasureAnswer `json:"erasures"`
	Next     *string         `json:"next"`
	HasMore  bool            `json:"has_more"`
}

func (a *api) listErasures(w http.ResponseWriter, r *server.Request) error {
	cursor, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	list, more, err := a.Erasures.List(r.Context(), r.Org(), cursor, limit)
	if err != nil {
		return err
	}
	out := erasureList{Erasures: make([]erasureAnswer, len(list)), HasMore: more}
	for i := range list {
		out.Erasures[i] = erasureOf(&list[i])
	}
	out.Next = next(more, func() string { return out.Erasures[len(list)-1].ID })
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getErasure(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	rec, err := a.Erasures.Get(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, erasureOf(&rec))
}
