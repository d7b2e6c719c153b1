// Package ledger orders events into one append-only Merkle log for each
// organization. It decides what was recorded, where, and when; everything else
// follows the log or reads it. It knows no store: [Store] is the seam.
//
// # The life of an event
//
// A request's goroutine decodes an event and gives it to [Batch.Add]. That
// writes, into the batch's one buffer, all that does not depend on the order:
// the row a store keeps, the canonical record with blank slots, the details, and
// the hashes of idempotency keys. [Ledger.Append] puts the batch into the pool
// of its organization and waits.
//
// A log has at most one owner: a goroutine that starts when a batch enters an
// empty pool and ends when the pool is empty again, so an organization that does
// nothing costs no goroutine. The owner works in rounds. A round takes what
// waits, up to a bound, and
//
//   - looks up idempotency keys, among the round's own events and then with
//     [Store.Receipt]: a known key answers with its receipt or, when something
//     else was sent under it, a conflict;
//   - gives every other event its seq, the next number, and the whole round one
//     received_at, the clock's or that of the log's last entry if that is later;
//   - derives id and salt from the keys of the block that the seq lies in, which
//     it makes when the block's first entry is ordered;
//   - fills the slots, hashes the record into a leaf (RFC 6962) and extends the
//     frontier, keeping the nodes of tile levels 1 and up that this completes;
//   - hands rows, nodes, keys, receipts and the new head to [Store.Commit], which
//     makes all of it durable or nothing.
//
// Only then do the waiting requests return. So what [Ledger.Append] acknowledged
// is in the store and in the tree, and an entry's place never changes.
//
// # When a commit fails
//
// [ErrHeadMoved] and [ErrDiskFull] say that nothing was written: the round is
// ordered again on the head as it is, or refused. Any other error leaves open
// whether the commit landed, so the owner reads the head: it is the one it meant
// to write (then the round is acknowledged after all) or it is not (then it is
// refused). Cannot even that be read, the batches of the round get an error that
// says so, and the log takes no more until its head can be read.
//
// # Checkpoints
//
// A checkpoint (C2SP tlog-checkpoint) is signed when somebody asks for one, not
// on the way of a commit, and written to the catalog.KV before it is given out.
// When a log is first touched after a start its head is compared with the newest
// checkpoint that was signed. A head that is smaller means that the store went
// back in time, to an older copy say: going on would sign two different
// histories of one log, so the log refuses events, tells the operator, and goes
// on being read. Before the first signature after a start, the tree must prove
// that it extends that checkpoint.
//
// # What is taken out
//
// Retention removes entries, erasure takes the details out of entries. Both are a
// [Rewrite], range by range (BlockSize), which the ledger hands to the store with
// what it alone knows: which sizes were signed. A range in which anything changed
// loses its salt key. That of the range which the next entry comes to is replaced
// while no round is under way, and the owner goes on with the new one; when the
// store could not say what came of it, the head and the keys are read again.
//
// A store leaves out removed entries when it is read, and keeps their leaf hashes
// until all 256 of a tile are removed. Then the node of tile level 1 stands for
// them, and of the hashes below only those stay that prove a signed size inside
// the tile ([KeptNodes]): so every checkpoint that was ever signed can be compared
// with the newest. That is why signed sizes are noted in the same change of the
// catalog.KV as the checkpoint, and why nothing is signed while a range is
// rewritten.
//
// What is past its time but not removed yet is hidden by Config.Shows. Hashes are
// never hidden.
//
// # Who owns what
//
// A [Batch] belongs to its caller, but for the time in which Append has it; a
// batch whose caller gave up waiting leaves its buffer to the owner. In logState
// the pool is guarded by its mutex, the head and the block keys belong to whoever
// holds own (the owner during a round, or Drop), and what was signed belongs to
// whoever holds signing. A round belongs to one owner at a time.
package ledger
