package stream

import (
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// TestReplaySaysWhatItSkipped holds that a replay of events which are too old for
// the destination does not end as if it had delivered them.
func TestReplaySaysWhatItSkipped(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.limits = sink.Limits{OldestEvent: 18 * time.Hour}
		w.add("org_1", 4)
		time.Sleep(20 * time.Hour)
		w.add("org_1", 2)
		st := create(t, s, "org_1", spec(StartNow))
		if _, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		diff(t, sc.seqs(), seqsFrom(4, 6))
		all, err := s.Replays(t.Context(), "org_1", st.ID)
		if err != nil || len(all) != 1 || all[0].State != ReplayDone || all[0].Skipped() != 4 {
			t.Fatalf("%+v, %v", all, err)
		}
		const want = "4 events skipped: occurred more than 18h0m0s before"
		if got := w.detail(ActionReplayEnded); len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("told %q", got)
		}
	})
}

// detail is what was told with the last change of an action.
func (w *world) detail(action string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := ""
	for _, c := range w.changes {
		if c.Action == action {
			text = c.Detail
		}
	}
	return text
}

// TestReplayOfDeleted holds that a replay that is begun while its stream is being
// deleted leaves nothing behind.
func TestReplayOfDeleted(t *testing.T) {
	w := newWorld("org_1")
	w.add("org_1", 3)
	sc := &script{}
	cfg := config(t, storetest.NewMemory(), w, sc.kind())
	s := open(t, cfg)
	defer closed(t, s)
	for range 200 {
		st := create(t, s, "org_1", spec(StartNow))
		var replaying sync.WaitGroup
		for range 4 {
			replaying.Go(func() {
				if _, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{By: Key("ada")}); err != nil && !isNotFound(err) {
					t.Error(err)
				}
			})
		}
		if err := s.Delete(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		replaying.Wait()
		recs, err := cfg.KV.List(t.Context(), prefixReplay, "", 100)
		if err != nil || len(recs) != 0 {
			t.Fatalf("left: %+v, %v", recs, err)
		}
	}
}
