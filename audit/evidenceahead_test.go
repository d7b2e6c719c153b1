package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stelehq/stele/audit"
)

// manyRows are more than are read ahead, in some batches of about ten.
const manyRows = 80

// TestEvidenceOrderOfReceipt: a row is compared with the one before wherever in
// the file they are, and none but the right one is named.
func TestEvidenceOrderOfReceipt(t *testing.T) {
	const rows = 25
	for early := 1; early < rows; early++ {
		log := newTestLog(t, 0)
		for seq := range rows {
			e := entryAt(seq)
			if seq == early {
				e.ReceivedAt = e.ReceivedAt.Add(-1e9)
				e.ID = testID(e.ReceivedAt.UnixMilli(), e.Seq)
			}
			log.add(t, e)
		}
		data := exported{log: log, size: rows, from: 0, to: rows, older: -1}.make(t).zip(t)
		_, err := verifyEvidence(data, audit.EvidenceOptions{Keys: log.verifier(t)})
		fault, ok := errors.AsType[*audit.VerifyError](err)
		if !ok || fault.Check != audit.CheckPlace || fault.Field != "received_at" || fault.Seq == nil || *fault.Seq != uint64(early) || fault.Line != uint64(early)+1 {
			t.Errorf("entry %d was received too early: error %v", early, err)
		}
	}
}

// TestEvidenceFirstFault: of two rows that were altered, the first is reported,
// whatever was read ahead; and nothing goes on reading afterwards.
func TestEvidenceFirstFault(t *testing.T) {
	log := evidenceLog(t, manyRows)
	ev := exported{log: log, size: manyRows, from: 0, to: manyRows, older: -1}.make(t)
	key := log.verifier(t)
	jsonl, csv := ev.files["entries.jsonl"], ev.files["entries.csv"]
	id := func(seq int) []byte { return []byte(log.entries[seq].ID) }
	alter := func(file []byte, seq int) []byte { return bytes.Replace(file, id(seq), bytes.ToLower(id(seq)), 1) }
	for first := 0; first < manyRows-1; first += 3 {
		for _, second := range []int{first + 1, manyRows - 1} {
			ev.files["entries.csv"] = alter(csv, first)
			ev.files["entries.jsonl"] = alter(jsonl, second)
			data := ev.zip(t)
			synctest.Test(t, func(t *testing.T) { // ends with every goroutine
				_, err := verifyEvidence(data, audit.EvidenceOptions{Keys: key})
				fault, ok := errors.AsType[*audit.VerifyError](err)
				if !ok || fault.File != "entries.csv" || fault.Line != uint64(first)+2 || *fault.Seq != uint64(first) {
					t.Errorf("rows %d and %d: error %v", first, second, err)
				}
			})
		}
	}
}

// TestEvidenceStops: a disk that cannot be read leaves no goroutine behind.
func TestEvidenceStops(t *testing.T) {
	log := evidenceLog(t, manyRows)
	data := exported{log: log, size: manyRows, from: 0, to: manyRows, older: -1}.make(t).zip(t)
	key := log.verifier(t)
	for from := 0; from < len(data); from += 997 {
		synctest.Test(t, func(t *testing.T) {
			_, err := audit.VerifyEvidence(brokenDisk{bytes.NewReader(data), int64(from)}, int64(len(data)), audit.EvidenceOptions{Keys: key})
			if !errors.Is(err, errDisk) {
				t.Errorf("from byte %d of %d: error %v", from, len(data), err)
			}
		})
	}
}

// FuzzJSONL: what passes in the place of the rows is what was there.
func FuzzJSONL(f *testing.F) { fuzzPart(f, "entries.jsonl") }

// FuzzParseEntry: of lines in the one form, as those are that pass, the verifier
// reads what encoding/json reads, and the same lines are in that form.
func FuzzParseEntry(f *testing.F) {
	for _, e := range evidenceLog(f, 10).entries {
		f.Add(string(jsonlOf(f, []*audit.Entry{&e})))
	}
	f.Fuzz(func(t *testing.T, line string) {
		again := func(e *audit.Entry) string {
			text, err := e.MarshalJSON()
			if err != nil {
				return ""
			}
			return string(text) + "\n"
		}
		plain, ok := audit.ParseEntry(line)
		ok = ok && again(plain) == line
		other := new(audit.Entry)
		want := json.Unmarshal([]byte(line), other) == nil && again(other) == line
		if ok != want {
			t.Errorf("%q is in the one form: %v, and by encoding/json: %v", line, ok, want)
		}
	})
}
