package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/pebblestore"
)

// Log is a data directory opened without a server, for commands that read it.
type Log struct {
	Store   *pebblestore.Store
	Ledger  *ledger.Ledger
	Catalog *catalog.Catalog
}

// offlineWindow keeps every idempotency receipt: what a server still remembers is
// its setting, which a command that only looks does not know.
const offlineWindow = 100 * 365 * 24 * time.Hour

// OpenLog opens a data directory that exists and that no server uses. What the
// store notices at opening goes to logger.
func OpenLog(ctx context.Context, data string, now func() time.Time, logger *slog.Logger) (*Log, error) {
	keyText, err := os.ReadFile(filepath.Join(data, checkpointKeyFile)) //nolint:gosec // the operator's own data directory
	if err != nil {
		return nil, fmt.Errorf("%s is not a data directory: %w", data, err)
	}
	// Opening makes a database where there is none: a lost one must not pass
	// for an empty one.
	if manifests, err := filepath.Glob(filepath.Join(data, dbDir, "MANIFEST-*")); err != nil || len(manifests) == 0 {
		return nil, fmt.Errorf("%s holds no database; put it back from a backup", filepath.Join(data, dbDir))
	}
	store, err := pebblestore.Open(pebblestore.Config{
		Dir: filepath.Join(data, dbDir), ReserveBytes: -1, IdempotencyWindow: offlineWindow, Now: now, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", data, err)
	}
	led, err := ledger.Open(ctx, ledger.Config{Store: store, KV: store, Signer: strings.TrimSpace(string(keyText)), Now: now})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Log{Store: store, Ledger: led, Catalog: catalog.New(store, now)}, nil
}

// Close ends it.
func (l *Log) Close() error { return errors.Join(l.Ledger.Close(), l.Store.Close()) }

// Organizations lists the ids of all organizations, in order of creation.
func (l *Log) Organizations(ctx context.Context) ([]string, error) {
	var ids []string
	for opts := (catalog.ListOptions{Limit: listPage}); ; {
		page, err := l.Catalog.Organizations(ctx, opts)
		if err != nil {
			return nil, fmt.Errorf("list organizations: %w", err)
		}
		for _, o := range page.Organizations {
			ids = append(ids, o.ID)
		}
		if page.After == "" {
			return ids, nil
		}
		opts.After = page.After
	}
}

const listPage = 100
