package receivertest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/egress"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/pebblestore"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// organization is whose log is delivered. Its name has what breaks XML, JSON and
// paths.
const (
	organization     = "org_01JACME"
	organizationName = `Acme & "Söhne" <GmbH>`
)

// scene is one log with its streams: the real ledger on the real store.
type scene struct {
	t       testing.TB
	store   *pebblestore.Store
	ledger  *ledger.Ledger
	streams *stream.Streams
}

// newScene makes a scene. Entries are received late: destinations that gather
// events for a while are sent them at once. tune may change how streams are run.
func newScene(t testing.TB, tune ...func(*stream.Config)) *scene {
	t.Helper()
	const late = 2 * time.Hour
	s := &scene{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.store, err = pebblestore.Open(pebblestore.Config{Dir: t.TempDir(), ReserveBytes: -1, CacheBytes: 8 << 20, MemTableBytes: 8 << 20})
	must(err)
	t.Cleanup(func() { must(s.store.Close()) })
	key, err := ledger.GenerateKey("stele.example.com")
	must(err)
	s.ledger, err = ledger.Open(t.Context(), ledger.Config{
		Store: s.store, KV: s.store, Signer: key, Now: func() time.Time { return time.Now().Add(-late) },
		OnCommit: func(c ledger.CommitStats) {
			if s.streams != nil {
				s.streams.Notify(c.Organization)
			}
		},
	})
	must(err)
	t.Cleanup(func() { must(s.ledger.Close()) })
	guard, err := egress.New([]string{"127.0.0.1"})
	must(err)
	formats, err := format.All()
	must(err)
	keys, err := stream.ParseKeyring(stream.NewKey("test"))
	must(err)
	cfg := stream.Config{
		KV: s.store, Log: s.ledger, Scanner: s.store, Directory: directory{}, Kinds: sink.Standard(), Formats: formats, Keys: keys,
		Dial: guard.Dial, Server: "stele.example.com", Product: "1.0", Poll: time.Second,
		Logger: slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Now:    time.Now, Rand: func() float64 { return 0 }, // no pauses longer than a receiver asks for
	}
	for _, change := range tune {
		change(&cfg)
	}
	s.streams, err = stream.Open(t.Context(), cfg)
	must(err)
	t.Cleanup(func() { must(s.streams.Close()) })
	return s
}

// logWriter shows what the engine logs, with the test.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(line []byte) (int, error) {
	_, err := fmt.Fprint(w.t.Output(), string(line))
	return len(line), err //nolint:wrapcheck // the test's own output
}

var _ io.Writer = logWriter{}

// directory knows one organization.
type directory struct{}

func (directory) OrganizationName(context.Context, string) (string, error) {
	return organizationName, nil
}

func (directory) OrganizationIDs(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield(organization, nil) }
}

// record appends events to the log, in requests of a few hundred.
func (s *scene) record(events []*audit.Event) {
	s.t.Helper()
	for chunk := range slices.Chunk(events, 500) {
		b := ledger.NewBatch(organization)
		for _, e := range chunk {
			ev, err := event.FromAudit(e)
			if err == nil {
				err = b.Add(ev)
			}
			if err != nil {
				s.t.Fatal(err)
			}
		}
		if _, err := s.ledger.Append(s.t.Context(), b); err != nil {
			s.t.Fatal(err)
		}
	}
}

// entries calls fn with every entry of the log, in order.
func (s *scene) entries(fn func(*event.Entry)) {
	s.t.Helper()
	at, err := s.ledger.Through(s.t.Context(), organization)
	if err != nil {
		s.t.Fatal(err)
	}
	for e, err := range s.store.Scan(s.t.Context(), organization, audit.Query{}, 0, at.Seq+1, false) {
		if err != nil {
			s.t.Fatal(err)
		}
		fn(e)
	}
}

// native lists the log in the native JSON, as streams send it.
func (s *scene) native() []string { return s.formatted("json") }

// formatted lists the log in a format.
func (s *scene) formatted(name string) []string {
	s.t.Helper()
	formats, err := format.All()
	if err != nil {
		s.t.Fatal(err)
	}
	f, ok := formats.Get(name, 0)
	if !ok {
		s.t.Fatalf("there is no format %q", name)
	}
	var list []string
	s.entries(func(e *event.Entry) {
		list = append(list, string(f.Append(nil, &format.Input{
			Entry: e, Organization: organization, OrganizationName: organizationName, Server: "stele.example.com", Product: "1.0",
		})))
	})
	return list
}

// create makes a stream of the whole log.
func (s *scene) create(kind, format string, settings sink.Values) *stream.Stream {
	s.t.Helper()
	st, err := s.streams.Create(s.t.Context(), organization, stream.Spec{
		Kind: kind, Format: format, Settings: settings, Start: stream.Start{Kind: stream.StartBeginning},
	}, stream.Key("ada"))
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *scene) status(st *stream.Stream) stream.Status {
	s.t.Helper()
	status, err := s.streams.Status(s.t.Context(), organization, st.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

// until waits for a stream to be as wanted.
func (s *scene) until(st *stream.Stream, what string, is func(stream.Status) bool) stream.Status {
	s.t.Helper()
	var last stream.Status
	waitFor(s.t, what, func() bool {
		last = s.status(st)
		return is(last)
	}, func() string { return fmt.Sprintf("%+v, last error %+v", last, last.LastError) })
	return last
}

// delivered waits until a stream has delivered all that is recorded.
func (s *scene) delivered(st *stream.Stream) stream.Status {
	s.t.Helper()
	return s.until(st, "all is delivered", func(v stream.Status) bool { return v.LagEvents == 0 && v.State == stream.StateActive })
}

const (
	// patience is how long a test waits for what takes well under a second on
	// an idle machine.
	patience = 2 * time.Minute
	// Between two looks, which may cost something, the pause grows.
	firstPause = 5 * time.Millisecond
	longPause  = 250 * time.Millisecond
)

// waitFor looks until a condition of another process holds; state says how it is
// when it never does.
func waitFor(t testing.TB, what string, holds func() bool, state func() string) {
	t.Helper()
	late := time.After(patience)
	for pause := firstPause; !holds(); pause = min(2*pause, longPause) {
		select {
		case <-time.After(pause):
		case <-late:
			t.Fatalf("after %s it does not hold that %s: %s", patience, what, state())
		case <-t.Context().Done():
			t.Fatalf("it does not hold that %s: %s", what, state())
		}
	}
}
