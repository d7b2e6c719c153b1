package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// keyCmd manages API keys.
type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make a key; it is shown once."`
	List   keyListCmd   `cmd:"" help:"List keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key."`
}

// apiKey is what the API says of a key. Secret is only there when it was just
// made.
type apiKey struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Role         string     `json:"role"`
	Organization string     `json:"organization_id,omitempty"`
	Secret       string     `json:"key,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	RevokedAt    *time.Time `json:"revoked_at,omitempty"`
}

type keyCreateCmd struct {
	remote
	Name string `arg:"" help:"What the key is for."`
	Role string `help:"admin may do everything, writer sends events, reader searches and exports." enum:"admin,writer,reader" required:""`
	Org  string `help:"Limit the key to one organization." placeholder:"ORG"`
}

// Run makes a key and prints its secret.
func (c *keyCreateCmd) Run(ctx context.Context, p *process) error {
	in := map[string]any{"name": c.Name, "role": c.Role}
	setIf(in, "organization_id", c.Org)
	var k apiKey
	if err := c.call(ctx, http.MethodPost, "/v1/keys", in, &k); err != nil {
		return err
	}
	if c.JSON {
		return printJSONLine(p.stdout, k)
	}
	_, err := fmt.Fprintf(p.stdout, "%s\n", k.Secret)
	fmt.Fprintf(p.stderr, "Key %s, shown this once.\n", k.ID)
	return err
}

type keyListCmd struct{ remote }

// Run lists all keys.
func (c *keyListCmd) Run(ctx context.Context, p *process) error {
	query := url.Values{"limit": {"100"}}
	var rows [][]string
	for {
		var page struct {
			Keys    []apiKey `json:"keys"`
			Next    string   `json:"next"`
			HasMore bool     `json:"has_more"`
		}
		if err := c.call(ctx, http.MethodGet, "/v1/keys?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, k := range page.Keys {
			if c.JSON {
				if err := printJSONLine(p.stdout, k); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, keyRow(k))
		}
		if !page.HasMore {
			break
		}
		query.Set("cursor", page.Next)
	}
	if c.JSON {
		return nil
	}
	return table(p.stdout, []string{"ID", "NAME", "ROLE", "ORGANIZATION", "MADE", "REVOKED"}, rows)
}

func keyRow(k apiKey) []string {
	revoked := ""
	if k.RevokedAt != nil {
		revoked = k.RevokedAt.Format(time.DateOnly)
	}
	org := k.Organization
	if org == "" {
		org = "all"
	}
	return []string{k.ID, k.Name, k.Role, org, k.CreatedAt.Format(time.DateOnly), revoked}
}

type keyRevokeCmd struct {
	remote
	ID string `arg:"" help:"Key."`
}

// Run revokes the key.
func (c *keyRevokeCmd) Run(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(c.ID), nil, nil)
}
