// Package search is what every search engine shares: the interface its
// consumers use, the order of results, cursors, and matching entries against a
// query without allocating. [audit.Query.Match] is the definition of a match.
package search

import (
	"context"
	"iter"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// MaxPageBytes bounds the rows of one page: a page ends early, with More set,
// once its rows reach it. It keeps a page of 1000 entries of 64 KiB in bounds.
const MaxPageBytes = 4 << 20

// Engine finds entries of one organization. Every method sees only entries
// whose commit is durable and that [Keep.Shows] shows at the moment of the call,
// and may be called concurrently with commits. What is complete up to a place has
// everything up to it that is shown.
type Engine interface { //nolint:interfacebloat // one for each thing that is asked of a log
	// Search returns one page of the entries that match, in the query's
	// order by (occurred_at, seq). Entries are the caller's to keep.
	Search(ctx context.Context, org string, r Request) (Page, error)

	// Scan yields the entries that match and have from ≤ seq < to, in seq
	// order, or in falling seq order when desc. The entry is valid until the
	// next one. Memory does not grow with the range.
	Scan(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool) iter.Seq2[*event.Entry, error]

	// Render yields the entries that match and have from ≤ seq < to as render
	// writes them, in chunks: in seq order, or in falling seq order when desc.
	// A chunk is valid until the next. Memory does not grow with the range.
	//
	// render appends one entry to dst, returns the result and keeps neither
	// of the two. It is called at most once for an entry, by several
	// goroutines at once and ahead of the consumer. When the sequence ends,
	// early or not, those goroutines have left render for good and end.
	//
	// An error ends the sequence, and the chunk beside it is empty. When ctx
	// has ended before the sequence does, the sequence ends with ctx's error:
	// one that ends without an error has yielded all.
	Render(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool,
		render func(dst []byte, e *event.Entry) []byte) iter.Seq2[Chunk, error]

	// Survey says how many entries match and have from ≤ seq < to, and how
	// many targets one of them has at most. It is an error when ctx has ended.
	Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (Survey, error)

	// Histogram counts the entries that match by interval of occurred_at,
	// oldest first, empty intervals between the first and the last included:
	// MaxBuckets at most.
	Histogram(ctx context.Context, org string, q audit.Query, iv Interval) (Histogram, error)

	// Facets counts the entries that match by the values of a field, most
	// frequent first, then by value; limit values at most. Counts are exact:
	// more than MaxFacetValues different values are an error.
	Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (Facets, error)

	// First returns the seq of the first entry that is shown, the size of the log
	// when none is. It does not fall as the log grows and entries become due.
	First(ctx context.Context, org string) (uint64, error)
}

// Request asks for one page.
type Request struct {
	Query audit.Query
	// Ascending is oldest first; newest first otherwise.
	Ascending bool
	// Limit is the largest number of entries, 1 to audit.MaxQueryLimit.
	Limit int
	// After is where the last page ended, nil for the first page.
	After *Cursor
}

// Page is one page of entries.
type Page struct {
	Entries []*event.Entry
	// Next is where the next page starts. It is set on every page, the last
	// and the empty ones included: asked again later in ascending order it
	// gives what was recorded meanwhile.
	Next Cursor
	// More says that there is at least one more entry now.
	More bool
	// Through is up to where the answer is complete; nil for an empty log.
	Through *audit.Position
}

// Histogram counts by interval.
type Histogram struct {
	Buckets []Bucket
	Total   uint64
	Through *audit.Position
}

// Bucket is one interval: entries with Start ≤ occurred_at < the next Start.
type Bucket struct {
	Start time.Time
	Count uint64
}

// Facets counts by value.
type Facets struct {
	Values []FacetValue
	// Distinct is the number of different values in all.
	Distinct int
	Through  *audit.Position
}

// FacetValue is one value of a field and how many entries have it. Name is the
// newest name seen for an actor or target id, empty for other fields.
type FacetValue struct {
	Value string
	Name  string
	Count uint64
}
