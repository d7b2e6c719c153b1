package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
)

// orgCmd manages organizations.
type orgCmd struct {
	Create orgCreateCmd `cmd:"" help:"Make an organization."`
	List   orgListCmd   `cmd:"" help:"List organizations."`
	Get    orgGetCmd    `cmd:"" help:"Show one organization."`
	Update orgUpdateCmd `cmd:"" help:"Change an organization."`
	Delete orgDeleteCmd `cmd:"" help:"Delete an organization, and its log when confirmed by name."`

	PortalLink orgPortalLinkCmd `cmd:"" help:"Make a link that opens the organization's pages, once."`
}

func orgHeading() []string {
	return []string{"ID", "NAME", "EXTERNAL ID", "STATE", "KEPT", "HISTORY SINCE"}
}

func orgRow(o *audit.Organization) []string {
	keep := strconv.Itoa(o.RetentionDays) + " days"
	if o.RetentionDays == 0 {
		keep = "for ever"
	}
	return []string{o.ID, o.Name, o.ExternalID, o.State, keep, o.HistoryStart.Format(time.DateOnly)}
}

// showOrg prints one organization, or why there is none.
func (r *remote) showOrg(p *process, o *audit.Organization, err error) error {
	return show(p, r, one(o, err), orgHeading(), orgRow)
}

type orgCreateCmd struct {
	remote
	Name       string `arg:"" help:"Name, for people."`
	ID         string `help:"Identifier; made when not given." placeholder:"ORG"`
	ExternalID string `help:"The product's own identifier." placeholder:"ID"`
}

// Run makes an organization.
func (c *orgCreateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	o, err := client.CreateOrganization(ctx, c.ID, audit.OrganizationChange{Name: &c.Name, ExternalID: &c.ExternalID})
	return c.showOrg(p, o, err)
}

type orgListCmd struct {
	remote
	Search string `help:"Only those whose name contains this." placeholder:"TEXT"`
}

// Run lists all organizations.
func (c *orgListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return show(p, &c.remote, client.Organizations(ctx, audit.OrganizationOptions{Search: c.Search}), orgHeading(), orgRow)
}

type orgGetCmd struct {
	remote
	ID string `arg:"" help:"Organization." name:"org"`
}

// Run shows one organization.
func (c *orgGetCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	o, err := client.Organization(ctx, c.ID)
	return c.showOrg(p, o, err)
}

type orgUpdateCmd struct {
	remote
	ID            string  `arg:"" help:"Organization." name:"org"`
	Name          *string `help:"New name."`
	ExternalID    *string `help:"New external id."`
	State         *string `help:"active, inactive (recorded but hidden) or disabled (events refused)." placeholder:"STATE"`
	RetentionDays *int    `help:"Days that entries are kept; 0 for ever." placeholder:"DAYS"`
}

// Run changes what was named.
func (c *orgUpdateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	o, err := client.UpdateOrganization(ctx, c.ID, audit.OrganizationChange{
		Name: c.Name, ExternalID: c.ExternalID, State: c.State, RetentionDays: c.RetentionDays,
	})
	return c.showOrg(p, o, err)
}

type orgDeleteCmd struct {
	remote
	ID      string `arg:"" help:"Organization." name:"org"`
	Confirm string `help:"The organization's name: also deletes its entries, for good." placeholder:"NAME"`
}

// Run deletes the organization.
func (c *orgDeleteCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.DeleteOrganization(ctx, c.ID, c.Confirm)
}

type orgPortalLinkCmd struct {
	remote
	ID         string        `arg:"" help:"Organization." name:"org"`
	Intent     string        `help:"What it opens first: audit_logs, exports or log_streams." enum:"audit_logs,exports,log_streams" default:"audit_logs"`
	Role       string        `help:"viewer, or manager to see and change settings too." placeholder:"ROLE"`
	PersonID   string        `help:"The product's id of the person who opens it." placeholder:"ID"`
	PersonName string        `help:"The person's name." placeholder:"NAME"`
	ReturnURL  string        `help:"Where the pages lead back to." placeholder:"URL"`
	Expires    time.Duration `help:"How long it can be opened, up to 5m." default:"5m"`
}

// Run prints the link, which opens the pages for whoever has it.
func (c *orgPortalLinkCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Expires < time.Second {
		return &exitCodeError{exitUsage, errors.New("--expires: must be a second or more")}
	}
	link, err := client.PortalLink(ctx, c.ID, audit.PortalLinkOptions{
		Intent: c.Intent, Role: c.Role, Person: audit.Person{ID: c.PersonID, Name: c.PersonName},
		ReturnURL: c.ReturnURL, ExpiresIn: c.Expires,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSONLine(p.stdout, link)
	}
	_, err = fmt.Fprintln(p.stdout, link.URL)
	return err
}

// one is a list of a single thing, or of the error that there is none.
func one[T any](v *T, err error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) { yield(v, err) }
}

// show prints a list: JSON lines for programs, a table for people.
func show[T any](p *process, r *remote, list iter.Seq2[*T, error], heading []string, row func(*T) []string) error {
	var rows [][]string
	for v, err := range list {
		if err != nil {
			return err
		}
		if !r.JSON {
			rows = append(rows, row(v))
			continue
		}
		if err := printJSONLine(p.stdout, v); err != nil {
			return err
		}
	}
	if r.JSON {
		return nil
	}
	return table(p.stdout, heading, rows)
}
