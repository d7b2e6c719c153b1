package event

import (
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

// AppendRecord appends the complete record of an entry: what its leaf hash in
// the log is over.
func (e *Entry) AppendRecord(dst []byte) []byte {
	start := len(dst)
	dst, slots := AppendRecord(dst, &e.Event)
	end := len(dst)
	dst = AppendDetails(dst, &e.Event)
	digest := DetailsDigest(&e.Salt, dst[end:])
	slots.Fill(dst[start:end], &digest, e.ID, e.ReceivedAt)
	return dst[:end]
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

// Audit returns the entry in the form of package audit. It shares nothing with
// e. Numbers in metadata are float64, which keeps those that Stele accepts.
func (e *Entry) Audit(org string) audit.Entry {
	out := audit.Entry{
		ID:             e.ID.String(),
		OrganizationID: org,
		Seq:            e.Seq,
		ReceivedAt:     e.ReceivedTime(),
		Event:          e.Event.Audit(),
	}
	if e.Unregistered {
		out.Schema = audit.SchemaUnregistered
	}
	return out
}

// Audit returns the event in the form of package audit. It shares nothing with
// e.
func (e *Event) Audit() audit.Event {
	out := audit.Event{
		Action:         string(e.Action),
		Version:        e.Version,
		OccurredAt:     e.OccurredTime(),
		Actor:          audit.Actor(e.Actor.audit()),
		Context:        audit.Context{Location: string(e.Location), UserAgent: string(e.UserAgent)},
		Metadata:       metadataOf(e.Metadata),
		IdempotencyKey: string(e.IdempotencyKey),
	}
	for i := range e.Targets {
		out.Targets = append(out.Targets, e.Targets[i].audit())
	}
	return out
}

func (p *Party) audit() audit.Target {
	return audit.Target{
		Type: string(p.Type), ID: string(p.ID), Name: string(p.Name), Metadata: metadataOf(p.Metadata),
	}
}

func metadataOf(obj []byte) audit.Metadata {
	if len(obj) == 0 {
		return nil
	}
	return objectOf(obj)
}

func objectOf(obj []byte) map[string]any {
	m := map[string]any{}
	EachMember(obj, func(key, value []byte) bool {
		m[string(Unescape(key, nil))] = valueOf(value)
		return true
	})
	return m
}

func valueOf(value []byte) any {
	switch KindOf(value) {
	case KindBool:
		return value[0] == 't'
	case KindNumber:
		f, _ := strconv.ParseFloat(string(value), 64) // canonical, hence in range
		return f
	case KindString:
		return string(Text(value, nil))
	case KindArray:
		s := []any{}
		EachElement(value, func(v []byte) bool {
			s = append(s, valueOf(v))
			return true
		})
		return s
	case KindObject:
		return objectOf(value)
	default:
		return nil
	}
}

// OccurredTime returns when the event happened, in UTC.
func (e *Event) OccurredTime() time.Time { return time.Unix(0, e.OccurredAt).UTC() }

// ReceivedTime returns when the event was recorded, in UTC.
func (e *Entry) ReceivedTime() time.Time { return time.UnixMilli(e.ReceivedAt).UTC() }
