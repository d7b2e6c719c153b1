package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// world is what streams look at in tests: logs, organizations, a journal.
type world struct {
	mu      sync.Mutex
	logs    map[string][]*event.Entry
	orgs    []string
	changes []Change
}

func newWorld(orgs ...string) *world {
	return &world{logs: map[string][]*event.Entry{}, orgs: orgs}
}

// add records n entries; every third has another action.
func (w *world) add(org string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		seq := len(w.logs[org])
		action := "user.created"
		if seq%3 == 2 {
			action = "user.viewed"
		}
		now := time.Now()
		e := &event.Entry{
			Event: event.Event{
				Action: []byte(action), Version: 1, OccurredAt: now.UnixNano(),
				Actor: event.Party{Type: []byte("user"), ID: fmt.Append(nil, "u", seq)},
			},
			Seq: uint64(seq), ReceivedAt: now.UnixMilli(),
		}
		copy(e.ID[:], catalog.NewULID(now))
		w.logs[org] = append(w.logs[org], e)
	}
}

func (w *world) at(org string, seq uint64) *event.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs[org][seq]
}

func (w *world) size(org string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.logs[org])
}

func (w *world) Through(_ context.Context, org string) (*audit.Position, error) {
	n := w.size(org)
	if n == 0 {
		return nil, nil //nolint:nilnil // an empty log
	}
	return &audit.Position{Seq: uint64(n - 1), ReceivedAt: w.at(org, uint64(n-1)).ReceivedTime()}, nil
}

func (w *world) Checkpoint(_ context.Context, org string) ([]byte, error) {
	return fmt.Appendf(nil, "stele.example/%s\n%d\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— stele.example AAAA\n", org, w.size(org)), nil
}

func (w *world) Scan(ctx context.Context, org string, q audit.Query, from, to uint64, _ bool) iter.Seq2[*event.Entry, error] {
	m := search.Compile(q)
	return func(yield func(*event.Entry, error) bool) {
		for seq := from; seq < min(to, uint64(w.size(org))); seq++ {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if e := w.at(org, seq); m.Match(e) && !yield(e, nil) {
				return
			}
		}
	}
}

func (w *world) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	return search.SurveyScan(ctx, w.Scan(ctx, org, q, from, to, false))
}

func (w *world) OrganizationName(_ context.Context, org string) (string, error) {
	return "Name of " + org, nil
}

func (w *world) OrganizationIDs(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w.mu.Lock()
		orgs := slices.Clone(w.orgs)
		w.mu.Unlock()
		for _, org := range orgs {
			if !yield(org, nil) {
				return
			}
		}
	}
}

func (w *world) RecordStreamChange(_ context.Context, c Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(w.changes, func(o Change) bool { return o.ID == c.ID }) {
		w.changes = append(w.changes, c)
	}
	return nil
}

// told lists the actions and states told so far.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, c := range w.changes {
		text := c.Action
		if c.To != "" {
			text += " " + string(c.From) + ">" + string(c.To)
		}
		list = append(list, text)
	}
	return list
}

// plain is a format for tests.
type plain struct{ version int }

func (p plain) Info() format.Info {
	return format.Info{Name: "json", Version: p.version, JSON: true, ContentType: "application/json"}
}

func (p plain) Append(dst []byte, in *format.Input) []byte {
	return fmt.Appendf(dst, `{"v":%d,"org":%q,"name":%q,"seq":%d,"product":%q}`, p.version, in.Organization, in.OrganizationName, in.Entry.Seq, in.Product)
}

func (p plain) AppendCheckpoint(dst []byte, cp *format.Checkpoint) []byte {
	return fmt.Appendf(dst, `{"checkpoint":%d}`, cp.Size)
}

// script is a sink whose answers a test gives.
type script struct {
	mu     sync.Mutex
	limits sink.Limits
	send   func(ctx context.Context, b *sink.Batch) error
	got    []sink.Batch // every attempt
	values []sink.Values
}

func (s *script) kind() sink.Kind {
	return sink.Kind{
		Name: "test", Label: "Test",
		Settings: []sink.Setting{{Name: "url", Required: true}, {Name: "token", Secret: true}},
		Open: func(v sink.Values, _ sink.Env) (sink.Sink, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.values = append(s.values, v)
			return s, nil
		},
	}
}

func (s *script) Send(ctx context.Context, b *sink.Batch) (sink.Answer, error) {
	s.mu.Lock()
	kept := *b
	kept.Events = slices.Clone(b.Events)
	s.got = append(s.got, kept)
	send := s.send
	s.mu.Unlock()
	if send == nil {
		return sink.Answer{Status: 200}, nil
	}
	if err := send(ctx, b); err != nil {
		return sink.Answer{Status: 400, Text: "no: " + err.Error()}, err
	}
	return sink.Answer{Status: 200}, nil
}

func (s *script) Test(ctx context.Context, b *sink.Batch) (sink.Answer, error) { return s.Send(ctx, b) }
func (s *script) Limits() sink.Limits                                          { return s.limits }
func (s *script) Close() error                                                 { return nil }

func (s *script) answer(send func(ctx context.Context, b *sink.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = send
}

func (s *script) batches() []sink.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// opened are the settings that it was opened with last.
func (s *script) opened() sink.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[len(s.values)-1]
}

// seqs are the events of all attempts so far, in order.
func (s *script) seqs() []uint64 {
	var list []uint64
	for _, b := range s.batches() {
		for _, e := range b.Events {
			list = append(list, e.Seq)
		}
	}
	return list
}

var errStore = errors.New("the store failed")

// faultyKV fails writes: before they are made or after.
type faultyKV struct {
	*storetest.Memory
	fault func() (before, after bool)
}

func (k *faultyKV) Apply(ctx context.Context, changes ...catalog.Change) error {
	var before, after bool
	if k.fault != nil {
		before, after = k.fault()
	}
	if before {
		return errStore
	}
	if err := k.Memory.Apply(ctx, changes...); err != nil {
		return err
	}
	if after {
		return errStore
	}
	return nil
}

const testKeys = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func config(t *testing.T, kv catalog.KV, w *world, kinds ...sink.Kind) Config {
	t.Helper()
	keys, err := ParseKeyring(testKeys)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		KV: kv, Log: w, Scanner: w, Directory: w, Journal: w, Keys: keys,
		Kinds: sink.NewKinds(kinds...), Formats: format.NewRegistry(plain{version: 1}),
		Server: "stele.example", Product: "1.0", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, cfg Config) *Streams {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Streams) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func spec(start StartKind) Spec {
	return Spec{Kind: "test", Start: Start{Kind: start}, Settings: sink.Values{"url": "https://x.example", "token": "top-secret-token-1234"}}
}

func create(t *testing.T, s *Streams, org string, sp Spec) *Stream {
	t.Helper()
	st, err := s.Create(t.Context(), org, sp, Key("ada"))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func status(t *testing.T, s *Streams, st *Stream) Status {
	t.Helper()
	out, err := s.Status(t.Context(), st.Organization, st.ID)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
