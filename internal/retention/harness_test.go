package retention_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

const day = 24 * time.Hour

// anna is who does things.
var anna = retention.Who{Type: "user", ID: "u_1", Name: "Anna"}

// house is retention over the store in memory, on a clock of its own.
type house struct {
	*retention.Retention
	t       testing.TB
	store   *storetest.Memory
	ledger  *ledger.Ledger
	catalog *catalog.Catalog
	cfg     retention.Config

	mu  sync.Mutex
	now time.Time
}

// clock is the house's clock.
func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// pass lets time go by.
func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// open makes a house with two organizations, "acme" and "other".
func open(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, store: storetest.NewMemory(), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	h.catalog = catalog.New(h.store, h.clock)
	key, err := ledger.GenerateKey("stele.test")
	h.must(err)
	h.ledger, err = ledger.Open(context.Background(), ledger.Config{
		Store: h.store, KV: h.store, Signer: key, Now: h.clock,
		Shows: func(org string) (func(*event.Entry) bool, error) {
			k, err := h.Keep(org, h.clock())
			return k.Shows, err
		},
	})
	h.must(err)
	h.cfg = retention.Config{
		KV: h.store, Catalog: h.catalog, Store: h.store, Engine: h.store, Log: h.ledger, Journal: journal{h.ledger}, Server: "stele test", Now: h.clock,
	}
	h.reopen()
	h.store.SetKeeper(func(org string, _ time.Time) (*search.Keep, error) { return h.Keep(org, h.clock()) })
	t.Cleanup(func() {
		h.must(h.Close())
		h.must(h.ledger.Close())
	})
	for _, id := range []string{"acme", "other"} {
		o := catalog.NewOrganization(id)
		o.ID = id
		_, err := h.catalog.CreateOrganization(context.Background(), o)
		h.must(err)
	}
	return h
}

// reopen takes retention up anew, as after a restart.
func (h *house) reopen() { h.Retention = retention.Open(h.cfg) }

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// journal records what retention tells.
type journal struct{ ledger *ledger.Ledger }

func (j journal) Record(ctx context.Context, org string, e audit.Event) error {
	ev, err := event.FromAudit(&e)
	if err != nil {
		return err
	}
	b := ledger.NewBatch(org)
	if err := b.Add(ev); err != nil {
		return err
	}
	_, err = j.ledger.Append(ctx, b)
	if errors.Is(err, &audit.Error{Code: audit.CodeIdempotencyConflict}) {
		return nil
	}
	return err
}

// record records events of one action by an actor each.
func (h *house) record(org, action string, actors ...string) {
	h.t.Helper()
	for batch := range slices.Chunk(actors, 4096) {
		b := ledger.NewBatch(org)
		for _, actor := range batch {
			ev, err := event.FromAudit(&audit.Event{
				Action: action, Version: 1, OccurredAt: h.clock(), Actor: audit.Actor{Type: "user", ID: actor, Name: "Name of " + actor},
			})
			h.must(err)
			h.must(b.Add(ev))
		}
		_, err := h.ledger.Append(context.Background(), b)
		h.must(err)
	}
}

// shown are the actors of the entries that a search finds, oldest first; those of
// the server's own entries left out.
func (h *house) shown(org, filter string) []string {
	h.t.Helper()
	q, err := audit.ParseQuery(filter)
	h.must(err)
	q.Filters = append(q.Filters, audit.Filter{Field: audit.FieldAction, Values: []string{"audit_log.*"}, Not: true})
	page, err := h.store.Search(context.Background(), org, search.Request{Query: q, Ascending: true, Limit: audit.MaxQueryLimit})
	h.must(err)
	actors := []string{}
	for _, e := range page.Entries {
		actors = append(actors, string(e.Actor.ID))
	}
	return actors
}

// see fails the test unless these are shown.
func (h *house) see(org string, want ...string) {
	h.t.Helper()
	if got := h.shown(org, ""); !slices.Equal(got, append([]string{}, want...)) {
		h.t.Fatalf("at %s of %s is shown %q, want %q", h.clock().Format(time.RFC3339Nano), org, got, want)
	}
}

// told are the entries that retention made, oldest first, by action.
func (h *house) told(org string) []*event.Entry {
	h.t.Helper()
	var list []*event.Entry
	head, err := h.store.Head(context.Background(), org)
	h.must(err)
	for e, err := range h.store.Read(context.Background(), org, 0, head.Size) {
		h.must(err)
		if a := string(e.Action); len(a) > 10 && a[:10] == "audit_log." {
			list = append(list, e.Clone())
		}
	}
	return list
}

func (h *house) actions(org string) []string {
	h.t.Helper()
	list := []string{}
	for _, e := range h.told(org) {
		list = append(list, string(e.Action))
	}
	return list
}

// set changes the policy and lets go what goes.
func (h *house) set(days int, actions ...catalog.RetentionAction) {
	h.t.Helper()
	all := uint64(1 << 60)
	_, err := h.SetPolicy(context.Background(), "acme", retention.Policy{Days: days, Actions: actions}, &all, anna)
	h.must(err)
}

// hold makes a hold.
func (h *house) hold(query string) *retention.Hold {
	h.t.Helper()
	made, err := h.CreateHold(context.Background(), "acme", retention.HoldSpec{Name: "a matter", Query: query, Reason: "because"}, anna)
	h.must(err)
	return made
}

func (h *house) lift(hold *retention.Hold) {
	h.t.Helper()
	_, err := h.LiftHold(context.Background(), hold.Organization, hold.ID, "", anna)
	h.must(err)
}

// proven fails the test unless every entry that is shown has a proof that holds,
// and the newest checkpoint extends those given.
func (h *house) proven(older ...[]byte) []byte {
	h.t.Helper()
	const org = "acme"
	ctx := context.Background()
	v, err := audit.NewVerifier(h.ledger.VerifierKey())
	h.must(err)
	head, err := h.ledger.Head(ctx, org)
	h.must(err)
	for e, err := range h.ledger.Read(ctx, org, 0, head.Size) {
		h.must(err)
		proof, err := h.ledger.Prove(ctx, org, e.Seq)
		if err == nil {
			_, err = proof.Verify(v)
		}
		if err != nil {
			h.t.Fatalf("proof of entry %d: %v", e.Seq, err)
		}
	}
	cp, err := h.ledger.Checkpoint(ctx, org)
	h.must(err)
	for _, old := range older {
		was, err := v.Open(old)
		h.must(err)
		if was.Size == 0 {
			continue
		}
		is, err := v.Open(cp)
		h.must(err)
		proof, err := h.ledger.ProveTree(ctx, org, is.Size, was.Size)
		h.must(err)
		h.must(tlog.CheckTree(proof, int64(is.Size), is.Root, int64(was.Size), was.Root))
	}
	_, err = h.ledger.Check(ctx, org, func(p ledger.Problem) { h.t.Errorf("check: %+v", p) })
	h.must(err)
	return cp
}
