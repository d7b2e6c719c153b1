package sdktest

import (
	"testing"

	"github.com/workos/workos-go/v4/pkg/auditlogs"
)

// TestGo4 runs a version that neither tries again nor makes idempotency keys.
func TestGo4(t *testing.T) {
	org, action := newOrganization(t), newAction(t)
	c := &auditlogs.Client{APIKey: rootKey, EventsEndpoint: stele.URL + "/audit_logs/events", ExportsEndpoint: stele.URL + "/audit_logs/exports"}
	event := auditlogs.Event{
		Action: action, Actor: auditlogs.Actor{ID: "user_1", Type: "user"},
		Targets: []auditlogs.Target{{ID: "team_1", Type: "team"}}, Context: auditlogs.Context{Location: "203.0.113.7"},
	}
	for range 2 {
		if err := c.CreateEvent(t.Context(), auditlogs.CreateEventOpts{OrganizationID: org, Event: event}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(recorded(t, org)); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
	made, err := c.CreateExport(t.Context(), auditlogs.CreateExportOpts{OrganizationID: org, RangeStart: "2020-01-01", RangeEnd: "2261-01-01"})
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
	if len(rows) != 2 {
		t.Errorf("rows %v", rows)
	}
}
