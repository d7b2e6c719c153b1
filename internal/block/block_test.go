package block_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/block"
)

func TestRoundTrip(t *testing.T) {
	enc := block.NewEncoder(block.Fast)
	rapid.Check(t, func(t *rapid.T) {
		list := randomEntries(t, 40)
		r, _ := open(t, encode(t, enc, list))
		expectRows(t, r, list)
	})
}

func TestRoundTripWorkload(t *testing.T) {
	for _, level := range []block.Level{block.Fast, block.Small} {
		enc := block.NewEncoder(level)
		sizes := []int{1, 2, 255, 256, 257, 1024, 1025, 4097, block.MaxRows}
		if level == block.Small {
			sizes = []int{1, 1025, 4097} // only the frames are others
		}
		for _, n := range sizes {
			list := workloadEvents(t, n)
			parts := encode(t, enc, list)
			r, _ := open(t, parts)
			expectRows(t, r, list)
			t.Logf("level %d, %d rows: %d parts, %.1f bytes an event", level, n, len(parts), float64(r.Header().Bytes)/float64(n))
		}
	}
}
