package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// Decoder reads events from JSON. It owns scratch memory and is not safe for
// concurrent use.
//
// There are two readers inside. The plain one reads what programs send: no
// escapes, integers only, fields of the right type. It says yes or nothing: at
// anything else it gives up, and the strict one, built on jsontext, reads the
// event again from its start. The strict one is the definition of what an event
// is, and the only one that makes errors.
type Decoder struct {
	// buf holds decoded strings and rewritten metadata since the last Reset.
	// When it grows, what was handed out stays in the old array.
	buf []byte
	// members is a stack of the members of the metadata objects being
	// rewritten, sorted the memory for sorting one's text.
	members []member
	sorted  []byte
	// names holds the decoded keys of members, when their text has escapes.
	names []byte
	// keys counts the keys of the metadata object being read.
	keys int

	input bytes.Buffer // data, for json to read from
	json  *jsontext.Decoder
}

// NewDecoder returns a Decoder without scratch memory yet.
func NewDecoder() *Decoder { return &Decoder{} }

// maxKeep is how much scratch memory a Decoder keeps over a Reset.
const maxKeep = 1 << 20

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
	if len(data) > audit.MaxEventBytes {
		return audit.Errorf(audit.CodeTooLarge, "the event has %d bytes of JSON; %d are allowed",
			len(data), audit.MaxEventBytes)
	}
	start := len(d.buf)
	if !d.decodePlain(data, ev) {
		d.buf = d.buf[:start]
		if err := d.decodeStrict(data, ev); err != nil {
			return err
		}
	}
	return d.checkRecord(data, ev)
}

// Reset gives up what was decoded so far, keeping memory for what comes.
func (d *Decoder) Reset() {
	d.buf = d.buf[:0]
	if cap(d.buf) > maxKeep {
		d.buf = nil
	}
}

// recordExtra is more than a record can be longer than the event's JSON: the
// digest, the id, the received time and the longer form of the occurred one.
const recordExtra = 512

// checkRecord refuses an event whose record is too long for an entry bundle.
func (d *Decoder) checkRecord(data []byte, ev *Event) error {
	if len(data) <= audit.MaxRecordBytes-recordExtra {
		return nil
	}
	start := len(d.buf)
	record, _ := AppendRecord(d.buf, ev)
	if n := len(record) - start; n > audit.MaxRecordBytes {
		return audit.Errorf(audit.CodeTooLarge, "the event's record (action, times, and the types and ids of actor "+
			"and targets) has %d bytes; %d are allowed: shorten ids or split the targets over several events",
			n, audit.MaxRecordBytes)
	}
	return nil
}

// finish sets what an event means by leaving a field out.
func (e *Event) finish() {
	if e.Version == 0 {
		e.Version = 1
	}
}
