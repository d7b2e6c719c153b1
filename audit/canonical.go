package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// appendCanonical appends a JSON value in the form of RFC 8785: keys sorted by
// their UTF-16 units, numbers as ECMAScript writes them, the least escaping. A
// value of another Go type than [Metadata] names counts as what encoding/json
// makes of it.
func appendCanonical(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return appendText(dst, v)
	case json.Number:
		return appendNumber(dst, string(v))
	case float64:
		return appendNumber(dst, strconv.FormatFloat(v, 'e', -1, 64))
	case []any:
		return appendArray(dst, v)
	case map[string]any:
		return appendObject(dst, v)
	case Metadata:
		return appendObject(dst, v)
	default:
		generic, err := toGeneric(v)
		if err != nil {
			return dst, err
		}
		return appendCanonical(dst, generic)
	}
}

func appendArray(dst []byte, elems []any) ([]byte, error) {
	dst = append(dst, '[')
	for i, elem := range elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendCanonical(dst, elem); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, members map[string]any) ([]byte, error) {
	dst = append(dst, '{')
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareUTF16)
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendText(dst, key); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = appendCanonical(dst, members[key]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// compareUTF16 orders keys as RFC 8785 does. That is the order of their bytes, but
// where characters beyond U+FFFF are.
func compareUTF16(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return strings.Compare(a, b)
	}
	beyond := func(r rune) bool { return r > 0xFFFF }
	if strings.IndexFunc(a, beyond) < 0 && strings.IndexFunc(b, beyond) < 0 {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendText appends a string with only what must be escaped.
func appendText(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return dst, fmt.Errorf("the text %q is not valid UTF-8", shorten(s))
	}
	dst = append(dst, '"')
	plain := 0 // from here on nothing was escaped
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		plain = i + 1
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case strings.IndexByte("\b\t\n\f\r", c) >= 0:
			dst = append(dst, '\\', "btn\x00fr"[c-'\b'])
		default:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		}
	}
	return append(append(dst, s[plain:]...), '"'), nil
}

// appendNumber appends a number as ECMAScript writes the double that it is, and
// refuses one that a double does not keep.
func appendNumber(dst []byte, text string) ([]byte, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return dst, fmt.Errorf("%s is not a number that JSON keeps; send it as a string", shorten(text))
	}
	shortest := parseDecimal(strconv.FormatFloat(f, 'e', -1, 64))
	if shortest != parseDecimal(text) {
		return dst, fmt.Errorf("the number %s would not be kept exactly; send it as a string", shorten(text))
	}
	return append(dst, shortest.String()...), nil
}

// decimal is ±0.digits × 10^exp, without zeros at either end of digits: equal
// numbers are equal values. Zero has no digits and no sign.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

// parseDecimal reads a number in the syntax of JSON.
func parseDecimal(text string) decimal {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return decimal{}
	}
	exp, _ := strconv.Atoi(exponent) // none is 0; one out of range is no double either
	exp += len(whole) - (len(whole+fraction) - len(digits))
	return decimal{negative, strings.TrimRight(digits, "0"), exp}
}

// String writes the number as ECMAScript's Number.prototype.toString does.
func (d decimal) String() string {
	n, sign := len(d.digits), ""
	if d.negative {
		sign = "-"
	}
	switch {
	case n == 0:
		return "0"
	case n <= d.exp && d.exp <= 21:
		return sign + d.digits + strings.Repeat("0", d.exp-n)
	case 0 < d.exp && d.exp <= 21:
		return sign + d.digits[:d.exp] + "." + d.digits[d.exp:]
	case -6 < d.exp && d.exp <= 0:
		return sign + "0." + strings.Repeat("0", -d.exp) + d.digits
	}
	mantissa := d.digits[:1]
	if n > 1 {
		mantissa += "." + d.digits[1:]
	}
	return fmt.Sprintf("%s%se%+d", sign, mantissa, d.exp-1)
}

// toGeneric turns any value that encoding/json can write into the types of
// [Metadata], with numbers as json.Number.
func toGeneric(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("a value of type %T is no JSON: %w", v, err)
	}
	var generic any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&generic); err != nil {
		return nil, fmt.Errorf("a value of type %T is no JSON: %w", v, err)
	}
	return generic, nil
}

// appendTime appends a time as entries have it: UTC with 3, 6 or 9 digits of
// fraction, the fewest that keep it.
func appendTime(dst []byte, t time.Time) ([]byte, error) {
	if t.Before(MinTime) || t.After(MaxTime) {
		return dst, errors.New("the time is not between 1970 and 2261")
	}
	layout := "2006-01-02T15:04:05.000Z"
	switch ns := t.Nanosecond(); {
	case ns%1e3 != 0:
		layout = "2006-01-02T15:04:05.000000000Z"
	case ns%1e6 != 0:
		layout = "2006-01-02T15:04:05.000000Z"
	}
	return t.UTC().AppendFormat(dst, layout), nil
}
