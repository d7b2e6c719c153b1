package search

import (
	"context"
	"fmt"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// Chunk is consecutive entries that match, rendered.
type Chunk struct {
	// Data is what render appended for them, one after the other. It may be
	// empty.
	Data []byte
	// Entries is how many they are. A chunk without any only tells Passed.
	Entries int
	// Passed is how much of the range this chunk and those before it have
	// covered, whether or not it matched or is in the log: they hold what
	// matches with from ≤ seq < from + Passed, or with to − Passed ≤ seq < to
	// when desc, and nothing else. It does not fall, and is to − from at most.
	Passed uint64
}

// Survey is what there is to render.
type Survey struct {
	// Entries is how many entries match.
	Entries uint64
	// MaxTargets is the largest number of targets that one of them has, 0
	// when none matches.
	MaxTargets int
}

// chunkBytes is the size from which a chunk is yielded: large enough to be
// written in one go, small enough to stay in the processor's cache.
const chunkBytes = 256 << 10

// RenderScan is [Engine].Render over the entries that a Scan with the same range
// and order yields: the plain way, in the goroutine of the consumer.
func RenderScan(
	ctx context.Context, entries iter.Seq2[*event.Entry, error], from, to uint64, desc bool,
	render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		chunk := Chunk{}
		for e, err := range untilDone(ctx, entries) {
			if err != nil {
				yield(Chunk{}, fmt.Errorf("render: %w", err))
				return
			}
			chunk.Data = render(chunk.Data, e)
			chunk.Entries++
			if chunk.Passed = e.Seq + 1 - from; desc {
				chunk.Passed = to - e.Seq
			}
			if len(chunk.Data) < chunkBytes {
				continue
			}
			if !yield(chunk, nil) {
				return
			}
			chunk.Data, chunk.Entries = chunk.Data[:0], 0
		}
		if chunk.Entries > 0 && !yield(chunk, nil) {
			return
		}
		// The consumer may have ended ctx over the last chunk.
		if err := ctx.Err(); err != nil {
			yield(Chunk{}, fmt.Errorf("render: %w", err))
		}
	}
}

// SurveyScan is [Engine].Survey over the entries that a Scan with the same range
// yields.
func SurveyScan(ctx context.Context, entries iter.Seq2[*event.Entry, error]) (Survey, error) {
	var s Survey
	for e, err := range untilDone(ctx, entries) {
		if err != nil {
			return Survey{}, fmt.Errorf("survey: %w", err)
		}
		s.Entries++
		s.MaxTargets = max(s.MaxTargets, len(e.Targets))
	}
	return s, nil
}

// checkEvery is how many entries pass before ctx is looked at again.
const checkEvery = 256

// untilDone yields the entries, and ctx's error once it has ended, at the end of
// the entries at the latest.
func untilDone(ctx context.Context, entries iter.Seq2[*event.Entry, error]) iter.Seq2[*event.Entry, error] {
	return func(yield func(*event.Entry, error) bool) {
		n := 0
		for e, err := range entries {
			if err == nil && n%checkEvery == 0 {
				err = ctx.Err()
			}
			if !yield(e, err) || err != nil {
				return
			}
			n++
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// Render implements [Engine].
func (s *Scanner) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[Chunk, error] {
	return RenderScan(ctx, s.Scan(ctx, org, q, from, to, desc), from, to, desc, render)
}

// Survey implements [Engine].
func (s *Scanner) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (Survey, error) {
	return SurveyScan(ctx, s.Scan(ctx, org, q, from, to, false))
}
