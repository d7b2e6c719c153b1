package workload_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

func TestShape(t *testing.T) {
	const n = 50_000
	g := workload.New(1, n)
	var size, big, rare int
	var buf []byte
	for range n {
		var org int
		buf, org = g.Next(buf[:0])
		size += len(buf)
		if org == 0 {
			big++
		}
		if bytes.Contains(buf, []byte(workload.RareAction)) {
			rare++
		}
	}
	if avg := size / n; avg < 600 || avg > 740 {
		t.Errorf("events average %d bytes, want about 670", avg)
	}
	if share := float64(big) / n; share < 0.47 || share > 0.53 {
		t.Errorf("the big organization has %.2f of the events, want half", share)
	}
	if rare == 0 || rare > 20 {
		t.Errorf("%d rare actions in %d events, want about 5", rare, n)
	}
	var e audit.Event
	if err := json.Unmarshal(buf, &e); err != nil {
		t.Fatalf("event is not JSON: %v\n%s", err, buf)
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b := workload.New(7, 100), workload.New(7, 100)
	for range 100 {
		x, _ := a.Next(nil)
		y, _ := b.Next(nil)
		if !bytes.Equal(x, y) {
			t.Fatalf("two generators of one seed differ:\n%s\n%s", x, y)
		}
	}
}
