package event

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/stelehq/stele/audit"
)

// MaxVersion is the largest version of an action's schema.
const MaxVersion = math.MaxUint16

// Bits of a row's flags byte. The others are zero.
const (
	flagUnregistered = 1 << 0
	flagsKnown       = flagUnregistered
)

var (
	errRowShort    = errors.New("row ends early")
	errRowTrailing = errors.New("row has bytes after its end")
	errRowVarint   = errors.New("row has a length not in its shortest form")
	errRowFlags    = errors.New("row has unknown flags")
	errRowVersion  = errors.New("row has a schema version out of range")
	errRowTime     = errors.New("row has a time out of range")
	errRowTargets  = errors.New("row has too many targets")
)

// AppendRow appends the stored form of an event, laid out as the package comment
// says. The event must be one that [Decoder.Decode] or [DecodeRow] gave.
func AppendRow(dst []byte, ev *Event) []byte {
	var flags byte
	if ev.Unregistered {
		flags |= flagUnregistered
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(ev.Version))                //nolint:gosec // 1..MaxVersion
	dst = binary.LittleEndian.AppendUint64(dst, uint64(ev.OccurredAt)) //nolint:gosec // not negative
	dst = appendField(dst, ev.Action)
	dst = appendParty(dst, &ev.Actor)
	dst = appendField(dst, ev.Location)
	dst = appendField(dst, ev.UserAgent)
	dst = appendField(dst, ev.Metadata)
	dst = binary.AppendUvarint(dst, uint64(len(ev.Targets)))
	for i := range ev.Targets {
		dst = appendParty(dst, &ev.Targets[i])
	}
	return dst
}

func appendParty(dst []byte, p *Party) []byte {
	dst = appendField(dst, p.Type)
	dst = appendField(dst, p.ID)
	dst = appendField(dst, p.Name)
	return appendField(dst, p.Metadata)
}

func appendField(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// DecodeRow reads a row into ev, which then points into row; ev.Targets are
// reused, everything else in ev is overwritten. A row that does not end where it
// should, or whose numbers are out of range, is an error; texts are taken as they
// are, the store's checksum having vouched for them.
func DecodeRow(row []byte, ev *Event) error {
	r := rowReader{rest: row}
	flags := r.byte()
	*ev = Event{
		Unregistered: flags&flagUnregistered != 0,
		Version:      r.version(),
		OccurredAt:   r.time(),
		Action:       r.field(),
		Actor:        r.party(),
		Location:     r.field(),
		UserAgent:    r.field(),
		Metadata:     r.field(),
		Targets:      ev.Targets[:0],
	}
	for range r.targets() {
		ev.Targets = append(ev.Targets, r.party())
	}
	if flags&^flagsKnown != 0 {
		r.fail(errRowFlags)
	}
	if len(r.rest) > 0 {
		r.fail(errRowTrailing)
	}
	return r.err
}

// rowReader takes fields off the front of a row. After the first error it only
// gives zeros.
type rowReader struct {
	rest []byte
	err  error
}

func (r *rowReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *rowReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail(errRowShort)
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *rowReader) uvarint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := r.rest[0]
		r.rest = r.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.rest)
	switch {
	case n == 0:
		r.fail(errRowShort)
		return 0
	case n < 0 || r.rest[n-1] == 0:
		r.fail(errRowVarint)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *rowReader) version() int {
	v := r.uvarint()
	if v < 1 || v > MaxVersion {
		r.fail(errRowVersion)
		return 0
	}
	return int(v)
}

func (r *rowReader) time() int64 {
	if len(r.rest) < 8 {
		r.fail(errRowShort)
		return 0
	}
	t := int64(binary.LittleEndian.Uint64(r.rest)) //nolint:gosec // written from an int64
	r.rest = r.rest[8:]
	if t < 0 || t > maxTime {
		r.fail(errRowTime)
	}
	return t
}

// field returns the next field with its capacity cut, so that appending to it
// cannot write over the row. An empty field is nil.
func (r *rowReader) field() []byte {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n > uint64(len(r.rest)) {
		r.fail(errRowShort)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *rowReader) party() Party {
	return Party{Type: r.field(), ID: r.field(), Name: r.field(), Metadata: r.field()}
}

// targets reads their number.
func (r *rowReader) targets() int {
	n := r.uvarint()
	if n > audit.MaxTargets {
		r.fail(errRowTargets)
		return 0
	}
	return int(n)
}
