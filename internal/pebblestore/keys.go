package pebblestore

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/stelehq/stele/internal/block"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
)

// The first byte of a key. They are part of the stored format.
const (
	kindFormat   = '!'
	kindBlock    = 'b'
	kindRun      = 'c'
	kindFilter   = 'f'
	kindGap      = 'g'
	kindHead     = 'h'
	kindKeys     = 'k'
	kindRecord   = 'm'
	kindNode     = 'n'
	kindPart     = 'p'
	kindReceipts = 'r'
	kindChunk    = 's'
	kindTile     = 't'
	kindDirt     = 'x'
)

// logKinds are the kinds of keys that begin with an organization and are removed
// with it; the head stays, for its incarnation.
const logKinds = "bcgknpt"

// maxOrgBytes is the longest organization that fits a key.
const maxOrgBytes = 255

// valueVersion is the first byte of most values written here, rewrittenVersion
// that of headers and keys of ranges out of which something was taken.
const (
	valueVersion     = 1
	rewrittenVersion = 2
)

// castagnoli is the polynomial that processors compute. The table is made once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

const sumBytes = 4

// appendOrgKey appends what all keys of one kind and organization begin with.
func appendOrgKey(dst []byte, kind byte, org string) []byte {
	dst = append(dst, kind, byte(len(org))) //nolint:gosec // at most maxOrgBytes
	return append(dst, org...)
}

func appendSeqKey(dst []byte, kind byte, org string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendOrgKey(dst, kind, org), n)
}

func runKey(dst []byte, org string, firstSeq uint64) []byte {
	return appendSeqKey(dst, kindRun, org, firstSeq)
}

func blockKey(org string, firstSeq uint64) []byte {
	return appendSeqKey(nil, kindBlock, org, firstSeq)
}

// partKey has the number of rows too: of blocks that begin with the same entry the
// larger one took the other's place, and whoever still reads that must not be
// given parts of the new one. For the same reason it has the generation, unless
// that is zero.
func partKey(dst []byte, org string, h *block.Header, generation uint32, part int) []byte {
	dst = appendSeqKey(dst, kindPart, org, h.FirstSeq)
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.Rows)) //nolint:gosec // at most block.MaxRows
	dst = binary.BigEndian.AppendUint16(dst, uint16(part))   //nolint:gosec // at most maxParts
	if generation > 0 {
		dst = binary.BigEndian.AppendUint32(dst, generation)
	}
	return dst
}

func tileKey(org string, tile uint64) []byte {
	return appendSeqKey(nil, kindTile, org, tile)
}

func gapKey(org string, from uint64) []byte {
	return appendSeqKey(nil, kindGap, org, from)
}

func keysKey(dst []byte, org string, block uint64) []byte {
	return appendSeqKey(dst, kindKeys, org, block)
}

func nodeKey(dst []byte, org string, level int, index uint64) []byte {
	dst = append(appendOrgKey(dst, kindNode, org), byte(level)) //nolint:gosec // at most maxLevel
	return binary.BigEndian.AppendUint64(dst, index)
}

func windowKey(dst []byte, kind byte, window uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), window)
}

func receiptsKey(dst []byte, window, group uint64) []byte {
	return binary.BigEndian.AppendUint64(windowKey(dst, kindReceipts, window), group)
}

func chunkKey(dst []byte, window uint64, first *ledger.Key) []byte {
	return append(windowKey(dst, kindChunk, window), first[:]...)
}

func recordKey(key string) []byte {
	return append([]byte{kindRecord}, key...)
}

// keyNumber is the number that a key ends with.
func keyNumber(key []byte) (uint64, bool) {
	if len(key) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[len(key)-8:]), true
}

// prefixEnd returns the first key after all that begin with prefix, whose last
// byte is below 0xff, or with a number at its end below its largest.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// seal appends the checksum that a value ends with. value begins at start.
func seal(key, value []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(value, sumOf(key, value[start:]))
}

func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli()), castagnoli(), value)
}

// unseal checks version and checksum of a value and returns what is between.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - sumBytes
	if n < 1 {
		return nil, errShort
	}
	if value[0] != valueVersion {
		return nil, errVersion(value[0])
	}
	if sumOf(key, value[:n]) != binary.LittleEndian.Uint32(value[n:]) {
		return nil, errChecksum
	}
	return value[1:n], nil
}

// rangeKeys are the keys of a range of [ledger.BlockSize] entries.
type rangeKeys struct {
	event.Keys
	// generation counts how often something was taken out of the range. The
	// range's blocks, their parts and the salts of its tiles have the same one.
	generation uint32
	// Entries before from have salts of their own, which are stored. The salt key
	// is that of the others, and none when there are no others.
	from uint64
}

// encodeKeys and decodeKeys are the value of a range's keys.
func encodeKeys(key []byte, k *rangeKeys) []byte {
	value := append(make([]byte, 0, 64), valueVersion)
	if k.generation == 0 {
		value = append(value, k.Salt[:]...)
		return seal(key, append(value, k.Check[:]...), 0)
	}
	value[0] = rewrittenVersion
	value = binary.LittleEndian.AppendUint32(value, k.generation)
	value = binary.LittleEndian.AppendUint64(value, k.from)
	value = append(value, k.Check[:]...)
	if k.Salt != [16]byte{} {
		value = append(value, k.Salt[:]...)
	}
	return seal(key, value, 0)
}

func decodeKeys(key, value []byte) (*rangeKeys, error) {
	body, version, err := unsealAny(key, value)
	if err != nil {
		return nil, err
	}
	k := &rangeKeys{}
	switch {
	case version == valueVersion && len(body) == 32:
		copy(k.Check[:], body[copy(k.Salt[:], body):])
	case version == rewrittenVersion && (len(body) == 28 || len(body) == 44):
		k.generation, k.from = binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint64(body[4:])
		body = body[12:]
		copy(k.Salt[:], body[copy(k.Check[:], body):])
		if k.generation == 0 {
			return nil, errGeneration
		}
	case version != valueVersion && version != rewrittenVersion:
		return nil, errVersion(version)
	default:
		return nil, errLength
	}
	return k, nil
}
