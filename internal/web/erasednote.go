package web

import (
	"context"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
)

// erasedTime bounds the search for what an erasure was for.
const erasedTime = 300 * time.Millisecond

// erasedNote says of an entry that its details were erased.
type erasedNote struct {
	At time.Time
	// Reference is what the erasure was for, "" when nobody said or it is not
	// known; Path is the entry that says so, "" before it is there.
	Reference, Path string
}

// erasedNote finds what the log says of the erasure of an entry: it happened at the
// time that the entry is marked with, to somebody that the entry names. It is nil for
// an entry that has its details.
func (p *pages) erasedNote(r *server.Request, e *audit.Entry) (*erasedNote, error) {
	if e.ErasedAt.IsZero() {
		return nil, nil //nolint:nilnil // nothing to say
	}
	note := &erasedNote{At: e.ErasedAt}
	ids := []string{e.Actor.ID}
	for i := range e.Targets {
		ids = append(ids, e.Targets[i].ID)
	}
	q := erasedAt(e.ErasedAt)
	q.Filters = append(q.Filters, audit.Filter{Field: audit.FieldTargetID, Values: ids})
	ctx, cancel := context.WithTimeout(r.Context(), erasedTime)
	defer cancel()
	found, err := p.Engine.Search(ctx, r.Organization.ID, search.Request{Query: q.Normalize(), Limit: 1})
	if err != nil || len(found.Entries) == 0 {
		return note, r.Context().Err() // it is only a help
	}
	said := found.Entries[0].Audit(r.Organization.ID)
	note.Path = entriesPath + said.ID
	note.Reference, _ = said.Metadata["reference"].(string)
	return note, nil
}

// erasedAt finds the entry that says that somebody was erased at a time. No two
// erasures of an organization have the same.
func erasedAt(at time.Time) audit.Query {
	q := ofAction(erasure.ActionErased)
	if !at.IsZero() {
		q.OccurredFrom, q.OccurredTo = at, at.Add(time.Millisecond)
	}
	return q
}
