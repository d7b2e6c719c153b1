package event

import (
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

// AppendRecord appends the complete record of an entry: what its leaf hash in
// the log is over. That of an erased entry is the one it had before.
func (e *Entry) AppendRecord(dst []byte) []byte {
	start := len(dst)
	dst, slots := AppendRecord(dst, &e.Event)
	end := len(dst)
	digest := e.Digest
	if e.ErasedAt == 0 {
		dst = AppendDetails(dst, &e.Event)
		digest = DetailsDigest(&e.Salt, dst[end:])
	}
	slots.Fill(dst[start:end], &digest, e.ID, e.ReceivedAt)
	return dst[:end]
}

// Erase takes the details and the salt out of an entry, at a time in Unix
// milliseconds, and leaves their digest. An entry that is erased stays as it is.
func (e *Entry) Erase(at int64) {
	if e.ErasedAt != 0 {
		return
	}
	e.Digest = DetailsDigest(&e.Salt, AppendDetails(nil, &e.Event))
	e.Salt, e.ErasedAt = [16]byte{}, at
	e.DropDetails()
}

// DropDetails takes out of an event what can be erased: the names and metadata
// of its parties, its context and its metadata.
func (e *Event) DropDetails() {
	e.Location, e.UserAgent, e.Metadata = nil, nil, nil
	e.Actor.Name, e.Actor.Metadata = nil, nil
	for i := range e.Targets {
		e.Targets[i].Name, e.Targets[i].Metadata = nil, nil
	}
}

// ErasedTime returns when the details were erased, in UTC; the zero time for an
// entry that has them.
func (e *Entry) ErasedTime() time.Time {
	if e.ErasedAt == 0 {
		return time.Time{}
	}
	return time.UnixMilli(e.ErasedAt).UTC()
}

// AppendJSON appends the entry as the API answers it.
func (e *Entry) AppendJSON(dst []byte, org string) []byte {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, e.ID[:]...)
	dst = append(dst, `","organization_id":`...)
	dst = appendString(dst, []byte(org))
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, ',')
	dst = e.appendWhat(dst)
	dst = append(dst, `,"received_at":"`...)
	dst = appendMillis(dst, e.ReceivedAt)
	dst = append(dst, `",`...)
	dst = e.appendRest(dst)
	if e.ErasedAt != 0 {
		dst = append(dst, `,"erased_at":"`...)
		dst = appendMillis(dst, e.ErasedAt)
		dst = append(dst, '"')
	}
	if e.Unregistered {
		dst = append(dst, `,"schema":"`+audit.SchemaUnregistered+`"`...)
	}
	return append(dst, '}')
}

// AppendJSON appends the event as a product sends it; [Decoder.Decode] reads it
// back. Unregistered is not part of it.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = e.appendWhat(dst)
	dst = append(dst, ',')
	dst = e.appendRest(dst)
	if len(e.IdempotencyKey) > 0 {
		dst = append(dst, `,"idempotency_key":`...)
		dst = appendString(dst, e.IdempotencyKey)
	}
	return append(dst, '}')
}

func (e *Event) appendWhat(dst []byte) []byte {
	dst = append(dst, `"action":`...)
	dst = appendString(dst, e.Action)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(e.Version), 10)
	dst = append(dst, `,"occurred_at":"`...)
	dst = appendTime(dst, e.OccurredAt)
	return append(dst, '"')
}

func (e *Event) appendRest(dst []byte) []byte {
	dst = append(dst, `"actor":`...)
	dst = appendPartyJSON(dst, &e.Actor)
	dst = append(dst, `,"targets":[`...)
	for i := range e.Targets {
		dst = appendComma(dst, i > 0)
		dst = appendPartyJSON(dst, &e.Targets[i])
	}
	dst = append(dst, ']')
	if len(e.Location) > 0 || len(e.UserAgent) > 0 {
		dst = append(dst, `,"context":`...)
		dst = appendContext(dst, e)
	}
	if len(e.Metadata) > 0 {
		dst = append(dst, `,"metadata":`...)
		dst = append(dst, e.Metadata...)
	}
	return dst
}

func appendPartyJSON(dst []byte, p *Party) []byte {
	dst = append(dst, `{"type":`...)
	dst = appendString(dst, p.Type)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, p.ID)
	if len(p.Name) > 0 {
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, p.Name)
	}
	if len(p.Metadata) > 0 {
		dst = append(dst, `,"metadata":`...)
		dst = append(dst, p.Metadata...)
	}
	return append(dst, '}')
}

// Clone returns a copy that shares nothing with e; its texts share one buffer.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Targets = append([]Party(nil), e.Targets...)
	n := 0
	c.eachText(func(b *[]byte) { n += len(*b) })
	buf := make([]byte, 0, n)
	c.eachText(func(b *[]byte) {
		if len(*b) == 0 {
			*b = nil
			return
		}
		start := len(buf)
		buf = append(buf, *b...)
		*b = buf[start:len(buf):len(buf)]
	})
	return &c
}

// eachText calls fn for every text of the event.
func (e *Event) eachText(fn func(*[]byte)) {
	fn(&e.Action)
	fn(&e.Location)
	fn(&e.UserAgent)
	fn(&e.Metadata)
	fn(&e.IdempotencyKey)
	e.Actor.eachText(fn)
	for i := range e.Targets {
		e.Targets[i].eachText(fn)
	}
}

func (p *Party) eachText(fn func(*[]byte)) {
	fn(&p.Type)
	fn(&p.ID)
	fn(&p.Name)
	fn(&p.Metadata)
}

// OccurredTime returns when the event happened, in UTC.
func (e *Event) OccurredTime() time.Time { return time.Unix(0, e.OccurredAt).UTC() }

// ReceivedTime returns when the event was recorded, in UTC.
func (e *Entry) ReceivedTime() time.Time { return time.UnixMilli(e.ReceivedAt).UTC() }
