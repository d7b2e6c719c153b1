package api

import (
	"maps"
	"net/http"
	"slices"

	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// streamAnswer is a stream in an answer, with how it is doing. Its secrets are
// never in it.
type streamAnswer struct {
	ID             string                  `json:"id"`
	OrganizationID string                  `json:"organization_id,omitempty"`
	Name           string                  `json:"name"`
	Kind           string                  `json:"kind"`
	Format         string                  `json:"format"`
	Filter         string                  `json:"filter"`
	Start          startAnswer             `json:"start"`
	Settings       map[string]string       `json:"settings"`
	Secrets        map[string]secretAnswer `json:"secrets"`
	Checkpoints    bool                    `json:"checkpoints"`
	Every          int                     `json:"checkpoint_every_seconds"`
	LagLimit       int                     `json:"lag_limit_seconds"`
	CreatedAt      stamp                   `json:"created_at"`
	CreatedBy      string                  `json:"created_by,omitempty"`
	UpdatedAt      stamp                   `json:"updated_at"`
	Status         statusAnswer            `json:"status"`
}

type startAnswer struct {
	Kind stream.StartKind `json:"kind"`
	Date stamp            `json:"date,omitzero"`
}

// secretAnswer is what may be known of a secret: that it is there.
type secretAnswer struct {
	Hint      string `json:"hint,omitempty"`
	UpdatedAt stamp  `json:"updated_at"`
}

// statusAnswer is how a stream is doing.
type statusAnswer struct {
	State           stream.State     `json:"state"`
	Since           stamp            `json:"since"`
	Held            bool             `json:"held"`
	Next            *uint64          `json:"next_seq,omitempty"`
	LogSize         *uint64          `json:"log_size,omitempty"`
	LagEvents       uint64           `json:"lag_events"`
	LagSeconds      float64          `json:"lag_seconds"`
	LastSuccess     stamp            `json:"last_success_at,omitzero"`
	LastError       *attemptAnswer   `json:"last_error,omitempty"`
	Failures        int              `json:"consecutive_failures"`
	NextAttempt     stamp            `json:"next_attempt_at,omitzero"`
	Events          uint64           `json:"events"`
	Bytes           uint64           `json:"bytes"`
	Batches         uint64           `json:"batches"`
	DeadLetters     int              `json:"dead_letters"`
	DeadTotal       uint64           `json:"dead_letters_total"`
	Skipped         uint64           `json:"skipped"`
	LatencyP95      int64            `json:"latency_p95_ms"`
	EventsPerMinute []int            `json:"events_per_minute"`
	InFlight        []inFlightAnswer `json:"in_flight"`
	Skips           []skipAnswer     `json:"skips"`
	Expires         *expiresAnswer   `json:"credential_expires,omitempty"`
}

// expiresAnswer is a setting that stops working by itself.
type expiresAnswer struct {
	Setting string `json:"setting"`
	At      stamp  `json:"at"`
}

type attemptAnswer struct {
	At      stamp  `json:"at"`
	Latency int64  `json:"latency_ms"`
	Class   string `json:"class"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Status  int    `json:"status,omitzero"`
	Text    string `json:"text,omitempty"`
}

type inFlightAnswer struct {
	OrganizationID string `json:"organization_id"`
	First          uint64 `json:"first"`
	Last           uint64 `json:"last"`
	Events         int    `json:"events"`
	Attempts       int    `json:"attempts"`
	FrozenAt       stamp  `json:"frozen_at"`
}

type skipAnswer struct {
	OrganizationID string `json:"organization_id"`
	From           uint64 `json:"from"`
	To             uint64 `json:"to"`
	Events         uint64 `json:"events"`
	Reason         string `json:"reason"`
}

// streamOf is a stream with how it is doing now.
func (a *api) streamOf(r *server.Request, st *stream.Stream) (streamAnswer, error) {
	status, err := a.Streams.Status(r.Context(), st.Organization, st.ID)
	if err != nil {
		return streamAnswer{}, err
	}
	out := streamAnswer{
		ID: st.ID, OrganizationID: st.Organization, Name: st.Name, Kind: st.Kind, Format: st.Format, Filter: st.Filter,
		Start: startAnswer{Kind: st.Start.Kind, Date: stamp(st.Start.Date)}, Settings: map[string]string{},
		Secrets: map[string]secretAnswer{}, Checkpoints: st.Checkpoints, Every: st.CheckpointEvery, LagLimit: st.LagLimit,
		CreatedAt: stamp(st.CreatedAt), CreatedBy: st.CreatedBy.ID, UpdatedAt: stamp(st.UpdatedAt),
		Status: statusOf(st, &status),
	}
	maps.Copy(out.Settings, st.Settings)
	for name, secret := range st.Secrets {
		out.Secrets[name] = secretAnswer{Hint: secret.Hint, UpdatedAt: stamp(secret.UpdatedAt)}
	}
	return out, nil
}

func statusOf(st *stream.Stream, s *stream.Status) statusAnswer {
	out := statusAnswer{
		State: s.State, Since: stamp(s.Since), Held: s.Held, LagEvents: s.LagEvents, LagSeconds: s.LagSeconds,
		LastSuccess: stamp(s.LastSuccess), LastError: attemptOf(s.LastError), Failures: s.Failures, NextAttempt: stamp(s.NextAttempt),
		Events: s.Events, Bytes: s.Bytes, Batches: s.Batches, DeadLetters: s.DeadNow, DeadTotal: s.DeadLetters, Skipped: s.Skipped,
		LatencyP95: s.LatencyP95, EventsPerMinute: s.Rate, InFlight: []inFlightAnswer{}, Skips: []skipAnswer{},
	}
	if st.Organization != "" {
		out.Next, out.LogSize = &s.Next, &s.Head
	}
	if c := s.Expires; c != nil {
		out.Expires = &expiresAnswer{Setting: c.Setting, At: stamp(c.ExpiresAt)}
	}
	for _, b := range s.InFlight {
		out.InFlight = append(out.InFlight, inFlightAnswer{
			OrganizationID: b.Organization, First: b.First, Last: b.Last, Events: b.Events, Attempts: b.Attempts, FrozenAt: stamp(b.FrozenAt),
		})
	}
	for _, org := range slices.Sorted(maps.Keys(s.Skips)) {
		for _, skip := range s.Skips[org] {
			out.Skips = append(out.Skips, skipAnswer{OrganizationID: org, From: skip.From, To: skip.To, Events: skip.Events, Reason: skip.Reason})
		}
	}
	return out
}

func attemptOf(t *stream.Attempt) *attemptAnswer {
	if t == nil {
		return nil
	}
	return &attemptAnswer{At: stamp(t.At), Latency: t.Latency, Class: t.Class, Code: t.Code, Message: t.Message, Status: t.Status, Text: t.Text}
}

// testAnswer is what a destination said to a test.
type testAnswer struct {
	OK      bool   `json:"ok"`
	Class   string `json:"class,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitzero"`
	Text    string `json:"text,omitempty"`
	Latency int64  `json:"latency_ms"`
}

// deliveryAnswer is a batch that has left a stream.
type deliveryAnswer struct {
	Number         uint64          `json:"number"`
	Batch          string          `json:"batch"`
	OrganizationID string          `json:"organization_id"`
	First          uint64          `json:"first"`
	Last           uint64          `json:"last"`
	Events         int             `json:"events"`
	Bytes          int             `json:"bytes"`
	Outcome        stream.Outcome  `json:"outcome"`
	Attempts       int             `json:"attempts"`
	FrozenAt       stamp           `json:"frozen_at"`
	EndedAt        stamp           `json:"ended_at"`
	Latency        int64           `json:"latency_ms"`
	Status         int             `json:"status,omitzero"`
	Text           string          `json:"text,omitempty"`
	DeadLetters    int             `json:"dead_letters"`
	Replay         string          `json:"replay,omitempty"`
	Checkpoint     bool            `json:"checkpoint"`
	Changed        bool            `json:"changed"`
	Failures       []attemptAnswer `json:"failures"`
}

func deliveryOf(d *stream.Delivery) deliveryAnswer {
	out := deliveryAnswer{
		Number: d.Number, Batch: d.Batch, OrganizationID: d.Organization, First: d.First, Last: d.Last, Events: d.Events, Bytes: d.Bytes,
		Outcome: d.Outcome, Attempts: d.Attempts, FrozenAt: stamp(d.FrozenAt), EndedAt: stamp(d.EndedAt), Latency: d.Latency,
		Status: d.Status, Text: d.Text, DeadLetters: d.DeadLetters, Replay: d.Replay, Checkpoint: d.Checkpoint, Changed: d.Changed,
		Failures: []attemptAnswer{},
	}
	for i := range d.Failures {
		out.Failures = append(out.Failures, *attemptOf(&d.Failures[i]))
	}
	return out
}

// replayAnswer is a range that is delivered again.
type replayAnswer struct {
	ID             string             `json:"id"`
	OrganizationID string             `json:"organization_id"`
	From           uint64             `json:"from"`
	To             uint64             `json:"to"`
	Seqs           []uint64           `json:"seqs,omitempty"`
	DeadLetters    bool               `json:"dead_letters"`
	State          stream.ReplayState `json:"state"`
	Next           uint64             `json:"next_seq"`
	Skipped        uint64             `json:"skipped"` // events that the destination does not take
	CreatedAt      stamp              `json:"created_at"`
	CreatedBy      string             `json:"created_by,omitempty"`
	EndedAt        stamp              `json:"ended_at,omitzero"`
}

func replayOf(r *stream.Replay) replayAnswer {
	return replayAnswer{
		ID: r.ID, OrganizationID: r.Organization(), From: r.From, To: r.To, Seqs: r.Seqs, DeadLetters: r.Dead, State: r.State,
		Next: r.Next(), Skipped: r.Skipped(), CreatedAt: stamp(r.CreatedAt), CreatedBy: r.CreatedBy.ID, EndedAt: stamp(r.EndedAt),
	}
}

// deadLetterAnswer is an event that the destination refused.
type deadLetterAnswer struct {
	OrganizationID string `json:"organization_id"`
	Seq            uint64 `json:"seq"`
	EventID        string `json:"event_id"`
	Code           string `json:"code,omitempty"`
	Text           string `json:"text,omitempty"`
	Message        string `json:"message,omitempty"`
	Status         int    `json:"status,omitzero"`
	Bytes          int    `json:"bytes"`
	FirstAt        stamp  `json:"first_at"`
	LastAt         stamp  `json:"last_at"`
	Times          int    `json:"times"`
}

func deadLetterOf(d *stream.DeadLetter) deadLetterAnswer {
	return deadLetterAnswer{
		OrganizationID: d.Organization, Seq: d.Seq, EventID: d.ID, Code: d.Code, Text: d.Text, Message: d.Message, Status: d.Status,
		Bytes: d.Bytes, FirstAt: stamp(d.FirstAt), LastAt: stamp(d.LastAt), Times: d.Times,
	}
}

// kindAnswer is a kind of destination: what a form for it is made of.
type kindAnswer struct {
	Name     string          `json:"name"`
	Label    string          `json:"label"`
	Summary  string          `json:"summary"`
	Docs     string          `json:"docs,omitempty"`
	Steps    []stepAnswer    `json:"steps"`
	Limits   []string        `json:"limits"`
	Formats  []string        `json:"formats"`
	Settings []settingAnswer `json:"settings"`
}

type stepAnswer struct {
	Text  string   `json:"text"`
	Paste string   `json:"paste,omitempty"`
	Fills []string `json:"fills,omitempty"`
}

type settingAnswer struct {
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

type formatAnswer struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Help        string `json:"help,omitempty"`
	ContentType string `json:"content_type"`
}

// kindList is every kind of destination and every format there is.
type kindList struct {
	Kinds   []kindAnswer   `json:"kinds"`
	Formats []formatAnswer `json:"formats"`
}

func (a *api) listStreamKinds(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var out kindList
	var all []string
	for _, f := range a.Streams.Formats() {
		out.Formats = append(out.Formats, formatAnswer{Name: f.Name, Label: f.Label, Help: f.Help, ContentType: f.ContentType})
		all = append(all, f.Name)
	}
	for _, k := range a.Streams.Kinds() {
		one := kindAnswer{
			Name: k.Name, Label: k.Label, Summary: k.Summary, Docs: k.Docs, Steps: []stepAnswer{}, Limits: append([]string{}, k.Limits...),
			Formats: k.Formats, Settings: []settingAnswer{},
		}
		if len(one.Formats) == 0 {
			one.Formats = all
		}
		for _, s := range k.Guide(nil) {
			one.Steps = append(one.Steps, stepAnswer{Text: s.Text, Paste: s.Paste, Fills: s.Fills})
		}
		for _, s := range k.Settings {
			one.Settings = append(one.Settings, settingAnswer{
				Name: s.Name, Label: s.Label, Help: s.Help, Example: s.Example, Secret: s.Secret, Required: s.Required,
				Default: s.Default, Options: s.Options, Multiline: s.Multiline, Advanced: s.Advanced,
			})
		}
		out.Kinds = append(out.Kinds, one)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}
