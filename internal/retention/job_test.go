package retention_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
)

// raw are the actors of the entries whose bytes are there, the server's own left
// out.
func (h *house) raw(org string) []string {
	h.t.Helper()
	list := []string{}
	head, err := h.store.Head(context.Background(), org)
	h.must(err)
	for e, err := range h.store.Read(context.Background(), org, 0, head.Size) {
		h.must(err)
		if !strings.HasPrefix(string(e.Action), "audit_log.") {
			list = append(list, string(e.Actor.ID))
		}
	}
	return list
}

func (h *house) keeps(org string, want ...string) {
	h.t.Helper()
	if got := h.raw(org); !slices.Equal(got, append([]string{}, want...)) {
		h.t.Fatalf("%s has the bytes of %q, want %q", org, got, want)
	}
}

// stated is what a certificate says, once its signature is checked.
func (h *house) stated(c *retention.Certificate) map[string]any {
	h.t.Helper()
	v, err := audit.NewVerifier(h.ledger.VerifierKey())
	h.must(err)
	text, err := v.OpenNote(c.Note, h.ledger.Origin(c.Organization)+retention.CertificateLine)
	h.must(err)
	var m map[string]any
	h.must(json.Unmarshal([]byte(text), &m))
	return m
}

// TestApply removes what is due and nothing else, and says so.
func TestApply(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	h.set(365, catalog.RetentionAction{Pattern: "user.logged_in", Days: 90})
	h.record("acme", "user.logged_in", "l1", "held")
	h.record("acme", "a.b", "r1")
	h.record("other", "user.logged_in", "o1")
	first := h.proven()
	began := h.clock()
	h.hold("actor:held")
	h.pass(100 * day)
	h.record("acme", "user.logged_in", "l2")
	second := h.proven(first)
	h.must(h.Round(ctx)) // begins to count
	c, err := h.Apply(ctx, "acme")
	h.must(err)
	h.keeps("acme", "held", "r1", "l2")
	h.keeps("other", "o1")
	third := h.proven(first, second)
	if c.FromSeq != 1 || c.ToSeq != 2 || c.Removed != 1 || c.Held != 1 || !c.Oldest.Equal(began) || c.Policy != "365 days; user.logged_in 90 days" {
		t.Errorf("certificate %+v", c)
	}
	said := h.stated(c)
	want := map[string]any{
		"from_seq": 1.0, "to_seq": 2.0, "removed": 1.0, "held": 1.0, "policy": c.Policy, "id": c.ID, "server": "stele test",
		"due_at": h.clock().Format(time.RFC3339),
	}
	for key, v := range want {
		if said[key] != v {
			t.Errorf("the certificate says %s: %v, want %v", key, said[key], v)
		}
	}
	if again, err := h.Apply(ctx, "acme"); again != nil || err != nil {
		t.Errorf("removed twice: %+v, %v", again, err)
	}
	h.pass(300 * day)
	c2, err := h.Apply(ctx, "acme")
	h.must(err)
	h.keeps("acme", "held")
	h.proven(first, second, third)
	list, more, err := h.Certificates(ctx, "acme", "", 10)
	h.must(err)
	if len(list) != 2 || more || list[0].ID != c2.ID || list[1].ID != c.ID {
		t.Errorf("listed are %v", list)
	}
	if list, more, err = h.Certificates(ctx, "acme", "", 1); err != nil || !more || len(list) != 1 || list[0].ID != c2.ID {
		t.Errorf("the first page has %v, %t, %v", list, more, err)
	}
	if list, more, err = h.Certificates(ctx, "acme", c2.ID, 1); err != nil || more || len(list) != 1 || list[0].ID != c.ID {
		t.Errorf("the second page has %v, %t, %v", list, more, err)
	}
	if _, err := h.Certificate(ctx, "other", c.ID); !isCode(err, audit.CodeNotFound) {
		t.Errorf("a certificate of acme is shown to another: %v", err)
	}
	applied := 0
	for _, e := range h.told("acme") {
		if string(e.Action) != retention.ActionApplied {
			continue
		}
		applied++
		if string(e.Actor.Type) != "system" {
			t.Errorf("by %s", e.Actor.Type)
		}
	}
	if applied != 2 {
		t.Errorf("%d removals are told, want 2", applied)
	}
}

// TestLiftedIsRemoved removes what a hold kept once it is lifted, though its time
// was over long before the last removal; and what became due beside it meanwhile.
func TestLiftedIsRemoved(t *testing.T) {
	h := open(t)
	h.record("acme", "a.b", "x", "y")
	h.hold("actor:f")
	h.record("acme", "a.b", slices.Repeat([]string{"f"}, 2*ledger.BlockSize)...)
	hold := h.hold("actor:x")
	h.pass(200 * day)
	h.record("acme", "a.b", "z")
	h.pass(200 * day)
	apply := func(removed uint64, left ...string) {
		t.Helper()
		c, err := h.Apply(t.Context(), "acme")
		h.must(err)
		if removed == 0 && c != nil || removed != 0 && (c == nil || c.Removed != removed) {
			t.Fatalf("the certificate is %+v, want one of %d removed", c, removed)
		}
		got := slices.DeleteFunc(h.raw("acme"), func(actor string) bool { return actor == "f" })
		if !slices.Equal(got, left) {
			t.Fatalf("left is %q, want %q", got, left)
		}
	}
	apply(3, "x", "z") // y, and that there are holds
	apply(0, "x", "z")
	h.pass(200 * day)
	apply(1, "x")
	h.lift(hold)
	if slices.Contains(h.shown("acme", "-actor:f"), "x") {
		t.Error("what a lifted hold kept is shown")
	}
	apply(1)
}

// TestRound follows the job over days: what it removes when.
func TestRound(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	const full = ledger.BlockSize
	actors := make([]string, full+10)
	for i := range actors {
		actors[i] = fmt.Sprintf("u%d", i)
	}
	h.set(30)
	h.record("acme", "a.b", actors[:full-1]...) // with the entry of the change a whole range
	h.pass(time.Hour)
	h.record("acme", "a.b", actors[full:]...)
	h.record("other", "a.b", "o")
	round := func() {
		t.Helper()
		h.must(h.Round(ctx))
	}
	round()
	for range 30 {
		round()
		h.pass(day)
	}
	if n := len(h.raw("acme")); n != full+9 {
		t.Fatalf("%d entries are left before any is due", n)
	}
	h.pass(time.Hour + time.Millisecond)
	h.see("acme")
	round()
	if n := len(h.raw("acme")); n != 10 {
		t.Fatalf("%d entries are left, want those of the range that goes on", n)
	}
	for range 6 {
		h.pass(day)
		round()
	}
	if n := len(h.raw("acme")); n != 10 {
		t.Fatalf("%d entries are left before they were due for 7 days", n)
	}
	h.pass(day)
	round()
	h.keeps("acme")
	h.keeps("other", "o")
	h.proven()
	list, _, err := h.Certificates(ctx, "acme", "", 10)
	h.must(err)
	if len(list) != 2 || list[1].Removed != full || list[1].ToSeq != full || list[0].Removed != 10 || list[0].FromSeq != full {
		t.Errorf("certified: %+v", list)
	}
	// After a long time without a look, the first one only looks.
	h.record("acme", "a.b", "late")
	h.pass(400 * day)
	round()
	h.see("acme")
	h.keeps("acme", "late")
	h.pass(day)
	round()
	h.keeps("acme")
	h.keeps("other")
}

// faulty fails at the n-th thing that is written, before or after it is.
type faulty struct {
	catalog.KV
	retention.Log
	retention.Journal

	left  *int
	after bool
}

var errFault = errors.New("fault")

func (f faulty) do(what func() error) error {
	*f.left--
	if *f.left != 0 {
		return what()
	}
	if f.after {
		if err := what(); err != nil {
			return err
		}
	}
	return errFault
}

func (f faulty) Apply(ctx context.Context, changes ...catalog.Change) error {
	return f.do(func() error { return f.KV.Apply(ctx, changes...) })
}

func (f faulty) Scrub(ctx context.Context) error {
	return f.do(func() error { return f.Log.Scrub(ctx) })
}

func (f faulty) Rewrite(ctx context.Context, r ledger.Rewrite) (out ledger.Rewritten, err error) {
	err = f.do(func() error { out, err = f.Log.Rewrite(ctx, r); return err })
	return out, err
}

func (f faulty) Record(ctx context.Context, org string, e audit.Event) error {
	return f.do(func() error { return f.Journal.Record(ctx, org, e) })
}

// TestBrokenOff breaks a removal off at each of its steps, before and after it is
// done, and takes it up again: what goes, the certificate and the entry are the
// same, and there is one of each.
func TestBrokenOff(t *testing.T) {
	n := 1
	for {
		before, after := brokenOff(t, n, false), brokenOff(t, n, true)
		if before && after {
			break
		}
		n++
	}
	if n < 8 {
		t.Errorf("only %d steps", n)
	}
}

// brokenOff reports whether the removal was through before the n-th step.
func brokenOff(t *testing.T, n int, after bool) bool {
	t.Helper()
	h := open(t)
	ctx := t.Context()
	actors := make([]string, ledger.BlockSize+10)
	for i := range actors {
		actors[i] = fmt.Sprintf("u%d", i%7)
	}
	h.record("acme", "a.b", actors...)
	hold := h.hold("actor:u3")
	h.pass(400 * day)
	left := n
	whole := h.cfg
	f := faulty{KV: h.store, Log: h.ledger, Journal: h.cfg.Journal, left: &left, after: after}
	h.cfg.KV, h.cfg.Log, h.cfg.Journal = f, f, f
	h.reopen()
	_, err := h.Apply(ctx, "acme")
	through := left > 0
	if err != nil && !errors.Is(err, errFault) {
		t.Fatalf("step %d: %v", n, err)
	}
	h.cfg = whole
	h.reopen()
	// The world goes on before it is taken up again.
	h.set(0)
	h.lift(hold)
	h.pass(time.Hour)
	if _, err := h.Apply(ctx, "acme"); err != nil {
		t.Fatalf("step %d, taken up again: %v", n, err)
	}
	if _, err := h.Apply(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	h.must(h.Tick(ctx))
	if got := h.raw("acme"); len(got) != 0 {
		t.Errorf("step %d: %d entries stay", n, len(got))
	}
	list, _, err := h.Certificates(ctx, "acme", "", 10)
	h.must(err)
	var removed uint64
	for _, c := range list {
		h.stated(c)
		removed += c.Removed
	}
	applied := 0
	for _, action := range h.actions("acme") {
		if action == retention.ActionApplied {
			applied++
		}
	}
	if removed != uint64(len(actors)+1) || // with the entry of the hold
		applied != len(list) || len(list) > 2 || len(list) == 0 {
		t.Errorf("step %d, after %t: %d removed of %d, %d certificates, %d entries", n, after, removed, len(actors), len(list), applied)
	}
	if n%4 == 0 {
		h.proven()
	}
	return through
}
