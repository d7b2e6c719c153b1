package search

import (
	"cmp"

	"github.com/stelehq/stele/internal/event"
)

// Key is an entry's place in the order of results.
type Key struct {
	OccurredAt int64 // Unix nanoseconds
	Seq        uint64
}

// KeyOf returns an entry's place.
func KeyOf(e *event.Entry) Key { return Key{e.OccurredAt, e.Seq} }

// Compare orders places oldest first: by occurred_at, then by seq. No two
// entries of an organization are equal.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.OccurredAt, other.OccurredAt), cmp.Compare(k.Seq, other.Seq))
}

// Before reports whether k comes before other on a page: newest first, or oldest
// first when ascending.
func (k Key) Before(other Key, ascending bool) bool {
	c := k.Compare(other)
	return ascending && c < 0 || !ascending && c > 0
}

// entryOverhead stands for what every entry takes beside its texts.
const entryOverhead = 128

// SizeOf is what an entry counts for in [MaxPageBytes]. It depends on the entry
// alone, so that every engine ends a page at the same one.
func SizeOf(e *event.Entry) int {
	n := entryOverhead + len(e.Action) + len(e.Location) + len(e.UserAgent) + len(e.Metadata) + sizeOfParty(&e.Actor)
	for i := range e.Targets {
		n += sizeOfParty(&e.Targets[i])
	}
	return n
}

func sizeOfParty(p *event.Party) int {
	return len(p.Type) + len(p.ID) + len(p.Name) + len(p.Metadata)
}
