package block_test

import (
	"testing"

	"github.com/stelehq/stele/internal/block"
)

// TestSizes prints where a block's bytes are (go test -v -run Sizes) and holds
// the whole to what it should take.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		rows int
		most float64
	}{{1024, 70}, {4096, 55}, {block.MaxRows, 40}} {
		parts := encode(t, block.NewEncoder(block.Fast), workloadEvents(t, c.rows))
		h, err := block.ParseHeader(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		per := func(n int) float64 { return float64(n) / float64(c.rows) }
		t.Logf("%d rows, %d parts: %.2f bytes an event", c.rows, len(parts), per(h.Bytes))
		t.Logf("%26s %6.2f", "header", per(len(parts[0])))
		t.Logf("%26s %6.2f", "filter", per(len(parts[1])))
		names, sizes := block.ColumnSizes(h)
		for i, name := range names {
			t.Logf("%26s %6.2f", name, per(sizes[i]))
		}
		if got := per(h.Bytes); got > c.most {
			t.Errorf("%d rows: %.1f bytes an event, want %.1f at most", c.rows, got, c.most)
		}
	}
}
