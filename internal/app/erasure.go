package app

import (
	"context"
	"fmt"

	"github.com/stelehq/stele/internal/erasure"
)

// openErasures takes up the erasures that did not end, with everything that keeps
// something of people beside the log.
func (a *App) openErasures(ctx context.Context) error {
	var err error
	a.Erasures, err = erasure.Open(ctx, erasure.Config{
		Log: a.Ledger, Store: a.Store, KV: a.Store, Keep: a.Retention.Keep, Steady: a.Retention.Steady, Exports: a.Exports,
		Forgetters: []erasure.Forgetter{
			forgetter(a.sessions.EndPerson), forgetter(a.Exports.ForgetCreator), forgetter(a.Streams.Forget), forgetter(a.notices.Forget),
			forgetter(a.Retention.Forget),
		},
		Mentioners: []erasure.Mentioner{
			mentioner{forget: a.Exports.ForgetQueries},
			mentioner{kind: "stream", find: a.Streams.Mentions},
			mentioner{kind: "hold", find: a.Retention.Mentions},
		},
		Logger: a.cfg.Logger, Now: a.cfg.Now,
	})
	if err != nil {
		return fmt.Errorf("open erasures: %w", err)
	}
	return nil
}

// forgetter is a method that forgets a person of an organization.
type forgetter func(ctx context.Context, org, person string) error

// Forget implements erasure.Forgetter.
func (f forgetter) Forget(ctx context.Context, org, person string) error { return f(ctx, org, person) }

// mentioner is a part of the server that removes texts that name somebody, or
// finds the ids of the records that have one.
type mentioner struct {
	kind   string
	find   func(ctx context.Context, org string, names func(text string) bool) ([]string, error)
	forget func(ctx context.Context, org string, names func(text string) bool) error
}

// Mentions implements erasure.Mentioner.
func (m mentioner) Mentions(ctx context.Context, org string, names func(text string) bool) ([]erasure.Mention, error) {
	if m.forget != nil {
		return nil, m.forget(ctx, org, names)
	}
	ids, err := m.find(ctx, org, names)
	list := make([]erasure.Mention, len(ids))
	for i, id := range ids {
		list[i] = erasure.Mention{Kind: m.kind, ID: id}
	}
	return list, err
}
