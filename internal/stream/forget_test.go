package stream

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/internal/stream/sink"
)

// quoting are the records of streams that have a text.
func quoting(t *testing.T, cfg Config, text string) []string {
	t.Helper()
	recs, err := cfg.KV.List(t.Context(), "stream", "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, rec := range recs {
		if strings.Contains(string(rec.Value), text) {
			keys = append(keys, rec.Key[:strings.Index(rec.Key, "/")])
		}
	}
	return keys
}

// TestForget: names of who made things and what receivers quoted go, of that log
// alone, and delivery goes on where it was.
func TestForget(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, w *world, sc *script, cfg Config) {
		ada := Who{Type: "user", ID: "u1", Name: "Ada Lovelace", Location: "192.0.2.1", UserAgent: "Mozilla"}
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			switch {
			case b.Organization == "org_1" && b.First <= 77 && b.Last >= 77:
				return sink.Errorf(sink.Malformed, "bad", "Cannot read Ada Lovelace.")
			case b.Last >= 300:
				return sink.Errorf(sink.Retry, "busy", "No room for Ada Lovelace.")
			}
			return nil
		})
		w.add("org_1", 256)
		w.add("org_2", 256)
		own, err := s.Create(t.Context(), "org_1", spec(StartBeginning), ada)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), "org_2", spec(StartNow), ada); err != nil {
			t.Fatal(err)
		}
		operators := create(t, s, "", spec(StartBeginning))
		from, to := uint64(10), uint64(20)
		if _, err := s.Replay(t.Context(), "org_1", own.ID, ReplaySpec{From: &from, To: &to, By: ada}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.add("org_1", 100) // which cannot be sent
		s.Notify("org_1")
		time.Sleep(10 * time.Second)
		if got := quoting(t, cfg, "Ada Lovelace"); len(got) < 10 {
			t.Fatalf("not enough quotes to be removed: %v", got)
		}
		for range 2 {
			if err := s.Forget(t.Context(), "org_1", "u1"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		// The batch that waits is tried again, and quotes again: let it through.
		sc.answer(nil)
		if err := s.Forget(t.Context(), "org_1", "u1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := quoting(t, cfg, "Ada Lovelace"); len(got) != 1 || got[0] != "stream" { // that of org_2
			t.Errorf("records that quote: %v", got)
		}
		for _, st := range []*Stream{own, operators} {
			if got := status(t, s, st); got.State != StateActive || got.LagEvents != 0 || got.DeadLetters != 1 {
				t.Errorf("%s: %+v", st.Organization, got)
			}
		}
		// Lines of the history that were changed leave it as others do.
		for range maxDeliveries + 10 {
			w.add("org_1", 1)
			s.Notify("org_1")
			synctest.Wait()
		}
		if got := status(t, s, own); got.LagEvents != 0 || got.State != StateActive {
			t.Errorf("after a full history: %+v", got)
		}
	})
}

// TestStreamMentions: filters, names and settings that name somebody are found and
// left as they are.
func TestStreamMentions(t *testing.T) {
	scene(t, func(t *testing.T, s *Streams, _ *world, _ *script, _ Config) {
		with := func(org string, change func(*Spec)) string {
			sp := spec(StartNow)
			change(&sp)
			return create(t, s, org, sp).ID
		}
		want := []string{
			with("org_1", func(sp *Spec) { sp.Filter = `actor.name:"Ada Lovelace"` }),
			with("org_1", func(sp *Spec) { sp.Name = "What Ada does" }),
			with("org_1", func(sp *Spec) { sp.Settings["url"] = "https://Ada.example" }),
		}
		with("org_1", func(*Spec) {})
		with("org_2", func(sp *Spec) { sp.Filter = "Ada" })
		got, err := s.Mentions(t.Context(), "org_1", func(text string) bool { return strings.Contains(text, "Ada") })
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, id := range got {
			found[id] = true
		}
		for _, id := range want {
			if !found[id] || len(got) != len(want) {
				t.Errorf("found %v, want %v", got, want)
			}
		}
	})
}
