package audit

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// LogOptions says what more [VerifyLog] does. The zero value asks for nothing
// more.
type LogOptions struct {
	// Older is a signed checkpoint that was kept from earlier: the log must
	// extend it.
	Older []byte
	// Record, when not nil, is called with each record in seq order once it
	// is verified. The record is valid until it returns; an error from it ends
	// the verification.
	Record func(seq uint64, record []byte) error
	// Progress, when not nil, is called after each bundle of entries.
	Progress func(done, total uint64)
}

// LogReport sums up what was verified. After an error it has what was verified
// before.
type LogReport struct {
	// Checkpoint is the signed checkpoint of the whole log.
	Checkpoint Checkpoint `json:"checkpoint"`
	// Older is the older checkpoint that the log extends, nil when none was
	// given.
	Older *Checkpoint `json:"older,omitempty"`
	// Entries is the number of records that were read and are in the tree.
	Entries uint64 `json:"entries"`
	// Removed are the entries whose records the log does not give any more,
	// because retention removed them or others of the same bundle, which is at
	// most 256 entries. Their hashes are in the tree, so that nothing else can
	// take their place; that they were due, the log cannot show. Those of the
	// bundles that are there still have a proof each.
	Removed []Range `json:"removed,omitempty"`
	// FirstReceivedAt and LastReceivedAt are those of the first and the last
	// of them.
	FirstReceivedAt time.Time `json:"first_received_at,omitzero"`
	LastReceivedAt  time.Time `json:"last_received_at,omitzero"`
}

// Range is entries of a log: From ≤ seq < To.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// VerifyLog reads a whole log, in constant memory, and checks it: the checkpoint
// is signed, every tile belongs to the checkpoint's tree, every record is in its
// place in it, records carry their place in their id, and times of receipt do not
// decrease. With Older, it also checks that the log extends the older checkpoint.
//
// Records that retention removed cannot be checked. Their hashes are, as far as
// the log still has them: of each entry, or of 256 together. The report says which
// entries that concerns.
//
// Errors about the log are *[VerifyError] and name the first entry concerned;
// others come from reading.
func VerifyLog(ctx context.Context, r LogReader, v *Verifier, opts LogOptions) (LogReport, error) {
	var report LogReport
	signed, err := r.ReadCheckpoint(ctx)
	if err != nil {
		return report, fmt.Errorf("read checkpoint: %w", err)
	}
	if report.Checkpoint, err = v.Open(signed); err != nil {
		return report, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &logWalk{opts: opts, report: &report, tiles: newTileSource(ctx, r, report.Checkpoint)}
	if opts.Older != nil {
		if err := w.extends(v, opts.Older); err != nil {
			return report, err
		}
	}
	return report, w.records(ctx, r)
}

// logWalk is one verification on its way.
type logWalk struct {
	opts   LogOptions
	report *LogReport
	tiles  *tileSource
	next   uint64 // the entry that comes next
}

// extends says whether the log extends an older signed checkpoint.
func (w *logWalk) extends(v *Verifier, signed []byte) error {
	older, err := v.Open(signed)
	if err != nil {
		return fmt.Errorf("older checkpoint: %w", err)
	}
	c := w.report.Checkpoint
	var proof []tlog.Hash
	if older.Origin == c.Origin && 0 < older.Size && older.Size < c.Size {
		if proof, err = w.prove(older); err != nil {
			return err
		}
	}
	if err := c.Extends(older, proof); err != nil {
		return err
	}
	w.report.Older = &older
	return nil
}

// prove returns the proof that the log extends an older checkpoint: from tiles or,
// where these are gone, as the log gives it.
func (w *logWalk) prove(older Checkpoint) ([]tlog.Hash, error) {
	size := w.report.Checkpoint.Size
	proof, err := tlog.ProveTree(w.report.Checkpoint.tree().N, older.tree().N, w.tiles)
	if err == nil {
		return proof, nil
	}
	r, ok := w.tiles.r.(ConsistencyReader)
	if err = w.tiles.explain(err); !ok || !errors.Is(err, ErrRemoved) {
		return nil, err
	}
	w.tiles.failed = nil
	hashes, err := r.ReadConsistency(w.tiles.ctx, older.Size, size)
	if err != nil {
		return nil, fmt.Errorf("read the proof from %d to %d entries: %w", older.Size, size, err)
	}
	return hashes, nil
}

// records reads and checks every record.
func (w *logWalk) records(ctx context.Context, r LogReader) error {
	size := w.report.Checkpoint.Size
	if size == 0 {
		if empty, _ := tlog.TreeHash(0, nil); w.report.Checkpoint.Root != empty {
			return failed(CheckTree, "the root of the empty log is wrong")
		}
		return nil
	}
	for b := range readBundles(ctx, r, size) {
		if err := cmp.Or(ctx.Err(), b.err); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := w.bundle(b); err != nil {
			return err
		}
		if w.opts.Progress != nil {
			w.opts.Progress(w.next, size)
		}
	}
	return ctx.Err() // readBundles ends early with it
}

// bundle checks the records of one entry bundle.
func (w *logWalk) bundle(b bundle) error {
	if b.pruned {
		return w.pruned(b)
	}
	w.tiles.offer(b.tile(), b.leaves)
	leaves, err := w.tiles.ReadHashes(b.leafIndexes())
	if err != nil {
		return w.tiles.explain(err)
	}
	if b.removed {
		w.skip(b)
		return nil
	}
	rest := b.entries
	for _, leaf := range leaves {
		seq := w.next
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return failed(CheckFormat, "the bundle of entries %d to %d ends in the middle of entry %d", b.from, b.last(), seq)
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		record := rest[2:n]
		rest = rest[n:]
		if LeafHash(record) != leaf {
			return failed(CheckInclusion, "entry %d is not what was recorded: its record does not have the hash that is in the log's tree", seq)
		}
		if err := w.record(seq, record); err != nil {
			return err
		}
		w.report.Entries++
		w.next++
	}
	if len(rest) > 0 && !b.cut {
		return failed(CheckFormat, "the bundle of entries %d to %d has more than these", b.from, b.last())
	}
	return nil
}

// pruned checks the hash over a bundle of which nothing is left, not even the
// tile: one hash of the tile above.
func (w *logWalk) pruned(b bundle) error {
	at := tlog.StoredHashIndex(tileHeight, int64(b.from/tileWidth)) //nolint:gosec // ParseCheckpoint refuses more
	if _, err := w.tiles.ReadHashes([]int64{at}); err != nil {
		return w.tiles.explain(err)
	}
	w.skip(b)
	return nil
}

// skip notes that the records of a bundle are not given any more.
func (w *logWalk) skip(b bundle) {
	w.next = b.last() + 1
	if n := len(w.report.Removed); n > 0 && w.report.Removed[n-1].To == b.from {
		w.report.Removed[n-1].To = w.next
		return
	}
	w.report.Removed = append(w.report.Removed, Range{b.from, w.next})
}

// record checks what a record says of its place.
func (w *logWalk) record(seq uint64, record []byte) error {
	var says struct {
		ID         string    `json:"id"`
		ReceivedAt time.Time `json:"received_at"`
	}
	if err := json.Unmarshal(record, &says); err != nil {
		return failed(CheckFormat, "the record of entry %d cannot be read: %v", seq, err)
	}
	ms, idSeq, ok := parseID(says.ID)
	switch {
	case !ok || idSeq != seq || ms != says.ReceivedAt.UnixMilli():
		return failed(CheckPlace, "the record in place %d has the id %q, which is not of that entry", seq, shorten(says.ID))
	case says.ReceivedAt.Before(w.report.LastReceivedAt):
		return failed(CheckPlace, "entry %d was received before the one before it", seq)
	}
	if w.report.Entries == 0 {
		w.report.FirstReceivedAt = says.ReceivedAt
	}
	w.report.LastReceivedAt = says.ReceivedAt
	if w.opts.Record == nil {
		return nil
	}
	return w.opts.Record(seq, record)
}

// explain makes an error of a HashReader one for people: an error from reading
// stays what it is, else hashes did not fit.
func (s *tileSource) explain(err error) error {
	if s.failed != nil {
		return s.failed
	}
	if _, ok := errors.AsType[*VerifyError](err); ok {
		return err
	}
	return failed(CheckTree, "the hashes of the log's tree do not lead to the checkpoint's root (%v)", err)
}
