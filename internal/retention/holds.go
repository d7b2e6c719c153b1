package retention

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Limits of holds.
const (
	MaxHolds       = 100 // in force, of one organization
	MaxNameBytes   = 256
	MaxReasonBytes = 4 << 10
	MaxQueryBytes  = 16 << 10
)

// Hold is a legal hold: it keeps the entries that its query finds past their time,
// and from being erased, as long as it is in force. What was past its time
// already, and not held, when it was made it does not bring back.
type Hold struct {
	// ID is "hold_" and a ULID.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	// Name is for people. Query is the filter's text, "" for every entry. Reason
	// says why, such as the matter it is for.
	Name   string `json:"name"`
	Query  string `json:"query"`
	Reason string `json:"reason"`
	// Owner is who made it.
	Owner     Who       `json:"owner"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// EndsAt is when it is over by itself; zero for never.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// LiftedAt is when somebody ended it, LiftedBy who; zero as long as nobody
	// has.
	LiftedAt time.Time `json:"lifted_at,omitzero"`
	LiftedBy Who       `json:"lifted_by,omitzero"`

	// Due are the queries of what was past its time when the hold was made,
	// Before the ids of the holds in force then.
	Due    []string `json:"due,omitempty"`
	Before []string `json:"before,omitempty"`
	// EndTold says that its end is on record.
	EndTold bool `json:"end_told,omitempty"`
}

// HoldState says whether a hold keeps anything.
type HoldState string

// The states of a hold.
const (
	HoldActive HoldState = "active"
	HoldLifted HoldState = "lifted" // somebody ended it
	HoldEnded  HoldState = "ended"  // its end has come
)

// State is the hold's state at a moment.
func (h *Hold) State(now time.Time) HoldState {
	switch {
	case !h.LiftedAt.IsZero() && !now.Before(h.LiftedAt):
		return HoldLifted
	case !h.EndsAt.IsZero() && !now.Before(h.EndsAt):
		return HoldEnded
	}
	return HoldActive
}

// HoldSpec is what is said of a hold that is made.
type HoldSpec struct {
	Name   string
	Query  string
	Reason string
	EndsAt time.Time // zero for no end
}

// HoldChange is what may change of a hold; nil leaves it as it is. What it keeps
// cannot change: that would be another hold.
type HoldChange struct {
	Name, Reason *string
	// EndsAt is the new end; the zero time for none.
	EndsAt *time.Time
}

func holdKey(org, id string) string { return prefixHold + org + "/" + id }

func noHold(id string) *audit.Error {
	return audit.Errorf(audit.CodeNotFound, "there is no hold %q", id[:min(len(id), 64)])
}

// CreateHold makes a hold, in force when it returns. Errors for the caller:
// invalid_request naming the field (/name, /query, /reason, /ends_at),
// invalid_query for the query, conflict when there are MaxHolds in force,
// not_found.
func (r *Retention) CreateHold(ctx context.Context, org string, spec HoldSpec, by Who) (*Hold, error) {
	query, err := parseHoldQuery(spec.Query)
	if err != nil {
		return nil, err
	}
	defer r.locks.lock(org)()
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	now := r.now()
	h := &Hold{
		ID: "hold_" + catalog.NewULID(now), Organization: org, Name: spec.Name, Query: query.String(), Reason: spec.Reason,
		Owner: by, CreatedAt: now, UpdatedAt: now, EndsAt: spec.EndsAt,
	}
	if err := h.check(now); err != nil {
		return nil, err
	}
	for _, q := range Due(o, now) {
		h.Due = append(h.Due, q.String())
	}
	all, err := r.loadHolds(ctx, org)
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		if other.State(now) == HoldActive {
			h.Before = append(h.Before, other.ID)
		}
	}
	if len(h.Before) >= MaxHolds {
		return nil, audit.Errorf(audit.CodeConflict, "there are %d holds in force, and more are not possible; lift those that are not needed any more", MaxHolds)
	}
	return h, r.saveHold(ctx, h, 0, ActionHoldCreated, by, holdMetadata(h))
}

func parseHoldQuery(text string) (audit.Query, error) {
	if len(text) > MaxQueryBytes {
		return audit.Query{}, invalid("/query", "must be at most %d bytes", MaxQueryBytes)
	}
	q, err := audit.ParseQuery(text)
	if e, ok := errors.AsType[*audit.Error](err); ok {
		named := *e
		named.Field = "/query"
		return audit.Query{}, &named
	}
	return q, err
}

// check brings what people say of a hold to its stored form.
func (h *Hold) check(now time.Time) error {
	h.Name, h.Reason = strings.TrimSpace(h.Name), strings.TrimSpace(h.Reason)
	switch {
	case h.Name == "":
		return invalid("/name", "is required")
	case !plainText(h.Name, MaxNameBytes, ""):
		return invalid("/name", "must be at most %d bytes of UTF-8 without control characters", MaxNameBytes)
	case h.Reason == "":
		return invalid("/reason", "is required: say what the entries are held for")
	case !plainText(h.Reason, MaxReasonBytes, "\n\t"):
		return invalid("/reason", "must be at most %d bytes of UTF-8", MaxReasonBytes)
	case h.EndsAt.IsZero():
		return nil
	case !h.EndsAt.After(now):
		return invalid("/ends_at", "must be in the future; to end a hold now, lift it")
	case h.EndsAt.After(audit.MaxTime):
		return invalid("/ends_at", "must be before %d", audit.MaxTime.Year()+1)
	}
	h.EndsAt = h.EndsAt.UTC().Truncate(time.Millisecond)
	return nil
}

// plainText reports whether a text is UTF-8 of at most limit bytes without control
// characters but those allowed.
func plainText(s string, limit int, allowed string) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return unicode.IsControl(c) && !strings.ContainsRune(allowed, c)
	})
}

func holdMetadata(h *Hold) map[string]any {
	m := map[string]any{"query": h.Query, "reason": h.Reason}
	if !h.EndsAt.IsZero() {
		m["ends_at"] = h.EndsAt.Format(time.RFC3339Nano)
	}
	return m
}

// saveHold writes a hold together with what is to be told of it. The
// organization's lock is held.
func (r *Retention) saveHold(ctx context.Context, h *Hold, rev uint64, action string, by Who, metadata map[string]any) error {
	put, err := catalog.Put(holdKey(h.Organization, h.ID), *h, rev)
	if err != nil {
		return err
	}
	notes, err := r.note(happening{
		Organization: h.Organization, Action: action, By: by,
		Target: target{Type: "legal_hold", ID: h.ID, Name: h.Name}, Metadata: metadata,
	})
	if err != nil {
		return err
	}
	err = r.cfg.KV.Apply(ctx, append(notes, put)...)
	r.forget(h.Organization) // also when it failed: it may have landed
	if err != nil {
		return fmt.Errorf("save hold: %w", err)
	}
	r.willEnd(h.EndsAt)
	r.tell(ctx)
	return nil
}

// loadHold reads a hold of an organization.
func (r *Retention) loadHold(ctx context.Context, org, id string) (catalog.Stored[Hold], error) {
	if !validID(id, "hold_") {
		return catalog.Stored[Hold]{}, noHold(id)
	}
	s, err := catalog.Load[Hold](ctx, r.cfg.KV, holdKey(org, id))
	if errors.Is(err, catalog.ErrNotFound) {
		return s, noHold(id)
	}
	return s, err
}

// loadHolds reads all holds that an organization ever had, oldest first.
func (r *Retention) loadHolds(ctx context.Context, org string) ([]*Hold, error) {
	var list []*Hold
	for s, err := range catalog.All[Hold](ctx, r.cfg.KV, prefixHold+org+"/", "") {
		if err != nil {
			return nil, fmt.Errorf("list holds: %w", err)
		}
		list = append(list, &s.Value)
	}
	return list, nil
}

// Holds lists all holds of an organization, those in force first and then the
// newest first.
func (r *Retention) Holds(ctx context.Context, org string) ([]*Hold, error) {
	list, err := r.loadHolds(ctx, org)
	if err != nil {
		return nil, err
	}
	now := r.now()
	over := func(h *Hold) int {
		if h.State(now) == HoldActive {
			return 0
		}
		return 1
	}
	slices.SortFunc(list, func(a, b *Hold) int {
		return cmp.Or(cmp.Compare(over(a), over(b)), b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list, nil
}

// Hold returns one hold. Errors: not_found, also for that of another organization.
func (r *Retention) Hold(ctx context.Context, org, id string) (*Hold, error) {
	s, err := r.loadHold(ctx, org, id)
	if err != nil {
		return nil, err
	}
	return &s.Value, nil
}

// ChangeHold changes what may change of a hold in force. Errors for the caller:
// those of CreateHold about the fields, conflict when it is over, not_found.
func (r *Retention) ChangeHold(ctx context.Context, org, id string, change HoldChange, by Who) (*Hold, error) {
	defer r.locks.lock(org)()
	s, err := r.loadHold(ctx, org, id)
	if err != nil {
		return nil, err
	}
	now, h, was := r.now(), &s.Value, s.Value
	if err := inForce(h, now); err != nil {
		return nil, err
	}
	set(&h.Name, change.Name)
	set(&h.Reason, change.Reason)
	set(&h.EndsAt, change.EndsAt)
	if err := h.check(now); err != nil {
		return nil, err
	}
	if h.Name == was.Name && h.Reason == was.Reason && h.EndsAt.Equal(was.EndsAt) {
		return h, nil
	}
	h.UpdatedAt = now
	metadata := holdMetadata(h)
	delete(metadata, "query")
	return h, r.saveHold(ctx, h, s.Rev, ActionHoldChanged, by, metadata)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func inForce(h *Hold, now time.Time) error {
	switch h.State(now) {
	case HoldLifted:
		return audit.Errorf(audit.CodeConflict, "the hold was lifted at %s; make another one", h.LiftedAt.Format(time.RFC3339))
	case HoldEnded:
		return audit.Errorf(audit.CodeConflict, "the hold ended at %s; make another one", h.EndsAt.Format(time.RFC3339))
	}
	return nil
}

// LiftHold ends a hold now: what is past its time and no other hold keeps is
// hidden when it returns, and removed later. reason may be empty. Errors for the
// caller: conflict when it is over already, not_found.
func (r *Retention) LiftHold(ctx context.Context, org, id, reason string, by Who) (*Hold, error) {
	reason = strings.TrimSpace(reason)
	if !plainText(reason, MaxReasonBytes, "\n\t") {
		return nil, invalid("/reason", "must be at most %d bytes of UTF-8", MaxReasonBytes)
	}
	defer r.locks.lock(org)()
	s, err := r.loadHold(ctx, org, id)
	if err != nil {
		return nil, err
	}
	h, now := &s.Value, r.now()
	if err := inForce(h, now); err != nil {
		return nil, err
	}
	h.LiftedAt, h.LiftedBy, h.UpdatedAt, h.EndTold = now, by, now, true
	metadata := map[string]any{"query": h.Query}
	if reason != "" {
		metadata["reason"] = reason
	}
	return h, r.saveHold(ctx, h, s.Rev, ActionHoldLifted, by, metadata)
}
