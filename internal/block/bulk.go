package block

import (
	"slices"
	"sync"

	"github.com/stelehq/stele/internal/event"
)

const (
	bulkAfter  = 128 // rows that are put together one by one first
	bulkFrom   = 8   // one row of so many must be left for whole dictionaries to be worth it
	bulkWindow = 512 // rows whose codes are decoded together
)

// bulk puts many rows together: with whole dictionaries, so that a row is a few
// copies.
type bulk struct {
	r         *Reader
	plan      *plan
	actions   []event.Event // of which action, version and registration are set
	actors    []event.Party
	targets   []event.Party
	locations [][]byte
	agents    [][]byte

	// Of the rows lo ≤ i < hi.
	lo, hi                                int
	occurred, received                    []int64
	action, actor, location, agent, shape []uint16
	ends                                  []uint32 // one more than rows
	target                                []uint16 // from ends[0] on

	metaAt int // the chunk that meta is, -1 when it is none
	meta   metaChunk
}

// bulks holds *bulk without references: a block's dictionaries are a megabyte of
// pointers, which is better used again than collected.
var bulks sync.Pool //nolint:gochecknoglobals // a pool, and nothing but one

func (r *Reader) newBulk() (*bulk, error) {
	b, ok := bulks.Get().(*bulk)
	if !ok {
		b = &bulk{}
	}
	b.r, b.lo, b.hi, b.metaAt = r, 0, 0, -1
	if err := b.fill(); err != nil {
		b.put()
		return nil, err
	}
	return b, nil
}

// put makes the memory available to others.
func (b *bulk) put() {
	b.r, b.plan = nil, nil
	clear(b.actions)
	clear(b.actors)
	clear(b.targets)
	clear(b.locations)
	clear(b.agents)
	bulks.Put(b)
}

// fill decodes the dictionaries.
func (b *bulk) fill() (err error) {
	r := b.r
	if b.plan, err = r.getPlan(); err != nil {
		return err
	}
	if b.actors, err = r.parties(b.actors[:0], colActorTypeText, r.h.counts[perActor]); err != nil {
		return err
	}
	if b.targets, err = r.parties(b.targets[:0], colTargetTypeText, r.h.counts[perTarget]); err != nil {
		return err
	}
	if b.locations, err = r.allTexts(b.locations[:0], colLocationText); err != nil {
		return err
	}
	if b.agents, err = r.allTexts(b.agents[:0], colAgentText); err != nil {
		return err
	}
	b.actions = slices.Grow(b.actions[:0], r.h.counts[perAction])[:r.h.counts[perAction]]
	for i := range b.actions {
		if err := r.action(i, &b.actions[i]); err != nil {
			return err
		}
	}
	return nil
}

// metadata makes meta the chunk of a row, or returns what the reader has of it.
func (b *bulk) metadata(i int) (*metaChunk, error) {
	t := &b.r.h.table[colMetadata]
	k := i >> t.shift
	if c := b.r.chunks[colMetadata][k].Load(); c != nil {
		return c.meta, nil
	}
	if b.metaAt == k {
		return &b.meta, nil
	}
	b.metaAt = -1
	in, err := b.r.input(colMetadata, k)
	if err != nil {
		return nil, err
	}
	lo := k << t.shift
	if err := b.r.indexMeta(in, lo, min(t.n-lo, 1<<t.shift), &b.meta); err != nil {
		return nil, err
	}
	if err := b.r.finish(in, colMetadata, k); err != nil {
		return nil, err
	}
	b.metaAt = k
	return &b.meta, nil
}

// allTexts appends the texts of a column, nil for empty ones.
func (r *Reader) allTexts(list [][]byte, col column) ([][]byte, error) {
	list = slices.Grow(list, r.h.table[col].n)
	err := r.eachChunk(col, func(_ int, c *chunk) error {
		for i := range c.texts.ends {
			text := c.texts.at(i)
			if len(text) == 0 {
				text = nil
			}
			list = append(list, text)
		}
		return nil
	})
	return list, err
}

// parties returns the profiles of the dictionary whose types are in a column, in
// the memory of list.
func (r *Reader) parties(list []event.Party, types column, n int) ([]event.Party, error) {
	list = slices.Grow(list, n)[:n]
	if n == 0 {
		return list, nil
	}
	names, err := r.allTexts(nil, types)
	if err != nil {
		return list, err
	}
	idents := r.h.table[types+ofID].n
	codes, err := r.appendCodes(nil, types+ofType, 0, idents)
	if err != nil {
		return list, err
	}
	next := 0
	err = r.eachChunk(types+ofID, func(first int, c *chunk) error {
		for i := range c.texts.ends {
			p := event.Party{Type: names[codes[first+i]], ID: c.texts.at(i)}
			lo, hi, err := r.profiles(types, first+i, first+i+1)
			if err != nil {
				return err
			}
			if lo != next || hi < lo {
				return r.corrupt(types+ofEnd, 0, "ends do not follow on each other")
			}
			for ; next < hi; next++ {
				list[next] = p
			}
		}
		return nil
	})
	if err == nil && next != n {
		err = r.corrupt(types+ofEnd, 0, "the last end is not the last")
	}
	if err != nil {
		return list, err
	}
	return list, r.describe(types, list)
}

// describe sets the names and metadata of profiles.
func (r *Reader) describe(types column, list []event.Party) error {
	err := r.eachChunk(types+ofName, func(first int, c *chunk) error {
		for i := range c.texts.ends {
			if text := c.texts.at(i); len(text) > 0 {
				list[first+i].Name = text
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.eachChunk(types+ofMetadata, func(first int, c *chunk) error {
		for i := range c.texts.ends {
			if text := c.texts.at(i); len(text) > 0 {
				list[first+i].Metadata = text
			}
		}
		return nil
	})
}

// load decodes the codes of the rows lo ≤ i < hi.
func (b *bulk) load(lo, hi int) (err error) {
	r := b.r
	b.lo, b.hi = lo, hi
	if b.occurred, err = r.appendTimes(b.occurred[:0], colOccurred, lo, hi); err != nil {
		return err
	}
	if b.received, err = r.appendTimes(b.received[:0], colReceived, lo, hi); err != nil {
		return err
	}
	for _, c := range []struct {
		col column
		dst *[]uint16
	}{{colAction, &b.action}, {colActor, &b.actor}, {colLocation, &b.location}, {colAgent, &b.agent}, {colShape, &b.shape}} {
		if *c.dst, err = r.appendCodes((*c.dst)[:0], c.col, lo, hi); err != nil {
			return err
		}
	}
	b.ends = b.ends[:0]
	for i := lo; i < hi; {
		shift := r.h.table[colTargetEnd].shift
		c, err := r.chunk(colTargetEnd, i>>shift)
		if err != nil {
			return err
		}
		j := i & (1<<shift - 1)
		n := min(hi-i, len(c.ends)-1-j)
		if len(b.ends) == 0 {
			b.ends = append(b.ends, c.ends[j])
		}
		b.ends = append(b.ends, c.ends[j+1:j+1+n]...)
		i += n
	}
	from, to := int(b.ends[0]), int(b.ends[len(b.ends)-1])
	b.target, err = r.appendCodes(b.target[:0], colTarget, from, max(from, to))
	return err
}

// row is [Reader.Row] for a row that is loaded.
func (b *bulk) row(i int, e *event.Entry, scratch []byte) ([]byte, error) {
	j := i - b.lo
	a := &b.actions[b.action[j]]
	*e = event.Entry{
		Event: event.Event{
			Action: a.Action, Version: a.Version, Unregistered: a.Unregistered, OccurredAt: b.occurred[j],
			Actor: b.actors[b.actor[j]], Targets: e.Targets[:0],
			Location: b.locations[b.location[j]], UserAgent: b.agents[b.agent[j]],
		},
		Seq: b.r.h.FirstSeq + uint64(i), ReceivedAt: b.received[j], //nolint:gosec // not negative
	}
	for _, code := range b.target[b.ends[j]-b.ends[0] : b.ends[j+1]-b.ends[0]] {
		e.Targets = append(e.Targets, b.targets[code])
	}
	scratch = scratch[:0]
	shape := b.plan.shapes[b.shape[j]]
	if len(shape) == 0 {
		return scratch, nil
	}
	m, err := b.metadata(i)
	if err != nil {
		return scratch, err
	}
	scratch, err = b.r.metaObject(b.plan, shape, m, i&(1<<b.r.h.table[colMetadata].shift-1), scratch)
	if len(scratch) > 0 {
		e.Metadata = slices.Clip(scratch)
	}
	return scratch, err
}
