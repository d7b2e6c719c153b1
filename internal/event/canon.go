package event

import (
	"encoding/binary"
	"math/bits"
)

// appendString appends decoded text as a JSON string in the form of RFC 8785:
// only what must be is escaped, control characters in their short form where
// there is one, else as \u00xx in lower case.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for {
		n := plainLen(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// plainLen returns how many bytes come before the first that is escaped in a JSON
// string, looking at eight at a time.
func plainLen(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if hits := escapes(binary.LittleEndian.Uint64(s[i:])); hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

// escapes sets the high bit of bytes that are escaped in a JSON string. A byte
// after the first of them may be set wrongly.
func escapes(w uint64) uint64 {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	quote, slash := w^'"'*ones, w^'\\'*ones
	return ((w-0x20*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}

// compareUTF16 orders UTF-8 texts by their UTF-16 code units, as RFC 8785 orders
// keys. That is the order of the bytes but for one case: a character from U+10000
// on (first byte F0 to F4) is a surrogate pair in UTF-16 and comes before U+E000
// to U+FFFF (first byte EE or EF). Where two texts first differ, bytes that high
// are first bytes of characters.
func compareUTF16(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0) {
			x, y = y, x
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}
