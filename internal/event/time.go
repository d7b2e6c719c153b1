package event

import "time"

// maxTime is audit.MaxTime in Unix nanoseconds; audit.MinTime is zero.
const maxTime = 9_214_646_399_999_999_999

const (
	second = int64(time.Second)
	day    = 24 * 60 * 60
)

// AppendTime appends Unix nanoseconds as RFC 3339 in UTC, with 3, 6 or 9 digits
// of fraction: the fewest that keep it, at least 3. That is how Stele writes
// occurred_at everywhere. The time must be from 1970 on.
func AppendTime(dst []byte, ns int64) []byte { return appendTime(dst, ns) }

func appendTime(dst []byte, ns int64) []byte {
	sec, frac := ns/second, uint32(ns%second) //nolint:gosec // 0 to 999,999,999
	text := textOf(sec, frac/1_000_000)
	if frac%1_000_000 == 0 {
		return append(dst, text[:]...)
	}
	dst = append(dst, text[:len(text)-1]...)
	frac %= 1_000_000
	dst = append(dst, pairs[frac/10_000*2], pairs[frac/10_000*2+1], '0'+byte(frac/1000%10))
	if frac %= 1000; frac != 0 {
		dst = append(dst, '0'+byte(frac/100), pairs[frac%100*2], pairs[frac%100*2+1])
	}
	return append(dst, 'Z')
}

// AppendMillis appends Unix milliseconds as RFC 3339 in UTC with 3 digits of
// fraction, always 24 bytes. That is how Stele writes received_at everywhere. The
// time must be from 1970 on and before the year 10000.
func AppendMillis(dst []byte, ms int64) []byte { return appendMillis(dst, ms) }

func appendMillis(dst []byte, ms int64) []byte {
	text := textOf(ms/1000, uint32(ms%1000)) //nolint:gosec // 0 to 999
	return append(dst, text[:]...)
}

// pairs are the numbers from 00 to 99.
const pairs = "00010203040506070809101112131415161718192021222324" +
	"25262728293031323334353637383940414243444546474849" +
	"50515253545556575859606162636465666768697071727374" +
	"75767778798081828384858687888990919293949596979899"

// textOf writes Unix seconds and milliseconds.
func textOf(sec int64, milli uint32) [24]byte {
	b := [24]byte{4: '-', 7: '-', 10: 'T', 13: ':', 16: ':', 19: '.', 23: 'Z'}
	y, m, d := civil(sec / day)
	s := uint32(sec % day)          //nolint:gosec // of a day
	put := func(at int, v uint32) { // two digits
		b[at], b[at+1] = pairs[v%100*2], pairs[v%100*2+1]
	}
	put(0, uint32(y)/100) //nolint:gosec // 4 digits
	put(2, uint32(y))     //nolint:gosec // and so on
	put(5, uint32(m))     //nolint:gosec // 1 to 12
	put(8, uint32(d))     //nolint:gosec // 1 to 31
	put(11, s/3600)
	put(14, s/60%60)
	put(17, s%60)
	b[20] = '0' + byte(milli/100) //nolint:gosec // a digit
	put(21, milli)
	return b
}

// The calendar counts in eras of 400 years that begin on 1 March, so that the
// leap day is the last of its year. 1970-01-01 is day 719,468 since 0000-03-01.
const (
	epochDays = 719_468
	eraDays   = 146_097
)

// civil turns days since 1970-01-01 into a date of the Gregorian calendar, for
// days from then on.
func civil(days int64) (y, m, d int) {
	n := int(days) + epochDays
	era := n / eraDays
	n -= era * eraDays
	y = (n - n/1460 + n/36524 - n/146096) / 365
	n -= 365*y + y/4 - y/100 // day of the year from 1 March
	mp := (5*n + 2) / 153    // month from March
	d = n - (153*mp+2)/5 + 1
	m = mp + 3
	y += era * 400
	if m > 12 {
		m -= 12
		y++
	}
	return y, m, d
}

// daysOf is the inverse of civil, for dates from 1969-03-01 on.
func daysOf(y, m, d int) int64 {
	if m <= 2 {
		m += 12
		y--
	}
	era := y / 400
	y -= era * 400
	n := 365*y + y/4 - y/100 + (153*(m-3)+2)/5 + d - 1
	return int64(era*eraDays + n - epochDays)
}

// parseTime reads an RFC 3339 time. fault says what is wrong, and what to do
// about it; it is empty when nothing is.
func parseTime(b []byte) (ns int64, fault string) {
	const (
		malformed = "must be an RFC 3339 time, such as 2026-03-01T09:30:00.123Z"
		noTime    = "is a date without a time and a zone; send an RFC 3339 time, such as 2026-03-01T09:30:00.123Z"
		noDay     = "is a day or time that does not exist"
		noLeap    = "is in a leap second, which Stele does not keep; send second 59"
		outside   = "must be a time from 1970 to 2261"
	)
	if len(b) < len("2006-01-02") || b[4] != '-' || b[7] != '-' {
		return 0, malformed
	}
	y, m, d := digits(b[0:4]), digits(b[5:7]), digits(b[8:10])
	if y < 0 || m < 0 || d < 0 {
		return 0, malformed
	}
	if len(b) == len("2006-01-02") {
		return 0, noTime
	}
	if len(b) < len("2006-01-02T15:04:05") || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return 0, malformed
	}
	hour, minute, sec := digits(b[11:13]), digits(b[14:16]), digits(b[17:19])
	if hour < 0 || minute < 0 || sec < 0 {
		return 0, malformed
	}
	frac, offset, fault := parseTail(b[19:])
	switch {
	case fault != "":
		return 0, fault
	case m < 1 || m > 12 || d < 1 || d > daysIn(y, m) || hour > 23 || minute > 59 || sec > 60:
		return 0, noDay
	case sec == 60:
		return 0, noLeap
	case y < 1969 || y > 2262: // with an offset, these have hours of 1970 and 2261
		return 0, outside
	}
	unix := daysOf(y, m, d)*day + int64(hour*3600+minute*60+sec-offset)
	if unix < 0 || unix > maxTime/second {
		return 0, outside
	}
	return unix*second + int64(frac), ""
}

// parseTail reads the fraction of a second, in nanoseconds, and the zone, in
// seconds east of UTC.
func parseTail(b []byte) (frac, offset int, fault string) {
	const (
		malformed = "must be an RFC 3339 time, such as 2026-03-01T09:30:00.123Z"
		noZone    = "has no zone; end it with Z or with an offset such as +02:00"
		tooFine   = "has more than 9 digits of fraction; Stele keeps nanoseconds"
		badZone   = "has a zone that is neither Z nor an offset such as +02:00"
	)
	if len(b) > 0 && b[0] == '.' {
		n := 1
		for n < len(b) && isDigit(b[n]) {
			n++
		}
		switch {
		case n == 1:
			return 0, 0, malformed
		case n > 10:
			return 0, 0, tooFine
		}
		frac = digits(b[1:n])
		for range 10 - n {
			frac *= 10
		}
		b = b[n:]
	}
	switch {
	case len(b) == 0:
		return 0, 0, noZone
	case len(b) == 1 && b[0]|0x20 == 'z':
		return frac, 0, ""
	case len(b) != len("+00:00") || b[0] != '+' && b[0] != '-' || b[3] != ':':
		return 0, 0, badZone
	}
	h, m := digits(b[1:3]), digits(b[4:6])
	if h < 0 || h > 23 || m < 0 || m > 59 {
		return 0, 0, badZone
	}
	offset = h*3600 + m*60
	if b[0] == '-' {
		offset = -offset
	}
	return frac, offset, ""
}

// digits reads at most nine digits, -1 when there is anything else.
func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func daysIn(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}
