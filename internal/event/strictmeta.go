package event

import (
	"strings"

	"github.com/stelehq/stele/audit"
)

// metadata reads a metadata object and returns it in canonical form; nil for
// null and for an empty one.
func (d *Decoder) metadata() ([]byte, error) {
	switch d.json.PeekKind() {
	case 'n':
		return nil, d.null()
	case '{':
	default:
		return nil, d.wrongKind("must be an object")
	}
	start := len(d.buf)
	d.keys = 0
	d.names = d.names[:0]
	if err := d.canonicalObject(1); err != nil {
		return nil, err
	}
	if len(d.buf) == start+len("{}") {
		d.buf = d.buf[:start]
		return nil, nil
	}
	return d.buf[start:len(d.buf):len(d.buf)], nil
}

// canonicalValue appends the next value to buf. depth is that of the object or
// array it is in.
func (d *Decoder) canonicalValue(depth int) error {
	switch d.json.PeekKind() {
	case '{':
		return d.canonicalObject(depth + 1)
	case '[':
		return d.canonicalArray(depth + 1)
	case '"':
		return d.canonicalString()
	}
	v, err := d.json.ReadValue()
	if err != nil {
		return d.syntax(err)
	}
	if v.Kind() != '0' {
		d.buf = append(d.buf, v...)
		return nil
	}
	var ok bool
	if d.buf, ok = appendNumber(d.buf, v); !ok {
		return d.wrong("the number %s would not be kept exactly (JSON numbers are IEEE 754 doubles); send it as a string",
			shorten(v))
	}
	return nil
}

func (d *Decoder) canonicalString() error {
	start := len(d.names)
	var err error
	d.names, err = d.appendText(d.names, audit.MaxStringBytes)
	d.buf = appendString(d.buf, d.names[start:])
	d.names = d.names[:start]
	return err
}

func (d *Decoder) canonicalObject(depth int) error {
	if err := d.enter(depth); err != nil {
		return err
	}
	base := d.beginObject()
	for d.json.PeekKind() != '}' {
		if d.keys++; d.keys > audit.MaxMetadataKeys {
			return d.tooManyKeys()
		}
		if err := d.canonicalMember(depth); err != nil {
			return err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	d.endObject(base) // jsontext has found duplicates already
	return nil
}

func (d *Decoder) canonicalMember(depth int) error {
	nameStart, start := len(d.names), len(d.buf)
	var err error
	if d.names, err = d.appendText(d.names, audit.MaxStringBytes); err != nil {
		return err
	}
	name := d.names[nameStart:len(d.names):len(d.names)]
	d.buf = append(appendString(d.buf, name), ':')
	if err := d.canonicalValue(depth); err != nil {
		return err
	}
	d.addMember(name, start)
	return nil
}

func (d *Decoder) canonicalArray(depth int) error {
	if err := d.enter(depth); err != nil {
		return err
	}
	d.buf = append(d.buf, '[')
	for n := 0; d.json.PeekKind() != ']'; n++ {
		d.buf = appendComma(d.buf, n > 0)
		if err := d.canonicalValue(depth); err != nil {
			return err
		}
	}
	d.buf = append(d.buf, ']')
	_, err := d.json.ReadToken()
	return d.syntax(err)
}

// enter reads the opening brace or bracket of what is nested that deep.
func (d *Decoder) enter(depth int) error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	if depth > audit.MaxMetadataDepth {
		return d.wrong("metadata is nested more than %d deep; flatten it", audit.MaxMetadataDepth)
	}
	return nil
}

// tooManyKeys is an error about the metadata object as a whole: the fixed names
// before it in the pointer are others.
func (d *Decoder) tooManyKeys() error {
	const name = "/metadata"
	at := string(d.json.StackPointer())
	before, _, _ := strings.Cut(at, name)
	return audit.FieldErrorf(audit.CodeInvalidEvent, before+name,
		"has more than %d keys, those of nested objects included", audit.MaxMetadataKeys)
}

func shorten(b []byte) string {
	const most = 40
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
