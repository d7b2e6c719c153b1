package catalog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Role says what a key may do.
type Role string

// The roles. An admin may do everything that a writer or a reader may.
const (
	RoleAdmin  Role = "admin"
	RoleWriter Role = "writer" // sends events, reads schemas
	RoleReader Role = "reader" // reads, exports
)

// Key is an API key as recorded: never the key itself.
type Key struct {
	// ID is "key_" and a ULID.
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Organization limits the key to one organization; "" is all of them.
	Organization string `json:"organization,omitempty"`
	// Hash is the SHA-256 of the key's text.
	Hash [32]byte `json:"hash"`
	// Hint is the last four characters of the key, so that a person can tell
	// two keys apart.
	Hint      string    `json:"hint,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// CreatedBy is the id of the key that made this one.
	CreatedBy string `json:"created_by,omitempty"`
	// RevokedAt is zero while the key works.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func keyHashKey(hash *[32]byte) string { return prefixKeyHash + hex.EncodeToString(hash[:]) }

// CreateKey records a key and returns it with ID and CreatedAt set. Errors for
// the caller: invalid_request naming the field, not_found for an organization
// that does not exist, conflict when the hash is taken.
func (c *Catalog) CreateKey(ctx context.Context, k Key) (*Key, error) {
	if err := c.checkKey(ctx, &k); err != nil {
		return nil, err
	}
	k.CreatedAt = c.time()
	k.ID = "key_" + c.ids.next(k.CreatedAt)
	record, err := Put(prefixKey+k.ID, k, 0)
	if err != nil {
		return nil, err
	}
	index, err := Put(keyHashKey(&k.Hash), ref{ID: k.ID}, 0)
	if err != nil {
		return nil, err
	}
	err = c.kv.Apply(ctx, record, index)
	if errors.Is(err, ErrConflict) {
		return nil, audit.Errorf(audit.CodeConflict, "this key exists already")
	}
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	return &k, nil
}

func (c *Catalog) checkKey(ctx context.Context, k *Key) error {
	if err := checkName(k.Name); err != nil {
		return err
	}
	switch k.Role {
	case RoleAdmin, RoleWriter, RoleReader:
	default:
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/role", "must be %q, %q or %q", RoleAdmin, RoleWriter, RoleReader)
	}
	if k.Hash == [32]byte{} {
		return errors.New("create key: no hash")
	}
	if k.Organization == "" {
		return nil
	}
	_, err := c.Organization(ctx, k.Organization)
	return err
}

// Key returns a key by its id; audit not_found when there is none.
func (c *Catalog) Key(ctx context.Context, id string) (*Key, error) {
	s, err := c.loadKey(ctx, id)
	if err != nil {
		return nil, err
	}
	return &s.Value, nil
}

func (c *Catalog) loadKey(ctx context.Context, id string) (Stored[Key], error) {
	if !strings.HasPrefix(id, "key_") || !validID(id) {
		return Stored[Key]{}, noKey(id)
	}
	s, err := Load[Key](ctx, c.kv, prefixKey+id)
	if errors.Is(err, ErrNotFound) {
		return Stored[Key]{}, noKey(id)
	}
	return s, err
}

func noKey(id string) *audit.Error {
	return audit.Errorf(audit.CodeNotFound, "there is no key %q", short(id))
}

// KeyByHash returns the key whose text has this hash, revoked ones too, from the
// cache when it is there: then it allocates nothing. The result is shared and
// must not be changed. Absent is ErrNotFound.
func (c *Catalog) KeyByHash(ctx context.Context, hash *[32]byte) (*Key, error) {
	if k := c.keyed.get(*hash); k != nil {
		return k, nil
	}
	began := c.keyed.begin()
	r, err := c.resolve(ctx, keyHashKey(hash))
	if err != nil {
		return nil, err
	}
	s, err := Load[Key](ctx, c.kv, prefixKey+r.Value.ID)
	if err != nil {
		return nil, err
	}
	c.keyed.put(*hash, &s.Value, began)
	return &s.Value, nil
}

// RevokeKey ends a key for ever and returns it. Revoking again changes nothing.
func (c *Catalog) RevokeKey(ctx context.Context, id string) (*Key, error) {
	for range maxTries {
		s, err := c.loadKey(ctx, id)
		if err != nil {
			return nil, err
		}
		if !s.Value.RevokedAt.IsZero() {
			return &s.Value, nil
		}
		s.Value.RevokedAt = c.time()
		err = Save(ctx, c.kv, s.Key, s.Value, s.Rev)
		c.keyed.drop(s.Value.Hash) // also when the write failed: it may have landed
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &s.Value, nil
	}
	return nil, errTooBusy(prefixKey + id)
}

// KeyOptions says which keys are wanted.
type KeyOptions struct {
	// Organization admits only keys limited to it; "" is every key.
	Organization string
	// After is the id of the last key of the page before.
	After string
	// Limit is the largest number returned, from 1.
	Limit int
	// Revoked admits revoked keys too.
	Revoked bool
}

func (o *KeyOptions) admits(k *Key) bool {
	return (o.Organization == "" || k.Organization == o.Organization) &&
		(o.Revoked || k.RevokedAt.IsZero())
}

// Keys lists keys in the order of their creation, and says whether there are
// more.
func (c *Catalog) Keys(ctx context.Context, opts KeyOptions) (keys []*Key, more bool, err error) {
	after := ""
	if opts.After != "" {
		if !validID(opts.After) {
			return nil, false, audit.FieldErrorf(audit.CodeInvalidCursor, "after", "is not the id of a key")
		}
		after = prefixKey + opts.After
	}
	for s, err := range All[Key](ctx, c.kv, prefixKey, after) {
		if err != nil {
			return nil, false, err
		}
		if !opts.admits(&s.Value) {
			continue
		}
		if len(keys) == opts.Limit {
			return keys, true, nil
		}
		keys = append(keys, &s.Value)
	}
	return keys, false, nil
}
