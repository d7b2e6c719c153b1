package erasure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Keys in the catalog store. Records of an organization are listed newest first;
// those that did not end have a second one, in the order they were asked for.
const (
	recordPrefix = "erasure/"      // organization/inverted ULID → Record
	openPrefix   = "erasure_open/" // ULID → openRef
)

// openRef leads to a record that did not end.
type openRef struct {
	Organization string `json:"organization"`
	ID           string `json:"id"`
}

// Ids are ULIDs, as catalog.NewULID makes them.
const (
	ulidLength = 26
	alphabet   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford base 32
)

// ulidOf is the ULID of an id, "" when it is none.
func ulidOf(id string) string {
	text, ok := strings.CutPrefix(id, IDPrefix)
	if !ok || len(text) != ulidLength || strings.Trim(text, alphabet) != "" {
		return ""
	}
	return text
}

// invert maps a ULID to a text that sorts the other way round.
func invert(ulid string) string {
	b := []byte(ulid)
	for i, c := range b {
		b[i] = alphabet[len(alphabet)-1-strings.IndexByte(alphabet, c)]
	}
	return string(b)
}

func recordKey(org, id string) string { return recordPrefix + org + "/" + invert(ulidOf(id)) }

func openKey(id string) string { return openPrefix + ulidOf(id) }

func noErasure(id string) error {
	return audit.Errorf(audit.CodeNotFound, "there is no erasure %q", id[:min(len(id), 64)])
}

func (s *Erasures) load(ctx context.Context, org, id string) (catalog.Stored[Record], error) {
	if ulidOf(id) == "" {
		return catalog.Stored[Record]{}, noErasure(id)
	}
	stored, err := catalog.Load[Record](ctx, s.cfg.KV, recordKey(org, id))
	if errors.Is(err, catalog.ErrNotFound) {
		return stored, noErasure(id)
	}
	if err != nil {
		return stored, fmt.Errorf("read erasure %s: %w", id, err)
	}
	return stored, nil
}

// Get returns an erasure; not_found when the organization has none of that id.
func (s *Erasures) Get(ctx context.Context, org, id string) (Record, error) {
	stored, err := s.load(ctx, org, id)
	return stored.Value, err
}

// List returns up to limit erasures of an organization, newest first, those
// after the one with id after ("" for the first page), and whether there are
// more. Errors: invalid_cursor.
func (s *Erasures) List(ctx context.Context, org, after string, limit int) (list []Record, more bool, err error) {
	start := ""
	if after != "" {
		if ulidOf(after) == "" {
			return nil, false, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not a cursor of this list")
		}
		start = recordKey(org, after)
	}
	for stored, err := range catalog.All[Record](ctx, s.cfg.KV, recordPrefix+org+"/", start) {
		if err != nil {
			return nil, false, fmt.Errorf("list erasures: %w", err)
		}
		if len(list) == limit {
			return list, true, nil
		}
		list = append(list, stored.Value)
	}
	return list, false, nil
}

// insert stores a new erasure.
func (s *Erasures) insert(ctx context.Context, rec *Record) error {
	record, err := catalog.Put(recordKey(rec.Organization, rec.ID), *rec, 0)
	if err != nil {
		return fmt.Errorf("encode erasure: %w", err)
	}
	open, err := catalog.Put(openKey(rec.ID), openRef{Organization: rec.Organization, ID: rec.ID}, 0)
	if err != nil {
		return fmt.Errorf("encode erasure: %w", err)
	}
	if err := s.cfg.KV.Apply(ctx, record, open); err != nil {
		return fmt.Errorf("store erasure: %w", err)
	}
	return nil
}

// open returns the erasures that did not end, in the order they were asked for.
func (s *Erasures) open(ctx context.Context) ([]catalog.Stored[Record], error) {
	var list []catalog.Stored[Record]
	for ref, err := range catalog.All[openRef](ctx, s.cfg.KV, openPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list open erasures: %w", err)
		}
		stored, err := s.load(ctx, ref.Value.Organization, ref.Value.ID)
		if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, stored)
	}
	return list, nil
}

// save stores a record that the worker has changed, at the revision it was read
// at; nobody else writes it. One that has ended is no longer open.
func (s *Erasures) save(ctx context.Context, stored *catalog.Stored[Record]) error {
	defer s.announce() // also after an error: the write may have landed
	put, err := catalog.Put(stored.Key, stored.Value, stored.Rev)
	if err != nil {
		return fmt.Errorf("encode erasure: %w", err)
	}
	changes := []catalog.Change{put}
	if stored.Value.Ended() {
		open, err := s.cfg.KV.Get(ctx, openKey(stored.Value.ID))
		if err != nil {
			return fmt.Errorf("read open erasure: %w", err)
		}
		changes = append(changes, catalog.Change{Key: open.Key, Rev: open.Rev, Delete: true})
	}
	if err := s.cfg.KV.Apply(ctx, changes...); err != nil {
		return fmt.Errorf("store erasure %s: %w", stored.Value.ID, err)
	}
	fresh, err := s.cfg.KV.Get(ctx, stored.Key)
	if err != nil {
		return fmt.Errorf("read erasure %s: %w", stored.Value.ID, err)
	}
	stored.Rev = fresh.Rev
	return nil
}

// removeAll removes the records of an organization.
func (s *Erasures) removeAll(ctx context.Context, org string) error {
	for stored, err := range catalog.All[Record](ctx, s.cfg.KV, recordPrefix+org+"/", "") {
		if err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		changes := []catalog.Change{{Key: stored.Key, Rev: stored.Rev, Delete: true}}
		open, err := s.cfg.KV.Get(ctx, openKey(stored.Value.ID))
		switch {
		case err == nil:
			changes = append(changes, catalog.Change{Key: open.Key, Rev: open.Rev, Delete: true})
		case !errors.Is(err, catalog.ErrNotFound):
			return fmt.Errorf("read open erasure: %w", err)
		}
		err = s.cfg.KV.Apply(ctx, changes...)
		if err != nil && !errors.Is(err, catalog.ErrConflict) { // the worker was faster; it is removed next time
			return fmt.Errorf("remove erasure %s: %w", stored.Value.ID, err)
		}
	}
	s.announce()
	return nil
}
