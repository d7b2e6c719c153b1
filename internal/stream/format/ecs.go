package format

import (
	"github.com/stelehq/stele/internal/event"
)

// ECS returns the format "ecs": a document of the Elastic Common Schema, version
// 9.4.0, after its published list of fields (github.com/elastic/ecs,
// generated/csv/fields.csv). Fields below "stele" are ours: an index template maps
// stele.metadata, stele.actor.metadata and stele.targets as flattened
// (flat_object in OpenSearch), or customers' keys would become fields.
//
// The document loses nothing; what an index makes of it does: dates are indexed
// to the millisecond and numbers in flattened fields as text. The source of the
// document has them as they were.
func ECS() Format { return ecs{} }

// ecsVersion is the version of the schema that the fields are of.
const ecsVersion = "9.4.0"

type ecs struct{}

func (ecs) Info() Info {
	return Info{
		Name: "ecs", Version: 1, JSON: true, ContentType: "application/json",
		Label: "ECS", Help: "Elastic Common Schema " + ecsVersion + ", for Elasticsearch and OpenSearch.",
	}
}

func (ecs) Append(dst []byte, in *Input) []byte {
	e := in.Entry
	var t traits
	t.read(&e.Event)
	w := jsonWriter{b: append(dst, '{')}
	w.nanos("@timestamp", e.OccurredAt)
	w.message("message", &e.Event)
	w.b = append(w.b, `,"ecs":{"version":"`+ecsVersion+`"}`...)
	w.open("event")
	w.bytes("id", e.ID[:])
	w.text("kind", "event")
	w.bytes("action", e.Action)
	category := ecsCategory(&t)
	w.openArray("category")
	w.text("", category)
	w.closeArray()
	w.openArray("type")
	ecsTypes(&w, &t, category, e)
	w.closeArray()
	w.text("outcome", ecsOutcome(t.outcome))
	w.millis("created", e.ReceivedAt)
	w.uint("sequence", e.Seq)
	ecsSource(&w)
	w.close()
	ecsOrigin(&w, in.Organization, in.OrganizationName, in.Server, in.Product)
	ecsPeople(&w, e)
	_, isAddress := address(e.Location)
	ecsClient(&w, e, isAddress)
	ecsRelated(&w, e, isAddress)
	ecsOwn(&w, in)
	w.close()
	return w.b
}

// ecsSource writes which log it is.
func ecsSource(w *jsonWriter) {
	w.text("dataset", "stele.events")
	w.text("module", "stele")
	w.text("provider", "stele")
}

// ecsOrigin writes whose event it is, and who tells of it.
func ecsOrigin(w *jsonWriter, id, name, server, product string) {
	w.open("organization")
	w.text("id", id)
	w.some("name", name)
	w.close()
	w.open("observer")
	w.text("vendor", vendorName)
	w.text("product", productName)
	w.some("version", product)
	w.some("hostname", server)
	w.close()
}

// ecsCategory is the one event.category that fits best.
func ecsCategory(t *traits) string {
	if t.verb == verbLogin || t.verb == verbLogout {
		return "authentication"
	}
	category := "api"
	eachWord(t.lowNoun(), func(word []byte) {
		switch string(word) {
		case "session", "login":
			category = "session"
		case "setting", "settings", "config", "configuration", "policy", "preference", "preferences":
			category = "configuration"
		case "file", "files", "document", "attachment":
			category = "file"
		}
	})
	if category == "api" && t.security {
		return "iam"
	}
	return category
}

// ecsTypes writes those event.type that the schema expects in the category.
func ecsTypes(w *jsonWriter, t *traits, category string, e *event.Entry) {
	typ := "info"
	switch t.verb {
	case verbCreate:
		typ = "creation"
	case verbRead:
		typ = "access"
	case verbUpdate:
		typ = "change"
	case verbDelete:
		typ = "deletion"
	case verbLogin:
		typ = "start"
	case verbLogout:
		typ = "end"
	}
	switch {
	case category == "session":
		typ = sessionType(t.verb)
	case category == "iam" && typ == "access":
		typ = "info"
	}
	w.text("", typ)
	if t.outcome == outcomeFailure && category == "api" {
		w.text("", "denied")
	}
	if category != "iam" && category != "api" {
		return
	}
	if equalFold(e.Actor.Type, "admin") {
		w.text("", "admin")
	}
	if len(e.Targets) > 0 {
		switch p := &e.Targets[0]; {
		case isUser(p.Type):
			w.text("", "user")
		case isGroup(p.Type) && category == "iam":
			w.text("", "group")
		}
	}
}

func sessionType(v verb) string {
	switch v {
	case verbCreate, verbLogin:
		return "start"
	case verbDelete, verbLogout:
		return "end"
	default:
		return "info"
	}
}

func ecsOutcome(o outcome) string {
	switch o {
	case outcomeSuccess:
		return "success"
	case outcomeFailure:
		return "failure"
	default:
		return "unknown"
	}
}

// ecsPeople writes the actor as user, whatever it is, so that detections find
// it, and the first target of each kind.
func ecsPeople(w *jsonWriter, e *event.Entry) {
	w.open("user")
	ecsPerson(w, &e.Actor)
	user, group := firstOf(e.Targets, isUser), firstOf(e.Targets, isGroup)
	if user != nil || group != nil {
		w.open("target")
		if user != nil {
			ecsPerson(w, user)
		}
		if group != nil {
			w.open("group")
			w.bytes("id", group.ID)
			w.bytes("name", group.Name)
			w.close()
		}
		w.close()
	}
	w.close()
	program := !isUser(e.Actor.Type)
	other := firstOf(e.Targets, func(typ []byte) bool { return !isUser(typ) && !isGroup(typ) })
	if !program && other == nil {
		return
	}
	w.open("entity")
	if program {
		w.bytes("id", e.Actor.ID)
		w.bytes("name", e.Actor.Name)
	}
	if other != nil {
		w.open("target")
		w.bytes("id", other.ID)
		w.bytes("name", other.Name)
		w.close()
	}
	w.close()
}

func ecsPerson(w *jsonWriter, p *event.Party) {
	w.bytes("id", p.ID)
	w.bytes("name", p.Name)
	if isEmail(p.Name) {
		w.bytes("email", p.Name)
	}
}

func ecsClient(w *jsonWriter, e *event.Entry, isAddress bool) {
	if len(e.Location) > 0 {
		w.open("source")
		w.bytes("address", e.Location)
		if isAddress {
			w.bytes("ip", e.Location)
		}
		w.close()
	}
	if len(e.UserAgent) > 0 {
		w.open("user_agent")
		w.bytes("original", e.UserAgent)
		w.close()
	}
}

// ecsRelated writes the address, and ids and names of people, for pivoting. The
// same value may be there twice; an index does not mind.
func ecsRelated(w *jsonWriter, e *event.Entry, isAddress bool) {
	w.open("related")
	if isAddress {
		w.openArray("ip")
		w.bytes("", e.Location)
		w.closeArray()
	}
	w.openArray("user")
	w.bytes("", e.Actor.ID)
	w.bytes("", e.Actor.Name)
	for i := range e.Targets {
		if p := &e.Targets[i]; isUser(p.Type) {
			w.bytes("", p.ID)
			w.bytes("", p.Name)
		}
	}
	w.closeArray()
	w.close()
}

// ecsOwn writes the fields that are ours.
func ecsOwn(w *jsonWriter, in *Input) {
	e := in.Entry
	w.open("stele")
	w.int("schema_version", int64(e.Version))
	w.open("actor")
	w.bytes("type", e.Actor.Type)
	w.raw("metadata", e.Actor.Metadata)
	w.close()
	if len(e.Targets) > 0 {
		w.parties("targets", e.Targets, true)
	}
	w.raw("metadata", e.Metadata)
	if e.Unregistered {
		w.text("schema", unregistered)
	}
	w.erased(e)
	w.yes("replay", in.Replay)
	w.close()
}

// AppendCheckpoint appends a document of the action "stele.checkpoint", with the
// note in stele.checkpoint.
func (ecs) AppendCheckpoint(dst []byte, cp *Checkpoint) []byte {
	w := jsonWriter{b: append(dst, '{')}
	w.millis("@timestamp", cp.ReceivedAt.UnixMilli())
	w.text("message", "Signed checkpoint of the log")
	w.b = append(w.b, `,"ecs":{"version":"`+ecsVersion+`"}`...)
	w.open("event")
	w.checkpointID("id", cp)
	w.text("kind", "state")
	w.text("action", checkpointType)
	w.millis("created", cp.ReceivedAt.UnixMilli())
	ecsSource(&w)
	w.close()
	ecsOrigin(&w, cp.Organization, cp.OrganizationName, cp.Server, cp.Product)
	w.open("stele")
	w.open("checkpoint")
	w.uint("size", cp.Size)
	w.bytes("note", cp.Note)
	w.close()
	w.close()
	w.close()
	return w.b
}
