package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// prefixLag holds ID → lagRecord, while the lag of a stream is over its limit.
const prefixLag = "stream_lag/"

type lagRecord struct {
	Since time.Time `json:"since"`
}

// Status is how a stream is doing.
type Status struct {
	State State `json:"state"`
	// Since is when it came into that state.
	Since time.Time `json:"since"`
	// Next is the first seq that is not delivered, Head the size of the log;
	// for a stream of one organization only.
	Next uint64 `json:"next"`
	Head uint64 `json:"head"`
	// LagEvents is how many entries are recorded and not yet looked at or
	// delivered, over all logs. LagSeconds is how long ago the oldest of them
	// was received; 0 when there is none.
	LagEvents  uint64  `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`

	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   *Attempt  `json:"last_error,omitempty"`
	Failures    int       `json:"consecutive_failures"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// Events, Bytes and Batches are delivered in all; DeadLetters and Skipped
	// are events not delivered.
	Events      uint64 `json:"events"`
	Bytes       uint64 `json:"bytes"`
	Batches     uint64 `json:"batches"`
	DeadLetters uint64 `json:"dead_letters"`
	Skipped     uint64 `json:"skipped"`
	// DeadNow is how many dead letters there are now, maxCounted at most.
	DeadNow int `json:"dead_letters_now"`
	// Held says that the log may not be handed on at present: nothing is sent
	// and nothing is lost.
	Held bool `json:"held,omitempty"`
	// LatencyP95 is that of the last attempts, in milliseconds.
	LatencyP95 int64 `json:"latency_p95_ms"`
	// Rate are events delivered by minute, the present one last.
	Rate []int `json:"rate"`
	// InFlight are the batches frozen and not yet acknowledged.
	InFlight []InFlight `json:"in_flight,omitempty"`
	// Skips are ranges that were not sent.
	Skips map[string][]Skip `json:"skips,omitempty"`
	// Expires is the credential that expires first; nil when none says so.
	Expires *Credential `json:"expires,omitempty"`
}

// Credential is a setting that stops working by itself, such as a certificate.
type Credential struct {
	Setting   string    `json:"setting"`
	ExpiresAt time.Time `json:"expires_at"`
}

// credential is that of a stream which expires first; nil when none says so.
func (s *Streams) credential(st *Stream) *Credential {
	kind, ok := s.cfg.Kinds.Get(st.Kind)
	if !ok {
		return nil
	}
	var first *Credential
	for i := range kind.Settings {
		setting := &kind.Settings[i]
		if setting.Expires == nil {
			continue
		}
		value := st.Settings[setting.Name]
		if secret, ok := st.Secrets[setting.Name]; ok {
			// One that does not open is what Invalid says.
			value, _ = s.cfg.Keys.open(secret.Sealed, secretPlace(st, setting.Name))
		}
		if value == "" {
			continue
		}
		at := setting.Expires(value)
		if !at.IsZero() && (first == nil || at.Before(first.ExpiresAt)) {
			first = &Credential{Setting: setting.Name, ExpiresAt: at}
		}
	}
	return first
}

// InFlight is a batch on its way.
type InFlight struct {
	Organization string    `json:"organization"`
	First        uint64    `json:"first"`
	Last         uint64    `json:"last"`
	Events       int       `json:"events"`
	Attempts     int       `json:"attempts"`
	FrozenAt     time.Time `json:"frozen_at"`
	Failures     []Attempt `json:"failures,omitempty"`
}

// Status returns how a stream is doing. Errors: not_found.
func (s *Streams) Status(ctx context.Context, org, id string) (Status, error) {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return Status{}, err
	}
	h, err := catalog.Load[health](ctx, s.cfg.KV, prefixHealth+id)
	if errors.Is(err, catalog.ErrNotFound) {
		return Status{}, noStream(id)
	}
	if err != nil {
		return Status{}, err
	}
	v := &h.Value
	out := Status{
		State: v.State, Since: v.Since, LastSuccess: v.LastSuccess, LastError: v.LastError, Failures: v.Failures,
		NextAttempt: v.NextAttempt, Events: v.Events, Bytes: v.Bytes, Batches: v.Batches, DeadLetters: v.DeadLetters,
		Skipped: v.Skipped, LatencyP95: percentile(v.Latencies), Rate: v.rateAt(s.now()), Expires: s.credential(st),
	}
	if st.Paused {
		out.State, out.Since = StatePaused, st.UpdatedAt
	}
	if st.Organization != "" {
		shared, err := s.cfg.Shared(ctx, st.Organization)
		if err != nil {
			return Status{}, fmt.Errorf("state of %s: %w", st.Organization, err)
		}
		out.Held = !shared
	}
	if out.DeadNow, err = s.countDead(ctx, id); err != nil {
		return Status{}, err
	}
	_, err = s.addLag(ctx, st, &out)
	return out, err
}

// addLag adds what is behind, log by log, and returns when the oldest of it was
// received.
func (s *Streams) addLag(ctx context.Context, st *Stream, out *Status) (time.Time, error) {
	oldest := time.Time{}
	seen := map[string]bool{}
	add := func(c *cursor) error {
		seen[c.Organization] = true
		size, err := s.size(ctx, c.Organization)
		if err != nil {
			return err
		}
		if len(c.Skipped) > 0 {
			if out.Skips == nil {
				out.Skips = map[string][]Skip{}
			}
			out.Skips[c.Organization] = c.Skipped
		}
		if fz := c.Frozen; fz != nil {
			out.InFlight = append(out.InFlight, InFlight{
				Organization: c.Organization, First: fz.First, Last: fz.Last, Events: fz.Events,
				Attempts: fz.Attempts, FrozenAt: fz.FrozenAt, Failures: fz.Failures,
			})
		}
		if st.Organization != "" {
			out.Next, out.Head = c.Next, size
		}
		if c.Next >= size || st.onSchedule() {
			return nil // no event waits
		}
		at, err := s.receivedAt(ctx, c, size, st.Filter)
		if err != nil {
			return err
		}
		if at.IsZero() {
			return nil // what is left does not match
		}
		out.LagEvents += size - c.Next
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		return nil
	}
	for c, err := range catalog.All[cursor](ctx, s.cfg.KV, prefixCursor+st.ID+"/", "") {
		if err != nil {
			return time.Time{}, err
		}
		if err := add(&c.Value); err != nil {
			return time.Time{}, err
		}
	}
	if st.Organization == "" {
		for org, err := range s.cfg.Directory.OrganizationIDs(ctx) {
			if err != nil {
				return time.Time{}, fmt.Errorf("list organizations: %w", err)
			}
			if seen[org] {
				continue
			}
			if err := add(&cursor{Organization: org}); err != nil {
				return time.Time{}, err
			}
		}
	}
	if !oldest.IsZero() {
		out.LagSeconds = max(s.cfg.Now().Sub(oldest).Seconds(), 0)
	}
	return oldest, nil
}

// receivedAt is when the oldest undelivered entry of a log was received; zero
// when none is near that matches.
func (s *Streams) receivedAt(ctx context.Context, c *cursor, size uint64, filter string) (time.Time, error) {
	if c.Frozen != nil && c.Frozen.Note == "" {
		return c.Frozen.Since, nil
	}
	q, err := query(filter)
	if err != nil {
		return time.Time{}, err
	}
	end := min(size, c.Next+keepScanned)
	for e, err := range s.cfg.Scanner.Scan(ctx, c.Organization, q, c.Next, end, false) {
		if err != nil {
			return time.Time{}, fmt.Errorf("read log of %s: %w", c.Organization, err)
		}
		return e.ReceivedTime(), nil
	}
	for step := uint64(1); end < size; step *= 8 { // a scan reads ahead
		next := min(size, end+step)
		for e, err := range s.cfg.Scanner.Scan(ctx, c.Organization, audit.Query{}, end, next, false) {
			if err != nil {
				return time.Time{}, fmt.Errorf("read log of %s: %w", c.Organization, err)
			}
			return e.ReceivedTime(), nil
		}
		end = next // all of it was removed
	}
	return time.Time{}, nil
}

func percentile(ms []int64) int64 {
	if len(ms) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ms))
	return sorted[(len(sorted)*95-1)/100]
}

// Deliveries lists the newest batches that have left a stream, newest first.
// Errors: not_found.
func (s *Streams) Deliveries(ctx context.Context, org, id string, limit int) ([]Delivery, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return nil, err
	}
	var list []Delivery
	for d, err := range catalog.All[Delivery](ctx, s.cfg.KV, prefixDelivery+id+"/", "") {
		if err != nil {
			return nil, err
		}
		list = append(list, d.Value)
	}
	slices.SortFunc(list, func(a, b Delivery) int { return cmp.Compare(b.Number, a.Number) })
	return list[:min(limit, len(list))], nil
}

// cursorOf is how far a stream is in one log; zero when it has not begun.
func (s *Streams) cursorOf(ctx context.Context, id, org string) (cursor, error) {
	c, err := catalog.Load[cursor](ctx, s.cfg.KV, prefixCursor+id+"/"+org)
	if errors.Is(err, catalog.ErrNotFound) {
		return cursor{Organization: org}, nil
	}
	return c.Value, err
}
