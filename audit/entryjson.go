package audit

import (
	"cmp"
	"fmt"
	"strconv"
)

// MarshalJSON writes the entry as the server does, byte for byte: members in the
// order of the documentation, times in UTC with 3, 6 or 9 digits of fraction,
// metadata as canonical JSON (RFC 8785), empty parts left out.
func (e Entry) MarshalJSON() ([]byte, error) {
	w := jsonWriter{}
	w.text(`{"id":`, e.ID)
	w.text(`,"organization_id":`, e.OrganizationID)
	w.raw(`,"seq":` + strconv.FormatUint(e.Seq, 10))
	w.text(`,"action":`, e.Action)
	w.raw(`,"version":` + strconv.Itoa(cmp.Or(e.Version, 1)))
	w.raw(`,"occurred_at":"`)
	w.append(appendTime(w.b, e.OccurredAt))
	received, err := millisText("received_at", e.ReceivedAt)
	w.append(w.b, err)
	w.raw(`","received_at":"` + received + `"`)
	w.party(`,"actor":`, Target(e.Actor))
	w.raw(`,"targets":[`)
	for i, t := range e.Targets {
		w.party([]string{"", ","}[min(i, 1)], t)
	}
	w.raw("]")
	if context := e.contextDetails(); len(context) > 0 {
		w.value(`,"context":`, context)
	}
	if len(e.Metadata) > 0 {
		w.value(`,"metadata":`, e.Metadata)
	}
	if !e.ErasedAt.IsZero() {
		erased, err := millisText("erased_at", e.ErasedAt)
		w.append(w.b, err)
		w.raw(`,"erased_at":"` + erased + `"`)
	}
	if e.Schema != "" {
		w.text(`,"schema":`, e.Schema)
	}
	w.raw("}")
	if w.err != nil {
		return nil, fmt.Errorf("write entry: %w", w.err)
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
