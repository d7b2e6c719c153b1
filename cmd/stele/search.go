package main

import (
	"context"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// queryArgs are the organization and the filter of a command that reads.
type queryArgs struct {
	Org   string   `help:"Organization." required:"" env:"STELE_ORG" placeholder:"ORG"`
	Query []string `arg:"" optional:"" help:"Filter, as in: action:api_key.* actor.type:user after:2026-01-01 -location:10.0.0.1"`
}

// parse reads the filter: the arguments, joined by spaces. A phrase needs its
// own quotes inside the shell's.
func (a *queryArgs) parse() (audit.Query, error) {
	q, err := audit.ParseQuery(strings.Join(a.Query, " "))
	if err != nil {
		return q, &exitCodeError{exitUsage, err}
	}
	return q, nil
}

type searchCmd struct {
	remote
	queryArgs
	Limit int  `help:"Largest number of entries." default:"50"`
	Asc   bool `help:"Oldest first; newest first otherwise."`
}

// Run prints the entries that match.
func (c *searchCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	q, err := c.parse()
	if err != nil {
		return err
	}
	var rows [][]string
	left := c.Limit
	opts := audit.SearchOptions{Ascending: c.Asc, Limit: min(max(left, 1), audit.MaxQueryLimit)}
	for e, err := range client.Entries(ctx, c.Org, q, opts) {
		if err != nil {
			return err
		}
		if c.JSON {
			if err := printJSONLine(p.stdout, e); err != nil {
				return err
			}
		} else {
			rows = append(rows, entryRow(e))
		}
		if left--; left <= 0 {
			break
		}
	}
	if c.JSON {
		return nil
	}
	return table(p.stdout, entryHeading(), rows)
}

func entryHeading() []string {
	return []string{"OCCURRED (UTC)", "ACTOR", "ACTION", "TARGETS", "LOCATION", "ID"}
}

func entryRow(e *audit.Entry) []string {
	var targets []string
	for _, t := range e.Targets {
		targets = append(targets, t.Type+" "+nameOr(t.Name, t.ID))
	}
	action := e.Action
	if outcome, ok := e.Metadata["outcome"].(string); ok && outcome != "success" {
		action += " [" + outcome + "]"
	}
	return []string{
		e.OccurredAt.UTC().Format(time.DateTime), e.Actor.Type + " " + nameOr(e.Actor.Name, e.Actor.ID),
		action, strings.Join(targets, ", "), e.Context.Location, e.ID,
	}
}

func nameOr(name, id string) string {
	if name != "" {
		return name
	}
	return id
}
