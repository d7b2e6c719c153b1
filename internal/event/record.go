package event

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// digestLen and receivedLen are the widths of the record's fixed slots.
const (
	digestLen   = 43 // base64 of 32 bytes, no padding
	idLen       = len(ID{})
	receivedLen = len("2006-01-02T15:04:05.000Z")
)

// Slots are where a record's parts go that only the order of the log decides:
// offsets from the record's first byte.
type Slots struct {
	Details, ID, ReceivedAt uint32
}

// Fill writes the parts into a record that [AppendRecord] made. receivedAt is in
// Unix milliseconds.
func (s Slots) Fill(record []byte, digest *[32]byte, id ID, receivedAt int64) {
	base64.RawURLEncoding.Encode(record[s.Details:s.Details+digestLen], digest[:])
	copy(record[s.ID:], id[:])
	at := record[s.ReceivedAt:s.ReceivedAt]
	appendMillis(at, receivedAt)
}

// AppendRecord appends the canonical record of an event, what the log's leaf
// hash is over, with spaces in its slots, and says where these are.
func AppendRecord(dst []byte, ev *Event) ([]byte, Slots) {
	const blank = "                                           "
	var s Slots
	start := len(dst)
	dst = append(dst, `{"action":`...)
	dst = appendString(dst, ev.Action)
	dst = append(dst, `,"actor":`...)
	dst = appendIdentity(dst, &ev.Actor)
	dst = append(dst, `,"details":"`...)
	s.Details = uint32(len(dst) - start) //nolint:gosec // a record is below 1 MiB
	dst = append(dst, blank[:digestLen]...)
	dst = append(dst, `","id":"`...)
	s.ID = uint32(len(dst) - start) //nolint:gosec // a record is below 1 MiB
	dst = append(dst, blank[:idLen]...)
	dst = append(dst, `","occurred_at":"`...)
	dst = appendTime(dst, ev.OccurredAt)
	dst = append(dst, `","received_at":"`...)
	s.ReceivedAt = uint32(len(dst) - start) //nolint:gosec // a record is below 1 MiB
	dst = append(dst, blank[:receivedLen]...)
	dst = append(dst, `","targets":[`...)
	for i := range ev.Targets {
		dst = appendComma(dst, i > 0)
		dst = appendIdentity(dst, &ev.Targets[i])
	}
	dst = append(dst, `],"version":`...)
	dst = strconv.AppendInt(dst, int64(ev.Version), 10)
	return append(dst, '}'), s
}

func appendIdentity(dst []byte, p *Party) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, p.ID)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, p.Type)
	return append(dst, '}')
}

func appendComma(dst []byte, yes bool) []byte {
	if yes {
		dst = append(dst, ',')
	}
	return dst
}

// AppendDetails appends the canonical details of an event: what can be erased.
// Absent parts are left out, of an event without any it is {}.
func AppendDetails(dst []byte, ev *Event) []byte {
	dst = append(dst, '{')
	start := len(dst)
	if ev.Actor.hasDetails() {
		dst = append(dst, `"actor":`...)
		dst = appendPartyDetails(dst, &ev.Actor)
	}
	if len(ev.Location) > 0 || len(ev.UserAgent) > 0 {
		dst = appendComma(dst, len(dst) > start)
		dst = append(dst, `"context":`...)
		dst = appendContext(dst, ev)
	}
	if len(ev.Metadata) > 0 {
		dst = appendComma(dst, len(dst) > start)
		dst = append(dst, `"metadata":`...)
		dst = append(dst, ev.Metadata...)
	}
	if anyDetails(ev.Targets) {
		dst = appendComma(dst, len(dst) > start)
		dst = append(dst, `"targets":[`...)
		for i := range ev.Targets {
			dst = appendComma(dst, i > 0)
			dst = appendPartyDetails(dst, &ev.Targets[i])
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func (p *Party) hasDetails() bool { return len(p.Name) > 0 || len(p.Metadata) > 0 }

func anyDetails(parties []Party) bool {
	for i := range parties {
		if parties[i].hasDetails() {
			return true
		}
	}
	return false
}

func appendPartyDetails(dst []byte, p *Party) []byte {
	dst = append(dst, '{')
	if len(p.Metadata) > 0 {
		dst = append(dst, `"metadata":`...)
		dst = append(dst, p.Metadata...)
	}
	if len(p.Name) > 0 {
		dst = appendComma(dst, len(p.Metadata) > 0)
		dst = append(dst, `"name":`...)
		dst = appendString(dst, p.Name)
	}
	return append(dst, '}')
}

func appendContext(dst []byte, ev *Event) []byte {
	dst = append(dst, '{')
	if len(ev.Location) > 0 {
		dst = append(dst, `"location":`...)
		dst = appendString(dst, ev.Location)
	}
	if len(ev.UserAgent) > 0 {
		dst = appendComma(dst, len(ev.Location) > 0)
		dst = append(dst, `"user_agent":`...)
		dst = appendString(dst, ev.UserAgent)
	}
	return append(dst, '}')
}

// DetailsDigest returns what a record says of its details: SHA-256 over the salt
// and then the details. It allocates nothing for details of common size.
func DetailsDigest(salt *[16]byte, details []byte) [32]byte {
	var stack [1024]byte
	b := append(stack[:0], salt[:]...)
	b = append(b, details...)
	return sha256.Sum256(b)
}
