package app_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// TestEvidence makes evidence over HTTP, of a log of which a part is sealed, people
// are erased and entries are removed, and verifies each zip with the key that the
// server gives.
func TestEvidence(t *testing.T) {
	a := open(t, t.TempDir())
	srv := httptest.NewServer(a)
	defer srv.Close()
	// Links lead to the address of the configuration, where nobody listens.
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}}
	defer transport.CloseIdleConnections()
	client := &audit.Client{BaseURL: srv.URL, Key: rootKey, HTTP: &http.Client{Transport: transport}}
	vkey, err := client.VerifierKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := audit.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	recordSome := func(n int) {
		for n > 0 {
			var batch []audit.Event
			for range min(n, 1000) {
				batch = append(batch, someEvent(random))
			}
			n -= len(batch)
			if _, err := client.RecordBatch(t.Context(), "ours", batch, audit.BatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	recordSome(ledger.BlockSize + 2000)
	older, err := client.Checkpoint(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Store.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	middle := time.Now().UTC().Truncate(time.Millisecond)
	recordSome(500)
	queries := []string{
		"", "actor:u3", "action:door.opened", "target.type:door", "actor:nobody", "metadata.floor:7",
		"received.after:" + middle.Format(time.RFC3339Nano), "actor:u3 received.before:" + middle.Format(time.RFC3339Nano),
	}
	all := func(rows, erased uint64) {
		t.Helper()
		for _, q := range queries {
			report := evidenceOver(t, client, keys, q, string(older))
			if q == "" && (report.Rows != rows || report.Erased != erased) {
				t.Errorf("%d rows, %d erased, want %d and %d", report.Rows, report.Erased, rows, erased)
			}
		}
	}
	size := uint64(ledger.BlockSize + 2500)
	all(size, 0)

	e, err := client.CreateErasure(t.Context(), "ours", audit.ErasureRequest{Subject: "u3"})
	if err != nil {
		t.Fatal(err)
	}
	if e, err = client.WaitErasure(t.Context(), "ours", e.ID, nil); err != nil || e.Erased == 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	size++ // it is recorded
	all(size, e.Erased)

	opened := search.Compile(audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{"door.opened"}}}})
	done, err := a.Ledger.Rewrite(t.Context(), ledger.Rewrite{Organization: "ours", To: size, Fate: func(e *event.Entry) ledger.Fate {
		// Whole tiles, and some of others.
		if e.Seq < 3*ledger.TileWidth || opened.Match(e) && e.ErasedAt == 0 {
			return ledger.Removed
		}
		return ledger.Stays
	}})
	if err != nil || done.Removed == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	report := evidenceOver(t, client, keys, "", string(older))
	if report.Rows != size-done.Removed || report.Removed == 0 {
		t.Errorf("%d rows and %d removed in the range, want %d rows", report.Rows, report.Removed, size-done.Removed)
	}
	all(report.Rows, report.Erased)
}

func someEvent(random *rand.Rand) audit.Event {
	n := random.IntN(10)
	return audit.Event{
		Action: []string{"door.opened", "door.closed", "key.made"}[random.IntN(3)], OccurredAt: time.Now(),
		Actor:    audit.Actor{Type: "user", ID: fmt.Sprint("u", n), Name: fmt.Sprint("Person ", n)},
		Targets:  []audit.Target{{Type: "door", ID: fmt.Sprint("d", random.IntN(50)), Name: "=door"}},
		Metadata: audit.Metadata{"floor": fmt.Sprint(random.IntN(90))},
		Context:  audit.Context{Location: "203.0.113.7"},
	}
}

// evidenceOver makes evidence over HTTP and verifies it.
func evidenceOver(t *testing.T, client *audit.Client, keys *audit.Verifier, query, older string) audit.EvidenceReport {
	t.Helper()
	q, err := audit.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	opts := audit.ExportOptions{Format: audit.FormatEvidence, Zone: "Europe/Berlin", OlderCheckpoint: older}
	job, err := client.CreateExport(t.Context(), "ours", q, opts)
	if err != nil {
		t.Fatal(err)
	}
	if job, err = client.WaitExport(t.Context(), "ours", job.ID, nil); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := client.DownloadExport(t.Context(), "ours", job.ID, &file); err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyEvidence(bytes.NewReader(file.Bytes()), int64(file.Len()), audit.EvidenceOptions{Keys: keys, Older: []byte(older)})
	if err != nil || report.Rows != job.Rows {
		t.Fatalf("%q: %v; %d rows of %d", query, err, report.Rows, job.Rows)
	}
	if said := strings.Join(report.Verified(), " "); !strings.Contains(said, "the key that you gave") {
		t.Error(said)
	}
	return report
}
