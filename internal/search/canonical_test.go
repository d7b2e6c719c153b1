package search_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// TestAuditAgrees holds package audit, which verifies with the standard library
// alone, to what package event records: record, details and answer are the same
// bytes. It is here because audit cannot see event, nor event what it means to
// verify.
func TestAuditAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, e := range someEntries(t, 1, 3) {
			for i := range e.Salt {
				e.Salt[i] = rapid.Byte().Draw(t, "salt")
			}
			plain := e.Audit(testOrg)
			details, err := plain.Details()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(event.AppendDetails(nil, &e.Event)), string(details)); diff != "" {
				t.Fatalf("details: %s", diff)
			}
			record, err := plain.Record(e.Salt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(e.AppendRecord(nil)), string(record)); diff != "" {
				t.Fatalf("record: %s", diff)
			}
			written, err := plain.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(e.AppendJSON(nil, testOrg)), string(written)); diff != "" {
				t.Fatalf("JSON: %s", diff)
			}
			var read audit.Entry
			if err := json.Unmarshal(written, &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain, read, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("read back: %s", diff)
			}
		}
	})
}
