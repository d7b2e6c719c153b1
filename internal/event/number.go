package event

import (
	"bytes"
	"strconv"
)

// maxDigits is how many significant digits a double needs at most.
const maxDigits = 17

// appendNumber appends a JSON number in the form of RFC 8785, which is that of
// ECMAScript: the shortest text that reads back as the same IEEE 754 double. It
// reports false, and appends nothing, when that text has another value than the
// one given: the number would not be kept. The text must be a JSON number.
func appendNumber(dst, text []byte) ([]byte, bool) {
	var given, kept [maxDigits]byte
	digits, exp, ok := decimal(&given, text)
	if !ok {
		return dst, false
	}
	if len(digits) == 0 {
		return append(dst, '0'), true // also for -0
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f == 0 {
		return dst, false
	}
	var b [32]byte
	shortest, shortestExp, _ := decimal(&kept, strconv.AppendFloat(b[:0], f, 'e', -1, 64))
	if exp != shortestExp || !bytes.Equal(digits, shortest) {
		return dst, false
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	return appendES6(dst, digits, exp), true
}

// decimal takes a JSON number apart: its value is 0.digits × 10^exp, its sign
// left out, without zeros at either end of digits; zero has none. It reports
// false when there are more digits than a double can keep.
func decimal(buf *[maxDigits]byte, text []byte) (digits []byte, exp int, ok bool) {
	digits = buf[:0]
	zeros := 0 // zeros that count only if another digit follows
	point := false
	for i, c := range text {
		switch {
		case c == '-':
		case c == '.':
			point = true
		case c == 'e' || c == 'E':
			return digits, exp + exponent(text[i+1:]), true
		case c == '0' && len(digits) == 0:
			if point {
				exp--
			}
		default:
			if !point {
				exp++
			}
			if c == '0' {
				zeros++
				continue
			}
			if len(digits)+zeros >= maxDigits {
				return nil, 0, false
			}
			for ; zeros > 0; zeros-- {
				digits = append(digits, '0')
			}
			digits = append(digits, c)
		}
	}
	return digits, exp, true
}

// exponent reads the digits after the e of a number. What is far beyond a double
// stays so.
func exponent(text []byte) int {
	n, sign := 0, 1
	for _, c := range text {
		switch {
		case c == '-':
			sign = -1
		case c != '+' && n < 1<<30:
			n = n*10 + int(c-'0')
		}
	}
	return sign * n
}

// appendES6 writes 0.digits × 10^exp as ECMAScript's Number::toString does.
func appendES6(dst, digits []byte, exp int) []byte {
	n := len(digits)
	switch {
	case n <= exp && exp <= 21:
		dst = append(dst, digits...)
		return appendZeros(dst, exp-n)
	case 0 < exp && exp <= 21:
		dst = append(dst, digits[:exp]...)
		dst = append(dst, '.')
		return append(dst, digits[exp:]...)
	case -6 < exp && exp <= 0:
		dst = appendZeros(append(dst, "0."...), -exp)
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if n > 1 {
		dst = append(dst, '.')
		dst = append(dst, digits[1:]...)
	}
	dst = append(dst, 'e')
	if exp > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(exp-1), 10)
}

func appendZeros(dst []byte, n int) []byte {
	const zeros = "000000000000000000000"
	return append(dst, zeros[:n]...)
}
