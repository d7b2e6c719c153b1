// Package event holds one event in the form the server works with, and its
// encodings: the JSON it came as, the row a store keeps, the canonical record
// and details the log commits to, and the JSON it is answered with.
//
// Everything here is bytes in, bytes out. The fields of an [Event] are slices
// of a buffer somebody else owns: nothing is copied that need not be.
//
// # Canonical JSON
//
// Records, details and metadata are in the form of RFC 8785: members sorted by
// the UTF-16 code units of their names, no white space, numbers as ECMAScript
// writes them, only what must be escaped is. A number whose value that form
// does not keep is refused when the event is decoded, so an event's numbers are
// exactly those that were sent (but -0 is 0).
//
// # Rows
//
// A row is an event as stores keep it. It has no version of its own: the value
// that encloses rows has one. A uvarint is that of encoding/binary, in its
// shortest form; a field is a uvarint n and then n bytes, n being 0 when the
// field is absent. In this order:
//
//	flags        1 byte: bit 0 is Unregistered, the others are 0
//	version      uvarint, 1 to 65535: the version of the action's schema
//	occurred_at  8 bytes, little endian: Unix nanoseconds, 0 to 9,214,646,399,999,999,999
//	action       field, UTF-8
//	actor        party, see below
//	location     field, UTF-8
//	user_agent   field, UTF-8
//	metadata     field, canonical JSON object
//	targets      uvarint, 0 to 100: how many parties follow
//	target       party, as often as that
//
// and the row ends there. A party is
//
//	type         field, UTF-8
//	id           field, UTF-8
//	name         field, UTF-8
//	metadata     field, canonical JSON object
//
// An event has one row only, byte for byte. What only its place in the log
// decides (seq, id, received_at, salt) is not in it, nor is the idempotency key.
//
// # Ids and salts
//
// Both are derived from the block's [Keys] and the entry's seq and time, so
// neither is stored. An [ID] is a ULID: 10 characters of Crockford's base 32 for
// 48 bits of Unix milliseconds, 8 for 40 bits of seq, 8 for 40 check bits. Salt
// and check bits are one AES-128 block each, see [Cipher].
//
// testdata/vectors.txt has examples of all of these formats.
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
	Salt       [16]byte // of the details digest; zero when ErasedAt is not

	// ErasedAt is when the details were erased, in Unix milliseconds; zero for
	// an entry that has them. Of an erased entry names, metadata and context
	// are empty and the salt is gone.
	ErasedAt int64
	// Digest is the record's digest of the details of an erased entry, from
	// which nothing of them can be learned without the salt.
	Digest [32]byte
}

// ID is the text of an entry's ULID (Crockford base 32, upper case).
type ID [26]byte

// String returns the id as text.
func (id ID) String() string { return string(id[:]) }
