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

// OpenLog opens a data directory that exists and that no server uses.
func OpenLog(ctx context.Context, data string, now func() time.Time) (*Log, error) {
	keyText, err := os.ReadFile(filepath.Join(data, checkpointKeyFile)) //nolint:gosec // the operator's own data directory
	if err != nil {
		return nil, fmt.Errorf("%s is not a data directory: %w", data, err)
	}
	store, err := pebblestore.Open(pebblestore.Config{
		Dir: filepath.Join(data, dbDir), ReserveBytes: -1, Now: now, Logger: slog.New(slog.DiscardHandler),
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
