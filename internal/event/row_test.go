package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func goodRow(tb testing.TB) []byte {
	tb.Helper()
	ev := new(Event)
	if err := NewDecoder().Decode([]byte(benchEvent), ev); err != nil {
		tb.Fatal(err)
	}
	ev.Unregistered = true
	return AppendRow(nil, ev)
}

func FuzzDecodeRow(f *testing.F) {
	row := goodRow(f)
	f.Add(row)
	f.Add(row[:len(row)-1])
	f.Add(append(bytes.Clone(row), 0))
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 1, 't', 1, 'i', 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, row []byte) {
		ev := Event{Targets: make([]Party, 2)}
		if err := DecodeRow(row, &ev); err != nil {
			return
		}
		// A row has one form only, so what it decodes to gives it back.
		if again := AppendRow(nil, &ev); !bytes.Equal(again, row) {
			t.Fatalf("row %x is written back as %x", row, again)
		}
	})
}

// Cut anywhere, or with a byte more, a row is an error; its memory is bounded.
func TestDecodeRowCut(t *testing.T) {
	row := goodRow(t)
	for n := range row {
		if err := DecodeRow(row[:n:n], new(Event)); err == nil {
			t.Errorf("accepted the first %d bytes of %d", n, len(row))
		}
	}
	if err := DecodeRow(append(bytes.Clone(row), 0), new(Event)); !errors.Is(err, errRowTrailing) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestDecodeRowRefuses(t *testing.T) {
	const head = 10 // flags, a version of one byte, the time
	row := goodRow(t)
	if row[1] != 1 {
		t.Fatalf("version byte is %d", row[1])
	}
	edit := func(fn func(b []byte) []byte) []byte { return fn(bytes.Clone(row)) }
	for name, tt := range map[string]struct {
		row  []byte
		want error
	}{
		"empty":          {nil, errRowShort},
		"unknown flag":   {edit(func(b []byte) []byte { b[0] = 0x81; return b }), errRowFlags},
		"version 0":      {edit(func(b []byte) []byte { b[1] = 0; return b }), errRowVersion},
		"version 65536":  {append([]byte{0, 0x80, 0x80, 0x04}, row[2:]...), errRowVersion},
		"long varint":    {append([]byte{0, 0x81, 0x00}, row[2:]...), errRowVarint},
		"endless varint": {append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...), errRowVarint},
		"before 1970":    {edit(func(b []byte) []byte { b[head-1] = 0x80; return b }), errRowTime},
		"year 2262": {edit(func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[2:], maxTime+1)
			return b
		}), errRowTime},
		"long field": {edit(func(b []byte) []byte { b[head] = 0x7f; return b[:100] }), errRowShort},
		"huge field": {append(bytes.Clone(row[:head]), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), errRowShort},
		"targets beyond the row": {
			[]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 1, 't', 1, 'i', 0, 0, 0, 0, 0, 100}, errRowShort,
		},
		"101 targets": {
			append([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 1, 't', 1, 'i', 0, 0, 0, 0, 0, 101}, make([]byte, 404)...),
			errRowTargets,
		},
	} {
		if err := DecodeRow(tt.row, new(Event)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Appending to a decoded field must not write into the row.
func TestDecodeRowFieldsAreCut(t *testing.T) {
	row := goodRow(t)
	kept := bytes.Clone(row)
	var ev Event
	if err := DecodeRow(row, &ev); err != nil {
		t.Fatal(err)
	}
	ev.eachText(func(b *[]byte) { _ = append(*b, "overwritten"...) })
	if diff := cmp.Diff(kept, row); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRowReusesEvent(t *testing.T) {
	var small, ev Event
	if err := DecodeRow(goodRow(t), &ev); err != nil {
		t.Fatal(err)
	}
	if err := NewDecoder().Decode([]byte(minimal), &small); err != nil {
		t.Fatal(err)
	}
	ev.IdempotencyKey = []byte("old")
	targets := cap(ev.Targets)
	if err := DecodeRow(AppendRow(nil, &small), &ev); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(small, ev, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("something of the event before is left: %s", diff)
	}
	if cap(ev.Targets) != targets {
		t.Error("targets are not reused")
	}
}
