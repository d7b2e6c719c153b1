package stream

import (
	"context"
	"maps"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// TestAction is the action of the synthetic event that a test sends.
const TestAction = "log_stream.tested"

// testTimeout bounds a test: somebody waits for it.
const testTimeout = 30 * time.Second

// TestResult is what a destination said to a test.
type TestResult struct {
	OK bool `json:"ok"`
	// Class and Code are those of the error; Message says what to do.
	Class   string `json:"class,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// Status and Text are the destination's answer.
	Status  int    `json:"status,omitempty"`
	Text    string `json:"text,omitempty"`
	Latency int64  `json:"latency_ms"`
}

// Test sends a synthetic event to a destination as it would be with spec,
// without recording anything. With the id of a stream, the secrets that spec
// leaves out are that stream's. A destination that refuses is no error. Errors:
// not_found, and those of Create about the spec.
func (s *Streams) Test(ctx context.Context, org, id string, spec Spec) (TestResult, error) {
	st := &Stream{Organization: org, ID: id, Spec: spec}
	was := sink.Values{}
	if id != "" {
		old, err := s.Get(ctx, org, id)
		if err != nil {
			return TestResult{}, err
		}
		c := old.clone()
		if spec.Kind == old.Kind {
			st.Secrets, was = c.Secrets, c.Settings
		}
	}
	st.Settings = sink.Values{}
	maps.Copy(st.Settings, spec.Settings)
	if err := s.keepSecrets(st, was); err != nil {
		return TestResult{}, err
	}
	checked, kind, err := s.checked(st.Spec)
	if err != nil {
		return TestResult{}, err
	}
	secrets := kind.Secrets(checked.Settings)
	opened, err := kind.Open(checked.Settings, sink.Env{
		Dial: s.cfg.Dial, Now: s.cfg.Now, UserAgent: "Stele/" + s.cfg.Product, Server: s.cfg.Server, Stream: id,
	})
	if err != nil {
		return TestResult{Class: sink.Invalid.String(), Code: "settings", Message: sink.Excerpt(err.Error(), secrets...)}, nil
	}
	result := s.try(ctx, opened, s.testBatch(org, checked), secrets)
	if err := opened.Close(); err != nil && result.OK {
		result.OK, result.Message = false, sink.Excerpt(err.Error(), secrets...)
	}
	return result, nil
}

func (s *Streams) try(ctx context.Context, opened sink.Sink, b *sink.Batch, secrets []string) TestResult {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	start := s.cfg.Now()
	answer, err := opened.Test(ctx, b)
	result := TestResult{
		OK: err == nil, Status: answer.Status, Text: sink.Excerpt(answer.Text, secrets...),
		Latency: s.cfg.Now().Sub(start).Milliseconds(),
	}
	if err != nil {
		fault := sink.AsError(err)
		result.Class, result.Code = fault.Class.String(), fault.Code
		result.Message = sink.Excerpt(fault.Message, secrets...)
	}
	return result
}

// testBatch is the synthetic event, made by the stream's own format.
func (s *Streams) testBatch(org string, spec Spec) *sink.Batch {
	now := s.now()
	e := &event.Entry{
		Event: event.Event{
			Action: []byte(TestAction), Version: 1, OccurredAt: now.UnixNano(),
			Actor:    event.Party{Type: []byte("system"), ID: []byte("stele"), Name: []byte("Stele")},
			Metadata: []byte(`{"test":true}`),
		},
		ReceivedAt: now.UnixMilli(),
	}
	copy(e.ID[:], catalog.NewULID(now))
	fm, _ := s.cfg.Formats.Get(spec.Format, 0) // checked
	if org == "" {
		org = "test"
	}
	info := fm.Info()
	text := fm.Append(nil, &format.Input{Entry: e, Organization: org, Server: s.cfg.Server, Product: s.cfg.Product})
	return &sink.Batch{
		ID: "test_" + e.ID.String(), Organization: org, Format: info.Name, JSON: info.JSON, ContentType: info.ContentType,
		Events:  []sink.Event{{ID: e.ID, OccurredAt: now, ReceivedAt: now, Encoded: text, Entry: e}},
		Bytes:   len(text),
		Attempt: 1, Test: true,
	}
}
