package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

// schemaCmd manages schemas of actions.
type schemaCmd struct {
	Apply schemaApplyCmd `cmd:"" help:"Register the schemas of a catalogue file; what is registered already stays."`
	Check schemaCheckCmd `cmd:"" help:"Say what applying a catalogue file would change; exits with 3 when it would break senders or readers."`
	List  schemaListCmd  `cmd:"" help:"List the registered actions."`
	Show  schemaShowCmd  `cmd:"" help:"Show every version of an action."`
}

// catalogueArgs name a catalogue file.
type catalogueArgs struct {
	remote
	File string `arg:"" help:"Catalogue file (docs/schemas.md); - is standard input."`
}

// send reads the file, so that its faults are found before the server is asked,
// and sends it.
func (a *catalogueArgs) send(ctx context.Context, p *process, dryRun bool) (*audit.SchemaReport, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	data, err := readInput(p, a.File)
	if err != nil {
		return nil, err
	}
	catalogue, err := schema.ParseCatalogue(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.File, err)
	}
	if data, err = catalogue.Format(); err != nil {
		return nil, err
	}
	return client.ApplySchemas(ctx, data, dryRun)
}

func (a *catalogueArgs) print(p *process, report *audit.SchemaReport) error {
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
	report, err := c.send(ctx, p, false)
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
	report, err := c.send(ctx, p, true)
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
	client, err := c.client()
	if err != nil {
		return err
	}
	row := func(s *audit.Schema) []string { return []string{s.Action, strconv.Itoa(s.Version), s.Description} }
	return show(p, &c.remote, client.Schemas(ctx, audit.SchemaOptions{}), []string{"ACTION", "VERSION", "DESCRIPTION"}, row)
}

type schemaShowCmd struct {
	remote
	Action string `arg:"" help:"Action."`
}

// Run prints every version as JSON: a schema has no shorter form.
func (c *schemaShowCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	found := false
	for s, err := range client.Schemas(ctx, audit.SchemaOptions{Action: c.Action, AllVersions: true}) {
		if err != nil {
			return err
		}
		found = true
		if err := printJSON(p.stdout, s); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no schema of the action %q is registered", c.Action)
	}
	return nil
}
