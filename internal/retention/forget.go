package retention

import (
	"context"
	"errors"
	"fmt"

	"github.com/stelehq/stele/internal/catalog"
)

// Steady holds back changes of an organization's holds and periods until release
// is called: for who acts on what Keep says and must not be overtaken.
func (r *Retention) Steady(org string) (release func()) { return r.locks.lock(org) }

// Forget removes what holds and changes that were not told yet have of a person
// but the id. It may be called again.
func (r *Retention) Forget(ctx context.Context, org, person string) error {
	defer r.locks.lock(org)()
	for found, err := range catalog.All[Hold](ctx, r.cfg.KV, prefixHold+org+"/", "") {
		if err != nil {
			return err
		}
		h := &found.Value
		owner, lifter := h.Owner.forget(person), h.LiftedBy.forget(person)
		if !owner && !lifter {
			continue
		}
		if err := catalog.Save(ctx, r.cfg.KV, found.Key, *h, found.Rev); err != nil {
			return fmt.Errorf("forget in %s: %w", h.ID, err)
		}
	}
	for found, err := range catalog.All[happening](ctx, r.cfg.KV, prefixNote, "") {
		if err != nil {
			return err
		}
		h := &found.Value
		if h.Organization != org || !h.By.forget(person) {
			continue
		}
		err := catalog.Save(ctx, r.cfg.KV, found.Key, *h, found.Rev)
		if err != nil && !errors.Is(err, catalog.ErrConflict) { // told meanwhile: nobody else writes it
			return fmt.Errorf("forget in a change: %w", err)
		}
	}
	return nil
}

// forget removes what is known of a person but the id. It reports whether there
// was anything.
func (w *Who) forget(person string) bool {
	bare := Who{Type: w.Type, ID: w.ID}
	if w.ID != person || *w == bare {
		return false
	}
	*w = bare
	return true
}

// Mentions returns the holds of an organization that name somebody: in the filter,
// the name or the reason. They are not changed: a hold is evidence of its own.
func (r *Retention) Mentions(ctx context.Context, org string, names func(text string) bool) ([]string, error) {
	all, err := r.loadHolds(ctx, org)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, h := range all {
		if names(h.Query) || names(h.Name) || names(h.Reason) {
			found = append(found, h.ID)
		}
	}
	return found, nil
}
