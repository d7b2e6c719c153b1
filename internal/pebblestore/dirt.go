package pebblestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stelehq/stele/internal/ledger"
)

// dirt is a part of a log, the entries from ≤ seq < to, of which something was taken
// out or which was dropped, so that tables may still have bytes of it. It is stored
// with what was taken out, and removed by the Scrub after which they do not.
type dirt struct {
	org string
	// incarnation is the log's, generation that of the range, zero for the whole
	// log: no two of the same place have the same.
	incarnation, generation uint32
	from, to                uint64
}

const dirtNumbers = 4 + 4 + 8

func (d *dirt) key() []byte {
	key := binary.BigEndian.AppendUint32(appendOrgKey(nil, kindDirt, d.org), d.incarnation)
	key = binary.BigEndian.AppendUint64(key, d.from)
	return binary.BigEndian.AppendUint32(key, d.generation)
}

func (d *dirt) put(b *pebble.Batch) error {
	key := d.key()
	return b.Set(key, seal(key, binary.LittleEndian.AppendUint64([]byte{valueVersion}, d.to), 0), nil)
}

func decodeDirt(key, value []byte) (dirt, error) {
	b, err := unseal(key, value)
	if err != nil {
		return dirt{}, err
	}
	if len(b) != 8 || len(key) < 2 || len(key) != 2+int(key[1])+dirtNumbers {
		return dirt{}, errLength
	}
	n := key[2+int(key[1]):]
	d := dirt{
		org: string(key[2 : 2+int(key[1])]), incarnation: binary.BigEndian.Uint32(n), generation: binary.BigEndian.Uint32(n[12:]),
		from: binary.BigEndian.Uint64(n[4:]), to: binary.LittleEndian.Uint64(b),
	}
	if d.from >= d.to {
		return d, errGap
	}
	return d, nil
}

// readDirt returns all dirt there is.
func readDirt(db pebble.Reader) (list []dirt, err error) {
	err = eachRow(db, kindDirt, func(key, value []byte) error {
		d, err := decodeDirt(key, value)
		list = append(list, d)
		return err
	})
	return list, err
}

// keySpan is keys from start to end, both included. Neither is the key of anything.
type keySpan struct{ start, end []byte }

func (s *keySpan) touches(smallest, largest []byte) bool {
	return bytes.Compare(smallest, s.end) <= 0 && bytes.Compare(s.start, largest) <= 0
}

// spansOf returns where tables may have what was taken out: the keys of all kinds
// about the entries of dirt, and all records of the catalog.
func spansOf(list []dirt) []keySpan {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b dirt) int { return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.from, b.from)) })
	spans := []keySpan{{[]byte{kindRecord}, append([]byte{kindRecord}, above(maxRecordKey+1)...)}}
	for i := 0; i < len(list); {
		d := list[i]
		for i++; i < len(list) && list[i].org == d.org && list[i].from <= d.to; i++ {
			d.to = max(d.to, list[i].to)
		}
		for _, kind := range []byte(logKinds) {
			if kind != kindNode || d.to == math.MaxUint64 { // only Drop removes nodes
				spans = append(spans, spanOf(kind, &d))
			}
		}
	}
	return spans
}

// above are bytes that come after all that keys go on with.
func above(n int) []byte { return bytes.Repeat([]byte{math.MaxUint8}, n) }

// spanOf returns the keys of one kind.
func spanOf(kind byte, d *dirt) keySpan {
	unit := uint64(1)
	switch kind {
	case kindKeys:
		unit = ledger.BlockSize
	case kindTile:
		unit = ledger.TileWidth
	}
	s := keySpan{appendOrgKey(nil, kind, d.org), append(appendOrgKey(nil, kind, d.org), above(24)...)}
	if d.from > 0 {
		s.start = append(appendSeqKey(nil, kind, d.org, d.from/unit-1), above(16)...)
	}
	if d.to < math.MaxUint64 {
		s.end = append(appendSeqKey(nil, kind, d.org, d.to/unit-1), above(16)...)
	}
	return s
}

var errDirt = errors.New("tables still have what was taken out")
