package schema

import (
	"bytes"
	"time"
)

// Formats returns the names of the formats a string may have: date, date-time
// (RFC 3339), email, hostname, ip (either version), ipv4, ipv6, uri (RFC 3986)
// and uuid.
func Formats() []string {
	return []string{"date", "date-time", "email", "hostname", "ip", "ipv4", "ipv6", "uri", "uuid"}
}

// formatCheck returns the check of a format, nil when there is none of that
// name. A check takes a string's canonical JSON without its quotes and allocates
// nothing. No format allows a character that canonical JSON escapes, so that
// escapes need not be decoded: the backslash is refused like any other.
func formatCheck(name string) func([]byte) bool {
	switch name {
	case "date":
		return isDate
	case "date-time":
		return isDateTime
	case "email":
		return isEmail
	case "hostname":
		return isHostname
	case "ip":
		return func(b []byte) bool { return isIPv4(b) || isIPv6(b) }
	case "ipv4":
		return isIPv4
	case "ipv6":
		return isIPv6
	case "uri":
		return isURI
	case "uuid":
		return isUUID
	default:
		return nil
	}
}

func isDateTime(b []byte) bool {
	// What package time reads beyond RFC 3339: hours of one digit, a comma
	// before the fraction, a zone of 24 hours.
	const hour = len("2006-01-02T15")
	zone := len(b) - len("+24:00")
	if zone < hour || b[hour] != ':' || bytes.IndexByte(b, ',') >= 0 || string(b[zone+1:zone+3]) == "24" && b[zone+3] == ':' {
		return false
	}
	var t time.Time
	return t.UnmarshalText(b) == nil
}

func isDate(b []byte) bool {
	const midnight = "T00:00:00Z"
	if len(b) != len(time.DateOnly) {
		return false
	}
	var full [len(time.DateOnly) + len(midnight)]byte
	copy(full[copy(full[:], b):], midnight)
	return isDateTime(full[:])
}

func isEmail(b []byte) bool {
	at := bytes.LastIndexByte(b, '@')
	if at < 1 || at > 64 || len(b) > 254 {
		return false
	}
	dot := true
	for _, c := range b[:at] {
		if c == '.' && dot || c != '.' && !isAtext(c) {
			return false
		}
		dot = c == '.'
	}
	return !dot && isHostname(b[at+1:])
}

// isAtext says whether c may be in the part of an address before the @; RFC
// 6531 allows what is not ASCII.
func isAtext(c byte) bool {
	return isAlnum(c) || c >= 0x80 || bytes.IndexByte([]byte("!#$%&'*+-/=?^_`{|}~"), c) >= 0
}

func isHostname(b []byte) bool {
	if len(b) == 0 || len(b) > 253 {
		return false
	}
	for label := range bytes.SplitSeq(b, []byte{'.'}) {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(b []byte) bool {
	if len(b) == 0 || len(b) > 63 || b[0] == '-' || b[len(b)-1] == '-' {
		return false
	}
	for _, c := range b {
		if !isAlnum(c) && c != '-' && c < 0x80 {
			return false
		}
	}
	return true
}

func isIPv4(b []byte) bool {
	parts := 0
	for part := range bytes.SplitSeq(b, []byte{'.'}) {
		if parts++; parts > 4 || !isOctet(part) {
			return false
		}
	}
	return parts == 4
}

func isOctet(b []byte) bool {
	if len(b) == 0 || len(b) > 3 || len(b) > 1 && b[0] == '0' {
		return false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 255
}

// isIPv6 checks an address of RFC 4291 without a zone.
func isIPv6(b []byte) bool {
	head, tail, short := bytes.Cut(b, []byte("::"))
	if !short {
		return groups(b) == 8
	}
	h, t := 0, 0
	if len(head) > 0 {
		// Only the end of an address may be written as IPv4.
		if h = groups(head); bytes.IndexByte(head, '.') >= 0 {
			return false
		}
	}
	if len(tail) > 0 {
		t = groups(tail)
	}
	return h >= 0 && t >= 0 && h+t <= 7
}

// groups counts groups of 16 bits, an IPv4 address at the end being two, or
// returns -1.
func groups(b []byte) int {
	n := 0
	for part := range bytes.SplitSeq(b, []byte{':'}) {
		switch {
		case isHexGroup(part):
			n++
		case isIPv4(part) && bytes.HasSuffix(b, part):
			n += 2
		default:
			return -1
		}
	}
	return n
}

func isHexGroup(b []byte) bool {
	if len(b) == 0 || len(b) > 4 {
		return false
	}
	for _, c := range b {
		if !isHex(c) {
			return false
		}
	}
	return true
}

// isURI checks for a scheme and the characters of RFC 3986.
func isURI(b []byte) bool {
	colon := bytes.IndexByte(b, ':')
	if colon < 1 || !isAlpha(b[0]) {
		return false
	}
	for _, c := range b[:colon] {
		if !isAlnum(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	rest := b[colon+1:]
	for i, c := range rest {
		if c == '%' && (i+2 >= len(rest) || !isHex(rest[i+1]) || !isHex(rest[i+2])) {
			return false
		}
		if !isAlnum(c) && bytes.IndexByte([]byte("-._~:/?#[]@!$&'()*+,;=%"), c) < 0 {
			return false
		}
	}
	return len(rest) > 0
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !isHex(c) {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isAlnum(c byte) bool { return isAlpha(c) || '0' <= c && c <= '9' }
func isHex(c byte) bool   { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }
