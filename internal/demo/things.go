package demo

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// thing is something events are about.
type thing struct {
	kind, id, name string
	team           string            // that owns it; "" where no team does
	settings       map[string]string // current values
	reference      string            // how people call it in a conversation
	gone           bool
	core           bool // was there from the start, and stays
}

// target is the thing as the target of an event.
func (t *thing) target() audit.Target {
	out := audit.Target{Type: t.kind, ID: t.id, Name: t.name}
	if t.reference != "" {
		out.Metadata = audit.Metadata{"reference": t.reference}
	}
	return out
}

// id makes an identifier as the product does: a ULID of the time at which the
// thing was made.
func (s *sim) id(made time.Time) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var b [26]byte
	ms := uint64(max(made.UnixMilli(), 0)) + uint64(s.rng.IntN(1000)) //nolint:gosec // not negative
	for i := 9; i >= 0; i-- {
		b[i] = alphabet[ms%32]
		ms /= 32
	}
	for i := 10; i < len(b); i++ {
		b[i] = alphabet[s.rng.IntN(32)]
	}
	return string(b[:])
}

// made adds a thing that exists from a time on.
func (s *sim) made(kind, name string, at time.Time) *thing {
	t := &thing{kind: kind, id: s.id(at), name: name, settings: map[string]string{}}
	s.things[kind] = append(s.things[kind], t)
	return t
}

// before returns a time before the year, for what is there when it begins.
func (s *sim) before() time.Time {
	return s.start.Add(-time.Duration(s.between(20, 900)*24*60+s.rng.IntN(1440)) * time.Minute)
}

// furnish makes everything there is at the start.
func (s *sim) furnish() {
	for _, k := range s.kinds {
		for _, name := range k.names {
			t := s.made(k.name, name, s.before())
			t.core = true
			s.configure(k, t)
		}
	}
	for _, w := range s.words["services"] {
		t := s.made("catalog_entry", w[0], s.before())
		t.team, t.settings["type"] = w[1], "Service"
	}
	for _, w := range s.words["customers"] {
		s.made("catalog_entry", w[0], s.before()).settings["type"] = "Customer"
	}
	for _, name := range s.teamNames() {
		s.made("team", name, s.before()).kind = "catalog_entry"
	}
	s.made("incident_timestamp_set_by_rule", "Set Resolved at from status", s.before())
	for _, w := range s.words["attributes"] {
		s.made("catalog_attribute", w[0], s.before())
	}
	for _, w := range s.words["sources"] {
		s.made("telemetry_data_source", w[1], s.before()).settings["host"] = w[2]
	}
	s.furnishConnectors()
	s.furnishAccess()
}

func (s *sim) furnishConnectors() {
	for _, w := range s.words["connectors"] {
		c := s.made("extension_connector", w[0], s.before())
		for _, tool := range fields(w[1], ",") {
			t := s.made("tool:"+c.id, strings.ToLower(w[0])+"."+tool, s.before())
			t.kind = "extension_connector_tool"
		}
	}
}

func (s *sim) furnishAccess() {
	s.made("organisation", s.org.Name, s.before())
	s.made("organisation_settings", s.org.Name+" settings", s.before()).settings["default_timezone"] = "Europe/London"
	s.made("ip_allowlist", "Sign-in allowlist", s.before()).settings["enabled"] = "false"
	for _, name := range []string{"Engineering", "On-call engineers", "Security", "Support", "Everyone else", "Incident admins"} {
		s.made("scim_group", name, s.before())
	}
	for _, name := range []string{"Annual leave", "Public holidays", "Parental leave", "Training"} {
		s.made("hris_time_off_policy", name, s.before()).settings["behaviour"] = "ignore"
	}
	for _, name := range []string{"Slack", "Jira", "GitHub", "Zoom", "Datadog", "Okta"} {
		s.made("integration", name, s.before())
	}
	key := func(name, roles string) *thing {
		t := s.made("api_key", name, s.before())
		t.settings["roles"] = roles
		return t
	}
	s.agents = agents{
		terraform:   key("terraform-production", "workflows_editor,schedules_editor,alert_routes_editor"),
		catalogSync: key("catalog-sync", "catalog_editor"),
		warehouse:   key("insights-to-snowflake", "insights_reader"),
		deploys:     key("ci-deploy-annotations", "incidents_editor"),
		scim:        key("okta-scim", "users_editor"),
		backup:      key("nightly-config-backup", "viewer"),
		leaked:      key("statuspage-bot-legacy", "status_pages_editor,viewer"),
	}
}

func (s *sim) teamNames() []string {
	names := map[string]bool{}
	for _, p := range s.people {
		names[p.team] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// configure gives a new thing of a kind its team and its first settings.
func (s *sim) configure(k *kind, t *thing) {
	if !k.shared && len(k.by) > 0 {
		t.team = pick(s, k.by)
		for _, name := range k.by { // "Payments primary" belongs to Payments
			if strings.Contains(t.name, name) {
				t.team = name
			}
		}
	}
	for _, a := range k.attrs {
		t.settings[a.key] = s.value(a, t)
	}
}

// live returns the things of a kind that were not deleted.
func (s *sim) live(kind string) []*thing {
	return slices.DeleteFunc(slices.Clone(s.things[kind]), func(t *thing) bool { return t.gone })
}

// one returns any thing of a kind that was not deleted.
func (s *sim) one(kind string) *thing { return pick(s, s.live(kind)) }

// named returns a thing of a kind by its name, any if there is none.
func (s *sim) named(kind, name string) *thing {
	for _, t := range s.things[kind] {
		if t.name == name {
			return t
		}
	}
	return s.one(kind)
}

// change gives a setting of a thing another value and returns what the event
// says of it.
func (s *sim) change(a attr, t *thing) audit.Metadata {
	was := t.settings[a.key]
	now := s.value(a, t)
	for tries := 0; now == was && tries < 9; tries++ {
		now = s.value(a, t)
	}
	t.settings[a.key] = now
	return audit.Metadata{"before_" + a.key: was, "after_" + a.key: now}
}

// value is one that a setting may have. "people" stands for some of the owning
// team.
func (s *sim) value(a attr, t *thing) string {
	if a.values[0] != "people" {
		return pick(s, a.values)
	}
	var names []string
	for _, p := range s.people {
		if p.team == t.team && !p.joined.After(s.start) && len(names) < 8 {
			names = append(names, p.name)
		}
	}
	s.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if strings.HasPrefix(a.key, "level") {
		names = names[:min(1, len(names))]
	}
	names = names[:min(len(names), s.between(3, 5))]
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// teamIDs is the ids of a thing's owners as events have them.
func (s *sim) teamIDs(t *thing) string {
	if t.team == "" {
		return ""
	}
	return s.named("team", t.team).id
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
