package block

import (
	"iter"

	"github.com/stelehq/stele/internal/event"
)

// Level chooses between speed and size of an [Encoder].
type Level int

// The levels. Small is for blocks that are written once and kept, such as
// merged ones.
const (
	Fast Level = iota
	Small
)

// Encoder makes blocks. It is reused for one block after another and keeps its
// memory, which is bounded by the limits of a block. It is not safe for
// concurrent use.
type Encoder struct{}

// NewEncoder returns an encoder, ready for a block that begins with seq 0.
func NewEncoder(level Level) *Encoder { return &Encoder{} }

// Reset begins a block whose first entry has the given seq, forgetting all that
// was added before.
func (e *Encoder) Reset(firstSeq uint64) {}

// Add adds the next entry. It reports false, and does not add it, when the block
// is full: then Finish it and begin another at that entry. The first entry of a
// block always fits. The event is copied; it must be one that event.DecodeRow or
// event.Decoder gave. receivedAt (Unix milliseconds) never decreases within a
// block.
func (e *Encoder) Add(ev *event.Event, receivedAt int64) bool { panic("unfinished") }

// Rows returns the number of entries added since Reset.
func (e *Encoder) Rows() int { panic("unfinished") }

// Finish returns the parts of the block: the header, the filter, and then the
// columns. The same entries give the same bytes. The parts are valid until Reset.
// There must be at least one entry.
func (e *Encoder) Finish() [][]byte { panic("unfinished") }

// Header is what is known of a block without reading more of it. It is small,
// immutable and may be used concurrently.
type Header struct {
	// Rows is the number of entries, FirstSeq the seq of the first.
	Rows     int
	FirstSeq uint64
	// FirstReceived and LastReceived are the received_at of the first and the
	// last entry, in Unix milliseconds.
	FirstReceived, LastReceived int64
	// MinOccurred and MaxOccurred are the exact bounds of occurred_at, both
	// included, in Unix nanoseconds.
	MinOccurred, MaxOccurred int64
	// Sorted says that occurred_at never decreases from entry to entry.
	Sorted bool
	// Days counts the entries by UTC day of occurred_at, in order; days
	// without entries are not there.
	Days []Day
	// Parts is the number of parts, header and filter included.
	Parts int
	// Bytes is the size of all parts.
	Bytes int
}

// Day counts the entries of one day.
type Day struct {
	Day  int32 // since 1970-01-01, UTC
	Rows int32
}

// ParseHeader reads part 0. It keeps nothing of b.
func ParseHeader(b []byte) (*Header, error) { panic("unfinished") }

// MemoryBytes is what the header takes.
func (h *Header) MemoryBytes() int { panic("unfinished") }

// Filter says which values a block cannot have. It is immutable and may be used
// concurrently.
type Filter struct{}

// ParseFilter reads part 1 of the block with the given header. It keeps b.
func ParseFilter(h *Header, b []byte) (*Filter, error) { panic("unfinished") }

// MayContain reports whether an entry of the block may have the value, letter
// for letter: false is certain, true is wrong for one value in 256. It knows
// FieldAction, FieldActorID, FieldTargetID and FieldLocation; of other fields it
// says true.
func (f *Filter) MayContain(field Field, value []byte) bool { panic("unfinished") }

// MayContainHash is MayContain for a value that [FilterHash] has hashed.
func (f *Filter) MayContainHash(hash uint64) bool { panic("unfinished") }

// MemoryBytes is what the filter takes.
func (f *Filter) MemoryBytes() int { panic("unfinished") }

// FilterHash is what the filter holds of a value. Asked of many blocks, a value
// is hashed once.
func FilterHash(field Field, value []byte) uint64 { panic("unfinished") }

// Rows is a set of rows of one block, by number from 0. The zero value is empty.
type Rows struct{ set }

// Codes is a set of dictionary entries of one block, to be turned into rows by
// [Reader.Rows]. The zero value is empty. What is added to one Codes must be of
// fields about the same thing: the action (with version and unregistered), the
// actor, the targets, the location, or the user agent.
type Codes struct {
	set
}

type set struct{}

// Reset empties the set and makes it one of members below n.
func (s *set) Reset(n int) { panic("unfinished") }

// Add adds a member.
func (s *set) Add(i int) { panic("unfinished") }

// AddRange adds lo ≤ i < hi.
func (s *set) AddRange(lo, hi int) { panic("unfinished") }

// Remove removes a member.
func (s *set) Remove(i int) { panic("unfinished") }

// Has reports whether i is a member.
func (s *set) Has(i int) bool { panic("unfinished") }

// Len counts the members.
func (s *set) Len() int { panic("unfinished") }

// Empty reports whether there is no member.
func (s *set) Empty() bool { panic("unfinished") }

// Invert makes it the set of all others below n.
func (s *set) Invert() { panic("unfinished") }

// All yields the members in order.
func (s *set) All() iter.Seq[int] { panic("unfinished") }

// Backward yields the members in falling order.
func (s *set) Backward() iter.Seq[int] { panic("unfinished") }

// And keeps what is in other too.
func (r *Rows) And(other *Rows) { panic("unfinished") }

// AndNot removes what is in other.
func (r *Rows) AndNot(other *Rows) { panic("unfinished") }

// Or adds what is in other.
func (r *Rows) Or(other *Rows) { panic("unfinished") }

// And, Or … exist for Codes too.

// Reader reads one block. It fetches a part when something in it is asked for
// the first time, and keeps what it decoded, never the parts: MemoryBytes says
// how much that is, and dropping the Reader is how to free it. All methods may
// be called concurrently.
//
// Methods fail with what fetch fails with, or with an error that has
// [ErrCorrupt] and names the part and what is wrong.
type Reader struct{}

// NewReader returns a reader of the block with the given header. fetch returns a
// part by number; it may be called concurrently, and the Reader may keep the
// bytes it returned for as long as it lives.
func NewReader(h *Header, fetch func(part int) ([]byte, error)) *Reader { panic("unfinished") }

// Header returns the block's header.
func (r *Reader) Header() *Header { panic("unfinished") }

// MemoryBytes is the size of everything that the Reader keeps now. It grows as
// more is asked.
func (r *Reader) MemoryBytes() int64 { panic("unfinished") }

// Row fills e with one entry, but for ID and Salt. i is from 0. Metadata may be
// built in scratch, which is returned, possibly grown, for the next call; other
// texts point into the Reader's memory, which nobody changes: they stay valid
// for as long as they are referenced. e.Targets is reused.
func (r *Reader) Row(i int, e *event.Entry, scratch []byte) ([]byte, error) { panic("unfinished") }

// All yields the rows lo ≤ i < hi in order, or in falling order when desc, as
// [Reader.Row] gives them; an entry is valid until the next one. It keeps no more
// in memory than a few chunks. An error ends the sequence.
func (r *Reader) All(lo, hi int, desc bool) iter.Seq2[*event.Entry, error] { panic("unfinished") }

// Occurred returns the occurred_at of a row, in Unix nanoseconds.
func (r *Reader) Occurred(i int) (int64, error) { panic("unfinished") }

// AppendOccurred appends the occurred_at of the rows lo ≤ i < hi.
func (r *Reader) AppendOccurred(dst []int64, lo, hi int) ([]int64, error) { panic("unfinished") }

// OccurredBetween adds to rows those with from ≤ occurred_at < to.
func (r *Reader) OccurredBetween(from, to int64, rows *Rows) error { panic("unfinished") }

// ReceivedBetween returns the rows with from ≤ received_at < to (Unix
// milliseconds): lo ≤ i < hi.
func (r *Reader) ReceivedBetween(from, to int64) (lo, hi int, err error) { panic("unfinished") }

// Equal adds to codes what has exactly the value in the field.
func (r *Reader) Equal(f Field, value []byte, codes *Codes) error { panic("unfinished") }

// Prefix adds to codes the actions, ids or locations that begin with the prefix.
func (r *Reader) Prefix(f Field, prefix []byte, codes *Codes) error { panic("unfinished") }

// Select adds to codes what has a value in the field for which match holds. An
// absent value is the empty text. match is called once for every different value
// or more often, and does not keep it.
func (r *Reader) Select(f Field, match func(value []byte) bool, codes *Codes) error {
	panic("unfinished")
}

// Contains adds to codes what has a value in the field that contains lower,
// ignoring case: both are compared after strings.ToLower, which lower has been
// through already. It is faster than Select.
func (r *Reader) Contains(f Field, lower []byte, codes *Codes) error { panic("unfinished") }

// Rows adds to rows those that have one of the codes; of several targets, one is
// enough. within, when not nil, bounds the rows looked at.
func (r *Reader) Rows(codes *Codes, within *Rows, rows *Rows) error { panic("unfinished") }

// Metadata calls fn for the members of the entries' own metadata objects whose
// name keep wants (as escaped as canonical JSON has it), with the row and the
// value's canonical JSON, in order of row. within, when not nil, bounds the rows
// looked at. name and value are valid until fn returns; false ends it.
func (r *Reader) Metadata(keep func(name []byte) bool, within *Rows, fn func(row int, name, value []byte) bool) error {
	panic("unfinished")
}

// MetadataRows adds to rows those whose metadata has a member for which match
// holds. match must depend on its arguments alone: it is called once for values
// that repeat.
func (r *Reader) MetadataRows(keep func(name []byte) bool, match func(name, value []byte) bool, within *Rows, rows *Rows) error {
	panic("unfinished")
}

// Text adds to rows those in which free text is found, as audit.Query.Match has
// it: lower, which strings.ToLower has been through, is a part of the action, the
// actor's or a target's id or name, the location, the user agent, or a string,
// number or boolean in any metadata, after these were put in lower case. It is
// exact but for the entry's id, which a block does not have.
func (r *Reader) Text(lower []byte, rows *Rows) error { panic("unfinished") }

// Value is one value of a field and in how many rows it is.
type Value struct {
	Text  []byte
	Count int
}

// Values calls fn for every value of a field that is in within (nil for all
// rows), in no particular order: once for each different text but the empty one,
// a row counted once however often it has it.
func (r *Reader) Values(f Field, within *Rows, fn func(Value) bool) error { panic("unfinished") }

// NewestName returns the name of an actor or target with the given id in its
// newest row by (occurred_at, seq) among within (nil for all) that has a name.
// The field is FieldActorID or FieldTargetID.
func (r *Reader) NewestName(f Field, id []byte, within *Rows) (name []byte, row int, err error) {
	panic("unfinished")
}

// Check reads every part and compares everything that is stored twice: bounds,
// counts by day, and the filter against the values. It is what stele check asks.
func (r *Reader) Check() error { panic("unfinished") }
