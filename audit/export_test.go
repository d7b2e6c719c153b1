package audit

import (
	"context"
	"time"
)

// SetWait makes a client wait with fn between tries.
func (c *Client) SetWait(fn func(context.Context, time.Duration) error) { c.wait = fn }
