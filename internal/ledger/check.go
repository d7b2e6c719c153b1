package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Problem is one thing that is wrong with a log.
type Problem struct {
	// From and To are the entries concerned: From ≤ seq < To. Both are zero
	// when it is about the whole log.
	From, To uint64
	// What says in a sentence what is wrong, and names the entries.
	What string
}

// CheckResult sums up a check.
type CheckResult struct {
	// Head is the log that was checked; what was recorded meanwhile was not.
	Head Head
	// Root is the root hash that the head stands for.
	Root tlog.Hash
	// Entries is the number of entries that could be read. Erased is how many
	// of them have no details any more; Removed how many entries are gone, of
	// which the store has kept what it must.
	Entries, Erased, Removed uint64
	// Checkpoint is the newest signed checkpoint, nil when there is none.
	Checkpoint *audit.Checkpoint
	// Problems is the number of problems reported.
	Problems int
}

// Check reads a whole log again, in constant memory, and reports everything that
// does not fit, in no order: entries that are missing or unreadable, out of
// order, or with an id or time that is not theirs; entries that do not hash to the
// stored tiles; erased entries that have details; removed entries of which neither
// the hashes are there nor those that prove signed checkpoints; tiles that do not
// fit the tiles below; a head that does not fit its tree; block keys that are
// missing; a newest signed checkpoint that the log does not extend or that the
// server did not sign.
//
// An entry that is past its time is checked like any other until it is removed.
//
// Each problem is named at the place where it is: a damaged entry is not reported
// again for every tile above it. Receipts of idempotency keys cannot be listed
// through the store and are not checked. Commits go on meanwhile. The error is
// ctx's; everything else is a problem.
func (l *Ledger) Check(ctx context.Context, org string, report func(Problem)) (CheckResult, error) {
	c := &checker{
		l: l, org: org, report: report, record: []byte{leafPrefix},
		tiles: tileReader{store: l.cfg.Store},
	}
	if c.checkHead(ctx) {
		c.checkEntries(ctx)
		c.checkTiles(ctx)
		c.checkFrontier(ctx)
		c.checkCheckpoint(ctx)
	}
	c.flush()
	if err := ctx.Err(); err != nil {
		return c.res, fmt.Errorf("check: %w", err)
	}
	return c.res, nil
}

// checker is one check under way.
type checker struct {
	l      *Ledger
	org    string
	report func(Problem)
	res    CheckResult
	tiles  tileReader // without a cache: it must see what is stored
	held   *Problem   // not reported yet, since the next one may continue it
	// heldUnreadable says that held is of unreadable entries.
	heldUnreadable bool

	// The entry that comes next, and what is known of those before it.
	next         uint64
	lastID       event.ID
	lastReceived int64
	lastSeq      uint64 // of the last entry read, plus one
	record       []byte
	details      []byte
	block        uint64        // the block entered last, plus one
	cipher       *event.Cipher // of that block; nil when its keys are missing

	// The level-0 tile of next.
	leaves []tlog.Hash
	gap    bool // entries of it could not be read
	// known is what the store has of its hashes; read when an entry of it was
	// removed.
	known    Leaves
	knownErr error
	knownOf  uint64 // the tile of known, plus one
	sizes    func(tile uint64) (signedSizes, error)
	// The level-1 tile above it; nil when it cannot be read.
	nodes []tlog.Hash
}

// problem reports a problem, or lets it continue the one before when that says
// the same of the entries just before.
func (c *checker) problem(from, to uint64, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if h := c.held; h != nil && h.What == what && h.To == from && from < to {
		h.To = to
		return
	}
	c.flush()
	c.held = &Problem{From: from, To: to, What: what}
}

// unreadable reports entries that cannot be read. Of those in a row it gives the
// first error.
func (c *checker) unreadable(from, to uint64, err error) {
	if c.held != nil && c.heldUnreadable && c.held.To == from {
		c.held.To = to
		return
	}
	c.problem(from, to, "cannot be read: %v", err)
	c.heldUnreadable = true
}

// flush reports the problem that is held back, with its range in the text.
func (c *checker) flush() {
	if c.held == nil {
		return
	}
	p := *c.held
	c.held, c.heldUnreadable = nil, false
	if p.From < p.To {
		p.What = rangeText(p.From, p.To) + ": " + p.What
	}
	c.res.Problems++
	c.report(p)
}

func rangeText(from, to uint64) string {
	if to-from == 1 {
		return fmt.Sprintf("entry %d", from)
	}
	return fmt.Sprintf("entries %d..%d", from, to-1)
}

// checkHead reads the head. Without it there is nothing to hold the log to.
func (c *checker) checkHead(ctx context.Context) bool {
	head, err := c.l.cfg.Store.Head(ctx, c.org)
	switch {
	case err != nil:
		c.problem(0, 0, "the head cannot be read: %v", err)
	case !head.valid():
		c.problem(0, 0, "the head has %d entries and a frontier of %d hashes instead of %d",
			head.Size, len(head.Frontier), bits.OnesCount64(head.Size))
	default:
		c.res.Head, c.res.Root = head, head.Root()
		return true
	}
	return false
}

// checkEntries reads all entries and hashes them into level-0 tiles.
func (c *checker) checkEntries(ctx context.Context) {
	size := c.res.Head.Size
	var err error
	if c.sizes, err = c.l.sizesOf(ctx, c.org); err != nil {
		c.problem(0, 0, "which sizes of it were signed cannot be read: %v", err)
	}
	c.startTile(ctx)
	for c.next < size && ctx.Err() == nil {
		if err := c.readEntries(ctx); err != nil && ctx.Err() == nil {
			if damage, ok := errors.AsType[DamageError](err); ok {
				from, _ := damage.Entries()
				c.removed(ctx, min(from, size)) // those before it were left out
			}
			from := c.next
			c.skipTo(ctx, c.resume(err))
			c.unreadable(from, c.next, err)
		}
	}
	if last := c.res.Head.ReceivedAt; c.next == size && size > 0 && c.lastSeq == size && c.lastReceived != last {
		c.problem(size-1, size, "was received at %d ms, but the head says %d", c.lastReceived, last)
	}
}

// readEntries checks entries from next on until the store has an error. Entries
// that it leaves out were removed.
func (c *checker) readEntries(ctx context.Context) error {
	for e, err := range c.l.cfg.Store.Read(ctx, c.org, c.next, c.res.Head.Size) {
		switch {
		case err != nil:
			return err
		case e.Seq < c.next || e.Seq >= c.res.Head.Size:
			c.problem(e.Seq, e.Seq+1, "was read out of order, before entry %d", c.next)
			continue
		}
		c.removed(ctx, e.Seq)
		c.entry(ctx, e)
	}
	if ctx.Err() == nil {
		c.removed(ctx, c.res.Head.Size)
	}
	return nil
}

// resume returns where to read on after an error at next: where the store says
// that the damage ends, else at the entry after.
func (c *checker) resume(err error) uint64 {
	if damage, ok := errors.AsType[DamageError](err); ok {
		if _, to := damage.Entries(); to > c.next {
			return min(to, c.res.Head.Size)
		}
	}
	return c.next + 1
}

// entry checks the entry that comes next.
func (c *checker) entry(ctx context.Context, e *event.Entry) {
	c.checkPlace(ctx, e)
	if e.ErasedAt != 0 {
		c.checkErased(e)
	}
	c.lastID, c.lastReceived, c.lastSeq = e.ID, e.ReceivedAt, e.Seq+1
	c.res.Entries++
	c.record = e.AppendRecord(c.record[:1])
	if n := len(c.record) - 1; n > audit.MaxRecordBytes {
		c.problem(e.Seq, e.Seq+1, "has a record of %d bytes, more than an entry bundle can carry", n)
	}
	c.leaves = append(c.leaves, sha256.Sum256(c.record))
	c.next++
	if c.next%TileWidth == 0 {
		c.endTile(ctx)
	}
}

// checkPlace checks what an entry has of its place: time and id. Its salt is in
// its hash.
func (c *checker) checkPlace(ctx context.Context, e *event.Entry) {
	if c.block != e.Seq/BlockSize+1 {
		c.enterBlock(ctx, e.Seq)
	}
	if e.ReceivedAt < c.lastReceived {
		c.problem(e.Seq, e.Seq+1, "was received at %d ms, before the entry before it at %d", e.ReceivedAt, c.lastReceived)
	}
	if bytes.Compare(e.ID[:], c.lastID[:]) <= 0 {
		c.problem(e.Seq, e.Seq+1, "has the id %s, not after that of the entry before it, %s", e.ID, c.lastID)
	}
	if c.cipher == nil {
		return
	}
	if want := c.cipher.ID(e.ReceivedAt, e.Seq); e.ID != want {
		c.problem(e.Seq, e.Seq+1, "has the id %s instead of %s", e.ID, want)
	}
}

// checkErased checks that an entry whose details were erased has none.
func (c *checker) checkErased(e *event.Entry) {
	c.res.Erased++
	c.details = event.AppendDetails(c.details[:0], &e.Event)
	if e.Salt != [saltLen]byte{} || string(c.details) != "{}" {
		c.problem(e.Seq, e.Seq+1, "was erased, but has details or a salt")
	}
}

// enterBlock reads the keys of the block that an entry lies in.
func (c *checker) enterBlock(ctx context.Context, seq uint64) {
	block := seq / BlockSize
	c.block = block + 1
	keys, err := c.l.cfg.Store.Keys(ctx, c.org, block)
	if err != nil {
		c.cipher = nil
		c.problem(block*BlockSize, min((block+1)*BlockSize, c.res.Head.Size), "the keys of the block cannot be read: %v", err)
		return
	}
	c.cipher = keys.Cipher()
}

// skipTo goes on at a later entry, leaving a gap in the tiles between.
func (c *checker) skipTo(ctx context.Context, to uint64) {
	for c.next < to {
		c.gap = true
		c.next = min(to, (c.next/TileWidth+1)*TileWidth)
		if c.next%TileWidth == 0 {
			c.endTile(ctx)
		}
	}
}

// startTile readies the level-0 tile that begins with next.
func (c *checker) startTile(ctx context.Context) {
	c.leaves, c.gap = c.leaves[:0], false
	full := c.res.Head.Size / TileWidth // hashes of level 1
	at := c.next / TileWidth
	if at%TileWidth != 0 || at >= full {
		return
	}
	width := min(TileWidth, full-at)
	var err error
	if c.nodes, err = c.l.cfg.Store.Tile(ctx, c.org, 1, at/TileWidth, int(width)); err != nil {
		c.nodes = nil
		c.problem(c.next, c.next+width*TileWidth, "tile 1/%d over them cannot be read: %v", at/TileWidth, err)
	}
}

// endTile compares the level-0 tile that ends before next with the hash stored
// for it.
func (c *checker) endTile(ctx context.Context) {
	from := c.next - TileWidth
	at := from / TileWidth
	switch {
	case c.gap || c.nodes == nil:
	case len(c.leaves) == 0:
		c.checkKept(from, c.nodes[at%TileWidth])
	case fold(c.leaves) != c.nodes[at%TileWidth]:
		c.problem(from, c.next, "do not hash to what is stored for them, hash %d of tile 1/%d", at%TileWidth, at/TileWidth)
	}
	c.startTile(ctx)
}

// checkCheckpoint compares the log with the newest checkpoint that was signed.
func (c *checker) checkCheckpoint(ctx context.Context) {
	cp, err := c.l.newestCheckpoint(ctx, c.org)
	switch {
	case err != nil:
		c.problem(0, 0, "the newest signed checkpoint: %v", err)
		return
	case cp.note == nil:
		return
	}
	c.res.Checkpoint = &cp.Checkpoint
	head := c.res.Head
	if !c.l.signer.signed(cp.note) {
		c.problem(0, 0, "the newest signed checkpoint, of %d entries, is not signed with the server's key", cp.Size)
	}
	if cp.Size > head.Size {
		// Somebody may have signed what was recorded since the check began.
		if head, err = c.l.Head(ctx, c.org); err != nil || cp.Size > head.Size {
			c.problem(c.res.Head.Size, cp.Size, "missing: the log has %d entries but a checkpoint of %d was signed", head.Size, cp.Size)
			return
		}
	}
	root, err := c.tiles.root(ctx, c.org, cp.Size)
	if errors.Is(err, errPruned) && c.res.Problems == 0 && c.held == nil { // else it was reported where they were
		c.problem(0, cp.Size, "do not have the hashes any more that prove the newest signed checkpoint, of %d entries", cp.Size)
	}
	if err == nil && root != cp.Root {
		c.problem(0, cp.Size, "do not hash to the root of the newest signed checkpoint, of %d entries", cp.Size)
	}
}
