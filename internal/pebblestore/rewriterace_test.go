package pebblestore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/storetest"
)

// shrinkingLog is a log out of which entries are taken while it is read. Of every
// entry it knows its fate so far, and that which it is just getting.
type shrinkingLog struct {
	mu    sync.Mutex
	texts [][2]string // of every entry as it was, and erased
	fates [][2]ledger.Fate
}

// fates of all entries that are recorded: those acknowledged, or those begun.
func (l *shrinkingLog) now(begun int) (list []ledger.Fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.fates {
		list = append(list, f[begun])
	}
	return list
}

func (l *shrinkingLog) text(seq uint64, fate ledger.Fate) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.texts[seq][fate]
}

// read reads all entries and compares: none that was gone before is there, and none
// is missing that nothing has been done to.
func (l *shrinkingLog) read(ctx context.Context, s *Store, scan bool) error {
	before := l.now(0)
	size := uint64(len(before))
	seen := make([]bool, size)
	texts := make([]string, size)
	entries := s.Read(ctx, "org", 0, size)
	if scan {
		entries = s.Scan(ctx, "org", audit.Query{}, 0, size, true)
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		seen[e.Seq], texts[e.Seq] = true, fullText(e)
	}
	after := l.now(1)
	for seq := range size {
		ok := !seen[seq] && after[seq] == ledger.Removed
		for fate := before[seq]; seen[seq] && fate <= after[seq] && fate < ledger.Removed; fate++ {
			ok = ok || texts[seq] == l.text(seq, fate)
		}
		if !ok {
			return fmt.Errorf("entry %d (there: %t), from fate %d to %d: %s\nwas %s\nor %s",
				seq, seen[seq], before[seq], after[seq], texts[seq], l.text(seq, 0), l.text(seq, 1))
		}
	}
	return nil
}

// count counts all entries.
func (l *shrinkingLog) count(ctx context.Context, s *Store) error {
	before := l.now(0)
	size := uint64(len(before))
	sum, err := s.Survey(ctx, "org", audit.Query{}, 0, size)
	if err != nil {
		return err
	}
	after := l.now(1)[:size]
	most, least := uint64(left(before)), uint64(left(after))
	if sum.Entries < least || sum.Entries > most {
		return fmt.Errorf("%d entries, not %d to %d", sum.Entries, least, most)
	}
	page, err := s.Search(ctx, "org", search.Request{Limit: 50})
	if err == nil && len(page.Entries) < min(50, left(l.now(1)[:size])) {
		err = fmt.Errorf("%d entries on a page", len(page.Entries))
	}
	return err
}

func left(fates []ledger.Fate) (n int) {
	for _, f := range fates {
		if f != ledger.Removed {
			n++
		}
	}
	return n
}

// TestRewritingConcurrently has a writer, the sealer, one who takes entries out,
// Scrub, Check and readers at work at once, with next to no memory.
func TestRewritingConcurrently(t *testing.T) {
	t.Parallel()
	rounds := 150
	if testing.Short() || raceEnabled {
		rounds = 40
	}
	cfg := sealingConfig(t, vfs.NewMem())
	cfg.IndexBytes, cfg.ColumnBytes = 3<<10, 8<<10
	s := mustOpen(t, cfg)
	l := &shrinkingLog{}
	model := storetest.NewLog("org")
	var done atomic.Bool
	var busy, readers sync.WaitGroup
	busy.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range rounds {
			c := model.Next(int64(n), variedEvents(rng, "t", 1+rng.IntN(120)), nil)
			from := len(model.Entries)
			model.Add(c)
			l.mu.Lock()
			for _, e := range model.Entries[from:] {
				gone := e.Clone()
				gone.Erase(7)
				l.texts = append(l.texts, [2]string{fullText(e), fullText(gone)})
			}
			l.mu.Unlock()
			if err := s.Commit(t.Context(), c); err != nil {
				t.Error(err)
			}
			l.mu.Lock()
			l.fates = append(l.fates, make([][2]ledger.Fate, len(c.Rows))...)
			l.mu.Unlock()
			if n%3 > 0 {
				continue
			}
			if err := l.shrink(t.Context(), s, model, rng); err != nil {
				t.Errorf("rewrite: %v", err)
			}
		}
	})
	ask := func(question func() error) {
		readers.Go(func() {
			for !done.Load() && !t.Failed() {
				if err := question(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ask(func() error { return l.read(t.Context(), s, false) })
	ask(func() error { return l.read(t.Context(), s, true) })
	ask(func() error { return l.count(t.Context(), s) })
	ask(func() error { return s.Scrub(t.Context()) })
	ask(func() error { return s.Check(t.Context(), func(problem error) { t.Errorf("check: %v", problem) }) })
	busy.Wait()
	done.Store(true)
	readers.Wait()
	if err := l.read(t.Context(), s, false); err != nil {
		t.Error(err)
	}
	if n := left(l.now(0)); n == 0 || n == len(l.fates) {
		t.Errorf("%d of %d entries are left", n, len(l.fates))
	}
}

// shrink takes entries out.
func (l *shrinkingLog) shrink(ctx context.Context, s *Store, model *storetest.Log, rng *rand.Rand) error {
	size := model.Head.Size
	if size == 0 {
		return nil
	}
	lo := rng.Uint64N(size)
	hi, fate, every := lo+rng.Uint64N(150), ledger.Fate(1+rng.IntN(2)), 1+rng.Uint64N(3)
	hit := func(seq uint64) bool { return seq >= lo && seq < hi && seq%every == 0 }
	change := func(which ...int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for seq := lo; seq < min(hi, size); seq++ {
			for _, i := range which {
				if hit(seq) {
					l.fates[seq][i] = max(l.fates[seq][i], fate)
				}
			}
		}
	}
	change(1)
	got, err := s.Rewrite(ctx, &ledger.Rewrite{
		Organization: "org", To: size, ErasedAt: 7,
		Fate: func(e *event.Entry) ledger.Fate {
			if hit(e.Seq) {
				return fate
			}
			return ledger.Stays
		},
	})
	if err != nil {
		return err
	}
	change(0)
	if got.Keys != nil {
		model.Keys = slices.Clone(model.Keys)
		model.Keys[got.Keys.Block] = got.Keys.Keys
	}
	return nil
}
