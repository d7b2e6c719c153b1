package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/storetest"
)

func TestClock(t *testing.T) {
	real := sunday()
	c := &Clock{Real: func() time.Time { return real }}
	if !c.Now().Equal(real) {
		t.Errorf("before: %s", c.Now())
	}
	c.Set(real.AddDate(-1, 0, 0))
	if want := real.AddDate(-1, 0, 0); !c.Now().Equal(want) {
		t.Errorf("set: %s, want %s", c.Now(), want)
	}
	c.Release()
	if !c.Now().Equal(real) {
		t.Errorf("after: %s", c.Now())
	}
}

// TestLoad writes a year into a real ledger and reads it back.
func TestLoad(t *testing.T) {
	ctx, store := t.Context(), storetest.NewMemory()
	clock := &Clock{Real: sunday}
	key, err := ledger.GenerateKey("demo.example")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: store, KV: store, Signer: key, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	g := Second(1, sunday())
	stats, err := Load(ctx, Loader{Clock: clock, Check: registry(t).Check, Append: appendTo(l)}, g)
	if err != nil {
		t.Fatal(err)
	}
	var want []Item
	for item := range g.All() {
		want = append(want, item)
	}
	n := 0
	for entry, err := range l.Read(ctx, g.Organization().ID, 0, uint64(len(want))) {
		if err != nil {
			t.Fatal(err)
		}
		w := want[n]
		if string(entry.Action) != w.Event.Action || entry.OccurredAt != w.Event.OccurredAt.UnixNano() || !entry.ReceivedTime().Equal(w.ReceivedAt) {
			t.Fatalf("entry %d is %s of %s received at %s, want %s of %s received at %s", n, entry.Action,
				entry.OccurredTime(), entry.ReceivedTime(), w.Event.Action, w.Event.OccurredAt, w.ReceivedAt)
		}
		n++
	}
	if n != len(want) || stats.Events != n || stats.Batches >= n || stats.Batches < n/10 {
		t.Errorf("%d entries of %d events, %+v", n, len(want), stats)
	}
	if !clock.Now().Equal(sunday()) {
		t.Error("the clock was not released")
	}
}

func appendTo(l *ledger.Ledger) func(context.Context, string, []*event.Event) error {
	return func(ctx context.Context, org string, events []*event.Event) error {
		b := ledger.NewBatch(org)
		for _, ev := range events {
			if err := b.Add(ev); err != nil {
				return err
			}
		}
		_, err := l.Append(ctx, b)
		return err
	}
}

func TestLoadStops(t *testing.T) {
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	fine := func(*event.Event) error { return nil }
	tests := map[string]struct {
		ctx    context.Context
		check  func(*event.Event) error
		append func(context.Context, string, []*event.Event) error
		want   error
	}{
		"a wrong event": {
			t.Context(), func(*event.Event) error { return broken },
			func(context.Context, string, []*event.Event) error { return nil }, broken,
		},
		"a failing ledger": {
			t.Context(), fine,
			func(context.Context, string, []*event.Event) error { return broken }, broken,
		},
		"a caller who leaves": {
			ctx, fine,
			func(context.Context, string, []*event.Event) error { cancel(); return nil }, context.Canceled,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			clock := &Clock{Real: sunday}
			_, err := Load(tt.ctx, Loader{Clock: clock, Check: tt.check, Append: tt.append}, Main(1, sunday()))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if !clock.Now().Equal(sunday()) {
				t.Error("the clock was not released")
			}
		})
	}
}

func TestRegister(t *testing.T) {
	ctx, clock, store := t.Context(), &Clock{Real: sunday}, storetest.NewMemory()
	r, err := schema.Open(ctx, store, schema.ModeStrict, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	g := Main(1, sunday())
	for range 2 { // what is there stays
		if err := Register(ctx, clock, r, g); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.All()); n != 203 {
		t.Errorf("%d schemas, want 203", n)
	}
	first := map[schema.Ref]time.Time{}
	for _, item := range year() {
		ref := schema.Ref{Action: item.Event.Action, Version: item.Event.Version}
		if at, ok := first[ref]; !ok || item.Event.OccurredAt.Before(at) {
			first[ref] = item.Event.OccurredAt
		}
	}
	for _, s := range r.All() {
		if s.CreatedAt.After(first[s.Ref()]) || s.Version == 1 && !s.CreatedAt.Equal(g.Start()) {
			t.Errorf("%s version %d is registered at %s and first used at %s", s.Action, s.Version, s.CreatedAt, first[s.Ref()])
		}
	}
}
