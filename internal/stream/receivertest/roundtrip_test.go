package receivertest

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
	"github.com/stelehq/stele/internal/workload"
)

// receiver is somebody else's program at the other end.
type receiver struct {
	kind, format string
	settings     sink.Values
	// wrong are the settings that a stream begins with, in which a secret is
	// wrong, and says part of the sentence that its owner reads then. Without
	// wrong, the receiver has no secret.
	wrong sink.Values
	says  string
	// breaksOff says that the receiver answers a wrong secret by closing the
	// connection: that is invalid only when it happens again.
	breaksOff bool
	// start runs it at the same address as before, stop ends it in good order.
	start, stop func()
	// received lists what has arrived, in the order of arrival, in a form that
	// expected gives too. Test events are left out.
	received func() []string
	// expected is the log in that form.
	expected func(*scene) []string
	// recent says that events have to have occurred lately.
	recent bool
}

const total = 10_000

// roundTrip holds what every receiver has to show: a wrong secret makes the stream
// invalid, with words that help, and nothing arrives; repaired, everything does,
// also what was recorded while the receiver was away: once, in order, unaltered.
// The scene is that of the test.
func roundTrip(t *testing.T, r receiver) *scene {
	t.Helper()
	s := newScene(t)
	events := allEvents(r.recent)
	s.record(events[:2000])
	r.start()
	var st *stream.Stream
	if r.wrong != nil {
		st = s.repaired(r)
	} else {
		st = s.create(r.kind, r.format, r.settings)
	}
	s.record(events[2000:4000])
	s.delivered(st)

	r.stop()
	s.record(events[4000:6000])
	down := s.until(st, "the stream is degraded", func(v stream.Status) bool { return v.Failures > 1 })
	if e := down.LastError; down.State != stream.StateDegraded || e.Class != "retry" || e.Message == "" {
		t.Errorf("while the receiver is away: %+v, %+v", down, e)
	}
	r.start()
	s.record(events[6000:])
	status := s.delivered(st)
	if status.Events != total || status.DeadLetters != 0 || status.Skipped != 0 {
		t.Errorf("delivered: %+v", status)
	}
	want := r.expected(s)
	waitFor(t, "all has arrived", func() bool { return len(r.received()) >= len(want) }, func() string {
		return "there are " + strconv.Itoa(len(r.received())) + " of " + strconv.Itoa(len(want))
	})
	sameEvents(t, r.received(), want)
	return s
}

// repaired makes a stream with a wrong secret, sees what comes of it, and puts the
// right one in.
func (s *scene) repaired(r receiver) *stream.Stream {
	s.t.Helper()
	if got := s.test(r, r.wrong); got.OK || got.Class != "invalid" && !r.breaksOff || !strings.Contains(got.Message, r.says) {
		s.t.Errorf("test with a wrong secret: %+v", got)
	}
	if got := s.test(r, r.settings); !got.OK {
		s.t.Errorf("test: %+v", got)
	}
	st := s.create(r.kind, r.format, r.wrong)
	bad := s.until(st, "the stream is invalid", func(v stream.Status) bool { return v.State == stream.StateInvalid })
	if e := bad.LastError; !strings.Contains(e.Message, r.says) || bad.Events != 0 {
		s.t.Errorf("with a wrong secret the owner reads %q, and %d events are delivered", e.Message, bad.Events)
	}
	if got := r.received(); len(got) > 0 {
		s.t.Errorf("with a wrong secret %d events have arrived", len(got))
	}
	_, err := s.streams.Update(s.t.Context(), organization, st.ID, stream.Key("ada"), func(spec *stream.Spec) error {
		spec.Settings = r.settings
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.delivered(st)
	return st
}

func (s *scene) test(r receiver, settings sink.Values) stream.TestResult {
	s.t.Helper()
	result, err := s.streams.Test(s.t.Context(), organization, "", stream.Spec{
		Kind: r.kind, Format: r.format, Settings: settings, Start: stream.Start{Kind: stream.StartNow},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// sameEvents compares what arrived with what was recorded.
func sameEvents(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d events have arrived, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("event %d, -want +got:\n%s", i, cmp.Diff(want[i], got[i]))
		}
	}
}

// allEvents are the events of a round trip. They are made once: that takes longer
// than delivering them.
func allEvents(recent bool) []*audit.Event {
	if recent {
		return recentEvents()
	}
	return yearOfEvents()
}

var (
	recentEvents = sync.OnceValue(func() []*audit.Event { return makeEvents(total, true) })
	yearOfEvents = sync.OnceValue(func() []*audit.Event { return makeEvents(total, false) })
)

// makeEvents makes events as products send them, a year of them or lately, every
// twentieth as nasty as a valid one gets.
func makeEvents(n int, recent bool) []*audit.Event {
	g := workload.New(1, n)
	nasty := eventtest.Events()
	began := time.Now().Add(-4 * time.Hour).Truncate(time.Millisecond)
	var list []*audit.Event
	for i := range n {
		e := new(audit.Event)
		if i%20 == 19 {
			e = nasty.Example(i)
		} else if err := json.Unmarshal(g.For(nil), e); err != nil {
			panic("the workload makes what is no event: " + err.Error())
		}
		if recent {
			e.OccurredAt = began.Add(time.Duration(i) * time.Millisecond)
		}
		list = append(list, e)
	}
	return list
}

// canonical is a JSON value as Go writes it again: one form for the same value.
// What is not JSON is itself.
func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return marshal(v)
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// canonicalNative is the log in the native JSON, canonical.
func canonicalNative(s *scene) []string {
	list := s.native()
	for i := range list {
		list[i] = canonical(list[i])
	}
	return list
}

func isTest(text string) bool { return strings.Contains(text, stream.TestAction) }
