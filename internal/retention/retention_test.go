package retention_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
)

// TestDueAtTheMoment looks at entries of three periods just before and just after
// each has passed.
func TestDueAtTheMoment(t *testing.T) {
	h := open(t)
	h.set(365,
		catalog.RetentionAction{Pattern: "user.logged_in", Days: 90}, catalog.RetentionAction{Pattern: "user.*", Days: 500},
		catalog.RetentionAction{Pattern: "api_key.*", Days: 0})
	began := h.clock()
	h.record("acme", "user.logged_in", "login")
	h.record("acme", "user.created", "user")
	h.record("acme", "role.changed", "role")
	h.record("acme", "api_key.created", "key")
	h.record("other", "role.changed", "other role")
	at := func(after time.Duration) {
		h.mu.Lock()
		h.now = began.Add(after)
		h.mu.Unlock()
	}
	at(90 * day)
	h.see("acme", "login", "user", "role", "key")
	at(90*day + time.Millisecond)
	h.see("acme", "user", "role", "key")
	if _, err := h.ledger.EntryAt(t.Context(), "acme", 1); !isCode(err, audit.CodeNotFound) {
		t.Errorf("an entry that is due is got by its place: %v", err)
	}
	if _, err := h.ledger.Prove(t.Context(), "acme", 1); err == nil {
		t.Error("an entry that is due is proven")
	}
	at(365 * day)
	h.see("acme", "user", "role", "key")
	at(365*day + time.Millisecond)
	h.see("acme", "user", "key")
	h.see("other")
	at(500*day + time.Millisecond)
	h.see("acme", "key")
	at(9000 * day)
	h.see("acme", "key")
	h.proven()
}

func isCode(err error, code audit.Code) bool { return errors.Is(err, &audit.Error{Code: code}) }

// TestNothingComesBack makes periods longer and classes go away after entries were
// due.
func TestNothingComesBack(t *testing.T) {
	h := open(t)
	h.set(365, catalog.RetentionAction{Pattern: "user.logged_in", Days: 90})
	h.record("acme", "user.logged_in", "login")
	h.record("acme", "user.created", "user")
	h.pass(91 * day)
	h.record("acme", "user.logged_in", "late login")
	h.see("acme", "user", "late login")
	h.set(365)
	h.see("acme", "user", "late login")
	h.pass(280 * day)
	h.see("acme", "late login")
	h.set(0, catalog.RetentionAction{Pattern: "user.*", Days: 3650})
	h.see("acme", "late login")
	h.pass(365 * day)
	h.see("acme", "late login")
	h.set(30)
	h.set(0)
	h.see("acme")
}

// TestConfirm refuses a change by which entries go until their number is given.
func TestConfirm(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	h.record("acme", "a.b", "1", "2", "3")
	h.pass(50 * day)
	h.record("acme", "a.b", "4")
	p := retention.Policy{Days: 30}
	preview, err := h.Preview(ctx, "acme", p)
	h.must(err)
	oldest := h.clock().Add(-50 * day)
	want := retention.Preview{
		At: h.clock(), Due: 3, Oldest: oldest, Newest: oldest,
		Classes: []retention.ClassPreview{{Days: 30, Due: 3, Oldest: oldest, Newest: oldest}},
	}
	if diff := cmp.Diff(want, preview); diff != "" {
		t.Errorf("preview: %s", diff)
	}
	two, three := uint64(2), uint64(3)
	for _, confirm := range []*uint64{nil, &two} {
		_, err = h.SetPolicy(ctx, "acme", p, confirm, anna)
		refused, ok := errors.AsType[*retention.ConfirmError](err)
		if !ok || !isCode(err, audit.CodeConflict) || refused.Preview.Due != 3 {
			t.Fatalf("changed although nobody agreed: %v", err)
		}
	}
	h.see("acme", "1", "2", "3", "4")
	_, err = h.SetPolicy(ctx, "acme", p, &three, anna)
	h.must(err)
	h.see("acme", "4")
	// What can hurt nobody needs no number.
	_, err = h.SetPolicy(ctx, "acme", retention.Policy{Days: 60}, nil, anna)
	h.must(err)
	told := h.told("acme")
	last := told[len(told)-1]
	if string(last.Metadata) != `{"from":"30 days","to":"60 days"}` || string(last.Actor.ID) != "u_1" || string(last.Targets[0].ID) != "acme" {
		t.Errorf("the entry says %s of %s", last.Metadata, last.Actor.ID)
	}
	if got := h.actions("acme"); !slices.Equal(got, []string{retention.ActionChanged, retention.ActionChanged}) {
		t.Errorf("told %q", got)
	}
	if got := h.actions("other"); len(got) > 0 {
		t.Errorf("the other organization is told %q", got)
	}
}

// TestPreviewIsWhatGoes compares the preview of policies with what is shown before
// and after, holds included.
func TestPreviewIsWhatGoes(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	for range 10 {
		h.record("acme", "user.logged_in", "a", "b")
		h.record("acme", "role.changed", "a", "c")
		h.pass(20 * day)
	}
	h.hold("actor:a action:user.*")
	h.hold("action:user.logged_in actor:a")
	h.hold("actor:c")
	for _, p := range []retention.Policy{
		{Days: 150},
		{Days: 150, Actions: []catalog.RetentionAction{{Pattern: "user.*", Days: 90}}},
		{Days: 0, Actions: []catalog.RetentionAction{{Pattern: "user.logged_in", Days: 30}}},
		{Days: 30},
	} {
		preview, err := h.Preview(ctx, "acme", p)
		h.must(err)
		before := h.shown("acme", "")
		_, err = h.SetPolicy(ctx, "acme", p, &preview.Due, anna)
		h.must(err)
		gone := len(before) - len(h.shown("acme", ""))
		var due, held uint64
		for _, c := range preview.Classes {
			due, held = due+c.Due, held+c.Held
		}
		if uint64(gone) != preview.Due || due != preview.Due || held != preview.Held || preview.Due > 0 && !preview.Oldest.Before(preview.Newest) {
			t.Errorf("%s: the preview is %+v, %d went", p, preview, gone)
		}
		if preview.Held == 0 {
			t.Errorf("%s: nothing is held", p)
		}
	}
}

func TestPolicyErrors(t *testing.T) {
	h := open(t)
	many := make([]catalog.RetentionAction, 101)
	for i := range many {
		many[i] = catalog.RetentionAction{Pattern: strings.Repeat("a", i+1), Days: 30}
	}
	one := func(pattern string, days int) []catalog.RetentionAction {
		return []catalog.RetentionAction{{Pattern: "fine", Days: 30}, {Pattern: pattern, Days: days}}
	}
	for _, tt := range []struct {
		policy retention.Policy
		field  string
	}{
		{retention.Policy{Days: 29}, "/days"},
		{retention.Policy{Days: 3651}, "/days"},
		{retention.Policy{Days: -1}, "/days"},
		{retention.Policy{Days: 30, Actions: one("user.*", 29)}, "/actions/1/days"},
		{retention.Policy{Days: 30, Actions: one("user.*", 3651)}, "/actions/1/days"},
		{retention.Policy{Days: 30, Actions: one("", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("*", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("user*", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("us*er", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("user.", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("user\n", 30)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one("fine", 40)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: one(strings.Repeat("a", 201), 40)}, "/actions/1/pattern"},
		{retention.Policy{Days: 30, Actions: many}, "/actions"},
	} {
		_, err := h.SetPolicy(t.Context(), "acme", tt.policy, nil, anna)
		shown, ok := errors.AsType[*audit.Error](err)
		if !ok || shown.Code != audit.CodeInvalidRequest || shown.Field != tt.field {
			t.Errorf("%+v: %v, want an error about %s", tt.policy, err, tt.field)
		}
		_, err = h.Preview(t.Context(), "acme", tt.policy)
		if again, ok := errors.AsType[*audit.Error](err); !ok || again.Field != tt.field {
			t.Errorf("preview of %+v: %v, want an error about %s", tt.policy, err, tt.field)
		}
	}
	for _, days := range []int{0, 30, 3650} {
		_, err := h.SetPolicy(t.Context(), "acme", retention.Policy{Days: days, Actions: one("user.*", days)}, nil, anna)
		h.must(err)
	}
	if _, err := h.SetPolicy(t.Context(), "nobody", retention.Policy{Days: 30}, nil, anna); !isCode(err, audit.CodeNotFound) {
		t.Errorf("an organization that is not there: %v", err)
	}
}

// TestOldWays changes the period through the catalog's organization, as older
// routes do: with the same floors.
func TestOldWays(t *testing.T) {
	h := open(t)
	h.record("acme", "a.b", "1")
	h.pass(40 * day)
	for _, days := range []int{30, 0} {
		_, err := h.Update(t.Context(), "acme", anna, func(o *catalog.Organization) error {
			o.RetentionDays, o.RetainedFrom = days, nil
			return nil
		})
		h.must(err)
		h.see("acme")
	}
	_, err := h.Update(t.Context(), "acme", anna, func(o *catalog.Organization) error {
		o.Name = "Acme & Co"
		return nil
	})
	h.must(err)
	if got := h.actions("acme"); len(got) != 2 {
		t.Errorf("told %q, want two changes of retention", got)
	}
}

// TestHolds follows holds through their lives.
func TestHolds(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	h.record("acme", "a.b", "gone")
	h.pass(366 * day)
	h.record("acme", "a.b", "x", "y")
	all := h.hold("")
	h.see("acme", "x", "y") // what was due does not come back
	h.pass(200 * day)
	h.record("acme", "a.b", "z")
	h.pass(300 * day)
	h.see("acme", "x", "y", "z") // two of them are due
	later := h.hold("actor:x")
	h.lift(all)
	h.see("acme", "x", "z") // what was seen when it was made, it keeps
	if _, err := h.LiftHold(ctx, "acme", all.ID, "", anna); !isCode(err, audit.CodeConflict) {
		t.Errorf("lifted twice: %v", err)
	}
	h.pass(time.Millisecond)
	third := h.hold("actor:x actor:y")
	h.lift(later)
	h.see("acme", "x", "z") // not what was gone by then
	h.pass(100 * day)
	h.see("acme", "x")
	end := h.clock().Add(10 * day)
	_, err := h.ChangeHold(ctx, "acme", third.ID, retention.HoldChange{EndsAt: &end}, anna)
	h.must(err)
	h.pass(10*day - time.Millisecond)
	h.see("acme", "x")
	h.pass(time.Millisecond)
	h.see("acme")
	if _, err := h.ChangeHold(ctx, "acme", third.ID, retention.HoldChange{EndsAt: &time.Time{}}, anna); !isCode(err, audit.CodeConflict) {
		t.Errorf("a hold that has ended is changed: %v", err)
	}
	for _, org := range []string{"other", "nobody"} {
		if _, err := h.Hold(ctx, org, third.ID); !isCode(err, audit.CodeNotFound) {
			t.Errorf("a hold of acme is shown to %s: %v", org, err)
		}
		if _, err := h.LiftHold(ctx, org, third.ID, "", anna); !isCode(err, audit.CodeNotFound) {
			t.Errorf("a hold of acme is lifted by %s: %v", org, err)
		}
	}
	h.must(h.Tick(ctx))
	want := []string{
		retention.ActionHoldCreated, retention.ActionHoldCreated, retention.ActionHoldLifted, retention.ActionHoldCreated,
		retention.ActionHoldLifted, retention.ActionHoldChanged, retention.ActionHoldEnded,
	}
	if diff := cmp.Diff(want, h.actions("acme")); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	h.must(h.Tick(ctx))
	if got := h.actions("acme"); len(got) != len(want) {
		t.Errorf("the end is told again: %q", got)
	}
	list, err := h.Holds(ctx, "acme")
	h.must(err)
	var states []retention.HoldState
	for _, hold := range list {
		states = append(states, hold.State(h.clock()))
	}
	if diff := cmp.Diff([]retention.HoldState{retention.HoldEnded, retention.HoldLifted, retention.HoldLifted}, states); diff != "" {
		t.Error(diff)
	}
}

func TestHoldErrors(t *testing.T) {
	h := open(t)
	fine := retention.HoldSpec{Name: "n", Reason: "r"}
	for _, tt := range []struct {
		change func(*retention.HoldSpec)
		field  string
	}{
		{func(s *retention.HoldSpec) { s.Name = " " }, "/name"},
		{func(s *retention.HoldSpec) { s.Name = strings.Repeat("n", 257) }, "/name"},
		{func(s *retention.HoldSpec) { s.Name = "a\nb" }, "/name"},
		{func(s *retention.HoldSpec) { s.Reason = "" }, "/reason"},
		{func(s *retention.HoldSpec) { s.Reason = strings.Repeat("n", 4097) }, "/reason"},
		{func(s *retention.HoldSpec) { s.Query = "colour:red" }, "/query"},
		{func(s *retention.HoldSpec) { s.Query = strings.Repeat("a", 17<<10) }, "/query"},
		{func(s *retention.HoldSpec) { s.EndsAt = h.clock() }, "/ends_at"},
		{func(s *retention.HoldSpec) { s.EndsAt = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) }, "/ends_at"},
	} {
		spec := fine
		tt.change(&spec)
		_, err := h.CreateHold(t.Context(), "acme", spec, anna)
		if shown, ok := errors.AsType[*audit.Error](err); !ok || shown.Field != tt.field {
			t.Errorf("%+v: %v, want an error about %s", spec, err, tt.field)
		}
	}
	if _, err := h.CreateHold(t.Context(), "nobody", fine, anna); !isCode(err, audit.CodeNotFound) {
		t.Errorf("an organization that is not there: %v", err)
	}
	for range retention.MaxHolds {
		h.hold("actor:x")
	}
	if _, err := h.CreateHold(t.Context(), "acme", fine, anna); !isCode(err, audit.CodeConflict) {
		t.Errorf("one hold too many: %v", err)
	}
	for _, id := range []string{"", "hold_", "hold_../x", "hold_01KJMJ6R3V0C5S4QXN1B7W2T8Z"} {
		if _, err := h.Hold(t.Context(), "acme", id); !isCode(err, audit.CodeNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := h.CheckDelete(t.Context(), "acme"); !isCode(err, audit.CodeConflict) {
		t.Errorf("a log under holds may be deleted: %v", err)
	}
	h.must(h.CheckDelete(t.Context(), "other"))
}

// TestStorageFaults has reads fail when what is kept cannot be read, instead of
// showing everything.
func TestStorageFaults(t *testing.T) {
	h := open(t)
	h.record("acme", "a.b", "x")
	cfg := h.cfg
	cfg.KV = failing{h.store}
	r := retention.Open(cfg)
	defer func() { h.must(r.Close()) }()
	if _, err := r.Keep("acme", h.clock()); err == nil {
		t.Error("nobody knows what is kept, and everything is shown")
	}
}

// failing is a KV that lists nothing.
type failing struct{ catalog.KV }

func (failing) List(context.Context, string, string, int) ([]catalog.Record, error) {
	return nil, errors.New("disk gone")
}
