package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"sync/atomic"

	"github.com/stelehq/stele/internal/event"
)

// maxEntries is the size of the largest log: ids have 40 bits for seq.
const maxEntries = 1 << 40

var errLogFull = errors.New("the log has as many entries as ids can name")

// round is one turn of a log's owner: the loads it took and the commit it makes
// of them. An owner owns it; between owners it rests in Ledger.rounds with its
// memory, so that ordering allocates nothing for an event.
type round struct {
	loads []*load
	stats CommitStats
	// ordered says that every load has outcomes or an error of its own; those
	// that depend on the commit are not true before it.
	ordered bool

	commit   Commit
	tree     frontier
	received int64      // received_at of the round
	keys     event.Keys // of the block that the next entry lies in, unless that begins with it
	entered  bool       // cipher is that of keys
	cipher   *event.Cipher

	table   keyTable
	since   int64       // receipts from before are forgotten
	earlier blockCipher // of the entry that the last receipt named
}

// blockCipher is the cipher of a block, and which.
type blockCipher struct {
	block uint64
	*event.Cipher
}

// forget drops what the round points to.
func (r *round) forget() {
	clear(r.loads)
	clear(r.commit.Rows)
	r.loads = r.loads[:0]
	clear(r.commit.Blocks)
	r.cipher, r.earlier, r.keys = nil, blockCipher{}, event.Keys{}
}

// order makes the commit of the round's loads on the log's head. It may be
// called again for the same loads on another head. An error means that nothing
// can be ordered; what is wrong with a single load is in that load.
func (r *round) order(ctx context.Context, l *Ledger, lg *logState) error {
	r.ordered = false
	r.begin(l, lg)
	for _, ld := range r.loads {
		if err := r.place(ctx, l, lg, ld); err != nil {
			return err
		}
	}
	r.commit.Head = Head{Size: r.tree.size, ReceivedAt: r.received, Frontier: r.tree.list()}
	r.ordered = true
	return nil
}

// begin readies the round on the log's head.
func (r *round) begin(l *Ledger, lg *logState) {
	r.tree.set(lg.head)
	r.received = max(l.cfg.Now().UnixMilli(), lg.head.ReceivedAt, 0)
	r.since = r.received - l.cfg.IdempotencyWindow.Milliseconds()
	r.keys, r.entered, r.earlier = lg.keys, false, blockCipher{}
	c := &r.commit
	*c = Commit{
		Organization: lg.org, Prev: lg.head.Size, ReceivedAt: r.received,
		MinOccurredAt: math.MaxInt64, MaxOccurredAt: math.MinInt64,
		Rows: c.Rows[:0], Nodes: c.Nodes[:0], Blocks: c.Blocks[:0], Receipts: c.Receipts[:0],
	}
	keys := 0
	for _, ld := range r.loads {
		keys += ld.keys()
	}
	r.table.reset(keys)
	r.stats.Events, r.stats.Duplicates, r.stats.Bytes = 0, 0, 0
}

// place gives each event of a load its place, or the outcome it has already. Its
// error is for the whole round.
func (r *round) place(ctx context.Context, l *Ledger, lg *logState, ld *load) error {
	ld.err, ld.depends = nil, false
	ld.outcomes = ld.outcomes[:0]
	if ld.keys() > 0 {
		if err := r.resolve(ctx, l, lg, ld); err != nil || ld.err != nil {
			return err
		}
		return r.placeResolved(l, ld)
	}
	ld.depends = true
	for i := range ld.items {
		if err := r.record(l, ld, &ld.items[i]); err != nil {
			return err
		}
	}
	return nil
}

// placeResolved is place for a load with idempotency keys, which are resolved.
func (r *round) placeResolved(l *Ledger, ld *load) error {
	for i := range ld.items {
		res := &ld.resolved[i]
		if res.is == isNew {
			ld.depends = true
			if err := r.record(l, ld, &ld.items[i]); err != nil {
				return err
			}
			r.keep(ld, res)
			continue
		}
		if res.is == isRepeat {
			ld.depends = true
			e := &r.table.entries[res.repeats]
			res.outcome = Outcome{Seq: e.seq, ReceivedAt: r.received, ID: e.id, Duplicate: true}
		}
		if res.outcome.Duplicate {
			r.stats.Duplicates++
		}
		ld.outcomes = append(ld.outcomes, res.outcome)
	}
	return nil
}

// record gives one event the next place: salt, digest, id, leaf.
func (r *round) record(l *Ledger, ld *load, it *item) error {
	seq := r.tree.size
	if !r.entered || seq%BlockSize == 0 {
		if err := r.enterBlock(l, seq); err != nil {
			return err
		}
	}
	id := r.cipher.ID(r.received, seq)
	salt := r.cipher.Salt(seq)
	copy(ld.buf[it.details:], salt[:])
	digest := sha256.Sum256(ld.buf[it.details:it.end])
	leaf := ld.buf[it.leaf:it.details]
	it.slots.Fill(leaf[1:], &digest, id, r.received)

	c := &r.commit
	c.Nodes = r.tree.add(sha256.Sum256(leaf), c.Nodes)
	c.Rows = append(c.Rows, ld.buf[it.row:it.leaf])
	c.MinOccurredAt = min(c.MinOccurredAt, it.occurredAt)
	c.MaxOccurredAt = max(c.MaxOccurredAt, it.occurredAt)
	r.stats.Events++
	r.stats.Bytes += int(it.leaf - it.row)
	ld.outcomes = append(ld.outcomes, Outcome{Seq: seq, ReceivedAt: r.received, ID: id})
	return nil
}

// enterBlock readies the cipher of the block that seq lies in, with new keys when
// seq is its first.
func (r *round) enterBlock(l *Ledger, seq uint64) error {
	if seq >= maxEntries {
		return errLogFull
	}
	if seq%BlockSize == 0 {
		keys, err := event.NewKeys()
		if err != nil {
			return err
		}
		r.keys = keys
		r.commit.Blocks = append(r.commit.Blocks, BlockKeys{Block: seq / BlockSize, Keys: keys})
	}
	r.cipher, r.entered = l.ciphers.of(&r.keys), true
	return nil
}

// cipherCache keeps the ciphers of the blocks that are being filled: making one
// costs more than ordering an event, and rounds of many logs take turns. A slot
// belongs to all keys whose first byte leads to it; the last one has it.
type cipherCache [64]atomic.Pointer[keyedCipher]

type keyedCipher struct {
	keys   event.Keys
	cipher *event.Cipher
}

// of returns the cipher of keys, which are random, so that a byte of them serves
// as hash.
func (c *cipherCache) of(keys *event.Keys) *event.Cipher {
	slot := &c[int(keys.Salt[0])%len(c)]
	kept := slot.Load()
	if kept == nil || kept.keys != *keys {
		kept = &keyedCipher{*keys, keys.Cipher()}
		slot.Store(kept)
	}
	return kept.cipher
}

// advance makes the round's commit the log's head.
func (r *round) advance(lg *logState) {
	h := r.commit.Head
	lg.head.Size, lg.head.ReceivedAt = h.Size, h.ReceivedAt
	lg.head.Frontier = append(lg.head.Frontier[:0], h.Frontier...)
	lg.keys, lg.loaded = r.keys, true
}
