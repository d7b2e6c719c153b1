package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// prefixBarred keeps links that name somebody from being opened: a link is a
// signed text in somebody's browser, which nobody can take back.
const prefixBarred = "portal_barred/" // SHA-256 of organization and person → barred

// barred says that links of somebody that were made before a time open nothing.
type barred struct {
	Before time.Time `json:"before"`
	// Until is when every such link has expired, and this record is over.
	Until time.Time `json:"until"`
}

func barredKey(org, person string) string {
	sum := sha256.Sum256([]byte(org + "\x00" + person))
	return prefixBarred + hex.EncodeToString(sum[:])
}

// EndPerson ends the sessions of a person of an organization, removes what is
// kept of them, and makes links that were made for the person before open nothing.
// The person is as portal links have it. It may be called again.
func (s *Sessions) EndPerson(ctx context.Context, org, person string) error {
	if person == "" {
		return nil // those who are not known by an id are not this person
	}
	if err := s.bar(ctx, org, person); err != nil {
		return err
	}
	for found, err := range catalog.All[Session](ctx, s.kv, prefixSession, "") {
		if err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		if found.Value.Organization != org || found.Value.PersonID != person {
			continue
		}
		// The record of its end is left: it says nothing, and goes in time.
		err := s.kv.Apply(ctx, catalog.Change{Key: found.Key, Rev: found.Rev, Delete: true})
		if err != nil && !errors.Is(err, catalog.ErrConflict) { // ended meanwhile
			return fmt.Errorf("end session: %w", err)
		}
	}
	return nil
}

// bar comes before sessions are ended, or a link could open one meanwhile.
func (s *Sessions) bar(ctx context.Context, org, person string) error {
	now := s.now().UTC()
	key := barredKey(org, person)
	old, err := catalog.Load[barred](ctx, s.kv, key)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("bar links: %w", err)
	}
	err = catalog.Save(ctx, s.kv, key, barred{Before: now, Until: now.Add(MaxLinkLife + time.Minute)}, old.Rev)
	if errors.Is(err, catalog.ErrConflict) {
		return nil // somebody else has just done it
	}
	return err
}

// checkBarred refuses a link that was made before its person was barred.
func (s *Sessions) checkBarred(ctx context.Context, p *Portal) error {
	if p.PersonID == "" {
		return nil
	}
	found, err := catalog.Load[barred](ctx, s.kv, barredKey(p.Organization, p.PersonID))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read barred links: %w", err)
	}
	if made, ok := catalog.ULIDTime(p.Nonce); ok && made.After(found.Value.Before) {
		return nil
	}
	return audit.Errorf(audit.CodeGone, "this link does not work any more: ask for a new one")
}

// cleanBarred removes what every link that it is about has outlived.
func (s *Sessions) cleanBarred(ctx context.Context, now time.Time) (int, error) {
	removed := 0
	for found, err := range catalog.All[barred](ctx, s.kv, prefixBarred, "") {
		if err != nil {
			return removed, fmt.Errorf("clean barred links: %w", err)
		}
		if now.Before(found.Value.Until) {
			continue
		}
		err := s.kv.Apply(ctx, catalog.Change{Key: found.Key, Rev: found.Rev, Delete: true})
		if err != nil && !errors.Is(err, catalog.ErrConflict) {
			return removed, fmt.Errorf("clean barred links: %w", err)
		}
		removed++
	}
	return removed, nil
}
