package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stelehq/stele/internal/schema"
)

// schemaCmd manages schemas of actions.
type schemaCmd struct {
	Apply schemaApplyCmd `cmd:"" help:"Register the schemas of a catalogue file; what is registered already stays."`
	Check schemaCheckCmd `cmd:"" help:"Say what applying a catalogue file would change; exits with 3 when it would break senders or readers."`
	List  schemaListCmd  `cmd:"" help:"List the registered actions."`
	Show  schemaShowCmd  `cmd:"" help:"Show every version of an action."`
}

// applyReport is what the API says of applying a catalogue.
type applyReport struct {
	Applied    bool             `json:"applied"`
	Breaking   bool             `json:"breaking"`
	Registered int              `json:"registered"`
	Unchanged  int              `json:"unchanged"`
	Findings   []schema.Finding `json:"findings"`
}

// catalogueArgs name a catalogue file.
type catalogueArgs struct {
	remote
	File string `arg:"" help:"Catalogue file (docs/schemas.md); - is standard input."`
}

// send reads the file, so that its faults are found before the server is asked,
// and sends it.
func (a *catalogueArgs) send(ctx context.Context, p *process, query string) (report applyReport, err error) {
	data, err := readInput(p, a.File)
	if err != nil {
		return report, err
	}
	catalogue, err := schema.ParseCatalogue(data)
	if err != nil {
		return report, fmt.Errorf("%s: %w", a.File, err)
	}
	if data, err = catalogue.Format(); err != nil {
		return report, err
	}
	return report, a.call(ctx, http.MethodPost, "/v1/schemas/apply"+query, json.RawMessage(data), &report)
}

func (a *catalogueArgs) print(p *process, report applyReport) error {
	if a.JSON {
		return printJSON(p.stdout, report)
	}
	for _, f := range report.Findings {
		fmt.Fprintf(p.stdout, "%s version %d: %s\n", printable(f.Action), f.Version, f.Status)
		for _, c := range f.Changes {
			mark := ""
			if c.Breaking {
				mark = "BREAKING: "
			}
			fmt.Fprintf(p.stdout, "  %s%s: %s\n", mark, printable(c.Path), printable(c.Message))
		}
	}
	return nil
}

type schemaApplyCmd struct{ catalogueArgs }

// Run registers what is new.
func (c *schemaApplyCmd) Run(ctx context.Context, p *process) error {
	report, err := c.send(ctx, p, "")
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, report)
	}
	_, err = fmt.Fprintf(p.stdout, "%d versions registered, %d unchanged\n", report.Registered, report.Unchanged)
	return err
}

type schemaCheckCmd struct{ catalogueArgs }

// Run reports what would change; breaking changes make it exit with 3.
func (c *schemaCheckCmd) Run(ctx context.Context, p *process) error {
	report, err := c.send(ctx, p, "?dry_run=true")
	if err != nil {
		return err
	}
	if err := c.print(p, report); err != nil {
		return err
	}
	if report.Breaking {
		return &exitCodeError{exitUnsound, errors.New("the catalogue would break senders or readers, or cannot be applied")}
	}
	if !c.JSON {
		fmt.Fprintf(p.stdout, "%d versions would be registered, %d are unchanged; nothing breaks\n", report.Registered, report.Unchanged)
	}
	return nil
}

type schemaListCmd struct{ remote }

// Run lists the newest version of each action.
func (c *schemaListCmd) Run(ctx context.Context, p *process) error {
	query := url.Values{"limit": {"100"}}
	var rows [][]string
	for {
		var page struct {
			Schemas []schema.Schema `json:"schemas"`
			Next    string          `json:"next"`
			HasMore bool            `json:"has_more"`
		}
		if err := c.call(ctx, http.MethodGet, "/v1/schemas?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, s := range page.Schemas {
			if c.JSON {
				if err := printJSONLine(p.stdout, s); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []string{s.Action, strconv.Itoa(s.Version), s.Description})
		}
		if !page.HasMore {
			break
		}
		query.Set("cursor", page.Next)
	}
	if c.JSON {
		return nil
	}
	return table(p.stdout, []string{"ACTION", "VERSION", "DESCRIPTION"}, rows)
}

type schemaShowCmd struct {
	remote
	Action string `arg:"" help:"Action."`
}

// Run prints every version as JSON: a schema has no shorter form.
func (c *schemaShowCmd) Run(ctx context.Context, p *process) error {
	var answer json.RawMessage
	if err := c.call(ctx, http.MethodGet, "/v1/schemas/"+url.PathEscape(c.Action), nil, &answer); err != nil {
		return err
	}
	return printJSON(p.stdout, answer)
}
