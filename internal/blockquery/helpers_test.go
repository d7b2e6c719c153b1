package blockquery_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/blockquery"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/workload"
)

const testOrg = "org_1"

var testCipher = event.Keys{Check: [16]byte{1}}.Cipher()

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// testBlock is a block, and what it was made of.
type testBlock struct {
	header  *block.Header
	filter  *block.Filter
	parts   [][]byte
	entries []*event.Entry
	plain   []audit.Entry
}

func makeBlock(t fataler, enc *block.Encoder, list []*event.Entry) *testBlock {
	t.Helper()
	enc.Reset(list[0].Seq)
	for _, e := range list {
		if !enc.Add(&e.Event, e.ReceivedAt) {
			t.Fatalf("full at %d", enc.Rows())
		}
	}
	b := &testBlock{entries: list}
	for _, p := range enc.Finish() {
		b.parts = append(b.parts, append([]byte(nil), p...))
	}
	var err error
	if b.header, err = block.ParseHeader(b.parts[block.HeaderPart]); err != nil {
		t.Fatalf("%v", err)
	}
	if b.filter, err = block.ParseFilter(b.header, b.parts[block.FilterPart]); err != nil {
		t.Fatalf("%v", err)
	}
	for _, e := range list {
		b.plain = append(b.plain, e.Audit(testOrg))
	}
	return b
}

func (b *testBlock) fetch(part int) ([]byte, error) {
	if part >= len(b.parts) {
		return nil, fmt.Errorf("no part %d", part)
	}
	return b.parts[part], nil
}

// source has a reader that has read nothing yet.
func (b *testBlock) source() blockquery.Source {
	return blockquery.Source{
		Reader: block.NewReader(b.header, b.fetch),
		Cipher: func() (*event.Cipher, error) { return testCipher, nil },
	}
}

// drawEntries draws entries of consecutive seqs.
func drawEntries(t *rapid.T, first uint64, received int64, n int) []*event.Entry {
	d := event.NewDecoder()
	sorted := rapid.Bool().Draw(t, "sorted")
	var list []*event.Entry
	for i := range n {
		e := &event.Entry{Seq: first + uint64(i), ReceivedAt: received}
		if err := d.Decode(eventtest.JSON(eventtest.Events().Draw(t, "event")), &e.Event); err != nil {
			t.Fatal(err)
		}
		e.Unregistered = rapid.IntRange(0, 3).Draw(t, "unregistered") == 0
		if i > 0 && rapid.IntRange(0, 2).Draw(t, "same time") == 0 {
			e.OccurredAt = list[rapid.IntRange(0, i-1).Draw(t, "as")].OccurredAt
		}
		if i > 0 && sorted {
			e.OccurredAt = max(e.OccurredAt, list[i-1].OccurredAt)
		}
		list = append(list, e.Clone())
		received += rapid.SampledFrom([]int64{0, 0, 1, 7, 100_000}).Draw(t, "pause")
	}
	for _, e := range list {
		e.ID = testCipher.ID(e.ReceivedAt, e.Seq)
	}
	return list
}

// drawBlocks draws blocks of one log, one after the other.
func drawBlocks(t *rapid.T, enc *block.Encoder, most, rows int) []*testBlock {
	first := rapid.SampledFrom([]uint64{0, block.MaxRows, 1<<40 - 1000}).Draw(t, "first")
	received := rapid.SampledFrom([]int64{0, 1_772_000_000_000}).Draw(t, "received")
	var blocks []*testBlock
	for range rapid.IntRange(1, most).Draw(t, "blocks") {
		n := rapid.SampledFrom([]int{1, 2, rows}).Draw(t, "rows")
		b := makeBlock(t, enc, drawEntries(t, first, received, n))
		blocks = append(blocks, b)
		first += uint64(n)
		received = b.header.LastReceived + rapid.Int64Range(0, 5).Draw(t, "pause of blocks")
	}
	return blocks
}

// workloadEntries are n events of the workload's big organization, as a store
// gives them.
func workloadEntries(t testing.TB, n int) []*event.Entry {
	t.Helper()
	g := workload.New(1, 50*n)
	d := event.NewDecoder()
	var list []*event.Entry
	var js []byte
	for i := range n {
		js = g.For(js[:0])
		e := &event.Entry{Seq: 3*block.MaxRows + uint64(i)}
		if err := d.Decode(js, &e.Event); err != nil {
			t.Fatalf("%v: %s", err, js)
		}
		e = e.Clone()
		e.ReceivedAt = e.OccurredAt/1_000_000 + 5
		if i > 0 {
			e.ReceivedAt = max(e.ReceivedAt, list[i-1].ReceivedAt)
		}
		e.ID = testCipher.ID(e.ReceivedAt, e.Seq)
		list = append(list, e)
	}
	return list
}

var full struct {
	once  sync.Once
	block *testBlock
}

// fullBlock is a block of the workload with as many rows as a block may have. It
// is made once.
func fullBlock(t testing.TB) *testBlock {
	t.Helper()
	full.once.Do(func() {
		full.block = makeBlock(t, block.NewEncoder(block.Fast), workloadEntries(t, block.MaxRows))
	})
	return full.block
}

// matching are the rows that match by definition.
func matching(b *testBlock, q audit.Query) (rows []int) {
	for i := range b.plain {
		if q.Match(&b.plain[i]) {
			rows = append(rows, i)
		}
	}
	return rows
}

func parseInterval(t fataler, text, zone string) search.Interval {
	t.Helper()
	loc := zoneOf(t, zone)
	iv, err := search.ParseInterval(text, loc)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return iv
}

func zoneOf(t fataler, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return loc
}

func parse(t fataler, text string) audit.Query {
	t.Helper()
	q, err := audit.ParseQuery(text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return q
}

// plainEvent is an event that differs with i.
func plainEvent(i int) *audit.Event {
	return &audit.Event{
		Action: "doc.read", Version: 1 + i%2, OccurredAt: time.Unix(1_772_000_000+int64(i), 0).UTC(),
		Actor:    audit.Actor{Type: "user", ID: fmt.Sprint("u", i), Metadata: audit.Metadata{"n": i}},
		Metadata: audit.Metadata{"n": i},
	}
}

// entriesOf are n entries that make gives.
func entriesOf(t testing.TB, n int, make func(i int) *audit.Event) []*event.Entry {
	t.Helper()
	var list []*event.Entry
	for i := range n {
		ev, err := event.FromAudit(make(i))
		if err != nil {
			t.Fatal(err)
		}
		e := &event.Entry{Event: *ev, Seq: uint64(i), ReceivedAt: 1_772_000_000_000 + int64(i)}
		e.ID = testCipher.ID(e.ReceivedAt, e.Seq)
		list = append(list, e)
	}
	return list
}

// mixedEntries are entries of random events, drawn the same each time.
func mixedEntries(t testing.TB, n int) []*event.Entry {
	t.Helper()
	events := eventtest.Events()
	return entriesOf(t, n, func(i int) *audit.Event { return events.Example(i) })
}
