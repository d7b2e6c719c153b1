package api

import (
	"net/http"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
)

// ownerAnswer is who made or lifted a hold.
type ownerAnswer struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// holdAnswer is a legal hold in an answer.
type holdAnswer struct {
	ID             string              `json:"id"`
	OrganizationID string              `json:"organization_id"`
	Name           string              `json:"name"`
	Query          string              `json:"query"`
	Reason         string              `json:"reason"`
	State          retention.HoldState `json:"state"`
	Owner          ownerAnswer         `json:"owner"`
	CreatedAt      stamp               `json:"created_at"`
	UpdatedAt      stamp               `json:"updated_at"`
	EndsAt         stamp               `json:"ends_at,omitzero"`
	LiftedAt       stamp               `json:"lifted_at,omitzero"`
	LiftedBy       *ownerAnswer        `json:"lifted_by,omitempty"`
}

func (a *api) holdOf(h *retention.Hold) holdAnswer {
	out := holdAnswer{
		ID: h.ID, OrganizationID: h.Organization, Name: h.Name, Query: h.Query, Reason: h.Reason, State: h.State(a.Now()),
		Owner: ownerAnswer{h.Owner.Type, h.Owner.ID, h.Owner.Name}, CreatedAt: stamp(h.CreatedAt), UpdatedAt: stamp(h.UpdatedAt),
		EndsAt: stamp(h.EndsAt), LiftedAt: stamp(h.LiftedAt),
	}
	if !h.LiftedAt.IsZero() {
		out.LiftedBy = &ownerAnswer{h.LiftedBy.Type, h.LiftedBy.ID, h.LiftedBy.Name}
	}
	return out
}

func (a *api) createHold(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Name   string     `json:"name"`
		Query  *string    `json:"query"`
		Reason string     `json:"reason"`
		EndsAt *time.Time `json:"ends_at"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	if body.Query == nil {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/query", "is required; give an empty one to hold every entry")
	}
	spec := retention.HoldSpec{Name: body.Name, Query: *body.Query, Reason: body.Reason}
	set(&spec.EndsAt, body.EndsAt)
	h, err := a.Retention.CreateHold(r.Context(), r.Org(), spec, askedBy(r))
	if err != nil {
		return err
	}
	return created(w, holdsPath(r.Org())+"/"+h.ID, a.holdOf(h))
}

// holdList is all holds of an organization.
type holdList struct {
	Holds []holdAnswer `json:"holds"`
}

func (a *api) listHolds(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	all, err := a.Retention.Holds(r.Context(), r.Org())
	if err != nil {
		return err
	}
	out := holdList{Holds: make([]holdAnswer, len(all))}
	for i, h := range all {
		out.Holds[i] = a.holdOf(h)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getHold(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	h, err := a.Retention.Hold(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, a.holdOf(h))
}

// optionalTime is a time that may be set, taken away with null, or not named.
type optionalTime struct{ to *time.Time }

// UnmarshalJSON reads a time or null.
func (o *optionalTime) UnmarshalJSON(data []byte) error {
	o.to = new(time.Time)
	if string(data) == "null" {
		return nil
	}
	return o.to.UnmarshalJSON(data)
}

func (a *api) updateHold(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Name   *string      `json:"name"`
		Reason *string      `json:"reason"`
		EndsAt optionalTime `json:"ends_at"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	change := retention.HoldChange{Name: body.Name, Reason: body.Reason, EndsAt: body.EndsAt.to}
	h, err := a.Retention.ChangeHold(r.Context(), r.Org(), r.PathValue("id"), change, askedBy(r))
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, a.holdOf(h))
}

func (a *api) liftHold(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if r.ContentLength != 0 {
		if err := server.DecodeJSON(r, &body); err != nil {
			return err
		}
	}
	h, err := a.Retention.LiftHold(r.Context(), r.Org(), r.PathValue("id"), body.Reason, askedBy(r))
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, a.holdOf(h))
}
