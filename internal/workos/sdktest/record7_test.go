package sdktest

import (
	"context"
	"time"

	"github.com/workos/workos-go/v7"
)

// recordGo7 is the example of docs/migrating-from-workos.md for Go from version 7 on: it
// records an event on the server at the address stele.
func recordGo7(ctx context.Context, stele, key, organization string) error {
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
