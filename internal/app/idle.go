package app

import (
	"context"
	"runtime/debug"
	stats "runtime/metrics"
	"time"
)

// A server that allocates less than idleBytes in idleEvery has nothing to do. Go
// would keep the memory of busier times for minutes.
const (
	idleEvery = 5 * time.Second
	idleBytes = 4 << 20
)

// watchMemory has the collector know how much the caches hold, and returns memory
// to the system each time the server falls idle, until ctx ends.
func (a *App) watchMemory(ctx context.Context) {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	sample := []stats.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocated := func() uint64 {
		stats.Read(sample)
		return sample[0].Value.Uint64()
	}
	last, busy := allocated(), true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.collector.follow(a.Store.CachedBytes())
		now := allocated()
		idle := now-last < idleBytes
		if idle && busy {
			debug.FreeOSMemory()
			now = allocated()
		}
		busy, last = !idle, now
	}
}
