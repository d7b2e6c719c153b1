package browsertest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// flaky is a search engine that fails, or takes its time, when it was told to.
type flaky struct {
	search.Engine
	mu       sync.Mutex
	failures map[string]int           // how often it is still to fail, by organization
	gates    map[string]chan struct{} // what exports of an organization wait at
}

// errScratch is why a search fails.
var errScratch = errors.New("the disk of the tests has a scratch")

// fail makes the next searches of an organization fail.
func (f *flaky) fail(org string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures[org] = times
}

// Search implements search.Engine.
func (f *flaky) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	f.mu.Lock()
	failing := f.failures[org] > 0
	if failing {
		f.failures[org]--
	}
	f.mu.Unlock()
	if failing {
		return search.Page{}, errScratch
	}
	return f.Engine.Search(ctx, org, r)
}

// maxSteps is how many chunks may be let through at once.
const maxSteps = 1000

// hold makes exports of an organization wait before each chunk until it is let
// through.
func (f *flaky) hold(org string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gates[org] = make(chan struct{}, maxSteps)
}

// step lets so many chunks through, all from now on when it is none.
func (f *flaky) step(org string, chunks int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate, ok := f.gates[org]
	if !ok {
		return
	}
	if chunks == 0 {
		delete(f.gates, org)
		close(gate)
	}
	for range chunks {
		gate <- struct{}{}
	}
}

// Render implements search.Engine.
func (f *flaky) Render(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool,
	render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	f.mu.Lock()
	gate := f.gates[org]
	f.mu.Unlock()
	chunks := f.Engine.Render(ctx, org, q, from, to, desc, render)
	if gate == nil {
		return chunks
	}
	return func(yield func(search.Chunk, error) bool) {
		for chunk, err := range chunks {
			select {
			case <-gate:
			case <-ctx.Done():
				yield(search.Chunk{}, ctx.Err())
				return
			}
			if !yield(chunk, err) {
				return
			}
		}
	}
}
