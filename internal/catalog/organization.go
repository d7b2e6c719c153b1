package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
)

// State says how an organization's log is used. Products sell the log by plan.
type State string

// The states of an organization.
const (
	// StateActive records events and shows them.
	StateActive State = "active"
	// StateInactive records events but hides them from the customer, so that
	// the history is there when the plan allows it.
	StateInactive State = "inactive"
	// StateDisabled refuses events. What was recorded can be read.
	StateDisabled State = "disabled"
)

// Retention, in days.
const (
	DefaultRetentionDays = 365
	MinRetentionDays     = 30
	MaxRetentionDays     = 3650
	// RetainForever as RetentionDays removes nothing.
	RetainForever = 0
)

// Organization is one customer of the product, with a log of its own.
type Organization struct {
	// ID is the caller's choice at creation or "org_" and a ULID. It never
	// changes and is never used again after deletion.
	ID string `json:"id"`
	// Name is for people; not unique.
	Name string `json:"name"`
	// ExternalID is the product's own identifier, unique when not empty.
	ExternalID string `json:"external_id,omitempty"`
	// State says whether events are taken and shown. "" at creation means
	// StateActive.
	State State `json:"state"`
	// RetentionDays is how long an entry is kept, from received_at, when no
	// class of actions says otherwise:
	// RetainForever or MinRetentionDays..MaxRetentionDays.
	RetentionDays int `json:"retention_days"`
	// RetentionActions are classes of actions that are kept for another time.
	RetentionActions []RetentionAction `json:"retention_actions,omitempty"`
	// RetainedFrom is what was past its time when these were changed last. The
	// catalog keeps it, and it never moves back: see [Organization.RetentionClasses].
	RetainedFrom []RetentionFloor `json:"retained_from,omitempty"`
	// HistoryStart is when the customer's history begins. Zero at creation
	// means CreatedAt.
	HistoryStart time.Time `json:"history_start"`
	// Domains are the organization's DNS names, each of one organization only.
	Domains []Domain `json:"domains,omitempty"`
	// Metadata is the product's own.
	Metadata map[string]string `json:"metadata,omitempty"`
	// AllowProfilesOutsideOrganization is kept for WorkOS clients; Stele does
	// not look at it.
	AllowProfilesOutsideOrganization bool      `json:"allow_profiles_outside_organization,omitempty"`
	CreatedAt                        time.Time `json:"created_at"`
	UpdatedAt                        time.Time `json:"updated_at"`
	// Order is the organization's place in the order of creation, a ULID.
	Order string `json:"order"`
}

// DomainState says whether the organization has shown that a domain is its own.
type DomainState string

// The states of a domain.
const (
	DomainPending  DomainState = "pending"
	DomainVerified DomainState = "verified"
)

// Domain is one DNS name of an organization.
type Domain struct {
	// ID is "org_domain_" and a ULID; made when empty.
	ID string `json:"id"`
	// Domain is the name in lower case.
	Domain    string      `json:"domain"`
	State     DomainState `json:"state"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// orgRecord is the stored form. Of a deleted organization, only ID, Order,
// CreatedAt and DeletedAt are left.
type orgRecord struct {
	Organization
	DeletedAt time.Time `json:"deleted_at,omitzero"`
}

// NewOrganization is an active organization with the default retention, to be
// filled in and given to [Catalog.CreateOrganization].
func NewOrganization(name string) Organization {
	return Organization{Name: name, State: StateActive, RetentionDays: DefaultRetentionDays}
}

// CheckWrite is audit_log_disabled when no events are taken.
func (o *Organization) CheckWrite() error {
	if o.State != StateDisabled {
		return nil
	}
	return audit.Errorf(audit.CodeLogDisabled, "the audit log of organization %q is disabled: it takes no events", o.ID)
}

// CheckShow is audit_log_inactive when the log is hidden from the customer.
func (o *Organization) CheckShow() error {
	if o.State != StateInactive {
		return nil
	}
	return audit.Errorf(audit.CodeLogInactive, "the audit log of organization %q is not active: events are recorded but not shown", o.ID)
}

func (o *Organization) clone() Organization {
	out := *o
	out.Domains = slices.Clone(o.Domains)
	out.Metadata = maps.Clone(o.Metadata)
	out.RetentionActions = slices.Clone(o.RetentionActions)
	out.RetainedFrom = slices.Clone(o.RetainedFrom)
	return out
}

// stamp fills in what the catalog decides about domains.
func (c *Catalog) stamp(o *Organization, now time.Time) {
	o.UpdatedAt = now
	for i := range o.Domains {
		d := &o.Domains[i]
		if d.ID == "" {
			d.ID = "org_domain_" + c.ids.next(now)
			d.CreatedAt, d.UpdatedAt = now, now
		}
	}
}

// CreateOrganization records a new organization and returns it as recorded. ID,
// Order, the times and what identifies domains are made when empty. Errors for
// the caller: invalid_request naming the field; conflict with Field "/id",
// "/external_id" or "/domains/<i>/domain" when that is taken.
func (c *Catalog) CreateOrganization(ctx context.Context, o Organization) (*Organization, error) {
	now := c.time()
	o = o.clone()
	o.CreatedAt, o.Order = now, c.ids.next(now)
	if o.ID == "" {
		o.ID = "org_" + o.Order
	}
	if o.State == "" {
		o.State = StateActive
	}
	if o.HistoryStart.IsZero() {
		o.HistoryStart = now
	}
	o.RetainedFrom = nil
	if err := checkOrganization(&o); err != nil {
		return nil, err
	}
	c.stamp(&o, now)
	for range maxTries {
		err := c.applyCreate(ctx, &o)
		if err == nil {
			return &o, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, fmt.Errorf("create organization: %w", err)
		}
		if err := c.whatIsTaken(ctx, &o); err != nil {
			return nil, err
		}
	}
	return nil, errTooBusy(prefixOrganization + o.ID)
}

func (c *Catalog) applyCreate(ctx context.Context, o *Organization) error {
	record, err := Put(prefixOrganization+o.ID, orgRecord{Organization: *o}, 0)
	if err != nil {
		return err
	}
	changes := []Change{record}
	for _, key := range slices.Concat(uniqueKeys(o), orderKeys(o)) {
		index, err := Put(key, ref{ID: o.ID}, 0)
		if err != nil {
			return err
		}
		changes = append(changes, index)
	}
	return c.kv.Apply(ctx, changes...)
}

// uniqueKeys are the index records that no other organization may have.
func uniqueKeys(o *Organization) []string {
	var keys []string
	if o.ExternalID != "" {
		keys = append(keys, prefixExternalID+o.ExternalID)
	}
	for _, d := range o.Domains {
		keys = append(keys, prefixDomain+d.Domain)
	}
	return keys
}

func orderKeys(o *Organization) []string {
	return []string{prefixOrderAsc + o.Order, prefixOrderDesc + invert(o.Order)}
}

// whatIsTaken says which unique field of o belongs to another organization; nil
// when none does any more.
func (c *Catalog) whatIsTaken(ctx context.Context, o *Organization) error {
	s, err := Load[orgRecord](ctx, c.kv, prefixOrganization+o.ID)
	if err == nil && s.Value.Order != o.Order {
		return audit.FieldErrorf(audit.CodeConflict, "/id", "the id %q is or was that of another organization", o.ID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if o.ExternalID != "" {
		if taken, err := c.takenBy(ctx, prefixExternalID+o.ExternalID, o.ID); taken || err != nil {
			return orTaken(err, "/external_id", "an organization with the external id %q already exists", o.ExternalID)
		}
	}
	for i, d := range o.Domains {
		if taken, err := c.takenBy(ctx, prefixDomain+d.Domain, o.ID); taken || err != nil {
			return orTaken(err, domainField(i), "an organization with the domain %s already exists", d.Domain)
		}
	}
	return nil
}

func (c *Catalog) takenBy(ctx context.Context, key, id string) (bool, error) {
	r, err := c.resolve(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && r.Value.ID != id, err
}

func orTaken(err error, field, format, value string) error {
	if err != nil {
		return err
	}
	return audit.FieldErrorf(audit.CodeConflict, field, format, value)
}

func domainField(i int) string { return fmt.Sprintf("/domains/%d/domain", i) }

// Organization returns an organization, from the cache when it is there: then
// it allocates nothing. The result is shared and must not be changed. Absent and
// deleted ones are [NoOrganization].
func (c *Catalog) Organization(ctx context.Context, id string) (*Organization, error) {
	if o := c.orgs.get(id); o != nil {
		return o, nil
	}
	began := c.orgs.begin()
	s, err := c.loadOrganization(ctx, id)
	if err != nil {
		return nil, err
	}
	c.orgs.put(s.Value.ID, &s.Value.Organization, began)
	return &s.Value.Organization, nil
}

// loadOrganization reads the record of an organization that is not deleted.
func (c *Catalog) loadOrganization(ctx context.Context, id string) (*Stored[orgRecord], error) {
	if !validID(id) {
		return nil, NoOrganization(id)
	}
	s, err := Load[orgRecord](ctx, c.kv, prefixOrganization+id)
	if errors.Is(err, ErrNotFound) || err == nil && !s.Value.DeletedAt.IsZero() {
		return nil, NoOrganization(id)
	}
	return &s, err
}

// OrganizationByExternalID is [Catalog.Organization] by the product's own
// identifier.
func (c *Catalog) OrganizationByExternalID(ctx context.Context, externalID string) (*Organization, error) {
	if externalID == "" || !printable(externalID, MaxExternalIDBytes) {
		return nil, NoOrganization(externalID)
	}
	r, err := c.resolve(ctx, prefixExternalID+externalID)
	if errors.Is(err, ErrNotFound) {
		return nil, NoOrganization(externalID)
	}
	if err != nil {
		return nil, err
	}
	return c.Organization(ctx, r.Value.ID)
}
