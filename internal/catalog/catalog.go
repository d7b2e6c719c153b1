package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Key space. Each record is JSON with a version (see [Encode]); a ref names the
// record that an index leads to. Other packages keep theirs under prefixes of
// their own.
const (
	prefixOrganization = "org/"          // ID → orgRecord, or what is left of a deleted one
	prefixExternalID   = "org_external/" // ExternalID → ref
	prefixDomain       = "org_domain/"   // domain → ref
	prefixOrderAsc     = "org_asc/"      // Order → ref
	prefixOrderDesc    = "org_desc/"     // invert(Order) → ref
	prefixKey          = "key/"          // ID → Key
	prefixKeyHash      = "key_hash/"     // hexadecimal hash → ref
	prefixSecret       = "secret/"       // name → secret
)

// maxTries is how often a write is tried again because somebody else was
// faster. Each failed try means that another writer succeeded.
const maxTries = 100

// Catalog is the typed records over a KV. All methods may be called
// concurrently; what they write is durable when they return.
type Catalog struct {
	kv    KV
	now   func() time.Time
	ids   sequence
	orgs  cache[string, Organization]
	keyed cache[[32]byte, Key]
}

// New makes the catalog over a KV. There must be one for each KV: it caches
// what it reads and all writes of organizations and keys must go through it.
func New(kv KV, now func() time.Time) *Catalog { return &Catalog{kv: kv, now: now} }

// ref is an index record: the id of what it leads to.
type ref struct {
	ID string `json:"id"`
}

// time is the present to the millisecond, as records keep it.
func (c *Catalog) time() time.Time { return c.now().UTC().Truncate(time.Millisecond) }

// resolve follows an index record; ErrNotFound when there is none.
func (c *Catalog) resolve(ctx context.Context, key string) (Stored[ref], error) {
	return Load[ref](ctx, c.kv, key)
}

// NoOrganization is the error for an organization that does not exist or that
// the caller may not know of: the same words for both.
func NoOrganization(id string) *audit.Error {
	return audit.FieldErrorf(audit.CodeNotFound, "organization", "there is no organization %q", short(id))
}

// short keeps text from a caller at a length that fits an error message.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// secretRecord is the stored form of a secret.
type secretRecord struct {
	Secret [32]byte `json:"secret"`
}

// Secret returns 32 random bytes kept under a name, made when first asked for.
func (c *Catalog) Secret(ctx context.Context, name string) ([32]byte, error) {
	key := prefixSecret + name
	for range maxTries {
		s, err := Load[secretRecord](ctx, c.kv, key)
		if err == nil {
			return s.Value.Secret, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return [32]byte{}, err
		}
		var fresh secretRecord
		_, _ = rand.Read(fresh.Secret[:]) // never fails
		err = Save(ctx, c.kv, key, fresh, 0)
		if err == nil {
			return fresh.Secret, nil
		}
		if !errors.Is(err, ErrConflict) {
			return [32]byte{}, err
		}
	}
	return [32]byte{}, errTooBusy(key)
}

func errTooBusy(key string) error {
	return fmt.Errorf("write %s: %w %d times", key, ErrConflict, maxTries)
}
