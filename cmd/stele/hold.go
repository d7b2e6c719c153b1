package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
)

// holdCmd manages legal holds.
type holdCmd struct {
	Create holdCreateCmd `cmd:"" help:"Make a legal hold: what it finds is neither removed nor erased."`
	List   holdListCmd   `cmd:"" help:"List legal holds."`
	Show   holdShowCmd   `cmd:"" help:"Show one legal hold."`
	Update holdUpdateCmd `cmd:"" help:"Change the name, reason or end of a legal hold."`
	Lift   holdLiftCmd   `cmd:"" help:"End a legal hold now."`
}

func holdHeading() []string {
	return []string{"ID", "STATE", "NAME", "HOLDS", "OWNER", "MADE", "ENDS", "REASON"}
}

func holdRow(h *audit.Hold) []string {
	what, ends, owner := h.Query, h.EndsAt, h.Owner.Name
	if what == "" {
		what = "every entry"
	}
	if owner == "" {
		owner = h.Owner.ID
	}
	if !h.LiftedAt.IsZero() {
		ends = h.LiftedAt
	}
	return []string{h.ID, h.State, h.Name, what, owner, h.CreatedAt.Format(time.DateOnly), momentOrNone(ends), h.Reason}
}

// showHold prints one hold, or why there is none.
func (r *remote) showHold(p *process, h *audit.Hold, err error) error {
	return show(p, r, one(h, err), holdHeading(), holdRow)
}

// parseEnd reads the end of a hold.
func parseEnd(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &exitCodeError{exitUsage, fmt.Errorf("--ends: %q is no date such as 2030-01-31, nor a time such as 2030-01-31T12:00:00Z", text)}
}

type holdCreateCmd struct {
	ofOrg
	Query  string `arg:"" help:"Filter: what is held. \"\" for every entry." name:"filter"`
	Name   string `help:"Name, for people." required:"" placeholder:"NAME"`
	Reason string `help:"What the entries are held for." required:"" placeholder:"TEXT"`
	Ends   string `help:"When it ends by itself: a date (UTC) or a time. Never when not given." placeholder:"TIME"`
}

// Run makes a hold.
func (c *holdCreateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	spec := audit.NewHold{Name: c.Name, Query: c.Query, Reason: c.Reason}
	if c.Ends != "" {
		if spec.EndsAt, err = parseEnd(c.Ends); err != nil {
			return err
		}
	}
	h, err := client.CreateHold(ctx, c.Org, spec)
	return c.showHold(p, h, err)
}

type holdListCmd struct{ ofOrg }

// Run lists all holds.
func (c *holdListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return show(p, &c.remote, client.Holds(ctx, c.Org), holdHeading(), holdRow)
}

// oneHold is a command about one hold.
type oneHold struct {
	ofOrg
	ID string `arg:"" help:"Hold." name:"hold"`
}

type holdShowCmd struct{ oneHold }

// Run shows one hold.
func (c *holdShowCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	h, err := client.Hold(ctx, c.Org, c.ID)
	return c.showHold(p, h, err)
}

type holdUpdateCmd struct {
	oneHold
	Name   *string `help:"New name." placeholder:"NAME"`
	Reason *string `help:"New reason." placeholder:"TEXT"`
	Ends   *string `help:"New end: a date (UTC), a time, or never." placeholder:"TIME"`
}

// Run changes what was named.
func (c *holdUpdateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	change := audit.HoldChange{Name: c.Name, Reason: c.Reason}
	if c.Ends != nil {
		change.EndsAt = new(time.Time)
		if *c.Ends != "never" {
			if *change.EndsAt, err = parseEnd(*c.Ends); err != nil {
				return err
			}
		}
	}
	h, err := client.UpdateHold(ctx, c.Org, c.ID, change)
	return c.showHold(p, h, err)
}

type holdLiftCmd struct {
	oneHold
	Reason string `help:"Why; kept in the entry about it." placeholder:"TEXT"`
}

// Run ends a hold.
func (c *holdLiftCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	h, err := client.LiftHold(ctx, c.Org, c.ID, c.Reason)
	return c.showHold(p, h, err)
}
