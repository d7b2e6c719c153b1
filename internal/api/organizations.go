package api

import (
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

// defaultList is the length of a page of a list when nothing is said.
const defaultList = 50

// organizationAnswer is an organization in an answer.
type organizationAnswer struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	ExternalID    string            `json:"external_id,omitempty"`
	State         catalog.State     `json:"state"`
	RetentionDays int               `json:"retention_days"`
	HistoryStart  stamp             `json:"history_start"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	CreatedAt     stamp             `json:"created_at"`
	UpdatedAt     stamp             `json:"updated_at"`
}

func organizationOf(o *catalog.Organization) organizationAnswer {
	return organizationAnswer{
		ID: o.ID, Name: o.Name, ExternalID: o.ExternalID, State: o.State, RetentionDays: o.RetentionDays,
		HistoryStart: stamp(o.HistoryStart), Metadata: o.Metadata, CreatedAt: stamp(o.CreatedAt), UpdatedAt: stamp(o.UpdatedAt),
	}
}

// organizationChange is what may be said of an organization; nil is nothing
// said.
type organizationChange struct {
	Name          *string            `json:"name"`
	ExternalID    *string            `json:"external_id"`
	State         *catalog.State     `json:"state"`
	RetentionDays *int               `json:"retention_days"`
	HistoryStart  *time.Time         `json:"history_start"`
	Metadata      *map[string]string `json:"metadata"`
}

func (c *organizationChange) apply(o *catalog.Organization) error {
	set(&o.Name, c.Name)
	set(&o.ExternalID, c.ExternalID)
	set(&o.State, c.State)
	set(&o.RetentionDays, c.RetentionDays)
	set(&o.HistoryStart, c.HistoryStart)
	if c.Metadata != nil {
		o.Metadata = maps.Clone(*c.Metadata)
	}
	if o.State == "" {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/state", "must be active, inactive or disabled")
	}
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (a *api) createOrganization(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		ID string `json:"id"`
		organizationChange
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	o := catalog.NewOrganization("")
	o.ID = body.ID
	if err := body.apply(&o); err != nil {
		return err
	}
	made, err := a.Catalog.CreateOrganization(r.Context(), o)
	if err != nil {
		return err
	}
	return created(w, "/v1/organizations/"+url.PathEscape(made.ID), organizationOf(made))
}

// organizationList is one page of organizations.
type organizationList struct {
	Organizations []organizationAnswer `json:"organizations"`
	Next          *string              `json:"next"`
	HasMore       bool                 `json:"has_more"`
}

func (a *api) listOrganizations(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "limit", "cursor", "search", "external_id")
	if err != nil {
		return err
	}
	limit, err := p.limit(defaultList)
	if err != nil {
		return err
	}
	if scope := r.Scope(); scope != "" || p.has("external_id") {
		return a.listOne(w, r, p, scope)
	}
	page, err := a.Catalog.Organizations(r.Context(), catalog.ListOptions{
		Search: p.text("search"), After: p.text("cursor"), Limit: limit,
	})
	if err != nil {
		return err
	}
	out := organizationList{Organizations: make([]organizationAnswer, len(page.Organizations)), HasMore: page.After != ""}
	for i, o := range page.Organizations {
		out.Organizations[i] = organizationOf(o)
	}
	out.Next = next(out.HasMore, func() string { return page.After })
	return server.WriteJSON(w, http.StatusOK, out)
}

// listOne answers with the one organization that a limited key or an external id
// leaves, or none.
func (a *api) listOne(w http.ResponseWriter, r *server.Request, p params, scope string) error {
	out := organizationList{Organizations: []organizationAnswer{}}
	var o *catalog.Organization
	var err error
	if p.has("external_id") {
		o, err = a.Catalog.OrganizationByExternalID(r.Context(), p.text("external_id"))
	} else {
		o, err = a.Catalog.Organization(r.Context(), scope)
	}
	switch {
	case isNotFound(err):
	case err != nil:
		return err
	case (scope == "" || o.ID == scope) && containsFold(o.Name, p.text("search")):
		out.Organizations = append(out.Organizations, organizationOf(o))
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getOrganization(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, organizationOf(r.Organization))
}

func (a *api) updateOrganization(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	if err := serverWide(r); err != nil {
		return err
	}
	var change organizationChange
	if err := server.DecodeJSON(r, &change); err != nil {
		return err
	}
	o, err := a.Retention.Update(r.Context(), r.Org(), askedBy(r), change.apply)
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, organizationOf(o))
}

// serverWide refuses keys limited to an organization: what the product sells is
// not for its customer to change.
func serverWide(r *server.Request) error {
	if r.Identity.Limited() {
		return audit.Errorf(audit.CodeForbidden, "this needs an admin key that is not limited to an organization")
	}
	return nil
}

// deleteOrganization removes an organization with its log. Each step can be done
// again, and the organization itself goes last but one: what is left by a crash
// is a disabled organization, to be deleted again.
func (a *api) deleteOrganization(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "confirm")
	if err != nil {
		return err
	}
	if err := serverWide(r); err != nil {
		return err
	}
	ctx, org := r.Context(), r.Org()
	if err := a.Retention.CheckDelete(ctx, org); err != nil {
		return err
	}
	if err := a.confirmed(r, p); err != nil {
		return err
	}
	_, err = a.Catalog.UpdateOrganization(ctx, org, func(o *catalog.Organization) error {
		o.State = catalog.StateDisabled // nothing is to be recorded from here on
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.Streams.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := a.Erasures.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := a.Exports.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := a.Retention.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := a.Ledger.Drop(ctx, org); err != nil {
		return err
	}
	if err := a.Catalog.DeleteOrganization(ctx, org); err != nil {
		return err
	}
	// Again, for an event that was let in just before the log was disabled.
	if err := a.Ledger.Drop(ctx, org); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// confirmed checks that a log which holds entries is meant to be deleted.
func (a *api) confirmed(r *server.Request, p params) error {
	head, err := a.Ledger.Head(r.Context(), r.Org())
	if err != nil {
		return err
	}
	if head.Size == 0 || p.has("confirm") && p.text("confirm") == r.Organization.Name {
		return nil
	}
	return audit.FieldErrorf(audit.CodeNotEmpty, "confirm",
		"the organization's log holds %d entries; to delete them for good, repeat the request with confirm set to the organization's name", head.Size)
}
