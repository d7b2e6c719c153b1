package audit_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/stelehq/stele/audit"
)

func ExampleParseQuery() {
	q, err := audit.ParseQuery(`"dev key" actor:u1 action:api_key.* actor:u2 -location:10.0.0.1 after:2026-01-01T01:00:00+01:00`)
	fmt.Println(q, err)
	_, err = audit.ParseQuery("acton:api_key.*")
	fmt.Println(err)
	// Output:
	// action:api_key.* actor.id:u1 actor.id:u2 -location:10.0.0.1 "dev key" after:2026-01-01 <nil>
	// character 1: unknown field "acton"; did you mean "action"? (to find the text itself, quote the whole)
}

func ExampleClient_Record() {
	client := audit.NewClient("https://audit.example.com", "sk_…")
	receipt, err := client.Record(context.Background(), "org_1", audit.Event{
		Action:     "api_key.created",
		OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
		Actor:      audit.Actor{Type: "user", ID: "01G0J1F3GQ", Name: "Ada Lovelace"},
		Targets:    []audit.Target{{Type: "api_key", ID: "01G1", Name: "Dev key"}},
		Context:    audit.Context{Location: "203.0.113.7"},
		Metadata:   audit.Metadata{"after_roles": []any{"viewer"}},
	})
	if err != nil {
		fmt.Println("not recorded:", err)
		return
	}
	fmt.Println("recorded as", receipt.ID)
}

// A proof that was saved as a file is checked with the server's verifier key, and
// nothing else.
func ExampleProof_Verify() {
	saved, key := readFiles()
	verifier, err := audit.NewVerifier(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := audit.ParseProof(saved)
	if err != nil {
		fmt.Println(err)
		return
	}
	checkpoint, err := proof.Verify(verifier)
	if err != nil {
		fmt.Println("not as it was recorded:", err)
		return
	}
	fmt.Printf("%s is entry %d of the %d in %s\n", proof.Entry.Action, proof.Entry.Seq, checkpoint.Size, checkpoint.Origin)
	// Output: api_key.created is entry 3 of the 9 in audit.example.com/org_1
}

// Recording an event, as the README shows it.
func Example_readme() {
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
		fmt.Println(err)
		return
	}
	fmt.Println(recorded.ID, recorded.Seq)
}
