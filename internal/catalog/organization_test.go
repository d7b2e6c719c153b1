package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

var start = time.Date(2026, 3, 1, 9, 30, 0, 123_456_789, time.UTC)

// clock is a time that grows by a second with each look.
func clock() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return start.Add(time.Duration(n.Add(1)) * time.Second) }
}

func newCatalog() (*Catalog, *memKV) {
	kv := newMemKV()
	return New(kv, clock()), kv
}

func mustCreate(t testing.TB, c *Catalog, o Organization) *Organization {
	t.Helper()
	created, err := c.CreateOrganization(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// wantError checks code and field of an audit error.
func wantError(t testing.TB, err error, code audit.Code, field string) {
	t.Helper()
	e, ok := errors.AsType[*audit.Error](err)
	if !ok || e.Code != code || e.Field != field {
		t.Errorf("error %#v, want code %s, field %q", err, code, field)
	}
}

func TestCreateOrganization(t *testing.T) {
	c, kv := newCatalog()
	o := NewOrganization("Acme")
	o.ExternalID = "cust/1"
	o.Domains = []Domain{{Domain: "Acme.COM.", State: DomainVerified}, {Domain: "acme.dev"}}
	o.Metadata = map[string]string{"plan": "gold"}
	got := mustCreate(t, c, o)

	want := o.clone()
	want.ID, want.Order = "org_"+got.Order, got.Order
	want.CreatedAt = start.Add(time.Second).Truncate(time.Millisecond)
	want.UpdatedAt, want.HistoryStart = want.CreatedAt, want.CreatedAt
	want.Domains = []Domain{
		{ID: got.Domains[0].ID, Domain: "acme.com", State: DomainVerified, CreatedAt: want.CreatedAt, UpdatedAt: want.CreatedAt},
		{ID: got.Domains[1].ID, Domain: "acme.dev", State: DomainPending, CreatedAt: want.CreatedAt, UpdatedAt: want.CreatedAt},
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
	if id := got.Domains[0].ID; !strings.HasPrefix(id, "org_domain_") || id == got.Domains[1].ID {
		t.Errorf("domain ids %q and %q", id, got.Domains[1].ID)
	}
	// A catalog with an empty cache reads the same from the store.
	for _, c := range []*Catalog{c, New(kv, clock())} {
		for _, read := range []func() (*Organization, error){
			func() (*Organization, error) { return c.Organization(t.Context(), got.ID) },
			func() (*Organization, error) { return c.OrganizationByExternalID(t.Context(), "cust/1") },
		} {
			back, err := read()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, back); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestOrganizationIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Organization)
		field  string
	}{
		{"no name", func(o *Organization) { o.Name = " " }, "/name"},
		{"long name", func(o *Organization) { o.Name = strings.Repeat("x", MaxNameBytes+1) }, "/name"},
		{"newline in name", func(o *Organization) { o.Name = "a\nb" }, "/name"},
		{"bad UTF-8", func(o *Organization) { o.Name = "a\xff" }, "/name"},
		{"id with slash", func(o *Organization) { o.ID = "a/b" }, "/id"},
		{"id with leading dot", func(o *Organization) { o.ID = ".a" }, "/id"},
		{"long id", func(o *Organization) { o.ID = strings.Repeat("x", MaxIDBytes+1) }, "/id"},
		{"long external id", func(o *Organization) { o.ExternalID = strings.Repeat("x", MaxExternalIDBytes+1) }, "/external_id"},
		{"NUL in external id", func(o *Organization) { o.ExternalID = "\x00" }, "/external_id"},
		{"state", func(o *Organization) { o.State = "paused" }, "/state"},
		{"short retention", func(o *Organization) { o.RetentionDays = MinRetentionDays - 1 }, "/retention_days"},
		{"long retention", func(o *Organization) { o.RetentionDays = MaxRetentionDays + 1 }, "/retention_days"},
		{"negative retention", func(o *Organization) { o.RetentionDays = -1 }, "/retention_days"},
		{"history", func(o *Organization) { o.HistoryStart = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) }, "/history_start"},
		{"domain", func(o *Organization) { o.Domains = []Domain{{Domain: "a.b"}, {Domain: "a b.c"}} }, "/domains/1/domain"},
		{"domain without dot", func(o *Organization) { o.Domains = []Domain{{Domain: "localhost"}} }, "/domains/0/domain"},
		{"domain twice", func(o *Organization) { o.Domains = []Domain{{Domain: "a.b"}, {Domain: "A.B"}} }, "/domains/1/domain"},
		{"domain state", func(o *Organization) { o.Domains = []Domain{{Domain: "a.b", State: "failed"}} }, "/domains/0/domain"},
		{"many domains", func(o *Organization) { o.Domains = make([]Domain, MaxDomains+1) }, "/domains"},
		{"metadata key", func(o *Organization) { o.Metadata = map[string]string{strings.Repeat("é", MaxMetadataKey+1): ""} }, "/metadata"},
		{"metadata value", func(o *Organization) { o.Metadata = map[string]string{"a/b": strings.Repeat("é", MaxMetadataValue+1)} }, "/metadata/a~1b"},
		{"metadata keys", func(o *Organization) { o.Metadata = manyKeys(MaxMetadataKeys + 1) }, "/metadata"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, kv := newCatalog()
			o := NewOrganization("Acme")
			tt.change(&o)
			_, err := c.CreateOrganization(t.Context(), o)
			wantError(t, err, audit.CodeInvalidRequest, tt.field)
			if len(kv.records) != 0 {
				t.Errorf("stored %v", kv.keys(""))
			}
			if tt.field == "/id" {
				return // cannot be updated at all
			}
			acme := mustCreate(t, c, NewOrganization("Acme"))
			_, err = c.UpdateOrganization(t.Context(), acme.ID, func(o *Organization) error { tt.change(o); return nil })
			wantError(t, err, audit.CodeInvalidRequest, tt.field)
		})
	}
}

func manyKeys(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("k", i)] = "v"
	}
	return m
}

func TestOrganizationAtLimits(t *testing.T) {
	c, _ := newCatalog()
	o := NewOrganization(strings.Repeat("x", MaxNameBytes))
	o.ID = strings.Repeat("x", MaxIDBytes)
	o.ExternalID = strings.Repeat("é", MaxExternalIDBytes/2)
	o.Metadata = manyKeys(MaxMetadataKeys - 1)
	o.Metadata[strings.Repeat("é", MaxMetadataKey)] = strings.Repeat("🪨", MaxMetadataValue)
	o.RetentionDays = RetainForever
	mustCreate(t, c, o)
}

func TestUniqueFields(t *testing.T) {
	c, _ := newCatalog()
	first := NewOrganization("First")
	first.ID, first.ExternalID, first.Domains = "first", "x1", []Domain{{Domain: "first.com"}}
	mustCreate(t, c, first)
	tests := []struct {
		change func(*Organization)
		field  string
	}{
		{func(o *Organization) { o.ID = "first" }, "/id"},
		{func(o *Organization) { o.ExternalID = "x1" }, "/external_id"},
		{func(o *Organization) { o.Domains = []Domain{{Domain: "new.com"}, {Domain: "FIRST.com"}} }, "/domains/1/domain"},
	}
	for _, tt := range tests {
		o := NewOrganization("Second")
		tt.change(&o)
		_, err := c.CreateOrganization(t.Context(), o)
		wantError(t, err, audit.CodeConflict, tt.field)
	}
	second := mustCreate(t, c, NewOrganization("Second"))
	for _, tt := range tests[1:] {
		_, err := c.UpdateOrganization(t.Context(), second.ID, func(o *Organization) error { tt.change(o); return nil })
		wantError(t, err, audit.CodeConflict, tt.field)
	}
	// What the first gives up, the second may have.
	update(t, c, "first", func(o *Organization) { o.ExternalID, o.Domains = "", nil })
	update(t, c, second.ID, func(o *Organization) { o.ExternalID, o.Domains = "x1", []Domain{{Domain: "first.com"}} })
}

func update(t testing.TB, c *Catalog, id string, change func(*Organization)) *Organization {
	t.Helper()
	o, err := c.UpdateOrganization(context.Background(), id, func(o *Organization) error { change(o); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestUpdateKeepsDomains(t *testing.T) {
	c, _ := newCatalog()
	o := NewOrganization("Acme")
	o.Domains = []Domain{{Domain: "a.com"}, {Domain: "b.com"}}
	was := mustCreate(t, c, o)
	is := update(t, c, was.ID, func(o *Organization) {
		o.Domains = []Domain{{Domain: "b.com", State: DomainVerified}, {Domain: "c.com"}, {Domain: "a.com"}}
	})
	if is.Domains[2] != was.Domains[0] {
		t.Errorf("a.com was %+v, is %+v", was.Domains[0], is.Domains[2])
	}
	if b := is.Domains[0]; b.ID != was.Domains[1].ID || !b.UpdatedAt.Equal(is.UpdatedAt) || !b.CreatedAt.Equal(was.CreatedAt) {
		t.Errorf("b.com was %+v, is %+v", was.Domains[1], b)
	}
	if c := is.Domains[1]; c.ID == "" || !c.CreatedAt.Equal(is.UpdatedAt) {
		t.Errorf("c.com is %+v", c)
	}
}

func TestUpdateMayNotChangeIdentity(t *testing.T) {
	c, _ := newCatalog()
	o := mustCreate(t, c, NewOrganization("Acme"))
	for _, change := range []func(*Organization){
		func(o *Organization) { o.ID = "other" },
		func(o *Organization) { o.Order = "0" },
		func(o *Organization) { o.CreatedAt = start },
	} {
		if _, err := c.UpdateOrganization(t.Context(), o.ID, func(o *Organization) error { change(o); return nil }); err == nil {
			t.Error("accepted")
		}
	}
	stop := errors.New("stop")
	if _, err := c.UpdateOrganization(t.Context(), o.ID, func(*Organization) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the function's own", err)
	}
}

// TestDeleteOrganizationRevokesItsKeys looks at more keys than fit one page, and
// leaves those of others.
func TestDeleteOrganizationRevokesItsKeys(t *testing.T) {
	c, _ := newCatalog()
	for _, id := range []string{"acme", "globex"} {
		o := NewOrganization(id)
		o.ID = id
		mustCreate(t, c, o)
	}
	var live []string
	for i, org := range []string{"acme", "globex", "acme", ""} {
		k, err := c.CreateKey(t.Context(), Key{Name: "ci", Role: RoleReader, Organization: org, Hash: [32]byte{byte(i + 1)}})
		if err != nil {
			t.Fatal(err)
		}
		if org != "acme" {
			live = append(live, k.ID)
		}
	}
	if err := c.DeleteOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	keys, _, err := c.Keys(t.Context(), KeyOptions{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range keys {
		got = append(got, k.ID)
	}
	if diff := cmp.Diff(live, got); diff != "" {
		t.Error(diff)
	}
	if k, err := c.KeyByHash(t.Context(), &[32]byte{1}); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestDeleteOrganization(t *testing.T) {
	c, kv := newCatalog()
	o := NewOrganization("Acme")
	o.ID, o.ExternalID, o.Domains = "acme", "x1", []Domain{{Domain: "acme.com"}}
	mustCreate(t, c, o)
	if _, err := c.Organization(t.Context(), "acme"); err != nil { // into the cache
		t.Fatal(err)
	}
	if err := c.DeleteOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Organization(t.Context(), "acme")
	wantError(t, err, audit.CodeNotFound, "organization")
	_, err = c.OrganizationByExternalID(t.Context(), "x1")
	wantError(t, err, audit.CodeNotFound, "organization")
	wantError(t, c.DeleteOrganization(t.Context(), "acme"), audit.CodeNotFound, "organization")
	_, err = c.UpdateOrganization(t.Context(), "acme", func(*Organization) error { return nil })
	wantError(t, err, audit.CodeNotFound, "organization")
	if diff := cmp.Diff([]string{"org/acme"}, kv.keys("")); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
	if strings.Contains(string(kv.records["org/acme"].Value), "Acme") {
		t.Errorf("the tombstone keeps the name: %s", kv.records["org/acme"].Value)
	}
	_, err = c.CreateOrganization(t.Context(), o)
	wantError(t, err, audit.CodeConflict, "/id")
	o.ID = "acme2"
	mustCreate(t, c, o)
}

func TestUnknownAndForeignReadAlike(t *testing.T) {
	c, _ := newCatalog()
	for _, id := range []string{"", "nope", "a/b", "\x00", strings.Repeat("x", 1000)} {
		_, err := c.Organization(t.Context(), id)
		if diff := cmp.Diff(error(NoOrganization(id)), err); diff != "" {
			t.Error(diff)
		}
		if len(err.Error()) > 200 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
}

func TestStates(t *testing.T) {
	for state, want := range map[State][2]string{
		StateActive: {"", ""}, StateInactive: {"", "audit_log_inactive"}, StateDisabled: {"audit_log_disabled", ""},
	} {
		o := Organization{ID: "x", State: state}
		got := [2]string{}
		for i, err := range []error{o.CheckWrite(), o.CheckShow()} {
			if e, ok := errors.AsType[*audit.Error](err); ok {
				got[i] = string(e.Code)
			}
		}
		if got != want {
			t.Errorf("%s: write and show are refused with %q, want %q", state, got, want)
		}
	}
}

// Every update counts, though they all collide.
func TestConcurrentUpdates(t *testing.T) {
	c, kv := newCatalog()
	o := mustCreate(t, c, NewOrganization("Acme"))
	const writers, each = 8, 25
	var done atomic.Int64 // updates that have returned
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := c.UpdateOrganization(t.Context(), o.ID, increment); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}
		})
		wg.Go(func() { readBack(t, c, o.ID, &done, writers*each) })
	}
	wg.Wait()
	got, err := New(kv, clock()).Organization(t.Context(), o.ID)
	if err != nil || count(got) != writers*each {
		t.Errorf("counted %d (%v), want %d", count(got), err, writers*each)
	}
}

func increment(o *Organization) error {
	o.Metadata = map[string]string{"n": fmt.Sprint(count(o) + 1)}
	return nil
}

func count(o *Organization) (n int) {
	_, _ = fmt.Sscan(o.Metadata["n"], &n)
	return n
}

// readBack checks that a read which begins after an update returned sees it.
func readBack(t *testing.T, c *Catalog, id string, done *atomic.Int64, until int64) {
	for {
		least := done.Load()
		o, err := c.Organization(t.Context(), id)
		if err != nil || int64(count(o)) < least {
			t.Errorf("read %d (%v) after %d updates had returned", count(o), err, least)
			return
		}
		if least == until {
			return
		}
	}
}

// A write of which the store says that it failed may have landed: the cache must
// not go on showing what was there before.
func TestFailedButLanded(t *testing.T) {
	c, kv := newCatalog()
	o := mustCreate(t, c, NewOrganization("Acme"))
	if _, err := c.Organization(t.Context(), o.ID); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk gone")
	kv.after = func([]Change) error { return broken }
	rename := func(o *Organization) error { o.Name = "New"; return nil }
	if _, err := c.UpdateOrganization(t.Context(), o.ID, rename); !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
	if got, err := c.Organization(t.Context(), o.ID); err != nil || got.Name != "New" {
		t.Errorf("cache shows %q (%v), the store has %q", got.Name, err, "New")
	}
}

// A reader that was slow must not put into the cache what is no longer true.
func TestSlowReader(t *testing.T) {
	c, kv := newCatalog()
	o := mustCreate(t, c, NewOrganization("Acme"))
	reading, written := make(chan struct{}), make(chan struct{})
	slow := &slowKV{memKV: kv, reading: reading, written: written}
	c.kv = slow
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Organization(t.Context(), o.ID); err != nil {
			t.Error(err)
		}
	})
	<-reading
	update(t, c, o.ID, func(o *Organization) { o.Name = "New" })
	close(written)
	wg.Wait()
	if got, err := c.Organization(t.Context(), o.ID); err != nil || got.Name != "New" {
		t.Errorf("cache shows %q (%v), want the new name", got.Name, err)
	}
}

// slowKV gives its first reader what was there before written was closed.
type slowKV struct {
	*memKV
	began            atomic.Bool
	reading, written chan struct{}
}

func (s *slowKV) Get(ctx context.Context, key string) (Record, error) {
	rec, err := s.memKV.Get(ctx, key)
	if !s.began.Swap(true) {
		close(s.reading)
		<-s.written
	}
	return rec, err
}

func TestCreateRace(t *testing.T) {
	c, _ := newCatalog()
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			o := NewOrganization("Acme")
			o.Domains = []Domain{{Domain: "acme.com"}}
			_, err := c.CreateOrganization(t.Context(), o)
			if err == nil {
				won.Add(1)
				return
			}
			wantError(t, err, audit.CodeConflict, "/domains/0/domain")
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d organizations have the domain", won.Load())
	}
}

func TestCachedReadsAllocateNothing(t *testing.T) {
	c, _ := newCatalog()
	o := mustCreate(t, c, NewOrganization("Acme"))
	k := Key{Name: "k", Role: RoleWriter, Hash: [32]byte{1}}
	if _, err := c.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	read := func() {
		if _, err := c.Organization(ctx, o.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := c.KeyByHash(ctx, &k.Hash); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache[int, int]
	for i := range maxCached + 100 {
		c.put(i, &i, c.begin())
	}
	if len(c.m) != maxCached {
		t.Errorf("%d cached, want %d", len(c.m), maxCached)
	}
}
