package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// planIncidents plans alerts and the incidents that come of them, at any hour:
// more when people change things, but nights have theirs.
func (s *sim) planIncidents() {
	s.days(func(midnight time.Time) {
		for range s.poisson((0.9 + 1.0*busy(midnight)) * s.size) {
			hour := 24 * s.rng.Float64()
			if s.odds(50) {
				hour = s.normal(14, 3)
			}
			s.plan(midnight.Add(time.Duration(hour*float64(time.Hour))), s.incident)
		}
	})
}

// incident is one ordinary incident, from its alert to its end.
func (s *sim) incident(at time.Time) {
	service := pick(s, s.words["services"])
	s.incidents++
	if s.odds(22) {
		s.privateIncident(at, service)
		return
	}
	s.investigation(at.Add(s.pause(30)), s.between(6, 15))
	responder := s.onCall(at, service[1])
	x := s.sit(responder, at.Add(s.pause(150)))
	if asleep(responder, at) || s.odds(25) {
		x.from = s.fromPhone(responder, at)
		s.signIn(x, responder)
	}
	s.queries(x, s.between(1, 4), "slack")
	if s.odds(40) {
		s.workflowActs(at.Add(s.pause(60)))
	}
	if s.odds(10) { // what was wrong was a threshold
		k := s.kind("alert_route")
		x.update(k, s.ownedBy(k.name, service[1]))
	}
}

func (s *sim) faultOf(service string) string {
	text := pick(s, s.words["faults"])[0]
	return fmt.Sprintf(text, service)
}

// investigation is what the product finds out by itself about an incident.
func (s *sim) investigation(at time.Time, queries int) {
	x := s.program(systemActor(), fromProduct(), at)
	x.pace = 6
	id := s.id(at)
	for i := range queries {
		src := s.one("telemetry_data_source")
		query := s.id(x.now)
		meta := audit.Metadata{"access_mode": "read", "investigation_id": id, "surface": "investigation", "outcome": s.outcome(3)}
		if x.v2("telemetry_data_source.queried") {
			meta["telemetry_query_id"] = query
		}
		x.do("telemetry_data_source.queried", meta, src)
		if i%4 == 1 {
			s.request(x, src, query)
		}
	}
}

// outcome is how a query ends, badly so many times of a hundred.
func (s *sim) outcome(bad float64) string {
	if s.odds(bad) {
		return pick(s, []string{"failure", "failure", "denied"})
	}
	return "success"
}

func (s *sim) request(x *session, src *thing, query string) {
	method, status := pick(s, []string{"GET", "POST"}), pick(s, []string{"200", "200", "200", "200", "200", "429", "403", "504"})
	x.do("telemetry_data_source.requested", audit.Metadata{
		"host": orElse(src.settings["host"], "telemetry.example"), "method": method, "response_status": status,
		"surface": "investigation", "origin": "cloud", "telemetry_query_id": query,
	}, src)
}

// queries are those of a person.
func (s *sim) queries(x *session, n int, surface string) {
	for range n {
		meta := audit.Metadata{"access_mode": "read", "surface": surface, "outcome": s.outcome(5)}
		if x.v2("telemetry_data_source.queried") {
			meta["telemetry_query_id"] = s.id(x.now)
		}
		x.do("telemetry_data_source.queried", meta, s.one("telemetry_data_source"))
	}
}

func (s *sim) investigate(x *session, _ *person) {
	x.pace = 20
	s.queries(x, s.between(3, 9), pick(s, []string{"slack", "dashboard"}))
}

// askConnector has somebody use a connected tool from the chat. Who may only
// look may not use those that change something.
func (s *sim) askConnector(x *session, p *person) {
	surface := pick(s, []string{"slack", "dashboard"})
	for range s.between(1, 4) {
		c := s.one("extension_connector")
		tool := pick(s, s.things["tool:"+c.id])
		if !p.may() && writes(tool) {
			s.callTool(x, "user", surface, c, tool, "denied")
			return
		}
		s.callTool(x, "user", surface, c, tool, s.outcome(4))
	}
}

// workflowActs has a workflow do its part of an incident.
func (s *sim) workflowActs(at time.Time) {
	row := pick(s, s.words["automations"])
	x := s.program(workflowActor(s.named("workflow", row[0])), fromProduct(), at)
	x.pace = 3
	c := s.named("extension_connector", row[1])
	for _, tool := range fields(row[2], ",") {
		s.callTool(x, "workflow", "workflow", c, s.named("tool:"+c.id, strings.ToLower(c.name)+"."+tool), s.outcome(3))
	}
}

// callTool is one call of a connected tool.
func (s *sim) callTool(x *session, kind, surface string, c, tool *thing, outcome string) {
	meta := audit.Metadata{"outcome": outcome, "source_kind": kind, "surface": surface, "write": strconv.FormatBool(writes(tool))}
	switch outcome {
	case "failure":
		meta["reason"] = pick(s, []string{"upstream_timeout", "rate_limited", "invalid_arguments"})
	case "denied":
		meta["reason"] = "missing_permission"
	}
	if x.v2("extension_connector.called") && s.incidents > 0 {
		meta["incident_id"] = "INC-" + strconv.Itoa(s.incidents)
	}
	x.do("extension_connector.called", meta, c, tool)
}

// writes says whether a tool changes something.
func writes(tool *thing) bool {
	_, verb, _ := strings.Cut(tool.name, ".")
	return slices.Contains([]string{"create", "add", "transition", "toggle", "open"}, strings.Split(verb, "_")[0])
}

// privateIncident is one that only some may see: an alert opens it, lets the
// owning team in, and a workflow those on call.
func (s *sim) privateIncident(at time.Time, service []string) {
	inc := s.newPrivate(at, service)
	source := s.one("alert_source")
	alert := audit.Actor{Type: "alert", ID: inc.alert.id, Name: inc.alert.name, Metadata: audit.Metadata{"alert_source_id": source.id}}
	x := s.program(alert, fromProduct(), at)
	x.do("private_incident_team_membership.granted", audit.Metadata{"reason": "owns " + service[0]}, s.named("team", service[1]), &inc.thing)
	responder, reviewer := s.onCall(at, service[1]), s.onCall(at, "Security")
	for _, p := range []*person{responder, reviewer} {
		inc.members[p] = true
		x.do("private_incident_membership.granted", audit.Metadata{"role": "on_call"}, &p.thing, &inc.thing)
	}
	w := s.program(workflowActor(s.named("workflow", "Grant the owning team access")), fromProduct(), at.Add(s.pause(20)))
	for _, p := range s.team(at, service[1]) {
		if s.odds(18) && !inc.members[p] {
			inc.members[p] = true
			w.do("private_incident_membership.granted", audit.Metadata{"role": "participant"}, &p.thing, &inc.thing)
		}
	}
	s.investigation(at.Add(s.pause(90)), s.between(3, 8))
	for _, p := range []*person{responder, reviewer} {
		y := s.sit(p, at.Add(s.pause(240)))
		if asleep(p, at) {
			y.from = s.fromPhone(p, at)
			s.signIn(y, p)
		}
		s.open(y, p, inc)
	}
}

func (s *sim) newPrivate(at time.Time, service []string) *incident {
	ref := "INC-" + strconv.Itoa(s.incidents)
	name := fmt.Sprintf(pick(s, s.words["private"])[0], service[0])
	inc := &incident{
		thing:      thing{kind: "incident", id: s.id(at), name: name, reference: ref},
		team:       service[1],
		members:    map[*person]bool{},
		escalation: &thing{kind: "escalation", id: s.id(at), name: "Escalation for " + ref, reference: ref},
		alert:      &thing{kind: "alert", id: s.id(at), name: name},
	}
	s.private = append(s.private, inc)
	return inc
}
