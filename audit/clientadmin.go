package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The states of an organization's log.
const (
	StateActive   = "active"   // events are recorded and shown
	StateInactive = "inactive" // events are recorded, but hidden from the customer
	StateDisabled = "disabled" // events are refused
)

// Organization is one customer of a product, with a log of its own.
type Organization struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	ExternalID string `json:"external_id,omitempty"`
	// State is StateActive, StateInactive or StateDisabled.
	State string `json:"state"`
	// RetentionDays is how long entries are kept, 0 for ever.
	RetentionDays int               `json:"retention_days"`
	HistoryStart  time.Time         `json:"history_start"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	CreatedAt     time.Time         `json:"created_at"`
	UpdatedAt     time.Time         `json:"updated_at"`
}

// OrganizationChange is what is to be said of an organization; nil leaves it as it
// is.
type OrganizationChange struct {
	Name          *string            `json:"name,omitempty"`
	ExternalID    *string            `json:"external_id,omitempty"`
	State         *string            `json:"state,omitempty"`
	RetentionDays *int               `json:"retention_days,omitempty"`
	HistoryStart  *time.Time         `json:"history_start,omitempty"`
	Metadata      *map[string]string `json:"metadata,omitempty"`
}

// CreateOrganization makes an organization. Its id is the server's choice when
// id is "".
func (c *Client) CreateOrganization(ctx context.Context, id string, o OrganizationChange) (*Organization, error) {
	body := struct {
		ID string `json:"id,omitempty"`
		OrganizationChange
	}{id, o}
	out := new(Organization)
	return out, c.send(ctx, http.MethodPost, "/v1/organizations", body, out)
}

// Organization returns an organization by its id.
func (c *Client) Organization(ctx context.Context, id string) (*Organization, error) {
	out := new(Organization)
	return out, c.get(ctx, orgPath(id), nil, out)
}

// OrganizationOptions says which organizations are wanted; the zero value is all.
type OrganizationOptions struct {
	// Search is a part of the name, ignoring case.
	Search string
	// ExternalID is the product's own identifier.
	ExternalID string
}

// Organizations yields organizations in the order of their creation. It ends
// after the first error.
func (c *Client) Organizations(ctx context.Context, opts OrganizationOptions) iter.Seq2[*Organization, error] {
	params := url.Values{}
	setText(params, "search", opts.Search)
	setText(params, "external_id", opts.ExternalID)
	return list[Organization](ctx, c, "/v1/organizations", "organizations", params)
}

// UpdateOrganization changes an organization.
func (c *Client) UpdateOrganization(ctx context.Context, id string, change OrganizationChange) (*Organization, error) {
	out := new(Organization)
	return out, c.send(ctx, http.MethodPatch, orgPath(id), change, out)
}

// DeleteOrganization removes an organization for good, with its log and exports.
// One whose log has entries is removed only when confirm is its name.
func (c *Client) DeleteOrganization(ctx context.Context, id, confirm string) error {
	params := url.Values{}
	setText(params, "confirm", confirm)
	return c.do(ctx, call{method: http.MethodDelete, path: orgPath(id), params: params}, nil)
}

// The intents of portal links: what they open first.
const (
	IntentAuditLogs  = "audit_logs"
	IntentLogStreams = "log_streams"
	IntentExports    = "exports"
)

// The roles of people on the pages.
const (
	PersonViewer  = "viewer"  // reads, searches, exports
	PersonManager = "manager" // sees and changes settings too
)

// Person is who a portal link is for.
type Person struct {
	// ID is the product's identifier of the person.
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// PortalLinkOptions says what a portal link is to open, and for whom. The zero
// value is a viewer's link to the audit log, of nobody in particular.
type PortalLinkOptions struct {
	// Intent is IntentAuditLogs, IntentLogStreams or IntentExports.
	Intent string
	// Role is PersonViewer or PersonManager.
	Role string
	// Person is who opens it; the zero Person is not said.
	Person Person
	// ReturnURL is where the pages lead back to.
	ReturnURL string
	// ExpiresIn is how long the link can be opened, in whole seconds and up
	// to five minutes, which zero means.
	ExpiresIn time.Duration
}

// PortalLink is a link that opens the pages of an organization, once.
type PortalLink struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
	Intent    string    `json:"intent"`
	Role      string    `json:"role"`
	Person    Person    `json:"person,omitzero"`
	ReturnURL string    `json:"return_url,omitempty"`
}

// PortalLink makes a link that lets a person of the organization into its pages.
// Make one when somebody asks for the audit log and redirect them to it.
func (c *Client) PortalLink(ctx context.Context, org string, opts PortalLinkOptions) (*PortalLink, error) {
	body := struct {
		Intent    string `json:"intent,omitempty"`
		Role      string `json:"role,omitempty"`
		Person    Person `json:"person,omitzero"`
		ReturnURL string `json:"return_url,omitempty"`
		ExpiresIn int    `json:"expires_in,omitempty"`
	}{opts.Intent, opts.Role, opts.Person, opts.ReturnURL, int(opts.ExpiresIn / time.Second)}
	out := new(PortalLink)
	return out, c.send(ctx, http.MethodPost, orgPath(org)+"/portal-links", body, out)
}

// The roles of a key.
const (
	RoleAdmin  = "admin"
	RoleWriter = "writer" // sends events, reads schemas
	RoleReader = "reader" // reads, exports
)

// Key is an API key, without the key itself.
type Key struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Role is RoleAdmin, RoleWriter or RoleReader.
	Role string `json:"role"`
	// OrganizationID limits the key to one organization; "" is all.
	OrganizationID string `json:"organization_id,omitempty"`
	// Hint is how the key ends.
	Hint      string    `json:"hint,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// CreatedBy is the id of the key that made it.
	CreatedBy string    `json:"created_by,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// Secret is the key itself, given only once: by CreateKey.
	Secret string `json:"key,omitempty"`
}

// CreateKey makes a key with a name, a role and, unless org is "", for one
// organization only.
func (c *Client) CreateKey(ctx context.Context, name, role, org string) (*Key, error) {
	body := struct {
		Name           string `json:"name"`
		Role           string `json:"role"`
		OrganizationID string `json:"organization_id,omitempty"`
	}{name, role, org}
	out := new(Key)
	return out, c.send(ctx, http.MethodPost, "/v1/keys", body, out)
}

// KeyOptions says which keys are wanted; the zero value is all that work.
type KeyOptions struct {
	// OrganizationID admits only keys limited to it.
	OrganizationID string
	// Revoked admits revoked keys too.
	Revoked bool
}

// Keys yields keys in the order of their creation. It ends after the first error.
func (c *Client) Keys(ctx context.Context, opts KeyOptions) iter.Seq2[*Key, error] {
	params := url.Values{}
	setText(params, "organization_id", opts.OrganizationID)
	if opts.Revoked {
		params.Set("revoked", "true")
	}
	return list[Key](ctx, c, "/v1/keys", "keys", params)
}

// RevokeKey ends a key for ever.
func (c *Client) RevokeKey(ctx context.Context, id string) (*Key, error) {
	out := new(Key)
	return out, c.send(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(id), nil, out)
}

// Schema is one version of what an action's events look like. The parts that are
// JSON Schemas are left as JSON.
type Schema struct {
	Action      string         `json:"action"`
	Version     int            `json:"version"`
	Description string         `json:"description,omitempty"`
	Targets     []SchemaTarget `json:"targets"`
	// Actor is {"metadata": a JSON Schema}.
	Actor     json.RawMessage `json:"actor,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	// Example is an event that satisfies the schema; set by [Client.Schema].
	Example *Event `json:"example,omitempty"`
}

// SchemaTarget is a type of target that an event of an action has.
type SchemaTarget struct {
	Type     string          `json:"type"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Schema returns a version of an action.
func (c *Client) Schema(ctx context.Context, action string, version int) (*Schema, error) {
	out := new(Schema)
	return out, c.get(ctx, "/v1/schemas/"+url.PathEscape(action)+"/"+strconv.Itoa(version), nil, out)
}

// SchemaOptions says which schemas are wanted; the zero value is the latest
// version of every action.
type SchemaOptions struct {
	// Action is the name of an action, or how names begin: "api_key.*".
	Action string
	// AllVersions admits the versions before the latest too.
	AllVersions bool
}

// Schemas yields schemas by action and version. It ends after the first error.
func (c *Client) Schemas(ctx context.Context, opts SchemaOptions) iter.Seq2[*Schema, error] {
	params := url.Values{}
	setText(params, "action", opts.Action)
	if opts.AllVersions {
		params.Set("versions", "all")
	}
	return list[Schema](ctx, c, "/v1/schemas", "schemas", params)
}

// RegisterSchema registers the next version of an action, from the JSON of a
// schema.
func (c *Client) RegisterSchema(ctx context.Context, schema json.RawMessage) (*Schema, error) {
	out := new(Schema)
	return out, c.send(ctx, http.MethodPost, "/v1/schemas", schema, out)
}

// SchemaReport is what applying a catalogue file did, or would do.
type SchemaReport struct {
	// Applied is false for a dry run.
	Applied bool `json:"applied"`
	// Breaking says that a change breaks senders or readers, or cannot be
	// applied.
	Breaking   bool            `json:"breaking"`
	Registered int             `json:"registered"`
	Unchanged  int             `json:"unchanged"`
	Findings   []SchemaFinding `json:"findings"`
}

// SchemaFinding is what applying one schema does, unless that is nothing.
type SchemaFinding struct {
	Action  string         `json:"action"`
	Version int            `json:"version"`
	Status  string         `json:"status"`
	Changes []SchemaChange `json:"changes,omitempty"`
}

// SchemaChange is one difference between two versions of a schema.
type SchemaChange struct {
	// Path is where, as a JSON pointer into the schema.
	Path     string `json:"path"`
	Breaking bool   `json:"breaking"`
	Message  string `json:"message"`
}

// ApplySchemas registers what a catalogue file has and the server does not; doing
// it again changes nothing. A dry run says what it would do.
func (c *Client) ApplySchemas(ctx context.Context, catalogue json.RawMessage, dryRun bool) (*SchemaReport, error) {
	k := call{method: http.MethodPost, path: "/v1/schemas/apply", body: catalogue, repeat: true}
	if dryRun {
		k.params = url.Values{"dry_run": {"true"}}
	}
	out := new(SchemaReport)
	return out, c.do(ctx, k, out)
}

func setText(params url.Values, name, value string) {
	if value != "" {
		params.Set(name, value)
	}
}

// list yields the elements of a list, page by page. name is that of the member
// which has them.
func list[T any](ctx context.Context, c *Client, path, name string, params url.Values) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		params := maps.Clone(params)
		for {
			elems, next, err := listPage[T](ctx, c, path, name, params)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range elems {
				if !yield(&elems[i], nil) {
					return
				}
			}
			if next == "" {
				return
			}
			params.Set("cursor", next)
		}
	}
}

// listPage returns one page of a list, and the cursor of the next, "" after the
// last.
func listPage[T any](ctx context.Context, c *Client, path, name string, params url.Values) (elems []T, next string, err error) {
	var page map[string]json.RawMessage
	if err := c.get(ctx, path, params, &page); err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(page[name], &elems); err != nil {
		return nil, "", fmt.Errorf("GET %s: read %s: %w", path, name, err)
	}
	if string(page["has_more"]) == "true" {
		err = json.Unmarshal(page["next"], &next)
	}
	return elems, next, err
}
