package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// tailCmd prints entries as they are recorded, until interrupted.
type tailCmd struct {
	remote
	queryArgs
	After string `help:"Begin after this seq; -1 is the beginning of the log. Without it: from now on." placeholder:"SEQ"`
}

// Run follows the log. A lost connection is taken up where it broke off.
func (c *tailCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	q, err := c.parse()
	if err != nil {
		return err
	}
	for e, err := range client.Tail(ctx, c.Org, q, c.After) {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSONLine(p.stdout, e)
		} else {
			_, err = fmt.Fprintln(p.stdout, printable(strings.Join(entryRow(e), "  ")))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
