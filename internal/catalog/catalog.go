package catalog

import (
	"context"
	"time"

	"github.com/stelehq/stele/audit"
)

// Catalog is the typed records over a KV.
type Catalog struct {
	kv  KV
	now func() time.Time
}

// New makes the catalog over a KV. There must be one for each KV: it caches
// what it reads and all writes of organizations and keys must go through it.
func New(kv KV, now func() time.Time) *Catalog { return &Catalog{kv: kv, now: now} }

// NoOrganization is the error for an organization that does not exist or that
// the caller may not know of: the same words for both.
func NoOrganization(id string) *audit.Error {
	return audit.FieldErrorf(audit.CodeNotFound, "organization", "there is no organization %q", id)
}

// Secret returns 32 random bytes kept under a name, made when first asked for.
func (c *Catalog) Secret(ctx context.Context, name string) ([32]byte, error) { panic("unfinished") }
