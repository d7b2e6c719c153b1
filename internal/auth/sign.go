package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Purpose separates what is signed, so that a signature for one use is worth
// nothing for another.
type Purpose string

// The purposes of signatures.
const (
	PurposeDownload Purpose = "download" // an export's file
	PurposePortal   Purpose = "portal"   // a portal link
	PurposeDemo     Purpose = "demo"     // the demo's way in
)

// The parameters that a signed URL gains.
const (
	paramExpires   = "expires"   // Unix seconds
	paramSignature = "signature" // HMAC-SHA256, base64url
)

// Signer signs URLs and portal tokens with HMAC-SHA256.
type Signer struct {
	secret [32]byte
	now    func() time.Time
}

// NewSigner makes a Signer with the catalog's secret, made when there is none.
func NewSigner(ctx context.Context, c *catalog.Catalog, now func() time.Time) (*Signer, error) {
	secret, err := c.Secret(ctx, "signer")
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return &Signer{secret: secret, now: now}, nil
}

// mac is over purpose and parts, each with its length in front, so that no two
// different inputs are the same bytes.
func (s *Signer) mac(purpose Purpose, parts ...string) []byte {
	h := hmac.New(sha256.New, s.secret[:])
	for _, part := range append([]string{string(purpose)}, parts...) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		_, _ = h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// SignURL returns target (a path, with or without a query) with an expiry, in
// whole seconds rounded up, and a signature. The signature covers path, query,
// expiry and purpose; the order of parameters does not matter.
func (s *Signer) SignURL(target string, purpose Purpose, expires time.Time) (string, error) {
	path, rawQuery, _ := strings.Cut(target, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", fmt.Errorf("sign URL: %w", err)
	}
	if query.Has(paramExpires) || query.Has(paramSignature) {
		return "", fmt.Errorf("sign URL: %s and %s are taken", paramExpires, paramSignature)
	}
	seconds := expires.Add(time.Second - 1).Unix()
	query.Set(paramExpires, strconv.FormatInt(seconds, 10))
	mac := s.mac(purpose, path, query.Encode())
	query.Set(paramSignature, base64.RawURLEncoding.EncodeToString(mac))
	return path + "?" + query.Encode(), nil
}

// VerifyURL checks a path, as it was sent, and a query made by SignURL. Errors:
// audit forbidden when the signature is missing or wrong, gone when it is right
// and expired.
func (s *Signer) VerifyURL(path, rawQuery string, purpose Purpose) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil || len(query[paramSignature]) != 1 || len(query[paramExpires]) != 1 {
		return badLink()
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(query.Get(paramSignature))
	query.Del(paramSignature)
	if err != nil || !hmac.Equal(mac, s.mac(purpose, path, query.Encode())) {
		return badLink()
	}
	seconds, err := strconv.ParseInt(query.Get(paramExpires), 10, 64)
	if err != nil {
		return badLink()
	}
	return s.checkExpiry(time.Unix(seconds, 0))
}

func (s *Signer) checkExpiry(expires time.Time) error {
	if s.now().Before(expires) {
		return nil
	}
	return audit.Errorf(audit.CodeGone, "this link has expired: ask for a new one")
}

func badLink() *audit.Error {
	return audit.Errorf(audit.CodeForbidden, "this link is not valid: it is incomplete or was changed")
}

// Portal is what a portal link carries.
type Portal struct {
	Organization string `json:"organization"`
	// Intent is what the link opens, such as "audit_logs".
	Intent string `json:"intent"`
	// Role, PersonID and PersonName say who opens it; "" when the product did
	// not say, and the role is then PersonViewer.
	Role       PersonRole `json:"role,omitempty"`
	PersonID   string     `json:"person_id,omitempty"`
	PersonName string     `json:"person_name,omitempty"`

	ReturnURL string    `json:"return_url,omitempty"`
	Expires   time.Time `json:"expires"`
	// Nonce tells two links with the same content apart, so that each can be
	// used once; made by SignPortal.
	Nonce string `json:"nonce"`
}

// SignPortal makes a portal token, safe in a URL.
func (s *Signer) SignPortal(p Portal) (string, error) {
	p.Nonce = catalog.NewULID(s.now())
	body, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("sign portal token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.mac(PurposePortal, text)), nil
}

// VerifyPortal reads a portal token. Errors are those of VerifyURL.
func (s *Signer) VerifyPortal(token string) (Portal, error) {
	text, signature, _ := strings.Cut(token, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(mac, s.mac(PurposePortal, text)) {
		return Portal{}, badLink()
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Portal{}, badLink()
	}
	var p Portal
	if err := json.Unmarshal(body, &p, json.RejectUnknownMembers(true)); err != nil {
		return Portal{}, badLink()
	}
	return p, s.checkExpiry(p.Expires)
}
