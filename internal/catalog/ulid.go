package catalog

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// crockford is Crockford's base 32: it sorts as the numbers do.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulidLen is the length of a ULID as text.
const ulidLen = 26

// timeLen is how many characters of a ULID are its time.
const timeLen = 10

// NewULID makes a ULID: 48 bits of milliseconds and 80 random ones, 26
// characters that sort by time. Those of one millisecond are in no order.
func NewULID(t time.Time) string {
	var u ulid
	u.fill(t.UnixMilli())
	return u.String()
}

// ULIDTime is the time in a ULID, to the millisecond; false for another text.
func ULIDTime(id string) (time.Time, bool) {
	if len(id) != ulidLen || id[0] > '7' {
		return time.Time{}, false
	}
	ms := int64(0)
	for i := range id {
		v := strings.IndexByte(crockford, id[i])
		if v < 0 {
			return time.Time{}, false
		}
		if i < timeLen {
			ms = ms<<5 | int64(v)
		}
	}
	return time.UnixMilli(ms).UTC(), true
}

// ulid is the 128 bits, most significant first.
type ulid struct{ hi, lo uint64 }

func (u *ulid) fill(ms int64) {
	var b [10]byte
	_, _ = rand.Read(b[:])                                         // never fails
	u.hi = uint64(ms)<<16 | uint64(binary.BigEndian.Uint16(b[:2])) //nolint:gosec // no time is before 1970
	u.lo = binary.BigEndian.Uint64(b[2:])
}

func (u *ulid) increment() {
	u.lo++
	if u.lo == 0 {
		u.hi++
	}
}

// String writes 26 characters of 5 bits, two zero bits in front.
func (u *ulid) String() string {
	var s [ulidLen]byte
	hi, lo := u.hi, u.lo
	for i := ulidLen - 1; i >= 0; i-- {
		s[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(s[:])
}

// sequence makes ULIDs that grow with each call, also within one millisecond
// and when the clock steps back.
type sequence struct {
	mu     sync.Mutex
	last   ulid
	lastMs int64
}

func (s *sequence) next(t time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ms := t.UnixMilli(); ms > s.lastMs {
		s.lastMs = ms
		s.last.fill(ms)
	} else {
		s.last.increment()
	}
	return s.last.String()
}

// invert turns the order of ULIDs around: a < b means invert(a) > invert(b).
func invert(id string) string {
	out := make([]byte, len(id))
	for i := range id {
		out[i] = crockford[31-crockfordValue(id[i])]
	}
	return string(out)
}

// crockfordValue is the place of a character in the alphabet; 0 for others.
func crockfordValue(c byte) int {
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return 0
}
