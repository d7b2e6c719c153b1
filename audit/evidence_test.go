package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

// members is an entry as JSON that was read.
func members(t testing.TB, e *audit.Entry) map[string]any {
	t.Helper()
	text, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// canonicalText is metadata that was read from canonical JSON, as it was there;
// keys of the tests have no characters beyond the BMP.
func canonicalText(t testing.TB, v any) string {
	t.Helper()
	if v == nil {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("\\u2028", "\u2028", "\\u2029", "\u2029").Replace(strings.TrimSuffix(b.String(), "\n"))
}

// evidenceLog is a log with what is hard to write: formulas, quotes, many targets,
// none, numbers, other scripts, erased entries.
func evidenceLog(t testing.TB, size int) *testLog {
	t.Helper()
	log := newTestLog(t, 0)
	for seq := range size {
		e := entryAt(seq)
		e.Action = []string{"user.logged_in", "api_key.created", "document.shared", "user.logged_in"}[seq%4]
		e.Version = 1 + seq%2
		e.OccurredAt = e.OccurredAt.Add(time.Duration(seq) * []time.Duration{1, time.Microsecond, time.Millisecond}[seq%3])
		switch seq % 5 {
		case 0:
			e.Actor.Name, e.Targets, e.Metadata = `=HYPERLINK("x")`, nil, nil
			e.Context = audit.Context{UserAgent: "a, b\r\nc \"d\""}
		case 1:
			e.Actor.Name, e.Actor.Metadata, e.Context = "'+49", nil, audit.Context{Location: " ＠cmd"}
			e.Targets = []audit.Target{{Type: "file", ID: "-1", Metadata: audit.Metadata{"path": "C:\\x\ty", "n": -0.5e-7}}}
			e.Metadata = audit.Metadata{"ünï": "😀\u2028", "z": []any{true, nil, 1e30, "a\u0001"}, "é": map[string]any{"": 0.1}}
		case 2:
			e.Targets = append(e.Targets, audit.Target{Type: "x", ID: "y,z"})
		}
		if seq == 3 {
			e.Schema = audit.SchemaUnregistered
		}
		log.add(t, e)
	}
	return log
}

// erase takes the details of an entry.
func (l *testLog) erase(seq int) {
	e := &l.entries[seq]
	e.Actor.Name, e.Actor.Metadata, e.Metadata, e.Context = "", nil, nil, audit.Context{}
	targets := make([]audit.Target, len(e.Targets))
	for i, target := range e.Targets {
		targets[i] = audit.Target{Type: target.Type, ID: target.ID}
	}
	e.Targets = targets
	e.ErasedAt = time.UnixMilli(1_772_000_050_500).UTC()
}

func isKey(e *audit.Entry) bool { return e.Action == "api_key.created" }

// evidenceCases are exports that are sound, by name.
func evidenceCases(t testing.TB) map[string]exported {
	t.Helper()
	log := evidenceLog(t, 100)
	log.erase(30)
	log.erase(33)
	at := func(seq int) time.Time { return log.entries[seq].ReceivedAt }
	return map[string]exported{
		"whole":    {log: log, size: 12, from: 0, to: 12, older: -1},
		"one":      {log: log, size: 100, from: 41, to: 42, older: 41},
		"empty":    {log: log, size: 0, older: -1},
		"nothing":  {log: log, size: 100, from: 60, to: 70, filter: "action:none", match: func(*audit.Entry) bool { return false }, older: 100},
		"raw":      {log: log, size: 20, from: 0, to: 20, raw: true, older: 0},
		"filtered": {log: log, size: 100, from: 0, to: 64, filter: "action:api_key.created", match: isKey, older: -1},
		"mixed": {
			log: log, size: 100, from: 21, to: 69, filter: "action:api_key.created", match: isKey, older: 47,
			removed:  func(seq int) bool { return seq < 29 },
			received: audit.EvidencePeriod{From: at(21), To: at(69)},
		},
	}
}

// verifyEvidence verifies a zip.
func verifyEvidence(data []byte, opts audit.EvidenceOptions) (audit.EvidenceReport, error) {
	return audit.VerifyEvidence(bytes.NewReader(data), int64(len(data)), opts)
}

func TestVerifyEvidence(t *testing.T) {
	for name, x := range evidenceCases(t) {
		data := x.make(t).zip(t)
		for _, keys := range []*audit.Verifier{nil, x.log.verifier(t)} {
			report, err := verifyEvidence(data, audit.EvidenceOptions{Keys: keys})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if report.KeyKnown != (keys != nil) || report.Checkpoint.Size != uint64(x.size) || (report.Older != nil) != (x.older >= 0) {
				t.Errorf("%s: %+v", name, report)
			}
			if sum := report.Rows + report.LeftOut + report.Removed; sum != uint64(x.to-x.from) || report.Rows != report.Manifest.Rows {
				t.Errorf("%s: %d entries, of a range of %d", name, sum, x.to-x.from)
			}
			t.Logf("%s:\n  %s\n not\n  %s", name, strings.Join(report.Verified(), "\n  "), strings.Join(report.NotVerified(), "\n  "))
		}
	}
}

// keptCase is a checkpoint that somebody has kept, and what becomes of it beside one
// of the sound exports.
type keptCase struct {
	name  string
	older []byte
	check audit.Check // "" when it is extended
	says  string
}

func keptCases(t testing.TB, log *testLog) []keptCase {
	t.Helper()
	forged := evidenceLog(t, 2)
	forged.entries[0].Action = "x"
	for i := range 100 {
		forged.add(t, entryAt(i))
	}
	return []keptCase{
		{"mixed", log.checkpoint(t, 47), "", ""},  // in the zip
		{"mixed", log.checkpoint(t, 100), "", ""}, // the same
		{"mixed", log.checkpoint(t, 0), "", ""},
		{"mixed", log.checkpoint(t, 29), "", ""}, // where a subtree ends
		{"mixed", log.checkpoint(t, 5), audit.CheckConsistency, "does not show whether the log extends the checkpoint of 5 entries"},
		{"whole", log.checkpoint(t, 13), audit.CheckConsistency, "newer than the zip's of 12"},
		{"whole", forged.checkpoint(t, 7), audit.CheckConsistency, "its first 7 entries are not what they were"},
		{"mixed", forged.checkpoint(t, 47), audit.CheckConsistency, "its first 47 entries are not what they were"},
		{"whole", forged.checkpoint(t, 12), audit.CheckConsistency, "its first 12 entries are not what they were"},
		{"whole", log.sign(t, audit.Checkpoint{Origin: serverName + "/org_2", Size: 1}.String()), audit.CheckOrigin, "is of the log"},
		{"whole", bytes.Replace(log.checkpoint(t, 7), []byte("\n7\n"), []byte("\n8\n"), 1), audit.CheckSignature, "the older checkpoint that you gave: "},
	}
}

// TestEvidenceKept: the log must extend the checkpoint that whoever verifies has
// kept, and where the zip cannot show it, that is said.
func TestEvidenceKept(t *testing.T) {
	cases := evidenceCases(t)
	for _, tt := range keptCases(t, cases["mixed"].log) {
		x := cases[tt.name]
		report, err := verifyEvidence(x.make(t).zip(t), audit.EvidenceOptions{Keys: x.log.verifier(t), Older: tt.older})
		name := fmt.Sprintf("%s with %q", tt.name, tt.older)
		if tt.check == "" {
			if err != nil || report.Kept == nil {
				t.Errorf("%s: %+v, error %v", name, report.Kept, err)
			}
			continue
		}
		wantCheck(t, name, err, tt.check, tt.says)
		if len(report.Problems) != 1 || len(report.Verified()) > 0 || len(report.NotVerified()) > 0 {
			t.Errorf("%s: %v", name, report.Problems)
		}
	}
}

// TestEvidenceSentences: what a person reads.
func TestEvidenceSentences(t *testing.T) {
	x := evidenceCases(t)["mixed"]
	report, err := verifyEvidence(x.make(t).zip(t), audit.EvidenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"The checkpoint of the log audit.example.com/org_1, of its first 100 entries, is signed with the key that came with the file.",
		"Each of the 10 rows is in its place in that log, and says what was recorded, in the JSONL and in the CSV alike.",
		"The details of 1 row were erased: names, metadata and context are gone; who did what to what, and when, is as it was recorded.",
		"Nothing is missing: of the 48 entries from 21 to 68, 10 are here, 30 were left out by the filter and 8 were removed by retention.",
		"The log extends the older checkpoint in the file, of 47 entries: none of those was altered or removed from the tree.",
		"Every file is the one that was written, and the manifest that lists them is signed with the same key.",
	}
	if diff := cmp.Diff(want, report.Verified()); diff != "" {
		t.Error(diff)
	}
	want = []string{
		"Whose key it is: anybody can put a key into a file. Compare it with the one that the product gives, or give that one to the verifier. The key in the file is " + x.log.logKey,
		"That what was left out does not match the filter action:api_key.created: of those entries only hashes are here.",
		"That the range is all that was received in the period: of the entries around it only hashes are here.",
		"That what was removed was due: only hashes are left of it. The server signs a certificate of each removal.",
		"What the erased details were, and that they had to go.",
		"What the server says of the export itself (who asked, when, the filter, schema marks): it is signed, but not in the log.",
	}
	if diff := cmp.Diff(want, report.NotVerified()); diff != "" {
		t.Error(diff)
	}
}
