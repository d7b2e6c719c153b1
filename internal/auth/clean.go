package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/catalog"
)

const (
	// endedKept is how long the record of a session that is over stays, so
	// that whoever comes back can be told where to go.
	endedKept = 24 * time.Hour
	// cleanPage is how many records one step of cleaning looks at.
	cleanPage = 128
)

// Clean removes the records of sessions and links that are over, and says how
// many. It reads what is to go and no more, a page at a time, and may be called
// at any time, also by several servers at once.
func (s *Sessions) Clean(ctx context.Context) (int, error) {
	now := s.now()
	sessions, err := s.cleanIndex(ctx, prefixSessionEnd, now.Add(-endedKept))
	if err != nil {
		return sessions, err
	}
	links, err := s.cleanIndex(ctx, prefixLinkUsed, now)
	if err != nil {
		return sessions + links, err
	}
	bars, err := s.cleanBarred(ctx, now)
	return sessions + links + bars, err
}

// cleanIndex removes the records of an index that ended in a minute before that
// of until, with the sessions that they lead to.
func (s *Sessions) cleanIndex(ctx context.Context, prefix string, until time.Time) (int, error) {
	end := endKey(prefix, until, "")
	removed, after := 0, ""
	for {
		page, err := s.kv.List(ctx, prefix, after, cleanPage)
		if err != nil {
			return removed, fmt.Errorf("clean %s: %w", prefix, err)
		}
		for _, rec := range page {
			if rec.Key >= end {
				return removed, nil
			}
			if err := s.remove(ctx, prefix, rec); err != nil {
				return removed, err
			}
			removed, after = removed+1, rec.Key
		}
		if len(page) < cleanPage {
			return removed, nil
		}
	}
}

// remove removes one record of an index, and the session that it leads to.
func (s *Sessions) remove(ctx context.Context, prefix string, rec catalog.Record) error {
	changes := []catalog.Change{{Key: rec.Key, Rev: rec.Rev, Delete: true}}
	if prefix == prefixSessionEnd {
		_, hash, _ := strings.Cut(strings.TrimPrefix(rec.Key, prefix), "/")
		found, err := s.kv.Get(ctx, prefixSession+hash)
		switch {
		case err == nil:
			changes = append(changes, catalog.Change{Key: found.Key, Rev: found.Rev, Delete: true})
		case !errors.Is(err, catalog.ErrNotFound):
			return fmt.Errorf("clean sessions: %w", err)
		}
	}
	err := s.kv.Apply(ctx, changes...)
	if err != nil && !errors.Is(err, catalog.ErrConflict) { // somebody else was faster
		return fmt.Errorf("clean %s: %w", prefix, err)
	}
	return nil
}
