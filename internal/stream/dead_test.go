package stream

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stelehq/stele/internal/stream/sink"
)

// TestRetryOfManyDeadLetters holds that dead letters which are refused again stay
// what they are: the stream goes on, however many they are.
func TestRetryOfManyDeadLetters(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			e := sink.Errorf(sink.Rejected, "odd", "It takes no odd ones.")
			for i := range b.Events {
				if b.Events[i].Seq%2 == 1 {
					e.Rejected = append(e.Rejected, sink.Rejection{Index: i})
				}
			}
			if e.RestTaken = true; len(e.Rejected) == 0 {
				return nil
			}
			return e
		})
		const dead = 3 * maxRefused
		w.add("org_1", 2*dead)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		if got := status(t, s, st); got.DeadNow != dead || got.State != StateActive {
			t.Fatalf("%d dead letters, %s", got.DeadNow, got.State)
		}
		if _, err := s.RetryDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.add("org_1", 1)
		s.Notify("org_1")
		synctest.Wait()
		if got := status(t, s, st); got.State != StateActive || got.LagEvents != 0 || got.DeadNow != dead {
			t.Errorf("%s, lag %d, %d dead letters", got.State, got.LagEvents, got.DeadNow)
		}
		all, err := s.Replays(t.Context(), "org_1", st.ID)
		if err != nil || len(all) != 1 || all[0].State != ReplayDone {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
