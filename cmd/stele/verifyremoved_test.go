package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
)

// TestVerifyNamesWhatIsRemoved: of a log that retention has removed entries from,
// the command says how many cannot be checked and which, and not more than fit.
func TestVerifyNamesWhatIsRemoved(t *testing.T) {
	var removed []audit.Range
	for i := range uint64(12) {
		removed = append(removed, audit.Range{From: i * 1000, To: i*1000 + 256})
	}
	var out bytes.Buffer
	r := audit.LogReport{Checkpoint: audit.Checkpoint{Origin: "s/acme", Size: 20_000}, Entries: 16_928, Removed: removed}
	if err := new(verifyCmd).print(&process{stdout: &out}, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"The log s/acme has the root that was signed, of 20000 entries. The hashes of 16928 of them",
		"Of 3072 entries the log gives no records any more", ": 0 to 255, 1000 to 1255,", "9000 to 9255, and 2 ranges more.",
		"That they were due is not shown by this.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "is whole") {
		t.Errorf("said to be whole:\n%s", out.String())
	}
}
