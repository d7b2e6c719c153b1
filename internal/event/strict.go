package event

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// decodeStrict reads any event there is, and says what is wrong with the others.
func (d *Decoder) decodeStrict(data []byte, ev *Event) error {
	d.input = *bytes.NewBuffer(data)
	if d.json == nil {
		d.json = jsontext.NewDecoder(&d.input)
	} else {
		d.json.Reset(&d.input)
	}
	clear(d.members)
	d.members = d.members[:0]
	defer d.release()
	*ev = Event{Targets: ev.Targets[:0]}
	if skipSpace(data, 0) == len(data) {
		return audit.Errorf(audit.CodeInvalidJSON, "the event is empty; a JSON object is expected")
	}
	if err := d.event(ev); err != nil {
		return err
	}
	if _, err := d.json.ReadToken(); err != io.EOF { //nolint:errorlint // as its documentation says
		return audit.Errorf(audit.CodeInvalidJSON,
			"there is more after the event's closing brace; send several events as an array or as NDJSON")
	}
	ev.finish()
	return nil
}

// release drops what points to the caller's data.
func (d *Decoder) release() {
	d.input = bytes.Buffer{}
	d.json.Reset(&d.input)
}

func (d *Decoder) event(ev *Event) error {
	timed := false
	err := d.object("an event", func(name []byte) (err error) {
		switch string(name) {
		case "action":
			ev.Action, err = d.text(audit.MaxActionBytes)
		case "version":
			ev.Version, err = d.version()
		case "occurred_at":
			ev.OccurredAt, timed, err = d.time()
		case "actor":
			err = d.party(&ev.Actor)
		case "targets":
			err = d.targets(ev)
		case "context":
			err = d.context(ev)
		case "metadata":
			ev.Metadata, err = d.metadata()
		case "idempotency_key":
			ev.IdempotencyKey, err = d.text(audit.MaxIdempotencyKeyBytes)
		default:
			err = d.unknown()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case len(ev.Action) == 0:
		return missing("/action")
	case !timed:
		return missing("/occurred_at")
	}
	return ev.Actor.check("/actor")
}

// object reads an object and calls field with the name of each of its members,
// which reads the value and does not keep the name. what names the object when
// it is none.
func (d *Decoder) object(what string, field func(name []byte) error) error {
	if kind := d.json.PeekKind(); kind != '{' {
		return d.wrongKind(what + " must be an object")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return d.syntax(err)
		}
		if d.names, err = jsontext.AppendUnquote(d.names[:0], name); err != nil {
			return d.syntax(err)
		}
		if err := field(d.names); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return d.syntax(err)
}

func (d *Decoder) party(p *Party) error {
	if d.json.PeekKind() == 'n' {
		return d.null()
	}
	return d.object("an actor or target", func(name []byte) (err error) {
		switch string(name) {
		case "type":
			p.Type, err = d.text(audit.MaxStringBytes)
		case "id":
			p.ID, err = d.text(audit.MaxStringBytes)
		case "name":
			p.Name, err = d.text(audit.MaxStringBytes)
		case "metadata":
			p.Metadata, err = d.metadata()
		default:
			err = d.unknown()
		}
		return err
	})
}

// check says which of an actor's or target's required fields is missing.
func (p *Party) check(at string) error {
	switch {
	case len(p.Type) == 0 && len(p.ID) == 0:
		return audit.FieldErrorf(audit.CodeInvalidEvent, at, "is required, with a type and an id that are not empty")
	case len(p.Type) == 0:
		return missing(at + "/type")
	case len(p.ID) == 0:
		return missing(at + "/id")
	}
	return nil
}

func (d *Decoder) targets(ev *Event) error {
	switch d.json.PeekKind() {
	case 'n':
		return d.null()
	case '[':
	default:
		return d.wrongKind("targets must be an array of objects")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.json.PeekKind() != ']' {
		n := len(ev.Targets)
		if n == audit.MaxTargets {
			return audit.FieldErrorf(audit.CodeInvalidEvent, "/targets",
				"has more than %d targets; split them over several events", audit.MaxTargets)
		}
		ev.Targets = append(ev.Targets, Party{})
		if err := d.party(&ev.Targets[n]); err != nil {
			return err
		}
		if err := ev.Targets[n].check("/targets/" + strconv.Itoa(n)); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return d.syntax(err)
}

func (d *Decoder) context(ev *Event) error {
	if d.json.PeekKind() == 'n' {
		return d.null()
	}
	return d.object("context", func(name []byte) (err error) {
		switch string(name) {
		case "location":
			ev.Location, err = d.text(audit.MaxStringBytes)
		case "user_agent":
			ev.UserAgent, err = d.text(audit.MaxStringBytes)
		default:
			err = d.unknown()
		}
		return err
	})
}

// text reads a string of the fixed fields; null means that it is absent.
func (d *Decoder) text(limit int) ([]byte, error) {
	switch d.json.PeekKind() {
	case 'n':
		return nil, d.null()
	case '"':
	default:
		return nil, d.wrongKind("must be a string")
	}
	start := len(d.buf)
	var err error
	if d.buf, err = d.appendText(d.buf, limit); err != nil || len(d.buf) == start {
		return nil, err
	}
	return d.buf[start:len(d.buf):len(d.buf)], nil
}

// appendText reads a string, a name of a member too, and appends it decoded.
func (d *Decoder) appendText(dst []byte, limit int) ([]byte, error) {
	v, err := d.json.ReadValue()
	if err != nil {
		return dst, d.syntax(err)
	}
	start := len(dst)
	dst, err = jsontext.AppendUnquote(dst, v)
	if err != nil {
		return dst, d.syntax(err)
	}
	text := dst[start:]
	switch {
	case len(text) > limit:
		return dst, d.wrong("has %d bytes; %d are allowed", len(text), limit)
	case bytes.IndexByte(text, 0) >= 0:
		return dst, d.wrong("has a NUL character (\\u0000), which Stele does not keep; remove it")
	}
	return dst, nil
}

func (d *Decoder) version() (int, error) {
	switch d.json.PeekKind() {
	case 'n':
		return 0, d.null()
	case '0':
	default:
		return 0, d.wrongKind("must be a whole number from 1 to 65535")
	}
	v, err := d.json.ReadValue()
	if err != nil {
		return 0, d.syntax(err)
	}
	var b [32]byte
	canonical, ok := appendNumber(b[:0], v)
	n, err := strconv.Atoi(string(canonical))
	if !ok || err != nil || n < 1 || n > MaxVersion {
		return 0, d.wrong("must be a whole number from 1 to %d", MaxVersion)
	}
	return n, nil
}

func (d *Decoder) time() (ns int64, ok bool, err error) {
	switch d.json.PeekKind() {
	case 'n':
		return 0, false, d.null()
	case '"':
	default:
		return 0, false, d.wrongKind("must be a string with an RFC 3339 time, such as 2026-03-01T09:30:00.123Z")
	}
	start := len(d.buf)
	text, err := d.appendText(d.buf, audit.MaxStringBytes)
	if err != nil {
		return 0, false, err
	}
	ns, fault := parseTime(text[start:])
	if fault != "" {
		return 0, false, d.wrong("%s", fault)
	}
	return ns, true, nil
}

func (d *Decoder) null() error {
	_, err := d.json.ReadToken()
	return d.syntax(err)
}

// wrong is an error about the value or name just read.
func (d *Decoder) wrong(format string, args ...any) error {
	return audit.FieldErrorf(audit.CodeInvalidEvent, string(d.json.StackPointer()), format, args...)
}

// wrongKind is an error about the value that comes next, unless what comes next
// is no JSON: then that is the error.
func (d *Decoder) wrongKind(message string) error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	return d.wrong("%s", message)
}

// unknown is an error about the name of a field just read.
func (d *Decoder) unknown() error {
	p := d.json.StackPointer()
	message := "is not a field of an event; put what is your own into metadata"
	switch p {
	case "/id", "/organization_id", "/seq", "/received_at", "/schema":
		message = "is given by the server when it records the event; leave it out"
	}
	return audit.FieldErrorf(audit.CodeUnknownField, string(p), "%s", message)
}

func missing(field string) error {
	return audit.FieldErrorf(audit.CodeInvalidEvent, field, "is required and must not be empty")
}

// syntax turns an error of jsontext into one for the caller.
func (d *Decoder) syntax(err error) error {
	if err == nil {
		return nil
	}
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return audit.Errorf(audit.CodeInvalidJSON, "the event's JSON ends in the middle")
	case !errors.As(err, &s):
		return audit.Errorf(audit.CodeInvalidJSON, "the event is not valid JSON: %v", err)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return audit.FieldErrorf(audit.CodeInvalidJSON, string(s.JSONPointer), "is there twice")
	}
	return audit.FieldErrorf(audit.CodeInvalidJSON, string(s.JSONPointer),
		"the event is not valid JSON at byte %d: %v", s.ByteOffset, s.Err)
}
