package pebblestore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/storetest"
)

// TestLifecycle runs the life of logs on rows, and on blocks and rows in every
// mix, with restarts between.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	t.Run("Rows", func(t *testing.T) {
		storetest.RunLifecycle(t, fewer(storetest.Lives/2), func(t testing.TB) storetest.Subject {
			return subject(t, testConfig(t, vfs.NewMem()))
		})
	})
	t.Run("Blocks", func(t *testing.T) {
		storetest.RunLifecycle(t, fewer(storetest.Lives/2), func(t testing.TB) storetest.Subject {
			cfg := testConfig(t, vfs.NewMem())
			cfg.rangeRows = 128
			return sealingSubject(t, cfg)
		})
	})
}
