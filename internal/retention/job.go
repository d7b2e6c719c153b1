package retention

import (
	"context"
	"time"
)

// DefaultEvery is how often the job looks what is to be done.
const DefaultEvery = time.Minute

// Removal is a removal that is through.
type Removal struct {
	Organization  string
	Removed, Held uint64
	Took          time.Duration
}

// Start starts the job that removes what is past its time. It ends with Close.
func (r *Retention) Start() {}

// Apply removes now what is past its time in an organization's log, all of it, and
// returns the certificate; nil when there was nothing to remove.
func (r *Retention) Apply(ctx context.Context, org string) (*Certificate, error) {
	return nil, nil
}

// DropOrganization removes what is kept about an organization that is deleted.
func (r *Retention) DropOrganization(ctx context.Context, org string) error { return nil }
