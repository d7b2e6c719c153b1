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

// TestSpread holds that half of the events go to the small organizations, to each
// of them about the same.
func TestSpread(t *testing.T) {
	const n, small = 40_000, 100
	g := workload.NewSpread(1, n, small)
	var counts [small + 1]int
	for range n {
		_, org := g.Next(nil)
		counts[org]++
	}
	if share := float64(counts[0]) / n; share < 0.47 || share > 0.53 {
		t.Errorf("the big organization has %.2f of the events, want half", share)
	}
	for org, have := range counts[1:] {
		if have < 130 || have > 270 {
			t.Errorf("small organization %d has %d events, want about 200", org+1, have)
		}
	}
}

// TestQuestions holds that the questions are valid in every run, ask something
// else each time, and find something.
func TestQuestions(t *testing.T) {
	const n, runs = 30_000, 400
	entries := make([]*audit.Entry, 0, n/2)
	g := workload.New(1, n)
	for range n {
		data, org := g.Next(nil)
		if org != 0 {
			continue
		}
		e := new(audit.Entry)
		if err := json.Unmarshal(data, &e.Event); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	for _, q := range workload.Questions() {
		seen := map[string]bool{}
		for i := range runs {
			query := q.At(i)
			if err := query.Validate(); err != nil {
				t.Fatalf("%s, run %d: %v", q.Name, i, err)
			}
			seen[query.String()] = true
		}
		if len(seen) < 100 && q.Name != "Q1 latest 50" { // which has no parameter
			t.Errorf("%s asks %d different questions in %d runs", q.Name, len(seen), runs)
		}
		found := 0
		for i := range 20 {
			query := q.At(i)
			for _, e := range entries {
				if query.Match(e) {
					found++
				}
			}
		}
		if found == 0 {
			t.Errorf("%s finds nothing in 20 runs", q.Name)
		}
	}
}

// TestCatalogue holds that the catalogue knows every action once.
func TestCatalogue(t *testing.T) {
	var file struct {
		Schemas []struct {
			Action  string
			Version int
		}
	}
	if err := json.Unmarshal(workload.Catalogue(), &file); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{workload.RareAction: false}
	for _, s := range file.Schemas {
		if known[s.Action] || s.Version != 1 {
			t.Errorf("action %q, version %d, is there twice or no version 1", s.Action, s.Version)
		}
		known[s.Action] = true
	}
	if len(known) != 201 {
		t.Errorf("%d actions, want 201", len(known))
	}
	g := workload.New(3, 20_000)
	for range 20_000 {
		data, _ := g.Next(nil)
		var e audit.Event
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		if !known[e.Action] {
			t.Fatalf("no schema of %q", e.Action)
		}
	}
}
