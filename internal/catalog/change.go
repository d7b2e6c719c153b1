package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
)

// UpdateOrganization changes an organization: change is called with a copy, and
// again with a newer one when somebody else was faster; its error ends the
// update and is returned as it is. ID, Order and CreatedAt cannot change.
// Errors for the caller are those of CreateOrganization and [NoOrganization].
func (c *Catalog) UpdateOrganization(ctx context.Context, id string, change func(*Organization) error) (*Organization, error) {
	return c.UpdateOrganizationWith(ctx, id, change, nil)
}

// UpdateOrganizationWith is UpdateOrganization together with other records: with is
// called with the organization before and after, each time that change was, and
// what it returns is written with the organization or not at all. None of these
// may be a record of an organization. It may be nil.
func (c *Catalog) UpdateOrganizationWith(ctx context.Context, id string, change func(*Organization) error,
	with func(old, updated *Organization) ([]Change, error),
) (*Organization, error) {
	for range maxTries {
		s, err := c.loadOrganization(ctx, id)
		if err != nil {
			return nil, err
		}
		o, err := c.changed(&s.Value.Organization, change)
		if err != nil {
			return nil, err
		}
		var more []Change
		if with != nil {
			if more, err = with(&s.Value.Organization, o); err != nil {
				return nil, err
			}
		}
		err = c.applyUpdate(ctx, s, o, more)
		if err == nil {
			return o, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("update organization %s: %w", id, err)
		}
		if err := c.whatIsTaken(ctx, o); err != nil {
			return nil, err
		}
	}
	return nil, errTooBusy(prefixOrganization + id)
}

// changed is the organization after change, checked.
func (c *Catalog) changed(old *Organization, change func(*Organization) error) (*Organization, error) {
	o := old.clone()
	if err := change(&o); err != nil {
		return nil, err
	}
	if o.ID != old.ID || o.Order != old.Order || !o.CreatedAt.Equal(old.CreatedAt) {
		return nil, errors.New("update organization: id, order and time of creation cannot change")
	}
	if err := checkOrganization(&o); err != nil {
		return nil, err
	}
	now := c.time()
	if err := o.keepFloors(old, now); err != nil {
		return nil, err
	}
	keepDomains(&o, old, now)
	c.stamp(&o, now)
	return &o, nil
}

// keepDomains gives domains that the organization already had their identity
// and marks those that changed.
func keepDomains(o, old *Organization, now time.Time) {
	for i := range o.Domains {
		d := &o.Domains[i]
		j := slices.IndexFunc(old.Domains, func(was Domain) bool { return was.Domain == d.Domain })
		if j < 0 {
			d.ID = ""
			continue
		}
		was := old.Domains[j]
		d.ID, d.CreatedAt, d.UpdatedAt = was.ID, was.CreatedAt, was.UpdatedAt
		if d.State != was.State {
			d.UpdatedAt = now
		}
	}
}

func (c *Catalog) applyUpdate(ctx context.Context, old *Stored[orgRecord], o *Organization, more []Change) error {
	record, err := Put(old.Key, orgRecord{Organization: *o}, old.Rev)
	if err != nil {
		return err
	}
	was, is := uniqueKeys(&old.Value.Organization), uniqueKeys(o)
	changes := append([]Change{record}, more...)
	for _, key := range is {
		if slices.Contains(was, key) {
			continue
		}
		index, err := Put(key, ref{ID: o.ID}, 0)
		if err != nil {
			return err
		}
		changes = append(changes, index)
	}
	for _, key := range was {
		if slices.Contains(is, key) {
			continue
		}
		if changes, err = c.appendDelete(ctx, changes, key); err != nil {
			return err
		}
	}
	return c.applyTo(ctx, o.ID, changes)
}

// appendDelete adds the removal of an index record at its present revision.
// When it is gone, somebody else was faster.
func (c *Catalog) appendDelete(ctx context.Context, changes []Change, key string) ([]Change, error) {
	rec, err := c.kv.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("remove %s: %w", key, ErrConflict)
	}
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", key, err)
	}
	return append(changes, Change{Key: key, Rev: rec.Rev, Delete: true}), nil
}

// applyTo writes changes to an organization and keeps the cache true, also when
// the write failed: it may have landed.
func (c *Catalog) applyTo(ctx context.Context, id string, changes []Change) error {
	err := c.kv.Apply(ctx, changes...)
	c.orgs.drop(id)
	return err
}

// DeleteOrganization removes an organization and frees its external id and
// domains. A tombstone stays, so that its id is never used again, and keys
// limited to it are revoked. The log itself is the ledger's.
func (c *Catalog) DeleteOrganization(ctx context.Context, id string) error {
	for range maxTries {
		s, err := c.loadOrganization(ctx, id)
		if err != nil {
			return err
		}
		// Before the organization is gone, so that a deletion that is broken
		// off can be done again.
		if err := c.revokeKeysOf(ctx, id); err != nil {
			return err
		}
		err = c.applyDelete(ctx, s)
		if err == nil {
			return c.revokeKeysOf(ctx, id) // made meanwhile
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("delete organization %s: %w", id, err)
		}
	}
	return errTooBusy(prefixOrganization + id)
}

func (c *Catalog) revokeKeysOf(ctx context.Context, org string) error {
	limited := KeyOptions{Organization: org}
	for s, err := range All[Key](ctx, c.kv, prefixKey, "") {
		if err != nil {
			return fmt.Errorf("revoke keys of %s: %w", org, err)
		}
		if !limited.admits(&s.Value) {
			continue
		}
		if _, err := c.RevokeKey(ctx, s.Value.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catalog) applyDelete(ctx context.Context, s *Stored[orgRecord]) error {
	o := &s.Value.Organization
	tombstone := orgRecord{DeletedAt: c.time()}
	tombstone.ID, tombstone.Order, tombstone.CreatedAt = o.ID, o.Order, o.CreatedAt
	record, err := Put(s.Key, tombstone, s.Rev)
	if err != nil {
		return err
	}
	changes := []Change{record}
	for _, key := range slices.Concat(uniqueKeys(o), orderKeys(o)) {
		if changes, err = c.appendDelete(ctx, changes, key); err != nil {
			return err
		}
	}
	return c.applyTo(ctx, o.ID, changes)
}

// orderOf is the place of an organization, deleted or not, in the order of
// creation.
func (c *Catalog) orderOf(ctx context.Context, id, field string) (string, error) {
	unknown := audit.FieldErrorf(audit.CodeInvalidCursor, field, "there is no organization %q", short(id))
	if !validID(id) {
		return "", unknown
	}
	s, err := Load[orgRecord](ctx, c.kv, prefixOrganization+id)
	if errors.Is(err, ErrNotFound) {
		return "", unknown
	}
	return s.Value.Order, err
}
