package pebblestore

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// testConfig is a configuration with little memory. Small memtables and windows
// make flushes, compactions and rewrites happen in short tests.
func testConfig(t testing.TB, fs vfs.FS) Config {
	cfg := Config{
		Dir: "/data/store", sealByHand: true, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, ReserveBytes: -1,
		IdempotencyWindow: 100 * 365 * 24 * time.Hour, windowReceipts: 400, retryEvery: time.Millisecond, fs: fs,
		Logger: slog.New(slog.DiscardHandler),
		tune: func(o *pebble.Options) {
			o.LBaseMaxBytes = 1 << 20
			o.FlushDelayDeleteRange = 0
		},
	}
	if fs == nil {
		cfg.Dir = filepath.Join(t.TempDir(), "data", "store")
	}
	return cfg
}

// mustOpen opens a store and closes it at the end of the test.
func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func subject(t testing.TB, cfg Config) storetest.Subject {
	s := mustOpen(t, cfg)
	return storetest.Subject{
		Store: s,
		Reopen: func(t testing.TB) storetest.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			s = mustOpen(t, cfg)
			return s
		},
	}
}

func TestStoreOnDisk(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Subject { return subject(t, testConfig(t, nil)) })
}

// TestRewriteSuite is the suite over taking entries out, with small blocks and,
// without the race detector, with those of a server; TestRewrite has both.
func TestRewriteSuite(t *testing.T) {
	t.Parallel()
	sizes := []uint64{512, ledger.BlockSize}
	for _, rows := range sizes[:fewer(2)] {
		t.Run(fmt.Sprint(rows), func(t *testing.T) {
			t.Parallel()
			storetest.RunRewrite(t, func(t testing.TB) storetest.Subject {
				cfg := testConfig(t, vfs.NewMem())
				cfg.rangeRows = rows
				return subject(t, cfg)
			})
		})
	}
}

func TestSecondOpen(t *testing.T) {
	for name, cfg := range map[string]Config{"disk": testConfig(t, nil), "memory": testConfig(t, vfs.NewMem())} {
		t.Run(name, func(t *testing.T) {
			mustOpen(t, cfg)
			if s, err := Open(cfg); !errors.Is(err, ErrInUse) {
				t.Fatalf("second open: got %v, %v; want ErrInUse", s, err)
			}
		})
	}
}
