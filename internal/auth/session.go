package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// PersonRole says what a person may do on the pages.
type PersonRole string

// The roles of people.
const (
	// PersonViewer reads, searches and exports.
	PersonViewer PersonRole = "viewer"
	// PersonManager may also see and change settings.
	PersonManager PersonRole = "manager"
)

// The intents of portal links: what a link opens first.
const (
	IntentAuditLogs  = "audit_logs"
	IntentLogStreams = "log_streams"
	IntentExports    = "exports"
)

// KnownIntent says whether a link may be made for it.
func KnownIntent(intent string) bool {
	return intent == IntentAuditLogs || intent == IntentLogStreams || intent == IntentExports
}

// RoleFor is the role of a link that names none: where log streams are set up,
// nobody but a manager has anything to do.
func RoleFor(intent string) PersonRole {
	if intent == IntentLogStreams {
		return PersonManager
	}
	return PersonViewer
}

// MaxLinkLife is how long a portal link can be opened, at most: the product makes
// one when somebody asks, and sends them there at once.
const MaxLinkLife = 5 * time.Minute

// DefaultSessionLife is how long a session lasts when nothing else is set.
const DefaultSessionLife = 8 * time.Hour

// CookieLife is how long a browser should keep the cookie of a session: longer
// than the session, to be told that it has ended and not that there was none.
func (s *Session) CookieLife() time.Time { return s.ExpiresAt.Add(endedKept) }

// Session is one person's visit to the pages of one organization.
type Session struct {
	// ID names the session in logs and entries; it opens nothing.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	// Intent is what the link was made for.
	Intent string     `json:"intent"`
	Role   PersonRole `json:"role"`
	// PersonID and PersonName are what the product calls the person; empty
	// when it did not say.
	PersonID   string    `json:"person_id,omitempty"`
	PersonName string    `json:"person_name,omitempty"`
	ReturnURL  string    `json:"return_url,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`

	csrf string
}

// Manager says whether the person may see and change settings.
func (s *Session) Manager() bool { return s.Role == PersonManager }

// CSRF is the text that every form of this session carries. It is derived from
// the cookie, and the cookie cannot be derived from it.
func (s *Session) CSRF() string { return s.csrf }

// Sessions makes and finds sessions. They are kept under the SHA-256 of the
// cookie: who reads the database cannot take one over.
//
// Each link that was used and each session also has a record whose key begins
// with when it ends, so that what is over is found without looking at the rest.
type Sessions struct {
	kv      catalog.KV
	catalog *catalog.Catalog
	signer  *Signer
	life    time.Duration
	now     func() time.Time
}

// Key space; see catalog.
const (
	prefixSession    = "session/"      // SHA-256 of the cookie → Session
	prefixSessionEnd = "session_end/"  // expiry and SHA-256 → over
	prefixLinkUsed   = "portal_used/"  // expiry and nonce → over
	endLayout        = "20060102T1504" // sorts as the times do
)

// over is the record of an index: all that it says is in its key.
type over struct{}

// NewSessions makes Sessions over the catalog's KV.
func NewSessions(kv catalog.KV, c *catalog.Catalog, signer *Signer, life time.Duration, now func() time.Time) *Sessions {
	return &Sessions{kv: kv, catalog: c, signer: signer, life: life, now: now}
}

// endKey is a key under prefix that sorts by when the record is over.
func endKey(prefix string, at time.Time, id string) string {
	return prefix + at.UTC().Format(endLayout) + "/" + id
}

// Redeem turns a portal token into a session, once: the link's use and the
// session are one write, so that of two people with one link one gets in. The
// cookie is what [Sessions.Get] takes. Errors: those of [Signer.VerifyPortal],
// audit conflict for a link that was used, gone for one whose person's sessions were
// ended since it was made, not_found and audit_log_inactive for
// the organization.
func (s *Sessions) Redeem(ctx context.Context, token string) (cookie string, _ *Session, err error) {
	p, err := s.signer.VerifyPortal(token)
	if err != nil {
		return "", nil, err
	}
	return s.open(ctx, p, true)
}

// Open makes a session without a link, for those who are let in otherwise.
func (s *Sessions) Open(ctx context.Context, p Portal) (cookie string, _ *Session, err error) {
	return s.open(ctx, p, false)
}

func (s *Sessions) open(ctx context.Context, p Portal, burn bool) (string, *Session, error) {
	o, err := s.catalog.Organization(ctx, p.Organization)
	if err != nil {
		return "", nil, err
	}
	if err := o.CheckShow(); err != nil {
		return "", nil, err
	}
	if burn {
		if err := s.checkBarred(ctx, &p); err != nil {
			return "", nil, err
		}
	}
	cookie, session := s.start(p)
	hash := hashCookie(cookie)
	changes := make([]catalog.Change, 0, 3)
	put := func(c catalog.Change, e error) {
		changes = append(changes, c)
		err = errors.Join(err, e)
	}
	put(catalog.Put(prefixSession+hash, *session, 0))
	put(catalog.Put(endKey(prefixSessionEnd, session.ExpiresAt, hash), over{}, 0))
	if burn {
		put(catalog.Put(endKey(prefixLinkUsed, p.Expires, p.Nonce), over{}, 0))
	}
	if err != nil {
		return "", nil, err
	}
	err = s.kv.Apply(ctx, changes...)
	if errors.Is(err, catalog.ErrConflict) {
		return "", nil, audit.Errorf(audit.CodeConflict, "this link was used already: each link opens once")
	}
	if err != nil {
		return "", nil, fmt.Errorf("keep session: %w", err)
	}
	if burn {
		// Once more: EndPerson may have looked for sessions just before.
		if err := s.checkBarred(ctx, &p); err != nil {
			return "", nil, errors.Join(err, s.End(ctx, cookie))
		}
	}
	return cookie, session, nil
}

// start makes a session and its cookie.
func (s *Sessions) start(p Portal) (string, *Session) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	cookie := base64.RawURLEncoding.EncodeToString(secret[:])
	now := s.now().UTC().Truncate(time.Millisecond)
	session := &Session{
		ID: "session_" + catalog.NewULID(now), Organization: p.Organization, Intent: p.Intent, Role: p.Role,
		PersonID: p.PersonID, PersonName: p.PersonName, ReturnURL: p.ReturnURL,
		CreatedAt: now, ExpiresAt: now.Add(s.life), csrf: csrfOf(cookie),
	}
	if session.Role == "" {
		session.Role = PersonViewer
	}
	return cookie, session
}

func hashCookie(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

func csrfOf(cookie string) string {
	sum := sha256.Sum256([]byte("csrf\x00" + cookie))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// Get returns the session of a cookie: audit unauthorized when there is none or
// it is over.
func (s *Sessions) Get(ctx context.Context, cookie string) (*Session, error) {
	found, err := s.load(ctx, cookie)
	if err != nil {
		return nil, err
	}
	session := &found.Value
	session.csrf = csrfOf(cookie)
	return session, nil
}

func (s *Sessions) load(ctx context.Context, cookie string) (*catalog.Stored[Session], error) {
	found, err := s.find(ctx, cookie)
	if err == nil && !s.now().Before(found.Value.ExpiresAt) {
		return nil, noSession()
	}
	return found, err
}

// find is load, also of a session that is over.
func (s *Sessions) find(ctx context.Context, cookie string) (*catalog.Stored[Session], error) {
	if cookie == "" || len(cookie) > maxSecretBytes {
		return nil, noSession()
	}
	found, err := catalog.Load[Session](ctx, s.kv, prefixSession+hashCookie(cookie))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, noSession()
	}
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	return &found, nil
}

// ReturnURL is where the person of a session came from, also for a while after
// its end; "" when that is not known.
func (s *Sessions) ReturnURL(ctx context.Context, cookie string) string {
	found, err := s.find(ctx, cookie)
	if err != nil {
		return ""
	}
	return found.Value.ReturnURL
}

// noSession is the same for a missing, an unknown and an ended session.
func noSession() *audit.Error {
	return audit.Errorf(audit.CodeUnauthorized, "there is no session, or it has ended: open the audit log from your product again")
}

// End ends the session of a cookie. One that has ended already is no error.
func (s *Sessions) End(ctx context.Context, cookie string) error {
	found, err := s.load(ctx, cookie)
	if errors.Is(err, &audit.Error{Code: audit.CodeUnauthorized}) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.kv.Apply(ctx, catalog.Change{Key: found.Key, Rev: found.Rev, Delete: true})
	if err != nil && !errors.Is(err, catalog.ErrConflict) {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}
