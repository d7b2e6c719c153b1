package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Receipt says where an event was recorded.
type Receipt struct {
	ID         string    `json:"id"`
	Seq        uint64    `json:"seq"`
	ReceivedAt time.Time `json:"received_at"`
	// Duplicate says that the event had been recorded before under its
	// idempotency key; the rest is of then.
	Duplicate bool `json:"duplicate,omitempty"`
	// Line is the number of the event in a batch with Partial, from 1; else 0.
	Line int `json:"line,omitempty"`
}

// Record records one event. When it returns nil, the event is durable. An event
// without an idempotency key gets a random one, so that repeating the request is
// harmless; to survive a crash of your own, set one that you can make again.
func (c *Client) Record(ctx context.Context, org string, e Event) (Receipt, error) {
	result, err := c.record(ctx, org, []Event{e}, nil)
	if err != nil {
		return Receipt{}, err
	}
	if len(result.Entries) != 1 {
		return Receipt{}, fmt.Errorf("record event: the server answered for %d events", len(result.Entries))
	}
	return result.Entries[0], nil
}

// BatchOptions says how a batch is recorded.
type BatchOptions struct {
	// Partial records the valid events and reports the others. Without it all
	// events are recorded or none.
	Partial bool
}

// BatchResult is the answer to a batch.
type BatchResult struct {
	// Entries are the recorded events, in the batch's order.
	Entries []Receipt `json:"entries"`
	// Errors are those of events that were not recorded, by Line; only with
	// Partial.
	Errors []*Error `json:"errors,omitempty"`
	// CompleteThrough is the newest entry of the log after the batch.
	CompleteThrough *Position `json:"complete_through"`
}

// RecordBatch records up to MaxBatchEvents events in one request of up to
// MaxBatchBytes. When it returns nil, they are durable. Idempotency keys are as
// for Record.
func (c *Client) RecordBatch(ctx context.Context, org string, events []Event, opts BatchOptions) (BatchResult, error) {
	var params url.Values
	if opts.Partial {
		params = url.Values{"partial": {"true"}}
	}
	return c.record(ctx, org, events, params)
}

func (c *Client) record(ctx context.Context, org string, events []Event, params url.Values) (BatchResult, error) {
	var result BatchResult
	events = slices.Clone(events)
	for i := range events {
		if err := events[i].checkSendable(); err != nil {
			err.Line = i + 1
			return result, err
		}
		events[i].IdempotencyKey = cmp.Or(events[i].IdempotencyKey, rand.Text())
	}
	k := call{method: http.MethodPost, path: orgPath(org, "events"), params: params, repeat: true}
	var body any = events
	if len(events) == 1 && params == nil {
		body = events[0] // its errors have no line
	}
	var err error
	if k.body, err = json.Marshal(body); err != nil {
		return result, Errorf(CodeInvalidEvent, "an event cannot be written as JSON: %v", err)
	}
	return result, c.do(ctx, k, &result)
}

// checkSendable refuses what encoding/json would change on the way: text that is
// not UTF-8. It also refuses numbers that a server would.
func (e *Event) checkSendable() *Error {
	entry := Entry{Event: *e}
	if _, err := entry.Details(); err != nil {
		return Errorf(CodeInvalidEvent, "%v", err)
	}
	texts := []string{e.Action, e.Actor.Type, e.Actor.ID, e.IdempotencyKey}
	for i := range e.Targets {
		texts = append(texts, e.Targets[i].Type, e.Targets[i].ID)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return Errorf(CodeInvalidEvent, "the text %q is not valid UTF-8", shorten(s))
		}
	}
	return nil
}

// SearchOptions says which page of a search is wanted.
type SearchOptions struct {
	// Ascending is oldest first; newest first otherwise.
	Ascending bool
	// Limit is the largest number of entries on a page, up to MaxQueryLimit;
	// DefaultQueryLimit when zero.
	Limit int
	// Cursor is the Next of the page before, "" for the first.
	Cursor string
}

// Page is one page of entries.
type Page struct {
	Entries []Entry `json:"entries"`
	// Next is the cursor of the next page. It is set on every page: asked
	// later, oldest first, the page after the last one has what was recorded
	// meanwhile.
	Next string `json:"next"`
	// HasMore says that the next page has entries now.
	HasMore bool `json:"has_more"`
	// CompleteThrough is up to where every entry was considered; nil for an
	// empty log.
	CompleteThrough *Position `json:"complete_through"`
}

// Search returns one page of the entries that a query finds, ordered by
// occurred_at and then seq.
func (c *Client) Search(ctx context.Context, org string, q Query, opts SearchOptions) (Page, error) {
	params := q.Values()
	if opts.Ascending {
		params.Set("order", "asc")
	}
	if opts.Limit != 0 {
		params.Set("limit", strconv.Itoa(opts.Limit))
	}
	if opts.Cursor != "" {
		params.Set("cursor", opts.Cursor)
	}
	var page Page
	err := c.get(ctx, orgPath(org, "events"), params, &page)
	return page, err
}

// Entries yields all entries that a query finds, page by page from the one that
// opts names. It ends after the first error.
func (c *Client) Entries(ctx context.Context, org string, q Query, opts SearchOptions) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for {
			page, err := c.Search(ctx, org, q, opts)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Entries {
				if !yield(&page.Entries[i], nil) {
					return
				}
			}
			if !page.HasMore {
				return
			}
			opts.Cursor = page.Next
		}
	}
}

// Entry returns an entry by its id.
func (c *Client) Entry(ctx context.Context, org, id string) (*Entry, error) {
	e := new(Entry)
	if err := c.get(ctx, orgPath(org, "events", id), nil, e); err != nil {
		return nil, err
	}
	return e, nil
}

// Proof returns the proof of an entry by the entry's id, for [Proof.Verify].
func (c *Client) Proof(ctx context.Context, org, id string) (*Proof, error) {
	data, err := c.bytes(ctx, call{method: http.MethodGet, path: orgPath(org, "events", id, "proof")})
	if err != nil {
		return nil, err
	}
	return ParseProof(data)
}

// Histogram counts entries by interval of occurred_at.
type Histogram struct {
	// Interval and TimeZone are those that were counted by.
	Interval string `json:"interval"`
	TimeZone string `json:"time_zone"`
	// Buckets are in order and without gaps.
	Buckets []HistogramBucket `json:"buckets"`
	Total   uint64            `json:"total"`
	// CompleteThrough is as in [Page].
	CompleteThrough *Position `json:"complete_through"`
}

// HistogramBucket is one interval: from Start until the next bucket's.
type HistogramBucket struct {
	Start time.Time `json:"start"`
	Count uint64    `json:"count"`
}

// Histogram counts the entries that a query finds by interval: "minute", "hour",
// "day", "week", "month", or so many minutes or hours, such as "15m" or "6h". Days
// begin in a time zone (IANA name), UTC when "".
func (c *Client) Histogram(ctx context.Context, org string, q Query, interval, timeZone string) (Histogram, error) {
	params := q.Values()
	params.Set("interval", interval)
	if timeZone != "" {
		params.Set("time_zone", timeZone)
	}
	var h Histogram
	err := c.get(ctx, orgPath(org, "histogram"), params, &h)
	return h, err
}

// Facets counts entries by the values of a field.
type Facets struct {
	Field Field `json:"field"`
	// Values are the most frequent ones, most frequent first.
	Values []FacetValue `json:"values"`
	// Distinct is the number of different values in all.
	Distinct int `json:"distinct"`
	// CompleteThrough is as in [Page].
	CompleteThrough *Position `json:"complete_through"`
}

// FacetValue is a value and the number of entries that have it. Name is the
// newest name of an actor or target.
type FacetValue struct {
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
	Count uint64 `json:"count"`
}

// Facets counts the entries that a query finds by the values of a field, limit
// values at most; the server's default when zero.
func (c *Client) Facets(ctx context.Context, org string, q Query, field Field, limit int) (Facets, error) {
	params := q.Values()
	params.Set("field", string(field))
	if limit != 0 {
		params.Set("limit", strconv.Itoa(limit))
	}
	var f Facets
	err := c.get(ctx, orgPath(org, "facets"), params, &f)
	return f, err
}

// Log reads an organization's log, for [VerifyLog]. It is a [ConsistencyReader].
func (c *Client) Log(org string) LogReader { return &serverLog{c, org} }

type serverLog struct {
	client *Client
	org    string
}

// ReadCheckpoint implements [LogReader].
func (l *serverLog) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	return l.read(ctx, "checkpoint")
}

// ReadTile implements [LogReader].
func (l *serverLog) ReadTile(ctx context.Context, path string) ([]byte, error) {
	return l.read(ctx, path)
}

func (l *serverLog) read(ctx context.Context, path string) ([]byte, error) {
	k := call{method: http.MethodGet, path: orgPath(l.org, "log") + "/" + path, header: http.Header{"Accept": {"*/*"}}}
	data, err := l.client.bytes(ctx, k)
	if errors.Is(err, &Error{Code: CodeNotFound}) {
		return nil, &absentError{err}
	}
	if errors.Is(err, &Error{Code: CodeGone}) {
		return nil, fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	return data, err
}

// absentError is an fs.ErrNotExist that reads as what the server said.
type absentError struct{ error }

// Unwrap lets errors.Is and errors.As find both.
func (e *absentError) Unwrap() []error { return []error{fs.ErrNotExist, e.error} }

// ReadConsistency implements [ConsistencyReader].
func (l *serverLog) ReadConsistency(ctx context.Context, older, newer uint64) ([]tlog.Hash, error) {
	return l.client.Consistency(ctx, l.org, older, newer)
}

// Checkpoint returns the signed checkpoint of a log as it is now.
func (c *Client) Checkpoint(ctx context.Context, org string) ([]byte, error) {
	return c.Log(org).ReadCheckpoint(ctx)
}

// WitnessedCheckpoint returns the newest checkpoint of a log that a quorum of the
// server's witnesses has counter-signed, for [Policy.Cosignatures]. The error is
// not_found when there is none.
func (c *Client) WitnessedCheckpoint(ctx context.Context, org string) ([]byte, error) {
	return c.bytes(ctx, call{
		method: http.MethodGet, path: orgPath(org, "log", "checkpoint"), params: url.Values{"witnessed": {"true"}}, header: http.Header{"Accept": {"*/*"}},
	})
}

// Consistency returns the proof that the first newer entries of a log begin with
// its first older entries, 0 < older ≤ newer: for [Checkpoint.Extends].
func (c *Client) Consistency(ctx context.Context, org string, older, newer uint64) ([]tlog.Hash, error) {
	params := url.Values{"from": {strconv.FormatUint(older, 10)}, "to": {strconv.FormatUint(newer, 10)}}
	var answer struct{ Hashes []tlog.Hash }
	err := c.get(ctx, orgPath(org, "log", "consistency"), params, &answer)
	return answer.Hashes, err
}

// VerifierKey returns the key that verifies the checkpoints of all logs of the
// server, for [NewVerifier]. A key got from the server that it is to verify shows
// only that the log is in itself consistent: keep the first one.
func (c *Client) VerifierKey(ctx context.Context) (string, error) {
	k := call{method: http.MethodGet, path: "/v1/log/vkey", header: http.Header{"Accept": {"*/*"}}}
	data, err := c.bytes(ctx, k)
	return string(data), err
}
