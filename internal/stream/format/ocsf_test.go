package format_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/format/ocsf"
)

func schemas(t testing.TB) map[string]*ocsf.Schema {
	t.Helper()
	out := map[string]*ocsf.Schema{}
	for _, v := range ocsf.Versions() {
		s, err := ocsf.Load(v)
		if err != nil {
			t.Fatal(err)
		}
		out["ocsf-"+strings.TrimSuffix(v, ".0")] = s
	}
	return out
}

// TestOCSF holds random events to the tables, and reads everything back.
func TestOCSF(t *testing.T) {
	for name, schema := range schemas(t) {
		t.Run(name, func(t *testing.T) {
			f := get(t, name)
			rapid.Check(t, func(t *rapid.T) {
				in := inputs().Draw(t, "in")
				if rapid.Bool().Draw(t, "known action") {
					promotable(t, in)
				}
				out := encode(t, f, in)
				m := object(t, out)
				if faults := schema.Check(out); len(faults) > 0 {
					t.Fatalf("%s\n%s", strings.Join(faults, "\n"), out)
				}
				same(t, in, readOCSF(t, m), out)
			})
		})
	}
}

// promotable makes an event one that a promotion is for, often with targets that
// it needs.
func promotable(t *rapid.T, in *format.Input) {
	table := format.Promotions()
	p := rapid.SampledFrom(table).Draw(t, "promotion")
	e := in.Entry.Event.Audit()
	e.Action = rapid.SampledFrom([]string{"", "workspace.", "A:"}).Draw(t, "prefix") + p.Noun + "." + p.Segment
	types := rapid.SliceOfN(rapid.SampledFrom([]string{"user", "USER", "group", "team", "role", "policy", "organization", "x"}), 0, 4).Draw(t, "types")
	for i, typ := range types {
		if i < len(e.Targets) {
			e.Targets[i].Type = typ
		} else {
			e.Targets = append(e.Targets, audit.Target{Type: typ, ID: "id-" + typ})
		}
	}
	if rapid.Bool().Draw(t, "with role") {
		e.Metadata = audit.Metadata{"role": "admin", "permissions": []any{"a", 1.0, ""}, "outcome": "failed"}
	}
	entry := entryOf(t, &e, in.Entry.Seq, in.Entry.ReceivedTime())
	entry.Unregistered = in.Entry.Unregistered
	in.Entry = entry
}

func readOCSF(t *rapid.T, m map[string]any) *audit.Entry {
	api := number(t, m["class_uid"]) == 6003
	original := moment(t, at(m, "metadata", "original_time"))
	if ms := number(t, m["time"]); ms != original.UnixMilli() {
		t.Fatalf("time is %d, original_time %v", ms, original)
	}
	actor := audit.Actor{
		Type: text(at(m, "unmapped", "actor_type")), Metadata: metadata(t, at(m, "unmapped", "actor_metadata")),
		ID: text(at(m, "unmapped", "actor_id")), Name: text(at(m, "unmapped", "actor_name")),
	}
	if m["actor"] != nil {
		actor.ID, actor.Name = text(at(m, "actor", "user", "uid")), text(at(m, "actor", "user", "name"))
	}
	targets := partiesOf(t, at(m, "unmapped", "targets"))
	if list, _ := m["resources"].([]any); api {
		for _, r := range list {
			r, _ := r.(map[string]any)
			targets = append(targets, audit.Target{
				Type: text(r["type"]), ID: text(r["uid"]), Name: text(r["name"]), Metadata: metadata(t, r["data"]),
			})
		}
	}
	location := text(at(m, "unmapped", "location")) + text(at(m, "src_endpoint", "ip")) + text(at(m, "src_endpoint", "name"))
	return &audit.Entry{
		ID:             text(at(m, "metadata", "uid")),
		OrganizationID: text(at(m, "metadata", "tenant_uid")),
		Seq:            uint64(number(t, at(m, "metadata", "sequence"))),
		ReceivedAt:     time.UnixMilli(number(t, at(m, "metadata", "logged_time"))).UTC(),
		Schema:         text(at(m, "unmapped", "schema")),
		ErasedAt:       erasedAt(at(m, "unmapped", "erased_at")),
		Event: audit.Event{
			Action:     text(at(m, "metadata", "event_code")),
			Version:    int(number(t, at(m, "unmapped", "event_schema_version"))),
			OccurredAt: original,
			Actor:      actor,
			Targets:    targets,
			Context: audit.Context{
				Location: location, UserAgent: text(at(m, "unmapped", "user_agent")) + text(at(m, "http_request", "user_agent")),
			},
			Metadata: metadata(t, at(m, "unmapped", "metadata")),
		},
	}
}

// TestOCSFClasses says which class and activity actions get.
func TestOCSFClasses(t *testing.T) {
	user := audit.Target{Type: "user", ID: "u1", Name: "ada@example.com"}
	tests := []struct {
		name    string
		action  string
		targets []audit.Target
		meta    audit.Metadata
		want    map[string]int64 // by version; "" is every other one
	}{
		{"create", "incident_role.created", []audit.Target{{Type: "incident_role", ID: "1"}}, nil, map[string]int64{"": 600301}},
		{"read", "private_incident.accessed_via_bot", nil, nil, map[string]int64{"": 600302}},
		{"update", "user.role_memberships_updated", []audit.Target{user}, nil, map[string]int64{"": 600303}},
		{"delete", "nudge.deleted", nil, nil, map[string]int64{"": 600304}},
		{"other", "extension_connector.called", nil, nil, map[string]int64{"": 600399}},
		{"no verb at all", ".", nil, nil, map[string]int64{"": 600399}},
		{"account", "user.deactivated", []audit.Target{user}, nil, map[string]int64{"": 300105}},
		{"account without a user", "user.deactivated", nil, nil, map[string]int64{"": 600303}},
		{"sign-in", "user.logged_in", nil, nil, map[string]int64{"": 300201}},
		{"sign-in, upper case", "USER.Logged_In", nil, nil, map[string]int64{"": 300201}},
		{"rights", "role.granted", []audit.Target{user, {Type: "role", ID: "r", Name: "Admin"}}, nil, map[string]int64{"": 300501}},
		{"rights in metadata", "role.revoked", []audit.Target{user}, audit.Metadata{"role": "admin"}, map[string]int64{"": 300502}},
		{"rights, unnamed", "role.granted", []audit.Target{user}, audit.Metadata{"role": ""}, map[string]int64{"": 600301}},
		{"member", "team.member_added", []audit.Target{{Type: "team", ID: "t"}, user}, nil, map[string]int64{"": 300603}},
		{
			"group alone", "team.created",
			[]audit.Target{{Type: "team", ID: "t"}},
			nil,
			map[string]int64{"ocsf-1.1": 600301, "ocsf-1.3": 600301, "": 300606},
		},
		{"thing", "api_key.created", []audit.Target{{Type: "api_key", ID: "k"}}, nil, map[string]int64{"": 300401}},
		{
			"thing enabled", "policy.enabled",
			[]audit.Target{{Type: "policy", ID: "p"}},
			nil,
			map[string]int64{"ocsf-1.1": 600303, "": 300408},
		},
	}
	for name, schema := range schemas(t) {
		f := get(t, name)
		for _, tt := range tests {
			e := &audit.Event{
				Action: tt.action, OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
				Actor: audit.Actor{Type: "user", ID: "u0"}, Targets: tt.targets, Metadata: tt.meta,
			}
			out := f.Append(nil, &format.Input{Entry: entryOf(t, e, 7, time.UnixMilli(1)), Organization: "org_1"})
			if faults := schema.Check(out); len(faults) > 0 {
				t.Errorf("%s: %s: %s", name, tt.name, strings.Join(faults, "\n"))
			}
			want, ok := tt.want[name]
			if !ok {
				want = tt.want[""]
			}
			if got := number(t, object(t, out)["type_uid"]); got != want {
				t.Errorf("%s: %s: type_uid %d, want %d", name, tt.name, got, want)
			}
		}
	}
}

// TestOCSFWithoutPromotions is how Security Lake wants it: one class.
func TestOCSFWithoutPromotions(t *testing.T) {
	f, err := format.OCSF("1.8.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &audit.Event{Action: "user.logged_in", OccurredAt: time.UnixMilli(5), Actor: audit.Actor{Type: "user", ID: "u0"}}
	out := f.Append(nil, &format.Input{Entry: entryOf(t, e, 7, time.UnixMilli(1)), Organization: "org_1"})
	if got := number(t, object(t, out)["class_uid"]); got != 6003 {
		t.Errorf("class %d: %s", got, out)
	}
	if _, err := format.OCSF("1.5.0", nil); err == nil {
		t.Error("1.5.0 was accepted")
	}
	if _, err := format.OCSF("1.8.0", []format.Promotion{{Noun: "a", Segment: "b", Class: 1001, Activity: 1}}); err == nil {
		t.Error("a class that the mapping does not know was accepted")
	}
}
