package audit

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// How long to wait between tries.
const (
	defaultRetries = 5
	firstPause     = 200 * time.Millisecond
	longestPause   = 10 * time.Second
	// longestRetryAfter is the longest wait that a server can ask for; for
	// more, the caller gets the error.
	longestRetryAfter = 2 * time.Minute
)

// retrying calls try until it succeeds, fails in a way that another try cannot
// mend, or has been repeated often enough. Without repeat it is called once.
func (c *Client) retrying(ctx context.Context, repeat bool, try func() error) error {
	most := c.retries()
	if !repeat {
		most = 0
	}
	for n := 0; ; n++ {
		err := try()
		pause, ok := pauseAfter(err, n)
		if err == nil || !ok || n >= most || ctx.Err() != nil {
			return plainRefusal(err)
		}
		if c.pause(ctx, pause) != nil {
			return plainRefusal(err)
		}
	}
}

// retries is how often a request may be repeated.
func (c *Client) retries() int { return max(cmp.Or(c.Retries, defaultRetries), 0) }

// plainRefusal gives an error that the caller may keep.
func plainRefusal(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.refused
	}
	return err
}

// pauseAfter says how long to wait after the n-th try, from 0, failed; false when
// another try would be no use.
func pauseAfter(err error, n int) (time.Duration, bool) {
	pause := backoff(n)
	if r, ok := errors.AsType[*refusal](err); ok {
		switch r.refused.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return max(pause, r.retryAfter), r.retryAfter <= longestRetryAfter && r.refused.Code != CodeDiskFull
		}
		return 0, false
	}
	return pause, isConnectionError(err)
}

// isConnectionError reports whether the network failed, or the server while it
// answered.
func isConnectionError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	_, ok := errors.AsType[*transportError](err)
	return ok
}

// backoff is the wait after the n-th try: doubled each time, and random in its
// upper half, so that clients who failed together do not come back together.
func backoff(n int) time.Duration {
	pause := longestPause
	if n < 10 {
		pause = min(firstPause<<n, longestPause)
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // not a secret
}

// pause waits, and ends early with an error when ctx ends or would end before.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if c.wait != nil {
		return c.wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads Retry-After, in seconds or as a date; negative when there is
// none to be read.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return -1
	}
	// By the server's own clock: ours may be wrong.
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return -1
	}
	return max(at.Sub(now), 0)
}
