package sdktest

import (
	"context"
	"time"

	"github.com/workos/workos-go/v6/pkg/auditlogs"
)

// recordGo6 is the example of docs/migrating-from-workos.md for Go up to version 6: it
// records an event on the server at the address stele.
func recordGo6(ctx context.Context, stele, key, organization string) error {
	// snippet: go6
	client := &auditlogs.Client{
		APIKey:          key,
		EventsEndpoint:  stele + "/audit_logs/events", // whole addresses, not a base
		ExportsEndpoint: stele + "/audit_logs/exports",
	}
	err := client.CreateEvent(ctx, auditlogs.CreateEventOpts{
		OrganizationID: organization,
		Event: auditlogs.Event{
			Action: "user.signed_in", OccurredAt: time.Now(),
			Actor:   auditlogs.Actor{ID: "user_1", Type: "user", Name: "Ada"},
			Targets: []auditlogs.Target{{ID: "team_1", Type: "team"}},
			Context: auditlogs.Context{Location: "203.0.113.7"},
		},
	})
	// end
	return err
}
