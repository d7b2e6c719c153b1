// Package event holds one event in the form the server works with, and its
// encodings: the JSON it came as, the row a store keeps, the canonical record
// and details the log commits to, and the JSON it is answered with.
//
// Everything here is bytes in, bytes out. The fields of an [Event] are slices
// of a buffer somebody else owns: nothing is copied that need not be.
package event

// Event is one event, checked and canonical. Text fields hold decoded UTF-8;
// an absent optional field is empty. Metadata fields hold a canonical JSON
// object (RFC 8785), or nothing where it is absent or empty.
//
// The slices point into buffers owned by whoever filled the Event (a [Decoder],
// a row); they are valid until the owner is used again.
type Event struct {
	Action     []byte
	Version    int   // from 1
	OccurredAt int64 // Unix nanoseconds
	Actor      Party
	Targets    []Party
	Location   []byte
	UserAgent  []byte
	Metadata   []byte

	// Unregistered marks an event whose action or version had no schema when
	// it was recorded. Stored; not part of the record.
	Unregistered bool
	// IdempotencyKey is only set between decoding and ordering.
	IdempotencyKey []byte
}

// Party is an actor or a target.
type Party struct {
	Type, ID, Name []byte
	Metadata       []byte
}

// Entry is an event in its place in a log.
type Entry struct {
	Event
	Seq        uint64
	ReceivedAt int64 // Unix milliseconds; never decreases with Seq
	ID         ID
	Salt       [16]byte // of the details digest
}

// ID is the text of an entry's ULID (Crockford base 32, upper case).
type ID [26]byte

// String returns the id as text.
func (id ID) String() string { return string(id[:]) }
