package pebblestore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// writer changes one organization's log and one record, and remembers every state
// that these have been asked to be in.
type writer struct {
	mu     sync.Mutex
	states []storetest.Log
	acked  int // the last state that was acknowledged
	record int // the last value of the record that was acknowledged
	asked  int

	commits int // asked for, in all
}

func newWriter(org string) *writer {
	return &writer{states: []storetest.Log{*storetest.NewLog(org)}}
}

// next returns a copy of the newest state.
func (w *writer) next() *storetest.Log {
	l := w.states[len(w.states)-1]
	l.Entries, l.Keys, l.Receipts = slices.Clip(l.Entries), slices.Clip(l.Keys), slices.Clip(l.Receipts)
	l.Nodes = maps.Clone(l.Nodes)
	return &l
}

// ask adds a state before it is asked for, ack says that the store has it.
func (w *writer) ask(l *storetest.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states = append(w.states, *l)
}

func (w *writer) ack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = len(w.states) - 1
}

// run changes things until stop is closed.
func (w *writer) run(t testing.TB, s *Store, seed uint64, stop <-chan struct{}) {
	rng := rand.New(rand.NewPCG(seed, uint64(w.commits)))
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		var err error
		switch l := w.next(); {
		case rng.IntN(20) == 0:
			err = w.put(t, s)
		case rng.IntN(30) == 0 && l.Head.Size > 0:
			w.ask(storetest.NewLog(l.Org))
			err = s.Drop(t.Context(), l.Org)
			w.ack()
		default:
			w.commits++
			tag := fmt.Sprint(w.commits)
			c := l.Next(l.Head.ReceivedAt+1, storetest.MakeEvents(tag, 1+rng.IntN(1<<rng.IntN(8))), func(i int) (ledger.Key, bool) {
				return storetest.KeyOf(l.Org, fmt.Sprint(tag, " ", i)), i%4 == 0
			})
			l.Add(c)
			w.ask(l)
			err = s.Commit(t.Context(), c)
			w.ack()
		}
		if err != nil {
			t.Errorf("write: %v", err)
			return
		}
	}
}

func (w *writer) put(t testing.TB, s *Store) error {
	org := w.states[0].Org
	r, err := s.Get(t.Context(), org)
	if err != nil && w.record > 0 {
		return err
	}
	w.mu.Lock()
	w.asked = w.record + 1
	w.mu.Unlock()
	err = s.Apply(t.Context(), catalog.Change{Key: org, Value: []byte(strconv.Itoa(w.asked)), Rev: r.Rev})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = w.asked
	return err
}

// known is what was acknowledged at a moment.
type known struct{ acked, record int }

func (w *writer) known() known {
	w.mu.Lock()
	defer w.mu.Unlock()
	return known{w.acked, w.record}
}

// check fails unless the store has one of the states since k, and makes it the
// only one.
func (w *writer) check(t testing.TB, s *Store, k known) {
	t.Helper()
	org := w.states[0].Org
	head, err := s.Head(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(w.states) - 1; i >= k.acked; i-- {
		if l := w.states[i]; l.Head.Size == head.Size && slices.Equal(l.Head.Frontier, head.Frontier) {
			storetest.CheckLog(t, s, &l)
			w.states, w.acked = []storetest.Log{l}, 0
			w.checkRecord(t, s, k)
			return
		}
	}
	t.Fatalf("log of %s has %d entries, which is none of the %d states since what was acknowledged, of %d entries",
		org, head.Size, len(w.states)-k.acked, w.states[k.acked].Head.Size)
}

func (w *writer) checkRecord(t testing.TB, s *Store, k known) {
	t.Helper()
	r, err := s.Get(t.Context(), w.states[0].Org)
	if err != nil && k.record > 0 {
		t.Fatalf("record: %v", err)
	}
	got, _ := strconv.Atoi(string(r.Value)) // absent: 0
	if got < k.record || got > w.asked {
		t.Fatalf("record is %d; %d was acknowledged and %d asked for", got, k.record, w.asked)
	}
	w.record = got
}

// TestCrash stops the machine at random moments while several organizations
// write, with more or less of what was not synced on disk, and goes on from what
// is left, again and again.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds := fewer(60)
	if testing.Short() {
		rounds = 10
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	disk := vfs.NewCrashableMem()
	writers := make([]*writer, 4)
	for i := range writers {
		writers[i] = newWriter(fmt.Sprint("org", i))
	}
	for round := range rounds {
		cfg := testConfig(t, disk)
		cfg.windowReceipts = 20
		cfg.MemTableBytes = 256 << 10
		s, err := Open(cfg)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		clone, acked := crashDuring(t, s, disk, writers, rng, crashWithin)
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		disk = clone
		cfg.fs = disk
		s = mustReopen(t, cfg)
		for i, w := range writers {
			w.check(t, s, acked[i])
		}
		if err := s.Check(t.Context(), func(problem error) { t.Errorf("check: %v", problem) }); err != nil {
			t.Errorf("check: %v", err)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		if rng.IntN(2) == 0 { // else recovery and background work crash too
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func mustReopen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	return s
}

// crashWithin is how long writers write at most before a crash.
const crashWithin = 30 * time.Millisecond

// crashDuring has the writers write for less than that time and returns the disk as
// a crash leaves it, and what was acknowledged before.
func crashDuring(t testing.TB, s *Store, disk *vfs.MemFS, writers []*writer, rng *rand.Rand, within time.Duration) (*vfs.MemFS, []known) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, w := range writers {
		seed := rng.Uint64() + uint64(i)
		wg.Go(func() { w.run(t, s, seed, stop) })
	}
	time.Sleep(time.Duration(rng.Int64N(int64(within)))) // any moment will do
	acked := make([]known, len(writers))
	for i, w := range writers {
		acked[i] = w.known()
	}
	clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	close(stop)
	wg.Wait()
	return clone, acked
}
