package web

import (
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// lateAfter is from when on it is worth saying that an entry was recorded
	// later than it happened.
	lateAfter = 5 * time.Minute
	// neighbourTime bounds the search for the entries before and after.
	neighbourTime = 300 * time.Millisecond
	// around is how far "same address" looks to both sides.
	around = 15 * time.Minute
	// maxLinkQuery bounds the filter of a link: browsers and proxies do not take
	// addresses of any length.
	maxLinkQuery = 1500
)

// links are the lists that are one click away.
func (v *entryView) links(e *audit.Entry, list logview.View) {
	all := list.WithRange(logview.RangeAll)
	near := list.WithBounds(e.OccurredAt.Add(-around), e.OccurredAt.Add(around))
	v.SameAction = sameURL(all, audit.FieldAction, e.Action)
	v.Actor.Same = sameURL(all, audit.FieldActorID, e.Actor.ID)
	for i := range e.Targets {
		v.Targets[i].Same = sameURL(all, audit.FieldTargetID, e.Targets[i].ID)
	}
	if e.Context.Location != "" {
		v.SameAddress = sameURL(near, audit.FieldLocation, e.Context.Location)
	}
	if name, id := sessionOf(e); id != "" {
		v.SameSession = sameURL(all, name, id)
	}
}

// sameURL is a list of the entries that have a value, "" where no address can
// hold it.
func sameURL(list logview.View, name audit.Field, value string) string {
	q := audit.Query{Filters: []audit.Filter{{Field: name, Values: []string{value}}}}
	if value == "" || q.Validate() != nil || len(q.String()) > maxLinkQuery {
		return ""
	}
	return list.WithFilter(q).URL()
}

// sessionOf finds the id of a session in metadata.
func sessionOf(e *audit.Entry) (audit.Field, string) {
	for _, where := range []struct {
		prefix string
		in     audit.Metadata
	}{{"metadata.", e.Metadata}, {"actor.metadata.", e.Actor.Metadata}} {
		for _, key := range []string{"session_id", "sessionId", "session-id", "session", "sid"} {
			if id, ok := where.in[key].(string); ok && id != "" {
				return audit.Field(where.prefix + key), id
			}
		}
		if session, ok := where.in["session"].(map[string]any); ok {
			if id, ok := session["id"].(string); ok && id != "" {
				return audit.Field(where.prefix + "session.id"), id
			}
		}
	}
	return "", ""
}

// pathSegment writes a text as one segment of a path.
func pathSegment(s string) string { return url.PathEscape(s) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
