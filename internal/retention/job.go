package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Removal is a removal that is through, or that failed and is tried again.
type Removal struct {
	Organization  string
	Removed, Held uint64
	Took          time.Duration
	Err           error
}

// job is a removal under way. It is a record from before the first entry goes until
// the certificate is written, so that each removal has its certificate and its
// entry in the log, and one of each.
type job struct {
	// ID is a ULID, which the certificate gets.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	// At is the moment whose due entries are removed. What was due then stays so,
	// and holds that were made later do not keep it.
	At     time.Time `json:"at"`
	Policy string    `json:"policy"`
	Due    []string  `json:"due"`
	// Holds are the ids of the holds in force at that moment, which are respected
	// though they may be over by now.
	Holds []string `json:"holds,omitempty"`
	// Pending is the range that is being removed. Done is what was before it.
	Pending *tally `json:"pending,omitempty"`
	Done    tally  `json:"done"`
	// Scrubbing says that all entries are out, and the bytes are to go.
	Scrubbing bool `json:"scrubbing,omitempty"`
	// After is the organization's state once it is through.
	After state `json:"after,omitzero"`
}

// tally is what a removal takes out of a range, or of all of them.
type tally struct {
	Block   uint64 `json:"block"` // of Pending: which range
	Removed uint64 `json:"removed"`
	Held    uint64 `json:"held"`
	// From ≤ seq < To are the entries removed, with others between them.
	From   uint64    `json:"from"`
	To     uint64    `json:"to"`
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
}

func (t *tally) add(e *event.Entry) {
	at := time.UnixMilli(e.ReceivedAt).UTC()
	if t.Removed == 0 {
		t.From, t.Oldest = e.Seq, at
	}
	t.Removed++
	t.To, t.Newest = e.Seq+1, at
}

// merge adds a later range.
func (t *tally) merge(later *tally) {
	if t.Removed == 0 {
		t.From, t.Oldest = later.From, later.Oldest
	}
	t.Removed += later.Removed
	t.Held += later.Held
	t.To, t.Newest = later.To, later.Newest
}

// state is what is known of an organization's log between removals.
type state struct {
	// LookedAt is when the job looked at it last.
	LookedAt time.Time `json:"looked_at"`
	// Clean says what is gone for good, so that it need not be looked for: of
	// entries that match Query all received before Before that no hold in Holds
	// keeps.
	Clean []clean  `json:"clean,omitempty"`
	Holds []string `json:"holds,omitempty"`
}

type clean struct {
	Query  string    `json:"query"`
	Before time.Time `json:"before"`
}

// Apply removes now what is past its time in an organization's log, all of it, and
// returns the certificate; nil when there was nothing to remove. Its bytes are gone
// when it returns. Errors: not_found.
func (r *Retention) Apply(ctx context.Context, org string) (*Certificate, error) {
	if _, err := r.cfg.Catalog.Organization(ctx, org); err != nil {
		return nil, err
	}
	r.removing.Lock()
	defer r.removing.Unlock()
	began := r.cfg.Now()
	j, err := r.remove(ctx, org, true)
	if err != nil || j == nil {
		return nil, err
	}
	if err := r.cfg.Log.Scrub(ctx); err != nil {
		return nil, err
	}
	return r.finish(ctx, j, began)
}

// remove takes what is due out of a log: what was begun before, or what is worth
// it now, all when it must be. It returns the job, which is to be finished after
// the bytes are gone; nil when there was nothing to remove. r.removing is held.
func (r *Retention) remove(ctx context.Context, org string, all bool) (*catalog.Stored[job], error) {
	j, err := catalog.Load[job](ctx, r.cfg.KV, prefixJob+org)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
	case err != nil:
		return nil, err
	case j.Value.Scrubbing:
		return &j, nil
	default: // broken off: what it was to remove by then, and no more
		s, err := r.resume(ctx, &j.Value)
		if err != nil {
			return nil, err
		}
		return r.sweep(ctx, &j, s)
	}
	s, err := r.begin(ctx, org, all)
	if err != nil {
		return nil, err
	}
	j = catalog.Stored[job]{Key: prefixJob + org, Value: job{
		ID: catalog.NewULID(s.at), Organization: org, At: s.at, Policy: s.policy, Holds: s.holds,
	}}
	for _, q := range s.keep.Due() {
		j.Value.Due = append(j.Value.Due, q.String())
	}
	return r.sweep(ctx, &j, s)
}

// sweep goes through the ranges that may have something due. The job is a record as
// soon as there is something to remove.
func (r *Retention) sweep(ctx context.Context, j *catalog.Stored[job], s *sweeper) (*catalog.Stored[job], error) {
	if j.Value.Pending != nil { // maybe done already
		if err := r.rewrite(ctx, j, s); err != nil {
			return nil, err
		}
	}
	ranges, err := s.ranges(ctx)
	if err != nil {
		return nil, err
	}
	for _, span := range ranges {
		for block := span.from; block < span.to; block++ {
			if err := r.ctx.Err(); err != nil {
				return nil, err
			}
			t, worth, err := s.look(ctx, block)
			if err != nil {
				return nil, err
			}
			if !worth {
				continue
			}
			j.Value.Pending = &t
			if err := r.saveJob(ctx, j); err != nil {
				return nil, err
			}
			if err := r.rewrite(ctx, j, s); err != nil {
				return nil, err
			}
		}
	}
	if j.Value.Done.Removed == 0 {
		return nil, r.saveState(ctx, s.org, s.after())
	}
	j.Value.Scrubbing, j.Value.After = true, s.after()
	return j, r.saveJob(ctx, j)
}

// rewrite removes the pending range.
func (r *Retention) rewrite(ctx context.Context, j *catalog.Stored[job], s *sweeper) error {
	t := j.Value.Pending
	_, err := r.cfg.Log.Rewrite(ctx, ledger.Rewrite{
		Organization: s.org, From: t.Block * ledger.BlockSize, To: (t.Block + 1) * ledger.BlockSize,
		Fate: func(e *event.Entry) ledger.Fate {
			if s.keep.Shows(e) {
				return ledger.Stays
			}
			return ledger.Removed
		},
	})
	if err != nil {
		return fmt.Errorf("remove what is past its time: %w", err)
	}
	j.Value.Done.merge(t)
	j.Value.Pending = nil // on record with the next range, or the end
	return nil
}

func (r *Retention) saveJob(ctx context.Context, j *catalog.Stored[job]) error {
	if err := catalog.Save(ctx, r.cfg.KV, j.Key, j.Value, j.Rev); err != nil {
		return err
	}
	j.Rev++
	return nil
}

func (r *Retention) saveState(ctx context.Context, org string, s state) error {
	change, err := r.putState(ctx, org, s)
	if err == nil {
		err = r.cfg.KV.Apply(ctx, change)
	}
	if err != nil {
		return fmt.Errorf("save state of retention: %w", err)
	}
	return nil
}

func (r *Retention) putState(ctx context.Context, org string, s state) (catalog.Change, error) {
	old, err := catalog.Load[state](ctx, r.cfg.KV, prefixState+org)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return catalog.Change{}, err
	}
	return catalog.Put(prefixState+org, s, old.Rev)
}

// finish writes certificate and entry of a removal whose bytes are gone, and ends
// the job, all at once.
func (r *Retention) finish(ctx context.Context, j *catalog.Stored[job], began time.Time) (*Certificate, error) {
	org := j.Value.Organization
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	c, err := r.certify(o, &j.Value)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	put, err := catalog.Put(certificateKey(org, c.ID), *c, 0)
	if err != nil {
		return nil, err
	}
	changes, err := r.note(happening{
		Organization: org, Action: ActionApplied,
		Target: target{Type: "certificate", ID: c.ID},
		Metadata: map[string]any{
			"from_seq": c.FromSeq, "to_seq": c.ToSeq, "removed": c.Removed, "held": c.Held, "policy": c.Policy, "certificate": c.ID,
			"oldest": c.Oldest.Format(time.RFC3339Nano), "newest": c.Newest.Format(time.RFC3339Nano),
		},
	})
	if err != nil {
		return nil, err
	}
	after, err := r.putState(ctx, org, j.Value.After)
	if err != nil {
		return nil, err
	}
	changes = append(changes, put, after, catalog.Change{Key: j.Key, Rev: j.Rev, Delete: true})
	if err := r.cfg.KV.Apply(ctx, changes...); err != nil {
		return nil, fmt.Errorf("save certificate: %w", err)
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "entries past their time removed", slog.String("organization", org),
		slog.Uint64("removed", c.Removed), slog.Uint64("held", c.Held), slog.String("certificate", c.ID))
	if r.cfg.Removed != nil {
		r.cfg.Removed(Removal{Organization: org, Removed: c.Removed, Held: c.Held, Took: r.cfg.Now().Sub(began)})
	}
	r.tell(ctx)
	return c, nil
}
