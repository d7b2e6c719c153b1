package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
)

func sample() audit.Entry {
	at := time.Date(2026, 3, 1, 9, 30, 0, 123_000_000, time.UTC)
	return audit.Entry{
		ID: "01KJM2ZQ8V0000000000ABCDEF", OrganizationID: "org_1", Seq: 7, ReceivedAt: at.Add(time.Hour),
		Event: audit.Event{
			Action: "api_key.created", Version: 2, OccurredAt: at,
			Actor: audit.Actor{Type: "user", ID: "u1", Name: "Ada Lovelace", Metadata: audit.Metadata{"role": "admin"}},
			Targets: []audit.Target{
				{Type: "api_key", ID: "k1", Name: "Dev Key"},
				{Type: "team", ID: "t1", Name: "Straße", Metadata: audit.Metadata{"size": 3.0, "a.b": "one", "a": map[string]any{"b": "two"}}},
			},
			Context: audit.Context{Location: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11)"},
			Metadata: audit.Metadata{
				"team": "core", "count": 42.0, "big": 1e21, "on": true, "off": false, "nothing": nil, "empty": "",
				"roles": []any{"viewer", 7.0, []any{"nested", map[string]any{"name": "deep"}}},
				"a":     map[string]any{"b": map[string]any{"c": "abc"}, "b.c": "dotted"}, "only_a_key": map[string]any{},
				"int": 5, "json": json.Number("6.50"), "list": []string{"typed"},
			},
		},
	}
}

// TestMatch is the definition of search, case by case.
func TestMatch(t *testing.T) {
	for _, tt := range []struct{ finds, not string }{
		{finds: "", not: ""},
		// Exact fields, letter for letter.
		{"id:01KJM2ZQ8V0000000000ABCDEF", "id:01kjm2zq8v0000000000abcdef | id:01KJM2ZQ8V"},
		{"action:api_key.created", "action:API_KEY.CREATED | action:api_key | action:api_key.created."},
		{"action:api_key.* action:x", "action:user.* | action:API_KEY.*"},
		{"action:*", "-action:*"},
		{"action:api_key.created*", "action:api_key.created.*"},
		{"version:2", "version:1 | version:22"},
		{"actor.type:user", "actor.type:User | actor.type:use"},
		{"actor.id:u1", "actor.id:u | actor.id:U1"},
		{"actor:u1", "actor:u2"},
		{"target.type:team", "target.type:tea"},
		{"target:k1", "target:k"},
		{"target:t1", "target:T1"},
		{"location:203.0.113.7", "location:203.0.113"},
		{"-schema:unregistered", "schema:unregistered"},
		// Names and user agent: a part, ignoring case.
		{"actor.name:ada", "actor.name:grace"},
		{`actor.name:"A LOVE"`, "actor.name:adalovelace"},
		{"target.name:dev", "target.name:u1"},
		{"target.name:STRAßE", "target.name:strasse"},
		{"user_agent:mozilla", "user_agent:chrome"},
		// Conditions may be met by different targets.
		{"target.type:team target:k1", "target.type:team target:x"},
		// Metadata: canonical text, arrays transparent, dots both ways.
		{"metadata.team:core", "metadata.team:Core | metadata.team:cor | metadata.Team:core"},
		{"metadata.count:42", "metadata.count:42.0 | metadata.count:4"},
		{"metadata.big:1e+21", "metadata.big:1e21 | metadata.big:1000000000000000000000"},
		{"metadata.on:true metadata.off:false", "metadata.on:True | metadata.on:1 | metadata.off:0"},
		{`metadata.empty:""`, `metadata.team:"" | metadata.missing:"" | metadata.nothing:""`},
		{"", "metadata.nothing:null | metadata.only_a_key:{}"},
		{"metadata.roles:viewer", "metadata.roles:view"},
		{"metadata.roles:7", ""},
		{"metadata.roles:nested", "metadata.roles:deep"},
		{"metadata.roles.name:deep", "metadata.name:deep"},
		{"metadata.a.b.c:abc", ""},
		{"metadata.a.b.c:dotted", "metadata.a.b:dotted | metadata.b.c:dotted | metadata.a:dotted"},
		{"target.metadata.a.b:one", "metadata.a.b:one"},
		{"target.metadata.a.b:two", "actor.metadata.a.b:two"},
		{"target.metadata.size:3", "target.metadata.size:3.0"},
		{"actor.metadata.role:admin", "metadata.role:admin"},
		{"metadata.int:5 metadata.json:6.5 metadata.list:typed", "metadata.json:6.50"},
		// Free text: a part, ignoring case, in the fields named and no others.
		{"API_KEY.CR", "user"}, // actor.type
		{"u1", "u2"},
		{"lovelace", "lovelaced"},
		{"k1", "k2"},
		{`"dev key"`, `"key dev"`},
		{"203.0.113", "203.1"},
		{"x11", "x12"},
		{"core", "cores"},
		{"42", "43"},
		{"tru", "null"},
		{"admin", "only_a_key"}, // the key of an object
		{"dotted", "org_1"},
		{"deep", "roles"},
		{"typed", "unregistered"},
		{"01KJM2ZQ8V0000000000ABCDEF", "01KJM2ZQ8V0000000000ABCDE"},
		{"01kjm2zq8v0000000000abcdef", "01KJM2ZQ8V0000000000ABCDEF0"},
		{"ada dev core", "ada dev nope"},
		{"-nope -nada", "-nope -ada"},
		// Negation: none of the values.
		{"-actor:u2 -actor:u3", "-actor:u1"},
		{"-metadata.missing:x", "-metadata.roles:viewer"},
		{"-target:x", "-target:t1"},
		{"actor:u1 -action:user.*", "actor:u1 -action:api_key.*"},
		// Fields are AND, values of one are OR.
		{"actor:u1 actor:u2 target:k1 target:k2", "actor:u2 target:k1"},
		// Ranges are half-open.
		{"after:2026-03-01T09:30:00.123Z", "after:2026-03-01T09:30:00.123000001Z"},
		{"before:2026-03-01T09:30:00.123000001Z", "before:2026-03-01T09:30:00.123Z"},
		{"after:2026-03-01 before:2026-03-02", "after:2026-03-02"},
		{"received.after:2026-03-01T10:30:00.123Z", "received.after:2026-03-01T10:30:00.124Z"},
		{"received.before:2026-03-01T10:30:00.124Z", "received.before:2026-03-01T10:30:00.123Z"},
	} {
		e := sample()
		if q := parse(t, tt.finds); !q.Match(&e) {
			t.Errorf("%s does not match", tt.finds)
		}
		for text := range strings.SplitSeq(tt.not, "|") {
			if q := parse(t, text); text != "" && q.Match(&e) {
				t.Errorf("%s matches", text)
			}
		}
	}
}

func parse(t *testing.T, text string) audit.Query {
	t.Helper()
	q, err := audit.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestMatchAbsent: what an entry does not have matches no value, and every
// negation.
func TestMatchAbsent(t *testing.T) {
	e := audit.Entry{Event: audit.Event{Action: "a", Version: 1, Actor: audit.Actor{Type: "t", ID: "i"}}, Schema: audit.SchemaUnregistered}
	for _, term := range []string{
		"actor.name:x", "target.type:x", "target:x", "target.name:x", "location:x", "user_agent:x", "metadata.x:x", `metadata.x:""`,
		"actor.metadata.x:x", "target.metadata.x:x", "x",
	} {
		if q := parse(t, term); q.Match(&e) {
			t.Errorf("%s matches", term)
		}
		if q := parse(t, "-"+term); !q.Match(&e) {
			t.Errorf("-%s does not match", term)
		}
	}
	if !parse(t, "schema:unregistered").Match(&e) || parse(t, "-schema:unregistered").Match(&e) {
		t.Error("schema is wrong")
	}
}

// TestMatchStructs: what no text says.
func TestMatchStructs(t *testing.T) {
	e := sample()
	filter := func(values ...string) audit.Filter {
		return audit.Filter{Field: audit.FieldActorID, Values: values}
	}
	not := func(values ...string) audit.Filter {
		return audit.Filter{Field: audit.FieldActorID, Values: values, Not: true}
	}
	for _, tt := range []struct {
		filters []audit.Filter
		want    bool
	}{
		{nil, true},
		{[]audit.Filter{filter("u1"), filter("u2")}, true}, // one field, one condition
		{[]audit.Filter{not("u2"), not("u1")}, false},
		{[]audit.Filter{filter()}, false},
		{[]audit.Filter{not()}, true},
		{[]audit.Filter{{Field: "nope", Values: []string{"x"}}}, false},
	} {
		if q := (audit.Query{Filters: tt.filters}); q.Match(&e) != tt.want {
			t.Errorf("%v: %v", tt.filters, !tt.want)
		}
	}
}

// TestMatchDoesNotChange: matching leaves the query as it is.
func TestMatchDoesNotChange(t *testing.T) {
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{"z", "a"}}}}
	e := sample()
	q.Match(&e)
	if got := strings.Join(q.Filters[0].Values, " "); got != "z a" {
		t.Errorf("values are now %s", got)
	}
}
