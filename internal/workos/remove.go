package workos

import (
	"context"
	"net/http"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

// deleteOrganization removes an organization that holds no entries. WorkOS has
// no way to say that a log is meant to be destroyed, so here none is: that takes
// the native API, which asks for the organization's name.
func (w *dropIn) deleteOrganization(rw http.ResponseWriter, r *server.Request) error {
	if err := serverWide(r); err != nil {
		return err
	}
	ctx, org := r.Context(), r.Org()
	if err := w.mustBeEmpty(ctx, org); err != nil {
		return err
	}
	was := r.Organization.State
	if err := w.setState(ctx, org, catalog.StateDisabled); err != nil {
		return err
	}
	// Again, now that no more events are let in.
	if err := w.mustBeEmpty(ctx, org); err != nil {
		if undo := w.setState(ctx, org, was); undo != nil {
			return undo
		}
		return err
	}
	if err := w.Exports.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Catalog.DeleteOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Ledger.Drop(ctx, org); err != nil {
		return err
	}
	return answer(rw, http.StatusAccepted, problem{Message: "Accepted"})
}

func (w *dropIn) mustBeEmpty(ctx context.Context, org string) error {
	through, err := w.Ledger.Through(ctx, org)
	if err != nil || through == nil {
		return err
	}
	return refuse(http.StatusConflict, audit.CodeNotEmpty, "The organization's audit log holds entries. "+
		"To delete it for good, use DELETE /v1/organizations/%s and confirm with its name.", org)
}

func (w *dropIn) setState(ctx context.Context, org string, state catalog.State) error {
	_, err := w.Catalog.UpdateOrganization(ctx, org, func(o *catalog.Organization) error {
		o.State = state
		return nil
	})
	return err
}
