package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

const (
	saltLen = 16

	// A batch that is reset gives memory above this back, so that one large
	// request does not stay for ever in somebody's pool of batches.
	keepBytes  = 8 << 20
	keepEvents = 16_384

	// maxBatchBytes keeps offsets in 32 bits.
	maxBatchBytes = 1 << 30
)

// Kinds of idempotency keys, hashed with them: an event's own, and that of a
// request, which stands for one key for each of its events.
const (
	keyOfEvent   = 0
	keyOfRequest = 1
)

// Batch is a group of events of one organization, prepared for [Ledger.Append].
// It is not safe for concurrent use. Callers keep batches in a pool of their
// own: one that is reset and filled again allocates nothing.
type Batch struct {
	// RequestKey is the idempotency key of the whole request, or empty. Set
	// it before Append. Sent again with the same events the batch is answered
	// with the same entries; with others it is refused. Events may have keys
	// of their own besides.
	RequestKey string
	// Partial records what can be recorded and reports conflicting keys of
	// events one by one, in Outcome.Err. A conflict of the RequestKey refuses
	// the batch all the same. Without Partial a batch is recorded whole or not
	// at all. Set it before Append.
	Partial bool

	*load
}

// load is what a batch holds. It is apart from the batch because a caller that
// stops waiting leaves it to the owner.
type load struct {
	org   string
	buf   []byte // each event: row, leafPrefix, record, room for the salt, details
	items []item
	own   []ownKey // keys of events that have one, in their order
	sum   hash.Hash
	tmp   []byte // scratch of sums

	// Set by prepare.
	request   []Key // a key for each event, when the batch has a RequestKey
	requestFP [8]byte
	partial   bool
	appended  bool

	// Written by the owner, read after done.
	outcomes []Outcome
	through  audit.Position
	err      error
	done     chan struct{} // one token when the owner is through with the load

	// Owned by the owner.
	resolved []resolution
	depends  bool // some outcome waits for the round's commit
}

// item is one event: offsets into buf, and what the commit says of it.
type item struct {
	row, leaf, details, end uint32 // leaf is that of leafPrefix, details that of the salt's room
	own                     int32  // index into load.own, -1 for none
	slots                   event.Slots
	occurredAt              int64
}

type ownKey struct {
	key         Key
	fingerprint [8]byte
}

// NewBatch returns an empty batch for an organization.
func NewBatch(org string) *Batch {
	b := &Batch{}
	b.Reset(org)
	return b
}

// Reset empties the batch for another use, RequestKey and Partial included, and
// keeps its memory. Results of its last use are no longer valid.
func (b *Batch) Reset(org string) {
	b.RequestKey, b.Partial = "", false
	if b.load == nil || cap(b.buf) > keepBytes || cap(b.items) > keepEvents {
		b.load = &load{done: make(chan struct{}, 1), sum: sha256.New()}
	}
	ld := b.load
	*ld = load{
		org: org, sum: ld.sum, done: ld.done,
		buf: ld.buf[:0], tmp: ld.tmp[:0], items: ld.items[:0], own: ld.own[:0],
		request: ld.request[:0], outcomes: ld.outcomes[:0], resolved: ld.resolved[:0],
	}
}

// Organization returns the organization that the batch is for.
func (b *Batch) Organization() string {
	if b.load == nil {
		return ""
	}
	return b.org
}

// Bytes returns the memory that the events take.
func (b *Batch) Bytes() int {
	if b.load == nil {
		return 0
	}
	return b.bytes()
}

// Len returns the number of events.
func (b *Batch) Len() int {
	if b.load == nil {
		return 0
	}
	return len(b.items)
}

// Add appends an event, which must be one that event.Decoder gave. It copies
// what it needs, so ev may be used again. An event whose record does not fit an
// entry bundle is refused with an *audit.Error (too_large) that names the field,
// and the batch is as it was.
func (b *Batch) Add(ev *event.Event) error {
	ld := b.load
	if ld == nil || ld.appended {
		panic("ledger: Batch.Add after Append without Reset")
	}
	row := len(ld.buf)
	if row > maxBatchBytes {
		return audit.Errorf(audit.CodeTooLarge, "The batch is larger than %d bytes; send it in parts.", maxBatchBytes)
	}
	buf := event.AppendRow(ld.buf, ev)
	leaf := len(buf)
	buf, slots := event.AppendRecord(append(buf, leafPrefix), ev)
	if n := len(buf) - leaf - 1; n > audit.MaxRecordBytes {
		ld.buf = buf[:row]
		return recordTooLarge(ev, n)
	}
	details := len(buf)
	var room [saltLen]byte
	buf = event.AppendDetails(append(buf, room[:]...), ev)
	ld.buf = buf
	//nolint:gosec // offsets: buf is bounded by maxBatchBytes and one event
	it := item{
		row: uint32(row), leaf: uint32(leaf), details: uint32(details), end: uint32(len(buf)),
		own: -1, slots: slots, occurredAt: ev.OccurredAt,
	}
	if len(ev.IdempotencyKey) > 0 {
		it.own = int32(len(ld.own)) //nolint:gosec // at most one for each event
		ld.own = append(ld.own, ownKey{ld.eventKey(ev.IdempotencyKey), ld.fingerprint(it)})
	}
	ld.items = append(ld.items, it)
	return nil
}

// recordTooLarge says that a record does not fit an entry bundle, and which part
// of the event is to blame: the larger of the two that are not bounded tightly.
func recordTooLarge(ev *event.Event, n int) error {
	targets := 0
	for i := range ev.Targets {
		targets += len(ev.Targets[i].Type) + len(ev.Targets[i].ID)
	}
	field := "/targets"
	if targets < len(ev.Actor.Type)+len(ev.Actor.ID) {
		field = "/actor"
	}
	return audit.FieldErrorf(audit.CodeTooLarge, field,
		"The entry's record (action, times, and types and ids of actor and targets) takes %d bytes, more than %d; use shorter ids or fewer targets.",
		n, audit.MaxRecordBytes)
}

// record returns an item's record.
func (ld *load) record(it item) []byte { return ld.buf[it.leaf+1 : it.details] }

// eventKey hashes an event's own idempotency key.
func (ld *load) eventKey(text []byte) Key {
	ld.tmp = ld.appendKey(ld.tmp[:0], keyOfEvent)
	ld.tmp = append(ld.tmp, text...)
	return hashKey(ld.tmp)
}

// appendKey appends what every key hashed for the organization begins with.
func (ld *load) appendKey(dst []byte, kind byte) []byte {
	dst = append(dst, kind)
	dst = append(dst, ld.org...)
	return append(dst, 0)
}

func hashKey(text []byte) Key {
	sum := sha256.Sum256(text)
	return Key(sum[:len(Key{})])
}

// fingerprint hashes an event's content: its record, slots blank, and details.
func (ld *load) fingerprint(items ...item) [8]byte {
	ld.sum.Reset()
	for _, it := range items {
		ld.sum.Write(ld.record(it))
		ld.sum.Write(ld.buf[it.details+saltLen : it.end])
	}
	ld.tmp = ld.sum.Sum(ld.tmp[:0])
	return [8]byte(ld.tmp)
}

// prepare readies a load for the pool, still in the request's goroutine: it
// hashes the request's key for each event and the batch's content.
func (ld *load) prepare(requestKey string, partial bool) {
	ld.partial, ld.appended = partial, true
	if requestKey == "" {
		return
	}
	ld.requestFP = ld.fingerprint(ld.items...)
	ld.tmp = ld.appendKey(ld.tmp[:0], keyOfRequest)
	ld.tmp = append(ld.tmp, requestKey...)
	ld.tmp = append(ld.tmp, 0)
	n := len(ld.tmp)
	for i := range ld.items {
		ld.tmp = binary.BigEndian.AppendUint32(ld.tmp[:n], uint32(i))
		ld.request = append(ld.request, hashKey(ld.tmp))
	}
}

// keys returns the number of idempotency keys.
func (ld *load) keys() int { return len(ld.own) + len(ld.request) }

// bytes is the memory that a load takes while it waits.
func (ld *load) bytes() int { return len(ld.buf) }
