package retention

import (
	"context"
	"errors"
)

// Tick does what the job does each minute.
func (r *Retention) Tick(ctx context.Context) error {
	return errors.Join(r.tellAll(ctx), r.endHolds(ctx))
}

// Round does what the job does each hour.
func (r *Retention) Round(ctx context.Context) error { return r.round(ctx) }
