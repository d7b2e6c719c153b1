package audit

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// MarshalJSON writes the entry as the server does, byte for byte: members in the
// order of the documentation, times in UTC with 3, 6 or 9 digits of fraction,
// metadata as canonical JSON (RFC 8785), empty parts left out.
func (e Entry) MarshalJSON() ([]byte, error) { return e.appendJSON(nil) }

// appendJSON is MarshalJSON behind what dst has.
func (e *Entry) appendJSON(dst []byte) ([]byte, error) {
	w := jsonWriter{b: dst}
	w.text(`{"id":`, e.ID)
	w.text(`,"organization_id":`, e.OrganizationID)
	w.raw(`,"seq":` + strconv.FormatUint(e.Seq, 10))
	w.text(`,"action":`, e.Action)
	w.raw(`,"version":` + strconv.Itoa(cmp.Or(e.Version, 1)))
	w.time(`,"occurred_at":"`, "occurred_at", e.OccurredAt)
	w.millis(`","received_at":"`, "received_at", e.ReceivedAt)
	w.party(`","actor":`, Target(e.Actor))
	w.raw(`,"targets":[`)
	for i, t := range e.Targets {
		w.party([]string{"", ","}[min(i, 1)], t)
	}
	w.raw("]")
	if e.Context != (Context{}) {
		w.raw(`,"context":`)
		w.context(e.Context)
	}
	if len(e.Metadata) > 0 {
		w.value(`,"metadata":`, e.Metadata)
	}
	if !e.ErasedAt.IsZero() {
		w.millis(`,"erased_at":"`, "erased_at", e.ErasedAt)
		w.raw(`"`)
	}
	if e.Schema != "" {
		w.text(`,"schema":`, e.Schema)
	}
	w.raw("}")
	if w.err != nil {
		return dst, fmt.Errorf("write entry: %w", w.err)
	}
	return w.b, nil
}

// jsonWriter appends parts of JSON and keeps the first error.
type jsonWriter struct {
	b   []byte
	err error
}

func (w *jsonWriter) append(b []byte, err error) {
	w.b, w.err = b, cmp.Or(w.err, err)
}

func (w *jsonWriter) raw(s string) { w.b = append(w.b, s...) }

func (w *jsonWriter) text(before, s string) {
	w.raw(before)
	w.append(appendText(w.b, s))
}

// time writes a time; an error names the field.
func (w *jsonWriter) time(before, field string, t time.Time) {
	w.raw(before)
	b, err := appendTime(w.b, t)
	if err != nil {
		err = fmt.Errorf("%s: %w", field, err)
	}
	w.append(b, err)
}

// millis writes a time that has milliseconds: received_at or erased_at.
func (w *jsonWriter) millis(before, field string, t time.Time) {
	if t.Nanosecond()%1e6 != 0 {
		w.append(w.b, fmt.Errorf("%s: is finer than a millisecond", field))
	}
	w.time(before, field, t)
}

func (w *jsonWriter) value(before string, v any) {
	w.raw(before)
	w.append(appendCanonical(w.b, v))
}

func (w *jsonWriter) party(before string, p Target) {
	w.raw(before)
	w.text(`{"type":`, p.Type)
	w.text(`,"id":`, p.ID)
	if p.Name != "" {
		w.text(`,"name":`, p.Name)
	}
	if len(p.Metadata) > 0 {
		w.value(`,"metadata":`, p.Metadata)
	}
	w.raw("}")
}

// details writes what can be erased of an actor or a target, in canonical order.
func (w *jsonWriter) details(name string, metadata Metadata) {
	w.raw("{")
	separator := ""
	if len(metadata) > 0 {
		w.value(`"metadata":`, metadata)
		separator = ","
	}
	if name != "" {
		w.text(separator+`"name":`, name)
	}
	w.raw("}")
}

// context writes where an event came from, in canonical order.
func (w *jsonWriter) context(c Context) {
	w.raw("{")
	separator := ""
	if c.Location != "" {
		w.text(`"location":`, c.Location)
		separator = ","
	}
	if c.UserAgent != "" {
		w.text(separator+`"user_agent":`, c.UserAgent)
	}
	w.raw("}")
}
