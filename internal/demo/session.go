package demo

import (
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// session is somebody, or something, doing things one after the other from one
// place.
type session struct {
	s     *sim
	now   time.Time
	actor audit.Actor
	from  origin
	pace  float64 // seconds from one thing to the next
	// arrive is when the events reach the product, for a phone that was
	// offline; zero means at once.
	arrive time.Time
}

// sit begins a person's session.
func (s *sim) sit(p *person, at time.Time) *session {
	return &session{s: s, now: at.Truncate(time.Millisecond), actor: p.actor(), from: s.from(p, at), pace: 14}
}

// program begins a session of something that is not a person.
func (s *sim) program(actor audit.Actor, from origin, at time.Time) *session {
	return &session{s: s, now: at.Truncate(time.Millisecond), actor: actor, from: from, pace: 0.8}
}

func keyActor(key *thing) audit.Actor {
	return audit.Actor{Type: "api_key", ID: key.id, Name: key.name, Metadata: audit.Metadata{"api_key_roles": key.settings["roles"]}}
}

func workflowActor(w *thing) audit.Actor {
	return audit.Actor{Type: "workflow", ID: w.id, Name: w.name}
}

func systemActor() audit.Actor { return audit.Actor{Type: "system", ID: "system", Name: "System"} }

// do records one action and lets time go by.
func (x *session) do(action string, meta audit.Metadata, things ...*thing) {
	targets := make([]audit.Target, len(things))
	for i, t := range things {
		targets[i] = t.target()
	}
	x.emit(action, meta, targets...)
}

func (x *session) emit(action string, meta audit.Metadata, targets ...audit.Target) {
	arrive := x.arrive
	if arrive.IsZero() {
		arrive = x.now
	}
	x.s.emit(audit.Event{
		Action: action, OccurredAt: x.now, Actor: x.actor, Targets: targets, Metadata: meta,
		Context: audit.Context{Location: x.from.location, UserAgent: x.from.userAgent},
	}, arrive)
	x.now = x.now.Add(x.s.pause(x.pace))
}

// v2 says whether the product already used the second version of an action.
func (x *session) v2(action string) bool { return x.s.version(action, x.now) == 2 }

// version is the version of an action that the product used at a time.
func (s *sim) version(action string, at time.Time) int {
	if day := secondVersionDay(action); day == 0 || at.Before(s.start.AddDate(0, 0, day)) {
		return 1
	}
	return 2
}

// secondVersionDay is the day of the year, from 1, from which an action's second
// version is used; 0 when it has none. Second versions came with features, some
// weeks apart.
func secondVersionDay(action string) int {
	switch action {
	case "on_call_notification_method.created", "on_call_notification_method.destroyed":
		return 61
	case "announcement_post_template.created", "announcement_post_template.updated",
		"announcement_rule.created", "announcement_rule.updated":
		return 96
	case "policy.created", "policy.updated":
		return 124
	case "catalog_entry_attribute.updated":
		return 143
	case "incident_type.created", "incident_type.updated":
		return 167
	case "postmortem_section.created", "postmortem_section.updated", "postmortem_section.deleted",
		"postmortem_template.created", "postmortem_template.updated", "postmortem_template.deleted":
		return 188
	case "schedule_override.created", "schedule_override.updated", "schedule_override.deleted":
		return 209
	case "extension_connector.called":
		return 223
	case "private_incident.access_attempted":
		return 237
	case "telemetry_data_source.queried":
		return 262
	default:
		return 0
	}
}

// fill adds what the second version of an action says beside the settings that
// changed.
func (x *session) fill(action string, t *thing, meta audit.Metadata, isNew bool) audit.Metadata {
	if !x.v2(action) {
		return meta
	}
	if meta == nil {
		meta = audit.Metadata{}
	}
	pair := func(key, value string) {
		before := value
		if isNew {
			before = ""
		}
		meta["before_"+key], meta["after_"+key] = before, value
	}
	switch t.kind {
	case "announcement_post_template":
		pair("owning_team_ids", x.s.teamIDs(t))
	case "announcement_rule":
		pair("owning_team_ids", x.s.teamIDs(t))
		pair("private_incident_scope", orElse(t.settings["scope"], "none"))
	case "incident_type":
		pair("default_team_ids", orElse(t.settings["teams"], x.s.one("team").id))
	case "policy":
		meta["run_on_private_incidents"] = orElse(t.settings["private"], "false")
	}
	return meta
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// edit records an action on a configured thing, with the type of target that
// its version has.
func (x *session) edit(k *kind, verb string, t *thing, meta audit.Metadata) {
	action := k.action + "." + verb
	target := t.target()
	if strings.HasPrefix(k.name, "postmortem_") && !x.v2(action) {
		target.Type = "post_incident_task" // what the first versions called it
	}
	x.emit(action, meta, target)
}

// create makes a new thing and then, as people do, puts it right. It returns nil
// when there is nothing to add to what there is.
func (x *session) create(k *kind) *thing {
	name := x.freshName(k)
	if name == "" {
		return nil
	}
	t := x.s.made(k.name, name, x.now)
	x.s.configure(k, t)
	meta := audit.Metadata{}
	for _, a := range k.attrs {
		meta["after_"+a.key] = t.settings[a.key]
	}
	x.edit(k, "created", t, x.fill(k.action+".created", t, meta, true))
	x.updates(k, t, x.s.rng.IntN(3))
	return t
}

// freshName is a name that is not in use, "" when all are.
func (x *session) freshName(k *kind) string {
	free := slices.DeleteFunc(slices.Clone(k.fresh), func(name string) bool {
		return slices.ContainsFunc(x.s.things[k.name], func(t *thing) bool { return !t.gone && t.name == name })
	})
	if k.fixed || len(free) == 0 {
		return ""
	}
	return pick(x.s, free)
}

// update changes one setting.
func (x *session) update(k *kind, t *thing) { x.updates(k, t, 1) }

// updates changes some settings, each once.
func (x *session) updates(k *kind, t *thing, n int) {
	for _, i := range x.s.rng.Perm(len(k.attrs))[:min(n, len(k.attrs))] {
		x.edit(k, "updated", t, x.fill(k.action+".updated", t, x.s.change(k.attrs[i], t), false))
	}
}

// refused records a change that was not made.
func (x *session) refused(k *kind, verb, reason string, t *thing) {
	meta := x.fill(k.action+"."+verb, t, audit.Metadata{}, false)
	meta["outcome"], meta["reason"] = "denied", reason
	x.edit(k, verb, t, meta)
}

// remove deletes a thing that was added during the year. It returns false when
// there is none.
func (x *session) remove(k *kind) bool {
	added := slices.DeleteFunc(x.s.live(k.name), func(t *thing) bool { return t.core })
	if len(added) == 0 || k.lasting {
		return false
	}
	t := pick(x.s, added)
	t.gone = true
	x.edit(k, "deleted", t, nil)
	return true
}
