package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// DefaultEvery is how often the job looks whether a hold has ended or something was
// left untold.
const DefaultEvery = time.Minute

const (
	// lookEvery is how often a log is looked at for what is to be removed.
	lookEvery = 24 * time.Hour
	// longAgo is a time without a look after which the job waits for another
	// day: a clock that is wrong, or a server that was off, removes nothing before
	// somebody can see it.
	longAgo = 30 * 24 * time.Hour
	// roundEvery is how often the job looks which logs these are.
	roundEvery = time.Hour
)

// Start starts the job that removes what is past its time. It ends with Close.
func (r *Retention) Start() {
	r.done.Go(func() {
		tick := time.NewTicker(r.cfg.Every)
		defer tick.Stop()
		var round time.Time
		for {
			now := r.now()
			if err := errors.Join(r.tellAll(r.ctx), r.endHolds(r.ctx)); err != nil {
				r.fault(err)
			}
			if gap := now.Sub(round); gap >= roundEvery || gap < 0 {
				round = now
				if err := r.round(r.ctx); err != nil {
					r.fault(err)
				}
			}
			select {
			case <-r.ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// fault notes what is tried again.
func (r *Retention) fault(err error) {
	if r.ctx.Err() == nil {
		r.cfg.Logger.LogAttrs(r.ctx, slog.LevelError, "retention is tried again", slog.Any("error", err))
	}
}

// round removes what is worth it of each log that was not looked at for a day, and
// ends what was begun before. One that has a fault keeps no other back.
func (r *Retention) round(ctx context.Context) error {
	r.removing.Lock()
	defer r.removing.Unlock()
	began := r.cfg.Now()
	var faults []error
	failed := func(org string, err error) {
		faults = append(faults, fmt.Errorf("organization %s: %w", org, err))
		if r.cfg.Removed != nil {
			r.cfg.Removed(Removal{Organization: org, Took: r.cfg.Now().Sub(began), Err: err})
		}
	}
	var jobs []*catalog.Stored[job]
	for org, err := range r.due(ctx) {
		if err != nil {
			return err
		}
		j, err := r.remove(ctx, org, false)
		switch {
		case ctx.Err() != nil:
			return nil
		case isNotFound(err): // deleted meanwhile
		case err != nil:
			failed(org, err)
		case j != nil:
			jobs = append(jobs, j)
		}
	}
	if len(jobs) > 0 {
		if err := r.cfg.Log.Scrub(ctx); err != nil {
			return errors.Join(append(faults, err)...)
		}
	}
	for _, j := range jobs {
		if _, err := r.finish(ctx, j, began); err != nil && !isNotFound(err) {
			failed(j.Value.Organization, err)
		}
	}
	return errors.Join(faults...)
}

// due yields the organizations whose logs are to be looked at.
func (r *Retention) due(ctx context.Context) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for opts := (catalog.ListOptions{Limit: 100}); ; {
			page, err := r.cfg.Catalog.Organizations(ctx, opts)
			if err != nil {
				yield("", fmt.Errorf("list organizations: %w", err))
				return
			}
			for _, o := range page.Organizations {
				look, err := r.isDue(ctx, o.ID)
				if err == nil && !look {
					continue
				}
				if !yield(o.ID, err) || err != nil {
					return
				}
			}
			if opts.After = page.After; opts.After == "" {
				return
			}
		}
	}
}

// isDue reports whether a log is to be looked at: because a removal was broken off,
// or because a day has passed.
func (r *Retention) isDue(ctx context.Context, org string) (bool, error) {
	_, err := r.cfg.KV.Get(ctx, prefixJob+org)
	if !errors.Is(err, catalog.ErrNotFound) {
		return err == nil, err
	}
	s, err := r.loadState(ctx, org)
	if err != nil {
		return false, err
	}
	now := r.now()
	gap := now.Sub(s.LookedAt).Abs()
	switch {
	case gap < lookEvery:
		return false, nil
	case gap > longAgo || s.LookedAt.IsZero():
		s.LookedAt = now
		return false, r.saveState(ctx, org, s)
	}
	return true, nil
}

func (r *Retention) loadState(ctx context.Context, org string) (state, error) {
	s, err := catalog.Load[state](ctx, r.cfg.KV, prefixState+org)
	if errors.Is(err, catalog.ErrNotFound) {
		err = nil
	}
	return s.Value, err
}

// endHolds records that holds have ended by themselves. Since when they keep
// nothing is for their end to say, not for this.
func (r *Retention) endHolds(ctx context.Context) error {
	now := r.now()
	r.mu.RLock()
	wait := r.nextEnd != nil && (r.nextEnd.IsZero() || now.Before(*r.nextEnd))
	r.mu.RUnlock()
	if wait {
		return nil
	}
	var next time.Time
	r.mu.Lock()
	r.nextEnd = &next // what is made from here on is added to it
	r.mu.Unlock()
	var faults []error
	for s, err := range catalog.All[Hold](ctx, r.cfg.KV, prefixHold, "") {
		if err != nil {
			faults = append(faults, err)
			break
		}
		h := &s.Value
		if h.EndsAt.IsZero() || h.EndTold {
			continue
		}
		if h.State(now) == HoldEnded {
			if err := r.endHold(ctx, h.Organization, h.ID); err != nil {
				faults = append(faults, err)
			}
			continue
		}
		r.willEnd(h.EndsAt)
	}
	if len(faults) > 0 {
		r.mu.Lock()
		r.nextEnd = nil // again the next time
		r.mu.Unlock()
	}
	return errors.Join(faults...)
}

// willEnd has the job look when a hold ends.
func (r *Retention) willEnd(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nextEnd != nil && !at.IsZero() && (r.nextEnd.IsZero() || at.Before(*r.nextEnd)) {
		r.nextEnd = &at
	}
}

func (r *Retention) endHold(ctx context.Context, org, id string) error {
	defer r.locks.lock(org)()
	s, err := r.loadHold(ctx, org, id)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	h := &s.Value
	if h.State(r.now()) != HoldEnded || h.EndTold {
		return nil
	}
	h.EndTold = true
	return r.saveHold(ctx, h, s.Rev, ActionHoldEnded, Who{}, holdMetadata(h))
}

// CheckDelete says whether an organization may be deleted with its log: conflict
// while a legal hold is in force.
func (r *Retention) CheckDelete(ctx context.Context, org string) error {
	list, err := r.Holds(ctx, org)
	if err != nil {
		return err
	}
	if len(list) > 0 && list[0].State(r.now()) == HoldActive {
		return audit.Errorf(audit.CodeConflict, "the organization's log is under the legal hold %s (%s); lift its holds before the organization is deleted", list[0].ID, list[0].Name)
	}
	return nil
}

// DropOrganization removes what is kept about an organization that is deleted.
func (r *Retention) DropOrganization(ctx context.Context, org string) error {
	defer r.locks.lock(org)()
	defer r.forget(org)
	for _, prefix := range []string{prefixHold + org + "/", prefixCertificate + org + "/"} {
		for {
			recs, err := r.cfg.KV.List(ctx, prefix, "", 100)
			if err != nil {
				return fmt.Errorf("remove what was kept of retention: %w", err)
			}
			if err := r.deleteAll(ctx, recs); err != nil {
				return err
			}
			if len(recs) < 100 {
				break
			}
		}
	}
	for _, key := range []string{prefixJob + org, prefixState + org} {
		rec, err := r.cfg.KV.Get(ctx, key)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err == nil {
			err = r.deleteAll(ctx, []catalog.Record{rec})
		}
		if err != nil {
			return fmt.Errorf("remove what was kept of retention: %w", err)
		}
	}
	return nil
}

func (r *Retention) deleteAll(ctx context.Context, recs []catalog.Record) error {
	if len(recs) == 0 {
		return nil
	}
	changes := make([]catalog.Change, len(recs))
	for i, rec := range recs {
		changes[i] = catalog.Change{Key: rec.Key, Rev: rec.Rev, Delete: true}
	}
	if err := r.cfg.KV.Apply(ctx, changes...); err != nil {
		return fmt.Errorf("remove what was kept of retention: %w", err)
	}
	return nil
}
