package event

import "encoding/binary"

// crockford is the alphabet of ULIDs: the digits and the letters but I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	maxSeq = 1<<40 - 1
	maxMS  = 1<<48 - 1
)

// makeID puts 48 bits of milliseconds, 40 of seq and the first 40 of check into
// 130 bits of text, of which the first two are zero.
func makeID(ms, seq uint64, check [16]byte) ID {
	sum := binary.BigEndian.Uint64(check[:8]) >> 24
	hi := ms<<16 | seq>>24&0xffff
	lo := seq<<40 | sum
	var id ID
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return id
}

// ParseID takes an id apart into received_at (Unix milliseconds) and seq. It
// reports false for what is not 26 upper-case characters of Crockford's base 32
// that stand for 128 bits; whether the check bits are right is for
// [Cipher.Verify] to say. Only one text stands for an id, so ids compare as text.
func ParseID(s string) (ms int64, seq uint64, ok bool) {
	if len(s) != idLen || s[0] > '7' {
		return 0, 0, false
	}
	var hi, lo uint64
	for i := range len(s) {
		v := crockfordValue(s[i])
		if v > 31 {
			return 0, 0, false
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | v
	}
	return int64(hi >> 16), hi&0xffff<<24 | lo>>40, true //nolint:gosec // 48 bits
}

func crockfordValue(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case c < 'A' || c > 'Z' || c == 'I' || c == 'L' || c == 'O' || c == 'U':
		return 255
	}
	v := uint64(c-'A') + 10
	for _, gap := range "ILOU" {
		if c > byte(gap) {
			v--
		}
	}
	return v
}
