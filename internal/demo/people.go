package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// office is where people work from: its zone (hours from UTC; no daylight
// saving, which nobody would miss here) and the addresses that others see.
type office struct {
	name   string
	zone   time.Duration
	egress []string
}

func offices() map[string]*office {
	list := []*office{
		{"London", 0, []string{"198.51.100.10", "198.51.100.11"}},
		{"Berlin", time.Hour, []string{"198.51.100.34"}},
		{"New York", -5 * time.Hour, []string{"198.51.100.66", "198.51.100.67"}},
		{"Bengaluru", 5*time.Hour + 30*time.Minute, []string{"198.51.100.98"}},
		{"Sydney", 10 * time.Hour, []string{"198.51.100.130"}},
	}
	out := make(map[string]*office, len(list))
	for _, o := range list {
		out[o.name] = o
	}
	return out
}

// at returns the time that is so many hours after local midnight of a date.
func (o *office) at(midnight time.Time, hours float64) time.Time {
	return midnight.Add(-o.zone + time.Duration(hours*float64(time.Hour)))
}

// person is somebody who works for the organization.
type person struct {
	thing
	office       *office
	team         string
	role         string // slug of the base role
	custom       string // slugs of further roles
	joined, left time.Time
	home, mobile string // addresses
	desktop      client
	phone        client
	methods      []*thing // how on-call reaches them
	signedIn     time.Time
}

// readPeople makes the people of a list. Joiners are those after the line that
// says so: they come during the year.
func (s *sim) readPeople(text string) {
	known := offices()
	group := "" // since the last comment that is one word
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if word, ok := strings.CutPrefix(line, "# "); ok {
			group = word
			continue
		}
		f := fields(line, "|")
		p := &person{office: known[f[1]], team: f[2], role: f[3], custom: f[4]}
		p.joined = s.start.AddDate(0, -s.between(2, 40), -s.between(0, 27))
		if group == "joiners" || group == "contractor" {
			p.joined = s.end // until somebody creates them
		}
		p.thing = thing{kind: "user", name: f[0], settings: map[string]string{}}
		p.id = s.id(p.joined)
		p.left = s.end.AddDate(1, 0, 0)
		s.equip(p, i)
		s.people = append(s.people, p)
	}
}

func (s *sim) equip(p *person, i int) {
	first := len(s.org.Name) // so that organizations do not share addresses
	p.home = fmt.Sprintf("203.0.113.%d", 1+(first*11+i)%250)
	if s.odds(35) {
		p.home = fmt.Sprintf("2001:db8:%x:%x::%x", 0x20+i%7, 0x1000+first*256+i*3, s.between(0x10, 0xffff))
	}
	p.mobile = fmt.Sprintf("2001:db8:f%02x:%x::1", i%16, s.between(0x1000, 0xefff))
	if s.odds(30) {
		p.mobile = fmt.Sprintf("192.0.2.%d", s.between(130, 199))
	}
	p.desktop, p.phone = s.desktop(), s.phone()
}

// email is the person's address.
func (p *person) email(domain string) string {
	plain := strings.NewReplacer("í", "i", "á", "a", "é", "e", "ö", "o", "ü", "u", "ø", "o", "ń", "n", "ë", "e", "ú", "u",
		"ć", "c", "Å", "A", "å", "a", "ñ", "n", " ", ".", "-", "").Replace(p.name)
	return strings.ToLower(plain) + "@" + domain
}

// actor is the person as who did something.
func (p *person) actor() audit.Actor {
	return audit.Actor{Type: "user", ID: p.id, Name: p.name, Metadata: audit.Metadata{
		"user_base_role_slug": p.role, "user_custom_role_slugs": p.custom,
	}}
}

// here says whether the person works for the organization at a time.
func (p *person) here(at time.Time) bool { return !at.Before(p.joined) && at.Before(p.left) }

// may says whether the person's role lets them change settings.
func (p *person) may() bool { return p.role != "viewer" }

// team returns the people of the teams who are there at a time.
func (s *sim) team(at time.Time, teams ...string) []*person {
	return s.who(at, func(p *person) bool { return slices.Contains(teams, p.team) })
}

// admins returns those who may do anything.
func (s *sim) admins(at time.Time) []*person {
	return s.who(at, func(p *person) bool { return p.role == "admin" })
}

func (s *sim) who(at time.Time, want func(*person) bool) []*person {
	var out []*person
	for _, p := range s.people {
		if p.here(at) && want(p) {
			out = append(out, p)
		}
	}
	return out
}

// onCall returns who has the team's pager at a time: somebody else each week,
// where possible one for whom it is not night.
func (s *sim) onCall(at time.Time, team string) *person {
	members := s.who(at, func(p *person) bool { return p.team == team && p.may() })
	if len(members) == 0 {
		members = s.who(at, (*person).may)
	}
	week := int(at.Unix() / (7 * 24 * 3600))
	primary := members[week%len(members)]
	if asleep(primary, at) && s.odds(45) {
		for i := range members {
			if other := members[(week+i)%len(members)]; !asleep(other, at) {
				return other
			}
		}
	}
	return primary
}

func asleep(p *person, at time.Time) bool {
	hour := at.Add(p.office.zone).UTC().Hour()
	return hour < 7 || hour >= 23
}

// person returns the person of a name; stories name theirs.
func (s *sim) person(name string) *person {
	for _, p := range s.people {
		if p.name == name {
			return p
		}
	}
	return s.people[0]
}
