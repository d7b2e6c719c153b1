package audit

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Client talks to a Stele server.
type Client struct {
	// BaseURL is the server's address, such as "https://audit.example.com".
	BaseURL string
	// Key is the API key.
	Key string
	// HTTP makes the requests; a client with sane timeouts when nil.
	HTTP *http.Client
}

// NewClient returns a client of the server at baseURL.
func NewClient(baseURL, key string) *Client { return &Client{BaseURL: baseURL, Key: key} }

// Receipt says where an event was recorded.
type Receipt struct {
	ID         string    `json:"id"`
	Seq        uint64    `json:"seq"`
	ReceivedAt time.Time `json:"received_at"`
	// Duplicate says that the event had been recorded before under its
	// idempotency key.
	Duplicate bool `json:"duplicate,omitempty"`
}

// Record records one event.
func (c *Client) Record(ctx context.Context, org string, e Event) (Receipt, error) {
	panic("unfinished")
}

// BatchResult is the answer to a batch.
type BatchResult struct {
	Entries         []Receipt `json:"entries"`
	Errors          []*Error  `json:"errors,omitempty"`
	CompleteThrough *Position `json:"complete_through"`
}

// BatchOptions says how a batch is recorded.
type BatchOptions struct {
	// Partial records the valid events and reports the others.
	Partial bool
}

// RecordBatch records events, all or none unless Partial.
func (c *Client) RecordBatch(ctx context.Context, org string, events []Event, opts BatchOptions) (BatchResult, error) {
	panic("unfinished")
}

// Page is one page of entries.
type Page struct {
	Entries         []Entry   `json:"entries"`
	Next            string    `json:"next"`
	HasMore         bool      `json:"has_more"`
	CompleteThrough *Position `json:"complete_through"`
}

// SearchOptions says which page is wanted.
type SearchOptions struct {
	Ascending bool
	Limit     int
	Cursor    string
}

// Search returns one page of entries.
func (c *Client) Search(ctx context.Context, org string, q Query, opts SearchOptions) (Page, error) {
	panic("unfinished")
}

// Entries yields all entries that match, page by page.
func (c *Client) Entries(ctx context.Context, org string, q Query, opts SearchOptions) iter.Seq2[*Entry, error] {
	panic("unfinished")
}

// Entry returns an entry by its id.
func (c *Client) Entry(ctx context.Context, org, id string) (*Entry, error) { panic("unfinished") }

// Proof returns the proof of an entry by its id.
func (c *Client) Proof(ctx context.Context, org, id string) (*Proof, error) { panic("unfinished") }

// Log reads an organization's log, for VerifyLog.
func (c *Client) Log(org string) LogReader { panic("unfinished") }
