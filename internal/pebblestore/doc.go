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
//	'c' org  first seq (8)       run      consecutive entries of one commit
//	'f' window (8)               window   a rewritten window of receipts
//	'f' window (8) piece (2)     piece    of its filter
//	'h' org                      head     where the organization's log stands
//	'k' org  block (8)           keys     the random keys of a block of entries
//	'm' text                     record   one catalog record
//	'n' org  level (1) index (8) node     one hash of a tile of level 1 or higher
//	'r' window (8) group (8)     receipts of one group of commits
//	's' window (8) key (10)      chunk    sorted receipts of a rewritten window
//
// 'b' is kept for sealed blocks of columns: they will take the place of the runs
// of an aligned range of entries, which is why no run crosses a multiple of
// [ledger.BlockSize].
//
// # Values
//
// Every value begins with a version byte and ends with a CRC-32C (Castagnoli, 4
// bytes, little endian) over key and value, so that a value under another's key
// is as damaged as one with a flipped bit. Numbers in values are little endian;
// "uvarint" is that of encoding/binary. Times of receipt are Unix milliseconds,
// times of occurrence Unix nanoseconds, both 8 bytes.
//
//	format    version 1 · the newest format any value here may have (2)
//	head      version 1 · size (8) · received_at (8) · newest occurred_at of all
//	          entries (8) · incarnation (4) · number of frontier hashes (1) · hashes
//	run       version 1 · flags (1; bit 0: the body is compressed with S2)
//	          · received_at (8) · lower and upper bound of occurred_at (8, 8)
//	          · upper bound of occurred_at in all runs before this one (8)
//	          · number of rows (4) · size of the body, uncompressed (4) · body:
//	          the rows' lengths as uvarints, then the rows as event.AppendRow
//	          wrote them
//	node      version 1 · hash (32)
//	keys      version 1 · salt key (16) · check key (16)
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
