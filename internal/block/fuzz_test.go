package block_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
)

// fuzzBlocks are small blocks with something of everything.
func fuzzBlocks(t testing.TB) [][][]byte {
	t.Helper()
	few := workloadEvents(t, 3)
	many := workloadEvents(t, 700)
	for i, e := range many {
		if i%3 == 0 {
			e.Targets[0].Metadata = fmt.Appendf(nil, `{"n":%d}`, i)
			e.Targets[0].Name = fmt.Appendf(nil, "name %d", i)
			e.Actor.Type = []byte("other")
			e.Unregistered = true
		}
		if i%50 == 0 {
			e.Metadata = []byte(`{"x":1, "not":"canonical"}`) // kept whole
		}
		if i%7 == 0 {
			e.OccurredAt += int64(i%5) * 40 * 3_600_000_000_000
		}
	}
	var list [][][]byte
	for _, entries := range [][]*event.Entry{few, many} {
		list = append(list, encode(t, block.NewEncoder(block.Fast), entries))
	}
	return list
}

// FuzzReader changes bytes of a block's parts, puts the checksums right, and asks
// everything. Each edit is four bytes: part, offset in two bytes, and what is
// added to the byte there.
func FuzzReader(f *testing.F) {
	blocks := fuzzBlocks(f)
	f.Add(uint8(0), []byte{})
	for part := range blocks[1] {
		for off := 0; off < len(blocks[1][part]) && off < 256; off += 13 {
			f.Add(uint8(1), []byte{byte(part), byte(off), 0, 1, byte(part), byte(off), 1, 0x80})
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		parts := make([][]byte, len(blocks[which%2]))
		for i, p := range blocks[which%2] {
			parts[i] = bytes.Clone(p)
		}
		for ; len(edits) >= 4; edits = edits[4:] {
			p := parts[int(edits[0])%len(parts)]
			p[(int(edits[1])|int(edits[2])<<8)%(len(p)-4)] += edits[3]
		}
		h, err := block.Loose(parts)
		if err != nil {
			allow(t, err)
			return
		}
		exercise(t, block.NewReader(h, func(part int) ([]byte, error) {
			if part >= len(parts) {
				return nil, fmt.Errorf("no part %d: %w", part, block.ErrCorrupt)
			}
			return parts[part], nil
		}))
	})
}

// FuzzHeader parses anything as a header and as a filter.
func FuzzHeader(f *testing.F) {
	blocks := fuzzBlocks(f)
	for _, parts := range blocks {
		f.Add(parts[0][:len(parts[0])-4])
		f.Add(parts[1][:len(parts[1])-4])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := block.Loose([][]byte{append(bytes.Clone(data), 0, 0, 0, 0)})
		if err == nil {
			exercise(t, block.NewReader(h, func(int) ([]byte, error) { return nil, block.ErrCorrupt }))
			return
		}
		allow(t, err)
	})
}

// allow lets errors about the block through and no others.
func allow(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, block.ErrCorrupt) && !errors.Is(err, block.ErrVersion) {
		t.Fatal(err)
	}
}

// exercise asks a reader everything.
func exercise(t *testing.T, r *block.Reader) {
	t.Helper()
	h := r.Header()
	if b, err := r.Part(block.FilterPart); err == nil {
		if f, err := block.ParseFilter(h, b); err == nil {
			f.MayContain(block.FieldAction, []byte("x"))
			f.MayContain(block.FieldTargetID, []byte("01GT"))
		} else {
			allow(t, err)
		}
	}
	var e event.Entry
	var scratch []byte
	var err error
	for i := 0; i < h.Rows; i += 1 + h.Rows/7 {
		scratch, err = r.Row(i, &e, scratch)
		allow(t, err)
	}
	for _, err := range r.All(0, h.Rows, true) {
		allow(t, err)
	}
	within := r.NewRows()
	within.AddRange(h.Rows/3, h.Rows)
	rows := r.NewRows()
	for _, f := range fields() {
		for _, ask := range []func(c *block.Codes) error{
			func(c *block.Codes) error { return r.Equal(f, []byte("01GT"), c) },
			func(c *block.Codes) error { return r.Prefix(f, []byte("0"), c) },
			func(c *block.Codes) error { return r.Select(f, func(v []byte) bool { return len(v)%2 == 0 }, c) },
			func(c *block.Codes) error { return r.Contains(f, []byte("e"), c) },
		} {
			var codes block.Codes
			allow(t, ask(&codes))
			allow(t, r.Rows(&codes, within, rows))
			allow(t, r.Rows(&codes, nil, rows))
		}
		allow(t, r.Values(f, within, func(block.Value) bool { return true }))
		allow(t, r.Values(f, nil, func(block.Value) bool { return true }))
	}
	for _, f := range []block.Field{block.FieldActorID, block.FieldTargetID} {
		_, _, err := r.NewestName(f, []byte("01GT"), nil)
		allow(t, err)
	}
	allow(t, r.OccurredBetween(h.MinOccurred+1, h.MaxOccurred, rows))
	_, _, err = r.ReceivedBetween(h.FirstReceived+1, h.LastReceived)
	allow(t, err)
	_, err = r.AppendOccurred(nil, 0, h.Rows)
	allow(t, err)
	_, err = r.MostTargets(within)
	allow(t, err)
	allow(t, r.Text([]byte("inc-4"), nil, rows))
	allow(t, r.Text([]byte("e"), within, rows))
	keep := func([]byte) bool { return true }
	allow(t, r.Metadata(keep, nil, func(int, []byte, []byte) bool { return true }))
	allow(t, r.MetadataRows(keep, func(_, v []byte) bool { return len(v)%2 == 0 }, within, rows))
	allow(t, r.Check())
	if r.MemoryBytes() > 256<<20 {
		t.Fatalf("the reader keeps %d bytes", r.MemoryBytes())
	}
}
