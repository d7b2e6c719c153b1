package pebblestore

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

// TestMain has property tests try less under the race detector, which makes the
// store's tests ten times slower: what it finds it finds in few rounds.
func TestMain(m *testing.M) {
	if raceEnabled {
		if err := flag.Set("rapid.checks", "12"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// fewer is n, or a part of it under the race detector.
func fewer(n int) int {
	if raceEnabled {
		return max(1, n/4)
	}
	return n
}

// operations says which operations a test of faults makes fail: from first on, every
// step-th. It is each of them but for the race detector, which gets others every
// time.
func operations() (first, step int64) {
	if raceEnabled {
		return rand.Int64N(6), 6
	}
	return 0, 1
}
