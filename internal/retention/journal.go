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

// happening is something that the organization's log is told. It is a record from
// when it happened until it is told, so that each is told, and once.
type happening struct {
	// ID is a ULID.
	ID           string         `json:"id"`
	Organization string         `json:"organization"`
	Action       string         `json:"action"`
	At           time.Time      `json:"at"`
	By           Who            `json:"by,omitzero"`
	Target       target         `json:"target"`
	Metadata     map[string]any `json:"metadata,omitempty"`
}

// target is what it is about.
type target struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// note is the record of what happens now, to be written together with it. Who
// holds an organization's lock while it writes that, tells in the same order.
func (r *Retention) note(h happening) ([]catalog.Change, error) {
	h.At = r.now()
	h.ID = catalog.NewULID(h.At)
	put, err := catalog.Put(prefixNote+h.ID, h, 0)
	if err != nil {
		return nil, err
	}
	return []catalog.Change{put}, nil
}

// event is the entry that tells of it.
func (h *happening) event() audit.Event {
	actor := audit.Actor{Type: h.By.Type, ID: h.By.ID, Name: h.By.Name}
	if h.By == (Who{}) {
		actor = audit.Actor{Type: "system", ID: "stele", Name: "Stele"}
	}
	return audit.Event{
		Action: h.Action, Version: 1, OccurredAt: h.At, Actor: actor,
		Context:  audit.Context{Location: h.By.Location, UserAgent: h.By.UserAgent},
		Targets:  []audit.Target{{Type: h.Target.Type, ID: h.Target.ID, Name: h.Target.Name}},
		Metadata: h.Metadata, IdempotencyKey: "retention/" + h.ID,
	}
}

// tell records what has happened, and what is left from before. What cannot be
// recorded now is tried again by the job: the change itself stands.
func (r *Retention) tell(ctx context.Context) {
	if err := r.tellAll(ctx); err != nil && ctx.Err() == nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "record what became of retention", slog.Any("error", err))
	}
}

// maxFaults ends a round of telling in which nothing works.
const maxFaults = 20

func (r *Retention) tellAll(ctx context.Context) error {
	var faults []error
	for n, err := range catalog.All[happening](ctx, r.cfg.KV, prefixNote, "") {
		if err != nil {
			return err
		}
		h := &n.Value
		if err := r.cfg.Journal.Record(ctx, h.Organization, h.event()); err != nil {
			// One log that takes nothing keeps nobody else's back.
			faults = append(faults, fmt.Errorf("record %s of %s: %w", h.Action, h.Organization, err))
			if len(faults) == maxFaults {
				break
			}
			continue
		}
		err := r.cfg.KV.Apply(ctx, catalog.Change{Key: n.Key, Rev: n.Rev, Delete: true})
		if err != nil && !errors.Is(err, catalog.ErrConflict) {
			return fmt.Errorf("note that it was told: %w", err)
		}
	}
	return errors.Join(faults...)
}
