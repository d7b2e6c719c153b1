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
	failures map[string]int   // how often it is still to fail, by organization
	gates    map[string]*gate // what exports of an organization wait at
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

// gate lets a part of each export through.
type gate struct {
	mu      sync.Mutex
	percent uint64
	changed chan struct{} // closed when percent has changed
}

// wait returns once part of whole may pass, or ctx is done.
func (g *gate) wait(ctx context.Context, part, whole uint64) error {
	for {
		g.mu.Lock()
		open, changed := part*100 <= g.percent*whole, g.changed
		g.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold lets exports of an organization do so much of their work, and no more
// until it is called again.
func (f *flaky) hold(org string, percent uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.gates[org]
	if g == nil {
		g = &gate{changed: make(chan struct{})}
		f.gates[org] = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.percent = percent
	close(g.changed)
	g.changed = make(chan struct{})
}

// Render implements search.Engine.
func (f *flaky) Render(ctx context.Context, org string, q audit.Query, from, to uint64, desc bool,
	render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	f.mu.Lock()
	g := f.gates[org]
	f.mu.Unlock()
	chunks := f.Engine.Render(ctx, org, q, from, to, desc, render)
	if g == nil {
		return chunks
	}
	return func(yield func(search.Chunk, error) bool) {
		for chunk, err := range chunks {
			if held := g.wait(ctx, chunk.Passed, to-from); held != nil {
				yield(search.Chunk{}, held)
				return
			}
			if !yield(chunk, err) {
				return
			}
		}
	}
}
