package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// planMachines plans what programs do every day, week and month.
func (s *sim) planMachines() {
	s.days(func(midnight time.Time) {
		working := busy(midnight) > 0.5
		if working {
			s.plan(midnight.Add(2*time.Hour+s.pause(500)), s.syncCatalog)
			s.plan(midnight.Add(3*time.Hour+30*time.Minute+s.pause(60)), s.syncUsers)
		}
		for range s.poisson(2.1 * busy(midnight) * s.size) {
			s.plan(midnight.Add(time.Duration(s.normal(13, 3)*float64(time.Hour))), s.catalogFile)
		}
		for range s.poisson(0.62 * busy(midnight) * s.size) {
			s.plan(midnight.Add(time.Duration(s.normal(14, 2.5)*float64(time.Hour))), s.applyTerraform)
		}
		for range s.poisson(1.1 * busy(midnight) * s.size) {
			s.plan(midnight.Add(time.Duration(s.normal(11, 3)*float64(time.Hour))), s.timeOff)
		}
		switch midnight.Weekday() {
		case time.Monday:
			s.plan(midnight.Add(9*time.Hour+s.pause(20)), s.handOver)
		case time.Sunday:
			s.plan(midnight.Add(4*time.Hour+s.pause(300)), s.scrub)
		}
		s.plan(midnight.Add(time.Hour+s.pause(120)), s.exportInsights)
		if midnight.Day() == 1 {
			s.plan(midnight.Add(5*time.Hour+s.pause(100)), s.backUp)
		}
	})
}

func (s *sim) byKey(key *thing, location, agent string, at time.Time) *session {
	return s.program(keyActor(key), fromProgram(location, agent), at)
}

// syncCatalog brings the catalog in step with the service directory.
func (s *sim) syncCatalog(at time.Time) {
	x := s.byKey(s.agents.catalogSync, "192.0.2.18", "catalog-importer/2.9.1 (linux; amd64)", at)
	x.pace = 0.5
	n := s.poisson(38 * s.size)
	if s.odds(6) {
		n *= 3 // somebody moved a lot
	}
	for range n {
		entry := s.named("catalog_entry", pick(s, s.words["services"])[0])
		if s.odds(14) {
			entry = s.named("catalog_entry", pick(s, s.words["customers"])[0])
		}
		s.setAttribute(x, entry)
	}
}

// setAttribute changes one attribute of one entry of the catalog.
func (s *sim) setAttribute(x *session, entry *thing) {
	row := s.attribute(entry.settings["type"])
	was := entry.settings[row[0]]
	if was == "" {
		was = s.attributeValue(row, entry, "", x.now)
	}
	now := s.attributeValue(row, entry, was, x.now)
	if now == was {
		return
	}
	entry.settings[row[0]] = now
	meta := audit.Metadata{"before_values": was, "after_values": now}
	if !x.v2("catalog_entry_attribute.updated") {
		meta = audit.Metadata{"before_values": list(was), "after_values": list(now)}
	}
	x.do("catalog_entry_attribute.updated", meta,
		s.named("catalog_type", entry.settings["type"]), entry, s.named("catalog_attribute", row[0]))
}

// list is a setting with several values as an array.
func list(text string) []any {
	var out []any
	for _, v := range fields(text, ",") {
		out = append(out, v)
	}
	return out
}

// attribute picks one of those that entries of a type have.
func (s *sim) attribute(kind string) []string {
	total := 0
	for _, row := range s.words["attributes"] {
		if row[1] == kind {
			total += atoi(row[2])
		}
	}
	n := s.rng.IntN(total)
	for _, row := range s.words["attributes"] {
		if row[1] == kind {
			if n -= atoi(row[2]); n < 0 {
				return row
			}
		}
	}
	return s.words["attributes"][0]
}

// attributeValue is the next value of an attribute.
func (s *sim) attributeValue(row []string, entry *thing, was string, at time.Time) string {
	switch row[3] {
	case "release":
		return fmt.Sprintf("%s.%d", at.Format("2006.01.02"), s.between(1, 4))
	case "percent":
		return strconv.Itoa(s.between(3, 99)) + "%"
	case "count":
		lo, hi, _ := strings.Cut(row[4], "-")
		if was == "" {
			return strconv.Itoa(s.between(atoi(lo), atoi(hi)))
		}
		step := 1 + (atoi(hi)-atoi(lo))/12
		return strconv.Itoa(min(max(atoi(was)+s.between(-step, step), atoi(lo)), atoi(hi)))
	case "person":
		team := entry.team
		if team == "" {
			team = "Support"
		}
		return s.onCall(at.AddDate(0, 0, -7*s.rng.IntN(3)), team).name
	case "set":
		values := fields(row[4], ";")
		if was == "" {
			return values[0] + ", " + values[s.between(1, 3)]
		}
		return strings.ReplaceAll(toggle(was, pick(s, values)), ",", ", ")
	default:
		return pick(s, fields(row[4], ";"))
	}
}

// catalogFile is a change to the catalog that comes from a repository: its file
// is what acts.
func (s *sim) catalogFile(at time.Time) {
	service := pick(s, s.words["services"])[0]
	entry := s.named("catalog_entry", service)
	actor := audit.Actor{
		Type: "external_resource", ID: entry.id, Name: service + "/catalog-info.yaml",
		Metadata: audit.Metadata{"external_resource_type": "github_file", "external_resource_external_id": slug(s.org.Name) + "/" + service + "@" + fmt.Sprintf("%07x", s.rng.IntN(1<<28))},
	}
	x := s.program(actor, fromProgram("192.0.2.21", "GitHub-Hookshot/"+fmt.Sprintf("%07x", s.rng.IntN(1<<28))), at)
	for range s.between(1, 4) {
		s.setAttribute(x, entry)
	}
}

func slug(name string) string { return strings.ToLower(strings.Fields(name)[0]) }

// applyTerraform is a change to the configuration that comes from code.
func (s *sim) applyTerraform(at time.Time) {
	agent := fmt.Sprintf("Terraform/1.13.%d (+https://www.terraform.io) terraform-provider-responder/5.%d.0", release(1, s.start, at)%6, release(9, s.start, at)/2)
	x := s.byKey(s.agents.terraform, "192.0.2.14", agent, at)
	if s.odds(5) {
		k := s.kind("escalation_path")
		meta := audit.Metadata{"outcome": "failure", "reason": "validation_failed: level 2 has nobody to notify"}
		x.edit(k, "updated", s.one(k.name), meta)
		return
	}
	for range s.between(3, 17) {
		k := s.kind(pick(s, []string{"alert_route", "alert_route", "escalation_path", "schedule", "workflow", "alert_source"}))
		switch {
		case s.odds(8):
			x.create(k)
		case s.odds(6):
			x.remove(k)
		default:
			x.update(k, s.one(k.name))
		}
	}
}

// syncUsers brings accounts in step with the identity provider.
func (s *sim) syncUsers(at time.Time) {
	x := s.byKey(s.agents.scim, "192.0.2.26", "Okta SCIM Client 1.0.0", at)
	for range s.poisson(1.6 * s.size) {
		p := pick(s, s.who(at, func(p *person) bool { return p.team != "Contractors" }))
		key := pick(s, []string{"title", "manager", "manager", "cost_center"})
		was := orElse(p.settings[key], s.firstDetail(p, key))
		p.settings[key] = s.nextDetail(p, key, was)
		if p.settings[key] != was {
			x.emit("user.updated", audit.Metadata{"before_" + key: was, "after_" + key: p.settings[key], "source": "scim"}, s.account(p))
		}
	}
}

// titles are the steps of a career, for those who write software and for others.
func titles(p *person) []string {
	switch p.team {
	case "Leadership", "Support", "Product", "Legal", "People", "Finance":
		return []string{p.team + " associate", p.team + " specialist", p.team + " manager", "Head of " + p.team}
	default:
		return []string{"Engineer", "Senior engineer", "Staff engineer", "Principal engineer"}
	}
}

// firstDetail is what the identity provider said of a person at the start.
func (s *sim) firstDetail(p *person, key string) string {
	switch key {
	case "title":
		return titles(p)[s.rng.IntN(2)]
	case "manager":
		return s.people[s.rng.IntN(2)].name
	default:
		return "CC-" + strconv.Itoa(100+len(p.team))
	}
}

func (s *sim) nextDetail(p *person, key, was string) string {
	switch key {
	case "title":
		steps := titles(p)
		return steps[min(slices.Index(steps, was)+1, len(steps)-1)]
	case "manager":
		return pick(s, s.team(p.joined.Add(time.Hour), p.team, "Leadership")).name
	default:
		return "CC-" + strconv.Itoa(s.between(100, 140))
	}
}

// timeOff is leave that somebody booked in the HR system, which makes a hole in
// a schedule.
func (s *sim) timeOff(at time.Time) {
	p := pick(s, s.who(at, (*person).may))
	other := pick(s, s.who(at, (*person).may))
	actor := audit.Actor{
		Type: "external_resource", ID: s.id(at), Name: "Annual leave of " + p.name,
		Metadata: audit.Metadata{"external_resource_type": "hris_time_off", "external_resource_external_id": "personio-" + strconv.Itoa(s.between(210000, 299999))},
	}
	x := s.program(actor, fromProgram("192.0.2.30", "Personio-Webhooks/1.4"), at)
	start := at.Truncate(24*time.Hour).AddDate(0, 0, s.between(5, 60))
	shift := override{schedule: s.ownedBy("schedule", p.team), before: p, after: other, start: start, end: start.AddDate(0, 0, s.between(1, 10))}
	x.do("schedule_override.created", shift.metadata(x, "created"), &thing{kind: "schedule_override", id: s.id(at), name: shift.schedule.name + " override"})
}

// handOver is the change of the week's on-call.
func (s *sim) handOver(at time.Time) {
	x := s.program(systemActor(), fromProduct(), at)
	k := s.kind("schedule_sync_target")
	for _, t := range s.live(k.name) {
		was, now := s.onCall(at.Add(-time.Hour*24), "SRE"), s.onCall(at, pick(s, []string{"SRE", "Payments", "Platform"}))
		x.edit(k, "updated", t, audit.Metadata{"before_on_call": was.name, "after_on_call": now.name})
	}
}

// scrub removes what is older than the organization keeps it.
func (s *sim) scrub(at time.Time) {
	x := s.program(systemActor(), fromProduct(), at)
	reason := audit.Metadata{"reason": "data_retention", "older_than_days": "730"}
	for range s.poisson(6 * s.size) {
		ref := "INC-" + strconv.Itoa(s.between(1, 700))
		switch s.rng.IntN(3) {
		case 0:
			x.do("activity_log.scrubbed", reason, &thing{kind: "activity_log", id: s.id(at.AddDate(-2, 0, 0)), name: "Activity of " + ref})
		case 1:
			x.do("alert.scrubbed", reason, &thing{kind: "alert", id: s.id(at.AddDate(-2, 0, 0)), name: s.faultOf(pick(s, s.words["services"])[0])})
		default:
			x.do("escalation.scrubbed", reason, &thing{kind: "escalation", id: s.id(at.AddDate(-2, 0, 0)), name: "Escalation for " + ref})
		}
	}
}

// exportInsights is the nightly copy of figures into the data warehouse.
func (s *sim) exportInsights(at time.Time) {
	x := s.byKey(s.agents.warehouse, "192.0.2.22", "python-requests/2.32.5", at)
	org := s.one("organisation")
	for _, m := range measures()[:1+int(4*s.size)] {
		x.do("private_insights.exported", audit.Metadata{"measure": m, "outcome": "granted", "rows": s.between(80, 4000)}, org)
	}
}

// backUp fails a step each month: the key may only read.
func (s *sim) backUp(at time.Time) {
	x := s.byKey(s.agents.backup, "192.0.2.23", "curl/8.14.1", at)
	x.do("private_insights.underlying_data_queried", audit.Metadata{"measure": "incident_count", "outcome": "denied", "reason": "missing_permission"}, s.one("organisation"))
}
