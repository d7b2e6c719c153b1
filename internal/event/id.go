package event

import "encoding/binary"

// crockford is the alphabet of ULIDs: the digits and the letters but I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// An id's three numbers end where characters do: 10 characters of milliseconds
// (48 bits of their 50), 8 of seq, 8 of check bits.
const (
	seqAt   = 10
	checkAt = 18
)

// makeID writes 48 bits of milliseconds, 40 of seq and the first 40 of check.
func makeID(ms, seq uint64, check [16]byte) ID {
	var id ID
	put32(id[:seqAt], ms)
	put32(id[seqAt:checkAt], seq)
	put32(id[checkAt:], binary.BigEndian.Uint64(check[:])>>24)
	return id
}

// put32 fills dst with v in base 32.
func put32(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = crockford[v&31]
		v >>= 5
	}
}

// ParseID takes an id apart into received_at (Unix milliseconds) and seq. It
// reports false for what is not 26 upper-case characters of Crockford's base 32
// that stand for 128 bits; whether the check bits are right is for
// [Cipher.Verify] to say. Only one text stands for an id, so ids compare as text.
func ParseID(s string) (ms int64, seq uint64, ok bool) {
	if len(s) != idLen || s[0] > '7' {
		return 0, 0, false
	}
	t, ok1 := parse32(s[:seqAt])
	seq, ok2 := parse32(s[seqAt:checkAt])
	_, ok3 := parse32(s[checkAt:])
	if !ok1 || !ok2 || !ok3 {
		return 0, 0, false
	}
	return int64(t), seq, true //nolint:gosec // 48 bits, from the first character
}

func parse32(s string) (v uint64, ok bool) {
	for i := range len(s) {
		d := crockfordValue(s[i])
		if d > 31 {
			return 0, false
		}
		v = v<<5 | d
	}
	return v, true
}

// crockfordValue returns a character's value, or more than 31 when it has none.
func crockfordValue(c byte) uint64 {
	switch {
	case isDigit(c):
		return uint64(c - '0')
	case c < 'A' || c > 'Z' || c == 'I' || c == 'L' || c == 'O' || c == 'U':
		return 255
	}
	v := uint64(c-'A') + 10
	for _, gap := range []byte("ILOU") {
		if c > gap {
			v--
		}
	}
	return v
}
