package demo

import (
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// incident is one that is private: only its members may see it.
type incident struct {
	thing
	team       string
	members    map[*person]bool
	escalation *thing
	alert      *thing
}

// readPrivate has somebody open private incidents and what belongs to them.
func (s *sim) readPrivate(x *session, p *person) {
	for range s.between(1, 3) {
		inc := s.recentPrivate()
		if inc == nil {
			return
		}
		x.pace = 25
		s.open(x, p, inc)
	}
}

// recentPrivate returns one of the last private incidents, nil when there was
// none yet.
func (s *sim) recentPrivate() *incident {
	if len(s.private) == 0 {
		return nil
	}
	return s.private[max(0, len(s.private)-1-s.rng.IntN(5))]
}

// open has somebody open an incident. Who may not ask, mostly, and somebody of
// the security team lets them in.
func (s *sim) open(x *session, p *person, inc *incident) {
	kind := s.accessType(p, inc)
	if kind != "N/A" {
		s.attempt(x, inc, kind, "granted")
		if s.odds(40) {
			x.do("private_escalation.access_attempted", audit.Metadata{"outcome": "granted"}, inc.escalation)
		}
		if s.odds(18) {
			x.do("private_alert.access_attempted", audit.Metadata{"outcome": "granted"}, inc.alert)
		}
		if p.team == "Security" && s.odds(30) {
			s.manageMembers(x, inc)
		}
		return
	}
	if s.odds(55) {
		return // they see that it is private and leave it
	}
	s.attempt(x, inc, kind, "denied")
	if s.odds(45) {
		return
	}
	x.do("private_incident.access_requested", audit.Metadata{"reason": pick(s, accessReasons())}, &inc.thing)
	s.letIn(x.now.Add(s.pause(600)), p, inc)
	x.now = x.now.Add(s.pause(1500))
	if inc.members[p] {
		s.attempt(x, inc, "direct_membership", "granted")
	}
}

func accessReasons() []string {
	return []string{
		"I own the affected service", "Joining the call now", "Customer asked my team about this",
		"Taking over as incident lead", "Need the timeline for the regulator", "Reviewing the follow-ups",
	}
}

// accessType says on what grounds somebody may see an incident, "N/A" when they
// may not.
func (s *sim) accessType(p *person, inc *incident) string {
	switch {
	case inc.members[p]:
		return "direct_membership"
	case p.role == "owner" || strings.Contains(p.custom, "security_reviewer"):
		return "global_access"
	case p.team == inc.team && s.odds(60):
		return "team_membership"
	default:
		return "N/A"
	}
}

func (s *sim) attempt(x *session, inc *incident, kind, outcome string) {
	meta := audit.Metadata{"outcome": outcome}
	if x.v2("private_incident.access_attempted") {
		meta["access_type"], meta["team_id"] = kind, ""
		if kind == "team_membership" {
			meta["team_id"] = s.named("team", inc.team).id
		}
	}
	if outcome == "denied" {
		meta["reason"] = "not_a_member"
	}
	x.do("private_incident.access_attempted", meta, &inc.thing)
}

// letIn has somebody of the security team grant, or not, what was asked for.
func (s *sim) letIn(at time.Time, p *person, inc *incident) {
	reviewers := s.team(at, "Security")
	if len(reviewers) == 0 || s.odds(15) {
		return
	}
	x := s.sit(pick(s, reviewers), at)
	inc.members[p] = true
	x.do("private_incident_membership.granted", audit.Metadata{"role": "participant"}, &p.thing, &inc.thing)
}

func (s *sim) manageMembers(x *session, inc *incident) {
	p := pick(s, s.who(x.now, func(*person) bool { return true }))
	switch {
	case !inc.members[p]:
		inc.members[p] = true
		x.do("private_incident_membership.granted", audit.Metadata{"role": pick(s, []string{"participant", "observer"})}, &p.thing, &inc.thing)
	case s.odds(40):
		x.do("private_incident_membership.upgraded_to_direct", nil, &p.thing, &inc.thing)
	default:
		delete(inc.members, p)
		x.do("private_incident_membership.revoked", audit.Metadata{"reason": "no longer involved"}, &p.thing, &inc.thing)
	}
	if s.odds(12) {
		team := s.one("team")
		x.do("private_incident_team_membership.revoked", nil, team, &inc.thing)
	}
	if s.odds(20) {
		x.do("private_incident.accessed_via_bot", audit.Metadata{"question": "summarise what we know so far"}, &inc.thing)
	}
}

// readInsights has somebody look at, and now and then take out, figures that
// include private incidents.
func (s *sim) readInsights(x *session, p *person) {
	org := s.one("organisation")
	outcome, n := "granted", s.between(1, 4)
	if p.role == "viewer" && p.custom == "" && s.odds(30) {
		outcome, n = "denied", 1
	}
	measure := ""
	for range n {
		measure = pick(s, measures())
		x.do("private_insights.measure_queried", refusal(outcome, audit.Metadata{"measure": measure}), org)
	}
	if outcome == "granted" && s.odds(35) {
		x.do("private_insights.underlying_data_queried", audit.Metadata{"measure": measure, "outcome": "granted"}, org)
	}
	if outcome == "granted" && s.odds(15) {
		x.do("private_insights.exported", audit.Metadata{"measure": measure, "outcome": "granted", "rows": s.between(12, 900)}, org)
	}
}

func measures() []string {
	return []string{"incident_count", "time_to_resolve", "time_to_detect", "on_call_load", "sleep_hours_disturbed", "follow_up_completion", "incident_cost"}
}

// refusal gives metadata its outcome and, where that was bad, the reason.
func refusal(outcome string, meta audit.Metadata) audit.Metadata {
	meta["outcome"] = outcome
	if outcome == "denied" {
		meta["reason"] = "missing_permission"
	}
	return meta
}
