package format

import (
	"github.com/stelehq/stele/internal/event"
)

// WorkOS returns the format "workos": one object of the array, or one line of
// the lines, that a GenericHttps log stream of WorkOS sends. Its source is the
// documentation of WorkOS log streams:
//
//	{"event":{id, action, occurred_at, actor, targets, context, metadata},
//	 "keySuffix":"…", "timestamp":"…", "source":"…", "stele":{…}}
//
// keySuffix is made of the event's id, so it is the same whenever the event is
// sent; timestamp is occurred_at to the millisecond; source is the server's name.
// That shape has no place for organization, seq, received_at and version: they
// are in "stele", which is ours. With it nothing is lost.
func WorkOS() Format { return workOS{} }

type workOS struct{}

func (workOS) Info() Info {
	return Info{
		Name: "workos", Version: 1, JSON: true, ContentType: "application/json",
		Label: "WorkOS GenericHttps", Help: "The objects that a generic HTTPS log stream of WorkOS sends.",
	}
}

func (workOS) Append(dst []byte, in *Input) []byte {
	e := in.Entry
	w := jsonWriter{b: append(dst, '{')}
	w.open("event")
	w.bytes("id", e.ID[:])
	w.bytes("action", e.Action)
	w.nanos("occurred_at", e.OccurredAt)
	w.open("actor")
	w.party(&e.Actor)
	w.close()
	w.parties("targets", e.Targets, true)
	w.open("context")
	w.name("location") // WorkOS requires a location, and gives it always
	w.b = appendQuoted(w.b, e.Location)
	w.bytes("user_agent", e.UserAgent)
	w.close()
	w.raw("metadata", e.Metadata)
	w.close()
	w.name("keySuffix")
	w.b = appendKeySuffix(w.b, e.ID)
	w.millis("timestamp", e.OccurredAt/1e6)
	w.text("source", in.Server)
	w.open("stele")
	w.text("organization_id", in.Organization)
	w.uint("seq", e.Seq)
	w.millis("received_at", e.ReceivedAt)
	w.int("version", int64(e.Version))
	if e.Unregistered {
		w.text("schema", unregistered)
	}
	w.erased(e)
	w.yes("replay", in.Replay)
	w.close()
	w.close()
	return w.b
}

// AppendCheckpoint appends the same shape with an event of the action
// "stele.checkpoint", whose metadata holds the note.
func (workOS) AppendCheckpoint(dst []byte, cp *Checkpoint) []byte {
	w := jsonWriter{b: append(dst, '{')}
	w.open("event")
	w.checkpointID("id", cp)
	w.text("action", checkpointType)
	w.millis("occurred_at", cp.ReceivedAt.UnixMilli())
	w.open("actor")
	w.text("type", "system")
	w.text("id", "stele")
	w.close()
	w.openArray("targets")
	w.closeArray()
	w.open("context")
	w.text("location", cp.Server)
	w.close()
	w.open("metadata")
	appendCheckpointMembers(&w, cp)
	w.close()
	w.close()
	w.checkpointID("keySuffix", cp)
	w.millis("timestamp", cp.ReceivedAt.UnixMilli())
	w.text("source", cp.Server)
	w.close()
	return w.b
}

// keySuffixLen is how many characters of an id tell it from others of its
// millisecond: the end of seq and all check bits.
const keySuffixLen = 12

func appendKeySuffix(dst []byte, id event.ID) []byte {
	dst = append(dst, '"')
	for _, c := range id[len(id)-keySuffixLen:] {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
