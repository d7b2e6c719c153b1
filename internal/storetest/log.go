package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// Log builds the commits of one organization's log the way the ledger does, and
// remembers what it built: what a store must hold once these are committed.
//
// It is not safe for concurrent use.
type Log struct {
	Org     string
	Head    ledger.Head
	Entries []*event.Entry // nil where one was removed
	Keys    []event.Keys   // by block
	Nodes   map[NodeID]tlog.Hash
	Leaves  []tlog.Hash // of all entries
	// Receipts are those of all commits.
	Receipts []ledger.KeyedReceipt
	// Shows says what engines show of it; everything when nil.
	Shows func(e *audit.Entry) bool

	// rewritten are the blocks that Rewrite changed and that no entry comes
	// to any more: of their keys, Keys has the check key alone. signed are the
	// sizes that were signed.
	rewritten, signed map[uint64]bool

	cipher   *event.Cipher // of the block placed in last
	cipherOf event.Keys
}

// NewLog returns an empty log.
func NewLog(org string) *Log { return &Log{Org: org, Nodes: map[NodeID]tlog.Hash{}} }

// Next builds the commit that appends events to the log, which itself stays as
// it is until [Log.Add]. Each event of which key says so gets a receipt.
func (l *Log) Next(receivedAt int64, events []*event.Event, key func(i int) (ledger.Key, bool)) *ledger.Commit {
	c := &ledger.Commit{
		Organization: l.Org, Prev: l.Head.Size, ReceivedAt: receivedAt, Head: cloneHead(l.Head),
		MinOccurredAt: math.MaxInt64, MaxOccurredAt: math.MinInt64,
	}
	c.Head.ReceivedAt = receivedAt
	for i, ev := range events {
		seq := c.Head.Size
		if seq%ledger.BlockSize == 0 {
			c.Blocks = append(c.Blocks, ledger.BlockKeys{Block: seq / ledger.BlockSize, Keys: l.keysOf(seq)})
		}
		row := event.AppendRow(nil, ev)
		c.Rows = append(c.Rows, row)
		c.MinOccurredAt = min(c.MinOccurredAt, ev.OccurredAt)
		c.MaxOccurredAt = max(c.MaxOccurredAt, ev.OccurredAt)
		e := event.Entry{Event: *ev, Seq: seq, ReceivedAt: receivedAt}
		l.place(&e, c.Blocks)
		c.Nodes = push(&c.Head, tlog.RecordHash(e.AppendRecord(nil)), c.Nodes)
		if key == nil {
			continue
		}
		if k, ok := key(i); ok {
			r := ledger.Receipt{Seq: seq, ReceivedAt: receivedAt}
			binary.LittleEndian.PutUint64(r.Fingerprint[:], uint64(crc(row)))
			c.Receipts = append(c.Receipts, ledger.KeyedReceipt{Key: k, Receipt: r})
		}
	}
	return c
}

func crc(row []byte) uint32 {
	sum := sha256.Sum256(row)
	return binary.LittleEndian.Uint32(sum[:])
}

// place gives an entry what follows from the keys of its block, which begins in
// blocks or before.
func (l *Log) place(e *event.Entry, blocks []ledger.BlockKeys) {
	block := e.Seq / ledger.BlockSize
	var keys event.Keys
	if n := len(blocks); n > 0 && blocks[n-1].Block == block {
		keys = blocks[n-1].Keys
	} else {
		keys = l.Keys[block]
	}
	if l.cipher == nil || l.cipherOf != keys {
		l.cipher, l.cipherOf = keys.Cipher(), keys
	}
	e.ID, e.Salt = l.cipher.ID(e.ReceivedAt, e.Seq), l.cipher.Salt(e.Seq)
}

// keysOf makes up the keys of the block that seq is in.
func (l *Log) keysOf(seq uint64) event.Keys {
	sum := sha256.Sum256(fmt.Appendf(nil, "keys of %s at %d", l.Org, seq/ledger.BlockSize))
	var k event.Keys
	copy(k.Check[:], sum[copy(k.Salt[:], sum[:]):])
	return k
}

// push appends a leaf to a tree. A subtree that has become whole at the height
// of a tile is a node.
func push(h *ledger.Head, leaf tlog.Hash, nodes []ledger.Node) []ledger.Node {
	for height := range bits.TrailingZeros64(^h.Size) {
		last := len(h.Frontier) - 1
		leaf = tlog.NodeHash(h.Frontier[last], leaf)
		h.Frontier = h.Frontier[:last]
		if (height+1)%8 == 0 {
			nodes = append(nodes, ledger.Node{Level: (height + 1) / 8, Index: h.Size >> (height + 1), Hash: leaf})
		}
	}
	h.Frontier = append(h.Frontier, leaf)
	h.Size++
	return nodes
}

// Add takes a commit that [Log.Next] built, and that was committed, into the log.
func (l *Log) Add(c *ledger.Commit) {
	for _, b := range c.Blocks {
		l.Keys = append(l.Keys, b.Keys)
	}
	for i, row := range c.Rows {
		e := &event.Entry{Seq: c.Prev + uint64(i), ReceivedAt: c.ReceivedAt}
		if err := event.DecodeRow(slices.Clone(row), &e.Event); err != nil {
			panic(fmt.Sprintf("row of an event: %v", err))
		}
		l.place(e, nil)
		l.Entries = append(l.Entries, e)
		l.Leaves = append(l.Leaves, tlog.RecordHash(e.AppendRecord(nil)))
	}
	for _, n := range c.Nodes {
		l.Nodes[NodeID{n.Level, n.Index}] = n.Hash
	}
	l.Receipts = append(l.Receipts, c.Receipts...)
	l.Head = cloneHead(c.Head)
}

// sameEntry compares two entries by what they say; an empty text is as good as
// none.
func sameEntry(a, b *event.Entry) bool {
	return a.Seq == b.Seq && a.ReceivedAt == b.ReceivedAt && a.ID == b.ID && a.Salt == b.Salt &&
		a.ErasedAt == b.ErasedAt && a.Digest == b.Digest &&
		bytes.Equal(event.AppendRow(nil, &a.Event), event.AppendRow(nil, &b.Event))
}

// describe says what there is of an entry in the message of a failed test.
func describe(e *event.Entry, org string) string {
	if e == nil {
		return "nothing"
	}
	return string(e.AppendJSON(nil, org))
}

// MakeEvents returns n valid events that differ by tag and number, of about 200
// bytes each.
func MakeEvents(tag string, n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = &event.Event{
			Action:     []byte("user.updated"),
			Version:    1 + i%3,
			OccurredAt: 1_772_000_000_000_000_000 + int64(i)*1_000_000_000,
			Actor: event.Party{
				Type: []byte("user"), ID: fmt.Appendf(nil, "%s-%d", tag, i%17), Name: []byte("Ada Lovelace"),
				Metadata: []byte(`{"user_base_role_slug":"admin"}`),
			},
			Targets:      []event.Party{{Type: []byte("user"), ID: fmt.Appendf(nil, "target-%d", i)}},
			Location:     fmt.Appendf(nil, "203.0.113.%d", i%250),
			UserAgent:    []byte("Mozilla/5.0"),
			Metadata:     fmt.Appendf(nil, `{"n":%d,"tag":"t%d"}`, i, i%5),
			Unregistered: i%4 == 0,
		}
	}
	return events
}
