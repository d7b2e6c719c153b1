package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
)

// TestLogIsVerifiableAfterRemoval takes entries and details out of a log and
// verifies over HTTP what is left of it, against a checkpoint from inside of what
// is gone.
func TestLogIsVerifiableAfterRemoval(t *testing.T) {
	h := start(t, schema.ModeOpen)
	lines := withHeader("Content-Type", ndjson)
	h.append(strings.Repeat(minimal+"\n", 300), lines)
	older := h.get(acmeLog + "checkpoint").want(200).body
	h.append(strings.Repeat(minimal+"\n", 1000), lines)
	fate := func(e *event.Entry) ledger.Fate {
		switch {
		case e.Seq < 600:
			return ledger.Removed
		case e.Seq < 700:
			return ledger.Erased
		}
		return ledger.Stays
	}
	if _, err := h.ledger.Rewrite(t.Context(), ledger.Rewrite{Organization: "acme", To: 1300, Fate: fate}); err != nil {
		t.Fatal(err)
	}
	client := &audit.Client{BaseURL: h.url, Key: h.root, HTTP: h.client}
	v, err := audit.NewVerifier(h.ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyLog(t.Context(), client.Log("acme"), v, audit.LogOptions{Older: older})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]audit.Range{{From: 0, To: 768}}, report.Removed); diff != "" || report.Entries != 532 || report.Older.Size != 300 {
		t.Errorf("%+v %s", report, diff)
	}
	for _, path := range []string{"tile/entries/000", "tile/0/001", "tile/entries/002"} {
		h.get(acmeLog+path).fails(410, "gone")
	}
	for _, path := range []string{"tile/0/002", "tile/1/000.p/5", "tile/entries/003", "consistency?from=300&to=1300"} {
		h.get(acmeLog + path).want(200)
	}
	h.get(acmeLog+"consistency?from=301&to=1300").fails(410, "gone")
	page, err := client.Search(t.Context(), "acme", audit.Query{}, audit.SearchOptions{Limit: 1000, Ascending: true})
	if err != nil || len(page.Entries) != 700 || page.Entries[0].Seq != 600 || page.Entries[0].ErasedAt.IsZero() {
		t.Fatalf("%d entries, %v", len(page.Entries), err)
	}
	for _, e := range []audit.Entry{page.Entries[0], page.Entries[100], page.Entries[699]} {
		proof, err := client.Proof(t.Context(), "acme", e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(v); err != nil || proof.Entry.ErasedAt.IsZero() != e.ErasedAt.IsZero() {
			t.Errorf("entry %d: %v", e.Seq, err)
		}
	}
}
