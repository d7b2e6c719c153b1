package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// TestVerifyCertificate checks a certificate as its reader does, and altered ones.
func TestVerifyCertificate(t *testing.T) {
	key, err := ledger.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	store := storetest.NewMemory()
	l, err := ledger.Open(t.Context(), ledger.Config{Store: store, KV: store, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const statement = `{"id":"certificate_01KJMJ6R3V5Y2W8Q7N3T6B9C4D","organization":{"id":"acme","name":"Acme Ltd"},` +
		`"created_at":"2026-03-01T09:30:00Z","due_at":"2026-03-01T09:29:00Z","policy":"365 days; user.logged_in 90 days",` +
		`"rules":[{"entries":"-action:user.logged_in","received_before":"2025-03-01T09:29:00Z"},{"entries":"","received_before":"2024-01-01T00:00:00Z"}],` +
		`"from_seq":0,"to_seq":16384,"removed":16380,"held":4,"oldest":"2024-01-01T00:00:00Z","newest":"2025-02-01T00:00:00Z","server":"stele 1"}`
	sign := func(origin, text string) string {
		note, err := l.SignNote(l.Origin(origin)+" destruction certificate v1\n"+text+"\n", origin)
		if err != nil {
			t.Fatal(err)
		}
		return string(note)
	}
	fine := sign("acme", statement)
	verify := func(note, vkey string) (int, string) {
		file := filepath.Join(t.TempDir(), "certificate.txt")
		if err := os.WriteFile(file, []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run(t.Context(), []string{"verify", file, "--vkey", vkey}, nil, &process{stdin: nil, stdout: &out, stderr: &out, now: time.Now})
		return code, out.String()
	}
	for _, vkey := range []string{l.VerifierKey(), l.LogVerifierKey("acme")} {
		code, out := verify(fine, vkey)
		if code != exitOK {
			t.Errorf("exit code %d: %s", code, out)
		}
		for _, want := range []string{
			"signed by the key of the log audit.example.com/acme (Acme Ltd)", "16380 entries were removed, with seq 0 to 16383",
			"365 days; user.logged_in 90 days", "Entries of -action:user.logged_in went that were received before 2025-03-01T09:29:00Z.",
			"4 entries beside them", "no copy elsewhere",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("does not say %q:\n%s", want, out)
			}
		}
	}
	for what, note := range map[string]string{
		"altered":               strings.Replace(fine, `"removed":16380`, `"removed":16381`, 1),
		"of another log":        strings.Replace(fine, "audit.example.com/acme d", "audit.example.com/other d", 1),
		"about another":         sign("other", statement),
		"without its signature": fine[:strings.Index(fine, "—")],
		"twice":                 sign("acme", strings.Replace(statement, `"held":4`, `"held":4,"held":5`, 1)),
	} {
		if code, out := verify(note, l.VerifierKey()); code != exitUnsound || !strings.Contains(out, "NOT VERIFIED") {
			t.Errorf("%s: exit code %d, %s", what, code, out)
		}
	}
	if code, _ := verify(fine, ""); code != exitUsage {
		t.Errorf("without a key: exit code %d", code)
	}
}
