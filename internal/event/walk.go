package event

import (
	"bytes"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind byte

// The kinds of JSON values. KindInvalid is what no value begins with.
const (
	KindInvalid Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// String returns the word for a kind, as JSON Schema has it.
func (k Kind) String() string {
	switch k {
	case KindNull:
		return "null"
	case KindBool:
		return "boolean"
	case KindNumber:
		return "number"
	case KindString:
		return "string"
	case KindArray:
		return "array"
	case KindObject:
		return "object"
	default:
		return "invalid"
	}
}

// KindOf returns the kind of a JSON value from its first byte, white space
// before it skipped. On a whole body it tells one event (KindObject) from an
// array of events.
func KindOf(value []byte) Kind {
	i := skipSpace(value, 0)
	if i == len(value) {
		return KindInvalid
	}
	switch c := value[i]; c {
	case '{':
		return KindObject
	case '[':
		return KindArray
	case '"':
		return KindString
	case 't', 'f':
		return KindBool
	case 'n':
		return KindNull
	default:
		if c == '-' || isDigit(c) {
			return KindNumber
		}
		return KindInvalid
	}
}

// EachMember calls fn for each member of a canonical JSON object, in order,
// until fn returns false. The key is without its quotes and still escaped, see
// [Unescape]; the value is canonical JSON. Nothing is called for nil. It
// allocates nothing, and on text that is not canonical JSON it stops early.
func EachMember(obj []byte, fn func(key, value []byte) bool) {
	if len(obj) < 2 || obj[0] != '{' {
		return
	}
	for i := 1; i < len(obj) && obj[i] == '"'; i++ {
		k := stringEnd(obj, i)
		if k == len(obj) || obj[k] != ':' {
			return
		}
		end := valueEnd(obj, k+1)
		if end >= len(obj) || end == k+1 || !fn(obj[i+1:k-1], obj[k+1:end]) || obj[end] != ',' {
			return
		}
		i = end
	}
}

// EachElement calls fn for each element of a canonical JSON array, in order,
// until fn returns false. It allocates nothing, and on text that is not
// canonical JSON it stops early.
func EachElement(arr []byte, fn func(value []byte) bool) {
	if len(arr) < 2 || arr[0] != '[' {
		return
	}
	for i := 1; i < len(arr); i++ {
		end := valueEnd(arr, i)
		if end >= len(arr) || end == i || !fn(arr[i:end]) || arr[end] != ',' {
			return
		}
		i = end
	}
}

// Lookup returns the value of a member of a canonical JSON object by its
// decoded name.
func Lookup(obj []byte, name string) (value []byte, ok bool) {
	EachMember(obj, func(k, v []byte) bool {
		if TextEqual(k, name) {
			value, ok = v, true
		}
		return !ok
	})
	return value, ok
}

// TextEqual tells whether escaped text (a key of [EachMember], or a string
// without its quotes) means s. It allocates nothing.
func TextEqual(escaped []byte, s string) bool {
	if bytes.IndexByte(escaped, '\\') < 0 {
		return string(escaped) == s
	}
	var b [64]byte
	return string(AppendUnescape(b[:0], escaped)) == s
}

// Text returns the decoded text of a canonical JSON string, quotes included. It
// is a part of value when there is nothing to decode, else it is appended to
// scratch[:0].
func Text(value, scratch []byte) []byte {
	if len(value) < 2 {
		return nil
	}
	return Unescape(value[1:len(value)-1], scratch)
}

// Unescape decodes canonical string text without its quotes, such as a key of
// [EachMember]. The result is escaped itself when there is nothing to decode,
// else it is appended to scratch[:0].
func Unescape(escaped, scratch []byte) []byte {
	if bytes.IndexByte(escaped, '\\') < 0 {
		return escaped
	}
	return AppendUnescape(scratch[:0], escaped)
}

// AppendUnescape appends the decoded form of canonical string text without its
// quotes.
func AppendUnescape(dst, escaped []byte) []byte {
	for {
		i := bytes.IndexByte(escaped, '\\')
		if i < 0 || i+1 == len(escaped) {
			return append(dst, escaped...)
		}
		dst = append(dst, escaped[:i]...)
		n := 2
		switch c := escaped[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			if len(escaped) < i+6 {
				return append(dst, escaped[i:]...)
			}
			// Canonical JSON escapes control characters only.
			dst = utf8.AppendRune(dst, hex4(escaped[i+2:i+6]))
			n = 6
		default:
			dst = append(dst, c)
		}
		escaped = escaped[i+n:]
	}
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b {
		r <<= 4
		switch {
		case isDigit(c):
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a'+10) & 0xf
		}
	}
	return r
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the offset after the string that begins with the quote at
// b[i], or len(b) when it does not end.
func stringEnd(b []byte, i int) int {
	for i++; ; {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return len(b)
		}
		end := i + q
		slashes := 0
		for end-slashes > i && b[end-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
}

// valueEnd returns the offset after the JSON value that begins at b[i], judged
// by its strings and brackets alone, or len(b) when it does not end.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		if depth < 0 {
			return i
		}
		i++
	}
	return i
}
