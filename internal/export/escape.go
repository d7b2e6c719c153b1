package export

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// appendEscaped appends text as a JSON string has it that only quotes and
// backslashes are to be escaped in, looking at eight bytes at a time.
func appendEscaped(dst, text []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, 2*len(text)+8)
	to := dst[n : n+2*len(text)+8]
	n = 0
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		if has(w, '"') || has(w, '\\') {
			n = escapeEach(to, n, text[:8])
		} else {
			binary.LittleEndian.PutUint64(to[n:], w)
			n += 8
		}
		text = text[8:]
	}
	n = escapeEach(to, n, text)
	return dst[:len(dst)+n]
}

// escapeEach is quoteEach for JSON.
func escapeEach(to []byte, n int, text []byte) int {
	for _, c := range text {
		to[n] = '\\'
		if c == '"' || c == '\\' {
			n++
		}
		to[n] = c
		n++
	}
	return n
}

func appendBase64(dst, data []byte) []byte { return base64.StdEncoding.AppendEncode(dst, data) }
