package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stelehq/stele/internal/api"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/export/verifypage"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/pebblestore"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/web"
	"github.com/stelehq/stele/internal/witness"
	"github.com/stelehq/stele/internal/workos"
)

// App is a whole server, open. The fields are its parts, for commands and tests
// that work without HTTP; they belong to the App and end with Close.
type App struct {
	Store   *pebblestore.Store
	Ledger  *ledger.Ledger
	Catalog *catalog.Catalog
	Schemas *schema.Registry
	Exports *export.Exports
	Auth    *auth.Authenticator
	Streams *stream.Streams
	// Retention says what is kept. It removes only while Serve runs.
	Retention *retention.Retention
	// Erasures takes people out of logs.
	Erasures *erasure.Erasures
	Server   *server.Server

	engine    search.Engine // Store, or what the configuration puts before it
	cfg       Config
	signer    *auth.Signer
	sessions  *auth.Sessions
	metrics   *metrics
	collector collector
	notices   *notices
	witness   *witness.Cosigner // nil when no witnesses are named
	// growing is Streams for the ledger, which is open before and after them.
	growing atomic.Pointer[stream.Streams]
	// keeping is Retention for the store and the ledger, in the same way.
	keeping atomic.Pointer[retention.Retention]
}

// Open opens the data directory and wires everything. Close ends it.
func Open(ctx context.Context, cfg Config) (_ *App, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default of the clock that callers pass
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{collector: tuneCollector(), cfg: cfg, metrics: newMetrics(prometheus.NewRegistry())}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := a.openLog(ctx); err != nil {
		return nil, err
	}
	a.openRetention()
	if err := a.openReaders(ctx); err != nil {
		return nil, err
	}
	if err := a.openStreams(ctx); err != nil {
		return nil, err
	}
	if err := a.openWitness(); err != nil {
		return nil, err
	}
	if err := a.openSurfaces(ctx); err != nil {
		return nil, err
	}
	return a, a.firstKey(ctx)
}

// openLog opens what orders and keeps events: store, signing key, ledger.
func (a *App) openLog(ctx context.Context) error {
	var err error
	a.Store, err = pebblestore.Open(pebblestore.Config{
		Dir:               filepath.Join(a.cfg.Data, dbDir),
		CacheBytes:        int64(a.cfg.CacheMiB) << 19,
		ColumnBytes:       int64(a.cfg.CacheMiB) << 19,
		ReserveBytes:      reserve(a.cfg.ReserveMiB),
		IdempotencyWindow: a.cfg.IdempotencyWindow,
		Now:               a.cfg.Now,
		Logger:            a.cfg.Logger,
		Unsynced:          a.cfg.unsynced,
		Uncompressed:      a.cfg.uncompressed,
		OnCommit:          a.metrics.group,
		OnSeal:            a.metrics.seal,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", a.cfg.Data, err)
	}
	a.metrics.watchStore(a.Store)
	a.Store.SetKeeper(a.keep)
	a.engine = a.Store
	if a.cfg.WrapEngine != nil {
		a.engine = a.cfg.WrapEngine(a.Store)
	}
	a.Catalog = catalog.New(a.Store, a.cfg.Now)
	used, err := a.Store.List(ctx, "", "", 1)
	if err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	key, err := signingKey(a.cfg.Data, a.cfg.Name, len(used) == 0)
	if err != nil {
		return err
	}
	a.Ledger, err = ledger.Open(ctx, ledger.Config{
		Store: a.Store, KV: a.Store, Signer: key, Name: a.cfg.Name,
		Now: a.cfg.Now, Logger: a.cfg.Logger,
		IdempotencyWindow: a.cfg.IdempotencyWindow,
		Shows:             a.shows,
		OnCommit: func(s ledger.CommitStats) {
			a.metrics.commit(s)
			if s.Err == nil && s.Events > 0 {
				a.notify(s.Organization)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	return nil
}

// openReaders opens what checks, exports and lets in.
func (a *App) openReaders(ctx context.Context) error {
	mode, err := schema.ParseMode(a.cfg.SchemaMode)
	if err != nil {
		return err
	}
	if a.Schemas, err = schema.Open(ctx, a.Store, mode, a.cfg.Now); err != nil {
		return fmt.Errorf("open schemas: %w", err)
	}
	a.Exports, err = export.Open(ctx, export.Config{
		Dir: filepath.Join(a.cfg.Data, exportDir), KV: a.Store, Engine: a.engine, Log: a.Ledger,
		Proofs: a.Ledger, OrganizationName: a.organizationName, Version: cmp.Or(a.cfg.Version, "unknown"), VerifyPage: verifypage.HTML(),
		Room: a.Store.Room, Keep: a.cfg.ExportKeep, Logger: a.cfg.Logger, Now: a.cfg.Now,
	})
	if err != nil {
		return fmt.Errorf("open exports: %w", err)
	}
	if a.Auth, err = auth.New(a.Catalog, a.cfg.RootKey); err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	return nil
}

// organizationName is what an organization is called.
func (a *App) organizationName(ctx context.Context, org string) (string, error) {
	o, err := a.Catalog.Organization(ctx, org)
	return o.Name, err
}

// firstKey makes a root key for a server that no key opens. It is shown before
// it is kept: one that was shown and not kept does no harm, and the next start
// makes another; one that was kept and not shown would lock everybody out.
func (a *App) firstKey(ctx context.Context) error {
	if a.cfg.RootKey != "" || a.cfg.ShowKey == nil {
		return nil
	}
	keys, _, err := a.Catalog.Keys(ctx, catalog.KeyOptions{Limit: 1})
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if len(keys) > 0 {
		return nil
	}
	secret := auth.NewSecret()
	if err := a.cfg.ShowKey(secret); err != nil {
		return fmt.Errorf("show the first root key: %w", err)
	}
	_, err = a.Auth.AddKey(ctx, secret, catalog.Key{Name: "root", Role: auth.RoleAdmin})
	return err
}

// openSurfaces builds what answers HTTP.
func (a *App) openSurfaces(ctx context.Context) error {
	signer, err := auth.NewSigner(ctx, a.Catalog, a.cfg.Now)
	if err != nil {
		return fmt.Errorf("open signer: %w", err)
	}
	a.signer = signer
	a.sessions = auth.NewSessions(a.Store, a.Catalog, signer, cmp.Or(a.cfg.SessionLife, auth.DefaultSessionLife), a.cfg.Now)
	if err := a.openErasures(ctx); err != nil {
		return err
	}
	native := api.New(api.Deps{
		Ledger: a.Ledger, Engine: a.engine, Catalog: a.Catalog, Schemas: a.Schemas, Witnessed: a.witnessed,
		Exports: a.Exports, Streams: a.Streams, Retention: a.Retention, Erasures: a.Erasures, Auth: a.Auth, Signer: signer, PublicURL: a.PublicURL(),
		PortalPath: web.LaunchTarget, Now: a.cfg.Now,
	})
	dropIn := workos.New(workos.Deps{
		Ledger: a.Ledger, Catalog: a.Catalog, Schemas: a.Schemas,
		Exports: a.Exports, Streams: a.Streams, Retention: a.Retention, Erasures: a.Erasures, Signer: signer, PublicURL: a.PublicURL(), Now: a.cfg.Now,
		PortalURL: func(token string) string { return a.PublicURL() + web.LaunchTarget(token) },
	})
	brand, err := a.cfg.brand()
	if err != nil {
		return err
	}
	proxies, err := a.cfg.proxies()
	if err != nil {
		return err
	}
	pages := web.New(web.Deps{
		Catalog: a.Catalog, Ledger: a.Ledger, Engine: a.engine, Exports: a.Exports, Streams: a.Streams, Schemas: a.Schemas,
		Retention: a.Retention, Erasures: a.Erasures,
		Sessions: a.sessions, Signer: signer, Journal: journal{catalog: a.Catalog, ledger: a.Ledger},
		Brand: brand, PublicURL: a.PublicURL(), TrustedProxies: proxies, Now: a.cfg.Now, Demo: a.cfg.demo,
	})
	a.Server = server.New(server.Config{
		Auth: a.Auth, Signer: signer, Sessions: a.sessions, PublicURL: a.PublicURL(), Catalog: a.Catalog, Logger: a.cfg.Logger,
		Registry: a.metrics.registry, Now: a.cfg.Now, Ready: a.Ready,
	}, native, dropIn, pages)
	return nil
}

// Ready says whether the server can commit, and if not why.
func (a *App) Ready(context.Context) error {
	return a.Store.Refusing()
}

// PublicURL is the address clients use, without a slash at the end.
func (a *App) PublicURL() string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	if a.cfg.TLSCert != "" {
		return "https://" + a.cfg.Listen
	}
	return "http://" + a.cfg.Listen
}

// ServeHTTP answers one request.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.Server.ServeHTTP(w, r) }

// Serve answers requests on a listener, which it closes, until ctx is done, and
// then lets those under way finish.
func (a *App) Serve(ctx context.Context, ln net.Listener) error {
	if a.cfg.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(a.cfg.TLSCert, a.cfg.TLSKey)
		if err != nil {
			return errors.Join(fmt.Errorf("load certificate: %w", err), ln.Close())
		}
		ln = tls.NewListener(ln, &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
	}
	a.Retention.Start()
	idle, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { a.watchMemory(idle) })
	watching.Go(func() { a.cleanSessions(idle) })
	defer watching.Wait()
	defer stop()
	return a.Server.Run(ctx, ln)
}

// Close ends everything in the order that loses nothing: what writes before
// what it writes to.
func (a *App) Close() error {
	var errs []error
	if a.Store != nil {
		a.Store.StopWaiting()
	}
	if a.Erasures != nil {
		errs = append(errs, a.Erasures.Close())
	}
	if a.Exports != nil {
		errs = append(errs, a.Exports.Close())
	}
	if a.Streams != nil {
		errs = append(errs, a.Streams.Close())
	}
	if a.witness != nil {
		a.witness.Close()
	}
	if a.Retention != nil {
		errs = append(errs, a.Retention.Close())
	}
	if a.notices != nil {
		errs = append(errs, a.notices.Close())
	}
	if a.Ledger != nil {
		errs = append(errs, a.Ledger.Close())
	}
	if a.Store != nil {
		errs = append(errs, a.Store.Close())
	}
	return errors.Join(errs...)
}

// reserve is the store's setting for a reserve of mib MiB: zero means none.
func reserve(mib int) int64 {
	if mib == 0 {
		return -1
	}
	return int64(mib) << 20
}
