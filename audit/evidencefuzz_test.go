package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
)

// countingReader counts what is read, and refuses to read without end.
type countingReader struct {
	*bytes.Reader
	read int64
}

func (r *countingReader) ReadAt(b []byte, off int64) (int, error) {
	r.read += int64(len(b))
	return r.Reader.ReadAt(b, off)
}

// FuzzEvidence: no file makes the verifier panic, and none passes that says
// something that is not so.
func FuzzEvidence(f *testing.F) {
	files, err := filepath.Glob(vectorDir + "/*.zip")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	key := newTestLog(f, 0).verifier(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &countingReader{Reader: bytes.NewReader(data)}
		report, err := audit.VerifyEvidence(r, int64(len(data)), audit.EvidenceOptions{Keys: key})
		if r.read > 4*int64(len(data))+1<<20 {
			t.Errorf("reads %d bytes of %d", r.read, len(data))
		}
		if err == nil {
			if report.Rows+report.LeftOut+report.Removed != report.Manifest.Range.To-report.Manifest.Range.From || len(report.Verified()) == 0 {
				t.Errorf("passes: %+v", report)
			}
			return
		}
		if _, ok := errors.AsType[*audit.VerifyError](err); !ok && !errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
	})
}

// fuzzPart puts anything in the place of a file of a sound export whose manifest is
// made to fit and signed: what passes must be what was there.
func fuzzPart(f *testing.F, name string) {
	ev := evidenceCases(f)["mixed"].make(f)
	key := ev.log.verifier(f)
	good := ev.files[name]
	f.Add(good)
	for line := range bytes.Lines(good) {
		f.Add(line)
		f.Add(bytes.Replace(good, line, nil, 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ev.files[name] = data
		ev.seal(t)
		_, err := verifyEvidence(ev.zip(t), audit.EvidenceOptions{Keys: key})
		if err == nil && !bytes.Equal(data, good) && !sameTree(name, data, good) && !sameRows(name, data, good) {
			t.Errorf("passes with %q", data)
		}
		if _, ok := errors.AsType[*audit.VerifyError](err); err != nil && !ok {
			t.Errorf("error %v", err)
		}
	})
}

// sameTree reports whether trees differ only in what is not checked without the
// manifest's signature: how large the subtrees are and why they are left out.
func sameTree(name string, a, b []byte) bool {
	entries := func(tree []byte) string {
		var all strings.Builder
		for line := range bytes.Lines(tree) {
			if bytes.HasPrefix(line, []byte(`{"seq"`)) {
				all.Write(line)
			}
		}
		return all.String()
	}
	return name == "proof/tree.jsonl" && entries(a) == entries(b)
}

// sameRows reports whether rows differ only in how a schema judged them, which is
// not in the log.
func sameRows(name string, a, b []byte) bool {
	mark := regexp.MustCompile(`,"schema":"([^"\\]|\\.)*"}\n`)
	return name == "entries.jsonl" && string(mark.ReplaceAll(a, []byte("}\n"))) == string(mark.ReplaceAll(b, []byte("}\n")))
}

func FuzzTree(f *testing.F) { fuzzPart(f, "proof/tree.jsonl") }

func FuzzCSV(f *testing.F) { fuzzPart(f, "entries.csv") }

// FuzzManifest: what is read of a manifest is all of it.
func FuzzManifest(f *testing.F) {
	good := evidenceCases(f)["mixed"].make(f).files["manifest.json"]
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m audit.EvidenceManifest
		if json.Unmarshal(data, &m) != nil {
			return
		}
		text, err := m.Marshal()
		if err != nil {
			return
		}
		var again audit.EvidenceManifest
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if text2, err := again.Marshal(); err != nil || !bytes.Equal(text, text2) {
			t.Errorf("%s becomes %s, error %v", text, text2, err)
		}
	})
}

// TestEvidenceMemory: memory does not grow with the rows.
func TestEvidenceMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a large export")
	}
	large := func(rows int) (zip []byte, key *audit.Verifier) {
		log := newTestLog(t, 0)
		for i := range rows {
			e := entryAt(i)
			e.Metadata, e.Targets = nil, nil
			log.add(t, e)
		}
		return exported{log: log, size: rows, from: 0, to: rows, older: -1}.make(t).zip(t), log.verifier(t)
	}
	peak := func(rows int) uint64 {
		data, key := large(rows)
		runtime.GC()
		runtime.GC() // what the first one's cleanups let go of
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		most := uint64(0)
		opts := audit.EvidenceOptions{Keys: key, Progress: func(done, _ uint64) {
			if done%2048 == 0 {
				runtime.GC() // what is in use, not what waits to be collected
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
			}
		}}
		if report, err := verifyEvidence(data, opts); err != nil || report.Rows != uint64(rows) {
			t.Fatalf("%d rows of %d, error %v", report.Rows, rows, err)
		}
		runtime.KeepAlive(data)
		return most
	}
	few, many := peak(4_096), peak(20_480)
	t.Logf("%d KiB in use with 4,096 rows, %d KiB with 20,480", few>>10, many>>10)
	if many > few+256<<10 || many > 1<<20 {
		t.Errorf("memory grows from %d to %d bytes", few, many)
	}
}

// BenchmarkEvidence verifies an export of 20,000 rows.
func BenchmarkEvidence(b *testing.B) {
	const rows = 20_000
	log := evidenceLog(b, rows)
	data := exported{log: log, size: rows, from: 0, to: rows, older: -1}.make(b).zip(b)
	key := log.verifier(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifyEvidence(data, audit.EvidenceOptions{Keys: key}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/rows, "µs/row")
}
