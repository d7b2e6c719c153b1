package app

import (
	"os"
	"runtime/debug"
	"sync"
)

// How the collector is set when the operator has not. What a server keeps is small
// next to what it turns over, so that collecting at twice the size of that, as Go
// does, would be most of the time; up to memoryLimit it may be four times.
const (
	collectAt   = 300
	memoryLimit = 256 << 20
)

// tuneCollector sets the collector, once a process. GOGC and GOMEMLIMIT in the
// environment have the last word, each over its part.
var tuneCollector = sync.OnceFunc(func() { //nolint:gochecknoglobals // a setting of the process
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
})
