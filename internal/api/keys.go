package api

import (
	"errors"
	"net/http"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

// keyAnswer is a key in an answer. The key itself is only in the answer to its
// making.
type keyAnswer struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Role           auth.Role `json:"role"`
	OrganizationID string    `json:"organization_id,omitempty"`
	Hint           string    `json:"hint,omitempty"`
	CreatedAt      stamp     `json:"created_at"`
	CreatedBy      string    `json:"created_by,omitempty"`
	RevokedAt      stamp     `json:"revoked_at,omitzero"`
	Secret         string    `json:"key,omitempty"`
}

func keyOf(k *catalog.Key) keyAnswer {
	return keyAnswer{
		ID: k.ID, Name: k.Name, Role: k.Role, OrganizationID: k.Organization, Hint: k.Hint,
		CreatedAt: stamp(k.CreatedAt), CreatedBy: k.CreatedBy, RevokedAt: stamp(k.RevokedAt),
	}
}

func (a *api) createKey(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		Name           string    `json:"name"`
		Role           auth.Role `json:"role"`
		OrganizationID string    `json:"organization_id"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	if err := mayLimit(r, body.OrganizationID); err != nil {
		return err
	}
	secret, key, err := a.Auth.CreateKey(r.Context(), catalog.Key{
		Name: body.Name, Role: body.Role, Organization: body.OrganizationID, CreatedBy: r.Identity.KeyID,
	})
	if err != nil {
		return err
	}
	out := keyOf(key)
	out.Secret = secret
	w.Header().Set("Cache-Control", "no-store")
	return created(w, "/v1/keys/"+key.ID, out)
}

// mayLimit checks that the caller may make a key for an organization, "" for
// all of them.
func mayLimit(r *server.Request, org string) error {
	if org != "" {
		_, err := r.AllowOrg(org)
		if fault, ok := errors.AsType[*audit.Error](err); ok {
			at := *fault
			at.Field = "/organization_id"
			return &at
		}
		return err
	}
	if scope := r.Scope(); scope != "" {
		return audit.FieldErrorf(audit.CodeForbidden, "/organization_id", "your key is limited to an organization, so the keys it makes must be limited to it too: set organization_id to %q", scope)
	}
	return nil
}

// keyList is one page of keys.
type keyList struct {
	Keys    []keyAnswer `json:"keys"`
	Next    *string     `json:"next"`
	HasMore bool        `json:"has_more"`
}

func (a *api) listKeys(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "organization_id", "revoked", "limit", "cursor")
	if err != nil {
		return err
	}
	opts := catalog.KeyOptions{Organization: r.Scope(), After: p.text("cursor")}
	if opts.Limit, err = p.limit(defaultList); err != nil {
		return err
	}
	if opts.Revoked, err = p.flag("revoked"); err != nil {
		return err
	}
	if org := p.text("organization_id"); org != "" {
		if _, err := r.AllowOrg(org); err != nil {
			return err
		}
		opts.Organization = org
	}
	keys, more, err := a.Catalog.Keys(r.Context(), opts)
	if err != nil {
		return err
	}
	out := keyList{Keys: make([]keyAnswer, len(keys)), HasMore: more}
	for i, k := range keys {
		out.Keys[i] = keyOf(k)
	}
	out.Next = next(more, func() string { return keys[len(keys)-1].ID })
	return server.WriteJSON(w, http.StatusOK, out)
}

// ownKey returns the key in the path, if the caller may know of it.
func (a *api) ownKey(r *server.Request) (*catalog.Key, error) {
	id := r.PathValue("id")
	absent := audit.Errorf(audit.CodeNotFound, "there is no key %q", id)
	k, err := a.Catalog.Key(r.Context(), id)
	if isNotFound(err) || err == nil && !r.Opens(k.Organization) {
		return nil, absent
	}
	return k, err
}

func (a *api) getKey(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	k, err := a.ownKey(r)
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, keyOf(k))
}

func (a *api) revokeKey(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	k, err := a.ownKey(r)
	if err != nil {
		return err
	}
	if k, err = a.Catalog.RevokeKey(r.Context(), k.ID); err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, keyOf(k))
}
