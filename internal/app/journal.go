package app

import (
	"context"
	"fmt"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// journal records what people do on the pages in their organization's own log;
// see web.Journal. Schemas are the product's, so these events are checked
// against none, whatever the server's mode.
type journal struct {
	catalog *catalog.Catalog
	ledger  *ledger.Ledger
}

// Record implements web.Journal.
func (j journal) Record(ctx context.Context, org string, e audit.Event) error {
	o, err := j.catalog.Organization(ctx, org)
	if err != nil {
		return err
	}
	if err := o.CheckWrite(); err != nil {
		return err
	}
	ev, err := event.FromAudit(&e)
	if err != nil {
		return fmt.Errorf("own event: %w", err)
	}
	b := ledger.NewBatch(org)
	if err := b.Add(ev); err != nil {
		return err
	}
	_, err = j.ledger.Append(ctx, b)
	return err
}
