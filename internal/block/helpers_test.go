package block_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/workload"
)

// decodeEvents turns JSON events into entries from seq first on, with received_at
// rising by the i-th of steps.
func decodeEvents(t testing.TB, first uint64, jsons [][]byte) []*event.Entry {
	t.Helper()
	d := event.NewDecoder()
	var list []*event.Entry
	received := int64(1_772_000_000_000)
	for i, js := range jsons {
		e := &event.Entry{Seq: first + uint64(i), ReceivedAt: received}
		if err := d.Decode(js, &e.Event); err != nil {
			t.Fatalf("%v: %s", err, js)
		}
		// As a store gives it: from its row.
		e = e.Clone()
		if err := event.DecodeRow(event.AppendRow(nil, &e.Event), &e.Event); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
		received += int64(i % 3)
	}
	return list
}

// workloadEvents are n events of the workload's big organization.
func workloadEvents(t testing.TB, n int) []*event.Entry {
	t.Helper()
	g := workload.New(1, n*50)
	var jsons [][]byte
	for range n {
		jsons = append(jsons, g.For(nil))
	}
	return decodeEvents(t, 3*block.MaxRows, jsons)
}

// randomEntries draws entries as tests of the whole program have them.
func randomEntries(t *rapid.T, most int) []*event.Entry {
	d := event.NewDecoder()
	var list []*event.Entry
	first := rapid.Uint64Range(0, 1<<39).Draw(t, "first")
	received := rapid.Int64Range(0, 1<<41).Draw(t, "received")
	for i, ev := range rapid.SliceOfN(eventtest.Events(), 1, most).Draw(t, "events") {
		e := &event.Entry{Seq: first + uint64(i), ReceivedAt: received}
		if err := d.Decode(eventtest.JSON(ev), &e.Event); err != nil {
			t.Fatal(err)
		}
		e.Unregistered = rapid.Bool().Draw(t, "unregistered")
		list = append(list, e.Clone())
		received += rapid.SampledFrom([]int64{0, 0, 0, 1, 7, 100_000}).Draw(t, "step")
	}
	return list
}

// encode makes a block of entries. Parts are copies.
func encode(t fataler, enc *block.Encoder, list []*event.Entry) [][]byte {
	t.Helper()
	enc.Reset(list[0].Seq)
	for _, e := range list {
		if !enc.Add(&e.Event, e.ReceivedAt) {
			t.Fatalf("full at %d", enc.Rows())
		}
	}
	var parts [][]byte
	for _, p := range enc.Finish() {
		parts = append(parts, append([]byte(nil), p...))
	}
	return parts
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// fetcher serves parts and notes which.
type fetcher struct {
	mu    sync.Mutex
	parts [][]byte
	seen  []int
}

func (f *fetcher) fetch(part int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, part)
	if part >= len(f.parts) {
		return nil, fmt.Errorf("no part %d", part)
	}
	return f.parts[part], nil
}

func open(t fataler, parts [][]byte) (*block.Reader, *fetcher) {
	t.Helper()
	h, err := block.ParseHeader(parts[block.HeaderPart])
	if err != nil {
		t.Fatalf("%v", err)
	}
	f := &fetcher{parts: parts}
	return block.NewReader(h, f.fetch), f
}

// expectRows compares every row, read one by one and in both orders.
func expectRows(t fataler, r *block.Reader, want []*event.Entry) {
	t.Helper()
	if r.Header().Rows != len(want) {
		t.Fatalf("%d rows, want %d", r.Header().Rows, len(want))
	}
	var e event.Entry
	var scratch []byte
	for i := range want {
		var err error
		if scratch, err = r.Row(i, &e, scratch); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		expectEntry(t, i, &e, want[i])
	}
	for _, desc := range []bool{false, true} {
		i := 0
		for e, err := range r.All(0, len(want), desc) {
			if err != nil {
				t.Fatalf("%v", err)
			}
			at := i
			if desc {
				at = len(want) - 1 - i
			}
			expectEntry(t, at, e, want[at])
			i++
		}
		if i != len(want) {
			t.Fatalf("desc %v: %d rows", desc, i)
		}
	}
}

func expectEntry(t fataler, i int, got, want *event.Entry) {
	t.Helper()
	// The row's bytes say everything of an event, and are fast to compare.
	if got.Seq == want.Seq && got.ReceivedAt == want.ReceivedAt &&
		string(event.AppendRow(nil, &got.Event)) == string(event.AppendRow(nil, &want.Event)) {
		return
	}
	t.Fatalf("row %d: %s", i, cmp.Diff(want, got))
}
