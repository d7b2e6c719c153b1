package app

import (
	"os"
	"runtime/debug"
)

// How the collector is set when the operator has not. What a server keeps is small
// next to what it turns over, so that collecting at twice the size of that, as Go
// does, would be most of the work; it may be four times, up to a soft limit: what
// the caches hold and workBytes.
const (
	collectAt = 300
	workBytes = 128 << 20
)

// collector is how the collector is set. GOGC and GOMEMLIMIT in the environment
// have the last word, each over its part.
type collector struct{ limited bool }

func tuneCollector() collector {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	c := collector{limited: os.Getenv("GOMEMLIMIT") != ""}
	c.follow(0)
	return c
}

// follow sets the limit for caches of that size.
func (c collector) follow(caches int64) {
	if !c.limited {
		debug.SetMemoryLimit(caches + workBytes)
	}
}
