// Package auth says who asks, for which organization, and what they may do.
//
// A key is "sk_" and 43 characters, 256 random bits. Only its SHA-256 is kept:
// with that much randomness a slow hash would protect nothing more, and looking
// a key up by its hash tells nothing about keys through timing.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Role says what a key may do.
type Role = catalog.Role

// The roles; see catalog.
const (
	RoleAdmin  = catalog.RoleAdmin
	RoleWriter = catalog.RoleWriter
	RoleReader = catalog.RoleReader
)

// RootKeyID is the KeyID of who has the root key.
const RootKeyID = "root"

// MinRootKeyBytes is the shortest root key an operator may choose.
const MinRootKeyBytes = 24

// maxSecretBytes bounds what is hashed to look a key up.
const maxSecretBytes = 512

// Identity is who asks. The zero Identity is nobody and may do nothing.
type Identity struct {
	KeyID   string
	KeyName string
	Role    Role
	// Organization is the only one that the key opens; "" is all of them.
	Organization string
}

// Limited says that the identity opens one organization only.
func (i Identity) Limited() bool { return i.Organization != "" }

// Allow says whether the identity may use a route with this access, for org when
// the request is about one, "" when it is not (yet known). Errors are audit
// unauthorized, forbidden, and [catalog.NoOrganization] for an organization that
// the identity does not open.
func (i Identity) Allow(need Access, org string) error {
	switch need.kind {
	case accessPublic, accessSigned:
		return nil
	case accessNeed, accessShared, accessScoped:
	default:
		return errors.New("route without access")
	}
	if i.Role == "" {
		return unauthorized()
	}
	if !need.admits(i.Role) {
		return audit.Errorf(audit.CodeForbidden, "a key with the role %q may not do this: it needs %s", i.Role, need.rolesText())
	}
	switch {
	case !i.Limited() || need.kind == accessShared:
		return nil
	case org == "" && need.kind == accessNeed:
		return audit.Errorf(audit.CodeForbidden, "a key limited to an organization may not do this: it concerns the whole server")
	case org != "" && org != i.Organization:
		return catalog.NoOrganization(org)
	}
	return nil
}

// unauthorized is the same for a missing, an unknown and a revoked key.
func unauthorized() *audit.Error {
	return audit.Errorf(audit.CodeUnauthorized, "send a valid API key as Authorization: Bearer KEY")
}

// Authenticator turns keys into identities.
type Authenticator struct {
	catalog *catalog.Catalog
	root    *[32]byte // SHA-256 of the root key; nil without one
}

// New makes an Authenticator. root is the text of the root key, of which only
// the hash is kept; without one ("") only keys of the catalog open anything.
func New(c *catalog.Catalog, root string) (*Authenticator, error) {
	if root == "" {
		return &Authenticator{catalog: c}, nil
	}
	if len(root) < MinRootKeyBytes || len(root) > maxSecretBytes {
		return nil, fmt.Errorf("root key: must be %d to %d characters", MinRootKeyBytes, maxSecretBytes)
	}
	for _, b := range []byte(root) {
		if b <= ' ' || b > '~' {
			return nil, errors.New("root key: must be printable ASCII without spaces, since it travels in a header")
		}
	}
	sum := sha256.Sum256([]byte(root))
	return &Authenticator{catalog: c, root: &sum}, nil
}

// Authenticate returns who a key belongs to; audit unauthorized when it is not
// known, is revoked, or is limited to an organization that was deleted. Keys
// seen before cost a hash and map lookups.
func (a *Authenticator) Authenticate(ctx context.Context, key string) (Identity, error) {
	if key == "" || len(key) > maxSecretBytes {
		return Identity{}, unauthorized()
	}
	hash := hashOf(key)
	if a.root != nil && subtle.ConstantTimeCompare(hash[:], a.root[:]) == 1 {
		return Identity{KeyID: RootKeyID, KeyName: "root key", Role: RoleAdmin}, nil
	}
	k, err := a.catalog.KeyByHash(ctx, &hash)
	if errors.Is(err, catalog.ErrNotFound) {
		return Identity{}, unauthorized()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("authenticate: %w", err)
	}
	if !k.RevokedAt.IsZero() {
		return Identity{}, unauthorized()
	}
	if k.Organization != "" {
		if err := a.checkOrganization(ctx, k.Organization); err != nil {
			return Identity{}, err
		}
	}
	return Identity{KeyID: k.ID, KeyName: k.Name, Role: k.Role, Organization: k.Organization}, nil
}

// hashOf hashes a key of at most maxSecretBytes without copying it to the heap.
func hashOf(key string) [32]byte {
	var buf [maxSecretBytes]byte
	return sha256.Sum256(buf[:copy(buf[:], key)])
}

func (a *Authenticator) checkOrganization(ctx context.Context, id string) error {
	_, err := a.catalog.Organization(ctx, id)
	if err == nil {
		return nil
	}
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return unauthorized()
	}
	return fmt.Errorf("authenticate: %w", err)
}

// CreateKey makes a key from k's Name, Role, Organization and CreatedBy. The
// secret is returned once and kept nowhere. Errors are those of
// [catalog.Catalog.CreateKey].
func (a *Authenticator) CreateKey(ctx context.Context, k catalog.Key) (secret string, key *catalog.Key, err error) {
	secret = NewSecret()
	if key, err = a.AddKey(ctx, secret, k); err != nil {
		return "", nil, err
	}
	return secret, key, nil
}

// AddKey is CreateKey for a secret that the caller made with [NewSecret] and has
// already shown to whoever it is for.
func (a *Authenticator) AddKey(ctx context.Context, secret string, k catalog.Key) (*catalog.Key, error) {
	k.Hash = hashOf(secret)
	k.Hint = secret[len(secret)-4:]
	return a.catalog.CreateKey(ctx, k)
}

// NewSecret makes the text of a key: "sk_" and 43 characters, 256 random bits.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return "sk_" + base64.RawURLEncoding.EncodeToString(b[:])
}
