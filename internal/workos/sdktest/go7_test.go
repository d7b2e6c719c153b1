package sdktest

import (
	"encoding/csv"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/workos/workos-go/v7"
)

func client7(url, key string) *workos.Client { return workos.NewClient(key, workos.WithBaseURL(url)) }

// event7 is an event for the action of newAction.
func event7(action string) *workos.AuditLogEvent {
	return &workos.AuditLogEvent{
		Action: action, OccurredAt: "2026-01-15T12:00:00.123Z",
		Actor:    &workos.AuditLogEventActor{ID: "user_1", Type: "user", Name: new("Ada"), Metadata: map[string]any{"role": "admin"}},
		Targets:  []*workos.AuditLogEventTarget{{ID: "team_1", Type: "team", Name: new("Core")}},
		Context:  &workos.AuditLogEventContext{Location: "203.0.113.7", UserAgent: new("suite/1")},
		Metadata: map[string]any{"members": 3, "note": "=SUM(A1)"},
	}
}

func params7(organization string, event *workos.AuditLogEvent) *workos.AuditLogsCreateEventParams {
	return &workos.AuditLogsCreateEventParams{OrganizationID: organization, Event: event}
}

func TestGo7Event(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	got, err := client7(stele.URL, rootKey).AuditLogs().CreateEvent(t.Context(), params7(org, event7(action)))
	if err != nil || !got.Success {
		t.Fatalf("create event: %+v, %v", got, err)
	}
	entries := recorded(t, org)
	if len(entries) != 1 {
		t.Fatalf("%d entries, want 1", len(entries))
	}
	e := entries[0]
	if e.Action != action || e.Version != 1 || e.OccurredAt != "2026-01-15T12:00:00.123Z" || e.Actor.Name != "Ada" ||
		e.Actor.Metadata["role"] != "admin" || e.Targets[0].ID != "team_1" || e.Context["user_agent"] != "suite/1" ||
		e.Metadata["members"] != 3.0 {
		t.Errorf("recorded %+v", e)
	}
}

func TestGo7Idempotency(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	logs := client7(stele.URL, rootKey).AuditLogs()
	key := workos.WithIdempotencyKey(unique("key"))
	for range 2 {
		if _, err := logs.CreateEvent(t.Context(), params7(org, event7(action)), key); err != nil {
			t.Fatal(err)
		}
	}
	other := event7(action)
	other.Targets[0].ID = "other"
	_, err := logs.CreateEvent(t.Context(), params7(org, other), key)
	api, ok := errors.AsType[*workos.APIError](err)
	if !ok || api.StatusCode != http.StatusBadRequest || !strings.Contains(api.Message, "Another idempotency key") {
		t.Errorf("another event under the key: %v", err)
	}
	if n := len(recorded(t, org)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestGo7LostAnswer(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	if _, err := client7(flaky(t), rootKey).AuditLogs().CreateEvent(t.Context(), params7(org, event7(action))); err != nil {
		t.Fatal(err)
	}
	if n := len(recorded(t, org)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func TestGo7Errors(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	logs := client7(stele.URL, rootKey).AuditLogs()

	_, err := client7(stele.URL, "sk_wrong").AuditLogs().CreateEvent(t.Context(), params7(org, event7(action)))
	if _, ok := errors.AsType[*workos.AuthenticationError](err); !ok {
		t.Errorf("wrong key: %T %v", err, err)
	}
	_, err = logs.CreateEvent(t.Context(), params7("org_nobody", event7(action)))
	if e, ok := errors.AsType[*workos.NotFoundError](err); !ok || e.Message != "Organization not found: 'org_nobody'." {
		t.Errorf("unknown organization: %T %v", err, err)
	}
	noActor := event7(action)
	noActor.Actor.ID = ""
	_, err = logs.CreateEvent(t.Context(), params7(org, noActor))
	if e, ok := errors.AsType[*workos.UnprocessableEntityError](err); !ok || e.Message != "Validation failed." ||
		!strings.Contains(e.RawBody, `"code":"required","field":"event.actor.id"`) {
		t.Errorf("no actor id: %T %v", err, err)
	}
	wrongType := event7(action)
	wrongType.Metadata["members"] = "three"
	_, err = logs.CreateEvent(t.Context(), params7(org, wrongType))
	if e, ok := errors.AsType[*workos.APIError](err); !ok || e.StatusCode != http.StatusBadRequest || e.Code != "invalid_audit_log" ||
		e.Message != "Invalid Audit Log event" || !strings.Contains(e.RawBody, `"/metadata/members"`) || e.RequestID == "" {
		t.Errorf("wrong type: %T %+v", err, err)
	}
	unregistered := event7("nobody.registered.this")
	_, err = logs.CreateEvent(t.Context(), params7(org, unregistered))
	if e, ok := errors.AsType[*workos.APIError](err); !ok || e.StatusCode != http.StatusBadRequest || e.Code != "invalid_audit_log" ||
		e.Message != "Invalid Audit Log event: event 'nobody.registered.this', version '1' has not been configured in this environment" {
		t.Errorf("unregistered action: %T %v", err, err)
	}
	if n := len(recorded(t, org)); n != 0 {
		t.Errorf("%d entries, want none", n)
	}
}

func TestGo7Schemas(t *testing.T) {
	logs := client7(stele.URL, rootKey).AuditLogs()
	action := unique("doc/a b") + ".updated"
	properties := map[string]any{"type": "object", "properties": map[string]any{"pages": map[string]any{"type": "number"}}}
	for version := 1; version <= 12; version++ {
		made, err := logs.CreateSchema(t.Context(), action, &workos.AuditLogsCreateSchemaParams{
			Actor:    &workos.AuditLogSchemaActor{Metadata: properties},
			Targets:  []*workos.AuditLogSchemaTarget{{Type: "document", Metadata: properties}},
			Metadata: properties,
		})
		if err != nil {
			t.Fatal(err)
		}
		if made.Version != version || made.CreatedAt == "" || made.Targets[0].Type != "document" || made.Actor == nil {
			t.Fatalf("version %d is %+v", version, made)
		}
	}
	var versions []int
	it := logs.ListActionSchemas(t.Context(), action, &workos.AuditLogsListActionSchemasParams{})
	for it.Next() {
		versions = append(versions, it.Current().Version)
	}
	if want := []int{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}; it.Err() != nil || !slices.Equal(versions, want) {
		t.Errorf("versions %v, %v", versions, it.Err())
	}
	missing := logs.ListActionSchemas(t.Context(), "no.such", &workos.AuditLogsListActionSchemasParams{})
	if missing.Next() || !isNotFound7(missing.Err()) {
		t.Errorf("unknown action: %v", missing.Err())
	}
	var latest *workos.AuditLogActionJSON
	actions := logs.ListActions(t.Context(), &workos.AuditLogsListActionsParams{})
	for actions.Next() {
		if a := actions.Current(); a.Name == action {
			latest = a
		}
	}
	if actions.Err() != nil || latest == nil || latest.Schema.Version != 12 || latest.CreatedAt == "" {
		t.Errorf("action %+v, %v", latest, actions.Err())
	}
}

func isNotFound7(err error) bool {
	_, ok := errors.AsType[*workos.NotFoundError](err)
	return ok
}

func TestGo7Export(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	logs := client7(stele.URL, rootKey).AuditLogs()
	second := event7(action)
	second.Actor = &workos.AuditLogEventActor{ID: "user_2", Type: "user", Name: new("Bob")}
	for _, e := range []*workos.AuditLogEvent{event7(action), second} {
		if _, err := logs.CreateEvent(t.Context(), params7(org, e)); err != nil {
			t.Fatal(err)
		}
	}
	made, err := logs.CreateExport(t.Context(), &workos.AuditLogsCreateExportParams{
		OrganizationID: org, RangeStart: "2026-01-01T00:00:00.000Z", RangeEnd: "2026-02-01T00:00:00.000Z",
		Actions: []string{action, "other"}, ActorIDs: []string{"user_1", "user_2"}, Targets: []string{"team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if made.State != workos.AuditLogExportJSONStatePending || made.URL != nil {
		t.Errorf("new export is %+v", made)
	}
	rows := download(t, func() (state, url string) {
		got, err := logs.GetExport(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.URL == nil {
			got.URL = new("")
		}
		return string(got.State), *got.URL
	})
	if len(rows) != 2 || rows[0]["actor_name"] != "Bob" || rows[1]["actor_name"] != "Ada" ||
		rows[1]["target_name_1"] != "Core" || rows[1]["metadata"] != `{"members":3,"note":"=SUM(A1)"}` {
		t.Errorf("rows %v", rows)
	}
	_, err = logs.CreateExport(t.Context(), &workos.AuditLogsCreateExportParams{
		OrganizationID: org, RangeStart: "2026-02-01T00:00:00.000Z", RangeEnd: "2026-01-01T00:00:00.000Z",
	})
	if e, ok := errors.AsType[*workos.APIError](err); !ok || e.StatusCode != http.StatusBadRequest ||
		e.Code != "invalid_audit_log_export_range_date" {
		t.Errorf("reversed range: %v", err)
	}
	if _, err := logs.GetExport(t.Context(), "audit_log_export_nothing"); !isNotFound7(err) {
		t.Errorf("unknown export: %v", err)
	}
}

// download waits until an export is ready, fetches its file and returns its rows
// by the names of the columns.
func download(t *testing.T, get func() (state, url string)) []map[string]string {
	t.Helper()
	var file string
	eventually(t, "export", func() bool {
		state, url := get()
		file = url
		return state == "ready"
	})
	path, _, _ := strings.Cut(file, "?")
	if !strings.HasSuffix(path, ".csv") {
		t.Errorf("the file is at %s", path)
	}
	lines, err := csv.NewReader(strings.NewReader(string(fetch(t, file)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := []map[string]string{}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, column := range lines[0] {
			row[column] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestGo7Retention(t *testing.T) {
	org := newOrganization(t)
	c := client7(stele.URL, rootKey)
	set, err := c.AuditLogs().UpdateOrganizationAuditLogsRetention(t.Context(), org,
		&workos.AuditLogsUpdateOrganizationAuditLogsRetentionParams{RetentionPeriodInDays: 30})
	if err != nil || *set.RetentionPeriodInDays != 30 {
		t.Fatalf("set: %+v, %v", set, err)
	}
	got, err := c.AuditLogs().GetOrganizationAuditLogsRetention(t.Context(), org)
	if err != nil || *got.RetentionPeriodInDays != 30 {
		t.Errorf("get: %+v, %v", got, err)
	}
	config, err := c.Organizations().GetAuditLogConfiguration(t.Context(), org)
	if err != nil || config.RetentionPeriodInDays != 30 || config.State != "active" || config.LogStream != nil || config.OrganizationID != org {
		t.Errorf("configuration: %+v, %v", config, err)
	}
	_, err = c.AuditLogs().UpdateOrganizationAuditLogsRetention(t.Context(), org,
		&workos.AuditLogsUpdateOrganizationAuditLogsRetentionParams{RetentionPeriodInDays: 31})
	if _, ok := errors.AsType[*workos.UnprocessableEntityError](err); !ok {
		t.Errorf("31 days: %v", err)
	}
	if _, err = c.AuditLogs().GetOrganizationAuditLogsRetention(t.Context(), "org_nobody"); !isNotFound7(err) {
		t.Errorf("unknown organization: %v", err)
	}
}

func TestGo7Organizations(t *testing.T) {
	orgs := client7(stele.URL, rootKey).Organizations()
	domain := strings.ToLower(unique("acme")) + ".example.com"
	external := unique("external")
	made, err := orgs.Create(t.Context(), &workos.OrganizationsCreateParams{
		Name: "Acme", ExternalID: &external, Metadata: map[string]string{"plan": "pro"},
		DomainData: []*workos.OrganizationDomainData{{Domain: domain, State: workos.OrganizationDomainDataStateVerified}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Domains) != 1 || made.Domains[0].Domain != domain || made.Metadata["plan"] != "pro" {
		t.Errorf("made %+v", made)
	}
	byExternal, err := orgs.GetByExternalID(t.Context(), external)
	if err != nil || byExternal.ID != made.ID {
		t.Errorf("by external id: %+v, %v", byExternal, err)
	}
	it := orgs.List(t.Context(), &workos.OrganizationsListParams{Domains: []string{domain}})
	if !it.Next() || it.Current().ID != made.ID || it.Next() || it.Err() != nil {
		t.Errorf("by domain: %v", it.Err())
	}
	updated, err := orgs.Update(t.Context(), made.ID, &workos.OrganizationsUpdateParams{Name: new("Acme Corp")})
	if err != nil || updated.Name != "Acme Corp" || *updated.ExternalID != external || len(updated.Domains) != 1 {
		t.Errorf("updated %+v, %v", updated, err)
	}
	_, err = orgs.Create(t.Context(), &workos.OrganizationsCreateParams{Name: "Other", ExternalID: &external})
	if e, ok := errors.AsType[*workos.APIError](err); !ok || e.StatusCode != http.StatusBadRequest || e.Code != "external_id_already_used" {
		t.Errorf("external id taken: %v", err)
	}
	if err := orgs.Delete(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := orgs.Get(t.Context(), made.ID); !isNotFound7(err) {
		t.Errorf("deleted: %v", err)
	}
}

func TestGo7PortalLink(t *testing.T) {
	org := newOrganization(t)
	intent := workos.GenerateLinkIntentAuditLogs
	link, err := client7(stele.URL, rootKey).AdminPortal().GenerateLink(t.Context(), &workos.AdminPortalGenerateLinkParams{
		Organization: org, Intent: &intent, ItContactEmails: []string{"it@example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if page := visit(t, link.Link); !strings.Contains(page, "<html") {
		t.Errorf("the link leads to %s", page)
	}
}

func TestGo7Example(t *testing.T) {
	org := newOrganization(t)
	register(t, stele, "user.signed_in")
	if err := recordGo7(t.Context(), stele.URL, rootKey, org); err != nil {
		t.Fatal(err)
	}
	if entries := recorded(t, org); len(entries) != 1 || entries[0].Action != "user.signed_in" {
		t.Errorf("recorded %+v", entries)
	}
}
