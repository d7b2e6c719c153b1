package audit

import (
	"context"
	"time"
)

// SetWait makes a client wait with fn between tries.
func (c *Client) SetWait(fn func(context.Context, time.Duration) error) { c.wait = fn }

// ParseEntry is how a verifier reads a row.
func ParseEntry(line string) (*Entry, bool) { return parseEntry(line) }
