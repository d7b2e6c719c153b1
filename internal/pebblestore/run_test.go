package pebblestore

import (
	"bytes"
	"math"
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/storetest"
)

func encodedRun(rows int) (key, value []byte, want [][]byte) {
	for _, e := range storetest.MakeEvents("a", rows) {
		want = append(want, event.AppendRow(nil, e))
	}
	h := runHeader{receivedAt: 7, minOccurred: 1, maxOccurred: 2, priorMax: math.MinInt64}
	key, value = new(runEncoder).encode("org", 42, h, want)
	return key, value, want
}

func TestRun(t *testing.T) {
	var r runReader
	for _, n := range []int{1, 2, 100, 2000} {
		key, value, want := encodedRun(n)
		if err := r.open(key, value); err != nil {
			t.Fatal(err)
		}
		if err := r.unpack(); err != nil {
			t.Fatal(err)
		}
		if int(r.rows) != n || r.first != 42 || r.receivedAt != 7 || r.minOccurred != 1 || r.maxOccurred != 2 || r.priorMax != math.MinInt64 {
			t.Errorf("header: %+v", r.runHeader)
		}
		if packed := r.flags&flagS2 != 0; packed != (n > 20) {
			t.Errorf("run of %d rows, %d bytes: compressed %t", n, r.bodyBytes, packed)
		}
		for i := range want {
			if !bytes.Equal(r.row(i), want[i]) {
				t.Fatalf("row %d of %d: got %x, want %x", i, n, r.row(i), want[i])
			}
		}
		for i := range value { // no flipped bit passes
			value[i] ^= 0x10
			if r.open(key, value) == nil {
				t.Fatalf("run of %d with a flipped bit in byte %d passes", n, i)
			}
			value[i] ^= 0x10
		}
		if r.open(runKey(nil, "org", 43), value) == nil || r.open(runKey(nil, "orh", 42), value) == nil {
			t.Error("a run under another key passes")
		}
	}
}

// FuzzRun reads anything as a run, also with a checksum that is right.
func FuzzRun(f *testing.F) {
	key, value, _ := encodedRun(3)
	f.Add(value)
	f.Add(value[:len(value)-sumBytes])
	_, value, _ = encodedRun(300)
	f.Add(value[:len(value)-sumBytes])
	f.Fuzz(func(t *testing.T, data []byte) {
		var r runReader
		for _, v := range [][]byte{data, seal(key, bytes.Clone(data), 0)} {
			if r.open(key, v) != nil || r.unpack() != nil {
				continue
			}
			if len(r.data) > maxBodyBytes || cap(r.buf) > 4*maxBodyBytes {
				t.Errorf("%d bytes became %d", len(v), len(r.data))
			}
			var rows [][]byte
			size := 0
			for i := range int(r.rows) {
				rows = append(rows, r.row(i))
				size += len(r.row(i))
			}
			if size != len(r.data) {
				t.Errorf("rows have %d bytes of %d", size, len(r.data))
			}
			_, again := new(runEncoder).encode("org", 42, r.runHeader, rows)
			var r2 runReader
			if err := r2.open(key, again); r.flags == 0 && err != nil {
				t.Errorf("written again: %v", err)
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	key := appendOrgKey(nil, kindHead, "org")
	l := storetest.NewLog("org")
	c := l.Next(1, storetest.MakeEvents("a", 7), nil)
	h := &head{Head: c.Head, maxOccurred: 5, incarnation: 2}
	f.Add(h.encode(nil, key))
	f.Add(h.encode(nil, key)[:40])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range [][]byte{data, seal(key, bytes.Clone(data), 0)} {
			if h, err := decodeHead(key, v); err == nil && !bytes.Equal(h.encode(nil, key), v) {
				t.Errorf("head %x is %x when written again", v, h.encode(nil, key))
			}
			if k, err := decodeKeys(key, v); err == nil && !bytes.Equal(encodeKeys(key, k), v) {
				t.Errorf("keys %x are %x when written again", v, encodeKeys(key, k))
			}
			if r, err := decodeRecord(key, v); err == nil && !bytes.Equal(encodeRecord(key, r.Rev, r.Value), v) {
				t.Errorf("record %x is %x when written again", v, encodeRecord(key, r.Rev, r.Value))
			}
		}
	})
}
