package catalog

import (
	"context"
	"time"
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

// CreateKey records a key and returns it with ID and CreatedAt set.
func (c *Catalog) CreateKey(ctx context.Context, k Key) (*Key, error) { panic("unfinished") }

// Key returns a key by its id; audit not_found when there is none.
func (c *Catalog) Key(ctx context.Context, id string) (*Key, error) { panic("unfinished") }

// KeyByHash returns the key whose text has this hash, revoked ones too, from the
// cache when it is there. Absent is ErrNotFound.
func (c *Catalog) KeyByHash(ctx context.Context, hash *[32]byte) (*Key, error) { panic("unfinished") }

// RevokeKey ends a key for ever and returns it. Revoking again changes nothing.
func (c *Catalog) RevokeKey(ctx context.Context, id string) (*Key, error) { panic("unfinished") }

// KeyOptions says which keys are wanted.
type KeyOptions struct {
	// Organization admits only keys limited to it; "" is every key.
	Organization string
	// After is the id of the last key of the page before.
	After string
	Limit int
	// Revoked admits revoked keys too.
	Revoked bool
}

// Keys lists keys in the order of their creation, and says whether there are
// more.
func (c *Catalog) Keys(ctx context.Context, opts KeyOptions) (keys []*Key, more bool, err error) {
	panic("unfinished")
}
