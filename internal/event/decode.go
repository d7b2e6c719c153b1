package event

import "github.com/stelehq/stele/audit"

// Decoder reads events from JSON. It owns scratch memory and is not safe for
// concurrent use; the zero Decoder is not usable, see [NewDecoder].
type Decoder struct {
	buf []byte // decoded strings and rewritten metadata
}

// NewDecoder returns a Decoder without scratch memory yet.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode reads one event's JSON into ev, whose Targets are reused. What ev
// points to is in data or in the decoder's scratch memory, and is valid until
// the next Decode or Reset. An error is an *audit.Error with Code and Field (a
// JSON pointer) set and Line unset; ev is then undefined.
func (d *Decoder) Decode(data []byte, ev *Event) error {
	d.Reset()
	return d.DecodeKeep(data, ev)
}

// DecodeKeep is Decode, but what earlier calls returned stays valid until the
// next Decode or Reset: for batches.
func (d *Decoder) DecodeKeep(data []byte, ev *Event) error {
	panic("unfinished")
}

// Reset gives up what was decoded so far, keeping memory for what comes.
func (d *Decoder) Reset() { d.buf = d.buf[:0] }

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

// AppendAudit appends the JSON of an event of package audit.
func AppendAudit(dst []byte, e *audit.Event) ([]byte, error) {
	panic("unfinished")
}
