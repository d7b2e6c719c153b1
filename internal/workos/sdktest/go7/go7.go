// Package go7 is the example of docs/migrating-from-workos.md for version 7 of
// the Go SDK and later.
package go7

import (
	"context"
	"time"

	"github.com/workos/workos-go/v7"
)

// Record records an event on the server at the address stele.
func Record(ctx context.Context, stele, key, organization string) error {
	// snippet: go7
	client := workos.NewClient(key, workos.WithBaseURL(stele))
	_, err := client.AuditLogs().CreateEvent(ctx, &workos.AuditLogsCreateEventParams{
		OrganizationID: organization,
		Event: &workos.AuditLogEvent{
			Action: "user.signed_in", OccurredAt: time.Now().Format(time.RFC3339Nano),
			Actor:   &workos.AuditLogEventActor{ID: "user_1", Type: "user"},
			Targets: []*workos.AuditLogEventTarget{{ID: "team_1", Type: "team"}},
			Context: &workos.AuditLogEventContext{Location: "203.0.113.7"},
		},
	})
	// end
	return err
}
