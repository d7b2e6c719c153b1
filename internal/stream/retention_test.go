package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// keepWorld is a world whose log is in a store that shows what is kept.
type keepWorld struct {
	*world

	store *storetest.Memory
	log   *storetest.Log
	mu    sync.Mutex
	keep  *search.Keep
}

func newKeepWorld() *keepWorld {
	w := &keepWorld{world: newWorld("org_1"), store: storetest.NewMemory(), log: storetest.NewLog("org_1")}
	w.store.SetKeeper(func(string, time.Time) (*search.Keep, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.keep, nil
	})
	return w
}

// record commits entries of which every third has another action.
func (w *keepWorld) record(t *testing.T, n int) {
	t.Helper()
	var events []*event.Event
	for i := range n {
		action := "user.created"
		if (int(w.log.Head.Size)+i)%3 == 2 {
			action = "user.viewed"
		}
		events = append(events, &event.Event{
			Action: []byte(action), Version: 1, OccurredAt: time.Now().UnixNano(), Actor: event.Party{Type: []byte("user"), ID: []byte("ada")},
		})
	}
	c := w.log.Next(time.Now().UnixMilli(), events, nil)
	if err := w.store.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.log.Add(c)
}

func (w *keepWorld) due(t *testing.T, filters ...string) {
	t.Helper()
	var list []audit.Query
	for _, f := range filters {
		q, err := audit.ParseQuery(f)
		if err != nil {
			t.Fatal(err)
		}
		q.ReceivedTo = time.Now()
		list = append(list, q)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep = search.NewKeep(list, nil)
}

func (w *keepWorld) Through(ctx context.Context, org string) (*audit.Position, error) {
	h, err := w.store.Head(ctx, org)
	return h.Position(), err
}

// kept runs a test in a bubble of time.
func kept(t *testing.T, run func(t *testing.T, s *Streams, w *keepWorld, sc *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, sc := newKeepWorld(), &script{}
		kind := sc.kind()
		kind.Open = func(sink.Values, sink.Env) (sink.Sink, error) { return shelf{sc}, nil }
		cfg := config(t, storetest.NewMemory(), w.world, kind)
		cfg.Log, cfg.Scanner, cfg.First = w, w.store, w.store.First
		s := open(t, cfg)
		run(t, s, w, sc)
		closed(t, s)
	})
}

// delivered are the seqs of the attempts that the destination has taken.
func (s *script) delivered(fails func(b *sink.Batch) bool) []uint64 {
	var list []uint64
	for _, b := range s.batches() {
		if fails != nil && fails(&b) {
			continue
		}
		for _, e := range b.Events {
			list = append(list, e.Seq)
		}
	}
	return list
}

func checkSkips(t *testing.T, st Status, want ...Skip) {
	t.Helper()
	var sum uint64
	for _, s := range want {
		sum += s.Events
	}
	if got := st.Skips["org_1"]; !slices.Equal(got, want) || st.Skipped != sum {
		t.Errorf("skipped %d: %+v, want %d: %+v", st.Skipped, got, sum, want)
	}
}

// TestRetentionBeginning: a stream that was paused for longer than entries are
// kept notes the range that is gone, and goes on with what is left.
func TestRetentionBeginning(t *testing.T) {
	for _, filter := range []string{"", "action:user.created"} {
		kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
			sp := spec(StartBeginning)
			sp.Filter = filter
			st := create(t, s, "org_1", sp)
			w.record(t, 3)
			s.Notify("org_1")
			synctest.Wait()
			if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
				t.Fatal(err)
			}
			w.record(t, 6)
			time.Sleep(time.Hour)
			w.due(t, "")
			w.record(t, 3)
			if _, err := s.Resume(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			want := []uint64{0, 1, 2, 9, 10, 11}
			if filter != "" {
				want = []uint64{0, 1, 9, 10}
			}
			diff(t, sc.seqs(), want)
			got := status(t, s, st)
			checkSkips(t, got, Skip{From: 3, To: 8, Events: 6, Reason: reasonRemoved})
			if got.LagEvents != 0 || got.Next != 12 && filter == "" {
				t.Errorf("afterwards: %+v", got)
			}
			w.due(t, "")
			w.record(t, 1) // all that was there is due
			s.Notify("org_1")
			synctest.Wait()
			checkSkips(t, status(t, s, st), Skip{From: 3, To: 8, Events: 6, Reason: reasonRemoved})
		})
	}
}

// TestRetentionBetween: entries of a class that are gone from the middle of what
// is to be sent are counted, once, however often the batch is tried and split.
func TestRetentionBetween(t *testing.T) {
	kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
		w.record(t, 10) // 2, 5 and 8 are of the other class
		time.Sleep(time.Hour)
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			if len(b.Events) > 2 {
				return sink.Errorf(sink.TooLarge, "", "too large")
			}
			return nil
		})
		w.due(t, "action:user.viewed")
		w.record(t, 2) // 11 is kept
		st := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(time.Minute)
		diff(t, sc.delivered(func(b *sink.Batch) bool { return len(b.Events) > 2 }), []uint64{0, 1, 3, 4, 6, 7, 9, 10, 11})
		checkSkips(t, status(t, s, st), Skip{From: 2, To: 8, Events: 3, Reason: reasonRemoved})
	})
}

// TestRetentionOfBatch: what is removed of a batch that was tried already is
// noted, and the rest is sent under the same name; so is all of it.
func TestRetentionOfBatch(t *testing.T) {
	for _, tt := range []struct {
		filter string
		due    string
		want   []uint64
		skip   Skip
	}{
		{"", "action:user.viewed", []uint64{0, 1, 3, 4}, Skip{From: 2, To: 5, Events: 2, Reason: reasonRemoved}},
		{"", "", nil, Skip{From: 0, To: 5, Events: 6, Reason: reasonRemoved}},
		{"actor:ada", "action:user.viewed", []uint64{0, 1, 3, 4}, Skip{From: 0, To: 5, Events: 2, Reason: reasonLost}},
		{"action:user.viewed", "action:user.viewed", nil, Skip{From: 2, To: 5, Events: 2, Reason: reasonLost}},
	} {
		kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
			var broken atomic.Bool // read by the follower
			broken.Store(true)
			sc.answer(func(context.Context, *sink.Batch) error {
				if broken.Load() {
					return sink.Errorf(sink.Retry, "", "later")
				}
				return nil
			})
			w.record(t, 6)
			sp := spec(StartBeginning)
			sp.Filter = tt.filter
			st := create(t, s, "org_1", sp)
			synctest.Wait()
			first := sc.batches()
			w.due(t, "actor:nobody") // time passes, and it is tried again
			time.Sleep(time.Minute)
			w.due(t, tt.due)
			time.Sleep(time.Hour) // and again, without
			tried := len(sc.batches())
			broken.Store(false)
			time.Sleep(time.Hour)
			if len(first) != 1 || tried < 3 {
				t.Fatalf("%d attempts at first, %d until it works", len(first), tried)
			}
			var sent []uint64
			for _, b := range sc.batches()[tried:] {
				if b.ID != first[0].ID {
					t.Errorf("the batch is named %s, and was %s", b.ID, first[0].ID)
				}
				for _, e := range b.Events {
					sent = append(sent, e.Seq)
				}
			}
			diff(t, sent, tt.want)
			got := status(t, s, st)
			checkSkips(t, got, tt.skip)
			if got.Events != uint64(len(tt.want)) || got.Next != 6 {
				t.Errorf("afterwards: %+v", got)
			}
		})
	}
}

// TestRetentionReplay: a replay counts what is gone of its range, and no more; so
// does one of dead letters.
func TestRetentionReplay(t *testing.T) {
	kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
		st := create(t, s, "org_1", spec(StartBeginning))
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			for i, e := range b.Events {
				if b.Replay == "" && (e.Seq == 1 || e.Seq == 2) {
					return &sink.Error{Class: sink.Rejected, Rejected: []sink.Rejection{{Index: i}}, RestTaken: false}
				}
			}
			return nil
		})
		w.record(t, 9)
		s.Notify("org_1")
		time.Sleep(time.Hour)
		w.due(t, "action:user.viewed")
		before := len(sc.batches())
		from, to := uint64(1), uint64(5)
		r, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{From: &from, To: &to})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := s.RetryDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var sent []uint64
		for _, b := range sc.batches()[before:] {
			for _, e := range b.Events {
				sent = append(sent, e.Seq)
			}
		}
		diff(t, sent, []uint64{1, 3, 4}) // 1 is no dead letter any more
		all, err := s.Replays(t.Context(), "org_1", st.ID)
		if err != nil || len(all) != 2 {
			t.Fatalf("%d replays, %v", len(all), err)
		}
		for _, got := range all {
			want := []Skip{{From: 2, To: 2, Events: 1, Reason: reasonRemoved}}
			if got.ID == r.ID {
				want = []Skip{{From: 2, To: 5, Events: 2, Reason: reasonRemoved}}
			}
			if got.State != ReplayDone || !slices.Equal(got.Cursor.Skipped, want) {
				t.Errorf("replay %+v, want skipped %+v", got, want)
			}
		}
	})
}

// TestRetentionOfReplays: a replay of which all is gone ends, with what it was
// about and nothing else counted.
func TestRetentionOfReplays(t *testing.T) {
	kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
		w.record(t, 9)
		st := create(t, s, "org_1", spec(StartBeginning))
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			if len(b.Events) == 1 && b.Events[0].Seq%4 == 1 {
				return sink.Errorf(sink.Malformed, "", "odd")
			}
			if len(b.Events) > 1 {
				return sink.Errorf(sink.Malformed, "", "one by one")
			}
			return nil
		})
		time.Sleep(time.Minute)
		if got := status(t, s, st); got.DeadNow != 2 { // 1 and 5
			t.Fatalf("%d dead letters", got.DeadNow)
		}
		if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		from, to := uint64(3), uint64(6)
		if _, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{From: &from, To: &to}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RetryDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), nil); err != nil {
			t.Fatal(err)
		}
		w.due(t, "")
		w.record(t, 1)
		if _, err := s.Resume(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		all, err := s.Replays(t.Context(), "org_1", st.ID)
		if err != nil || len(all) != 2 {
			t.Fatalf("%d replays, %v", len(all), err)
		}
		for _, got := range all {
			want := []Skip{{From: 3, To: 6, Events: 4, Reason: reasonRemoved}}
			if got.Dead {
				want = []Skip{{From: 1, To: 5, Events: 2, Reason: reasonRemoved}}
			}
			if got.State != ReplayDone || !slices.Equal(got.Cursor.Skipped, want) {
				t.Errorf("replay %+v, want skipped %+v", got, want)
			}
		}
	})
}

// TestRetentionAndCheckpoints: a stream that sends no events has none to miss.
func TestRetentionAndCheckpoints(t *testing.T) {
	kept(t, func(t *testing.T, s *Streams, w *keepWorld, sc *script) {
		sp := spec(StartNow)
		sp.Checkpoints, sp.CheckpointEvery = true, MinCheckpointEvery
		st := create(t, s, "org_1", sp)
		w.record(t, 3)
		w.add("org_1", 3) // what the checkpoint is of
		time.Sleep(time.Minute)
		w.record(t, 3)
		w.add("org_1", 3)
		time.Sleep(time.Millisecond)
		w.due(t, "") // before it is looked at again
		w.record(t, 1)
		w.add("org_1", 1)
		time.Sleep(time.Minute)
		if got := status(t, s, st); len(sc.batches()) < 2 || got.Skipped != 0 {
			t.Errorf("%d checkpoints, %+v", len(sc.batches()), got)
		}
	})
}

// TestRetentionLag: entries that are left further on are waiting, although the
// next one is not there.
func TestRetentionLag(t *testing.T) {
	kept(t, func(t *testing.T, s *Streams, w *keepWorld, _ *script) {
		sp := spec(StartBeginning)
		sp.Filter = "actor:nobody"
		st := create(t, s, "org_1", sp)
		if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		w.record(t, keepScanned+5)
		time.Sleep(4 * time.Second)
		w.due(t, "action:user.created")
		if got := status(t, s, st); got.LagEvents != keepScanned+5 || got.LagSeconds != 4 {
			t.Errorf("entry %d is left: %+v", keepScanned+1, got)
		}
		w.due(t, "")
		if got := status(t, s, st); got.LagEvents != 0 {
			t.Errorf("nothing is left: %+v", got)
		}
	})
}

// TestRetentionReconcile: what the log has no more is said and not certified.
func TestRetentionReconcile(t *testing.T) {
	for filter, expected := range map[string][2]uint64{"": {9, 6}, "action:user.created": {6, 6}} {
		kept(t, func(t *testing.T, s *Streams, w *keepWorld, _ *script) {
			sp := spec(StartBeginning)
			sp.Filter = filter
			w.record(t, 9)
			st := create(t, s, "org_1", sp)
			time.Sleep(time.Minute)
			before, err := reconcile(t, s, st, ReconcileSpec{})
			if err != nil || before.Expected != expected[0] || before.Removed != 0 || strings.Contains(before.Summary(), "retention") {
				t.Errorf("before: %+v, %v", before, err)
			}
			w.due(t, "action:user.viewed")
			got, err := reconcile(t, s, st, ReconcileSpec{})
			removed := got.To + 1 - got.From - 6
			if err != nil || got.Expected != expected[1] || got.Missing != 0 || got.Removed != removed || removed == 0 {
				t.Errorf("after: %+v, %v; want %d removed", got, err, removed)
			}
			if want := fmt.Sprintf("%d entries removed from the log by retention were not compared", removed); !strings.Contains(got.Summary(), want) {
				t.Errorf("summary %q does not say %q", got.Summary(), want)
			}
		})
	}
}
