package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// TestBench runs every step of the driver on a small load, with the program as it
// is shipped, and holds that the report is whole and that the store answers what
// the server did.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	stele := filepath.Join(dir, "stele")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", stele, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	answers := filepath.Join(dir, "answers")
	cmd := exec.CommandContext(t.Context(), stele, "bench", "--json", "--dir", dir, "--keep", "--answers", answers,
		"--events", "3000", "--orgs", "30", "--single", "60", "--serial", "5", "--queries", "3", "--cold", "1", "--idle", "1")
	cmd.Env = cleanEnviron()
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("stele bench: %v\n%s", err, progress.String())
	}
	var r benchReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	asked := len(workload.Questions())
	for name, ok := range map[string]bool{
		"organizations":   r.Organizations == 31,
		"bulk":            r.Bulk.Rate > 0 && r.Bulk.Max > 0,
		"single":          r.Single.Events == 60 && r.Serial.Events == 5,
		"disk":            r.Disk.BytesPerEvent > 20,
		"memory":          r.Memory.Loading > 1<<20 && r.Memory.Settling > 1<<20 && r.Memory.Idle > 1<<20 && r.Memory.Exporting > 1<<20,
		"restart":         r.Restart.Start > 0 && r.Restart.KillStart > 0,
		"queries":         len(r.Queries) == asked && r.Queries[0].Cold != nil && r.Queries[0].Runs == 3,
		"exports":         len(r.Exports) == 2 && r.Exports[1].Rows > 1000 && r.Exports[1].Bytes > 1<<20/2,
		"store's queries": r.Store != nil && len(r.Store.Queries) == asked && r.Store.Queries[asked-1].Cold != nil,
		"store's exports": r.Store != nil && len(r.Store.Exports) == 2 && r.Store.Exports[0].Rows == r.Exports[0].Rows,
	} {
		if !ok {
			t.Errorf("%s: not as expected in\n%s", name, out)
		}
	}
	sameAnswers(t, answers)
	kept, _, _ := strings.Cut(progress.String()[strings.Index(progress.String(), "kept: ")+len("kept: "):], "\n")
	again := exec.CommandContext(t.Context(), stele, "bench", "--store", kept, "--queries", "1", "--cold", "1", "--no-export")
	again.Env = cleanEnviron()
	if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "Q7 substring in the store") {
		t.Errorf("stele bench --store: %v\n%s", err, out)
	}
}

// sameAnswers holds that the store found what the server did.
func sameAnswers(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type run struct {
		question string
		run      int
	}
	found := map[string]map[run][]string{"http": {}, "store": {}}
	rows := 0
	for line := range bytes.Lines(data) {
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		found[a.Where][run{a.Name, a.Run}] = a.Found
		rows += len(a.Found)
	}
	if want := 3 * len(workload.Questions()); len(found["http"]) != want || rows == 0 {
		t.Errorf("%d answers with %d rows, want %d with some", len(found["http"]), rows, want)
	}
	for r, want := range found["http"] {
		if got := found["store"][r]; !slices.Equal(got, want) {
			t.Errorf("%v: the store finds %q, the server %q", r, got, want)
		}
	}
}

// TestPace holds what counts as a second of a load.
func TestPace(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAcks()
	a.start(start)
	for _, ack := range []struct {
		after  time.Duration
		events int
	}{{100 * time.Millisecond, 5}, {999 * time.Millisecond, 6}, {time.Second, 20}, {3500 * time.Millisecond, 30}, {4100 * time.Millisecond, 1000}} {
		a.add(start.Add(ack.after), "org", ack.events)
	}
	p := a.pace()
	if want := []int{11, 20, 0, 30}; !slices.Equal(p.PerSecond, want) || p.Min != 0 || p.Median != 20 {
		t.Errorf("pace %+v, want %v", p, want)
	}
	if a.byOrg["org"] != 1061 {
		t.Errorf("%d acknowledged, want 1061", a.byOrg["org"])
	}
}

// TestGate holds that a step waits for a line, and that the end of input is no
// line.
func TestGate(t *testing.T) {
	var out bytes.Buffer
	b := &bench{benchCmd: &benchCmd{Gate: true}, out: &out, now: time.Now}
	b.in = bufio.NewReader(strings.NewReader("go\n"))
	did := []string{}
	step := func(name string) benchStep {
		return benchStep{name, 1, func(context.Context) error { did = append(did, name); return nil }}
	}
	err := b.steps(t.Context(), []benchStep{step("one"), {"none", 0, nil}, step("two")})
	if err == nil || !slices.Equal(did, []string{"one"}) || !strings.Contains(out.String(), "next: two\n") {
		t.Errorf("did %q, error %v, said %q", did, err, out.String())
	}
}

// TestReadAnswer holds that answers of the server are read to the same form as
// those of the store.
func TestReadAnswer(t *testing.T) {
	got, err := readAnswer([]byte(`{"entries":[{"occurred_at":"2026-01-02T03:04:05.678Z","action":"a.b"}]}`))
	if err != nil || !slices.Equal(got, []string{"2026-01-02T03:04:05.678Z a.b"}) {
		t.Errorf("entries: %q, %v", got, err)
	}
	got, err = readAnswer([]byte(`{"buckets":[{"start":"2026-01-02T00:00:00Z","count":3},{"start":"2026-01-03T00:00:00Z","count":0}]}`))
	if err != nil || !slices.Equal(got, []string{"2026-01-02 3"}) {
		t.Errorf("buckets: %q, %v", got, err)
	}
	for _, q := range workload.Questions() {
		if path := questionPath(q, q.At(0)); strings.Contains(path, "histogram") != q.Days {
			t.Errorf("%s is asked at %s", q.Name, path)
		}
	}
}
