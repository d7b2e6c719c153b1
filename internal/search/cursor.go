package search

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/stelehq/stele/audit"
)

// Cursor is where a page ended, and what it was a page of. It is not secret and
// not trusted: whatever it holds, a page has entries of the organization asked
// for only.
type Cursor struct {
	// Last is the place of the last entry before, when Started.
	Last    Key
	Started bool
	// Bound is the size of the log when the first page was made: entries
	// recorded later are on none of its pages. 0 means that the next page
	// takes the size of then.
	Bound uint64
	// BoundReceivedAt is the received_at (Unix milliseconds) of the entry
	// before Bound.
	BoundReceivedAt int64
	// Digest is that of organization, query and order.
	Digest [8]byte
}

// Format of a cursor: a version, flags, the varints of Last when started, those
// of Bound and BoundReceivedAt, Digest, and the first bytes of a SHA-256 over all
// that, against typing and cutting.
const (
	cursorVersion  = 1
	cursorStarted  = 1 << 0
	cursorChecksum = 4
	cursorMaxText  = 100
)

// digestOf binds a cursor to what it pages through.
func digestOf(org string, q audit.Query, ascending bool) [8]byte {
	order := "desc"
	if ascending {
		order = "asc"
	}
	sum := sha256.Sum256([]byte(org + "\x00" + order + "\x00" + q.String()))
	return [8]byte(sum[:8])
}

// From is a cursor for the pages of a query over the same entries as c's, those
// below its Bound, that go on after a place.
func (c Cursor) From(org string, q audit.Query, ascending bool, after Key) Cursor {
	c = c.Begin(org, q, ascending)
	c.Last, c.Started = after, true
	return c
}

// Begin is a cursor for the first page of a query over the same entries as c's.
func (c Cursor) Begin(org string, q audit.Query, ascending bool) Cursor {
	return Cursor{Bound: c.Bound, BoundReceivedAt: c.BoundReceivedAt, Digest: digestOf(org, q, ascending)}
}

// String is the cursor as text for a URL; [ParseCursor] reads it.
func (c Cursor) String() string {
	b := []byte{cursorVersion, 0}
	if c.Started {
		b[1] |= cursorStarted
		b = binary.AppendVarint(b, c.Last.OccurredAt)
		b = binary.AppendUvarint(b, c.Last.Seq)
	}
	b = binary.AppendUvarint(b, c.Bound)
	b = binary.AppendVarint(b, c.BoundReceivedAt)
	b = append(b, c.Digest[:]...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:cursorChecksum]...))
}

// ParseCursor reads the text of a cursor. Errors are *audit.Error with code
// invalid_cursor and Field "cursor".
func ParseCursor(text string) (*Cursor, error) {
	damaged := audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "the cursor is damaged; use it as it was given, or start without one")
	if len(text) > cursorMaxText {
		return nil, damaged
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2+cursorChecksum {
		return nil, damaged
	}
	body := b[:len(b)-cursorChecksum]
	if sum := sha256.Sum256(body); [cursorChecksum]byte(sum[:]) != [cursorChecksum]byte(b[len(body):]) {
		return nil, damaged
	}
	if body[0] != cursorVersion {
		return nil, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "the cursor is of another version of the server; start without one")
	}
	c, ok := decodeCursor(body)
	if !ok {
		return nil, damaged
	}
	return c, nil
}

// decodeCursor reads what is before the checksum. Each cursor has one encoding.
func decodeCursor(body []byte) (*Cursor, bool) {
	c := &Cursor{Started: body[1] == cursorStarted}
	if body[1]&^cursorStarted != 0 {
		return nil, false
	}
	r := varints{b: body[2:]}
	if c.Started {
		c.Last.OccurredAt = r.signed()
		c.Last.Seq = r.unsigned()
	}
	c.Bound = r.unsigned()
	c.BoundReceivedAt = r.signed()
	if r.bad || len(r.b) != len(c.Digest) {
		return nil, false
	}
	c.Digest = [8]byte(r.b)
	return c, true
}

// varints reads varints one after the other; bad is set by the first that is not
// in its shortest form.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *varints) signed() int64 {
	v := r.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}
