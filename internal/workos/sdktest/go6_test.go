package sdktest

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/workos/workos-go/v6/pkg/auditlogs"
	"github.com/workos/workos-go/v6/pkg/organizations"
	"github.com/workos/workos-go/v6/pkg/portal"
	"github.com/workos/workos-go/v6/pkg/workos_errors"
)

func client6(url, key string) *auditlogs.Client {
	return &auditlogs.Client{APIKey: key, EventsEndpoint: url + "/audit_logs/events", ExportsEndpoint: url + "/audit_logs/exports"}
}

// event6 is an event for the action of newAction. Versions 1 to 6 send empty
// names and nanoseconds in any zone.
func event6(action string) auditlogs.Event {
	return auditlogs.Event{
		Action: action, OccurredAt: time.Date(2026, 1, 15, 13, 0, 0, 123_456_789, time.FixedZone("", 3600)),
		Actor:   auditlogs.Actor{ID: "user_1", Type: "user"},
		Targets: []auditlogs.Target{{ID: "team_1", Type: "team"}},
	}
}

func opts6(organization string, event auditlogs.Event) auditlogs.CreateEventOpts {
	return auditlogs.CreateEventOpts{OrganizationID: organization, Event: event}
}

func TestGo6Event(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	if err := client6(stele.URL, rootKey).CreateEvent(t.Context(), opts6(org, event6(action))); err != nil {
		t.Fatal(err)
	}
	entries := recorded(t, org)
	if len(entries) != 1 {
		t.Fatalf("%d entries, want 1", len(entries))
	}
	if e := entries[0]; e.OccurredAt != "2026-01-15T12:00:00.123456789Z" || e.Actor.Name != "" || e.Context != nil {
		t.Errorf("recorded %+v", e)
	}
}

func TestGo6Idempotency(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	c := client6(stele.URL, rootKey)
	opts := opts6(org, event6(action))
	opts.IdempotencyKey = unique("key")
	for range 2 {
		if err := c.CreateEvent(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
	}
	opts.Event.Targets[0].ID = "other"
	if e := httpError6(t, c.CreateEvent(t.Context(), opts)); e.Code != http.StatusBadRequest ||
		!strings.Contains(e.Message, "Another idempotency key") {
		t.Errorf("another event under the key: %v", e)
	}
	if n := len(recorded(t, org)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestGo6LostAnswer(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	if err := client6(flaky(t), rootKey).CreateEvent(t.Context(), opts6(org, event6(action))); err != nil {
		t.Fatal(err)
	}
	if n := len(recorded(t, org)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func httpError6(t *testing.T, err error) workos_errors.HTTPError {
	t.Helper()
	e, ok := errors.AsType[workos_errors.HTTPError](err)
	if !ok {
		t.Fatalf("not an error of the API: %T %v", err, err)
	}
	return e
}

func TestGo6Errors(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	c := client6(stele.URL, rootKey)
	create := func(c *auditlogs.Client, org string, change func(*auditlogs.Event)) workos_errors.HTTPError {
		t.Helper()
		event := event6(action)
		change(&event)
		return httpError6(t, c.CreateEvent(t.Context(), opts6(org, event)))
	}
	same := func(*auditlogs.Event) {}
	if e := create(client6(stele.URL, "sk_wrong"), org, same); e.Code != http.StatusUnauthorized || e.Message != "Unauthorized" {
		t.Errorf("wrong key: %+v", e)
	}
	if e := create(c, "org_nobody", same); e.Code != http.StatusNotFound || e.Message != "Organization not found: 'org_nobody'." || e.RequestID == "" {
		t.Errorf("unknown organization: %+v", e)
	}
	e := create(c, org, func(e *auditlogs.Event) { e.Actor.ID = "" })
	if e.Code != http.StatusUnprocessableEntity ||
		!slices.Contains(e.FieldErrors, workos_errors.FieldError{Field: "event.actor.id", Code: "required"}) {
		t.Errorf("no actor id: %+v", e)
	}
	e = create(c, org, func(e *auditlogs.Event) { e.Metadata = map[string]any{"members": "three"} })
	if e.Code != http.StatusBadRequest || e.ErrorCode != "invalid_audit_log" || e.Message != "Invalid Audit Log event" ||
		!slices.Equal(e.Errors, []string{"must be number"}) {
		t.Errorf("wrong type: %+v", e)
	}
	e = create(c, org, func(e *auditlogs.Event) { e.Version = 7 })
	if e.Code != http.StatusBadRequest || !strings.HasSuffix(e.Message, "version '7' has not been configured in this environment") {
		t.Errorf("unregistered version: %+v", e)
	}
	if n := len(recorded(t, org)); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

func TestGo6Export(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	c := client6(stele.URL, rootKey)
	if err := c.CreateEvent(t.Context(), opts6(org, event6(action))); err != nil {
		t.Fatal(err)
	}
	made, err := c.CreateExport(t.Context(), auditlogs.CreateExportOpts{
		OrganizationID: org, RangeStart: "2026-01-01T00:00:00Z", RangeEnd: time.Now().Format(time.RFC3339Nano),
		Targets: []string{"team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := download(t, func() (state, url string) {
		got, err := c.GetExport(t.Context(), auditlogs.GetExportOpts{ExportID: made.ID})
		if err != nil {
			t.Fatal(err)
		}
		return string(got.State), got.URL
	})
	if len(rows) != 1 || rows[0]["action"] != action || rows[0]["target_type_1"] != "team" {
		t.Errorf("rows %v", rows)
	}
	_, err = c.GetExport(t.Context(), auditlogs.GetExportOpts{ExportID: "audit_log_export_nothing"})
	if e := httpError6(t, err); e.Code != http.StatusNotFound {
		t.Errorf("unknown export: %+v", e)
	}
}

func TestGo6OrganizationsAndPortal(t *testing.T) {
	orgs := &organizations.Client{APIKey: rootKey, Endpoint: stele.URL}
	made, err := orgs.CreateOrganization(t.Context(), organizations.CreateOrganizationOpts{Name: unique("Acme")})
	if err != nil {
		t.Fatal(err)
	}
	keep := "1"
	for _, metadata := range []map[string]*string{{"keep": &keep, "drop": &keep}, {"drop": nil}} {
		_, err := orgs.UpdateOrganization(t.Context(), organizations.UpdateOrganizationOpts{Organization: made.ID, Metadata: metadata})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := orgs.GetOrganization(t.Context(), organizations.GetOrganizationOpts{Organization: made.ID})
	if err != nil || got.Name != made.Name || len(got.Metadata) != 1 || got.Metadata["keep"] != "1" {
		t.Errorf("got %+v, %v", got, err)
	}
	visited := newOrganization(t) // the list has a second page, whichever test runs first
	list, err := orgs.ListOrganizations(t.Context(), organizations.ListOrganizationsOpts{Limit: 1})
	if err != nil || len(list.Data) != 1 || list.ListMetadata.After == "" {
		t.Errorf("list %+v, %v", list, err)
	}
	links := &portal.Client{APIKey: rootKey, Endpoint: stele.URL}
	link, err := links.GenerateLink(t.Context(), portal.GenerateLinkOpts{Organization: visited, Intent: portal.AuditLogs})
	if err != nil {
		t.Fatal(err)
	}
	if page := visit(t, link); !strings.Contains(page, "<html") {
		t.Errorf("the link leads to %s", page)
	}
	if err := orgs.DeleteOrganization(t.Context(), organizations.DeleteOrganizationOpts{Organization: made.ID}); err != nil {
		t.Fatal(err)
	}
	_, err = orgs.GetOrganization(t.Context(), organizations.GetOrganizationOpts{Organization: made.ID})
	if e := httpError6(t, err); e.Code != http.StatusNotFound {
		t.Errorf("deleted: %+v", e)
	}
}

func TestGo6Example(t *testing.T) {
	org := newOrganization(t)
	register(t, stele, "user.signed_in")
	if err := recordGo6(t.Context(), stele.URL, rootKey, org); err != nil {
		t.Fatal(err)
	}
	if entries := recorded(t, org); len(entries) != 1 || entries[0].Actor.Name != "Ada" {
		t.Errorf("recorded %+v", entries)
	}
}
