package workos

import (
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/internal/schema"
)

// submission is the body of a create-event request, taken apart.
type submission struct {
	organization string
	action       string
	version      int64
	// event is the JSON of the event as package event reads it.
	event []byte
	// violations are the limits of WorkOS that the event is over.
	violations []schema.Violation
}

// parseSubmission reads the body of a create-event request. What is wrong with
// its structure is the error; what is over a limit is for later.
func parseSubmission(body []byte) (*submission, error) {
	f, err := parseForm(body)
	if err != nil {
		return nil, err
	}
	s := &submission{organization: f.filled("organization_id")}
	if ev, ok := f.requireObject("event"); ok {
		w := eventWriter{buf: make([]byte, 0, len(body))}
		w.event(ev, s)
		s.event, s.violations = w.buf, w.limits.violations
	}
	if f.failed() {
		return nil, invalid(*f.faults...)
	}
	return s, nil
}

// eventWriter writes an event in the native form. It copies strings and metadata
// as they came: whether these can be recorded is for the decoder to say.
type eventWriter struct {
	buf    []byte
	limits limiter
}

func (w *eventWriter) event(f form, s *submission) {
	w.buf = append(w.buf, '{')
	action := f.requireFilled("action")
	s.action = unquote(action)
	w.member("action", action)
	w.version(f, s)
	w.occurredAt(f)
	if actor, ok := f.requireObject("actor"); ok {
		w.name("actor")
		w.party(actor, "/actor", "/properties/actor")
	}
	w.targets(f)
	w.context(f)
	w.metadata(f, "", "")
	w.buf = append(w.buf, '}')
}

// version is 1 when it is absent. One that no schema can have is left out: the
// event will be refused for it.
func (w *eventWriter) version(f form, s *submission) {
	s.version = 1
	if n, ok := f.number("version"); ok {
		s.version = n
	}
	if s.version >= 1 && s.version <= schema.MaxVersion {
		w.name("version")
		w.buf = strconv.AppendInt(w.buf, s.version, 10)
	}
}

func (w *eventWriter) occurredAt(f form) {
	v := f.requireFilled("occurred_at")
	if v == nil {
		return
	}
	at, ok := rfc3339(unquote(v))
	if !ok {
		f.fault(faultValue, "occurred_at", "must be an ISO 8601 time, such as 2026-01-15T12:00:00.000Z")
		return
	}
	w.name("occurred_at")
	w.buf = strconv.AppendQuote(w.buf, at) // digits and signs only
}

func (w *eventWriter) party(f form, at, schemaPath string) {
	w.buf = append(w.buf, '{')
	w.member("id", f.requireFilled("id"))
	w.member("type", f.requireFilled("type"))
	w.member("name", f.rawText("name"))
	w.metadata(f, at, schemaPath)
	w.buf = append(w.buf, '}')
}

func (w *eventWriter) targets(f form) {
	targets, ok := f.objects("targets")
	if !ok {
		if f.raw("targets") == nil {
			f.fault(faultRequired, "targets", "is required")
		}
		return
	}
	w.limits.targets(len(targets))
	w.name("targets")
	w.buf = append(w.buf, '[')
	for i, target := range targets {
		w.comma()
		w.party(target, "/targets/"+strconv.Itoa(i), "/properties/targets/items")
	}
	w.buf = append(w.buf, ']')
}

// context requires a location, be it empty: Go's SDK before 7 always sends one.
func (w *eventWriter) context(f form) {
	context, ok := f.requireObject("context")
	if !ok {
		return
	}
	w.name("context")
	w.buf = append(w.buf, '{')
	w.member("location", context.requireText("location"))
	w.member("user_agent", context.rawText("user_agent"))
	w.buf = append(w.buf, '}')
}

func (w *eventWriter) metadata(f form, at, schemaPath string) {
	metadata, ok := f.object("metadata")
	if !ok {
		return
	}
	w.limits.metadata(metadata, at+"/metadata", schemaPath+"/properties/metadata")
	w.member("metadata", f.raw("metadata"))
}

// member writes a member; an absent one is left out.
func (w *eventWriter) member(name string, value jsontext.Value) {
	if value == nil {
		return
	}
	w.name(name)
	w.buf = append(w.buf, value...)
}

func (w *eventWriter) name(name string) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, `":`...)
}

func (w *eventWriter) comma() {
	if last := w.buf[len(w.buf)-1]; last != '{' && last != '[' {
		w.buf = append(w.buf, ',')
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
