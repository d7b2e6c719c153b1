package storetest_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has property tests try less under the race detector: what it finds it
// finds in few rounds.
func TestMain(m *testing.M) {
	if raceEnabled {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
