package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

// program is Stele, built once for all tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "benchpeers-stele-*")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "stele")
	build := exec.Command("go", "build", "-o", program, "./cmd/stele")
	build.Dir, build.Stderr = "../..", os.Stderr
	code := 1
	if build.Run() == nil {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// small is a run of a few seconds.
func small(t *testing.T) []string {
	t.Helper()
	return []string{
		"--events", "2000", "--single", "100", "--single-clients", "4", "--serial", "10", "--queries", "15", "--cold", "1", "--idle", "1",
		"--batch", "200", "--dir", openTempDir(t), "--stele", program,
	}
}

// openTempDir is a directory that the account of the database may enter, as the
// one of a test is not.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "benchpeers-test-*") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("%s is not empty: %v, %v", dir, left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSideBySide compares both on a small load, with a real PostgreSQL: all their
// answers are the same, every line of the table has both figures, nothing stays.
func TestSideBySide(t *testing.T) {
	var out, progress bytes.Buffer
	if err := run(t.Context(), append(small(t), "--json"), &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	// Each question over HTTP and in the store.
	if want := len(workload.Questions()) * 15 * 2; r.Compared != want || r.Rows < want {
		t.Errorf("%d answers with %d rows compared, want %d answers", r.Compared, r.Rows, want)
	}
	for _, l := range r.lines() {
		if l.pg <= 0 || l.stele <= 0 {
			t.Errorf("%s: PostgreSQL %v, Stele %v", l.what, l.pg, l.stele)
		}
	}
	var table strings.Builder
	if err := r.print(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "| Q4 a target, p50, in the store") || !strings.Contains(table.String(), "fsync=on") {
		t.Errorf("the table:\n%s", table.String())
	}
}

// TestInterrupted holds that a run that is ended early leaves nothing behind.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := cancelOn{cancel: cancel, at: "Stele: bulk load"}
	err := run(ctx, small(t), io.Discard, &ended)
	if err == nil || !ended.seen {
		t.Fatalf("error %v; said:\n%s", err, ended.String())
	}
}

// cancelOn cancels when something is said.
type cancelOn struct {
	bytes.Buffer
	cancel context.CancelFunc
	at     string
	seen   bool
}

func (c *cancelOn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.at)) {
		c.seen = true
		c.cancel()
	}
	return c.Buffer.Write(p)
}

// TestDifference holds which answers are the same.
func TestDifference(t *testing.T) {
	full := make([]string, workload.PageSize)
	for i := range full {
		full[i] = time.Unix(int64(1000-i), 0).UTC().Format(time.RFC3339) + " a"
	}
	last := slices.Clone(full)
	last[len(last)-1] = timeOf(last[len(last)-1]) + " b" // another of the same time
	middle := slices.Clone(full)
	middle[3] = timeOf(middle[3]) + " b"
	for name, c := range map[string]struct {
		theirs, ours []string
		days, same   bool
	}{
		"nothing":                 {nil, []string{}, false, true},
		"same":                    {full, full, false, true},
		"ties in another order":   {[]string{"2 a", "1 x", "1 y"}, []string{"2 a", "1 y", "1 x"}, false, true},
		"cut within a time":       {full, last, false, true},
		"one row is another":      {full, middle, false, false},
		"one more":                {full[:3], full[:4], false, false},
		"oldest first":            {[]string{"2 a", "1 x"}, []string{"1 x", "2 a"}, false, false},
		"last row, page not full": {full[:3], append(slices.Clone(full[:2]), timeOf(full[2])+" b"), false, false},
		"days":                    {[]string{"2026-01-01 3"}, []string{"2026-01-01 3"}, true, true},
		"another count":           {[]string{"2026-01-01 3"}, []string{"2026-01-01 4"}, true, false},
	} {
		if fault := difference(c.theirs, c.ours, c.days); (fault == "") != c.same {
			t.Errorf("%s: %q", name, fault)
		}
	}
}

// TestStatements holds that every question has its SQL, and that a filter without
// one is refused, not left out.
func TestStatements(t *testing.T) {
	for _, q := range workload.Questions() {
		sql, args, err := statement(q, q.At(3))
		if err != nil || strings.Count(sql, "$") < len(args) {
			t.Errorf("%s: %s %v, %v", q.Name, sql, args, err)
		}
	}
	odd := audit.Query{Filters: []audit.Filter{{Field: audit.FieldLocation, Values: []string{"x"}}}}
	if _, _, err := statement(workload.Question{}, odd); err == nil {
		t.Error("a filter without SQL was left out")
	}
}

// TestRatio holds that the last column says how many times better Stele is.
func TestRatio(t *testing.T) {
	for want, l := range map[string]line{
		"4.00": {pg: 10, stele: 40, more: true},
		"0.25": {pg: 10, stele: 40},
		"":     {pg: 0, stele: 40},
	} {
		if got := l.ratio(); got != want {
			t.Errorf("%+v: ratio %q, want %q", l, got, want)
		}
	}
}

// TestCopyText holds that a row in the text form of COPY keeps its cells apart.
func TestCopyText(t *testing.T) {
	r := row{Action: "a\tb\\c\nd", Version: 7, OccurredAt: time.Unix(0, 0).UTC(), Targets: json.RawMessage(`[]`), Metadata: json.RawMessage(`{}`)}
	text := string(r.appendCopy(nil, "org"))
	want := "org\t1970-01-01T00:00:00Z\ta\\tb\\\\c\\nd\t7\t\t\t\t\\N\t[]\t\t\t{}\n"
	if text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

// TestGate holds that a turn that fails closes the gate and is what is returned.
func TestGate(t *testing.T) {
	gate := &closing{}
	wrong := errors.New("wrong")
	said, err := openGate(t.Context(), strings.NewReader("next: one\nhello\nnext: two\nbye\n"), gate, func(_ context.Context, step string) error {
		if step == "two" {
			return wrong
		}
		return nil
	})
	if !errors.Is(err, wrong) || !gate.closed || gate.String() != "go\n" || said != "hello\nbye\n" {
		t.Errorf("said %q, error %v, gate %q closed %v", said, err, gate.String(), gate.closed)
	}
}

type closing struct {
	bytes.Buffer
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

// TestFindBinaries holds that PostgreSQL is where deps puts it.
func TestFindBinaries(t *testing.T) {
	bin, err := findBinaries()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		t.Error(err)
	}
}
