package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// orgCmd manages organizations.
type orgCmd struct {
	Create orgCreateCmd `cmd:"" help:"Make an organization."`
	List   orgListCmd   `cmd:"" help:"List organizations."`
	Get    orgGetCmd    `cmd:"" help:"Show one organization."`
	Update orgUpdateCmd `cmd:"" help:"Change an organization."`
	Delete orgDeleteCmd `cmd:"" help:"Delete an organization, and its log when confirmed by name."`
}

// organization is what the API says of one.
type organization struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	ExternalID    string    `json:"external_id,omitempty"`
	State         string    `json:"state"`
	RetentionDays int       `json:"retention_days"`
	HistoryStart  time.Time `json:"history_start"`
	CreatedAt     time.Time `json:"created_at"`
}

func (r *remote) showOrganizations(p *process, list ...organization) error {
	if r.JSON {
		for _, o := range list {
			if err := printJSONLine(p.stdout, o); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, len(list))
	for i, o := range list {
		keep := strconv.Itoa(o.RetentionDays) + " days"
		if o.RetentionDays == 0 {
			keep = "for ever"
		}
		rows[i] = []string{o.ID, o.Name, o.ExternalID, o.State, keep, o.HistoryStart.Format(time.DateOnly)}
	}
	return table(p.stdout, []string{"ID", "NAME", "EXTERNAL ID", "STATE", "KEPT", "HISTORY SINCE"}, rows)
}

type orgCreateCmd struct {
	remote
	Name       string `arg:"" help:"Name, for people."`
	ID         string `help:"Identifier; made when not given." placeholder:"ORG"`
	ExternalID string `help:"The product's own identifier." placeholder:"ID"`
}

// Run makes an organization.
func (c *orgCreateCmd) Run(ctx context.Context, p *process) error {
	in := map[string]any{"name": c.Name}
	setIf(in, "id", c.ID)
	setIf(in, "external_id", c.ExternalID)
	var o organization
	if err := c.call(ctx, http.MethodPost, "/v1/organizations", in, &o); err != nil {
		return err
	}
	return c.showOrganizations(p, o)
}

func setIf(m map[string]any, key, value string) {
	if value != "" {
		m[key] = value
	}
}

type orgListCmd struct {
	remote
	Search string `help:"Only those whose name contains this." placeholder:"TEXT"`
}

// Run lists all organizations.
func (c *orgListCmd) Run(ctx context.Context, p *process) error {
	var all []organization
	query := url.Values{"limit": {"100"}}
	if c.Search != "" {
		query.Set("search", c.Search)
	}
	for {
		var page struct {
			Organizations []organization `json:"organizations"`
			Next          string         `json:"next"`
			HasMore       bool           `json:"has_more"`
		}
		if err := c.call(ctx, http.MethodGet, "/v1/organizations?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Organizations...)
		if !page.HasMore {
			return c.showOrganizations(p, all...)
		}
		query.Set("cursor", page.Next)
	}
}

type orgGetCmd struct {
	remote
	ID string `arg:"" help:"Organization." name:"org"`
}

// Run shows one organization.
func (c *orgGetCmd) Run(ctx context.Context, p *process) error {
	var o organization
	if err := c.call(ctx, http.MethodGet, orgPath(c.ID), nil, &o); err != nil {
		return err
	}
	return c.showOrganizations(p, o)
}

func orgPath(id string) string { return "/v1/organizations/" + url.PathEscape(id) }

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
	in := map[string]any{}
	for key, value := range map[string]*string{"name": c.Name, "external_id": c.ExternalID, "state": c.State} {
		if value != nil {
			in[key] = *value
		}
	}
	if c.RetentionDays != nil {
		in["retention_days"] = *c.RetentionDays
	}
	var o organization
	if err := c.call(ctx, http.MethodPatch, orgPath(c.ID), in, &o); err != nil {
		return err
	}
	return c.showOrganizations(p, o)
}

type orgDeleteCmd struct {
	remote
	ID      string `arg:"" help:"Organization." name:"org"`
	Confirm string `help:"The organization's name: also deletes its entries, for good." placeholder:"NAME"`
}

// Run deletes the organization.
func (c *orgDeleteCmd) Run(ctx context.Context) error {
	path := orgPath(c.ID)
	if c.Confirm != "" {
		path += "?" + url.Values{"confirm": {c.Confirm}}.Encode()
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}
