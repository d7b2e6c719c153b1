package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// RunLifecycle records, signs, removes, erases, seals and restarts in random
// order, with a ledger on the store, and holds it to the promise "removable,
// provably" after each step: the log checks clean; entries that remain have a
// proof, each checkpoint ever signed is consistent with the newest, what is held
// is there, what was erased is found by no search, what was removed is nowhere.
// It does so with that many short logs, [Lives] if time allows, and a long one. open
// is that of [Run].
func RunLifecycle(t *testing.T, lives int, open func(t testing.TB) Subject) {
	t.Helper()
	s := suite{open: open, orgs: new(atomic.Int64)}
	whole, subject := t, s.open(t) // a store that is opened again outlives one life
	live := func(t *testing.T, seed uint64, first, steps int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(seed, 6)) //nolint:gosec // a test
		life := newLifecycle(whole, t, &subject, s, rng.IntN)
		if first > 0 {
			life.record(life.logs[0], first)
		}
		for range steps {
			life.step()
		}
		life.close()
	}
	for range lives {
		seed := rand.Uint64() //nolint:gosec // a test
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) { live(t, seed, 0, 14) })
	}
	t.Run("Long", func(t *testing.T) { live(t, 5, ledger.BlockSize-700, max(4, lives/3)) })
}

// Lives is how many short logs live through it: enough for each promise to
// be broken by some, were it not kept.
const Lives = 60

// lifecycle is a ledger on a store and what they must hold.
type lifecycle struct {
	whole   testing.TB // of all lives
	t       testing.TB
	subject *Subject
	key     string
	ledger  *ledger.Ledger
	pick    func(n int) int // one of 0 to n-1
	logs    []*lived
	now     int64
	names   int
}

// lived is one log, and all that ever was in it.
type lived struct {
	org         string
	entries     []*event.Entry // as they are now, nil where one was removed
	recorded    []*event.Entry // as they were
	checkpoints []audit.Checkpoint
}

// isHeld says which entries are to survive everything: none of some tiles, some of
// others.
func isHeld(seq uint64) bool { return seq/300%2 == 1 && seq%11 == 5 }

func newLifecycle(whole, t testing.TB, subject *Subject, s suite, pick func(n int) int) *lifecycle {
	key, err := ledger.GenerateKey("log.example.com")
	if err != nil {
		t.Fatal(err)
	}
	life := &lifecycle{whole: whole, t: t, subject: subject, key: key, pick: pick, now: 1_772_000_000_000}
	for range 2 {
		life.logs = append(life.logs, &lived{org: s.org()})
	}
	life.open()
	return life
}

func (l *lifecycle) open() {
	l.t.Helper()
	var err error
	l.ledger, err = ledger.Open(l.t.Context(), ledger.Config{
		Store: l.subject.Store, KV: l.subject.Store, Signer: l.key, AcceptNewKey: true,
		Now: func() time.Time { return time.UnixMilli(l.now) },
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lifecycle) close() {
	if err := l.ledger.Close(); err != nil {
		l.t.Fatal(err)
	}
}

// step does one thing and checks everything.
func (l *lifecycle) step() {
	l.t.Helper()
	log := l.logs[max(0, l.pick(4)-2)] // most of it happens in the first one
	l.now += int64(l.pick(3))
	switch l.pick(11) {
	case 0:
		l.record(log, 1+l.pick(5))
	case 1, 2, 3:
		l.record(log, 1+l.pick(600))
	case 4, 5:
		l.sign(log)
	case 6, 7:
		l.removeBefore(log)
	case 8:
		l.rewriteSome(log, ledger.Removed)
	case 9:
		l.rewriteSome(log, ledger.Erased)
	default:
		l.rest()
	}
	for _, log := range l.logs {
		l.check(log)
	}
}

// rest lets the store do what it does between commits, or restarts it.
func (l *lifecycle) rest() {
	l.t.Helper()
	if err := l.ledger.Scrub(l.t.Context()); err != nil {
		l.t.Fatalf("scrub: %v", err)
	}
	if l.subject.Seal != nil && l.pick(2) == 0 {
		l.subject.Seal(l.whole)
		return
	}
	if l.subject.Reopen == nil {
		return
	}
	l.close()
	l.subject.Store = l.subject.Reopen(l.whole)
	l.open()
}

// record records entries, each with names of its own.
func (l *lifecycle) record(log *lived, n int) {
	l.t.Helper()
	batch := ledger.NewBatch(log.org)
	events := MakeEvents("u", n)
	for _, ev := range events {
		l.names++
		ev.Actor.Name = fmt.Appendf(nil, "secret%dname", l.names)
		ev.Metadata = fmt.Appendf(nil, `{"secret":"secret%dvalue"}`, l.names)
		if err := batch.Add(ev); err != nil {
			l.t.Fatal(err)
		}
	}
	if _, err := l.ledger.Append(l.t.Context(), batch); err != nil {
		l.t.Fatalf("record %d: %v", n, err)
	}
	for e, err := range l.ledger.Read(l.t.Context(), log.org, uint64(len(log.entries)), math.MaxUint64) {
		if err != nil {
			l.t.Fatalf("read what was recorded: %v", err)
		}
		log.entries = append(log.entries, e.Clone())
		log.recorded = append(log.recorded, e.Clone())
	}
}

func (l *lifecycle) sign(log *lived) {
	l.t.Helper()
	_, c, err := l.ledger.CheckpointFor(l.t.Context(), log.org, uint64(len(log.entries)))
	if err != nil {
		l.t.Fatalf("sign: %v", err)
	}
	log.checkpoints = append(log.checkpoints, c)
}

// removeBefore does what retention does: all entries up to some place go that are
// not held, or even those.
func (l *lifecycle) removeBefore(log *lived) {
	l.t.Helper()
	before := uint64(len(log.entries))
	if l.pick(2) == 0 {
		before = uint64(l.pick(len(log.entries) + 1)) //nolint:gosec // not negative
	}
	all := l.pick(3) == 0 // the hold was lifted
	from := uint64(max(0, l.pick(1200)-900))
	l.rewrite(log, from, before, func(e *event.Entry) ledger.Fate {
		if all || !isHeld(e.Seq) {
			return ledger.Removed
		}
		return ledger.Stays
	})
}

// rewriteSome takes some entries out, or their details.
func (l *lifecycle) rewriteSome(log *lived, fate ledger.Fate) {
	l.t.Helper()
	every := uint64(1 + l.pick(20)) //nolint:gosec // positive
	l.rewrite(log, 0, math.MaxUint64, func(e *event.Entry) ledger.Fate {
		if e.Seq%every == 0 && !isHeld(e.Seq) {
			return fate
		}
		return ledger.Stays
	})
}

func (l *lifecycle) rewrite(log *lived, from, to uint64, fate func(e *event.Entry) ledger.Fate) {
	l.t.Helper()
	done, err := l.ledger.Rewrite(l.t.Context(), ledger.Rewrite{Organization: log.org, From: from, To: to, ErasedAt: l.now, Fate: fate})
	if err != nil {
		l.t.Fatalf("rewrite: %v", err)
	}
	model := Log{Org: log.org, Entries: log.entries}
	var want ledger.Rewritten
	for seq := from; seq < min(to, uint64(len(log.entries))); seq++ {
		model.rewriteEntry(seq, l.now, fate, &want)
	}
	if done.Removed != want.Removed || done.Erased != want.Erased || done.Keys != nil {
		l.t.Fatalf("rewrite: got %+v, want %+v", done, want)
	}
}

// check holds a log to all promises.
func (l *lifecycle) check(log *lived) {
	l.t.Helper()
	var want ledger.CheckResult
	for _, e := range log.entries {
		switch {
		case e == nil:
			want.Removed++
			continue
		case e.ErasedAt != 0:
			want.Erased++
		}
		want.Entries++
	}
	res, err := l.ledger.Check(l.t.Context(), log.org, func(p ledger.Problem) { l.t.Errorf("check: %s", p.What) })
	if err != nil || res.Problems > 0 || res.Entries != want.Entries || res.Erased != want.Erased || res.Removed != want.Removed {
		l.t.Fatalf("check: got %+v, %v; want %+v", res, err, want)
	}
	l.checkEntries(log)
	l.checkCheckpoints(log)
	for range min(len(log.entries), 6) {
		l.checkOne(log, uint64(l.pick(len(log.entries)))) //nolint:gosec // not negative
	}
	l.checkNodes(log)
}

// checkEntries reads and finds what is there, and nothing else.
func (l *lifecycle) checkEntries(log *lived) {
	l.t.Helper()
	model := &Log{Org: log.org, Entries: log.entries}
	model.Head.Size = uint64(len(log.entries))
	checkRange(l.t, l.subject.Store, model, 0, math.MaxUint64)
	n := 0
	there := model.there()
	for e, err := range l.subject.Store.Scan(l.t.Context(), log.org, audit.Query{}, 0, math.MaxUint64, false) {
		if err != nil || n == len(there) || !sameEntry(e, there[n]) {
			l.t.Fatalf("scan: entry %d of %d is %s, %v", n, len(there), describe(e, log.org), err)
		}
		n++
	}
	if n != len(there) {
		l.t.Fatalf("scan: %d entries, want %d", n, len(there))
	}
}

// checkCheckpoints checks that the newest tree extends each that was signed, and
// each of these those before.
func (l *lifecycle) checkCheckpoints(log *lived) {
	l.t.Helper()
	if len(log.checkpoints) == 0 {
		return
	}
	newest := log.checkpoints[len(log.checkpoints)-1]
	if l.pick(3) == 0 {
		_, c, err := l.ledger.CheckpointFor(l.t.Context(), log.org, uint64(len(log.entries)))
		if err != nil {
			l.t.Fatalf("checkpoint: %v", err)
		}
		newest = c
		log.checkpoints = append(log.checkpoints, c)
	}
	for i, older := range log.checkpoints {
		l.checkExtends(log, newest, older)
		if i > 0 {
			l.checkExtends(log, older, log.checkpoints[i-1])
		}
	}
}

func (l *lifecycle) checkExtends(log *lived, newer, older audit.Checkpoint) {
	l.t.Helper()
	if older.Size == 0 {
		return
	}
	proof, err := l.ledger.ProveTree(l.t.Context(), log.org, newer.Size, older.Size)
	if err == nil {
		err = tlog.CheckTree(proof, int64(newer.Size), newer.Root, int64(older.Size), older.Root) //nolint:gosec // small
	}
	if err != nil {
		l.t.Fatalf("the checkpoint of %d entries does not extend that of %d: %v", newer.Size, older.Size, err)
	}
}

// checkOne looks for one entry in each way.
func (l *lifecycle) checkOne(log *lived, seq uint64) {
	l.t.Helper()
	ctx := l.t.Context()
	e, was := log.entries[seq], log.recorded[seq]
	found := l.find(ctx, log.org, string(was.Actor.Name))
	if e == nil || e.ErasedAt != 0 {
		if found > 0 || l.find(ctx, log.org, string(was.Metadata[len(`{"secret":"`):len(was.Metadata)-2])) > 0 {
			l.t.Fatalf("entry %d is found by what is gone of it", seq)
		}
	} else if found != 1 {
		l.t.Fatalf("entry %d is found %d times by its name", seq, found)
	}
	proof, err := l.ledger.Prove(ctx, log.org, seq)
	if e == nil {
		_, entryErr := l.ledger.Entry(ctx, log.org, was.ID.String())
		_, bundleErr := l.ledger.Bundle(ctx, log.org, seq/ledger.TileWidth, int(seq%ledger.TileWidth)+1)
		for what, got := range map[string]struct {
			err  error
			code audit.Code
		}{
			"proof": {err, audit.CodeNotFound}, "entry": {entryErr, audit.CodeNotFound}, "bundle": {bundleErr, audit.CodeGone},
		} {
			if !errors.Is(got.err, &audit.Error{Code: got.code}) {
				l.t.Fatalf("%s of entry %d, which was removed: %v", what, seq, got.err)
			}
		}
		return
	}
	if err != nil {
		l.t.Fatalf("prove entry %d: %v", seq, err)
	}
	v, err := audit.NewVerifier(l.ledger.VerifierKey())
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := proof.Verify(v); err != nil || proof.Record != string(was.AppendRecord(nil)) {
		l.t.Fatalf("proof of entry %d: %v, of %s", seq, err, proof.Record)
	}
}

// find counts the entries that a text finds.
func (l *lifecycle) find(ctx context.Context, org, text string) int {
	l.t.Helper()
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldText, Values: []string{text}}}}
	page, err := l.subject.Store.Search(ctx, org, search.Request{Query: q, Limit: 10})
	if err != nil {
		l.t.Fatalf("search %q: %v", text, err)
	}
	return len(page.Entries)
}

// checkNodes folds the log from subtrees that are cut at an entry that is there.
func (l *lifecycle) checkNodes(log *lived) {
	l.t.Helper()
	size := uint64(len(log.entries))
	if size == 0 {
		return
	}
	cut := slices.IndexFunc(log.entries, func(e *event.Entry) bool { return e != nil })
	cut = max(cut, 0)
	var frontier []ledger.Subtree
	for _, r := range [][2]uint64{{0, uint64(cut)}, {uint64(cut), size}} {
		nodes, err := l.ledger.Nodes(l.t.Context(), log.org, r[0], r[1])
		if err != nil {
			l.t.Fatalf("nodes of %v: %v", r, err)
		}
		for _, n := range nodes {
			frontier = pushSubtree(frontier, n)
		}
	}
	root := frontier[len(frontier)-1].Hash
	for _, n := range slices.Backward(frontier[:len(frontier)-1]) {
		root = tlog.NodeHash(n.Hash, root)
	}
	if head, err := l.ledger.Head(l.t.Context(), log.org); err != nil || head.Root() != root {
		l.t.Fatalf("subtrees cut at %d lead to another root: %v", cut, err)
	}
}

// pushSubtree appends a subtree to those before it, and merges what is complete.
func pushSubtree(list []ledger.Subtree, n ledger.Subtree) []ledger.Subtree {
	for n.First>>n.Level&1 == 1 {
		left := list[len(list)-1]
		list = list[:len(list)-1]
		n = ledger.Subtree{First: left.First, Level: n.Level + 1, Hash: tlog.NodeHash(left.Hash, n.Hash)}
	}
	return append(list, n)
}
