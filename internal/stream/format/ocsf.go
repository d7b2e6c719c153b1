package format

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream/format/ocsf"
)

// OCSF returns a format "ocsf-1.1", "ocsf-1.3", "ocsf-1.6" or "ocsf-1.8": events
// of the Open Cybersecurity Schema Framework (schema.ocsf.io) in that version,
// which the customer pins. The source of every name and number is the table of
// package ocsf; what a version does not have is not written.
//
// An event is of class API Activity (6003), the one that has a place for any
// action, its actor, all its targets and the client's address. One that promote
// names is of the class that detections look for it in, when the event has what
// that class requires; otherwise it is 6003 too. Nothing is lost: what has no
// attribute is in unmapped.
func OCSF(version string, promote []Promotion) (Format, error) {
	schema, err := ocsf.Load(version)
	if err != nil {
		return nil, err
	}
	short := strings.TrimSuffix(version, ".0")
	f := &ocsfFormat{
		schema: schema,
		info: Info{
			Name: "ocsf-" + short, Version: 1, JSON: true, ContentType: "application/json",
			Label: "OCSF " + short, Help: "Open Cybersecurity Schema Framework " + version + ", API Activity and the classes of identity and access.",
		},
		product:  schema.Object("product"),
		metadata: schema.Object("metadata"),
		promote:  map[string]map[string]promoted{},
	}
	if f.api, err = newOCSFClass(schema, classAPI); err != nil {
		return nil, err
	}
	f.roleID = schema.Object("resource_details").Has("role_id")
	f.appUID = schema.Object("actor").Has("app_uid")
	f.entityTypeID = schema.Object("managed_entity").Has("type_id")
	_, f.serviceUser = schema.Object("user").Caption("type_id", userService)
	return f, f.promotions(promote)
}

// The classes of the mapping.
const (
	classAPI           = 6003
	classAccountChange = 3001
	classAuthenticate  = 3002
	classEntity        = 3004
	classUserAccess    = 3005
	classGroup         = 3006
)

// The values of user.type_id.
const (
	userPerson  = 1
	userAdmin   = 2
	userSystem  = 3
	userService = 4
	otherValue  = 99 // of every such attribute
)

type ocsfFormat struct {
	info              Info
	schema            *ocsf.Schema
	product, metadata *ocsf.Object
	api               *ocsfClass
	promote           map[string]map[string]promoted // by noun and segment

	// What the version has.
	roleID, appUID, entityTypeID, serviceUser bool
}

// ocsfClass is what the mapping knows of a class.
type ocsfClass struct {
	uid  int
	head map[int]string // the classification of each activity, as members
	// other begins the classification of activity 99; its name follows.
	other                 string
	actor, src, http      bool
	user, group, entity   bool
	privileges, resources bool
	userOrPrivileges      bool // one of them must be there
	version               bool // api.version
}

func newOCSFClass(s *ocsf.Schema, uid int) (*ocsfClass, error) {
	c := s.Class(uid)
	if c == nil {
		return nil, fmt.Errorf("OCSF %s has no class %d", s.Version, uid)
	}
	out := &ocsfClass{
		uid: uid, head: map[int]string{},
		actor: c.Has("actor"), src: c.Has("src_endpoint"), http: c.Has("http_request"),
		user: c.Has("user"), group: c.Has("group"), entity: c.Has("entity"),
		privileges: c.Has("privileges"), resources: uid == classAPI && c.Has("resources"),
		userOrPrivileges: len(c.AtLeastOne) == 2 && c.AtLeastOne[0] == "privileges" && c.AtLeastOne[1] == "user",
		version:          s.Object("api").Has("version"),
	}
	category := uid / 1000
	className, _ := c.Caption("class_uid", uid)
	categoryName, _ := c.Caption("category_uid", category)
	for value, caption := range c.Attribute("activity_id").Enum {
		activity, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("activity %q of class %d: %w", value, uid, err)
		}
		typeName, _ := c.Caption("type_uid", uid*100+activity)
		w := jsonWriter{b: []byte{'{'}}
		w.text("class_name", className)
		w.int("class_uid", int64(uid))
		w.text("category_name", categoryName)
		w.int("category_uid", int64(category))
		w.text("type_name", typeName)
		w.int("type_uid", int64(uid*100+activity))
		w.int("activity_id", int64(activity))
		if activity == otherValue {
			out.other = string(w.b[1:])
		} else {
			w.text("activity_name", caption)
		}
		out.head[activity] = string(w.b[1:])
	}
	return out, nil
}

func (f *ocsfFormat) Info() Info { return f.info }

func (f *ocsfFormat) Append(dst []byte, in *Input) []byte {
	e := in.Entry
	var t traits
	t.read(&e.Event)
	p, subject := f.classOf(&t, &e.Event)
	w := jsonWriter{b: append(dst, '{')}
	f.classify(&w, p, &t, e)
	w.int("time", e.OccurredAt/1e6)
	f.severity(&w, &t)
	writeStatus(&w, t.outcome)
	w.message("message", &e.Event)
	f.writeMetadata(&w, in)
	if p.class.actor {
		w.open("actor")
		f.writeActor(&w, &e.Actor)
		w.close()
	}
	f.writeSubject(&w, p.class, &subject, in)
	if p.class.src {
		writeSource(&w, e.Location, p.class.uid == classAPI)
	}
	if p.class.http && len(e.UserAgent) > 0 {
		w.open("http_request")
		w.bytes("user_agent", e.UserAgent)
		w.close()
	}
	f.writeUnmapped(&w, p.class, in)
	w.close()
	return w.b
}

// classify writes class, category, type and activity.
func (f *ocsfFormat) classify(w *jsonWriter, p promoted, t *traits, e *event.Entry) {
	w.comma()
	if p.activity != otherValue {
		w.b = append(w.b, p.class.head[p.activity]...)
		return
	}
	w.b = append(w.b, p.class.other...)
	name := t.segment
	if len(name) == 0 {
		name = e.Action
	}
	w.bytes("activity_name", name)
}

// severity is Informational, and Medium where something of security is deleted.
func (f *ocsfFormat) severity(w *jsonWriter, t *traits) {
	if t.verb == verbDelete && t.security {
		w.int("severity_id", 3)
		w.text("severity", "Medium")
		return
	}
	w.int("severity_id", 1)
	w.text("severity", "Informational")
}

func writeStatus(w *jsonWriter, o outcome) {
	id, name := int64(1), "Success"
	switch o {
	case outcomeFailure:
		id, name = 2, "Failure"
	case outcomeUnknown:
		id, name = 0, "Unknown"
	}
	w.int("status_id", id)
	w.text("status", name)
}

func (f *ocsfFormat) writeMetadata(w *jsonWriter, in *Input) {
	e := in.Entry
	w.open("metadata")
	w.text("version", f.schema.Version)
	w.bytes("uid", e.ID[:])
	w.uint("sequence", e.Seq)
	w.bytes("event_code", e.Action)
	w.nanos("original_time", e.OccurredAt)
	w.int("logged_time", e.ReceivedAt)
	w.text("tenant_uid", in.Organization)
	w.text("log_name", "audit")
	w.some("log_provider", in.Server)
	f.writeProduct(w, in.Product)
	w.close()
}

func (f *ocsfFormat) writeProduct(w *jsonWriter, version string) {
	w.open("product")
	w.text("name", productName)
	w.text("vendor_name", vendorName)
	w.some("version", version)
	w.close()
}

// writeActor writes the members of an actor object.
func (f *ocsfFormat) writeActor(w *jsonWriter, a *event.Party) {
	w.open("user")
	f.writeUser(w, a)
	w.close()
	if f.appUID && f.userType(a.Type) != userPerson && isProgram(a.Type) {
		w.bytes("app_uid", a.ID)
		w.bytes("app_name", a.Name)
	}
}

// isProgram reports whether an actor of that type is a program.
func isProgram(typ []byte) bool {
	return equalFold(typ, "api_key") || equalFold(typ, "service") || equalFold(typ, "service_account")
}

func (f *ocsfFormat) userType(typ []byte) int {
	switch {
	case equalFold(typ, "user"):
		return userPerson
	case equalFold(typ, "admin"):
		return userAdmin
	case equalFold(typ, "system"):
		return userSystem
	case f.serviceUser && isProgram(typ):
		return userService
	}
	return otherValue
}

// writeUser writes the members of a user object.
func (f *ocsfFormat) writeUser(w *jsonWriter, p *event.Party) {
	w.bytes("uid", p.ID)
	w.bytes("name", p.Name)
	if isEmail(p.Name) {
		w.bytes("email_addr", p.Name)
	}
	id := f.userType(p.Type)
	w.int("type_id", int64(id))
	switch id {
	case userPerson:
		w.text("type", "User")
	case userAdmin:
		w.text("type", "Admin")
	case userSystem:
		w.text("type", "System")
	case userService:
		w.text("type", "Service")
	default:
		w.bytes("type", p.Type)
	}
}

// writeSource writes the client's address. must is whether the class asks for
// one even when there is none.
func writeSource(w *jsonWriter, location []byte, must bool) {
	if len(location) == 0 && !must {
		return
	}
	w.open("src_endpoint")
	if _, ok := address(location); ok {
		w.bytes("ip", location)
	} else if len(location) > 0 {
		w.bytes("name", location)
	} else {
		w.text("svc_name", "unknown")
	}
	w.close()
}

// writeResources writes the targets of an API Activity.
func (f *ocsfFormat) writeResources(w *jsonWriter, targets []event.Party) {
	if len(targets) == 0 {
		return
	}
	w.openArray("resources")
	for i := range targets {
		p := &targets[i]
		w.open("")
		w.bytes("uid", p.ID)
		w.bytes("name", p.Name)
		w.bytes("type", p.Type)
		w.raw("data", p.Metadata)
		if f.roleID {
			w.int("role_id", 1)
			w.text("role", "Target")
		}
		w.close()
	}
	w.closeArray()
}

// writeUnmapped writes what the class has no attribute for.
func (f *ocsfFormat) writeUnmapped(w *jsonWriter, c *ocsfClass, in *Input) {
	e := in.Entry
	w.open("unmapped")
	w.int("event_schema_version", int64(e.Version))
	w.bytes("actor_type", e.Actor.Type)
	w.raw("actor_metadata", e.Actor.Metadata)
	if !c.actor {
		w.bytes("actor_id", e.Actor.ID)
		w.bytes("actor_name", e.Actor.Name)
	}
	if !c.resources && len(e.Targets) > 0 {
		w.parties("targets", e.Targets, true)
	}
	if !c.src {
		w.bytes("location", e.Location)
	}
	if !c.http {
		w.bytes("user_agent", e.UserAgent)
	}
	w.raw("metadata", e.Metadata)
	w.some("organization_name", in.OrganizationName)
	if e.Unregistered {
		w.text("schema", unregistered)
	}
	w.erased(e)
	w.yes("replay", in.Replay)
	w.close()
}

// AppendCheckpoint appends an API Activity of the operation "stele.checkpoint",
// whose unmapped holds the note.
func (f *ocsfFormat) AppendCheckpoint(dst []byte, cp *Checkpoint) []byte {
	w := jsonWriter{b: append(dst, '{')}
	w.b = append(w.b, f.api.other...)
	w.text("activity_name", "Checkpoint")
	w.int("time", cp.ReceivedAt.UnixMilli())
	f.severity(&w, &traits{})
	writeStatus(&w, outcomeSuccess)
	w.text("message", "Signed checkpoint of the log")
	w.open("metadata")
	w.text("version", f.schema.Version)
	w.checkpointID("uid", cp)
	w.text("event_code", checkpointType)
	w.int("logged_time", cp.ReceivedAt.UnixMilli())
	w.text("tenant_uid", cp.Organization)
	w.text("log_name", "audit")
	w.some("log_provider", cp.Server)
	f.writeProduct(&w, cp.Product)
	w.close()
	w.open("actor")
	w.open("user")
	w.text("uid", "stele")
	w.int("type_id", userSystem)
	w.text("type", "System")
	w.close()
	w.close()
	w.open("api")
	w.text("operation", checkpointType)
	w.close()
	writeSource(&w, []byte(cp.Server), true)
	w.open("unmapped")
	appendCheckpointMembers(&w, cp)
	w.close()
	w.close()
	return w.b
}
