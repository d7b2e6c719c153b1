// Package auth says who asks, for which organization, and what they may do.
package auth

import (
	"context"
	"time"

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
// the request is about one, "" when it is not (yet known). Errors: unauthorized,
// forbidden, not_found for an organization that the identity does not open.
func (i Identity) Allow(need Access, org string) error { panic("unfinished") }

// Authenticator turns keys into identities.
type Authenticator struct{}

// New makes an Authenticator. root is the text of the root key, of which only
// the hash is kept.
func New(c *catalog.Catalog, root string) (*Authenticator, error) { panic("unfinished") }

// Authenticate returns who a key belongs to, or audit unauthorized.
func (a *Authenticator) Authenticate(ctx context.Context, key string) (Identity, error) {
	panic("unfinished")
}

// CreateKey makes a key from k's Name, Role, Organization and CreatedBy. The
// secret is returned once and kept nowhere.
func (a *Authenticator) CreateKey(ctx context.Context, k catalog.Key) (secret string, key *catalog.Key, err error) {
	panic("unfinished")
}

// NewSecret makes the text of a key: "sk_" and 43 characters, 256 random bits.
func NewSecret() string { panic("unfinished") }

// Purpose separates what is signed, so that a signature for one use is worth
// nothing for another.
type Purpose string

// The purposes of signatures.
const (
	PurposeDownload Purpose = "download" // an export's file
	PurposePortal   Purpose = "portal"   // a portal link
)

// Signer signs URLs and portal tokens with HMAC-SHA256.
type Signer struct{}

// NewSigner makes a Signer with the catalog's secret, made when there is none.
func NewSigner(ctx context.Context, c *catalog.Catalog, now func() time.Time) (*Signer, error) {
	panic("unfinished")
}

// SignURL returns target (a path, with or without a query) with an expiry and a
// signature. The signature covers path, query, expiry and purpose.
func (s *Signer) SignURL(target string, purpose Purpose, expires time.Time) (string, error) {
	panic("unfinished")
}

// VerifyURL checks a path and query made by SignURL. Errors: audit gone when it
// is expired, forbidden when the signature is wrong.
func (s *Signer) VerifyURL(path, rawQuery string, purpose Purpose) error { panic("unfinished") }

// Portal is what a portal link carries.
type Portal struct {
	Organization string    `json:"organization"`
	Intent       string    `json:"intent"`
	ReturnURL    string    `json:"return_url,omitempty"`
	SuccessURL   string    `json:"success_url,omitempty"`
	Expires      time.Time `json:"expires"`
}

// SignPortal makes a portal token, safe in a URL.
func (s *Signer) SignPortal(p Portal) (string, error) { panic("unfinished") }

// VerifyPortal reads a portal token. Errors are those of VerifyURL.
func (s *Signer) VerifyPortal(token string) (Portal, error) { panic("unfinished") }
