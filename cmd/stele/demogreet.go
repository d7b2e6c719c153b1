package main

import (
	"context"
	"fmt"

	"github.com/stelehq/stele/internal/app"
)

// greet says where the demo is and what to try: every line can be pasted.
func (c *demoCmd) greet(ctx context.Context, p *process, a *app.App, key string, made bool) error {
	org := app.DemoOrganizations(p.now())[0]
	head, err := a.Ledger.Head(ctx, org)
	if err != nil {
		return err
	}
	o, err := a.Catalog.Organization(ctx, org)
	if err != nil {
		return err
	}
	link, err := a.DemoLink(p.now())
	if err != nil {
		return err
	}
	how := "made in " + c.Data
	if !made {
		how = "of the last demo, in " + c.Data + " (new data: stele demo --fresh)"
	}
	_, err = fmt.Fprintf(p.stdout, demoText, a.PublicURL(), key, org, head.Size, o.Name, how, link)
	return err
}

// demoText is what a started demo prints. %[1]s is the address, %[2]s the key,
// %[3]s the organization's id, %[4]d its number of entries, %[5]s its name,
// %[6]s where the data comes from and %[7]s what opens the pages.
const demoText = `
Stele is running on %[1]s
with %[4]d entries of %[5]s, %[6]s.
Ctrl-C stops it.

Open it in a browser:

  %[7]s

Or try, in another terminal:

  export STELE_SERVER=%[1]s STELE_API_KEY=%[2]s

  # Who touched API keys?
  go run ./cmd/stele search --org %[3]s 'action:api_key.*'

  # What was refused, and to whom?
  go run ./cmd/stele search --org %[3]s 'metadata.outcome:denied'

  # Record an event, and find it again
  curl -s $STELE_SERVER/v1/organizations/%[3]s/events -H "Authorization: Bearer $STELE_API_KEY" \
    -H 'Content-Type: application/json' -d '{"action":"api_key.created","occurred_at":"'$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)'",
    "actor":{"type":"user","id":"me","name":"Me"},"targets":[{"type":"api_key","id":"k1","name":"My key"}],
    "context":{"location":"127.0.0.1"}}'
  curl -s "$STELE_SERVER/v1/organizations/%[3]s/events?limit=1" -H "Authorization: Bearer $STELE_API_KEY"

  # Take everything out as a spreadsheet
  go run ./cmd/stele export --org %[3]s --format csv --output audit-log.csv

  # Prove that nothing was altered or left out
  go run ./cmd/stele verify --org %[3]s

  # Take home evidence that proves itself, and check it without the server
  go run ./cmd/stele export --org %[3]s --format evidence --output evidence.zip 'action:api_key.*'
  go run ./cmd/stele verify evidence.zip

`
