package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

const org = "acme"

// place is a server's data, across restarts, with hooks for what fails.
type place struct {
	t     *testing.T
	store *storetest.Memory
	log   *ledger.Ledger
	at    atomic.Int64 // Unix milliseconds
	keep  search.Keeper

	mu      sync.Mutex
	calls   []string // what was asked of those who keep something
	fault   func(what string) error
	onStep  func(what string)
	exports int
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, store: storetest.NewMemory()}
	p.at.Store(1_772_357_400_000)
	key, err := ledger.GenerateKey("log.example.com")
	if err != nil {
		t.Fatal(err)
	}
	p.log, err = ledger.Open(t.Context(), ledger.Config{Store: p.store, KV: p.store, Signer: key, Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.log.Close() })
	return p
}

func (p *place) now() time.Time { return time.UnixMilli(p.at.Add(1)) }

// open starts the service, which is closed with the test.
func (p *place) open() *Erasures {
	p.t.Helper()
	s, err := Open(p.t.Context(), Config{
		Log: p, Store: p.store, KV: p.store, Keep: p.keep, Exports: p, Forgetters: []Forgetter{p}, Mentioners: []Mentioner{p},
		Logger: slog.New(slog.DiscardHandler), Now: p.now, retry: time.Millisecond,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Close() })
	return s
}

// step is asked before each thing that an erasure does.
func (p *place) step(what string) error {
	p.mu.Lock()
	p.calls = append(p.calls, what)
	fault, on := p.fault, p.onStep
	p.mu.Unlock()
	if on != nil {
		on(what)
	}
	if fault != nil {
		return fault(what)
	}
	return nil
}

func (p *place) Head(ctx context.Context, org string) (ledger.Head, error) {
	return p.log.Head(ctx, org)
}

func (p *place) Rewrite(ctx context.Context, r ledger.Rewrite) (ledger.Rewritten, error) {
	if err := p.step("rewrite"); err != nil {
		return ledger.Rewritten{}, err
	}
	done, err := p.log.Rewrite(ctx, r)
	return done, errors.Join(err, p.step("rewritten"))
}

func (p *place) Scrub(ctx context.Context) error {
	return errors.Join(p.step("scrub"), p.log.Scrub(ctx))
}

func (p *place) Append(ctx context.Context, b *ledger.Batch) (ledger.Result, error) {
	if err := p.step("append"); err != nil {
		return ledger.Result{}, err
	}
	res, err := p.log.Append(ctx, b)
	return res, errors.Join(err, p.step("appended"))
}

func (p *place) CountFiles(context.Context, string) (int, error) { return p.exports, nil }

func (p *place) RemoveFiles(_ context.Context, org, by, why string) (int, error) {
	return 2, p.step("files " + org)
}

func (p *place) Forget(_ context.Context, org, person string) error {
	return p.step("forget " + org + " " + person)
}

func (p *place) Mentions(_ context.Context, org string, names func(string) bool) ([]Mention, error) {
	err := p.step("mentions " + org)
	if names(`actor.name:"ADA Lovelace"`) && names("mail to ada@example.com") && !names("admin") {
		return []Mention{{"stream", "stream_1"}}, err
	}
	return nil, err
}

// person is an event of somebody, with every kind of detail.
func person(id string) audit.Event {
	return audit.Event{
		Action: "user.invited", OccurredAt: time.Unix(1_772_000_000, 0),
		Actor:    audit.Actor{Type: "user", ID: id, Name: "Ada Lovelace", Metadata: audit.Metadata{"mail": "ada@example.com", "role": "admin"}},
		Targets:  []audit.Target{{Type: "team", ID: "t1", Name: "Core", Metadata: audit.Metadata{"lead": "Ada"}}},
		Context:  audit.Context{Location: "192.0.2.7", UserAgent: "Lovelace/1.0"},
		Metadata: audit.Metadata{"note": "for Ada"},
	}
}

// target is an event about somebody.
func target(kind, id string) audit.Event {
	e := person("u9")
	e.Action, e.Actor.Name, e.Actor.Metadata = "user.removed", "Ben", nil
	e.Targets = append(e.Targets, audit.Target{Type: kind, ID: id, Name: "Ada Lovelace"})
	return e
}

func (p *place) add(org string, list ...audit.Event) {
	p.t.Helper()
	b := ledger.NewBatch(org)
	for i := range list {
		ev, err := event.FromAudit(&list[i])
		if err != nil {
			p.t.Fatal(err)
		}
		if err := b.Add(ev); err != nil {
			p.t.Fatal(err)
		}
	}
	if _, err := p.log.Append(p.t.Context(), b); err != nil {
		p.t.Fatal(err)
	}
}

// entries are all that the store has.
func (p *place) entries(org string) []*event.Entry {
	p.t.Helper()
	var list []*event.Entry
	for e, err := range p.store.Read(p.t.Context(), org, 0, 1<<40) {
		if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, e.Clone())
	}
	return list
}

// erased are the places of erased entries.
func (p *place) erased(org string) []uint64 {
	var list []uint64
	for _, e := range p.entries(org) {
		if e.ErasedAt != 0 {
			list = append(list, e.Seq)
		}
	}
	return list
}

// confirmations are the subject.erased entries.
func (p *place) confirmations() []audit.Entry {
	var list []audit.Entry
	for _, e := range p.entries(org) {
		if string(e.Action) == ActionErased {
			list = append(list, e.Audit(org))
		}
	}
	return list
}

// check holds that the log is whole.
func (p *place) check() {
	p.t.Helper()
	_, err := p.log.Check(p.t.Context(), org, func(problem ledger.Problem) { p.t.Errorf("check: %+v", problem) })
	if err != nil {
		p.t.Fatal(err)
	}
}

var admin = Requester{Type: ByKey, ID: "key_1", Name: "Operations"}

func request(id string) Request {
	return Request{Organization: org, Subject: id, Reference: "DSR-7", RequestedBy: admin}
}

// ended erases and waits until that is done.
func ended(t *testing.T, s *Erasures, r Request) Record {
	t.Helper()
	rec, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	rec, err = s.Wait(t.Context(), r.Organization, rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestErase: the entries of one person lose what they have of it, and nothing else
// changes.
func TestErase(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"), person("u2"), target("user", "u1"), target("user", "u11"), target("device", "u1"))
	p.add("globex", person("u1"))
	before := p.entries(org)
	s := p.open()

	preview, err := s.Preview(t.Context(), request("u1"))
	if err != nil {
		t.Fatal(err)
	}
	want := Preview{
		Found: 3, Oldest: &audit.Position{Seq: 0, ReceivedAt: before[0].ReceivedTime()}, Newest: &audit.Position{Seq: 4, ReceivedAt: before[4].ReceivedTime()},
		Actions: []ActionCount{{"user.removed", 2}, {"user.invited", 1}},
	}
	if diff := cmp.Diff(want, preview); diff != "" {
		t.Error(diff)
	}
	if got := p.erased(org); got != nil {
		t.Fatalf("a preview erased %v", got)
	}

	rec := ended(t, s, request("u1"))
	if rec.State != StateDone || rec.Found != 3 || rec.Erased != 3 || rec.Held != 0 || rec.Looked != 5 || rec.RemovedExports != 2 || rec.DoneAt.IsZero() {
		t.Errorf("%+v", rec)
	}
	if diff := cmp.Diff([]Mention{{"stream", "stream_1"}}, rec.Mentions); diff != "" {
		t.Error(diff)
	}
	if got := p.erased(org); !slices.Equal(got, []uint64{0, 2, 4}) || p.erased("globex") != nil {
		t.Errorf("erased %v, elsewhere %v", got, p.erased("globex"))
	}
	after := p.entries(org)
	for i, e := range before {
		if slices.Contains([]int{0, 2, 4}, i) {
			text := fmt.Sprintf("%+v", after[i].Audit(org))
			if strings.Contains(text, "Lovelace") || strings.Contains(text, "Ada") || strings.Contains(text, "Core") || strings.Contains(text, "192.0.2.7") {
				t.Errorf("entry %d has details: %s", i, text)
			}
			if after[i].ErasedAt != rec.ErasedAt.UnixMilli() || after[i].Salt != [16]byte{} {
				t.Errorf("entry %d: %+v", i, after[i])
			}
		} else if diff := cmp.Diff(e, after[i]); diff != "" {
			t.Errorf("entry %d: %s", i, diff)
		}
	}
	entry := p.confirmations()
	if len(entry) != 1 || rec.Entry == nil || entry[0].Seq != rec.Entry.Seq {
		t.Fatalf("%+v, %+v", entry, rec.Entry)
	}
	wantEvent := audit.Event{
		Action: ActionErased, Version: 1, OccurredAt: rec.ErasedAt, Actor: audit.Actor{Type: "api_key", ID: "key_1", Name: "Operations"},
		Targets: []audit.Target{{Type: "subject", ID: "u1"}},
		Metadata: audit.Metadata{
			"erasure_id": rec.ID, "entries": 3.0, "held": 0.0, "removed_exports": 2.0, "through_seq": 4.0, "reference": "DSR-7",
		},
	}
	if diff := cmp.Diff(wantEvent, entry[0].Event); diff != "" {
		t.Error(diff)
	}
	p.check()
	// Names are looked for while they are known, the rest comes once they are gone.
	order := []string{"mentions acme", "rewrite", "rewritten", "forget acme u1", "files acme", "scrub", "append", "appended"}
	if diff := cmp.Diff(order, p.calls); diff != "" {
		t.Error(diff)
	}
}

// TestEraseType: a type leaves those of other types.
func TestEraseType(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"), target("device", "u1"))
	r := request("u1")
	r.SubjectType = "device"
	rec := ended(t, p.open(), r)
	if got := p.erased(org); !slices.Equal(got, []uint64{1}) || rec.Erased != 1 {
		t.Errorf("erased %v, %+v", got, rec)
	}
	if got := p.confirmations()[0].Targets[0]; got.Type != "device" || got.ID != "u1" {
		t.Errorf("%+v", got)
	}
}

// TestEraseAgain: a second request finds what came since, and leaves the proof of
// the first as it is.
func TestEraseAgain(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"))
	s := p.open()
	ended(t, s, request("u1"))
	p.add(org, person("u1"))
	rec := ended(t, s, request("u1"))
	if rec.Found != 2 || rec.Erased != 1 {
		t.Errorf("%+v", rec)
	}
	if got := p.confirmations(); len(got) != 2 || got[0].Metadata["reference"] != "DSR-7" || got[1].Metadata["entries"] != 1.0 {
		t.Errorf("%+v", got)
	}
	// Who asked is an actor like any other.
	rec = ended(t, s, request("key_1"))
	if got := p.confirmations(); rec.Erased != 2 || got[0].Actor.Name != "" || got[2].Actor.Name != "" {
		t.Errorf("%+v, %+v", rec, got)
	}
	p.check()
}

// TestHeld: what a hold keeps is left and counted.
func TestHeld(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"), target("user", "u1"))
	hold, err := audit.ParseQuery("action:user.removed")
	if err != nil {
		t.Fatal(err)
	}
	keep := search.NewKeep(nil, []search.Hold{{Query: hold}})
	p.keep = func(string, time.Time) (*search.Keep, error) { return keep, nil }
	s := p.open()
	preview, err := s.Preview(t.Context(), request("u1"))
	if err != nil || preview.Found != 2 || preview.Held != 1 || preview.WillErase() != 1 {
		t.Errorf("%+v, %v", preview, err)
	}
	rec := ended(t, s, request("u1"))
	if got := p.erased(org); !slices.Equal(got, []uint64{0}) || rec.Found != 2 || rec.Erased != 1 || rec.Held != 1 {
		t.Errorf("erased %v, %+v", got, rec)
	}
}

// TestGrowing: what is recorded while an erasure runs is found too.
func TestGrowing(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"))
	left := 3
	p.onStep = func(what string) {
		if what == "rewritten" && left > 0 {
			left--
			p.add(org, person("u2"), person("u1"))
		}
	}
	rec := ended(t, p.open(), request("u1"))
	if got := p.erased(org); !slices.Equal(got, []uint64{0, 2, 4, 6}) || rec.Erased != 4 || rec.Looked != 7 {
		t.Errorf("erased %v, %+v", got, rec)
	}
	p.check()
}

var errFault = errors.New("a fault")

// TestFaults: whatever fails, and whenever the server stops, an erasure comes to
// the same end: everything is erased and counted, and one entry says so.
func TestFaults(t *testing.T) {
	steps := []string{"mentions acme", "rewrite", "rewritten", "forget acme u1", "files acme", "scrub", "append", "appended"}
	for _, at := range steps {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(at, restart), func(t *testing.T) {
				p := newPlace(t)
				p.add(org, person("u1"), person("u2"), person("u1"))
				reached, faulty := make(chan struct{}), true
				p.fault = func(what string) error {
					p.mu.Lock()
					defer p.mu.Unlock()
					if what == at && faulty {
						faulty = false
						close(reached)
						return errFault
					}
					return nil
				}
				s := p.open()
				rec, err := s.Create(t.Context(), request("u1"))
				if err != nil {
					t.Fatal(err)
				}
				<-reached
				if restart {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = p.open()
				}
				rec, err = s.Wait(t.Context(), org, rec.ID)
				if err != nil {
					t.Fatal(err)
				}
				if rec.State != StateDone || rec.Found != 2 || rec.Erased != 2 || rec.Error != "" {
					t.Errorf("%+v", rec)
				}
				if got := p.confirmations(); len(got) != 1 || got[0].Metadata["entries"] != 2.0 || got[0].Seq != rec.Entry.Seq {
					t.Errorf("%+v", got)
				}
				p.check()
			})
		}
	}
}

// TestKVFaults: a write of the record that fails, or that lands and says it did
// not, changes nothing about the end.
func TestKVFaults(t *testing.T) {
	for n := range 12 {
		for _, landed := range []bool{false, true} {
			p := newPlace(t)
			p.add(org, person("u1"))
			kv := &faultyKV{Memory: p.store, at: n, landed: landed}
			s, err := Open(t.Context(), Config{Log: p, Store: p.store, KV: kv, Logger: slog.New(slog.DiscardHandler), Now: p.now, retry: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			rec, err := s.Create(t.Context(), request("u1"))
			if err != nil && !landed {
				rec, err = s.Create(t.Context(), request("u1"))
			}
			if err == nil {
				rec, err = s.Wait(t.Context(), org, rec.ID)
			}
			if err == nil && (rec.State != StateDone || rec.Erased != 1 || len(p.confirmations()) != 1) {
				t.Errorf("fault %d, landed %t: %+v, %+v", n, landed, rec, p.confirmations())
			}
			if err != nil && (n != 0 || !landed) { // then who asked was told that it failed
				t.Errorf("fault %d, landed %t: %v", n, landed, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamage: a log that cannot be read is the end, which says where.
func TestDamage(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"), person("u1"))
	s, err := Open(t.Context(), Config{
		Log: p, Store: damaged{p.store}, KV: p.store, Logger: slog.New(slog.DiscardHandler), Now: p.now, retry: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	rec := ended(t, s, request("u1"))
	if rec.State != StateFailed || !strings.Contains(rec.Error, "entries 1 to 1") || rec.Entry != nil {
		t.Errorf("%+v", rec)
	}
}

// TestCreate: what is refused, and what somebody who erases themselves leaves.
func TestCreate(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"))
	hold := make(chan struct{})
	p.onStep = func(what string) {
		if what == "scrub" {
			<-hold
		}
	}
	s := p.open()
	for field, r := range map[string]Request{
		"/subject":      {Organization: org},
		"/subject_type": {Organization: org, Subject: "u1", SubjectType: "\x00"},
		"/reference":    {Organization: org, Subject: "u1", Reference: strings.Repeat("x", MaxReferenceBytes+1)},
	} {
		_, err := s.Create(t.Context(), r)
		e, ok := errors.AsType[*audit.Error](err)
		if !ok || e.Code != audit.CodeInvalidRequest || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	r := request("u1")
	r.RequestedBy = Requester{Type: ByPerson, ID: "u1", Name: "Ada Lovelace", Location: "192.0.2.7", UserAgent: "Lovelace/1.0"}
	rec, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), request("u1")); !errors.Is(err, &audit.Error{Code: audit.CodeConflict}) {
		t.Errorf("a second one: %v", err)
	}
	close(hold)
	if rec, err = s.Wait(t.Context(), org, rec.ID); err != nil {
		t.Fatal(err)
	}
	if got := p.confirmations(); len(got) != 1 || got[0].Actor.Name != "" || got[0].Actor.ID != "u1" || got[0].Context != (audit.Context{}) {
		t.Errorf("%+v", got)
	}
	recs, err := p.store.List(t.Context(), "erasure", "", 10)
	if err != nil || len(recs) != 1 || bytes.Contains(recs[0].Value, []byte("Lovelace")) {
		t.Errorf("kept: %v, %v", recs, err)
	}
	if _, err := s.Get(t.Context(), "globex", rec.ID); !errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		t.Errorf("another organization's: %v", err)
	}
}

// TestList: newest first, page by page.
func TestList(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	var want []string
	for i := range 5 {
		rec := ended(t, s, request(fmt.Sprint("u", i)))
		want = append([]string{rec.ID}, want...)
	}
	ended(t, s, Request{Organization: "globex", Subject: "u1"})
	var got []string
	after, more := "", true
	for more {
		var list []Record
		var err error
		if list, more, err = s.List(t.Context(), org, after, 2); err != nil {
			t.Fatal(err)
		}
		for _, rec := range list {
			got = append(got, rec.ID)
		}
		after = got[len(got)-1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := s.List(t.Context(), org, "x", 2); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidCursor}) {
		t.Errorf("a bad cursor: %v", err)
	}
}

// TestDropOrganization: nothing of an organization is left, and nothing comes back.
func TestDropOrganization(t *testing.T) {
	p := newPlace(t)
	p.add(org, person("u1"))
	reached := make(chan struct{}, 1)
	p.fault = func(what string) error {
		if what == "scrub" {
			select {
			case reached <- struct{}{}:
			default:
			}
			return errFault
		}
		return nil
	}
	s := p.open()
	if _, err := s.Create(t.Context(), request("u1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), request("u2")); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := s.DropOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	recs, err := p.store.List(t.Context(), "erasure", "", 10)
	if err != nil || len(recs) != 0 {
		t.Errorf("kept: %v, %v", recs, err)
	}
}

// faultyKV fails one write: before it is made or after.
type faultyKV struct {
	*storetest.Memory
	mu     sync.Mutex
	at, n  int
	landed bool
}

// damaged is a store that cannot read the entry 1.
type damaged struct{ *storetest.Memory }

func (d damaged) ScanStored(ctx context.Context, org string, q audit.Query, from, to uint64) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		for e, err := range d.Memory.ScanStored(ctx, org, q, from, to) {
			if err == nil && e.Seq == 1 {
				yield(nil, damage{})
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

type damage struct{}

func (damage) Error() string              { return "damage" }
func (damage) Entries() (from, to uint64) { return 1, 2 }

func (k *faultyKV) Apply(ctx context.Context, changes ...catalog.Change) error {
	k.mu.Lock()
	now := k.n == k.at
	k.n++
	k.mu.Unlock()
	if now && !k.landed {
		return errFault
	}
	err := k.Memory.Apply(ctx, changes...)
	if now {
		return errFault
	}
	return err
}
