package stream

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/stream/sink"
)

// checkpointSizes are the checkpoints that were sent; nothing else was.
func (s *script) checkpointSizes(t *testing.T) []uint64 {
	t.Helper()
	var sizes []uint64
	for _, b := range s.batches() {
		if b.Checkpoint == nil {
			t.Errorf("a batch of events was sent: %+v", b)
			continue
		}
		sizes = append(sizes, b.Last+1)
	}
	return slices.Compact(sizes) // attempts at one
}

func onSchedule(every time.Duration) Spec {
	sp := spec(StartNow)
	sp.Filter, sp.CheckpointEvery = "", int(every/time.Second)
	return sp
}

// TestCheckpointsOnSchedule holds that a stream of checkpoints sends one of each
// log that has grown, no more often than it should, and never an event.
func TestCheckpointsOnSchedule(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 3)
		st := create(t, s, "org_1", onSchedule(time.Hour))
		synctest.Wait()
		diff(t, sc.checkpointSizes(t), []uint64{3})
		for range 4 {
			w.add("org_1", 5)
			s.Notify("org_1")
			time.Sleep(35 * time.Minute)
		}
		synctest.Wait()
		diff(t, sc.checkpointSizes(t), []uint64{3, 13, 23})
		time.Sleep(24 * time.Hour) // it has not grown
		diff(t, sc.checkpointSizes(t), []uint64{3, 13, 23})
		w.add("org_1", 1)
		s.Notify("org_1")
		synctest.Wait()
		diff(t, sc.checkpointSizes(t), []uint64{3, 13, 23, 24})
		if got := status(t, s, st); got.Events != 0 || got.LagEvents != 0 || got.Next != 24 {
			t.Errorf("%+v", got)
		}
	})
}

// TestCheckpointsAreSentAgain holds that a destination that fails gets the very
// checkpoint that was frozen, also after a restart, and one that refuses it stops
// the stream instead of being passed over.
func TestCheckpointsAreSentAgain(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, cfg Config) {
		sc.answer(func(context.Context, *sink.Batch) error { return sink.Errorf(sink.Retry, "", "Not now.") })
		w.add("org_1", 3)
		st := create(t, s, "org_1", onSchedule(time.Hour))
		synctest.Wait()
		w.add("org_1", 4)
		closed(t, s)
		sc.answer(nil)
		s = open(t, cfg)
		time.Sleep(10 * time.Minute)
		diff(t, sc.checkpointSizes(t), []uint64{3})
		time.Sleep(time.Hour)
		diff(t, sc.checkpointSizes(t), []uint64{3, 7})
		sc.answer(func(context.Context, *sink.Batch) error { return sink.Errorf(sink.Malformed, "", "What is this?") })
		w.add("org_1", 1)
		time.Sleep(2 * time.Hour)
		if got := status(t, s, st); got.State != StateInvalid && got.State != StateError {
			t.Errorf("state %s", got.State)
		}
		diff(t, sc.checkpointSizes(t), []uint64{3, 7, 8})
		closed(t, s)
	})
}

// TestCheckpointsThenEvents holds that a stream that is told to send events goes
// on with what comes then, and says nothing of what it did not send.
func TestCheckpointsThenEvents(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 3)
		st := create(t, s, "org_1", onSchedule(time.Hour))
		synctest.Wait()
		if _, err := s.Update(t.Context(), "org_1", st.ID, Key("ada"), func(sp *Spec) error {
			sp.CheckpointEvery = 0
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.add("org_1", 2)
		s.Notify("org_1")
		synctest.Wait()
		diff(t, sc.seqs(), []uint64{2, 3, 4, 4}) // with a checkpoint before and after
		if _, err := s.Reconcile(t.Context(), "org_1", st.ID, ReconcileSpec{From: new(uint64(0))}); err == nil {
			t.Error("events that were never sent were compared")
		}
	})
}

// TestCheckpointScheduleIsRefused holds that what cannot be meant is an error that
// names the field.
func TestCheckpointScheduleIsRefused(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, _ *script, _ Config) {
		w.add("org_1", 3)
		filtered := onSchedule(time.Hour)
		filtered.Filter = "action:user.*"
		for field, sp := range map[string]Spec{
			"/checkpoint_every_seconds": onSchedule(time.Second), "/filter": filtered,
		} {
			_, err := s.Create(t.Context(), "org_1", sp, Key("ada"))
			if fault, ok := errors.AsType[*audit.Error](err); !ok || fault.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		st := create(t, s, "org_1", onSchedule(time.Hour))
		_, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{By: Key("ada")})
		if fault, ok := errors.AsType[*audit.Error](err); !ok || fault.Field != "/checkpoint_every_seconds" {
			t.Errorf("replay: %v", err)
		}
	})
}
