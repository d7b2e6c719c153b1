package blockquery

import (
	"slices"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/search"
)

// Names looks in blocks for the names of the most frequent actor or target ids of
// a facet counter. It is not safe for concurrent use.
//
// A store counts in this way:
//
//	for each block that neither q.Skips nor q.SkipsFilter, in any order:
//		q.Facets(source, counter)
//	for each row of the unsealed tail that matches:
//		counter.Add(entry)
//	names := q.Names(counter, limit)
//	for each block, the newest first:
//		if !names.Skips(header) && !names.SkipsFilter(filter):
//			names.Find(source)
//	counter.Result(limit, through)
//
// Each block is either given to Facets or has its entries given to Add; a block
// whose entries were added may be given to Find or not. The order of blocks does
// not change the result: a name is that of the newest entry by (occurred_at, seq)
// that matches and has one. But with the newest first there is less to look at,
// since a block cannot change a name that a newer entry gave. All blocks are
// looked at for an id that has no name.
type Names struct {
	query   *Query
	counter *search.FacetCounter
	field   block.Field
	wanted  []wanted
}

// wanted is a value whose name is looked for.
type wanted struct {
	value string
	hash  uint64
}

// Names returns what looks for the names of the limit most frequent values, for
// those that have names: else it is done. What was counted with Facets was so for
// this query.
func (q *Query) Names(c *search.FacetCounter, limit int) *Names {
	n := &Names{query: q, counter: c}
	if !c.Named() {
		return n
	}
	n.field, _, _ = fieldOf(c.Field())
	for _, v := range c.Top(limit) {
		hash, _ := block.FilterHash(n.field, []byte(v.Value))
		n.wanted = append(n.wanted, wanted{value: v.Value, hash: hash})
	}
	return n
}

// Skips reports whether the block cannot change a name: none of its entries
// match, or each value has a name of an entry that is newer than all of them.
func (n *Names) Skips(h *block.Header) bool {
	return n.query.Skips(h) || !slices.ContainsFunc(n.wanted, func(w wanted) bool { return n.open(w, h) })
}

// SkipsFilter reports whether the block cannot change a name, by the filter of
// its values.
func (n *Names) SkipsFilter(f *block.Filter) bool {
	return n.query.SkipsFilter(f) || !slices.ContainsFunc(n.wanted, func(w wanted) bool { return f.MayContainHash(w.hash) })
}

// open reports whether an entry of the block may have a newer name for a value.
func (n *Names) open(w wanted, h *block.Header) bool {
	name, at := n.counter.NameOf(w.value)
	newest := search.Key{OccurredAt: h.MaxOccurred, Seq: h.FirstSeq + uint64(h.Rows) - 1} //nolint:gosec // positive
	return name == "" || at.Compare(newest) < 0
}

// Find looks in a block for newer names and offers them to the counter. Hidden
// entries have none.
func (n *Names) Find(s Source) error {
	h := s.Reader.Header()
	var there []wanted
	for _, w := range n.wanted {
		if !n.open(w, h) {
			continue
		}
		var codes block.Codes
		if err := s.Reader.Equal(n.field, []byte(w.value), &codes); err != nil {
			return err
		}
		if !codes.Empty() {
			there = append(there, w)
		}
	}
	if len(there) == 0 {
		return nil
	}
	var within *block.Rows // all
	if !s.all(n.query) {
		within = s.Reader.NewRows()
		if err := n.query.Rows(s, within); err != nil || within.Empty() {
			return err
		}
	}
	for _, w := range there {
		if err := n.find(s.Reader, w.value, within); err != nil {
			return err
		}
	}
	return nil
}

// find looks for the name of one value.
func (n *Names) find(r *block.Reader, value string, within *block.Rows) error {
	name, row, err := r.NewestName(n.field, []byte(value), within)
	if err != nil || name == nil {
		return err
	}
	at, err := r.Occurred(row)
	if err != nil {
		return err
	}
	n.counter.OfferName(value, name, search.Key{OccurredAt: at, Seq: r.Header().FirstSeq + uint64(row)}) //nolint:gosec // positive
	return nil
}
