package format

import (
	"fmt"

	"github.com/stelehq/stele/internal/event"
)

// Promotion says that an action is of another OCSF class than API Activity. An
// action is matched by the last segment before its verb, and its verb, in lower
// case: "workspace.team.member_added" is the noun "team" and the segment
// "member_added".
type Promotion struct {
	Noun, Segment   string
	Class, Activity int
}

// Promotions is the table that OCSF formats are offered with. An activity that a
// version does not have, and an event without what the class requires, stay API
// Activity.
//
//	3001 Account Change           a target that is a user
//	3002 Authentication           a user: a target, or the actor
//	3004 Entity Management        a target
//	3005 User Access Management   a target that is a user, and privileges: targets
//	                              that are roles or permissions, or the members
//	                              role(s), permission(s), privilege(s) of metadata
//	3006 Group Management         a target that is a group or team
func Promotions() []Promotion {
	var table []Promotion
	add := func(class, activity int, nouns []string, segments ...string) {
		for _, noun := range nouns {
			for _, segment := range segments {
				table = append(table, Promotion{noun, segment, class, activity})
			}
		}
	}
	person := []string{"user", "account"}
	add(classAuthenticate, 1, []string{"user", "account", "session"}, "signed_in", "logged_in", "login", "login_succeeded", "login_failed", "signin_failed")
	add(classAuthenticate, 1, []string{"session"}, "created", "started")
	add(classAuthenticate, 1, []string{"login"}, "succeeded", "failed")
	add(classAuthenticate, 2, []string{"user", "account", "session"}, "signed_out", "logged_out", "logout")
	add(classAuthenticate, 2, []string{"session"}, "revoked", "ended")
	add(classAccountChange, 1, person, "created")
	add(classAccountChange, 2, person, "enabled", "activated", "reactivated", "reinstated")
	add(classAccountChange, 3, person, "password_changed", "password_updated")
	add(classAccountChange, 4, person, "password_reset")
	add(classAccountChange, 5, person, "disabled", "deactivated", "suspended")
	add(classAccountChange, 6, person, "deleted", "removed")
	add(classAccountChange, 9, person, "locked")
	add(classAccountChange, 10, person, "mfa_enabled", "mfa_added")
	add(classAccountChange, 11, person, "mfa_disabled", "mfa_removed")
	add(classAccountChange, 12, person, "unlocked")
	rights := []string{"role", "permission", "privilege"}
	add(classUserAccess, 1, rights, "assigned", "granted")
	add(classUserAccess, 2, rights, "unassigned", "revoked")
	groups := []string{"group", "team"}
	add(classGroup, 3, groups, "member_added")
	add(classGroup, 4, groups, "member_removed")
	add(classGroup, 5, groups, "deleted")
	add(classGroup, 6, groups, "created")
	things := []string{"organization", "organisation", "policy", "api_key", "connection", "directory"}
	add(classEntity, 1, things, "created")
	add(classEntity, 2, things, "viewed", "read")
	add(classEntity, 3, things, "updated", "changed", "rotated")
	add(classEntity, 4, things, "deleted", "removed", "revoked")
	add(classEntity, 5, things, "moved", "renamed")
	add(classEntity, 8, things, "enabled")
	add(classEntity, 9, things, "disabled")
	add(classEntity, 10, things, "activated")
	add(classEntity, 11, things, "deactivated")
	add(classEntity, 12, things, "suspended")
	add(classEntity, 13, things, "resumed")
	return table
}

// promoted is a class and the activity in it.
type promoted struct {
	class    *ocsfClass
	activity int
}

// promotions takes in a table; what the version does not have is left out.
func (f *ocsfFormat) promotions(table []Promotion) error {
	classes := map[int]*ocsfClass{}
	for _, p := range table {
		if p.Class < classAccountChange || p.Class > classGroup || p.Class == 3003 {
			return fmt.Errorf("promotion of %s.%s: class %d is not one the mapping knows", p.Noun, p.Segment, p.Class)
		}
		c := classes[p.Class]
		if c == nil {
			var err error
			if c, err = newOCSFClass(f.schema, p.Class); err != nil {
				return err
			}
			classes[p.Class] = c
		}
		if _, ok := c.head[p.Activity]; !ok || p.Activity == otherValue {
			continue
		}
		if f.promote[p.Noun] == nil {
			f.promote[p.Noun] = map[string]promoted{}
		}
		f.promote[p.Noun][p.Segment] = promoted{c, p.Activity}
	}
	return nil
}

// subject is what an event of a promoted class is about.
type subject struct {
	user, group, entity *event.Party
	privileges          bool
}

// classOf returns the class of an event, and what it has for that class.
func (f *ocsfFormat) classOf(t *traits, e *event.Event) (promoted, subject) {
	p, ok := f.promote[string(t.lowNoun())][string(t.lowSegment())]
	if ok {
		s := subjectOf(p.class.uid, e)
		if s.enough(p.class) {
			return p, s
		}
	}
	activity := otherValue
	switch t.verb {
	case verbCreate:
		activity = 1
	case verbRead:
		activity = 2
	case verbUpdate:
		activity = 3
	case verbDelete:
		activity = 4
	}
	return promoted{f.api, activity}, subject{}
}

func subjectOf(class int, e *event.Event) subject {
	s := subject{user: firstOf(e.Targets, isUser)}
	switch class {
	case classAuthenticate:
		if s.user == nil && isUser(e.Actor.Type) {
			s.user = &e.Actor
		}
	case classEntity:
		if len(e.Targets) > 0 {
			s.entity = &e.Targets[0]
		}
	case classGroup:
		s.group = firstOf(e.Targets, isGroup)
	case classUserAccess:
		eachPrivilege(e, func(_, _ []byte) { s.privileges = true })
	}
	return s
}

// enough reports whether s has what the class requires.
func (s *subject) enough(c *ocsfClass) bool {
	switch c.uid {
	case classEntity:
		return s.entity != nil
	case classGroup:
		return s.group != nil && (s.user != nil || !c.userOrPrivileges)
	case classUserAccess:
		return s.user != nil && s.privileges
	default:
		return s.user != nil
	}
}

// writeSubject writes what an event is about: operation and targets of an API
// Activity, user, group or entity of the others.
func (f *ocsfFormat) writeSubject(w *jsonWriter, c *ocsfClass, s *subject, in *Input) {
	e := in.Entry
	if c.uid == classAPI {
		w.open("api")
		w.bytes("operation", e.Action)
		if c.version {
			var buf [8]byte
			w.bytes("version", appendInt(buf[:0], e.Version))
		}
		w.close()
		f.writeResources(w, e.Targets)
		return
	}
	if s.user != nil && c.user {
		w.open("user")
		f.writeUser(w, s.user)
		w.close()
	}
	switch c.uid {
	case classAuthenticate:
		w.open("service")
		w.text("uid", in.Organization)
		w.some("name", in.OrganizationName)
		w.close()
	case classEntity:
		f.writeEntity(w, s.entity)
	case classGroup:
		w.open("group")
		w.bytes("uid", s.group.ID)
		w.bytes("name", s.group.Name)
		w.bytes("type", s.group.Type)
		w.close()
	case classUserAccess:
		w.openArray("privileges")
		eachPrivilege(&e.Event, func(text, quoted []byte) {
			if quoted != nil {
				w.raw("", quoted)
			} else {
				w.bytes("", text)
			}
		})
		w.closeArray()
	}
}

// writeEntity writes a managed entity. Its type has a number in later versions,
// and then a caption for some numbers.
func (f *ocsfFormat) writeEntity(w *jsonWriter, p *event.Party) {
	w.open("entity")
	w.bytes("uid", p.ID)
	w.bytes("name", p.Name)
	w.raw("data", p.Metadata)
	if !f.entityTypeID {
		w.bytes("type", p.Type)
		w.close()
		return
	}
	id, name := int64(otherValue), ""
	switch {
	case equalFold(p.Type, "user"):
		id, name = 2, "User"
	case isGroup(p.Type):
		id, name = 3, "Group"
	case equalFold(p.Type, "organization"), equalFold(p.Type, "organisation"):
		id, name = 4, "Organization"
	case equalFold(p.Type, "policy"):
		id, name = 5, "Policy"
	}
	w.int("type_id", id)
	if name != "" {
		w.text("type", name)
	} else {
		w.bytes("type", p.Type)
	}
	w.close()
}

// eachPrivilege calls fn for every privilege that an event names: as text when
// it is the name or id of a target, as a JSON string when it is in metadata.
func eachPrivilege(e *event.Event, fn func(text, quoted []byte)) {
	for i := range e.Targets {
		p := &e.Targets[i]
		if !equalFold(p.Type, "role") && !equalFold(p.Type, "permission") && !equalFold(p.Type, "privilege") {
			continue
		}
		if len(p.Name) > 0 {
			fn(p.Name, nil)
		} else {
			fn(p.ID, nil)
		}
	}
	if len(e.Metadata) == 0 {
		return
	}
	for _, name := range [...]string{"privileges", "privilege", "roles", "role", "permissions", "permission"} {
		v, ok := event.Lookup(e.Metadata, name)
		switch {
		case !ok:
		case event.KindOf(v) == event.KindString && len(v) > len(`""`):
			fn(nil, v)
		case event.KindOf(v) == event.KindArray:
			event.EachElement(v, func(v []byte) bool {
				if event.KindOf(v) == event.KindString {
					fn(nil, v)
				}
				return true
			})
		}
	}
}
