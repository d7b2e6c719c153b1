package retention

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

// TestForget: names of who made and lifted holds go, of that organization's person
// alone, and holds that name somebody in a text are found and left.
func TestForget(t *testing.T) {
	kv := storetest.NewMemory()
	now := func() time.Time { return time.Unix(1_772_000_000, 0) }
	r := Open(Config{KV: kv, Catalog: catalog.New(kv, now), Now: now})
	t.Cleanup(func() { _ = r.Close() })
	ada := Who{Type: "user", ID: "u1", Name: "Ada Lovelace", Location: "192.0.2.7", UserAgent: "Lovelace/1.0"}
	ben := Who{Type: "user", ID: "u2", Name: "Ben"}
	put := func(org string, h Hold) string {
		h.ID, h.Organization = "hold_"+catalog.NewULID(now()), org
		if err := catalog.Save(t.Context(), kv, holdKey(org, h.ID), h, 0); err != nil {
			t.Fatal(err)
		}
		return h.ID
	}
	by := put("acme", Hold{Name: "A", Owner: ada, LiftedBy: ben})
	lifted := put("acme", Hold{Name: "B", Owner: ben, LiftedBy: ada})
	about := put("acme", Hold{Name: "C", Query: `actor.name:"Ada Lovelace"`, Owner: ben})
	reason := put("acme", Hold{Name: "D", Reason: "what Ada Lovelace did", Owner: ben})
	other := put("globex", Hold{Name: "E", Owner: ada, Query: "Ada"})
	changes, err := r.note(happening{Organization: "acme", Action: ActionHoldCreated, By: ada})
	if err == nil {
		err = kv.Apply(t.Context(), changes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Mentions(t.Context(), "acme", func(text string) bool { return strings.Contains(text, "Ada") })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{about, reason}
	slices.Sort(found)
	if slices.Sort(want); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	for range 2 {
		if err := r.Forget(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
	}
	bare := Who{Type: "user", ID: "u1"}
	for _, check := range []struct {
		org, id       string
		owner, lifter Who
	}{{"acme", by, bare, ben}, {"acme", lifted, ben, bare}, {"globex", other, ada, Who{}}} {
		h, err := catalog.Load[Hold](t.Context(), kv, holdKey(check.org, check.id))
		if err != nil || h.Value.Owner != check.owner || h.Value.LiftedBy != check.lifter {
			t.Errorf("%+v, %v", h.Value, err)
		}
	}
	notes, err := kv.List(t.Context(), prefixNote, "", 10)
	if err != nil || len(notes) != 1 || strings.Contains(string(notes[0].Value), "Lovelace") {
		t.Errorf("notes: %v, %v", notes, err)
	}
}
