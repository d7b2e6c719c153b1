package format

import (
	"strconv"
)

// JSON returns the native format, "json": an entry as GET /v1/…/events/{id}
// answers it (docs/api.md), and after its members
//
//	event_schema_version   version again, under the name that other formats use
//	replay                 true, in an event that is delivered again on request
//
// Nothing is lost. Numbers in metadata are those that were sent; occurred_at has
// all its digits.
func JSON() Format { return nativeJSON{} }

type nativeJSON struct{}

func (nativeJSON) Info() Info {
	return Info{
		Name: "json", Version: 1, JSON: true, ContentType: "application/json",
		Label: "JSON", Help: "Every event as the API answers it. Nothing is lost or renamed.",
	}
}

func (nativeJSON) Append(dst []byte, in *Input) []byte {
	dst = in.Entry.AppendJSON(dst, in.Organization)
	dst = append(dst[:len(dst)-1], `,"event_schema_version":`...)
	dst = strconv.AppendInt(dst, int64(in.Entry.Version), 10)
	if in.Replay {
		dst = append(dst, `,"replay":true`...)
	}
	return append(dst, '}')
}

// AppendCheckpoint appends an object that has "type": "stele.checkpoint", which
// no event has.
func (nativeJSON) AppendCheckpoint(dst []byte, cp *Checkpoint) []byte {
	w := jsonWriter{b: append(dst, '{')}
	w.text("type", checkpointType)
	appendCheckpointMembers(&w, cp)
	w.close()
	return w.b
}

// checkpointType is what checkpoint records call themselves in every format.
const checkpointType = "stele.checkpoint"

// appendCheckpointMembers writes what every JSON form of a checkpoint has: the
// signed note, and what it commits to in words that can be searched.
func appendCheckpointMembers(w *jsonWriter, cp *Checkpoint) {
	w.text("organization_id", cp.Organization)
	w.some("organization_name", cp.OrganizationName)
	w.uint("size", cp.Size)
	w.millis("received_at", cp.ReceivedAt.UnixMilli())
	w.bytes("checkpoint", cp.Note)
}
