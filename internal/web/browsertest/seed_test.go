package browsertest

import (
	"context"
	"fmt"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/demo"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

const (
	// history is how much of the demo's year is recorded: a quarter shows
	// everything, and the whole takes longer than all tests.
	history = 91 * 24 * time.Hour
	// together is how long events are collected for one commit.
	together = 6 * time.Hour
)

// seed fills the server with the demo's two organizations and one that has no
// entry.
func (w *world) seed(ctx context.Context) error {
	large, small := demo.Main(1, start), demo.Second(1, start)
	if err := demo.Register(ctx, w.demo, w.Schemas, large); err != nil {
		return err
	}
	for _, g := range []*demo.Generator{large, small} {
		if err := w.load(ctx, g); err != nil {
			return err
		}
	}
	return w.organization(ctx, "org_empty", "Nothing Yet Ltd", start)
}

// load records the last part of a generator's year.
func (w *world) load(ctx context.Context, g *demo.Generator) error {
	defer w.demo.Release()
	org := g.Organization()
	from := start.Add(-history)
	w.demo.Set(from)
	if err := w.organization(ctx, org.ID, org.Name, from); err != nil {
		return err
	}
	batch, end := ledger.NewBatch(org.ID), from.Add(together)
	for item := range g.All() {
		if item.ReceivedAt.Before(from) {
			continue
		}
		if !item.ReceivedAt.Before(end) {
			if err := w.commit(ctx, &batch, org.ID); err != nil {
				return err
			}
			for !item.ReceivedAt.Before(end) {
				end = end.Add(together)
			}
		}
		ev, err := event.FromAudit(&item.Event)
		if err != nil {
			return fmt.Errorf("make %s: %w", item.Event.Action, err)
		}
		if err := w.Schemas.Check(ev); err != nil {
			return fmt.Errorf("check %s: %w", item.Event.Action, err)
		}
		if err := batch.Add(ev); err != nil {
			return err
		}
		w.demo.Set(item.ReceivedAt)
	}
	return w.commit(ctx, &batch, org.ID)
}

// commit records a batch, if it has any events, and begins another.
func (w *world) commit(ctx context.Context, batch **ledger.Batch, org string) error {
	if (*batch).Len() == 0 {
		return nil
	}
	if _, err := w.Ledger.Append(ctx, *batch); err != nil {
		return fmt.Errorf("record the demo: %w", err)
	}
	*batch = ledger.NewBatch(org)
	return nil
}

func (w *world) organization(ctx context.Context, id, name string, since time.Time) error {
	o := catalog.NewOrganization(name)
	o.ID, o.HistoryStart = id, since
	_, err := w.Catalog.CreateOrganization(ctx, o)
	return err
}
