package pebblestore

import (
	"context"
	"iter"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Render implements [search.Engine].
func (s *Store) Render(
	ctx context.Context, org string, q audit.Query, from, to uint64, desc bool, render func(dst []byte, e *event.Entry) []byte,
) iter.Seq2[search.Chunk, error] {
	return search.RenderScan(ctx, s.Scan(ctx, org, q, from, to, desc), from, to, desc, render)
}

// Survey implements [search.Engine].
func (s *Store) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	return search.SurveyScan(ctx, s.Scan(ctx, org, q, from, to, false))
}
