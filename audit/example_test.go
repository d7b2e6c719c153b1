package audit_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/stelehq/stele/audit"
)

// Recording an event, as the README shows it.
func ExampleClient_Record() {
	ctx := context.Background()

	client := audit.NewClient("http://127.0.0.1:8420", os.Getenv("STELE_API_KEY"))
	recorded, err := client.Record(ctx, "acme", audit.Event{
		Action:     "api_key.created",
		OccurredAt: time.Now(),
		Actor:      audit.Actor{Type: "user", ID: "u_17", Name: "Ada"},
		Targets:    []audit.Target{{Type: "api_key", ID: "k_3", Name: "deploy"}},
		Context:    audit.Context{Location: "203.0.113.7"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(recorded.ID, recorded.Seq)
}

// Reading a filter as people write it.
func ExampleParseQuery() {
	q, err := audit.ParseQuery(`action:api_key.* actor.type:user -location:10.0.0.1 "dev key"`)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range q.Filters {
		fmt.Println(f.Field, f.Values, f.Not)
	}
	// Output:
	// action [api_key.*] false
	// actor.type [user] false
	// location [10.0.0.1] true
	// text [dev key] false
}
