// Package block holds consecutive entries of one log as columns: it makes a
// block of rows, and reads from it only what a question needs. Bytes in, bytes
// out; where the bytes are kept is the store's business.
package block

// Limits of a block. They are part of the format: a reader refuses what is
// beyond them.
const (
	// MaxRows is the number of entries in a block.
	MaxRows = 16_384
	// MaxTargets is the number of targets of all entries in a block.
	MaxTargets = 1 << 18
	// MaxTextBytes is the size of all different texts in a block.
	MaxTextBytes = 32 << 20
)

// HeaderPart and FilterPart are the numbers of the parts that every block has;
// the parts after them hold columns.
const (
	HeaderPart = 0
	FilterPart = 1
)

// Field is what a question may look at. The values of a field are texts.
type Field uint8

// The fields. Version is the number in decimal. Metadata of actors and targets
// are their canonical JSON objects; that of the entries themselves is asked for
// with [Reader.Metadata].
const (
	FieldAction Field = iota
	FieldVersion
	FieldUnregistered // "unregistered", or empty
	FieldActorType
	FieldActorID
	FieldActorName
	FieldActorMetadata
	FieldTargetType
	FieldTargetID
	FieldTargetName
	FieldTargetMetadata
	FieldLocation
	FieldUserAgent
	numFields
)
