package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// scene runs a test with streams to one scripted destination, in fake time.
func scene(t *testing.T, run func(t *testing.T, s *Streams, w *world, sc *script, cfg Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("org_1", "org_2")
		sc := &script{}
		cfg := config(t, storetest.NewMemory(), w, sc.kind())
		cfg.Rand = func() float64 { return 0.999 }
		cfg.Poll = time.Minute
		s := open(t, cfg)
		run(t, s, w, sc, cfg)
		closed(t, s)
	})
}

func seqsFrom(from, to uint64) []uint64 {
	var list []uint64
	for seq := from; seq < to; seq++ {
		list = append(list, seq)
	}
	return list
}

func diff(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestStarts holds where a stream begins, and that being told of a new entry is
// enough to deliver it at once.
func TestStarts(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 5)
		time.Sleep(time.Hour)
		date := time.Now()
		w.add("org_1", 5)
		create(t, s, "org_1", spec(StartNow))
		synctest.Wait()
		diff(t, len(sc.batches()), 0)
		create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		diff(t, sc.seqs(), seqsFrom(0, 10))
		sp := spec(StartDate)
		sp.Start.Date = date
		create(t, s, "org_1", sp)
		synctest.Wait()
		diff(t, sc.seqs()[10:], seqsFrom(5, 10))
		w.add("org_1", 1)
		s.Notify("org_1")
		synctest.Wait()
		diff(t, sc.seqs()[15:], []uint64{10, 10, 10})
	})
}

// TestFilterAndOperator holds that a filter leaves out what does not match, and
// that an operator's stream follows every organization, new ones included.
func TestFilterAndOperator(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 9)
		w.add("org_2", 3)
		sp := spec(StartBeginning)
		sp.Filter = "action:user.viewed"
		st := create(t, s, "", sp)
		w.add("org_new", 3)
		s.Notify("org_new")
		synctest.Wait()
		got := map[string][]uint64{}
		for _, b := range sc.batches() {
			for _, e := range b.Events {
				got[b.Organization] = append(got[b.Organization], e.Seq)
			}
		}
		diff(t, got, map[string][]uint64{"org_1": {2, 5, 8}, "org_2": {2}, "org_new": {2}})
		if st := status(t, s, st); st.LagEvents != 0 || st.LagSeconds != 0 || st.Events != 5 {
			t.Errorf("%+v", st)
		}
		if _, err := s.Get(t.Context(), "org_1", st.ID); !isNotFound(err) {
			t.Errorf("an organization sees the operator's stream: %v", err)
		}
	})
}

// TestBackoff holds the pauses between attempts, the states they lead to, what is
// told of them, and that every attempt is the same batch.
func TestBackoff(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		var at []time.Time
		sc.answer(func(context.Context, *sink.Batch) error {
			at = append(at, time.Now())
			if len(at) == 3 {
				return &sink.Error{Class: sink.RateLimited, Message: "slow down", RetryAfter: 100 * time.Second}
			}
			return sink.Errorf(sink.Retry, "down", "It is down: top-secret-token-1234.")
		})
		w.add("org_1", 3)
		st := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.add("org_1", 1)
		s.Notify("org_1") // does not hurry a pause
		if got := status(t, s, st); got.State != StateDegraded || got.Failures != 3 || got.LagEvents != 4 || got.LagSeconds != 10 {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		var pauses []int
		for i := range at[1:] {
			pauses = append(pauses, int(at[i+1].Sub(at[i]).Round(time.Second).Seconds()))
		}
		diff(t, pauses[:10], []int{1, 2, 104, 8, 16, 32, 64, 128, 256, 300})
		got := status(t, s, st)
		if got.State != StateError || strings.Contains(fmt.Sprint(got.LastError, got.InFlight), "top-secret") {
			t.Errorf("%+v %+v", got, got.LastError)
		}
		sc.answer(nil)
		time.Sleep(6 * time.Minute)
		first := sc.batches()[0]
		for i, b := range sc.batches() {
			if b.First == 0 && (b.ID != first.ID || b.Last != 2 || b.Attempt != i+1) {
				t.Errorf("attempt %d is %+v", i, b)
			}
		}
		diff(t, sc.seqs()[len(sc.seqs())-4:], []uint64{0, 1, 2, 3})
		diff(t, w.told(), []string{
			ActionCreated, ActionStateChanged + " active>degraded", ActionStateChanged + " degraded>error", ActionStateChanged + " error>active",
		})
		list, err := s.Deliveries(t.Context(), "org_1", st.ID, 10)
		if err != nil || len(list) != 2 || list[1].Attempts != len(at)+1 || len(list[1].Failures) != maxFailures || list[1].Outcome != OutcomeDelivered {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestInvalid holds that wrong credentials stop delivery but for slow questions,
// and that new ones are tried at once with nothing lost.
func TestInvalid(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.answer(func(context.Context, *sink.Batch) error {
			return sink.Errorf(sink.Invalid, "token", "The token is wrong.")
		})
		w.add("org_1", 3)
		st := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(sc.batches()); n < 40 || n > 80 || status(t, s, st).State != StateInvalid {
			t.Errorf("%d attempts in a day, %+v", n, status(t, s, st))
		}
		sc.answer(func(context.Context, *sink.Batch) error {
			return sink.Errorf(sink.Permanent, "gone", "It wants no more.")
		})
		time.Sleep(time.Hour)
		before := len(sc.batches())
		time.Sleep(48 * time.Hour)
		diff(t, len(sc.batches()), before)
		sc.answer(nil)
		if _, err := s.Update(t.Context(), "org_1", st.ID, Key("ada"), func(sp *Spec) error {
			sp.Settings["token"] = "another-secret-5678"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		diff(t, sc.seqs()[3*before:], []uint64{0, 1, 2})
		diff(t, sc.opened(), sink.Values{"url": "https://x.example", "token": "another-secret-5678"})
	})
}

// TestBisect holds that one poison event among many is found in few attempts,
// that the others are delivered in order, and that it can be sent again.
func TestBisect(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		poison := func(_ context.Context, b *sink.Batch) error {
			if b.First <= 77 && b.Last >= 77 {
				return sink.Errorf(sink.Malformed, "bad", "An event is malformed.")
			}
			return nil
		}
		sc.answer(poison)
		w.add("org_1", 256)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		if n := len(sc.batches()); n > 20 {
			t.Errorf("%d attempts", n)
		}
		letters, err := s.DeadLetters(t.Context(), "org_1", st.ID, nil, 10)
		if err != nil || len(letters) != 1 || letters[0].Seq != 77 || letters[0].Text != "no: An event is malformed." {
			t.Fatalf("%+v, %v", letters, err)
		}
		if got := status(t, s, st); got.Next != 256 || got.Events != 255 || got.DeadLetters != 1 || got.State != StateActive {
			t.Errorf("%+v", got)
		}
		for _, want := range []int{1, 0} { // refused once more, then taken
			if _, err := s.RetryDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), []uint64{77}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			letters, err := s.DeadLetters(t.Context(), "org_1", st.ID, nil, 10)
			if err != nil || len(letters) != want || want == 1 && letters[0].Times != 2 {
				t.Fatalf("%+v, %v", letters, err)
			}
			sc.answer(nil)
		}
		last := sc.batches()[len(sc.batches())-1]
		if last.Replay == "" || last.First != 77 || last.Last != 77 {
			t.Errorf("%+v", last)
		}
	})
}

// TestEverythingRefused holds that a destination that refuses every event does
// not drain the log into the dead letters.
func TestEverythingRefused(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.answer(func(context.Context, *sink.Batch) error {
			return sink.Errorf(sink.Malformed, "index", "The index does not exist.")
		})
		w.add("org_1", 1000)
		st := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(time.Hour)
		got := status(t, s, st)
		if got.State != StateInvalid || got.DeadLetters != maxRefused || got.Next != maxRefused {
			t.Errorf("%+v", got)
		}
		sc.answer(nil)
		if _, err := s.Resume(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := status(t, s, st); got.Next != 1000 || got.State != StateActive || got.Events != 1000-maxRefused {
			t.Errorf("%+v", got)
		}
	})
}

// TestPause holds that a paused stream goes on where it stopped, across a
// restart and however long after.
func TestPause(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, cfg Config) {
		w.add("org_1", 3)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		w.add("org_1", 3)
		s.Notify("org_1")
		time.Sleep(30 * 24 * time.Hour)
		diff(t, sc.seqs(), seqsFrom(0, 3))
		if got := status(t, s, st); got.State != StatePaused || got.LagEvents != 3 || got.LagSeconds != 30*86400 {
			t.Errorf("%+v", got)
		}
		closed(t, s)
		again := open(t, cfg)
		defer closed(t, again)
		time.Sleep(time.Minute)
		diff(t, len(sc.seqs()), 3)
		if _, err := again.Resume(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		diff(t, sc.seqs(), seqsFrom(0, 6))
	})
}

// TestReplay holds that a range is delivered again beside live delivery, marked,
// and that a replay ends.
func TestReplay(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 2000)
		st := create(t, s, "org_1", spec(StartNow))
		from, to := uint64(100), uint64(1299)
		if _, err := s.Replay(t.Context(), "org_1", st.ID, ReplaySpec{From: &from, To: &to, By: Key("ada")}); err != nil {
			t.Fatal(err)
		}
		w.add("org_1", 1)
		s.Notify("org_1")
		synctest.Wait()
		var live, replayed []uint64
		for _, b := range sc.batches() {
			for _, e := range b.Events {
				if b.Replay == "" {
					live = append(live, e.Seq)
				} else {
					replayed = append(replayed, e.Seq)
				}
			}
		}
		diff(t, live, []uint64{2000})
		diff(t, replayed, seqsFrom(100, 1300))
		list, err := s.Replays(t.Context(), "org_1", st.ID)
		if err != nil || len(list) != 1 || list[0].State != ReplayDone || list[0].Next() != 1300 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestTooOld holds that events which a destination does not take for their age
// are recorded as skipped, also when they grew old while it was away.
func TestTooOld(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.limits = sink.Limits{OldestEvent: 18 * time.Hour}
		w.add("org_1", 4)
		time.Sleep(20 * time.Hour)
		w.add("org_1", 4)
		sc.answer(func(context.Context, *sink.Batch) error { return sink.Errorf(sink.Retry, "down", "It is down.") })
		st := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(17 * time.Hour)
		w.add("org_1", 2)
		time.Sleep(3 * time.Hour)
		sc.answer(nil)
		time.Sleep(time.Hour)
		last := sc.batches()[len(sc.batches())-1]
		got := status(t, s, st)
		if last.First != 8 || last.Last != 9 || got.Skipped != 8 || len(got.Skips["org_1"]) != 1 || got.LagEvents != 0 {
			t.Errorf("%+v, %+v", last, got)
		}
		skip := got.Skips["org_1"][0]
		if skip.From != 0 || skip.To != 7 || skip.Events != 8 {
			t.Errorf("%+v", skip)
		}
	})
}

// TestCheckpoints holds that a checkpoint follows what it commits to, is frozen
// like any batch, and never keeps events waiting.
func TestCheckpoints(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		w.add("org_1", 3)
		sp := spec(StartBeginning)
		sp.Checkpoints = true
		st := create(t, s, "org_1", sp)
		synctest.Wait()
		got := sc.batches()
		if len(got) != 2 || got[1].Checkpoint == nil || got[1].Last != 2 || string(got[1].Events[0].Encoded) != `{"checkpoint":3}` {
			t.Fatalf("%+v", got)
		}
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			if b.Checkpoint != nil {
				return sink.Errorf(sink.Malformed, "", "What is this?")
			}
			return nil
		})
		w.add("org_1", 2)
		s.Notify("org_1")
		synctest.Wait()
		w.add("org_1", 2)
		s.Notify("org_1")
		synctest.Wait()
		if got := status(t, s, st); got.Next != 7 || got.Events != 7 || got.DeadLetters != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestFlushAfter holds that a batch waits for more events where the destination
// wants few and large ones, and no longer than that.
func TestFlushAfter(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.limits = sink.Limits{FlushAfter: time.Minute, MaxEvents: 100}
		create(t, s, "org_1", spec(StartNow))
		for range 5 {
			w.add("org_1", 3)
			s.Notify("org_1")
			time.Sleep(10 * time.Second)
		}
		diff(t, len(sc.batches()), 0)
		time.Sleep(11 * time.Second)
		diff(t, sc.seqs(), seqsFrom(0, 15))
		diff(t, len(sc.batches()), 1)
		w.add("org_1", 100)
		s.Notify("org_1")
		synctest.Wait()
		diff(t, len(sc.seqs()), 115)
	})
}

// TestHangs holds that destinations which never answer cost others nothing, and
// that memory stays bounded with 200 streams that are far behind.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("org_1")
		w.add("org_1", 3000)
		good := &script{}
		hanging := sink.Kind{Name: "hang", Label: "Hang", Open: func(sink.Values, sink.Env) (sink.Sink, error) { return hang{}, nil }}
		cfg := config(t, storetest.NewMemory(), w, good.kind(), hanging)
		cfg.MaxInFlight = 4 << 20
		s := open(t, cfg)
		for i := range 200 {
			create(t, s, fmt.Sprintf("org_%d", i/MaxStreams+10), Spec{Kind: "hang", Start: Start{Kind: StartBeginning}})
		}
		for i := range 4 {
			w.add(fmt.Sprintf("org_%d", i+10), 3000)
		}
		time.Sleep(5 * time.Minute) // each has failed once
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		if got := status(t, s, st); got.Events != 3000 {
			t.Errorf("delivered beside hanging streams: %+v", got)
		}
		if n := s.InFlight(); n == 0 || n > cfg.MaxInFlight {
			t.Errorf("%d bytes in flight of %d", n, cfg.MaxInFlight)
		}
		closed(t, s)
		if n := s.InFlight(); n != 0 {
			t.Errorf("%d bytes in flight after Close", n)
		}
	})
}

type hang struct{}

func (hang) Send(ctx context.Context, _ *sink.Batch) (sink.Answer, error) {
	<-ctx.Done()
	return sink.Answer{}, fmt.Errorf("hang: %w", ctx.Err())
}

func (h hang) Test(ctx context.Context, b *sink.Batch) (sink.Answer, error) { return h.Send(ctx, b) }
func (hang) Limits() sink.Limits                                            { return sink.Limits{} }
func (hang) Close() error                                                   { return nil }

// TestLagNotice holds that passing the limit of lag is told once, and its end.
func TestLagNotice(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sp := spec(StartNow)
		sp.LagLimit = 60
		st := create(t, s, "org_1", sp)
		time.Sleep(time.Second)
		if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		w.add("org_1", 1)
		time.Sleep(10 * time.Minute)
		if _, err := s.Resume(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		diff(t, w.told(), []string{ActionCreated, ActionPaused, ActionLagExceeded, ActionResumed, ActionLagRecovered})
	})
}

// TestTest holds that a test says what the destination said, uses the stream's
// own secrets, and tells none.
func TestTest(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, _ *world, sc *script, _ Config) {
		st := create(t, s, "org_1", spec(StartNow))
		sc.answer(func(context.Context, *sink.Batch) error {
			return sink.Errorf(sink.Invalid, "token", "Wrong: top-secret-token-1234")
		})
		sp := spec(StartNow)
		delete(sp.Settings, "token")
		got, err := s.Test(t.Context(), "org_1", st.ID, sp)
		want := TestResult{Class: "invalid", Code: "token", Message: "Wrong: [secret]", Status: 400, Text: "no: Wrong: [secret]"}
		if err != nil {
			t.Fatal(err)
		}
		diff(t, got, want)
		b := sc.batches()[0]
		if !b.Test || len(b.Events) != 1 || sc.opened()["token"] != "top-secret-token-1234" {
			t.Errorf("%+v", b)
		}
		if _, err := s.Test(t.Context(), "org_2", st.ID, sp); !isNotFound(err) {
			t.Errorf("another organization's stream: %v", err)
		}
	})
}

// TestManage holds what is refused, what an update changes, and that nothing is
// left of a deleted stream.
func TestManage(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, cfg Config) {
		for field, edit := range map[string]func(*Spec){
			"/kind":         func(sp *Spec) { sp.Kind = "fax" },
			"/format":       func(sp *Spec) { sp.Format = "xml" },
			"/start/kind":   func(sp *Spec) { sp.Start.Kind = "soon" },
			"/start/date":   func(sp *Spec) { sp.Start.Kind = StartDate },
			"/settings/url": func(sp *Spec) { delete(sp.Settings, "url") },
			"/settings/no":  func(sp *Spec) { sp.Settings["no"] = "1" },
		} {
			sp := spec(StartNow)
			edit(&sp)
			_, err := s.Create(t.Context(), "org_1", sp, Key("ada"))
			fault, ok := errors.AsType[*audit.Error](err)
			if !ok || fault.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		w.add("org_1", 3)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		if st.Settings["token"] != "" || st.Secrets["token"].Hint != "1234" || strings.Contains(fmt.Sprint(st), "top-secret") {
			t.Errorf("%+v", st)
		}
		if err := s.Delete(t.Context(), "org_2", st.ID, Key("eve")); !isNotFound(err) {
			t.Errorf("another organization deletes: %v", err)
		}
		time.Sleep(time.Second)
		if err := s.Delete(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		recs, err := cfg.KV.List(t.Context(), "stream", "", 100)
		if err != nil || len(recs) != 0 {
			t.Errorf("left: %+v, %v", recs, err)
		}
		diff(t, w.told(), []string{ActionCreated, ActionDeleted})
	})
}

// TestNewShape holds that a batch in flight is made anew when the owner changes
// what batches are.
func TestNewShape(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, _ Config) {
		sc.answer(func(context.Context, *sink.Batch) error { return sink.Errorf(sink.Retry, "", "Down.") })
		w.add("org_1", 3)
		st := create(t, s, "org_1", spec(StartBeginning))
		synctest.Wait()
		sc.answer(nil)
		if _, err := s.Update(t.Context(), "org_1", st.ID, Key("ada"), func(sp *Spec) error {
			sp.Filter = "action:user.viewed"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		diff(t, sc.seqs(), []uint64{0, 1, 2, 2})
	})
}

// TestKeyring holds that secrets open where they were sealed only, and with keys
// that were replaced.
func TestKeyring(t *testing.T) {
	old, err := ParseKeyring(testKeys)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.seal("secret", place("org", "stream", "token"))
	if err != nil || strings.Contains(sealed, "secret") {
		t.Fatal(sealed, err)
	}
	fresh, err := ParseKeyring("# new\n" + NewKey("k2") + "\n" + testKeys + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fresh.open(sealed, place("org", "stream", "token")); got != "secret" || err != nil {
		t.Error(got, err)
	}
	if !fresh.old(sealed) || old.old(sealed) {
		t.Error("which key sealed it is mistaken")
	}
	for _, at := range [][]byte{place("org", "stream", "tokens"), place("orgs", "tream", "token"), place("org", "stream")} {
		if got, err := fresh.open(sealed, at); err == nil {
			t.Errorf("opened at %q: %q", at, got)
		}
	}
	for _, text := range []string{"", "k1", "k1:AAAA", "k 1:", testKeys + "," + testKeys, ":" + strings.Split(testKeys, ":")[1]} {
		if _, err := ParseKeyring(text); err == nil || strings.Contains(err.Error(), "AAEC") {
			t.Errorf("%q: %v", text, err)
		}
	}
	flipped := []byte(sealed)
	flipped[len(flipped)-3] ^= 1
	if _, err := fresh.open(string(flipped), place("org", "stream", "token")); err == nil {
		t.Error("a damaged secret opened")
	}
}

// TestRewrap holds that after it the old key is not needed.
func TestRewrap(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, _ *world, sc *script, cfg Config) {
		st := create(t, s, "org_1", spec(StartNow))
		second := NewKey("k2")
		var err error
		if cfg.Keys, err = ParseKeyring(second + " " + testKeys); err != nil {
			t.Fatal(err)
		}
		both := open(t, cfg)
		if n, err := both.Rewrap(t.Context()); n != 1 || err != nil {
			t.Error(n, err)
		}
		closed(t, both)
		if cfg.Keys, err = ParseKeyring(second); err != nil {
			t.Fatal(err)
		}
		only := open(t, cfg)
		defer closed(t, only)
		if _, err := only.Test(t.Context(), "org_1", st.ID, Spec{Kind: "test", Settings: sink.Values{"url": "x"}}); err != nil {
			t.Error(err)
		}
		diff(t, sc.opened()["token"], "top-secret-token-1234")
	})
}

// TestBudget holds that memory is given in the order it was asked for, and comes
// back from those who gave up.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		if !b.try(6) || b.try(5) {
			t.Fatal("try")
		}
		var mu sync.Mutex
		var got []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, what)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if err := b.take(ctx, 9); err != nil {
				note("gave up")
			}
		}()
		synctest.Wait()
		go func() {
			if err := b.take(t.Context(), 3); err == nil {
				note("small")
			}
		}()
		synctest.Wait()
		diff(t, len(got), 0) // the small one waits behind the large one
		cancel()
		synctest.Wait()
		slices.Sort(got)
		diff(t, got, []string{"gave up", "small"})
		b.give(9)
		diff(t, b.inUse(), 0)
	})
}
