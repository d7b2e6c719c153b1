// Package pebblestore is the embedded store: the logs of all organizations and
// the catalog in one Pebble database in the data directory. No other package
// knows Pebble.
//
// # Key space
//
// The first byte of a key says what the value is. An organization in a key is
// its length in one byte and its bytes, so that no organization's keys lie among
// another's whatever the ids are. Numbers in keys are big endian, so that byte
// order is their order.
//
//	'!'                          format   the version of everything below
//	'b' org  first seq (8)       block    the header of a block of columns
//	'c' org  first seq (8)       run      consecutive entries of one commit
//	'f' window (8)               window   a rewritten window of receipts
//	'f' window (8) piece (2)     piece    of its filter
//	'g' org  first seq (8)       gap      entries that were removed
//	'h' org                      head     where the organization's log stands
//	'k' org  block (8)           keys     the random keys of a range of entries
//	'm' text                     record   one catalog record
//	'n' org  level (1) index (8) node     one hash of a tile of level 1 or higher
//	'p' org  first seq (8) rows (2) part (2) [generation (4)]   another part of a
//	                             block: 0 are its marks, 1 is its filter, from 2 on
//	                             its columns
//	'r' window (8) group (8)     receipts of one group of commits
//	's' window (8) key (10)      chunk    sorted receipts of a rewritten window
//	't' org  tile (8)            tile     what cannot be derived of a tile's leaf hashes
//	'x' org  incarnation (4) first seq (8) generation (4)   dirt   what is still to
//	                             be scrubbed
//
// An entry is in a block or in a run, or was removed. The blocks of a log follow
// each other from its first entry, with gaps where entries were removed, the runs
// from the end of the last block or gap. Neither crosses a
// multiple of [ledger.BlockSize], so that a block can take the place of whole runs.
//
// # Values
//
// Every value begins with a version byte and ends with a CRC-32C (Castagnoli, 4
// bytes, little endian) over key and value, so that a value under another's key
// is as damaged as one with a flipped bit. Numbers in values are little endian;
// "uvarint" is that of encoding/binary. Times of receipt are Unix milliseconds,
// times of occurrence Unix nanoseconds, both 8 bytes.
//
//	format    version 1 · the newest format any value here may have (3)
//	block     version 1 · part 0 of the block; or version 2 · generation (4) · part 0
//	part      the part as package block has it, which has a version and a checksum
//	          of its own; the block's header has the checksum too
//	head      version 1 · size (8) · received_at (8) · newest occurred_at of all
//	          entries (8) · incarnation (4) · number of frontier hashes (1) · hashes
//	run       version 1 · flags (1; bit 0: the body is compressed with S2)
//	          · received_at (8) · lower and upper bound of occurred_at (8, 8)
//	          · upper bound of occurred_at in all runs before this one (8)
//	          · number of rows (4) · size of the body, uncompressed (4) · body:
//	          the rows' lengths as uvarints, then the rows as event.AppendRow
//	          wrote them
//	node      version 1 · hash (32)
//	keys      version 1 · salt key (16) · check key (16); or version 2 · generation
//	          (4) · seq from which on salts are derived (8) · check key (16) · salt
//	          key (16), unless no salt is derived
//	gap       version 1 · seq after the last entry (8)
//	marks, tile, dirt   see docs/format.md
//	record    version 1 · revision (8) · value
//	receipts  version 1 · receipts of 40 bytes
//	chunk     version 2 · number of receipts less one (1) · bits of the difference
//	          to the key before, of received_at and of seq (1, 1, 1) · smallest
//	          received_at (8) · smallest seq (8) · receipts, ascending by key, as
//	          rows of bits, lowest first: those three, less the smallest, and
//	          the fingerprint (64)
//	window    version 2 · number of receipts (8) · newest received_at (8) · number
//	          of pieces of the filter (2)
//	piece     version 2 · seed (8) · log2 of a segment's length (1) · table of a
//	          binary fuse filter (2 each)
//
// A receipt of a group is key (16), fingerprint (8), received_at (8) and seq (8).
// Chunks and windows of version 1 are read too. Those chunks have receipts of
// 40 bytes and whole keys, also in the keys of their rows; those windows end with
// the blocks of a Bloom filter (64 bytes each).
//
// The bounds of a run may be wider than its rows need, never narrower.
//
// # Commits
//
// One goroutine, the committer, is the only writer of logs and catalog. It takes
// the commits of all organizations that wait at that moment, writes them as one
// Pebble batch and has it synced; meanwhile the next ones gather. It alone
// decides whether a commit still fits its log's head.
//
// A reader sees an entry once the group it came with is durable, not before:
// Pebble shows a batch to readers before its sync ends, so every read is bounded
// by the organization's committed size, which is advanced after the sync.
//
// # Sealing
//
// In the background, runs become blocks: a complete range of [ledger.BlockSize]
// entries at once, one block a turn and in turns between organizations; what comes
// after it when nothing was added for a while or when it has waited long. Blocks
// smaller than a range are merged with what comes after them, at the latest when
// the range is complete. One Pebble batch has the parts of the new block and removes
// runs and blocks that it takes the place of. It need not be synced: as long as it
// is not durable what it removes is. Commits are held back, more and more, when
// many complete ranges wait.
//
// Memory holds the headers of a log's blocks while it is used, and filters once
// they were needed, within Config.IndexBytes; decoded columns within
// Config.ColumnBytes. A reader works on the list of blocks of the moment it began.
// When it finds that something is gone it was sealed or merged meanwhile, and the
// reader goes on with the list of now; see logWalk.
//
// # Taking entries out
//
// Rewrite has a range in blocks and then, under the sealer's lock and in one synced
// batch, writes it anew: blocks from the first entry that stays to the last, with
// placeholders and marks for what was removed in between; gaps; the salts and leaf
// hashes that cannot be derived any more, by tile; keys without the salt key. All
// these have the range's generation, and so do the keys of parts: a reader that
// finds another than that of the block it is about to read looks again, as one
// does that finds something sealed or merged. Scrub compacts what was rewritten,
// and has logs begun anew, until no file of before is left that may have some of
// it.
//
// # Receipts
//
// What was recorded under idempotency keys is one value a group, of all
// organizations together: a key is a hash that covers the organization. They
// gather in a window, of which memory holds every receipt. A window is closed
// when a part of the idempotency window is over or it holds as many receipts as
// memory should, and is then rewritten in the background: sorted chunks and the
// pieces of a filter first, and last, in one batch, the row that makes them count
// and the removal of the groups' values. Until that batch they do not count:
// whoever opens the store finds a window either rewritten, or by its groups'
// values, removes what is left of the attempt and writes it again. From then on
// memory holds its filter only, and a key that was never used is answered without
// reading.
//
// Windows of a part are merged in the same way, four of a size at a time and all
// when the part is over, so that there are few filters to ask. The last batch of
// a merge removes the windows that it was made of. Parts are not merged with each
// other: a window that expired is removed whole.
//
// The incarnation in a head counts how often the organization was dropped. It is
// mixed into the stored keys, so that receipts of before are not found; they stay
// until their window expires.
//
// # When a disk fails
//
// Pebble ends the process when its write-ahead log or manifest cannot be written.
// A server that still can read should not, so the file system under Pebble is
// wrapped: on the first such failure the store fails for good, writes nothing
// more, and goes on reading. What is on disk then is what a crash at that moment
// would have left, and opening the store again recovers from it. A write for
// which there is no space waits until there is; see guardFS.
package pebblestore
