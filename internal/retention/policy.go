package retention

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Policy is how long entries are kept, from received_at.
type Policy struct {
	// Days is the default: catalog.RetainForever, or catalog.MinRetentionDays to
	// catalog.MaxRetentionDays.
	Days int `json:"days"`
	// Actions are classes of actions that are kept for another time. Of several
	// that match an action the most specific decides. They come back sorted.
	Actions []catalog.RetentionAction `json:"actions"`
}

func policyOf(o *catalog.Organization) Policy {
	return Policy{Days: o.RetentionDays, Actions: slices.Clone(o.RetentionActions)}
}

// check brings a policy to its stored form. Errors name the field: /days,
// /actions/0/pattern, /actions/0/days.
func (p Policy) check() (Policy, error) {
	if err := catalog.CheckRetentionDays("/days", p.Days); err != nil {
		return Policy{}, err
	}
	var err error
	p.Actions, err = catalog.CheckRetentionActions("/actions", p.Actions)
	return p, err
}

// String is the policy in words, as entries and certificates have it: "365 days;
// user.logged_in 90 days".
func (p Policy) String() string {
	var b strings.Builder
	b.WriteString(period(p.Days))
	for _, a := range p.Actions {
		b.WriteString("; " + a.Pattern + " " + period(a.Days))
	}
	return b.String()
}

func period(days int) string {
	switch days {
	case catalog.RetainForever:
		return "for ever"
	case 1:
		return "1 day"
	}
	return strconv.Itoa(days) + " days"
}

// Due says which entries of an organization are past their time at a moment, by
// class of action. It is what the organization's periods and floors say; holds are
// not in it.
func Due(o *catalog.Organization, now time.Time) []audit.Query {
	return due(o.RetentionClasses(), now)
}

func due(classes []catalog.RetentionClass, now time.Time) []audit.Query {
	var queries []audit.Query
	for i := range classes {
		cut := classes[i].Cut(now)
		if cut.Before(audit.MinTime) { // what is earlier than any entry bounds none
			continue
		}
		queries = append(queries, audit.Query{Filters: classFilters(&classes[i]), ReceivedTo: cut})
	}
	return queries
}

// classFilters are the filters that a class's actions pass.
func classFilters(c *catalog.RetentionClass) []audit.Filter {
	var filters []audit.Filter
	if c.Pattern != "" {
		filters = append(filters, audit.Filter{Field: audit.FieldAction, Values: []string{c.Pattern}})
	}
	if len(c.Except) > 0 {
		filters = append(filters, audit.Filter{Field: audit.FieldAction, Values: c.Except, Not: true})
	}
	return filters
}

// Policy returns how long an organization's entries are kept. Errors: not_found.
func (r *Retention) Policy(ctx context.Context, org string) (Policy, error) {
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if err != nil {
		return Policy{}, err
	}
	return policyOf(o), nil
}

// confirmSlack is how far back what becomes due all the time is not counted
// against a confirmation, so that one of a busy log can be given at all.
const confirmSlack = 15 * time.Minute

// ConfirmError refuses a change by which entries would go that nobody agreed to
// lose. It is a conflict for the caller, with the preview to show.
type ConfirmError struct {
	Preview Preview
	err     *audit.Error
}

// Error says how many entries would go.
func (e *ConfirmError) Error() string { return e.err.Error() }

// Unwrap returns the *audit.Error that the API answers.
func (e *ConfirmError) Unwrap() error { return e.err }

// SetPolicy changes how long entries are kept. When entries that are shown would
// be past their time at once, confirm is how many of them may go: the number that
// Preview gave. If more would go, nothing changes and the error is a
// *ConfirmError; nil confirms none.
//
// Other errors for the caller: invalid_request naming the field below the policy
// (/days, /actions/0/pattern), not_found.
func (r *Retention) SetPolicy(ctx context.Context, org string, p Policy, confirm *uint64, by Who) (Policy, error) {
	p, err := p.check()
	if err != nil {
		return Policy{}, err
	}
	preview, err := r.preview(ctx, org, p, confirmSlack)
	if err != nil {
		return Policy{}, err
	}
	if preview.Due > 0 && (confirm == nil || preview.Due > *confirm) {
		return Policy{}, unconfirmed(preview, confirm)
	}
	o, err := r.Update(ctx, org, by, func(o *catalog.Organization) error {
		o.RetentionDays, o.RetentionActions = p.Days, p.Actions
		return nil
	})
	if err != nil {
		return Policy{}, err
	}
	return policyOf(o), nil
}

func unconfirmed(p Preview, confirm *uint64) error {
	text := fmt.Sprintf("by this change %d entries would go at once, received from %s to %s",
		p.Due, p.Oldest.Format(time.RFC3339), p.Newest.Format(time.RFC3339))
	if p.Held > 0 {
		text += fmt.Sprintf("; %d more stay under legal holds", p.Held)
	}
	if confirm != nil {
		text += fmt.Sprintf("; %d were confirmed", *confirm)
	}
	return &ConfirmError{Preview: p, err: audit.FieldErrorf(audit.CodeConflict, "/confirm",
		"%s. Nothing was changed; to let them go, repeat the request with confirm set to %d", text, p.Due)}
}

// Update changes an organization and, when that changes how long entries are kept,
// records it in the organization's log. Every change of retention goes through it.
// Errors are those of catalog.UpdateOrganization.
func (r *Retention) Update(ctx context.Context, org string, by Who, change func(*catalog.Organization) error) (*catalog.Organization, error) {
	defer r.locks.lock(org)()
	noted := false
	o, err := r.cfg.Catalog.UpdateOrganizationWith(ctx, org, change, func(old, updated *catalog.Organization) ([]catalog.Change, error) {
		if noted = !old.SameRetention(updated); !noted {
			return nil, nil
		}
		return r.note(happening{
			Organization: org, Action: ActionChanged, By: by,
			Target:   target{Type: "organization", ID: org, Name: updated.Name},
			Metadata: map[string]any{"from": policyOf(old).String(), "to": policyOf(updated).String()},
		})
	})
	if err != nil {
		return nil, err
	}
	if noted {
		r.tell(ctx)
	}
	return o, nil
}
