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
	sec, frac := ns/second, int(ns%second)
	dst = appendSeconds(dst, sec)
	switch {
	case frac%1_000_000 == 0:
		dst = appendDigits(dst, frac/1_000_000, 3)
	case frac%1_000 == 0:
		dst = appendDigits(dst, frac/1_000, 6)
	default:
		dst = appendDigits(dst, frac, 9)
	}
	return append(dst, 'Z')
}

// AppendMillis appends Unix milliseconds as RFC 3339 in UTC with 3 digits of
// fraction, always 24 bytes. That is how Stele writes received_at everywhere. The
// time must be from 1970 on and before the year 10000.
func AppendMillis(dst []byte, ms int64) []byte { return appendMillis(dst, ms) }

func appendMillis(dst []byte, ms int64) []byte {
	dst = appendSeconds(dst, ms/1000)
	dst = appendDigits(dst, int(ms%1000), 3)
	return append(dst, 'Z')
}

// appendSeconds writes Unix seconds up to and with the point before the fraction.
func appendSeconds(dst []byte, sec int64) []byte {
	y, m, d := civil(sec / day)
	s := int(sec % day)
	dst = append(appendDigits(dst, y, 4), '-')
	dst = append(appendDigits(dst, m, 2), '-')
	dst = append(appendDigits(dst, d, 2), 'T')
	dst = append(appendDigits(dst, s/3600, 2), ':')
	dst = append(appendDigits(dst, s/60%60, 2), ':')
	return append(appendDigits(dst, s%60, 2), '.')
}

func appendDigits(dst []byte, v, width int) []byte {
	n := len(dst)
	dst = append(dst, "000000000"[:width]...)
	for i := n + width - 1; i >= n; i-- {
		dst[i] += byte(v % 10)
		v /= 10
	}
	return dst
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
