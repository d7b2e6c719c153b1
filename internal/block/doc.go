// Package block holds consecutive entries of one log as columns: it makes a
// block of rows, and reads from it only what a question needs. Bytes in, bytes
// out; where the bytes are kept is the store's business.
//
// A block has up to 16,384 entries, without id and salt, which are derived. It is
// not one string of bytes but a number of parts, each of which the store keeps
// under a key of its own: the header, which alone often decides that a block need
// not be read; a filter, which tells what values are not in the block; and the
// columns, cut into chunks, so that one row costs a chunk of each column and not
// the block.
//
// What an entry says of an actor or target is its profile: type and id, which are
// its identity, and name and metadata, which are only for display. Each different
// profile is in the block once, each different identity once, and rows refer to
// profiles by number. Identities are sorted by id, so that an id is found by
// halving, and profiles by identity, so that those of one are next to each other.
// Actions (with version and registration), locations and user agents are
// dictionaries too. Metadata objects are taken apart into a shape, the list of
// their members' names, and the values.
//
// # Conventions
//
// Fixed numbers are little endian. A uvarint is that of encoding/binary. A list
// of bits is packed from the lowest bit of the first byte on. Everything that a
// reader is not told by the bytes of a chunk itself, such as how many values it
// has, it knows from the header.
//
// # Parts
//
// A part is
//
//	version   1 byte: 1
//	content
//	checksum  4 bytes: CRC-32C (Castagnoli) of version and content
//
// Part 0 is the header, part 1 the filter. The others have the chunks of the
// columns, one after the other.
//
// # Header
//
//	flags          1 byte: bit 0 says that occurred_at never decreases; others 0
//	unit           1 byte: occurred_at are multiples of 1000^unit nanoseconds, 0 to 3
//	rows           uvarint, 1 to 16,384
//	first_seq      uvarint
//	first_received uvarint: received_at of the first row, Unix milliseconds
//	received_range uvarint: of the last row less that
//	min_occurred   uvarint: the least occurred_at, Unix nanoseconds
//	occurred_range uvarint: the largest less that
//	days           uvarint: how many follow
//	  day          uvarint: UTC day of occurred_at since 1970-01-01 for the first,
//	               for others the days since the one before
//	  rows         uvarint: of that day
//	counts         11 uvarints: targets of all rows; actions; actor types, actor ids
//	               (identities), actors (profiles); target types, ids, targets;
//	               locations; user agents; shapes
//	max_targets    uvarint: the targets of the row that has most
//	paths          uvarint: how many follow
//	  kind         uvarint: 0 values shared, 1 own, 2 own and whole objects; more is
//	               2 plus the size of the path's dictionary
//	columns        of each column, see below, that has values:
//	  shift        1 byte: a chunk has 2^shift values, the last one the rest
//	  sizes        uvarint for each chunk: its bytes
//	  letters      16 bytes, for columns marked L
//	  targets      for the column of their ends: uvarint for each chunk: the
//	               targets of its rows
//	  separators   for columns marked S, for each chunk but the first: uvarint
//	               length, and as many bytes: the shortest text above the last text
//	               of the chunk before that the chunk's first text begins with, or
//	               all of that when both are the same
//	parts          uvarint: how many parts of columns there are
//	  filter       uvarint: bytes of part 1; 4 bytes: its checksum
//	  part         of each: uvarint: how many chunks it has; 4 bytes: its checksum
//
// The letters of texts are 128 bits, by byte of the texts after A to Z were put
// in lower case; bytes from 0x80 on are all bit 65.
//
// # Columns
//
// In the order of the header's table:
//
//	     column                  encoding   one for each
//	 0   occurred_at             times      row      1
//	 1   received_at             sums       row      1
//	 2   ends of targets         ends       row      1
//	 3   action codes            codes      row      1
//	 4   shapes                  codes      row      1
//	 5   actions                 sorted SL  action   0
//	 6   versions of actions     codes      action   0
//	 7   flags of actions        codes      action   0
//	 8   paths                   texts      path × 4 0
//	 9   paths of shapes         texts      shape    0
//	10   actor codes             codes      row      2
//	11   actor types             sorted S   type     0
//	12   types of actors         codes      identity 0
//	13   actor ids               sorted SL  identity 3
//	14   ends of actors          ends       identity 0
//	15   actor names             texts L    profile  4
//	16   actor metadata          texts L    profile  4
//	17   target codes            codes      target   5
//	18   target types            sorted S   type     0
//	19   types of targets        codes      identity 0
//	20   target ids              sorted SL  identity 6
//	21   ends of target profiles ends       identity 0
//	22   target names            texts L    profile  7
//	23   target metadata         texts L    profile  7
//	24   location codes          codes      row      8
//	25   user agent codes        codes      row      8
//	26   locations               sorted SL  location 9
//	27   user agents             sorted SL  agent    0
//	28   metadata                metadata   row      10
//	29   pairs                   texts      4        0
//	30…  values of a path        sorted S   value    0    for each path with a dictionary
//
// The last number is the column's group. Chunks are stored group by group, within
// a group column by column; but neighbours of a group that have the same number
// of values and the same shift are stored in turn, first chunk by first chunk,
// then the second ones.
//
// Codes are places in the sorted dictionaries. Actions are sorted by text,
// version, flags; bit 0 of the flags is Unregistered. Types of identities are
// places among the types. Identities are sorted by id, then type; profiles by
// identity, name, metadata. The ends of profiles say how many profiles the
// identities up to and with this one have; the ends of targets, how many targets
// the rows have. An absent text is the empty text.
//
// The pairs are those of actor names, actor metadata, target names and target
// metadata: 1024 bits by the hash of every two bytes next to each other in a text,
// after A to Z were put in lower case; or the empty text when the column has less
// than 8 KiB or more than 640 of the bits would be set. The hash is the highest
// 10 of the lowest 32 bits of (first × 256 + second) × 0x9e3779b1.
//
// # Encodings
//
// Integers are
//
//	kind   1 byte
//	least  uvarint: to be added to each
//	data   kind 0: none, all are least
//	       kind 1 to 56: so many bits each, padded to whole bytes
//	       kind 0x80 + n: n bytes each: the lowest byte of all, then the next
//	       kind 0xc0 + n: the same, as uvarint length and that many bytes of zstd
//
// Codes are below 2^16 and stored so that one is found without decoding:
//
//	kind   1 byte
//	least  uvarint: to be added to each
//	data   kind 0: none, all are least
//	       kind 1 to 8: so many bits each, padded to whole bytes
//	       kind 0x40 + n, n from 9 to 16: the lowest byte of all; then n-8 bits
//	       of each, those above, padded to whole bytes; and a byte 0
//	       kind 0xc0 + n: byte planes as of integers, as uvarint length and that
//	       many bytes of zstd
//
// Sums, times and ends are a uvarint and integers. The first two begin with the
// first value, and the integers, which are absent when there is one value only,
// are the differences of the others, each from the one before: of times the
// difference d is 2d, or -2d-1 when it is negative. Ends begin with the last end
// of the chunk before, or 0, and the integers are all differences.
// Of occurred_at it is the time in units.
//
// Texts are
//
//	shared   sorted texts only: integers, absent when there is one text only: of
//	         each but the first, how many bytes it has from the text before; this
//	         may be fewer than it has in common with it
//	lengths  integers: of the whole texts
//	bytes    stored bytes: the texts, without what they share, put together
//
// and stored bytes are
//
//	size     uvarint: four times the bytes that follow, plus 0 when they are as
//	         they are, 1 for a zstd frame, 2 for packed letters
//	bytes    as many
//
// Packed letters are for ASCII texts of at most 64 different bytes: 16 bytes say
// which there are, one bit for each from the lowest on, and then each byte is its
// place among them, in as few bits as the last place needs, one at least.
//
// # Metadata
//
// A path is the name of a member at the top of the entries' metadata objects. The
// column of paths has four texts of each: the name, escaped as in canonical JSON;
// what all its values begin and end with, which is not stored with them; and the
// letters of its values. A path with a dictionary has no common beginning and end.
// A shape is the paths of an object in order, one byte each; an object that is
// not canonical, or has names beyond the 250 first, is a shape of one path of kind
// 2. The shape of an entry without metadata has no paths.
//
// A chunk of metadata has, path by path, for those that the shapes of its rows
// have,
//
//	a path with a dictionary  integers: the codes of the values, in order of row
//	others                    integers: the lengths of the values as stored
//	                          kinds 1 and 2: stored bytes: the values
//
// and after them, unless they are empty, the stored bytes of the values of all
// paths of kind 0. A value is canonical JSON.
//
// # Filter
//
//	seed          1 byte: the number of the seed
//	segment_bits  1 byte: 1 plus the logarithm of a segment's size; 0 for a filter
//	              that everything passes
//	segments      uvarint
//	fingerprints  (segments + 2) × segment size bytes
//
// It is a binary fuse filter (Graf and Lemire, 2022). A key is the XXH64 of a
// value with seed 1 for actions, 2 for actor ids, 3 for target ids, 4 for
// locations. With mix being the finalizer of MurmurHash3, h is mix(key +
// mix(seed number + 1)); the first of its three places is the high half of h ×
// segments × segment size, the others are one and two segments further with their
// low bits changed by h >> 18 and by h. The value may be there when the exclusive
// or of the three fingerprints is the low byte of h ^ h >> 32.
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
)
