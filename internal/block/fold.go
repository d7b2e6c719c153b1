package block

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/internal/event"
)

// needle is free text to be found in others, ignoring case: it is in lower case
// as strings.ToLower has it, and so are the others when they are compared.
type needle struct {
	lower []byte
	// escaped is lower as it would be in canonical JSON.
	escaped []byte
}

func newNeedle(lower []byte) *needle { return &needle{lower, appendEscaped(nil, lower)} }

// appendEscaped appends text as it is in a string of canonical JSON.
func appendEscaped(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range text {
		switch short := bytes.IndexByte([]byte("\b\f\n\r\t\"\\"), c); {
		case short >= 0:
			dst = append(dst, '\\', `bfnrt"\`[short])
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// in reports whether text contains the needle.
func (n *needle) in(text []byte) bool {
	s := getScratch(len(text))
	defer s.put()
	if lowerASCII(s.b, text) {
		return bytes.Contains(s.b, n.lower)
	}
	s.b = appendLower(s.b[:0], text)
	return bytes.Contains(s.b, n.lower)
}

// inJSON reports whether a string, number or boolean that is a canonical value,
// or is anywhere below it, contains the needle.
func (n *needle) inJSON(value []byte) (found bool) {
	switch event.KindOf(value) {
	case event.KindObject:
		event.EachMember(value, func(_, v []byte) bool {
			found = n.inJSON(v)
			return !found
		})
	case event.KindArray:
		event.EachElement(value, func(v []byte) bool {
			found = n.inJSON(v)
			return !found
		})
	case event.KindString:
		var scratch [256]byte
		return n.in(event.Text(value, scratch[:0]))
	case event.KindNumber, event.KindBool:
		return n.in(value)
	}
	return found
}

// appendLower appends text in lower case, letter by letter.
func appendLower(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		text = text[n:]
	}
	return dst
}

// lowerASCII writes text in lower case to dst, which is as long. It reports
// false, and what it wrote is of no use, when text is not all ASCII.
func lowerASCII(dst, text []byte) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	var all uint64
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		all |= w
		// For bytes below 0x80: bit 7 of each that is from 'A' to 'Z'.
		up := (w + (0x80-'A')*ones) &^ (w + (0x80-'Z'-1)*ones) & high
		binary.LittleEndian.PutUint64(dst[i:], w|up>>2)
	}
	for ; i < len(text); i++ {
		c := text[i]
		all |= uint64(c)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
	return all&high == 0
}

// find calls fn with the number of each text that contains the needle, in order.
// Of JSON, keys are not texts.
func (t *textChunk) find(n *needle, json bool, fn func(i int)) {
	buf := t.buf[t.start:]
	s := getScratch(len(buf))
	defer s.put()
	if !lowerASCII(s.b, buf) {
		t.findEach(n, json, fn)
		return
	}
	what := n.lower
	if json {
		what = n.escaped
	}
	for at := 0; ; {
		k := bytes.Index(s.b[at:], what)
		if k < 0 {
			return
		}
		at += k
		i := t.indexAt(int(t.start) + at)
		if i >= len(t.ends) {
			return
		}
		end := int(t.ends[i] - t.start)
		switch {
		case at+len(what) > end: // of two texts
			at++
			continue
		case !json || n.inJSON(t.at(i)):
			fn(i)
		}
		at = end
	}
}

// findEach is find text by text.
func (t *textChunk) findEach(n *needle, json bool, fn func(i int)) {
	for i := range t.ends {
		if text := t.at(i); json && n.inJSON(text) || !json && n.in(text) {
			fn(i)
		}
	}
}
