package audit

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// The states of a stream.
const (
	StreamActive   = "active"   // the last attempt succeeded, or there was none
	StreamDegraded = "degraded" // the last attempt failed; it is tried again
	StreamError    = "error"    // failing for 15 minutes and more; it is tried again
	StreamInvalid  = "invalid"  // credentials or settings are wrong: its owner must act
	StreamPaused   = "paused"   // by its owner
)

// Stream is a log stream: it delivers a log to a customer's own system. Streams
// of the operator follow the logs of all organizations.
type Stream struct {
	ID string `json:"id"`
	// OrganizationID is whose log it follows; "" for the operator's.
	OrganizationID string `json:"organization_id,omitempty"`
	Name           string `json:"name"`
	// Kind is the kind of destination, Format what events are written as,
	// Filter which of them, in the filter language.
	Kind   string      `json:"kind"`
	Format string      `json:"format"`
	Filter string      `json:"filter"`
	Start  StreamStart `json:"start"`
	// Settings are those of the kind without the secret ones, of which Secrets
	// says which are set.
	Settings map[string]string       `json:"settings"`
	Secrets  map[string]StreamSecret `json:"secrets"`
	// Checkpoints sends a signed checkpoint after each delivered batch.
	Checkpoints bool `json:"checkpoints"`
	// CheckpointEvery, in seconds, is set for a stream of checkpoints alone: one
	// at most so often, when the log has grown. 0 sends events.
	CheckpointEvery int `json:"checkpoint_every_seconds"`
	// LagLimit is the lag in seconds that is worth a notice; 0 for none.
	LagLimit  int          `json:"lag_limit_seconds"`
	CreatedAt time.Time    `json:"created_at"`
	CreatedBy string       `json:"created_by,omitempty"`
	UpdatedAt time.Time    `json:"updated_at"`
	Status    StreamStatus `json:"status"`
}

// StreamStart is where a stream begins: Kind is "now", "date" (what was received
// at Date or later) or "beginning". The zero value is now.
type StreamStart struct {
	Kind string    `json:"kind,omitempty"`
	Date time.Time `json:"date,omitzero"`
}

// StreamSecret is what may be known of a secret setting: its last characters if
// it is long, and when it was set.
type StreamSecret struct {
	Hint      string    `json:"hint,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

// StreamStatus is how a stream is doing.
type StreamStatus struct {
	// State is StreamActive and so on, since Since.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Held says that the organization's log is inactive: nothing is sent, and
	// nothing is lost.
	Held bool `json:"held"`
	// NextSeq is the first seq not delivered, LogSize that of the log; 0 for
	// the operator's streams.
	NextSeq uint64 `json:"next_seq,omitempty"`
	LogSize uint64 `json:"log_size,omitempty"`
	// LagEvents is how many entries are to be delivered or looked at,
	// LagSeconds how long ago the oldest of them was received.
	LagEvents   uint64         `json:"lag_events"`
	LagSeconds  float64        `json:"lag_seconds"`
	LastSuccess time.Time      `json:"last_success_at,omitzero"`
	LastError   *StreamAttempt `json:"last_error,omitempty"`
	Failures    int            `json:"consecutive_failures"`
	NextAttempt time.Time      `json:"next_attempt_at,omitzero"`
	// Events, Bytes and Batches are delivered in all.
	Events  uint64 `json:"events"`
	Bytes   uint64 `json:"bytes"`
	Batches uint64 `json:"batches"`
	// DeadLetters are there now, DeadLettersTotal were ever.
	DeadLetters      int    `json:"dead_letters"`
	DeadLettersTotal uint64 `json:"dead_letters_total"`
	// Skipped is how many events were not sent, Skips where.
	Skipped    uint64 `json:"skipped"`
	LatencyP95 int64  `json:"latency_p95_ms"`
	// EventsPerMinute are those of the last 60 minutes, the present one last.
	EventsPerMinute []int            `json:"events_per_minute"`
	InFlight        []StreamInFlight `json:"in_flight"`
	Skips           []StreamSkip     `json:"skips"`
	// Expires is the credential that expires first; nil when none says so.
	Expires *StreamCredential `json:"credential_expires,omitempty"`
}

// StreamCredential is a setting that stops working by itself, such as a client
// certificate: Setting is its name, At when.
type StreamCredential struct {
	Setting string    `json:"setting"`
	At      time.Time `json:"at"`
}

// StreamAttempt is a failed attempt: Message says what happened and what to do,
// Status and Text are the destination's answer.
type StreamAttempt struct {
	At      time.Time `json:"at"`
	Latency int64     `json:"latency_ms"`
	Class   string    `json:"class"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message"`
	Status  int       `json:"status,omitempty"`
	Text    string    `json:"text,omitempty"`
}

// StreamInFlight is a batch on its way.
type StreamInFlight struct {
	OrganizationID string    `json:"organization_id"`
	First          uint64    `json:"first"`
	Last           uint64    `json:"last"`
	Events         int       `json:"events"`
	Attempts       int       `json:"attempts"`
	FrozenAt       time.Time `json:"frozen_at"`
}

// StreamSkip is a range with events that were not sent.
type StreamSkip struct {
	OrganizationID string `json:"organization_id"`
	From           uint64 `json:"from"`
	To             uint64 `json:"to"`
	Events         uint64 `json:"events"`
	Reason         string `json:"reason"`
}

// NewStream is what is said of a stream that is made or tried.
type NewStream struct {
	Name        string            `json:"name,omitempty"`
	Kind        string            `json:"kind"`
	Format      string            `json:"format,omitempty"`
	Filter      string            `json:"filter,omitempty"`
	Start       *StreamStart      `json:"start,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Checkpoints bool              `json:"checkpoints,omitempty"`
	// CheckpointEvery is as in [Stream].
	CheckpointEvery int `json:"checkpoint_every_seconds,omitempty"`
	LagLimit        int `json:"lag_limit_seconds,omitempty"`
}

// StreamChange is what is to be said of a stream; nil leaves it as it is. Of the
// settings, those named change, and "" removes one.
type StreamChange struct {
	Name        *string           `json:"name,omitempty"`
	Format      *string           `json:"format,omitempty"`
	Filter      *string           `json:"filter,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Checkpoints *bool             `json:"checkpoints,omitempty"`
	// CheckpointEvery is as in [Stream].
	CheckpointEvery *int `json:"checkpoint_every_seconds,omitempty"`
	LagLimit        *int `json:"lag_limit_seconds,omitempty"`
}

// StreamTest is what a destination said to a test.
type StreamTest struct {
	OK      bool   `json:"ok"`
	Class   string `json:"class,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`
	Text    string `json:"text,omitempty"`
	Latency int64  `json:"latency_ms"`
}

// streamPath is where the streams of an organization are, "" being the operator.
func streamPath(org string, below ...string) string {
	path := "/v1/streams"
	if org != "" {
		path = orgPath(org) + "/streams"
	}
	for _, part := range below {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// CreateStream makes a stream of an organization; org "" makes one of the
// operator's.
func (c *Client) CreateStream(ctx context.Context, org string, s NewStream) (*Stream, error) {
	out := new(Stream)
	return out, c.send(ctx, http.MethodPost, streamPath(org), s, out)
}

// Streams yields the streams of an organization, or the operator's, oldest first.
// It ends after the first error.
func (c *Client) Streams(ctx context.Context, org string) iter.Seq2[*Stream, error] {
	return list[Stream](ctx, c, streamPath(org), "streams", url.Values{})
}

// Stream returns a stream by its id.
func (c *Client) Stream(ctx context.Context, org, id string) (*Stream, error) {
	out := new(Stream)
	return out, c.get(ctx, streamPath(org, id), nil, out)
}

// UpdateStream changes a stream.
func (c *Client) UpdateStream(ctx context.Context, org, id string, change StreamChange) (*Stream, error) {
	out := new(Stream)
	return out, c.send(ctx, http.MethodPatch, streamPath(org, id), change, out)
}

// DeleteStream removes a stream with its history.
func (c *Client) DeleteStream(ctx context.Context, org, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: streamPath(org, id)}, nil)
}

// TryStream tests settings that are not saved. With the id of a stream, secrets
// that are left out are that stream's. A destination that refuses is no error.
func (c *Client) TryStream(ctx context.Context, org, id string, s NewStream) (*StreamTest, error) {
	body := struct {
		NewStream
		StreamID string `json:"stream_id,omitempty"`
	}{s, id}
	out := new(StreamTest)
	return out, c.send(ctx, http.MethodPost, streamPath(org, "test"), body, out)
}

// TestStream tests a stream as it is saved. A destination that refuses is no
// error.
func (c *Client) TestStream(ctx context.Context, org, id string) (*StreamTest, error) {
	out := new(StreamTest)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "test"), nil, out)
}

// PauseStream stops delivery until ResumeStream, which goes on where it stopped.
func (c *Client) PauseStream(ctx context.Context, org, id string) (*Stream, error) {
	out := new(Stream)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "pause"), nil, out)
}

// ResumeStream goes on with a paused stream, and asks the destination of a
// failing one again at once.
func (c *Client) ResumeStream(ctx context.Context, org, id string) (*Stream, error) {
	out := new(Stream)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "resume"), nil, out)
}

// StreamDelivery is a batch that has left a stream. Outcome is "delivered",
// "partly", "refused" or "split".
type StreamDelivery struct {
	Number         uint64          `json:"number"`
	Batch          string          `json:"batch"`
	OrganizationID string          `json:"organization_id"`
	First          uint64          `json:"first"`
	Last           uint64          `json:"last"`
	Events         int             `json:"events"`
	Bytes          int             `json:"bytes"`
	Outcome        string          `json:"outcome"`
	Attempts       int             `json:"attempts"`
	FrozenAt       time.Time       `json:"frozen_at"`
	EndedAt        time.Time       `json:"ended_at"`
	Latency        int64           `json:"latency_ms"`
	Status         int             `json:"status,omitempty"`
	Text           string          `json:"text,omitempty"`
	DeadLetters    int             `json:"dead_letters"`
	Replay         string          `json:"replay,omitempty"`
	Checkpoint     bool            `json:"checkpoint"`
	Changed        bool            `json:"changed"`
	Failures       []StreamAttempt `json:"failures"`
}

// StreamDeliveries yields the history of a stream, newest first. It ends after
// the first error.
func (c *Client) StreamDeliveries(ctx context.Context, org, id string) iter.Seq2[*StreamDelivery, error] {
	return list[StreamDelivery](ctx, c, streamPath(org, id, "deliveries"), "deliveries", url.Values{})
}

// StreamDeadLetter is an event that a destination refused for good, with its own
// words.
type StreamDeadLetter struct {
	OrganizationID string    `json:"organization_id"`
	Seq            uint64    `json:"seq"`
	EventID        string    `json:"event_id"`
	Code           string    `json:"code,omitempty"`
	Text           string    `json:"text,omitempty"`
	Message        string    `json:"message,omitempty"`
	Status         int       `json:"status,omitempty"`
	Bytes          int       `json:"bytes"`
	FirstAt        time.Time `json:"first_at"`
	LastAt         time.Time `json:"last_at"`
	Times          int       `json:"times"`
}

// StreamDeadLetters yields the dead letters of a stream by organization and seq.
// It ends after the first error.
func (c *Client) StreamDeadLetters(ctx context.Context, org, id string) iter.Seq2[*StreamDeadLetter, error] {
	return list[StreamDeadLetter](ctx, c, streamPath(org, id, "dead-letters"), "dead_letters", url.Values{})
}

// StreamEvents names events of a log. OrganizationID is for the operator's
// streams.
type StreamEvents struct {
	OrganizationID string   `json:"organization_id,omitempty"`
	Seqs           []uint64 `json:"seqs,omitempty"`
}

// RetryDeadLetters sends dead letters again: those named, or the oldest.
func (c *Client) RetryDeadLetters(ctx context.Context, org, id string, which StreamEvents) (*StreamReplay, error) {
	out := new(StreamReplay)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "dead-letters", "retry"), which, out)
}

// DiscardDeadLetters forgets the dead letters named.
func (c *Client) DiscardDeadLetters(ctx context.Context, org, id string, which StreamEvents) error {
	return c.send(ctx, http.MethodPost, streamPath(org, id, "dead-letters", "discard"), which, nil)
}

// StreamReplay is a range that is delivered again. State is "running", "done" or
// "canceled".
type StreamReplay struct {
	ID             string   `json:"id"`
	OrganizationID string   `json:"organization_id"`
	From           uint64   `json:"from"`
	To             uint64   `json:"to"`
	Seqs           []uint64 `json:"seqs,omitempty"`
	DeadLetters    bool     `json:"dead_letters"`
	State          string   `json:"state"`
	NextSeq        uint64   `json:"next_seq"`
	// Skipped is how many events the destination does not take, such as those
	// that are too old for it.
	Skipped   uint64    `json:"skipped,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
}

// StreamRange is a part of a log: seqs, both included, or times of receipt from
// Since on and before Until. The zero value is all of it. OrganizationID is for
// the operator's streams.
type StreamRange struct {
	OrganizationID string    `json:"organization_id,omitempty"`
	From           *uint64   `json:"from,omitempty"`
	To             *uint64   `json:"to,omitempty"`
	Since          time.Time `json:"since,omitzero"`
	Until          time.Time `json:"until,omitzero"`
}

// ReplayStream delivers a range again, beside live delivery.
func (c *Client) ReplayStream(ctx context.Context, org, id string, r StreamRange) (*StreamReplay, error) {
	out := new(StreamReplay)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "replays"), r, out)
}

// StreamReplays yields the replays of a stream, newest first. It ends after the
// first error.
func (c *Client) StreamReplays(ctx context.Context, org, id string) iter.Seq2[*StreamReplay, error] {
	return list[StreamReplay](ctx, c, streamPath(org, id, "replays"), "replays", url.Values{})
}

// CancelReplay ends a replay that runs.
func (c *Client) CancelReplay(ctx context.Context, org, id, replay string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: streamPath(org, id, "replays", replay)}, nil)
}

// StreamReconciliation compares what lies at an object store with a log: the
// entries with From ≤ seq ≤ To. State is "running", "done", "failed" or
// "canceled".
type StreamReconciliation struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id"`
	From           uint64 `json:"from"`
	To             uint64 `json:"to"`
	State          string `json:"state"`
	// Objects is how many were found so far, NextSeq the first that is not
	// compared yet.
	Objects int    `json:"objects"`
	NextSeq uint64 `json:"next_seq"`
	// Error says why it failed, Found what came of it: nil until it is done.
	Error     string          `json:"error,omitempty"`
	Found     *StreamFindings `json:"found"`
	CreatedAt time.Time       `json:"created_at"`
	CreatedBy string          `json:"created_by,omitempty"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
}

// StreamFindings say what of a log lies at an object store. Summary says it in a
// sentence.
type StreamFindings struct {
	Summary string `json:"summary"`
	// Removed is how many entries of the range the log has no more, since
	// retention has removed them: of those nothing is said.
	Removed    uint64      `json:"removed"`
	Expected   uint64      `json:"expected"`
	Missing    uint64      `json:"missing"`
	Gaps       []StreamGap `json:"gaps"`
	Objects    int         `json:"objects"`
	Duplicates int         `json:"duplicates"`
}

// StreamGap is a range with events that are missing.
type StreamGap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events uint64 `json:"events"`
}

// ReconcileStream starts comparing what lies at a stream's destination with the
// log, which takes minutes where there are many objects. Only object stores can be
// asked; Since and Until are refused. One of a stream runs at a time.
func (c *Client) ReconcileStream(ctx context.Context, org, id string, r StreamRange) (*StreamReconciliation, error) {
	out := new(StreamReconciliation)
	return out, c.send(ctx, http.MethodPost, streamPath(org, id, "reconciliations"), r, out)
}

// StreamReconciliation returns one, with its progress and what came of it.
func (c *Client) StreamReconciliation(ctx context.Context, org, id, reconciliation string) (*StreamReconciliation, error) {
	out := new(StreamReconciliation)
	return out, c.do(ctx, call{method: http.MethodGet, path: streamPath(org, id, "reconciliations", reconciliation)}, out)
}

// StreamReconciliations yields those of a stream, newest first. It ends after the
// first error.
func (c *Client) StreamReconciliations(ctx context.Context, org, id string) iter.Seq2[*StreamReconciliation, error] {
	return list[StreamReconciliation](ctx, c, streamPath(org, id, "reconciliations"), "reconciliations", url.Values{})
}

// CancelReconciliation ends one that runs.
func (c *Client) CancelReconciliation(ctx context.Context, org, id, reconciliation string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: streamPath(org, id, "reconciliations", reconciliation)}, nil)
}

// StreamKinds are the kinds of destinations and the formats of a server.
type StreamKinds struct {
	Kinds   []StreamKind   `json:"kinds"`
	Formats []StreamFormat `json:"formats"`
}

// StreamKind is one kind of destination.
type StreamKind struct {
	Name    string `json:"name"`
	Label   string `json:"label"`
	Summary string `json:"summary"`
	Docs    string `json:"docs,omitempty"`
	// Steps are what is done at the destination, Limits what bounds it.
	Steps  []StreamStep `json:"steps"`
	Limits []string     `json:"limits"`
	// Formats are those it carries, the default first.
	Formats  []string        `json:"formats"`
	Settings []StreamSetting `json:"settings"`
}

// StreamStep is one thing done at a destination. Paste is what to paste there,
// Fills the settings whose values come out of it.
type StreamStep struct {
	Text  string   `json:"text"`
	Paste string   `json:"paste,omitempty"`
	Fills []string `json:"fills,omitempty"`
}

// StreamSetting is one setting of a kind of destination.
type StreamSetting struct {
	Name      string   `json:"name"`
	Label     string   `json:"label"`
	Help      string   `json:"help,omitempty"`
	Example   string   `json:"example,omitempty"`
	Secret    bool     `json:"secret"`
	Required  bool     `json:"required"`
	Default   string   `json:"default,omitempty"`
	Options   []string `json:"options,omitempty"`
	Multiline bool     `json:"multiline"`
	Advanced  bool     `json:"advanced"`
}

// StreamFormat is one format of events.
type StreamFormat struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Help        string `json:"help,omitempty"`
	ContentType string `json:"content_type"`
}

// StreamKinds returns the kinds of destinations and the formats of the server.
func (c *Client) StreamKinds(ctx context.Context) (*StreamKinds, error) {
	out := new(StreamKinds)
	return out, c.get(ctx, "/v1/stream-kinds", nil, out)
}
