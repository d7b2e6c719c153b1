package workos_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/catalog"
)

func TestCreateEvent(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	s.send("org_1", "team.updated", `"occurred_at":"2026-01-15T13:00:00.123456789+01:00","metadata":{"members":3,"is-default":true,"note":"=SUM(A1)"},
		"actor":{"id":"user_1","type":"user","name":"Ada","metadata":{"role":"admin"},"email":"ignored"},
		"targets":[{"id":"team 1/2","type":"team","name":"","metadata":{"size":3}}],
		"context":{"location":"203.0.113.7","user_agent":"curl/8"}`)
	got := s.entries("org_1")
	if len(got) != 1 {
		t.Fatalf("%d entries", len(got))
	}
	want := audit.Event{
		Action: "team.updated", Version: 1, OccurredAt: time.Date(2026, 1, 15, 12, 0, 0, 123456789, time.UTC),
		Actor:    audit.Actor{Type: "user", ID: "user_1", Name: "Ada", Metadata: audit.Metadata{"role": "admin"}},
		Targets:  []audit.Target{{Type: "team", ID: "team 1/2", Metadata: audit.Metadata{"size": 3.0}}},
		Context:  audit.Context{Location: "203.0.113.7", UserAgent: "curl/8"},
		Metadata: audit.Metadata{"members": 3.0, "is-default": true, "note": "=SUM(A1)"},
	}
	if diff := cmp.Diff(want, got[0].Event); diff != "" || got[0].Schema != "" {
		t.Errorf("schema %q (-want +got)\n%s", got[0].Schema, diff)
	}
}

// TestOrdinaryEntry finds an event recorded here as the native API and the log's
// proofs do any other.
func TestOrdinaryEntry(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	for i := range 5 {
		s.send("org_1", "team.updated", fmt.Sprintf(`"metadata":{"members":%d}`, i))
	}
	verifier, err := audit.NewVerifier(s.Ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	entries := s.entries("org_1")
	for i, e := range entries {
		proof, err := s.Ledger.Prove(t.Context(), "org_1", uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(verifier); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if diff := cmp.Diff(e, proof.Entry); diff != "" {
			t.Errorf("entry %d (-recorded +proved)\n%s", i, diff)
		}
	}
	var found struct{ Entries []struct{ ID string } }
	a, err := s.try(rootKey, "GET", "/v1/organizations/org_1/events?q=metadata.members:3", "")
	if err != nil {
		t.Fatal(err)
	}
	if a.ok(t, 200, &found); len(found.Entries) != 1 || found.Entries[0].ID != entries[3].ID {
		t.Errorf("found %+v, want %s", found.Entries, entries[3].ID)
	}
}

func TestCreateEventRefused(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	post := func(body string) answer {
		t.Helper()
		return s.ask("POST", "/audit_logs/events", body)
	}
	post(eventBody("org_nobody", "team.updated", "")).want(t, 404, `{"message":"Organization not found: 'org_nobody'."}`)
	post(eventBody("../1", "team.updated", "")).want(t, 404, `{"message":"Organization not found: '../1'."}`)
	post(eventBody("org_1", "team.updated", `"actor":{"type":"user"}`)).want(t, 422, `{"message":"Validation failed.",
		"errors":[{"code":"required","field":"event.actor.id","message":"is required"}]}`)
	post(`{}`).want(t, 422, `{"message":"Validation failed.","errors":[
		{"code":"required","field":"organization_id","message":"is required"},
		{"code":"required","field":"event","message":"is required"}]}`)
	for body, status := range map[string]int{
		``:        400,
		`{"event`: 400,
		`[]`:      400,
		eventBody("org_1", "team.updated", `"metadata":{"members":9007199254740993}`):                                                                                        422, // not exact
		eventBody("org_1", "team.updated", `"occurred_at":"9999-01-01T00:00:00Z"`):                                                                                           422,
		eventBody("org_1", "team.updated", `"occurred_at":"2026-02-30T00:00:00Z"`):                                                                                           422,
		eventBody("org_1", "team.updated", `"occurred_at":"2026-01-15T12:00:00.1234567891Z"`):                                                                                422,
		eventBody("org_1", "team.updated", `"actor":{"id":"a\u0000b","type":"user"}`):                                                                                        422,
		eventBody("org_1", "team.updated", `"targets":[`+strings.Repeat(`{"id":"t","type":"team","name":"`+strings.Repeat("x", 8<<10)+`"},`, 9)+`{"id":"t","type":"team"}]`): 413,
		`{"filler":"` + strings.Repeat("x", 200<<10) + `"}`:                                                                                                                  413,
	} {
		a := post(body)
		if got, message := a.message(t); got != status || message == "" {
			t.Errorf("%.80s: %d %s, want %d", body, got, a.text, status)
		}
	}
	s.wantEntries("org_1", 0)
}

func TestSchemaViolation(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	send := func(extra string) answer {
		t.Helper()
		return s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", extra))
	}
	send(`"metadata":{"members":"three"}`).want(t, 400, `{"message":"Invalid Audit Log event","code":"invalid_audit_log","errors":[
		{"instancePath":"/metadata/members","schemaPath":"#/properties/metadata/properties/members/type","keyword":"type",
		 "params":{"type":"number"},"message":"must be number"}]}`)
	send(`"targets":[{"id":"t","type":"team","metadata":{"size":"big"}},{"id":"d","type":"doc"}]`).want(t, 400, `{
		"message":"Invalid Audit Log event","code":"invalid_audit_log","errors":[
		{"instancePath":"/targets/0/metadata/size","keyword":"type","message":"must be number","params":{"type":"number"},
		 "schemaPath":"#/properties/targets/allOf/0/contains/properties/metadata/properties/size/type"},
		{"instancePath":"/targets/1/type","keyword":"enum","message":"must be equal to one of the allowed values",
		 "params":{"allowedValues":["team"]},"schemaPath":"#/properties/targets/items/properties/type/enum"}]}`)
	send(`"targets":[]`).want(t, 400, `{"message":"Invalid Audit Log event","code":"invalid_audit_log","errors":[
		{"instancePath":"/targets","schemaPath":"#/properties/targets/allOf/0/contains","keyword":"contains",
		 "params":{"minContains":1},"message":"must contain at least 1 valid item(s)"}]}`)
	send(`"metadata":{"a.b":1,"c":"`+strings.Repeat("x", 501)+`"}`).want(t, 400, `{
		"message":"Invalid Audit Log event","code":"invalid_audit_log","errors":[
		{"instancePath":"/metadata","keyword":"pattern","params":{"pattern":"^[a-zA-Z0-9_-]{0,40}$"},
		 "schemaPath":"#/properties/metadata/propertyNames/pattern",
		 "message":"property name 'a.b' must match pattern \"^[a-zA-Z0-9_-]{0,40}$\""},
		{"instancePath":"/metadata/c","keyword":"maxLength","params":{"limit":500},
		 "schemaPath":"#/properties/metadata/additionalProperties/maxLength","message":"must NOT have more than 500 characters"}]}`)
	s.wantEntries("org_1", 0)
	send(`"metadata":{"undeclared":"passes","members":1},"targets":[{"id":"1","type":"team"},{"id":"2","type":"team"}]`).
		want(t, 201, `{"success":true}`)
}

func TestUnregistered(t *testing.T) {
	for _, mode := range []string{"strict", "warn", "open"} {
		t.Run(mode, func(t *testing.T) {
			s := open(t, func(c *app.Config) { c.SchemaMode = mode })
			s.organization(catalog.Organization{ID: "org_1"})
			s.action("team.updated")
			refused := func(action, extra, version string) {
				t.Helper()
				s.ask("POST", "/audit_logs/events", eventBody("org_1", action, extra)).want(t, 400, `{
					"message":"Invalid Audit Log event: event '`+action+`', version '`+version+`' has not been configured in this environment",
					"code":"invalid_audit_log","errors":[]}`)
			}
			refused("team.updated", `"version":0`, "0")
			refused("team.updated", `"version":65536`, "65536")
			if mode != "open" {
				refused("team.deleted", ``, "1")
				refused("team.updated", `"version":2`, "2")
				s.wantEntries("org_1", 0)
				return
			}
			s.send("org_1", "team.deleted", ``)
			s.send("org_1", "team.updated", `"version":2,"targets":[]`)
			entries := s.entries("org_1")
			if len(entries) != 2 || entries[0].Schema != "" || entries[1].Version != 2 {
				t.Errorf("recorded %+v", entries)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	s.ask("POST", "/audit_logs/actions/team.updated/schemas", `{"targets":[{"type":"group"}]}`).ok(t, 201, new(any))
	s.send("org_1", "team.updated", ``) // version 1, although there is a newer one
	s.send("org_1", "team.updated", `"version":2,"targets":[{"id":"g","type":"group"}]`)
	if a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", `"version":2`)); a.status != 400 {
		t.Errorf("a team in version 2: %d %s", a.status, a.text)
	}
	if e := s.entries("org_1"); len(e) != 2 || e[0].Version != 1 || e[1].Version != 2 {
		t.Errorf("recorded %+v", e)
	}
}

func TestIdempotency(t *testing.T) {
	s := open(t, nil)
	for _, id := range []string{"org_1", "org_2"} {
		s.organization(catalog.Organization{ID: id})
	}
	s.action("team.updated")
	const key = "Idempotency-Key: k1"

	// An answer that is an error is not remembered: the corrected event counts.
	if a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", `"version":9`), key); a.status != 400 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	s.send("org_1", "team.updated", "", key)
	s.send("org_1", "team.updated", "", key)
	s.send("org_1", "team.updated", `"occurred_at":"2026-01-15T13:00:00.123+01:00","version":1,"metadata":null`, key) // in other words
	s.wantEntries("org_1", 1)

	s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", `"metadata":{"members":1}`), key).want(t, 400,
		`{"message":"Another idempotency key (k1) with different request parameters was found. Please use a different idempotency key."}`)
	s.wantEntries("org_1", 1)

	// The key is the organization's.
	s.send("org_2", "team.updated", `"metadata":{"members":1}`, key)
	s.wantEntries("org_2", 1)

	// No key, no comparison; an empty one is none.
	s.send("org_2", "team.updated", "")
	s.send("org_2", "team.updated", "", "Idempotency-Key: ")
	s.wantEntries("org_2", 3)

	long := "Idempotency-Key: " + strings.Repeat("k", 256)
	if a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", ""), long); a.status != 400 {
		t.Errorf("a key of 256 bytes: %d %s", a.status, a.text)
	}
	if a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", ""), "Idempotency-Key: \xff"); a.status != 201 {
		t.Errorf("a key that is not UTF-8: %d %s", a.status, a.text)
	}
	if a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", `"version":1,"metadata":{"members":7}`), "Idempotency-Key: \xff"); a.status != 400 {
		t.Errorf("that key again: %d %s", a.status, a.text)
	}
}

// TestIdempotencyKeyTwice sends two keys, of which no one is the key.
func TestIdempotencyKeyTwice(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/audit_logs/events", strings.NewReader(eventBody("org_1", "team.updated", "")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + rootKey}, "Content-Type": {"application/json"}, "Idempotency-Key": {"a", "b"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer{status: res.StatusCode, text: string(text)}.want(t, 400, `{"message":"The Idempotency-Key header is given more than once."}`)
	s.wantEntries("org_1", 0)
}

// TestIdempotencyWindow lets the key expire.
func TestIdempotencyWindow(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	s.send("org_1", "team.updated", "", "Idempotency-Key: k")
	s.pass(23 * time.Hour)
	s.send("org_1", "team.updated", "", "Idempotency-Key: k")
	s.wantEntries("org_1", 1)
}

func TestIdempotencyConcurrent(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			key := fmt.Sprintf("Idempotency-Key: k%d", i%2)
			a, err := s.try(rootKey, "POST", "/audit_logs/events", eventBody("org_1", "team.updated", ""), key)
			if err != nil || a.status != 201 || a.text != `{"success":true}` {
				t.Errorf("%d %s %v", a.status, a.text, err)
			}
		})
	}
	clients.Wait()
	s.wantEntries("org_1", 2)
}

func TestEventStates(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	s.action("team.updated")
	s.setState(catalog.StateInactive)
	s.send("org_1", "team.updated", "")
	s.setState(catalog.StateDisabled)
	a := s.ask("POST", "/audit_logs/events", eventBody("org_1", "team.updated", ""))
	if status, message := a.message(t); status != 403 || !strings.Contains(message, "disabled") {
		t.Errorf("disabled: %d %s", a.status, a.text)
	}
	s.wantEntries("org_1", 1)
}
