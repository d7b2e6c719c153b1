package demo

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// habits is how often people of a team sit down to do something that is
// recorded, on a working day.
func habits(team string) float64 {
	switch team {
	case "SRE", "Security", "IT":
		return 0.42
	case "Platform", "Support":
		return 0.25
	case "Payments", "Checkout", "Fulfilment", "Data", "Mobile":
		return 0.17
	case "Contractors":
		return 0
	default:
		return 0.08
	}
}

// planPeople plans everybody's ordinary days.
func (s *sim) planPeople() {
	s.days(func(midnight time.Time) {
		rate := busy(midnight) * s.pace
		for _, p := range s.people {
			s.planSignIn(p, midnight, 0.08*rate)
			for range s.poisson(habits(p.team) * rate) {
				at := p.office.at(midnight, s.workHour(midnight))
				s.plan(at, func(at time.Time) { s.work(p, at) })
			}
		}
	})
}

// workHour is when people do things: before noon or in the afternoon, on free
// days whenever.
func (s *sim) workHour(day time.Time) float64 {
	if busy(day) < 0.2 {
		return 9 + 13*s.rng.Float64()
	}
	if s.odds(48) {
		return s.normal(10.4, 1.0)
	}
	return s.normal(15.1, 1.6)
}

func (s *sim) planSignIn(p *person, midnight time.Time, rate float64) {
	if s.rng.Float64() >= rate {
		return
	}
	s.plan(p.office.at(midnight, s.normal(9.2, 0.7)), func(at time.Time) {
		if p.here(at) {
			s.signIn(s.sit(p, at), p)
		}
	})
}

// signIn records a sign-in, now and then after one that failed.
func (s *sim) signIn(x *session, p *person) {
	mobile := strings.HasPrefix(x.from.userAgent, "Responder")
	method := "saml_sso"
	if mobile && s.odds(35) {
		method = "qr_code_mobile"
	}
	if s.odds(4) {
		reason := pick(s, []string{"sso_assertion_expired", "sso_assertion_expired", "mfa_timeout", "not_on_ip_allowlist"})
		x.do("user.logged_in", audit.Metadata{"login_method": method, "outcome": "failure", "reason": reason}, &p.thing)
	}
	x.do("user.logged_in", audit.Metadata{"login_method": method, "outcome": "success"}, &p.thing)
	p.signedIn = x.now
}

// work is one ordinary session of a person.
func (s *sim) work(p *person, at time.Time) {
	if !p.here(at) {
		return
	}
	x := s.sit(p, at)
	if at.Sub(p.signedIn) > 7*24*time.Hour || s.odds(8) {
		s.signIn(x, p)
	}
	var doings []doing
	total := 0
	for _, d := range s.doings() {
		if d.suits(p) {
			doings = append(doings, d)
			total += d.weight
		}
	}
	n := s.rng.IntN(max(total, 1))
	for _, d := range doings {
		if n -= d.weight; n < 0 {
			d.do(x, p)
			return
		}
	}
}

// doing is something people sit down for.
type doing struct {
	weight int
	teams  string // that do it; "" for everybody who may change something
	do     func(*session, *person)
}

func (d doing) suits(p *person) bool {
	if d.teams == "" {
		return p.may()
	}
	return strings.Contains(d.teams, p.team)
}

func (s *sim) doings() []doing {
	return []doing{
		{46, "", s.tune},
		{13, "", s.swapShift},
		{6, "", s.reachMe},
		{12, "", s.readPrivate},
		{9, "SRE Platform Payments Checkout Data Fulfilment Mobile", s.investigate},
		{5, "SRE Platform Payments Checkout Data Support", s.askConnector},
		{5, "", s.tidyTimeline},
		{22, "Security Legal", s.readPrivate},
		{16, "Security IT", s.administer},
		{7, "Security Platform SRE", s.keepSecrets},
		{5, "IT Platform SRE", s.keepKeys},
		{10, "Product Finance People Legal Leadership SRE", s.readInsights},
		{4, "SRE Platform IT", s.manageSources},
		{14, "Finance People Product Support", s.ownProfile},
		{1, "", s.ownProfile},
		{4, "IT SRE", s.manageSyncs},
	}
}

// tune changes settings of one or two things.
func (s *sim) tune(x *session, p *person) {
	k := s.kindFor(p)
	switch {
	case s.odds(11):
		x.create(k)
	case s.odds(9):
		x.remove(k)
	case k.byDefault && s.odds(20):
		x.edit(k, "set_as_default", s.one(k.name), nil)
	case s.odds(3):
		verb := "updated"
		if !k.fixed && !k.lasting && s.odds(30) {
			verb = "deleted"
		}
		x.refused(k, verb, "missing_permission", s.one(k.name))
	case k.name == "incident_timestamp" && s.odds(50):
		s.timestampRules(x)
	default:
		t := s.ownedBy(k.name, p.team)
		x.updates(k, t, s.between(1, 5))
		if s.odds(40) {
			x.updates(k, s.one(k.name), s.between(1, 3))
		}
	}
}

// kindFor picks what somebody of the person's team would edit.
func (s *sim) kindFor(p *person) *kind {
	total := 0
	for _, k := range s.kinds {
		if slices.Contains(k.by, p.team) {
			total += k.weight
		}
	}
	if total == 0 {
		return s.kind("workflow")
	}
	n := s.rng.IntN(total)
	for _, k := range s.kinds {
		if slices.Contains(k.by, p.team) {
			if n -= k.weight; n < 0 {
				return k
			}
		}
	}
	return s.kinds[0]
}

func (s *sim) kind(name string) *kind {
	for _, k := range s.kinds {
		if k.name == name {
			return k
		}
	}
	panic("demo: there is no kind " + name)
}

// ownedBy returns a thing of a kind, rather one of the team's own.
func (s *sim) ownedBy(kind, team string) *thing {
	var own []*thing
	for _, t := range s.live(kind) {
		if t.team == team {
			own = append(own, t)
		}
	}
	if len(own) == 0 || s.odds(15) {
		return s.one(kind)
	}
	return pick(s, own)
}

// timestampRules has somebody try a rule that sets a timestamp, and keep it or
// not.
func (s *sim) timestampRules(x *session) {
	const kind = "incident_timestamp_set_by_rule"
	stamp := s.one("incident_timestamp")
	rule := s.made(kind, "Set "+stamp.name+" from status", x.now)
	x.do(kind+".created", audit.Metadata{"after_status": "Fixing"}, stamp, rule)
	x.do(kind+".updated", audit.Metadata{"before_status": "Fixing", "after_status": "Monitoring"}, stamp, rule)
	if old := s.live(kind); len(old) > 1 {
		old[0].gone = true
		x.do(kind+".deleted", nil, stamp, old[0])
	}
}

// swapShift has somebody take over from a colleague for some hours.
func (s *sim) swapShift(x *session, p *person) {
	mates := s.team(x.now, p.team)
	other := pick(s, mates)
	if other == p {
		return
	}
	schedule := s.ownedBy("schedule", p.team)
	start := x.now.Truncate(time.Hour).Add(time.Duration(s.between(2, 140)) * time.Hour)
	end := start.Add(time.Duration(pick(s, []int{2, 4, 8, 12, 24})) * time.Hour)
	shift := override{schedule: schedule, before: p, after: other, start: start, end: end}
	if s.odds(50) {
		shift.before, shift.after = other, p
	}
	t := s.made("schedule_override", schedule.name+" override", x.now)
	s.things["schedule_override"] = nil // they are many, and nobody asks for them again
	x.do("schedule_override.created", shift.metadata(x, "created"), t)
	if s.odds(18) {
		shift.end = shift.end.Add(time.Duration(s.between(1, 4)) * time.Hour)
		x.do("schedule_override.updated", shift.metadata(x, "updated"), t)
	}
	if s.odds(9) {
		shift.before, shift.after = shift.after, shift.before
		x.do("schedule_override.deleted", shift.metadata(x, "deleted"), t)
	}
}

// override is who takes whose place in a schedule, and when.
type override struct {
	schedule      *thing
	before, after *person
	start, end    time.Time
}

func (o override) metadata(x *session, verb string) audit.Metadata {
	meta := audit.Metadata{"schedule_id": o.schedule.id, "schedule_name": o.schedule.name}
	if !x.v2("schedule_override." + verb) {
		return meta
	}
	meta["before_user_ids"], meta["before_user_names"] = o.before.id, o.before.name
	meta["after_user_ids"], meta["after_user_names"] = o.after.id, o.after.name
	meta["start_at"], meta["end_at"] = o.start.UTC().Format(time.RFC3339), o.end.UTC().Format(time.RFC3339)
	return meta
}

// reachMe changes how a person is reached when on call.
func (s *sim) reachMe(x *session, p *person) {
	if len(p.methods) > 1 && s.odds(40) {
		m := p.methods[0]
		p.methods = p.methods[1:]
		s.notification(x, "destroyed", m, p)
		return
	}
	what := pick(s, []string{"Push to " + p.phone.system, "Phone call", "SMS", "E-mail"})
	m := s.made("on_call_notification_method", strings.Split(what, ";")[0], x.now)
	p.methods = append(p.methods, m)
	s.notification(x, "created", m, p)
}

func (s *sim) notification(x *session, verb string, m *thing, p *person) {
	action := "on_call_notification_method." + verb
	if x.v2(action) {
		x.do(action, audit.Metadata{"target_user": p.id}, m)
		return
	}
	x.do(action, nil, m, &p.thing)
}

func (s *sim) ownProfile(x *session, p *person) {
	pairs := []audit.Metadata{
		{"before_time_zone": "Europe/London", "after_time_zone": "Europe/Berlin"},
		{"before_daily_digest": "false", "after_daily_digest": "true"},
		{"before_daily_digest": "true", "after_daily_digest": "false"},
		{"before_preferred_channel": "slack", "after_preferred_channel": "email"},
		{"before_phone_number_set": "false", "after_phone_number_set": "true"},
	}
	x.do("user.updated", pick(s, pairs), &p.thing)
}

// tidyTimeline takes something out of an incident's timeline.
func (s *sim) tidyTimeline(x *session, _ *person) {
	if s.incidents == 0 {
		return
	}
	for range s.between(1, 3) {
		item := s.made("timeline_item", pick(s, []string{"Pinned message", "Status update", "Image", "Graph from Grafana"}), x.now)
		x.do("timeline_item.deleted", audit.Metadata{"incident_reference": "INC-" + strconv.Itoa(s.incidents)}, item)
	}
	if s.odds(12) {
		call := s.made("incident_call_transcription_session", "Call for INC-"+strconv.Itoa(s.incidents), x.now)
		x.do("incident_call_transcription_session.deleted", nil, call)
	}
}
