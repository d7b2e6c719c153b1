package demo

import (
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// administer is what those who look after accounts and settings do.
func (s *sim) administer(x *session, p *person) {
	if p.role != "admin" {
		s.changeRole(x, p, true)
		return
	}
	switch n := s.rng.IntN(100); {
	case n < 30:
		s.changeRole(x, p, false)
	case n < 36:
		s.mapRoles(x)
	case n < 42:
		s.mapSeats(x)
	case n < 52:
		s.changeUser(x)
	case n < 57 && len(s.live("integration")) < 9:
		s.install(x)
	case n < 62:
		s.uninstall(x)
	case n < 65:
		s.setTimeZone(x)
	case n < 70:
		s.setSignIn(x, "qr_code_mobile_login_setting")
	case n < 77:
		s.changeAllowlist(x)
	case n < 84:
		s.timeOffPolicy(x)
	case n < 90:
		s.moreSeats(x, p)
	default:
		k := s.kind("rbac_role")
		x.update(k, s.one(k.name))
	}
}

// changeRole gives somebody another role, or tries to.
func (s *sim) changeRole(x *session, by *person, mayNot bool) {
	p := pick(s, s.who(x.now, func(p *person) bool {
		return p != by && p.role != "owner" && p.role != "admin" && p.team != "Contractors"
	}))
	role, custom := p.role, p.custom
	switch {
	case p.role == "viewer" && s.odds(60):
		role = "responder"
	case p.team == "Support" || p.team == "Product":
		custom = toggle(p.custom, "status_page_manager")
	default:
		custom = toggle(p.custom, pick(s, []string{"incident_lead", "catalog_editor", "on_call_manager"}))
	}
	meta := roleChange(p, role, custom)
	if mayNot {
		meta["outcome"], meta["reason"] = "denied", "missing_permission"
	} else {
		p.role, p.custom = role, custom
	}
	x.emit("user.role_memberships_updated", meta, s.account(p))
}

// account is a person as the target of what administrators do.
func (s *sim) account(p *person) audit.Target {
	t := p.target()
	t.Metadata = audit.Metadata{"email": p.email(s.org.Domain)}
	return t
}

func roleChange(p *person, role, custom string) audit.Metadata {
	return audit.Metadata{
		"before_base_role_slug": p.role, "after_base_role_slug": role,
		"before_custom_role_slugs": p.custom, "after_custom_role_slugs": custom,
	}
}

// toggle adds a slug to a list or takes it out.
func toggle(list, slug string) string {
	var out []string
	found := false
	for _, s := range fields(list, ",") {
		found = found || s == slug
		if s != slug && s != "" {
			out = append(out, s)
		}
	}
	if !found {
		out = append(out, slug)
	}
	return strings.Join(out, ",")
}

func (s *sim) mapSeats(x *session) {
	g := s.one("scim_group")
	was := orElse(g.settings["seats"], "viewer")
	g.settings["seats"] = pick(s, []string{"responder", "on_call", "viewer", "responder,on_call"})
	x.do("scim_group.seat_mappings_updated", audit.Metadata{"before_seat_types": was, "after_seat_types": g.settings["seats"]}, g)
}

func (s *sim) mapRoles(x *session) {
	g := s.one("scim_group")
	role, custom := orElse(g.settings["role"], "viewer"), g.settings["custom"]
	meta := audit.Metadata{"before_base_role_slug": role, "before_custom_role_slugs": custom}
	g.settings["role"] = pick(s, []string{"viewer", "responder"})
	g.settings["custom"] = toggle(custom, pick(s, []string{"incident_lead", "catalog_editor"}))
	meta["after_base_role_slug"], meta["after_custom_role_slugs"] = g.settings["role"], g.settings["custom"]
	x.do("scim_group.role_mappings_updated", meta, g)
}

func (s *sim) changeUser(x *session) {
	p := pick(s, s.who(x.now, func(p *person) bool { return p.team != "Contractors" }))
	x.emit("user.updated", audit.Metadata{
		"before_slack_user_linked": "false", "after_slack_user_linked": "true",
	}, s.account(p))
}

func (s *sim) install(x *session) {
	name := pick(s, []string{"Notion", "Linear", "Backstage", "Microsoft Teams", "Confluence", "ServiceNow", "Zendesk"})
	x.do("integration.installed", audit.Metadata{"scopes": "read,write"}, s.made("integration", name, x.now))
}

// uninstall removes an integration that was tried during the year.
func (s *sim) uninstall(x *session) {
	const lasting = 6
	have := s.live("integration")
	if len(have) <= lasting {
		return
	}
	t := pick(s, have[lasting:])
	t.gone = true
	x.do("integration.uninstalled", audit.Metadata{"reason": pick(s, []string{"replaced", "trial ended", "not used"})}, t)
}

func (s *sim) setTimeZone(x *session) {
	t := s.one("organisation_settings")
	was := t.settings["default_timezone"]
	now := map[string]string{"Europe/London": "Etc/UTC", "Etc/UTC": "Europe/London"}[was]
	t.settings["default_timezone"] = now
	x.do("organisation_settings.updated", audit.Metadata{
		"default_timezone": now, "before_default_timezone": was, "after_default_timezone": now,
	}, t)
}

// setSignIn allows or forbids a way to sign in.
func (s *sim) setSignIn(x *session, setting string) {
	t := s.one("organisation_settings")
	was := orElse(t.settings[setting], "true")
	now := map[string]string{"true": "false", "false": "true"}[was]
	t.settings[setting] = now
	x.do(setting+".updated", audit.Metadata{"enabled": now, "before_enabled": was, "after_enabled": now}, t)
}

func (s *sim) changeAllowlist(x *session) {
	s.allow(x, pick(s, []string{"198.51.100.66/32", "198.51.100.0/25", "2001:db8:f00::/48", "198.51.100.130/32"}), "")
}

// allow adds networks to those that people may sign in from, and takes others
// out.
func (s *sim) allow(x *session, additions, removals string) {
	t := s.one("ip_allowlist")
	version := strconv.Itoa(atoi(orElse(t.settings["version"], "3")) + 1)
	t.settings["version"] = version
	count := func(list string) string { return strconv.Itoa(len(strings.Fields(strings.ReplaceAll(list, ",", " ")))) }
	x.do("ip_allowlist.updated", audit.Metadata{
		"enabled": t.settings["enabled"], "version": version,
		"additions": additions, "additions_count": count(additions), "removals": removals, "removals_count": count(removals),
	}, t)
}

func (s *sim) timeOffPolicy(x *session) {
	t := s.one("hris_time_off_policy")
	was := t.settings["behaviour"]
	t.settings["behaviour"] = pick(s, []string{"ignore", "warn", "create_cover_request"})
	x.do("hris_time_off_policy.updated", audit.Metadata{
		"behaviour": t.settings["behaviour"], "previous_behaviour": was, "connection_name": "Personio", "provider_slug": "personio",
	}, t)
}

func (s *sim) moreSeats(x *session, p *person) {
	if s.seats == 0 {
		s.seats = 60
	}
	more := pick(s, []int{2, 5, 10})
	t := s.made("on_call_upsell_request", plural(more, "on-call seat"), x.now)
	x.do("on_call_upsell.requested", audit.Metadata{
		"gate_count_before": strconv.Itoa(s.seats), "gate_count_after": strconv.Itoa(s.seats + more),
		"seats_added": strconv.Itoa(more), "requested_by_user_id": p.id,
	}, t)
	s.seats += more
}

// keepSecrets is what people do with the secrets that workflows use.
func (s *sim) keepSecrets(x *session, p *person) {
	k, t := s.kind("secret"), s.one("secret")
	switch n := s.rng.IntN(100); {
	case n < 22:
		x.create(k)
	case n < 50:
		x.do("secret.rotated", audit.Metadata{"reason": pick(s, []string{"scheduled", "scheduled", "owner changed", "vendor asked for it"})}, t)
	case n < 72:
		x.do("secret.reference_added", nil, t, s.ownedBy("workflow", p.team))
	case n < 84:
		x.do("secret.reference_removed", nil, t, s.one("workflow"))
	case n < 92:
		x.update(k, t)
	default:
		x.remove(k)
	}
}

// keepKeys is what people do with API keys.
func (s *sim) keepKeys(x *session, p *person) {
	switch n := s.rng.IntN(100); {
	case n < 40:
		s.createKey(x, p)
	case n < 62:
		s.changeKey(x)
	case n < 84:
		x.do("api_key.rotated", audit.Metadata{"reason": "scheduled", "old_key_valid_hours": "24"}, s.one("api_key"))
	case n < 92:
		x.do("api_key.created", audit.Metadata{"outcome": "denied", "reason": "role_exceeds_own_permissions", "after_roles": "admin"},
			&thing{kind: "api_key", id: s.id(x.now), name: strings.ToLower(p.team) + "-admin"})
	default:
		t := s.ordinaryKey()
		t.gone = true
		x.do("api_key.deleted", audit.Metadata{"last_used_days_ago": strconv.Itoa(s.between(9, 240))}, t)
	}
}

func (s *sim) createKey(x *session, p *person) {
	name := strings.ToLower(p.team) + "-" + pick(s, []string{"grafana-annotations", "report-script", "deploy-hook", "oncall-export", "test"})
	if same := s.named("api_key", name); same.name == name {
		name += x.now.Format("-2006-01")
	}
	t := s.made("api_key", name, x.now)
	t.settings["roles"] = pick(s, []string{"viewer", "incidents_editor", "catalog_editor", "schedules_reader"})
	x.do("api_key.created", audit.Metadata{"after_roles": t.settings["roles"], "expires_in_days": pick(s, []string{"30", "90", "365", "never"})}, t)
}

func (s *sim) changeKey(x *session) {
	t := s.ordinaryKey()
	was := t.settings["roles"]
	t.settings["roles"] = toggle(was, pick(s, []string{"viewer", "incidents_editor", "catalog_editor", "schedules_reader"}))
	x.do("api_key.updated", audit.Metadata{"before_roles": was, "after_roles": t.settings["roles"]}, t)
}

// ordinaryKey returns a key that none of the programs needs.
func (s *sim) ordinaryKey() *thing {
	all := s.live("api_key")
	const programs = 7
	if len(all) <= programs {
		t := s.made("api_key", "postman-testing", s.before())
		t.settings["roles"] = "viewer"
		return t
	}
	return pick(s, all[programs:])
}

func (s *sim) manageSources(x *session, _ *person) {
	src := s.one("telemetry_data_source")
	switch n := s.rng.IntN(100); {
	case n < 45:
		x.do("telemetry_data_source.write_access_granted", audit.Metadata{"tools": "create_annotation,silence_alert"}, src)
	case n < 80:
		x.do("telemetry_data_source.write_access_revoked", audit.Metadata{"tools": "silence_alert"}, src)
	case n < 90 && len(s.live("telemetry_data_source")) < 8:
		s.installSource(x)
	default:
		s.uninstallSource(x)
	}
}

func (s *sim) installSource(x *session) {
	t := s.made("telemetry_data_source", pick(s, []string{"Honeycomb", "Tempo traces", "BigQuery", "Elastic APM"}), x.now)
	t.settings["host"] = "api." + strings.ToLower(strings.Fields(t.name)[0]) + ".example"
	x.do("telemetry_data_source.installed", audit.Metadata{"access_mode": "read"}, t)
}

// uninstallSource removes a data source that was tried during the year.
func (s *sim) uninstallSource(x *session) {
	live := s.live("telemetry_data_source")
	lasting := len(s.words["sources"])
	if len(live) > lasting {
		t := pick(s, live[lasting:])
		t.gone = true
		x.do("telemetry_data_source.uninstalled", audit.Metadata{"reason": "trial ended"}, t)
	}
}

// quarterly is the review in which administrators look at everything that is
// seldom touched, so that there is some of it in every year.
func (s *sim) quarterly(at time.Time) {
	admin := pick(s, s.team(at, "IT"))
	x := s.sit(admin, at)
	x.pace = 75
	s.mapRoles(x)
	s.mapSeats(x)
	s.setTimeZone(x)
	s.setSignIn(x, "qr_code_mobile_login_setting")
	s.setSignIn(x, "email_otp_login_setting")
	s.setSignIn(x, "email_otp_login_setting")
	s.changeAllowlist(x)
	s.timeOffPolicy(x)
	s.moreSeats(x, admin)
	s.install(x)
	s.uninstall(x)
	s.createKey(x, admin)
	s.changeKey(x)
	s.installSource(x)
	src := s.one("telemetry_data_source")
	x.do("telemetry_data_source.write_access_granted", audit.Metadata{"tools": "create_annotation"}, src)
	x.do("telemetry_data_source.write_access_revoked", audit.Metadata{"tools": "create_annotation"}, src)
	s.uninstallSource(x)
	secret, workflow := s.one("secret"), s.one("workflow")
	x.do("secret.reference_added", nil, secret, workflow)
	x.do("secret.reference_removed", nil, secret, workflow)
	x.do("connector_config.token_generated", audit.Metadata{"expires_at": x.now.AddDate(0, 3, 0).UTC().Format(time.RFC3339)}, s.one("connector_config"))
	s.reviewPrivate(at.Add(3 * time.Hour))
}

// reviewPrivate is the security team's part of the review: who still needs to
// see what.
func (s *sim) reviewPrivate(at time.Time) {
	p := pick(s, s.team(at, "Security"))
	x := s.sit(p, at)
	x.pace = 40
	for _, inc := range s.private[max(0, len(s.private)-4):] {
		s.attempt(x, inc, s.accessType(p, inc), "granted")
		x.do("private_incident.accessed_via_bot", audit.Metadata{"question": "summarise what we know so far"}, &inc.thing)
		other := pick(s, s.who(at, (*person).may))
		x.do("private_incident_membership.upgraded_to_direct", nil, &other.thing, &inc.thing)
		x.do("private_incident_membership.revoked", audit.Metadata{"reason": "no longer involved"}, &other.thing, &inc.thing)
		x.do("private_incident_team_membership.revoked", audit.Metadata{"reason": "incident closed"}, s.named("team", inc.team), &inc.thing)
	}
}

// manageSyncs looks after what is kept in step with other systems.
func (s *sim) manageSyncs(x *session, _ *person) {
	if s.odds(50) {
		x.do("connector_config.token_generated", audit.Metadata{"expires_at": x.now.Add(90 * 24 * time.Hour).UTC().Format(time.RFC3339)}, s.one("connector_config"))
		return
	}
	k := s.kind(pick(s, []string{"schedule_sync_rule", "schedule_sync_target", "holiday_user_feed"}))
	if s.odds(30) {
		x.create(k)
		return
	}
	x.update(k, s.one(k.name))
}
