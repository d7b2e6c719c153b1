package words_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/web/words"
)

func meta(t *testing.T, text string) audit.Metadata {
	t.Helper()
	m := audit.Metadata{}
	if text == "" {
		return m
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// TestMarks holds what is marked, and what is not.
func TestMarks(t *testing.T) {
	for _, c := range []struct{ action, meta, want string }{
		{"private_incident.access_attempted", `{"outcome":"denied"}`, "Denied"},
		{"private_incident.access_attempted", `{"outcome":"granted"}`, ""},
		{"telemetry_data_source.queried", `{"outcome":"error"}`, "Failed"},
		{"telemetry_data_source.requested", `{"response_status":"503"}`, "Failed"},
		{"telemetry_data_source.requested", `{"response_status":"200"}`, ""},
		{"telemetry_data_source.requested", `{"response_status":403}`, "Denied"},
		{"job.run", `{"success":false}`, "Failed"},
		{"job.run", `{"success":true,"error":null,"error_code":"0"}`, ""},
		{"job.run", `{"error":"no route"}`, "Failed"},
		{"job.run", `{"allowed":"false"}`, "Denied"},
		{"job.run", `{"Status":"Permission_Denied"}`, "Denied"},
		{"job.run", `{"status":"open"}`, ""},
		{"job.failed", "", "Failed"},
		{"audit_log.hold_created", "", "Legal hold"},
		{"audit_log.hold_ended", "", "Legal hold"},
		{"legal_hold.lifted", "", "Legal hold"},
		{"payment.hold_created", "", ""},
		{"call.hold_lifted", "", ""},
		{"audit_log.retention_changed", "", "Retention"},
		{"audit_log.retention_applied", "", "Retention"},
		{"subject.erased", "", "Deletion"},
		{"document.access_denied", "", "Denied"},
		{"access_request.denied", "", ""},
		{"user.login_failed", "", "Sign-in failed"},
		{"user.sign_in", `{"result":"failure"}`, "Sign-in failed"},
		{"user.logged_in", `{"outcome":"success"}`, ""},
		{"user.logged_in", `{"login_method":"sso"}`, ""},
		{"api_key.created", "", "New key"},
		{"api_key.created", `{"outcome":"failed"}`, "Failed"},
		{"api_key.rotated", "", "Key rotated"},
		{"api_key.deleted", "", "Deletion"},
		{"api_key.updated", `{"before_roles":"viewer","after_roles":"admin"}`, "Role change"},
		{"api_key.updated", `{"before_roles":"viewer","after_roles":"viewer"}`, ""},
		{"connector_config.token_generated", "", "New token"},
		{"secret.created", "", "New secret"},
		{"secret.reference_added", "", ""},
		{"foreign_key.created", "", ""},
		{"keyboard.created", "", ""},
		{"user.password_changed", "", "Password changed"},
		{"rbac_role.created", "", "Role change"},
		{"incident_role.created", "", ""},
		{"user.role_memberships_updated", "", "Role change"},
		{"scim_group.role_mappings_updated", "", "Role change"},
		{"private_incident_membership.granted", "", "Access granted"},
		{"private_incident_membership.revoked", "", "Access revoked"},
		{"telemetry_data_source.write_access_granted", "", "Access granted"},
		{"user.promoted", "", "Role change"},
		{"user.impersonated", "", "Impersonation"},
		{"user.mfa_disabled", "", "Security setting"},
		{"ip_allowlist.updated", "", "Security setting"},
		{"alert.scrubbed", "", "Deletion"},
		{"incident.updated", "", ""},
		{"", "", ""},
	} {
		e := audit.Event{Action: c.action, Metadata: meta(t, c.meta)}
		var got []string
		for _, m := range words.Marks(&e) {
			if m.Icon == "" || m.Name == "" || m.Tone == "" {
				t.Errorf("%s: the mark %+v is not complete", c.action, m)
			}
			got = append(got, m.Text)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s %s: marks %q, want %q", c.action, c.meta, got, c.want)
		}
	}
	hidden := audit.Event{Action: "a.created", Actor: audit.Actor{Name: "Ann \u202eevE"}}
	if m := words.Marks(&hidden); len(m) != 1 || m[0].Name != "hidden" {
		t.Errorf("marks of a name that turns its direction: %+v", m)
	}
	emoji := audit.Event{Action: "a.created", Actor: audit.Actor{Name: "👩\u200d💻 नी\u200dल"}}
	if m := words.Marks(&emoji); len(m) != 0 {
		t.Errorf("marks of a name with joiners: %+v", m)
	}
}

// TestChanges holds the ways in which metadata says what changed.
func TestChanges(t *testing.T) {
	for _, c := range []struct{ meta, want, used string }{
		{`{"before_role":"viewer","after_role":"admin","team":"core"}`, "role: viewer > admin", "after_role before_role"},
		{`{"old_name":"a","new_name":"b"}`, "name: a > b", "new_name old_name"},
		{`{"role_before":"a","role_after":"b"}`, "role: a > b", "role_after role_before"},
		{`{"gate_count_before":"3","gate_count_after":"4"}`, "gate_count: 3 > 4", "gate_count_after gate_count_before"},
		{`{"beforeRole":"a","afterRole":"b"}`, "role: a > b", "afterRole beforeRole"},
		{`{"previous_behaviour":"x","behaviour":"y"}`, "behaviour: x > y", "behaviour previous_behaviour"},
		{`{"previous_plan":"x","new_plan":"y"}`, "plan: x > y", "new_plan previous_plan"},
		{`{"before_a":"1","after_a":"1"}`, "=a", "after_a before_a"},
		{`{"after_a":"1"}`, "a: > 1", "after_a"},
		{`{"before":{"a":1,"b":true},"after":{"a":2,"b":true,"c":null}}`, "a: 1 > 2 | =b | =c", "after before"},
		{`{"before":"off","after":"on"}`, ": off > on", "after before"},
		{`{"from":"draft","to":"live"}`, ": draft > live", "from to"},
		{`{"from":"a@b.example","to":"c@d.example"}`, "", ""},
		{`{"from":"2026-01-01","to":"2026-02-01"}`, "", ""},
		{`{"role":{"from":"a","to":"b"}}`, "role: a > b", "role"},
		{`{"range":{"from":1}}`, "", ""},
		{`{"changes":{"name":{"old":"a","new":"b"},"size":[1,2]}}`, "name: a > b | size: 1 > 2", "changes"},
		{`{"changes":[{"field":"name","old":"a","new":"b"}]}`, "name: a > b", "changes"},
		{`{"changes":[{"field":"name","old":"a","new":"b"},7]}`, "", ""},
		{`{"changes":{"name":"b"}}`, "", ""},
		{`{"before_team_ids":"x,y","after_team_ids":"y, z"}`, "team_ids: -x +z =y", "after_team_ids before_team_ids"},
		{`{"before_values":["a","b"],"after_values":["b"]}`, "values: -a + =b", "after_values before_values"},
		{`{"before_values":"[\"a\"]","after_values":"[\"c\"]"}`, "values: -a +c =", "after_values before_values"},
		{`{"before_tags":["a","b"],"after_tags":["b","a"]}`, `tags: ["a","b"] > ["b","a"]`, "after_tags before_tags"},
		{`{"before_roles":"","after_roles":"admin"}`, "roles: - +admin =", "after_roles before_roles"},
		{`{"before_role":"","after_role":"admin"}`, "role: > admin", "after_role before_role"},
		{`{"before_a":null,"after_a":"x"}`, "a: > x", "after_a before_a"},
		{`{"newsletter":"x","oldest":"y","informed":"z","status":"b"}`, "", ""},
	} {
		set := words.Changes(meta(t, c.meta))
		var got []string
		for _, p := range set.Pairs {
			if p.List {
				got = append(got, fmt.Sprintf("%s: -%s +%s =%s", p.Field, strings.Join(p.Removed, ","), strings.Join(p.Added, ","), strings.Join(p.Kept, ",")))
				continue
			}
			text := p.Field + ":"
			if p.Had && p.Before != "" {
				text += " " + p.Before
			}
			got = append(got, text+" > "+p.After)
		}
		for _, s := range set.Same {
			got = append(got, "="+s.Field)
		}
		if d := cmp.Diff(c.want, strings.Join(got, " | ")); d != "" {
			t.Errorf("%s: (-want +got)\n%s", c.meta, d)
		}
		for key := range strings.FieldsSeq(c.used) {
			if !set.Used[key] {
				t.Errorf("%s: %s is not used", c.meta, key)
			}
			delete(set.Used, key)
		}
		if len(set.Used) > 0 {
			t.Errorf("%s: also used %v", c.meta, set.Used)
		}
	}
}

// TestUserAgents holds how clients are named.
func TestUserAgents(t *testing.T) {
	const chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"
	for text, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + chrome + " Safari/537.36":                                                                  "Chrome 142, Windows 10 or later, browser",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + chrome + " Safari/537.36 Edg/142.0.0.0":                                                    "Edge 142, Windows 10 or later, browser",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15":                   "Safari 26.1, macOS, browser",
		"Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0":                                                                  "Firefox 115, Linux x86_64, browser",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1": "Safari 18.2, iOS 18.2, phone",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                                                "Googlebot 2.1, , bot",
		"curl/8.5.0":                             "curl 8.5.0, , program",
		"python-requests/2.31.0":                 "python-requests 2.31.0, , program",
		"terraform-provider-x/v1.4 (linux; go)":  "terraform-provider-x 1.4, Linux, program",
		"":                                       "unknown",
		"hello":                                  "unknown",
		"<script>alert(1)</script>/1":            "unknown",
		"Mozilla/5.0":                            "unknown",
		"\u202e/1":                               "unknown",
		strings.Repeat("Mozilla/5.0 (a; ", 3000): "unknown",
	} {
		got := "unknown"
		if c, ok := words.ReadUserAgent(text); ok {
			got = c.Program + ", " + c.System + ", " + c.Kind
		}
		if got != want {
			t.Errorf("%.80s: %q, want %q", text, got, want)
		}
	}
}

// FuzzUserAgent holds that nothing a client sends breaks the reader.
func FuzzUserAgent(f *testing.F) {
	f.Add("Mozilla/5.0 (;;;) /// Version/")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := words.ReadUserAgent(text)
		if ok && (c.Program == "" || c.Kind == "" || len(c.Program) > 200) {
			t.Errorf("%q: %+v", text, c)
		}
	})
}

// TestAgo holds how times are told.
func TestAgo(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, zone)
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{-2 * time.Hour, "today 14:00"},
		{-time.Second, "just now"},
		{9 * time.Second, "just now"},
		{59 * time.Second, "59 s ago"},
		{time.Minute, "1 min ago"},
		{59*time.Minute + 59*time.Second, "59 min ago"},
		{time.Hour, "today 11:00"},
		{13 * time.Hour, "yesterday 23:00"},
		{12 * time.Hour, "today 00:00"},
		{36*time.Hour + time.Minute, "8 Mar 23:59"},
		{80 * 24 * time.Hour, "20 Dec 2025"},
	} {
		if got := words.Ago(now.Add(-c.ago), now, zone); got != c.want {
			t.Errorf("%v ago: %q, want %q", c.ago, got, c.want)
		}
	}
}
