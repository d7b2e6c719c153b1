package search

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Pager makes one page out of entries that are offered to it in any order. It is
// what all engines share: order, limits, cursors. It holds at most one page and
// one entry more, which shows that there is a next page.
//
// It is not safe for concurrent use.
type Pager struct {
	req    Request
	match  *Matcher
	cursor Cursor // where the page begins
	// found is the page so far, in its order; when full, with one entry more.
	// Then what comes after all of found cannot change the answer.
	found []*event.Entry
	full  bool
	bytes int // SizeOf all of found
}

// NewPager checks a request and makes its pager. size and receivedAt are where
// the log stands: its size and the received_at (Unix milliseconds) of its last
// entry. Errors are *audit.Error with code invalid_request, invalid_query or
// invalid_cursor.
func NewPager(org string, r Request, size uint64, receivedAt int64) (*Pager, error) {
	if r.Limit < 1 || r.Limit > audit.MaxQueryLimit {
		return nil, audit.FieldErrorf(audit.CodeInvalidRequest, "limit", "limit is %d; it must be from 1 to %d", r.Limit, audit.MaxQueryLimit)
	}
	if err := r.Query.Validate(); err != nil {
		return nil, err
	}
	p := &Pager{req: r, match: Compile(r.Query), cursor: Cursor{Digest: digestOf(org, r.Query, r.Ascending)}}
	if r.After != nil {
		if r.After.Digest != p.cursor.Digest {
			return nil, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor",
				"the cursor is of another organization, filter or order; start without one")
		}
		p.cursor = *r.After
	}
	if p.cursor.Bound > size {
		return nil, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "the cursor is of a log that was longer; start without one")
	}
	if p.cursor.Bound == 0 {
		p.cursor.Bound, p.cursor.BoundReceivedAt = size, receivedAt
	}
	return p, nil
}

// Bound is the seq below which entries may be on the page.
func (p *Pager) Bound() uint64 { return p.cursor.Bound }

// Matcher is that of the page's query.
func (p *Pager) Matcher() *Matcher { return p.match }

// Skips reports whether no entry that occurred from first to last, both included
// (Unix nanoseconds), can be on the page any more: it need not be offered. The
// answer changes to true as the page fills, never back.
func (p *Pager) Skips(first, last int64) bool {
	from, to := p.match.OccurredBounds()
	if last < from || first >= to {
		return true
	}
	earliest, latest := p.Open()
	return last < earliest || first > latest
}

// Wants reports whether an entry with that place would be on the page if it
// matched. It is safe to be called concurrently with itself.
func (p *Pager) Wants(key Key) bool {
	return key.Seq < p.cursor.Bound &&
		(!p.cursor.Started || p.cursor.Last.Before(key, p.req.Ascending)) &&
		(!p.full || key.Before(KeyOf(p.found[len(p.found)-1]), p.req.Ascending))
}

// Open bounds the occurred_at, both included (Unix nanoseconds), of what can still
// be on the page by where it begins and what is found.
func (p *Pager) Open() (earliest, latest int64) {
	earliest, latest = math.MinInt64, math.MaxInt64
	begin, end := &earliest, &latest
	if !p.req.Ascending {
		begin, end = end, begin
	}
	if p.cursor.Started {
		*begin = p.cursor.Last.OccurredAt
	}
	if p.full {
		*end = p.found[len(p.found)-1].OccurredAt
	}
	return earliest, latest
}

// Offer puts a copy of the entry on the page when it belongs there.
func (p *Pager) Offer(e *event.Entry) {
	if p.Wants(KeyOf(e)) && p.match.Match(e) {
		p.insert(e.Clone())
	}
}

// insert puts an entry in its place among those found, and drops those that it
// pushes past the page and the one entry more.
func (p *Pager) insert(e *event.Entry) {
	key := KeyOf(e)
	i := sort.Search(len(p.found), func(i int) bool { return !KeyOf(p.found[i]).Before(key, p.req.Ascending) })
	if i < len(p.found) && p.found[i].Seq == e.Seq {
		return // offered before
	}
	p.found = slices.Insert(p.found, i, e)
	p.bytes += SizeOf(e)
	for n := len(p.found); n > 1; n-- {
		last, more := SizeOf(p.found[n-1]), SizeOf(p.found[n-2])
		if !p.beyond(n-2, p.bytes-last-more) {
			break
		}
		p.found[n-1] = nil
		p.found, p.bytes = p.found[:n-1], p.bytes-last
	}
	n := len(p.found)
	p.full = p.beyond(n-1, p.bytes-SizeOf(p.found[n-1]))
}

// beyond reports whether entry i of those found, which has that many bytes before
// it, is after the page.
func (p *Pager) beyond(i, bytesBefore int) bool {
	return i >= p.req.Limit || bytesBefore >= MaxPageBytes
}

// Page returns the page, once every entry below Bound that [Pager.Skips] admits
// was offered.
func (p *Pager) Page() Page {
	n := len(p.found)
	if p.full {
		n--
	}
	page := Page{Entries: p.found[:n:n], Next: p.cursor, More: p.full, Through: p.through()}
	if n > 0 {
		page.Next.Last, page.Next.Started = KeyOf(p.found[n-1]), true
	}
	if p.req.Ascending && !page.More {
		// Asked again, the page goes on with what was recorded meanwhile.
		page.Next.Bound, page.Next.BoundReceivedAt = 0, 0
	}
	return page
}

func (p *Pager) through() *audit.Position {
	return Through(p.cursor.Bound, p.cursor.BoundReceivedAt)
}

// Through is the position of the last entry of a log of that size, nil for an
// empty one. receivedAt is that entry's, in Unix milliseconds.
func Through(size uint64, receivedAt int64) *audit.Position {
	if size == 0 {
		return nil
	}
	return &audit.Position{Seq: size - 1, ReceivedAt: time.UnixMilli(receivedAt).UTC()}
}
