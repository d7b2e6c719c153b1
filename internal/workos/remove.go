package workos

import (
	"context"
	"errors"
	"net/http"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
)

// deleteOrganization removes an organization that holds no entries. WorkOS has
// no way to say that a log is meant to be destroyed, so here none is: that takes
// the native API, which asks for the organization's name. What is left by a
// failure half way is a disabled organization, to be deleted again.
func (w *dropIn) deleteOrganization(rw http.ResponseWriter, r *server.Request) error {
	if err := serverWide(r); err != nil {
		return err
	}
	ctx, org, was := r.Context(), r.Org(), r.Organization.State
	if err := w.mustBeEmpty(ctx, org); err != nil {
		return err
	}
	if err := w.Retention.CheckDelete(ctx, org); err != nil {
		return err
	}
	if err := w.setState(ctx, org, catalog.StateDisabled); err != nil {
		return err
	}
	if err := w.endEmpty(ctx, org); err != nil {
		return errors.Join(err, w.setState(ctx, org, was))
	}
	if err := w.Streams.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Erasures.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Exports.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Retention.DropOrganization(ctx, org); err != nil {
		return err
	}
	if err := w.Catalog.DeleteOrganization(ctx, org); err != nil {
		return err
	}
	return answer(rw, http.StatusAccepted, problem{Message: "Accepted"})
}

func (w *dropIn) mustBeEmpty(ctx context.Context, org string) error {
	through, err := w.Ledger.Through(ctx, org)
	if err != nil || through == nil {
		return err
	}
	return notEmpty(org)
}

// endEmpty ends the log if it is empty still. An event that was let in before the
// organization was disabled is either recorded by now, then the log stays, or it
// is refused: none is acknowledged and then destroyed.
func (w *dropIn) endEmpty(ctx context.Context, org string) error {
	empty, err := w.Ledger.DropEmpty(ctx, org)
	if err != nil || empty {
		return err
	}
	return notEmpty(org)
}

func notEmpty(org string) error {
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
