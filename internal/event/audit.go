package event

import (
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/stelehq/stele/audit"
)

// FromAudit checks an event of package audit as if it had been sent as JSON, and
// returns it. It shares nothing with e. Errors are those of [Decoder.Decode].
func FromAudit(e *audit.Event) (*Event, error) {
	data, err := AppendAudit(nil, e)
	if err != nil {
		return nil, err
	}
	ev := new(Event)
	if err := NewDecoder().Decode(data, ev); err != nil {
		return nil, err
	}
	return ev, nil
}

// AppendAudit appends the JSON of an event of package audit, for [Decoder.Decode]
// to check. It fails for what JSON cannot say: a text that is not UTF-8, a number
// that is not finite, a year of five digits.
func AppendAudit(dst []byte, e *audit.Event) ([]byte, error) {
	sent := *e
	if sent.Version == 0 {
		sent.Version = 1
	}
	b, err := json.Marshal(&sent)
	if err != nil {
		return dst, audit.Errorf(audit.CodeInvalidEvent, "the event cannot be written as JSON: %v", err)
	}
	return append(dst, b...), nil
}

// Audit returns the entry in the form of package audit. It shares nothing with
// e. Numbers in metadata are float64, which keeps those that Stele accepts.
func (e *Entry) Audit(org string) audit.Entry {
	out := audit.Entry{
		ID:             e.ID.String(),
		OrganizationID: org,
		Seq:            e.Seq,
		ReceivedAt:     e.ReceivedTime(),
		ErasedAt:       e.ErasedTime(),
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
