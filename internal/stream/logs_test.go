package stream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
	"github.com/stelehq/stele/internal/stream/sink"
)

// moods is what may be the matter with logs.
type moods struct {
	mu     sync.Mutex
	hidden map[string]bool
	gone   map[string]bool
	broken map[string]bool
	first  map[string]uint64
}

func (m *moods) set(change func(*moods)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *moods) shared(_ context.Context, org string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone[org] {
		return false, catalog.NoOrganization(org)
	}
	return !m.hidden[org], nil
}

func (m *moods) firstOf(_ context.Context, org string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first[org], nil
}

// moody is a world with moods: it has no organization that is gone, and does not
// say where a broken log ends.
type moody struct {
	*world
	*moods
}

func (m moody) OrganizationName(ctx context.Context, org string) (string, error) {
	if _, err := m.shared(ctx, org); err != nil {
		return "", err
	}
	return m.world.OrganizationName(ctx, org)
}

func (m moody) Through(ctx context.Context, org string) (*audit.Position, error) {
	m.mu2().Lock()
	broken := m.broken[org]
	m.mu2().Unlock()
	if broken {
		return nil, errors.New("the log is damaged")
	}
	return m.world.Through(ctx, org)
}

func (m moody) mu2() *sync.Mutex { return &m.moods.mu }

func (m moody) RecordStreamChange(ctx context.Context, c Change) error {
	m.mu2().Lock()
	broken := m.broken[c.Owner]
	m.mu2().Unlock()
	if broken {
		return errors.New("the log is damaged")
	}
	return m.world.RecordStreamChange(ctx, c)
}

// mood runs a test in a bubble of time, with two organizations.
func mood(t *testing.T, run func(t *testing.T, s *Streams, w moody, sc *script, cfg Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := moody{newWorld("org_1", "org_2"), &moods{
			hidden: map[string]bool{}, gone: map[string]bool{}, broken: map[string]bool{}, first: map[string]uint64{},
		}}
		sc := &script{}
		cfg := config(t, storetest.NewMemory(), w.world, sc.kind())
		cfg.Log, cfg.Directory, cfg.Journal, cfg.Shared, cfg.First = w, w, w, w.shared, w.firstOf
		s := open(t, cfg)
		run(t, s, w, sc, cfg)
		closed(t, s)
	})
}

// TestHeld holds that nothing leaves a log that may not be handed on, a batch
// that was frozen before included, and that all of it does afterwards; the
// operator's own stream goes on.
func TestHeld(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, _ Config) {
		own := create(t, s, "org_1", spec(StartBeginning))
		sc.answer(func(context.Context, *sink.Batch) error { return sink.Errorf(sink.Retry, "", "later") })
		w.add("org_1", 1)
		s.Notify("org_1")
		time.Sleep(time.Second)
		w.set(func(m *moods) { m.hidden["org_1"] = true })
		sc.answer(nil)
		before := len(sc.batches())
		w.add("org_1", 2)
		time.Sleep(time.Hour)
		if n := len(sc.batches()); n != before || !status(t, s, own).Held {
			t.Errorf("%d batches left an inactive log; %+v", n-before, status(t, s, own))
		}
		all := create(t, s, "", spec(StartBeginning))
		time.Sleep(time.Minute)
		if got := status(t, s, all); got.Events != 3 || got.Held {
			t.Errorf("the operator has %+v", got)
		}
		w.set(func(m *moods) { m.hidden["org_1"] = false })
		time.Sleep(time.Minute)
		if got := status(t, s, own); got.Events != 3 || got.Held || got.LagEvents != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

// TestGone holds that the streams of an operator leave a log that was deleted.
func TestGone(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, cfg Config) {
		st := create(t, s, "", spec(StartBeginning))
		w.add("org_1", 3)
		w.add("org_2", 3)
		time.Sleep(time.Minute)
		w.set(func(m *moods) { m.gone["org_1"] = true })
		w.mu2().Lock()
		w.world.mu.Lock()
		w.orgs = []string{"org_2"}
		w.world.mu.Unlock()
		w.mu2().Unlock()
		w.add("org_2", 1)
		time.Sleep(time.Minute)
		if _, err := cfg.KV.Get(t.Context(), prefixCursor+st.ID+"/org_1"); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("the cursor is still there: %v", err)
		}
		if got := status(t, s, st); got.Events != 7 {
			t.Errorf("%+v", got)
		}
	})
}

// TestCut holds that what retention removed is recorded as skipped, and that a
// stream begins with what there is.
func TestCut(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, _ Config) {
		w.add("org_1", 10)
		old := create(t, s, "org_1", spec(StartNow))
		if _, err := s.Pause(t.Context(), "org_1", old.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		w.add("org_1", 10)
		w.set(func(m *moods) { m.first["org_1"] = 15 })
		if _, err := s.Resume(t.Context(), "org_1", old.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		got := status(t, s, old)
		diff(t, sc.seqs(), seqsFrom(15, 20))
		if skips := got.Skips["org_1"]; got.Skipped != 5 || len(skips) != 1 || skips[0].From != 10 || skips[0].To != 14 {
			t.Errorf("skipped %+v", got)
		}
		fresh := create(t, s, "org_1", spec(StartBeginning))
		time.Sleep(time.Minute)
		if got := status(t, s, fresh); got.Events != 5 || got.Skipped != 0 {
			t.Errorf("from the beginning: %+v", got)
		}
		from := uint64(0)
		r, err := s.Replay(t.Context(), "org_1", fresh.ID, ReplaySpec{From: &from})
		if err != nil || r.From != 15 {
			t.Errorf("replay %+v: %v", r, err)
		}
	})
}

// TestOneLogBroken holds that a log that cannot be read, and takes no entries,
// keeps no other back.
func TestOneLogBroken(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, _ Config) {
		st := create(t, s, "", spec(StartBeginning))
		w.set(func(m *moods) { m.broken["org_1"] = true })
		w.add("org_1", 2)
		for range 3 {
			w.add("org_2", 1)
			s.Notify("org_2")
			synctest.Wait()
		}
		if n := len(sc.seqs()); n != 3 {
			t.Errorf("%d events of the other log, want 3 at once", n)
		}
		for _, org := range []string{"org_1", "org_2"} {
			if org == "org_1" {
				w.set(func(m *moods) { m.broken["org_1"] = false })
			}
			other := create(t, s, org, spec(StartNow))
			w.set(func(m *moods) { m.broken["org_1"] = true })
			if _, err := s.Pause(t.Context(), org, other.ID, Key("ada")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if told := w.told(); !slices.Contains(told, ActionPaused) {
			t.Errorf("told %v: the change of the healthy log waits for the other", told)
		}
		w.set(func(m *moods) { m.broken["org_1"] = false })
		time.Sleep(time.Minute)
		if got := status(t, s, st); got.Events != 5 {
			t.Errorf("repaired: %+v", got)
		}
		paused := 0
		for _, what := range w.told() {
			if what == ActionPaused {
				paused++
			}
		}
		if paused != 2 {
			t.Errorf("told %v", w.told())
		}
	})
}

// TestDiscard holds that dead letters can be forgotten, which is told.
func TestDiscard(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, _ Config) {
		sc.answer(func(_ context.Context, b *sink.Batch) error { return sink.Errorf(sink.Malformed, "bad", "no") })
		st := create(t, s, "org_1", spec(StartBeginning))
		w.add("org_1", 4)
		time.Sleep(time.Minute)
		if got := status(t, s, st); got.DeadNow != 4 {
			t.Fatalf("%+v", got)
		}
		for _, seqs := range [][]uint64{nil, {7}, {1, 9}} {
			if err := s.DiscardDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), seqs); err == nil {
				t.Errorf("discarded %v", seqs)
			}
		}
		if err := s.DiscardDeadLetters(t.Context(), "org_1", st.ID, "", Key("ada"), []uint64{2, 1, 2}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		dead, err := s.DeadLetters(t.Context(), "org_1", st.ID, nil, 10)
		if err != nil || len(dead) != 2 || dead[0].Seq != 0 || dead[1].Seq != 3 {
			t.Errorf("%+v: %v", dead, err)
		}
		if got := status(t, s, st); got.DeadNow != 2 || got.DeadLetters != 4 || !slices.Contains(w.told(), ActionDiscarded) {
			t.Errorf("%+v, told %v", got, w.told())
		}
	})
}

// TestStats holds what metrics are made of.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		cfg := config(t, storetest.NewMemory(), w, sc.kind())
		var mu sync.Mutex
		var sum Progress
		attempts := 0
		cfg.Delivered = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			if sum.Skipped += p.Skipped; p.Skipped > 0 {
				return
			}
			attempts++
			sum.Kind, sum.Delivered, sum.DeadLetters = p.Kind, sum.Delivered+p.Delivered, sum.DeadLetters+p.DeadLetters
		}
		s := open(t, cfg)
		bad := true
		sc.answer(func(_ context.Context, b *sink.Batch) error {
			if mu.Lock(); bad {
				mu.Unlock()
				return sink.Errorf(sink.Retry, "", "later")
			}
			mu.Unlock()
			return nil
		})
		create(t, s, "org_1", spec(StartBeginning))
		w.add("org_1", 5)
		time.Sleep(20 * time.Minute)
		if got := s.Stats(); len(got) != 1 || got[0].State != StateError || got[0].Kind != "test" || got[0].LagEvents != 5 || got[0].LagSeconds < 1199 {
			t.Errorf("failing: %+v", got)
		}
		mu.Lock()
		bad = false
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		if got := s.Stats(); got[0].State != StateActive || got[0].LagEvents != 0 || got[0].LagSeconds != 0 {
			t.Errorf("well: %+v", got)
		}
		closed(t, s)
		if sum.Delivered != 5 || sum.DeadLetters != 0 || sum.Kind != "test" || attempts < 5 {
			t.Errorf("%d attempts, %+v", attempts, sum)
		}
	})
}

// TestDeleteFails holds that a stream that could not be deleted goes on.
func TestDeleteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		kv := &faultyKV{Memory: storetest.NewMemory()}
		s := open(t, config(t, kv, w, sc.kind()))
		st := create(t, s, "org_1", spec(StartNow))
		synctest.Wait()
		kv.fault = func() (bool, bool) { return true, false }
		if err := s.Delete(t.Context(), "org_1", st.ID, Key("ada")); err == nil {
			t.Fatal("deleted with a store that fails")
		}
		synctest.Wait()
		kv.fault = nil
		w.add("org_1", 2)
		time.Sleep(time.Minute)
		diff(t, sc.seqs(), seqsFrom(0, 2))
		if err := s.Delete(t.Context(), "org_1", st.ID, Key("ada")); err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"stream/", "stream_cursor/", "stream_health/", "stream_delivery/"} {
			if recs, err := kv.List(t.Context(), prefix, "", 1); err != nil || len(recs) > 0 {
				t.Errorf("%s holds %v: %v", prefix, recs, err)
			}
		}
		closed(t, s)
	})
}

// TestLanded holds that a change whose outcome the store did not tell is lived by.
func TestLanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sc := newWorld("org_1"), &script{}
		kv := &faultyKV{Memory: storetest.NewMemory()}
		var countdown atomic.Int64
		kv.fault = func() (bool, bool) { return false, countdown.Add(-1) == 0 }
		s := open(t, config(t, kv, w, sc.kind()))
		countdown.Store(2) // after the cursor
		st := create(t, s, "org_1", spec(StartNow))
		w.add("org_1", 1)
		time.Sleep(time.Minute)
		countdown.Store(1)
		if _, err := s.Pause(t.Context(), "org_1", st.ID, Key("ada")); !errors.Is(err, errStore) {
			t.Errorf("error %v", err)
		}
		w.add("org_1", 1)
		time.Sleep(time.Minute)
		diff(t, sc.seqs(), seqsFrom(0, 1))
		closed(t, s)
	})
}

// TestCheckpointsSwitchedOn holds that a stream that is told to send checkpoints
// sends one of what it has delivered, and no second one of the same log.
func TestCheckpointsSwitchedOn(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, w moody, sc *script, _ Config) {
		st := create(t, s, "org_1", spec(StartBeginning))
		w.add("org_1", 3)
		time.Sleep(time.Minute)
		for range 2 {
			_, err := s.Update(t.Context(), "org_1", st.ID, Key("ada"), func(sp *Spec) error {
				sp.Checkpoints, sp.Name = true, sp.Name+"x"
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		var notes int
		for _, b := range sc.batches() {
			if b.Checkpoint != nil {
				notes++
			}
		}
		if notes != 1 {
			t.Errorf("%d checkpoints", notes)
		}
	})
}

// TestList holds that streams are listed oldest first, and those of others not.
func TestList(t *testing.T) {
	mood(t, func(t *testing.T, s *Streams, _ moody, _ *script, cfg Config) {
		var want []string
		for range 5 {
			want = append(want, create(t, s, "org_1", spec(StartNow)).ID)
			create(t, s, "org_2", spec(StartNow))
			create(t, s, "", spec(StartNow))
			time.Sleep(time.Second)
		}
		closed(t, s)
		s = open(t, cfg)
		defer closed(t, s)
		all, err := s.List(t.Context(), "org_1")
		var got []string
		for _, st := range all {
			got = append(got, st.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, want %v: %v", got, want, err)
		}
	})
}

// TestPlace holds that who changes where secrets are sent must know them.
func TestPlace(t *testing.T) {
	mood(t, func(t *testing.T, _ *Streams, w moody, sc *script, cfg Config) {
		k := sc.kind()
		k.Settings = append([]sink.Setting{{Name: "hook", Secret: true, Place: true}}, k.Settings...)
		for i := range k.Settings {
			if k.Settings[i].Name == "url" {
				k.Settings[i].Place = true
			}
		}
		cfg.Kinds, cfg.KV = sink.NewKinds(k), storetest.NewMemory()
		s := open(t, cfg)
		defer closed(t, s)
		sp := spec(StartNow)
		sp.Settings["hook"] = "https://mine.example/secret"
		st := create(t, s, "org_1", sp)
		update := func(v sink.Values) error {
			_, err := s.Update(t.Context(), "org_1", st.ID, Key("eve"), func(sp *Spec) error {
				maps.Copy(sp.Settings, v)
				return nil
			})
			return err
		}
		for _, c := range []struct {
			settings sink.Values
			field    string
		}{
			{sink.Values{"url": "https://eve.example"}, "/settings/hook"},
			{sink.Values{"url": "https://eve.example", "hook": "https://mine.example/secret"}, "/settings/token"},
			{sink.Values{"hook": "https://eve.example"}, "/settings/token"},
			{sink.Values{"hook": "https://mine.example/secret"}, ""},
			{sink.Values{"url": "https://x.example"}, ""},
			{sink.Values{"token": "another-token-0815"}, ""},
			{sink.Values{"url": "https://eve.example", "token": "hers-of-old-0815", "hook": ""}, ""},
		} {
			var fault *audit.Error
			err := update(c.settings)
			if errors.As(err, &fault); (c.field == "") != (err == nil) || err != nil && (fault == nil || fault.Field != c.field) {
				t.Errorf("%v: %v, want one about %q", c.settings, err, c.field)
			}
		}
		_, err := s.Test(t.Context(), "org_1", st.ID, Spec{Kind: "test", Settings: sink.Values{"url": "https://third.example"}})
		if fault, ok := errors.AsType[*audit.Error](err); !ok || fault.Field != "/settings/token" {
			t.Errorf("a test sends the secrets elsewhere: %v", err)
		}
	})
}

// TestPlacesAreNamed holds that every kind says which of its settings are places.
func TestPlacesAreNamed(t *testing.T) {
	for _, k := range sink.Standard().All() {
		places, secrets := 0, 0
		for _, setting := range k.Settings {
			if setting.Place {
				places++
			}
			if setting.Secret && !setting.Place {
				secrets++
			}
			if url := len(setting.Example) > 8 && setting.Example[:8] == "https://"; url && !setting.Place {
				t.Errorf("%s: %s looks like a place and is none", k.Name, setting.Name)
			}
		}
		if places == 0 && secrets > 1 { // one alone says itself where to
			t.Errorf("%s has secrets and no place", k.Name)
		}
	}
}
