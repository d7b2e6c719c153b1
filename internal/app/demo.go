package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/demo"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/web"
)

// demoSeed is why everybody's demo tells the same story.
const demoSeed = 1

// DemoConfig is the configuration of the demo's server.
func DemoConfig(data, listen, key string, logger *slog.Logger) Config {
	return Config{
		Data: data, Listen: listen, RootKey: key, SchemaMode: "warn", Name: "demo.stele.local",
		IdempotencyWindow: 7 * 24 * time.Hour, ExportKeep: 7 * 24 * time.Hour,
		CacheMiB: 64, ReserveMiB: 64, Logger: logger,
	}
}

// demoLinkLife is how long the demo's address lets people in. The demo serves on
// loopback only, so that the address is worth nothing elsewhere.
const demoLinkLife = 30 * 24 * time.Hour

// OpenDemo opens the demo's server: [Open] with a way in for whoever reads
// what the demo prints.
func OpenDemo(ctx context.Context, cfg Config, now time.Time) (*App, error) {
	cfg.ProductName = "Beacon"
	cfg.demo = &web.Demo{Organization: DemoOrganizations(now)[0], PersonID: "demo_visitor", PersonName: "Demo visitor"}
	return Open(ctx, cfg)
}

// DemoLink is an address that opens the pages, each time in a session of its
// own: a portal link would have to be opened once and within minutes.
func (a *App) DemoLink(now time.Time) (string, error) {
	path, err := a.signer.SignURL(web.DemoPath, auth.PurposeDemo, now.Add(demoLinkLife))
	if err != nil {
		return "", err
	}
	return a.PublicURL() + path, nil
}

// DemoOrganizations are the ids of the demo's organizations, the large one
// first.
func DemoOrganizations(now time.Time) []string {
	return []string{demo.Main(demoSeed, now).Organization().ID, demo.Second(demoSeed, now).Organization().ID}
}

// LoadDemo fills an empty data directory with the demo's year of events up to
// now. The log's clock follows the events, so that they were received when they
// occurred.
func LoadDemo(ctx context.Context, data string, now time.Time) error {
	clock := &demo.Clock{Real: func() time.Time { return now }}
	cfg := DemoConfig(data, "127.0.0.1:0", auth.NewSecret(), nil)
	// A commit for each batch of a year is many; a demo that could not be made
	// whole is made anew.
	cfg.Now, cfg.unsynced = clock.Now, true
	a, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(a.loadDemo(ctx, clock, now), a.Close())
}

func (a *App) loadDemo(ctx context.Context, clock *demo.Clock, now time.Time) error {
	large, small := demo.Main(demoSeed, now), demo.Second(demoSeed, now)
	if err := demo.Register(ctx, clock, a.Schemas, large); err != nil {
		return err
	}
	loader := demo.Loader{Clock: clock, Check: a.Schemas.Check, Append: a.append}
	for _, g := range []*demo.Generator{large, small} {
		clock.Set(g.Start())
		if err := a.createDemoOrganization(ctx, g.Organization(), g.Start()); err != nil {
			return err
		}
		if _, err := demo.Load(ctx, loader, g); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) createDemoOrganization(ctx context.Context, d demo.Organization, since time.Time) error {
	o := catalog.NewOrganization(d.Name)
	o.ID, o.ExternalID, o.HistoryStart = d.ID, d.ExternalID, since
	o.Domains = []catalog.Domain{{Domain: d.Domain, State: catalog.DomainVerified}}
	_, err := a.Catalog.CreateOrganization(ctx, o)
	return err
}

// append records events as one batch.
func (a *App) append(ctx context.Context, org string, events []*event.Event) error {
	b := ledger.NewBatch(org)
	for _, ev := range events {
		if err := b.Add(ev); err != nil {
			return err
		}
	}
	_, err := a.Ledger.Append(ctx, b)
	return err
}
