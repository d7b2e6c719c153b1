package demo

import (
	"slices"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

// planStories plans what happened once, so that there is something to find.
// Days count back from the end.
func (s *sim) planStories() {
	if s.size >= 1 {
		s.story(318, 8.2, s.joinerAccounts)
		s.story(240, 9.0, s.rotation)
		s.story(171, 10.1, s.offboarding)
		s.story(71, 13.6, s.majorIncident)
		s.story(33, 1.75, s.intruder)
		s.story(32, 8.4, s.aftermath)
		for _, back := range []int{322, 228, 139, 47} {
			s.story(back, 13.1, s.quarterly)
		}
		for _, k := range s.kinds {
			s.lifecycle(k, s.between(8, 30), s.between(31, 58))
			s.lifecycle(k, s.between(265, 310), s.between(311, 350))
		}
		s.story(340, 14.2, s.firstMethods)
	}
	s.story(205, 12.2, s.offlinePhone)
	s.story(120, 16.0, s.offlinePhone)
	s.story(5, 11.3, s.offlinePhone)
	s.plan(s.end.Add(-95*time.Minute), s.lastHours)
}

// lifecycle has a thing of a kind come and go, on days counted from the start:
// early, when every action had its first version, or late.
func (s *sim) lifecycle(k *kind, made, gone int) {
	back := 365 - made
	s.story(back, s.workHour(s.end.AddDate(0, 0, -back)), func(at time.Time) {
		x := s.sit(s.keeper(k, at), at)
		t := x.create(k)
		if t == nil {
			x.remove(k)
			t = x.create(k)
		}
		if t == nil {
			t = s.one(k.name)
		}
		x.update(k, t)
		if k.byDefault {
			x.edit(k, "set_as_default", t, nil)
		}
		if k.name == "incident_timestamp" {
			s.timestampRules(x)
		}
	})
	s.story(365-gone, 15.5, func(at time.Time) {
		x := s.sit(s.keeper(k, at), at)
		if !x.remove(k) { // somebody was faster, or holidays moved both days to one
			x.create(k)
			x.remove(k)
		}
	})
}

// keeper is somebody who looks after a kind of thing.
func (s *sim) keeper(k *kind, at time.Time) *person {
	keepers := s.who(at, func(p *person) bool { return p.may() && slices.Contains(k.by, p.team) })
	if len(keepers) == 0 {
		keepers = s.admins(at)
	}
	return pick(s, keepers)
}

// firstMethods is somebody who tries how to be reached, in the first weeks.
func (s *sim) firstMethods(at time.Time) {
	p := s.onCall(at, "Payments")
	x := s.sit(p, at)
	for range 3 {
		m := s.made("on_call_notification_method", "SMS", x.now)
		s.notification(x, "created", m, p)
		s.notification(x, "destroyed", m, p)
	}
}

// story plans something for a working day near so many days before the end.
func (s *sim) story(daysBack int, hour float64, do func(time.Time)) {
	day := s.end.AddDate(0, 0, -daysBack).Truncate(24 * time.Hour)
	for busy(day) < 0.9 {
		day = day.AddDate(0, 0, -1)
	}
	s.plan(day.Add(time.Duration(hour*float64(time.Hour))), do)
}

// joinerAccounts is a group of people who start on one day: the identity
// provider makes their accounts, IT gives them roles.
func (s *sim) joinerAccounts(at time.Time) {
	scim := s.byKey(s.agents.scim, "192.0.2.26", "Okta SCIM Client 1.0.0", at)
	var joiners []*person
	for _, p := range s.people {
		if p.joined.Before(s.end) || p.team == "Contractors" {
			continue
		}
		p.joined, p.id = at.Add(2*time.Hour), s.id(scim.now) // they do nothing before they have their roles
		scim.emit("user.created", audit.Metadata{"source": "scim", "after_base_role_slug": "viewer"}, s.account(p))
		joiners = append(joiners, p)
	}
	contractor := s.person("Victor Halloran")
	if contractor.team == "Contractors" {
		contractor.joined, contractor.id = scim.now, s.id(scim.now)
		scim.emit("user.created", audit.Metadata{"source": "scim", "after_base_role_slug": "viewer"}, s.account(contractor))
	}
	it := s.sit(pick(s, s.team(at, "IT")), at.Add(50*time.Minute))
	for _, p := range joiners {
		if p.role == "viewer" {
			continue
		}
		role := p.role
		p.role = "viewer"
		it.emit("user.role_memberships_updated", roleChange(p, role, p.custom), s.account(p))
		p.role = role
		x := s.sit(p, at.Add(2*time.Hour+s.pause(1800)))
		s.signIn(x, p)
		s.reachMe(x, p)
		s.ownProfile(x, p)
	}
}

// rotation is the day on which a key was found where it should not be, and all
// were changed.
func (s *sim) rotation(at time.Time) {
	x := s.sit(s.team(at, "Security")[0], at)
	x.from = origin{x.from.location, x.from.userAgent}
	leaked := s.agents.leaked
	x.do("api_key.deleted", audit.Metadata{"reason": "found in a public repository"}, leaked)
	leaked.gone = true
	for _, key := range s.live("api_key") {
		x.do("api_key.rotated", audit.Metadata{"reason": "precaution after leaked key", "old_key_valid_hours": "1"}, key)
	}
	x.now = x.now.Add(12 * time.Minute)
	for _, secret := range s.live("secret") {
		x.do("secret.rotated", audit.Metadata{"reason": "precaution after leaked key"}, secret)
	}
	// What still used the old key.
	bot := s.byKey(leaked, "192.0.2.29", "statuspage-bot/0.3 node-fetch", at.Add(70*time.Minute))
	for range 9 {
		k := s.kind("status_page")
		bot.refused(k, "updated", "key_revoked", s.one(k.name))
		bot.now = bot.now.Add(10 * time.Second)
	}
}

// offboarding is somebody's last day.
func (s *sim) offboarding(at time.Time) {
	leavers := s.who(at, func(p *person) bool {
		return p.role == "responder" && p.team == "Platform" && p.joined.Before(s.start)
	})
	p := leavers[len(leavers)-1]
	it := s.sit(s.team(at, "IT")[0], at)
	it.emit("user.role_memberships_updated", roleChange(p, "viewer", ""), s.account(p))
	for range 3 {
		it.update(s.kind("schedule"), s.ownedBy("schedule", p.team))
		it.update(s.kind("escalation_path"), s.ownedBy("escalation_path", p.team))
	}
	it.do("api_key.deleted", audit.Metadata{"reason": "owner left"}, s.ordinaryKey())
	for _, m := range p.methods {
		s.notification(it, "destroyed", m, p)
	}
	it.now = at.Add(6*time.Hour + 40*time.Minute)
	it.emit("user.deactivated", audit.Metadata{"reason": "left the company"}, s.account(p))
	p.left = it.now
	// An old script of theirs goes on trying.
	late := s.sit(p, it.now.Add(15*time.Hour))
	for range 4 {
		late.do("user.logged_in", audit.Metadata{"login_method": "saml_sso", "outcome": "failure", "reason": "user_deactivated"}, &p.thing)
		late.now = late.now.Add(3 * time.Hour)
	}
}

// majorIncident is the two hours in which nobody could pay: half the company
// looks, asks, changes and tells customers.
func (s *sim) majorIncident(at time.Time) {
	s.incidents++
	ref := "INC-" + strconv.Itoa(s.incidents)
	end := at.Add(2 * time.Hour)
	later := func() time.Time { return at.Add(time.Duration(s.rng.Float64() * float64(end.Sub(at)))) }
	for range scaled(19, s.size) {
		s.investigation(later(), s.between(9, 18))
	}
	for range scaled(30, s.size) {
		s.workflowActs(later())
	}
	crowd := s.team(at, "Payments", "Checkout", "SRE", "Platform", "Support", "Leadership")
	for _, p := range crowd {
		if s.odds(70) {
			s.joinCall(p, later(), ref)
		}
	}
	s.tellCustomers(at, end)
}

func scaled(n int, size float64) int { return max(1, int(float64(n)*size)) }

// joinCall is one person's part in the major incident.
func (s *sim) joinCall(p *person, at time.Time, ref string) {
	x := s.sit(p, at)
	if s.odds(35) {
		s.signIn(x, p)
	}
	s.queries(x, s.between(1, 5), "slack")
	switch {
	case !p.may():
		return
	case s.odds(30):
		k := s.kind("workflow")
		t := s.named(k.name, "Post hourly updates")
		x.update(k, t)
	case s.odds(30):
		s.swapShift(x, p)
	case s.odds(40):
		s.askConnector(x, p)
	case s.odds(20):
		item := &thing{kind: "timeline_item", id: s.id(at), name: "Pinned message"}
		x.do("timeline_item.deleted", audit.Metadata{"incident_reference": ref}, item)
	}
}

// tellCustomers is the support team's part.
func (s *sim) tellCustomers(at, end time.Time) {
	support := s.team(at, "Support")
	for now := at.Add(9 * time.Minute); now.Before(end); now = now.Add(s.pause(540)) {
		p := pick(s, support)
		if !p.may() {
			continue
		}
		x := s.sit(p, now)
		x.update(s.kind("status_page"), s.things["status_page"][0])
		if s.odds(50) {
			x.update(s.kind("status_page_template"), s.one("status_page_template"))
		}
	}
}

// intruder is a night in which somebody who has a contractor's password looks
// for what they can get, from an address nobody ever used.
func (s *sim) intruder(at time.Time) {
	p := s.person("Victor Halloran")
	x := s.sit(p, at)
	x.from = origin{"192.0.2.213", "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0"}
	x.pace = 11
	for _, reason := range []string{"invalid_otp", "invalid_otp", "otp_expired", "invalid_otp", "invalid_otp", "invalid_otp", "too_many_attempts"} {
		x.do("user.logged_in", audit.Metadata{"login_method": "email_otp", "outcome": "failure", "reason": reason}, &p.thing)
	}
	x.now = x.now.Add(4 * time.Minute)
	x.do("user.logged_in", audit.Metadata{"login_method": "email_otp", "outcome": "success"}, &p.thing)
	for range 2 {
		for i := len(s.private) - 1; i >= max(0, len(s.private)-12); i-- {
			s.attempt(x, s.private[i], "N/A", "denied")
			if i%3 == 0 {
				x.do("private_escalation.access_attempted", refusal("denied", audit.Metadata{}), s.private[i].escalation)
			}
			if i%4 == 0 {
				x.do("private_alert.access_attempted", refusal("denied", audit.Metadata{}), s.private[i].alert)
			}
		}
	}
	org := s.one("organisation")
	for _, m := range measures() {
		x.do("private_insights.exported", refusal("denied", audit.Metadata{"measure": m}), org)
	}
	x.do("api_key.created", audit.Metadata{"outcome": "denied", "reason": "missing_permission", "after_roles": "admin"},
		&thing{kind: "api_key", id: s.id(x.now), name: "backup"})
	x.do("user.role_memberships_updated", refusal("denied", roleChange(p, "admin", "")), &p.thing)
}

// aftermath is the morning after the intruder's night.
func (s *sim) aftermath(at time.Time) {
	p := s.person("Victor Halloran")
	x := s.sit(s.team(at, "Security")[0], at)
	x.pace = 40
	x.emit("user.deactivated", audit.Metadata{"reason": "suspected account takeover"}, s.account(p))
	p.left = x.now
	s.one("ip_allowlist").settings["enabled"] = "true"
	s.allow(x, "198.51.100.0/24,203.0.113.0/24,2001:db8::/32", "192.0.2.192/26")
	s.setSignIn(x, "email_otp_login_setting")
	s.incidents++
	inc := s.newPrivate(x.now, []string{"identity-service", "Security"})
	inc.name = "Account takeover of a contractor"
	for _, member := range s.team(at, "Security", "Legal", "Leadership") {
		inc.members[member] = true
		x.do("private_incident_membership.granted", audit.Metadata{"role": "participant"}, &member.thing, &inc.thing)
	}
	back := s.sit(s.team(at, "IT")[0], at.Add(30*time.Hour))
	back.emit("user.reinstated", audit.Metadata{"reason": "device reimaged, password and factors reset"}, s.account(p))
	p.left = s.end.AddDate(1, 0, 0)
}

// offlinePhone is somebody on a train who answers pages without a connection:
// the product hears of it hours later.
func (s *sim) offlinePhone(at time.Time) {
	p := s.onCall(at, "SRE")
	x := s.sit(p, at.Add(-time.Duration(s.between(150, 330))*time.Minute))
	x.from, x.arrive = origin{p.mobile, p.phone.userAgent(at)}, at
	x.pace = 700
	s.swapShift(x, p)
	s.reachMe(x, p)
	s.ownProfile(x, p)
	s.swapShift(x, p)
}

// lastHours is what is on the first page when somebody opens the demo: an
// ordinary end of the day, with what people look for in it.
func (s *sim) lastHours(at time.Time) {
	admin := pick(s, s.team(at, "IT"))
	x := s.sit(admin, at)
	s.signIn(x, admin)
	key := s.made("api_key", "quarterly-audit-export", x.now)
	x.do("api_key.created", audit.Metadata{"after_roles": "insights_reader", "expires_in_days": "30"}, key)
	s.changeRole(x, admin, false)
	y := s.sit(s.onlooker(at), at.Add(21*time.Minute))
	if inc := s.recentPrivate(); inc != nil {
		s.attempt(y, inc, "N/A", "denied")
		y.do("private_incident.access_requested", audit.Metadata{"reason": "Customer asked my team about this"}, &inc.thing)
	}
	s.incident(at.Add(33 * time.Minute))
	lead := pick(s, s.team(at, "SRE"))
	z := s.sit(lead, at.Add(58*time.Minute))
	z.update(s.kind("escalation_path"), s.one("escalation_path"))
	z.update(s.kind("alert_route"), s.one("alert_route"))
	s.swapShift(z, lead)
	s.work(lead, at.Add(80*time.Minute))
}

// onlooker returns somebody who may only look; where roles have changed so that
// nobody is left who does, anybody.
func (s *sim) onlooker(at time.Time) *person {
	viewers := s.who(at, func(p *person) bool { return !p.may() })
	if len(viewers) == 0 {
		viewers = s.who(at, func(*person) bool { return true })
	}
	return pick(s, viewers)
}
