package format

import (
	"bytes"
	"strconv"
	"sync"

	"github.com/stelehq/stele/internal/event"
)

// CEF returns the format "cef": the Common Event Format of ArcSight, version 0,
// after its implementation standard ("CEF Implementation Standard", revision 26;
// the producer's part of its extension dictionary).
//
//	CEF:0|Stele|Stele Audit Log|version|action|what it is|severity|extension
//
// In the header "\" and "|" are escaped by "\" and line ends become blanks; in
// values of the extension "\" and "=" are escaped, and line ends are \n and \r.
// Lengths are those of the dictionary, counted in bytes of the value before
// escaping.
//
// CEF loses what is longer than that, and blanks at the begin and end of a value:
// flexString1 ("alteredFields") lists the keys of which something was lost.
// Text that was cut ends with "…[truncated]". Targets that do not fit lose their
// metadata, then their names; JSON that does not fit is replaced by an object
// with "truncated" and the event's id. Times are milliseconds: flexString2
// ("occurredAt") has the whole time when it has more digits. flexDate1 ("erasedAt")
// is there when the entry's details were erased.
func CEF() Format {
	return &cefFormat{pool: sync.Pool{New: func() any { return new(cefWriter) }}}
}

type cefFormat struct {
	pool sync.Pool // of *cefWriter
}

func (f *cefFormat) Info() Info {
	return Info{
		Name: "cef", Version: 1, ContentType: "text/plain; charset=utf-8",
		Label: "CEF", Help: "ArcSight Common Event Format, for syslog. Long values are cut, and the event says which.",
	}
}

// Lengths of the extension dictionary, in the standard's characters; counted in
// bytes here, which is never more.
const (
	cefHeaderMax = 63
	cefNameMax   = 512
	cefActMax    = 63
	cefCustomMax = 4000
	cefTextMax   = 1023
	cefHostMax   = 1023
	cefFlexMax   = 1023
	cefDeviceMax = 100
)

// cefCut ends a value that was cut.
const cefCut = "…[truncated]"

// The keys of the extension.
const (
	cefTargets  = "cs2"
	cefMetadata = "cs5"
	cefActor    = "cs6"
)

// cefWriter writes one event.
type cefWriter struct {
	b       []byte
	altered []byte // the keys of which something was lost, parted by commas
	value   []byte // room for a value before it is escaped
}

func (f *cefFormat) Append(dst []byte, in *Input) []byte {
	w, _ := f.pool.Get().(*cefWriter)
	w.b, w.altered = dst, w.altered[:0]
	var t traits
	t.read(&in.Entry.Event)
	w.header(in, &t)
	w.what(in, &t)
	w.who(in.Entry)
	w.where(in)
	w.rest(in)
	dst, w.b = w.b, nil
	f.pool.Put(w)
	return dst
}

func (w *cefWriter) header(in *Input, t *traits) {
	w.b = append(w.b, "CEF:0|"+vendorName+"|"+productName...)
	version := in.Product
	if version == "" {
		version = "unknown"
	}
	w.field([]byte(version), cefHeaderMax)
	w.field(in.Entry.Action, len(in.Entry.Action))
	w.value = append(w.value[:0], in.Description...)
	if len(w.value) == 0 {
		w.value = appendTitle(w.value, in.Entry.Action)
	}
	w.field(w.value, cefNameMax)
	w.b = append(w.b, '|')
	w.b = strconv.AppendInt(w.b, cefSeverity(t), 10)
	w.b = append(w.b, '|')
}

// cefSeverity is from 0 to 10.
func cefSeverity(t *traits) int64 {
	switch {
	case t.verb == verbDelete:
		return 7
	case t.outcome == outcomeFailure:
		return 6
	case t.security && (t.verb == verbUpdate || t.verb == verbCreate):
		return 5
	}
	return 3
}

// appendTitle makes words of an action: "Api key created".
func appendTitle(dst, action []byte) []byte {
	start := len(dst)
	for _, c := range action {
		if isSeparator(c) || isJoint(c) {
			c = ' '
		}
		dst = append(dst, c)
	}
	if c := dst[start]; c >= 'a' && c <= 'z' {
		dst[start] = c - ('a' - 'A')
	}
	return dst
}

// field writes a field of the header.
func (w *cefWriter) field(s []byte, limit int) {
	w.b = append(w.b, '|')
	for _, c := range cut(bytes.TrimSpace(s), limit) {
		switch c {
		case '\\', '|':
			w.b = append(w.b, '\\', c)
		case '\n', '\r':
			w.b = append(w.b, ' ')
		default:
			w.b = append(w.b, c)
		}
	}
}

// what writes identity, times, action and outcome. The first key is one that a
// reader can do without: liblognorm eats its first letter.
func (w *cefWriter) what(in *Input, t *traits) {
	e := in.Entry
	w.b = append(w.b, "cat="...)
	if len(bytes.TrimSpace(t.noun)) > 0 {
		w.rawText("cat", t.noun, cefTextMax)
	} else {
		w.b = append(w.b, "audit"...)
	}
	w.plain("externalId", e.ID[:])
	w.int("rt", e.OccurredAt/1e6)
	w.int("end", e.OccurredAt/1e6)
	w.label("deviceCustomDate1", "receivedAt")
	w.int("deviceCustomDate1", e.ReceivedAt)
	w.text("act", e.Action, cefActMax)
	switch t.outcome {
	case outcomeFailure:
		w.plain("outcome", []byte("failure"))
	case outcomeUnknown:
		w.plain("outcome", []byte("unknown"))
	default:
		w.plain("outcome", []byte("success"))
	}
	w.custom("cs1", "organizationId", []byte(in.Organization))
	w.label("cn1", "schemaVersion")
	w.int("cn1", int64(e.Version))
	w.label("cn2", "sequence")
	w.int("cn2", int64(e.Seq)) //nolint:gosec // below 2^40
	if e.OccurredAt%1e6 != 0 {
		w.label("flexString2", "occurredAt")
		w.value = event.AppendTime(w.value[:0], e.OccurredAt)
		w.plain("flexString2", w.value)
	}
}

// who writes the actor, and what was done it to.
func (w *cefWriter) who(e *event.Entry) {
	w.text("suid", e.Actor.ID, cefTextMax)
	w.text("suser", e.Actor.Name, cefTextMax)
	switch {
	case equalFold(e.Actor.Type, "admin"):
		w.plain("spriv", []byte("Administrator"))
	case equalFold(e.Actor.Type, "user"):
		w.plain("spriv", []byte("User"))
	}
	w.custom("cs3", "actorType", e.Actor.Type)
	w.jsonValue(cefActor, "actorMetadata", e.Actor.Metadata, e.ID)
	if len(e.Targets) == 0 {
		return
	}
	if p := firstOf(e.Targets, isUser); p != nil {
		w.text("duid", p.ID, cefTextMax)
		w.text("duser", p.Name, cefTextMax)
	}
	w.custom("cs4", "targetType", e.Targets[0].Type)
	w.targets(e)
}

func (w *cefWriter) targets(e *event.Entry) {
	var full []byte
	for _, with := range []bool{true, false} {
		j := jsonWriter{b: w.value[:0]}
		j.parties("", e.Targets, with)
		w.value = j.b
		if len(w.value) <= cefCustomMax {
			full = w.value
			break
		}
		if with {
			w.alter(cefTargets)
		}
	}
	if full == nil {
		j := jsonWriter{b: w.value[:0]}
		j.open("")
		j.yes("truncated", true)
		j.bytes("event_id", e.ID[:])
		j.int("targets", int64(len(e.Targets)))
		j.close()
		w.value, full = j.b, j.b
	}
	w.label(cefTargets, "targets")
	w.begin(cefTargets)
	w.escape(full)
}

// where writes the client and the server.
func (w *cefWriter) where(in *Input) {
	e := in.Entry
	switch addr, ok := address(e.Location); {
	case ok && addr.Is4():
		w.plain("src", e.Location)
	case ok:
		w.label("c6a2", "Source IPv6 Address")
		w.plain("c6a2", e.Location)
	default:
		w.text("shost", e.Location, cefHostMax)
	}
	w.text("requestClientApplication", e.UserAgent, cefTextMax)
	w.text("dvchost", []byte(in.Server), cefDeviceMax)
}

// rest writes the metadata, the line for people and what was lost.
func (w *cefWriter) rest(in *Input) {
	e := in.Entry
	w.jsonValue(cefMetadata, "metadata", e.Metadata, e.ID)
	w.value = appendMessage(w.value[:0], &e.Event)
	w.text("msg", w.value, cefTextMax)
	if in.Replay {
		w.label("flexNumber1", "replay")
		w.int("flexNumber1", 1)
	}
	if e.Unregistered {
		w.label("flexNumber2", "unregisteredSchema")
		w.int("flexNumber2", 1)
	}
	if e.ErasedAt != 0 {
		w.label("flexDate1", "erasedAt")
		w.int("flexDate1", e.ErasedAt)
	}
	if len(w.altered) > 0 {
		w.label("flexString1", "alteredFields")
		w.plain("flexString1", cut(w.altered, cefFlexMax))
	}
}

// alter notes that something of a value was lost.
func (w *cefWriter) alter(key string) {
	if len(w.altered) > 0 {
		w.altered = append(w.altered, ',')
	}
	w.altered = append(w.altered, key...)
}

func (w *cefWriter) begin(key string) {
	w.b = append(w.b, ' ')
	w.b = append(w.b, key...)
	w.b = append(w.b, '=')
}

func (w *cefWriter) label(key, label string) {
	w.b = append(w.b, ' ')
	w.b = append(w.b, key...)
	w.b = append(w.b, "Label="...)
	w.b = append(w.b, label...)
}

func (w *cefWriter) int(key string, n int64) {
	w.begin(key)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// plain writes a value that fits and has nothing to escape.
func (w *cefWriter) plain(key string, v []byte) {
	w.begin(key)
	w.b = append(w.b, v...)
}

// text writes a value within a length, or nothing when it is empty.
func (w *cefWriter) text(key string, v []byte, limit int) {
	trimmed := bytes.TrimSpace(v)
	if len(trimmed) == 0 {
		if len(v) > 0 {
			w.alter(key)
		}
		return
	}
	w.begin(key)
	w.rawText(key, v, limit)
}

// rawText writes a value within a length after its key.
func (w *cefWriter) rawText(key string, v []byte, limit int) {
	trimmed := bytes.TrimSpace(v)
	whole := len(trimmed) == len(v)
	if len(trimmed) <= limit {
		w.escape(trimmed)
	} else {
		whole = false
		w.escape(cut(trimmed, limit-len(cefCut)))
		w.b = append(w.b, cefCut...)
	}
	if !whole {
		w.alter(key)
	}
}

// custom writes a device custom string and its label, or nothing.
func (w *cefWriter) custom(key, label string, v []byte) {
	if len(bytes.TrimSpace(v)) == 0 {
		if len(v) > 0 {
			w.alter(key)
		}
		return
	}
	w.label(key, label)
	w.begin(key)
	w.rawText(key, v, cefCustomMax)
}

// jsonValue writes JSON as a device custom string, or an object that says that it
// is too long.
func (w *cefWriter) jsonValue(key, label string, v []byte, id event.ID) {
	if len(v) == 0 {
		return
	}
	w.label(key, label)
	w.begin(key)
	if len(v) <= cefCustomMax {
		w.escape(v)
		return
	}
	w.alter(key)
	w.b = append(w.b, `{"truncated":true,"event_id":"`...)
	w.b = append(w.b, id[:]...)
	w.b = append(w.b, `"}`...)
}

// escape writes a value of the extension.
func (w *cefWriter) escape(v []byte) {
	for _, c := range v {
		switch c {
		case '\\', '=':
			w.b = append(w.b, '\\', c)
		case '\n':
			w.b = append(w.b, '\\', 'n')
		case '\r':
			w.b = append(w.b, '\\', 'r')
		default:
			w.b = append(w.b, c)
		}
	}
}

// AppendCheckpoint appends an event of the signature "stele.checkpoint". cs5 holds
// the note, whose line ends are \n as in any value.
func (f *cefFormat) AppendCheckpoint(dst []byte, cp *Checkpoint) []byte {
	w, _ := f.pool.Get().(*cefWriter)
	w.b, w.altered = dst, w.altered[:0]
	w.b = append(w.b, "CEF:0|"+vendorName+"|"+productName...)
	version := cp.Product
	if version == "" {
		version = "unknown"
	}
	w.field([]byte(version), cefHeaderMax)
	w.b = append(w.b, "|"+checkpointType+"|Signed checkpoint of the log|1|cat=checkpoint"...)
	w.value = appendCheckpointID(w.value[:0], cp)
	w.text("externalId", w.value, cefTextMax)
	w.int("rt", cp.ReceivedAt.UnixMilli())
	w.int("end", cp.ReceivedAt.UnixMilli())
	w.plain("act", []byte(checkpointType))
	w.custom("cs1", "organizationId", []byte(cp.Organization))
	w.label("cn2", "size")
	w.int("cn2", int64(cp.Size)) //nolint:gosec // below 2^40
	w.text("dvchost", []byte(cp.Server), cefDeviceMax)
	if len(cp.Note) > 0 {
		w.label(cefMetadata, "checkpoint")
		w.begin(cefMetadata)
		w.escape(cp.Note)
	}
	dst, w.b = w.b, nil
	f.pool.Put(w)
	return dst
}
