package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
)

// acks counts what the server has acknowledged, by organization, and while a
// load is timed also by second. It may be used by several clients at once.
type acks struct {
	mu      sync.Mutex
	byOrg   map[string]uint64
	began   time.Time // of the load that is timed
	seconds []int     // events acknowledged in each second of it
}

func newAcks() *acks { return &acks{byOrg: map[string]uint64{}} }

// start begins the seconds of a load.
func (a *acks) start(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began, a.seconds = now, nil
}

// add counts events of an organization that were acknowledged at now.
func (a *acks) add(now time.Time, org string, events int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byOrg[org] += uint64(events) //nolint:gosec // not negative
	at := int(now.Sub(a.began) / time.Second)
	for len(a.seconds) <= at {
		a.seconds = append(a.seconds, 0)
	}
	a.seconds[at] += events
}

// series are the events of each whole second of the load, without the last,
// which is not whole. A load of less than two seconds has none.
func (a *acks) series() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.seconds) < 3 {
		return nil
	}
	return slices.Clone(a.seconds[:len(a.seconds)-1])
}

// paceReport is how evenly a load went.
type paceReport struct {
	PerSecond []int `json:"events_per_second"`
	Min       int   `json:"min"`
	Median    int   `json:"median"`
}

func (a *acks) pace() paceReport {
	p := paceReport{PerSecond: a.series()}
	if len(p.PerSecond) > 0 {
		sorted := slices.Sorted(slices.Values(p.PerSecond))
		p.Min, p.Median = sorted[0], sorted[len(sorted)/2]
	}
	return p
}

// checkCounts holds that the log of every organization has exactly as many
// entries as were acknowledged. It is asked while nothing is being recorded.
func (b *bench) checkCounts(ctx context.Context) error {
	for _, org := range slices.Sorted(maps.Keys(b.acks.byOrg)) {
		body, err := b.target.do(ctx, http.MethodGet, "/v1/organizations/"+org+"/events?limit=1", "", nil)
		if err != nil {
			return err
		}
		var page struct {
			Through *audit.Position `json:"complete_through"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return fmt.Errorf("entries of %s: %w", org, err)
		}
		var have uint64
		if page.Through != nil {
			have = page.Through.Seq + 1
		}
		if want := b.acks.byOrg[org]; have != want {
			return fmt.Errorf("the log of %s has %d entries, and %d were acknowledged", org, have, want)
		}
	}
	return nil
}
