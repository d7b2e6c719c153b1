package audit

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// RetentionPolicy is how long entries are kept, from received_at.
type RetentionPolicy struct {
	// Days is the default: 30 to 3650, or 0 for ever.
	Days int `json:"days"`
	// Actions are classes of actions that are kept for another time. Of several
	// that match an action the most specific decides.
	Actions []RetentionAction `json:"actions"`
}

// RetentionAction is a class of actions: an action (user.logged_in) or what
// actions begin with (user.*). Days is as in [RetentionPolicy].
type RetentionAction struct {
	Pattern string `json:"pattern"`
	Days    int    `json:"days"`
}

// RetentionPreview is what a policy would do at once.
type RetentionPreview struct {
	// At is the moment that it is about.
	At time.Time `json:"at"`
	// Due is how many entries that are shown would go, Held how many more would
	// but for legal holds. Oldest and Newest are the first and the last
	// received_at of those that would go.
	Due    uint64    `json:"due"`
	Held   uint64    `json:"held"`
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Classes are the same by class, the default first.
	Classes []RetentionClass `json:"classes"`
}

// RetentionClass is a [RetentionPreview] of one class of actions; Pattern is ""
// for the default.
type RetentionClass struct {
	Pattern string    `json:"pattern"`
	Days    int       `json:"days"`
	Due     uint64    `json:"due"`
	Held    uint64    `json:"held"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
}

// Certificate is a destruction certificate as a list has it. [Client.Certificate]
// gets the signed text.
type Certificate struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	// FromSeq ≤ seq < ToSeq are the entries of which Removed went.
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	Removed uint64 `json:"removed"`
	Held    uint64 `json:"held"`
	// Oldest and Newest are the first and the last received_at of what went.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	Policy string    `json:"policy"`
}

// The states of a hold.
const (
	HoldActive = "active"
	HoldLifted = "lifted" // somebody ended it
	HoldEnded  = "ended"  // its end has come
)

// Hold is a legal hold: what its query finds is neither removed nor erased as long
// as it is active.
type Hold struct {
	ID             string    `json:"id"`
	OrganizationID string    `json:"organization_id"`
	Name           string    `json:"name"`
	Query          string    `json:"query"`
	Reason         string    `json:"reason"`
	State          string    `json:"state"`
	Owner          HoldOwner `json:"owner"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	// EndsAt is when it ends by itself; zero for never.
	EndsAt   time.Time  `json:"ends_at,omitzero"`
	LiftedAt time.Time  `json:"lifted_at,omitzero"`
	LiftedBy *HoldOwner `json:"lifted_by,omitempty"`
}

// HoldOwner is who made or lifted a hold.
type HoldOwner struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// NewHold is what is said of a hold that is made. An empty Query holds every entry.
type NewHold struct {
	Name   string    `json:"name"`
	Query  string    `json:"query"`
	Reason string    `json:"reason"`
	EndsAt time.Time `json:"ends_at,omitzero"`
}

// HoldChange is what is to change of a hold; nil leaves it as it is. The zero time
// takes the end away.
type HoldChange struct {
	Name, Reason *string
	EndsAt       *time.Time
}

// Retention returns how long an organization's entries are kept.
func (c *Client) Retention(ctx context.Context, org string) (*RetentionPolicy, error) {
	out := new(RetentionPolicy)
	return out, c.get(ctx, orgPath(org, "retention"), nil, out)
}

// SetRetention changes how long an organization's entries are kept, all of it.
// confirm is how many entries that are shown may go at once: Due of
// [Client.PreviewRetention]. If more would, nothing changes and the error is a
// conflict; nil confirms none.
func (c *Client) SetRetention(ctx context.Context, org string, p RetentionPolicy, confirm *uint64) (*RetentionPolicy, error) {
	body := struct {
		RetentionPolicy
		Confirm *uint64 `json:"confirm,omitempty"`
	}{p.body(), confirm}
	out := new(RetentionPolicy)
	return out, c.send(ctx, http.MethodPut, orgPath(org, "retention"), body, out)
}

// body is the policy as it is sent: no actions are an empty list.
func (p RetentionPolicy) body() RetentionPolicy {
	p.Actions = append([]RetentionAction{}, p.Actions...)
	return p
}

// PreviewRetention says what a policy would do at once. Nothing is changed.
func (c *Client) PreviewRetention(ctx context.Context, org string, p RetentionPolicy) (*RetentionPreview, error) {
	out := new(RetentionPreview)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "retention", "preview"), p.body(), out)
}

// Certificates yields an organization's destruction certificates, newest first. It
// ends after the first error.
func (c *Client) Certificates(ctx context.Context, org string) iter.Seq2[*Certificate, error] {
	return list[Certificate](ctx, c, orgPath(org, "retention", "certificates"), "certificates", url.Values{})
}

// Certificate returns a destruction certificate, a signed note for
// [Verifier.OpenCertificate].
func (c *Client) Certificate(ctx context.Context, org, id string) ([]byte, error) {
	return c.bytes(ctx, call{method: http.MethodGet, path: orgPath(org, "retention", "certificates", id)})
}

// CreateHold makes a legal hold, in force when it returns.
func (c *Client) CreateHold(ctx context.Context, org string, h NewHold) (*Hold, error) {
	out := new(Hold)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "holds"), h, out)
}

// Holds yields all holds an organization ever had: the active first, then the
// newest first. It ends after the first error.
func (c *Client) Holds(ctx context.Context, org string) iter.Seq2[*Hold, error] {
	return list[Hold](ctx, c, orgPath(org, "holds"), "holds", url.Values{})
}

// Hold returns a hold by its id.
func (c *Client) Hold(ctx context.Context, org, id string) (*Hold, error) {
	out := new(Hold)
	return out, c.get(ctx, orgPath(org, "holds", id), nil, out)
}

// UpdateHold changes an active hold.
func (c *Client) UpdateHold(ctx context.Context, org, id string, change HoldChange) (*Hold, error) {
	body := map[string]any{}
	if change.Name != nil {
		body["name"] = *change.Name
	}
	if change.Reason != nil {
		body["reason"] = *change.Reason
	}
	if change.EndsAt != nil {
		if body["ends_at"] = *change.EndsAt; change.EndsAt.IsZero() {
			body["ends_at"] = nil
		}
	}
	out := new(Hold)
	return out, c.send(ctx, http.MethodPatch, orgPath(org, "holds", id), body, out)
}

// LiftHold ends a hold now. reason may be empty.
func (c *Client) LiftHold(ctx context.Context, org, id, reason string) (*Hold, error) {
	body := struct {
		Reason string `json:"reason,omitempty"`
	}{reason}
	out := new(Hold)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "holds", id, "lift"), body, out)
}
