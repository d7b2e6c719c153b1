package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
)

// keyCmd manages API keys.
type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make a key; it is shown once."`
	List   keyListCmd   `cmd:"" help:"List keys."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key."`
}

type keyCreateCmd struct {
	remote
	Name string `arg:"" help:"What the key is for."`
	Role string `help:"admin may do everything, writer sends events, reader searches and exports." enum:"admin,writer,reader" required:""`
	Org  string `help:"Limit the key to one organization." placeholder:"ORG"`
}

// Run makes a key and prints its secret.
func (c *keyCreateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	k, err := client.CreateKey(ctx, c.Name, c.Role, c.Org)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSONLine(p.stdout, k)
	}
	if _, err := fmt.Fprintln(p.stdout, k.Secret); err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "Key %s, shown this once.\n", k.ID)
	return nil
}

type keyListCmd struct {
	remote
	Revoked bool `help:"Revoked keys too."`
}

// Run lists all keys.
func (c *keyListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list := client.Keys(ctx, audit.KeyOptions{Revoked: c.Revoked})
	return show(p, &c.remote, list, []string{"ID", "NAME", "ROLE", "ORGANIZATION", "MADE", "REVOKED"}, keyRow)
}

func keyRow(k *audit.Key) []string {
	revoked, org := "", "all"
	if !k.RevokedAt.IsZero() {
		revoked = k.RevokedAt.Format(time.DateOnly)
	}
	if k.OrganizationID != "" {
		org = k.OrganizationID
	}
	return []string{k.ID, k.Name, k.Role, org, k.CreatedAt.Format(time.DateOnly), revoked}
}

type keyRevokeCmd struct {
	remote
	ID string `arg:"" help:"Key."`
}

// Run revokes the key.
func (c *keyRevokeCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	_, err = client.RevokeKey(ctx, c.ID)
	return err
}
