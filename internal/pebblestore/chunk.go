package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/stelehq/stele/internal/ledger"
)

// Chunks of receipts have two versions. In the first, of old stores, receipts are
// 40 bytes as in the values of groups. In the second, packedVersion, a receipt has
// as many bits as the largest of its chunk needs, and only the first
// storedKeyBytes of its key.
//
// A new key is mistaken for a stored one when these agree: at n live receipts, n
// in 2^80 new keys, one in 10^17 for ten million. It is then refused as used for
// another event, unless the fingerprints, of 64 bits, agree as well.
const (
	packedVersion  = 2
	storedKeyBytes = 10
	packedHeader   = 1 + 3 + 8 + 8
	maxDeltaBits   = 80
)

// unsealAny is unseal for values of any version.
func unsealAny(key, value []byte) (body []byte, version byte, err error) {
	n := len(value) - sumBytes
	if n < 1 {
		return nil, 0, errShort
	}
	if sumOf(key, value[:n]) != binary.LittleEndian.Uint32(value[n:]) {
		return nil, 0, errChecksum
	}
	return value[1:n], value[0], nil
}

// shorten clears what a packed chunk does not keep of a key.
func shorten(key *ledger.Key) { clear(key[storedKeyBytes:]) }

// packedChunkKey is the key of a packed chunk that begins with key.
func packedChunkKey(dst []byte, window uint64, key *ledger.Key) []byte {
	return append(windowKey(dst, kindChunk, window), key[:storedKeyBytes]...)
}

// wide is the stored part of a key as a number.
type wide struct {
	hi uint16
	lo uint64
}

func wideAt(b []byte) wide {
	return wide{binary.BigEndian.Uint16(b), binary.BigEndian.Uint64(b[2:])}
}

// minus is the difference to a smaller number.
func (w wide) minus(o wide) wide {
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	return wide{w.hi - o.hi - uint16(borrow), lo} //nolint:gosec // 0 or 1
}

// plus adds, and says whether the sum is larger than w, as it is unless it is too
// large or o is zero.
func (w wide) plus(o wide) (wide, bool) {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	sum := wide{w.hi + o.hi + uint16(carry), lo} //nolint:gosec // 0 or 1
	return sum, w.less(sum)
}

func (w wide) less(o wide) bool { return w.hi < o.hi || w.hi == o.hi && w.lo < o.lo }

func (w wide) bits() int {
	if w.hi > 0 {
		return 64 + bits.Len16(w.hi)
	}
	return bits.Len64(w.lo)
}

func (w wide) put(key *ledger.Key) {
	binary.BigEndian.PutUint16(key[:], w.hi)
	binary.BigEndian.PutUint64(key[2:], w.lo)
}

// packing is the header of a packed chunk: how many bits the fields of its
// receipts have, and what the smallest are.
type packing struct {
	count                int
	delta, received, seq int // bits
	minReceived          int64
	minSeq               uint64
}

func (p *packing) receiptBits() int { return p.delta + p.received + p.seq + 64 }

// appendChunk appends the value of a packed chunk of 1 to chunkReceipts receipts,
// ascending by the stored part of their keys. key is that of its row.
func appendChunk(dst, key []byte, list []ledger.KeyedReceipt) []byte {
	p := packingOf(list)
	start := len(dst)
	dst = append(dst, packedVersion, byte(p.count-1), byte(p.delta), byte(p.received), byte(p.seq)) //nolint:gosec // small
	dst = appendInt(dst, p.minReceived)
	dst = binary.LittleEndian.AppendUint64(dst, p.minSeq)
	w := bitWriter{dst: dst}
	last := wideAt(list[0].Key[:])
	for i := range list {
		r := &list[i]
		at := wideAt(r.Key[:])
		delta := at.minus(last)
		last = at
		w.write(delta.lo, min(p.delta, 64))
		w.write(uint64(delta.hi), max(p.delta-64, 0))
		w.write(uint64(r.ReceivedAt-p.minReceived), p.received) //nolint:gosec // not negative
		w.write(r.Seq-p.minSeq, p.seq)
		w.write(binary.LittleEndian.Uint64(r.Fingerprint[:]), 64)
	}
	return seal(key, w.finish(), start)
}

func packingOf(list []ledger.KeyedReceipt) packing {
	p := packing{count: len(list), minReceived: math.MaxInt64, minSeq: math.MaxUint64}
	maxReceived, maxSeq := int64(math.MinInt64), uint64(0)
	last := wideAt(list[0].Key[:])
	for i := range list {
		r := &list[i]
		at := wideAt(r.Key[:])
		p.delta = max(p.delta, at.minus(last).bits())
		last = at
		p.minReceived, maxReceived = min(p.minReceived, r.ReceivedAt), max(maxReceived, r.ReceivedAt)
		p.minSeq, maxSeq = min(p.minSeq, r.Seq), max(maxSeq, r.Seq)
	}
	p.received = bits.Len64(uint64(maxReceived - p.minReceived)) //nolint:gosec // wraps as it does back
	p.seq = bits.Len64(maxSeq - p.minSeq)
	return p
}

// packedChunk reads the receipts of a packed chunk one after the other.
type packedChunk struct {
	packing
	rows []byte
	i    int
	at   wide // of receipt i
}

func openPacked(key, body []byte) (packedChunk, error) {
	if len(body) < packedHeader || len(key) != 1+8+storedKeyBytes {
		return packedChunk{}, errLength
	}
	c := packedChunk{packing: packing{
		count: int(body[0]) + 1, delta: int(body[1]), received: int(body[2]), seq: int(body[3]),
		minReceived: int64At(body, 4), minSeq: binary.LittleEndian.Uint64(body[12:]),
	}, rows: body[packedHeader:], i: -1, at: wideAt(key[9:])}
	if c.delta > maxDeltaBits || c.received > 64 || c.seq > 64 || len(c.rows) != (c.count*c.receiptBits()+7)/8 {
		return packedChunk{}, errLength
	}
	return c, nil
}

var errOrder = errors.New("receipts are out of order")

// next goes to the next receipt, false after the last.
func (c *packedChunk) next() (bool, error) {
	if c.i++; c.i == c.count {
		return false, nil
	}
	off := c.i * c.receiptBits()
	delta := wide{lo: bitsAt(c.rows, off, min(c.delta, 64))}
	if c.delta > 64 {
		delta.hi = uint16(bitsAt(c.rows, off+64, c.delta-64)) //nolint:gosec // at most 16 bits
	}
	if c.i == 0 {
		if delta != (wide{}) {
			return false, errOrder
		}
		return true, nil
	}
	at, ok := c.at.plus(delta)
	if c.at = at; !ok {
		return false, errOrder
	}
	return true, nil
}

// read returns the receipt that next went to.
func (c *packedChunk) read() ledger.Receipt {
	off := c.i*c.receiptBits() + c.delta
	r := ledger.Receipt{
		ReceivedAt: c.minReceived + int64(bitsAt(c.rows, off, c.received)), //nolint:gosec // wraps back
		Seq:        c.minSeq + bitsAt(c.rows, off+c.received, c.seq),
	}
	binary.LittleEndian.PutUint64(r.Fingerprint[:], bitsAt(c.rows, off+c.received+c.seq, 64))
	return r
}

// decodeChunk appends the receipts of a chunk of either version to dst. Their keys
// are whole in the first version only.
func decodeChunk(dst []ledger.KeyedReceipt, key, value []byte) ([]ledger.KeyedReceipt, error) {
	body, version, err := unsealAny(key, value)
	switch {
	case err != nil:
		return dst, err
	case version == valueVersion:
		return decodeOldChunk(dst, key, body)
	case version != packedVersion:
		return dst, errVersion(version)
	}
	c, err := openPacked(key, body)
	if err != nil {
		return dst, err
	}
	for {
		ok, err := c.next()
		if err != nil || !ok {
			return dst, err
		}
		r := ledger.KeyedReceipt{Receipt: c.read()}
		c.at.put(&r.Key)
		dst = append(dst, r)
	}
}

func decodeOldChunk(dst []ledger.KeyedReceipt, key, body []byte) ([]ledger.KeyedReceipt, error) {
	list := storedReceipts(body)
	if len(body) == 0 || len(body)%receiptBytes != 0 || list.len() > chunkReceipts || len(key) != 1+8+len(ledger.Key{}) {
		return dst, errLength
	}
	if !bytes.Equal(list.key(0), key[9:]) {
		return dst, errors.New("chunk does not begin with its key")
	}
	for i := range list.len() {
		var r ledger.KeyedReceipt
		list.at(i, &r)
		if i > 0 && bytes.Compare(list.key(i-1), list.key(i)) >= 0 {
			return dst, errOrder
		}
		dst = append(dst, r)
	}
	return dst, nil
}

// searchChunk looks for a key in the chunk that would have it.
func searchChunk(key, value []byte, want *ledger.Key) (r ledger.Receipt, ok bool, err error) {
	body, version, err := unsealAny(key, value)
	if err != nil {
		return r, false, err
	}
	if version != packedVersion {
		var buf [chunkReceipts]ledger.KeyedReceipt
		list, err := decodeChunk(buf[:0], key, value)
		for i := range list {
			if list[i].Key == *want {
				return list[i].Receipt, true, err
			}
		}
		return r, false, err
	}
	c, err := openPacked(key, body)
	if err != nil {
		return r, false, err
	}
	sought := wideAt(want[:])
	for {
		more, err := c.next()
		switch {
		case err != nil || !more || sought.less(c.at):
			return r, false, err
		case c.at == sought:
			return c.read(), true, nil
		}
	}
}

// bitWriter appends numbers of any width up to 64 bits, lowest bit first.
type bitWriter struct {
	dst  []byte
	word uint64
	n    int // bits in word
}

func (w *bitWriter) write(v uint64, width int) {
	if width == 0 {
		return
	}
	w.word |= v << w.n
	if w.n+width < 64 {
		w.n += width
		return
	}
	w.dst = binary.LittleEndian.AppendUint64(w.dst, w.word)
	w.word = v >> (64 - w.n) // a shift by 64 gives 0
	w.n += width - 64
}

// finish returns all that was written, with zeros up to a whole byte.
func (w *bitWriter) finish() []byte {
	for ; w.n > 0; w.n -= 8 {
		w.dst = append(w.dst, byte(w.word)) //nolint:gosec // the lowest bits
		w.word >>= 8
	}
	return w.dst
}

// bitsAt reads width bits from bit off on.
func bitsAt(b []byte, off, width int) uint64 {
	if width == 0 {
		return 0
	}
	b = b[off/8:]
	shift := off % 8
	if len(b) < 9 {
		var padded [9]byte
		copy(padded[:], b)
		b = padded[:]
	}
	v := binary.LittleEndian.Uint64(b) >> shift
	if shift+width > 64 {
		v |= uint64(b[8]) << (64 - shift)
	}
	return v & (math.MaxUint64 >> (64 - width))
}
