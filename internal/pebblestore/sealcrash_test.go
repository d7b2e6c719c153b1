package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sealingConfig seals by itself, small ranges, and the rest soon.
func sealingConfig(t testing.TB, fs vfs.FS) Config {
	cfg := testConfig(t, fs)
	cfg.sealByHand, cfg.rangeRows, cfg.quietRows, cfg.staleRows, cfg.sealEvery = false, 64, 20, 1, time.Millisecond
	cfg.IndexBytes, cfg.ColumnBytes = 8<<10, 32<<10
	start := time.Now()
	cfg.Now = func() time.Time { return start.Add(100_000 * time.Since(start)) } // ten minutes are 6 ms
	return cfg
}

// TestCrashSealing stops the machine at random moments while several organizations
// write and their entries are sealed and merged, with more or less of what was not
// synced on disk. What is left is complete, answers every question, and seals by
// itself.
func TestCrashSealing(t *testing.T) {
	t.Parallel()
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	disk := vfs.NewCrashableMem()
	writers := make([]*writer, 3)
	for i := range writers {
		writers[i] = newWriter(fmt.Sprint("org", i))
	}
	blocks, within := 0, crashWithin
	for round := 0; round < rounds && within < time.Minute; round++ {
		cfg := sealingConfig(t, disk)
		cfg.MemTableBytes = 256 << 10
		s := mustReopen(t, cfg)
		clone, acked := crashDuring(t, s, disk, writers, rng, within)
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		disk = clone
		byHand := cfg
		byHand.fs, byHand.sealByHand = disk, true // looked at as the crash left it
		s = mustReopen(t, byHand)
		for i, w := range writers {
			w.check(t, s, acked[i])
			checkAnswers(t, s, rng, &w.states[0], 2)
			blocks += len(blocksOf(t, s, w.states[0].Org))
		}
		if blocks == 0 {
			within *= 2 // a machine with much to do seals later
		}
		if list := problems(t, s); len(list) > 0 {
			t.Errorf("check: %v", list)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		if rng.IntN(2) == 0 { // else recovery crashes too
			disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if blocks == 0 {
		t.Error("no crash met a block")
	}
	cfg := sealingConfig(t, disk)
	s := mustOpen(t, cfg)
	for _, w := range writers {
		eventually(t, "all is sealed", func() bool {
			end, err := sealedEnd(s.db, w.states[0].Org)
			return err == nil && end == w.states[0].Head.Size
		})
		checkAnswers(t, s, rng, &w.states[0], 5)
	}
	eventually(t, "nothing is due", func() bool {
		st := s.Stats()
		return st.UnsealedEntries == 0 && st.DueEntries == 0
	})
}
