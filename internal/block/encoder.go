package block

import (
	"hash/maphash"
	"slices"

	"github.com/stelehq/stele/internal/event"
)

// Level chooses between speed and size of an [Encoder].
type Level int

// The levels. Small is for blocks that are written once and kept, such as merged
// ones.
const (
	Fast Level = iota
	Small
)

const (
	maxCodes  = 1<<16 - 1 // entries of a dictionary, so that codes are 16 bits
	maxValues = 1 << 20   // members of all metadata objects
)

// Encoder makes blocks. It is reused for one block after another and keeps its
// memory, which is bounded by the limits of a block. It is not safe for
// concurrent use.
type Encoder struct {
	seed  maphash.Seed
	arena arena

	firstSeq uint64
	// One of each per row, but for targets: those of all rows, one after the
	// other, with where each row's end.
	occurred, received                    []int64
	action, actor, location, agent, shape []uint16
	targetEnd                             []uint32
	target                                []uint16
	actions                               actions
	actors, targets                       parties
	locations, agents                     texts
	actionSort, locationSort, agentSort   sorter
	metadata                              metadata

	filter filterBuilder
	writer writer
}

// NewEncoder returns an encoder, ready for a block that begins with seq 0.
func NewEncoder(level Level) *Encoder {
	e := &Encoder{seed: maphash.MakeSeed()}
	e.writer.texts.ints.z = newCompressor(level)
	e.Reset(0)
	return e
}

// Reset begins a block whose first entry has the given seq, forgetting all that
// was added before.
func (e *Encoder) Reset(firstSeq uint64) {
	e.firstSeq = firstSeq
	e.arena.reset()
	e.occurred, e.received = e.occurred[:0], e.received[:0]
	e.targetEnd = e.targetEnd[:0]
	for _, codes := range []*[]uint16{&e.action, &e.actor, &e.location, &e.agent, &e.shape, &e.target} {
		*codes = (*codes)[:0]
	}
	e.actions.reset()
	e.actors.reset()
	e.targets.reset()
	e.locations.reset()
	e.agents.reset()
	e.metadata.reset()
}

// Rows returns the number of entries added since Reset.
func (e *Encoder) Rows() int { return len(e.occurred) }

// Add adds the next entry. It reports false, and does not add it, when the block
// is full: then Finish it and begin another at that entry. The first entry of a
// block always fits. The event is copied; it must be one that event.DecodeRow or
// event.Decoder gave. receivedAt (Unix milliseconds) never decreases within a
// block.
func (e *Encoder) Add(ev *event.Event, receivedAt int64) bool {
	if len(e.occurred) > 0 && !e.fits(ev) {
		return false
	}
	e.occurred = append(e.occurred, ev.OccurredAt)
	e.received = append(e.received, receivedAt)
	e.action = append(e.action, e.actions.add(e, ev))
	e.actor = append(e.actor, e.actors.add(e, &ev.Actor))
	for i := range ev.Targets {
		e.target = append(e.target, e.targets.add(e, &ev.Targets[i]))
	}
	e.targetEnd = append(e.targetEnd, uint32(len(e.target)))                 //nolint:gosec // at most MaxTargets
	e.location = append(e.location, uint16(e.locations.add(e, ev.Location))) //nolint:gosec // at most one a row
	e.agent = append(e.agent, uint16(e.agents.add(e, ev.UserAgent)))         //nolint:gosec // at most one a row
	e.shape = append(e.shape, e.metadata.add(e, ev.Metadata))
	return true
}

// fits reports whether there is room for one more entry, were all of it new.
func (e *Encoder) fits(ev *event.Event) bool {
	const membersMost = 256
	return len(e.occurred) < MaxRows &&
		len(e.target)+len(ev.Targets) <= MaxTargets &&
		len(e.targets.profiles)+len(ev.Targets) <= maxCodes &&
		e.metadata.values+membersMost <= maxValues &&
		len(e.arena.b)+textBytes(ev) <= MaxTextBytes
}

// textBytes is the size of all texts of an event.
func textBytes(ev *event.Event) int {
	n := len(ev.Action) + len(ev.Location) + len(ev.UserAgent) + len(ev.Metadata) + partyBytes(&ev.Actor)
	for i := range ev.Targets {
		n += partyBytes(&ev.Targets[i])
	}
	return n
}

func partyBytes(p *event.Party) int {
	return len(p.Type) + len(p.ID) + len(p.Name) + len(p.Metadata)
}

// actions is the dictionary of actions with version and flags.
type actions struct {
	table
	entries []action
}

type action struct {
	text    span
	version uint16
	flags   byte
}

// flagUnregistered is the bit of event.Event's Unregistered.
const flagUnregistered = 1 << 0

func (d *actions) reset() {
	d.table.reset()
	d.entries = d.entries[:0]
}

func (d *actions) add(e *Encoder, ev *event.Event) uint16 {
	a := action{version: uint16(ev.Version)} //nolint:gosec // 1 to event.MaxVersion
	if ev.Unregistered {
		a.flags = flagUnregistered
	}
	hash := mix(maphash.Bytes(e.seed, ev.Action), uint64(a.version)<<8|uint64(a.flags))
	for i := hash; ; {
		n, next := d.lookup(hash, i)
		if n < 0 {
			a.text = e.arena.put(ev.Action)
			d.entries = append(d.entries, a)
			return uint16(d.table.add(hash)) //nolint:gosec // at most one a row
		}
		if b := &d.entries[n]; b.version == a.version && b.flags == a.flags && string(e.arena.at(b.text)) == string(ev.Action) {
			return uint16(n) //nolint:gosec // at most one a row
		}
		i = next
	}
}

func (d *actions) sort(a *arena, s *sorter) {
	s.sort(len(d.entries), func(i int) []byte { return a.at(d.entries[i].text) }, func(i, j int) int {
		x, y := &d.entries[i], &d.entries[j]
		return int(x.version)<<8 + int(x.flags) - int(y.version)<<8 - int(y.flags)
	})
}

// Finish returns the parts of the block: the header, the filter, and then the
// columns. The same entries give the same bytes. The parts are valid until Reset
// or the next Finish. There must be at least one entry.
func (e *Encoder) Finish() [][]byte {
	a := &e.arena
	e.actions.sort(a, &e.actionSort)
	e.actors.finish(a)
	e.targets.finish(a)
	e.locations.sort(a, &e.locationSort)
	e.agents.sort(a, &e.agentSort)
	e.metadata.finish(a)
	return e.write()
}

// sortedText gives the texts of a sorted dictionary in order.
func (e *Encoder) sortedText(d *texts, s *sorter) func(int) []byte {
	return func(i int) []byte { return e.arena.at(d.spans[s.order[i]]) }
}

// timeUnit returns the largest power of 1000 that all times are multiples of, and
// its exponent.
func timeUnit(times []int64) (unit int64, exponent int) {
	unit = 1_000_000_000
	for exponent = 3; exponent > 0; exponent-- {
		if !slices.ContainsFunc(times, func(t int64) bool { return t%unit != 0 }) {
			break
		}
		unit /= 1000
	}
	return unit, exponent
}
