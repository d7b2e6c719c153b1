package audit_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
)

// pageCase is a zip and what the page must say of it, which is what Go says.
type pageCase struct {
	Name        string               `json:"name"`
	Zip         []byte               `json:"zip"`
	Keys        string               `json:"keys,omitempty"`
	Older       []byte               `json:"older,omitempty"`
	Verified    []string             `json:"verified"`
	NotVerified []string             `json:"not_verified"`
	Problems    []*audit.VerifyError `json:"problems"`
}

func newPageCase(t testing.TB, name string, zip []byte, keys string, older []byte) pageCase {
	t.Helper()
	opts := audit.EvidenceOptions{Older: older}
	if keys != "" {
		var err error
		if opts.Keys, err = audit.NewVerifier(strings.Fields(keys)...); err != nil {
			t.Fatal(err)
		}
	}
	report, _ := verifyEvidence(zip, opts)
	return pageCase{name, zip, keys, older, report.Verified(), report.NotVerified(), report.Problems}
}

// pageCases are all that the tests have: sound, altered and cut.
func pageCases(t testing.TB) []pageCase {
	t.Helper()
	sound := evidenceCases(t)
	log := sound["mixed"].log
	var cases []pageCase
	for _, name := range slices.Sorted(maps.Keys(sound)) {
		data := sound[name].make(t).zip(t)
		cases = append(cases, newPageCase(t, name, data, "", nil), newPageCase(t, name+", key known", data, log.serverKey+"\n"+log.logKey, nil))
	}
	for _, tt := range keptCases(t, log) {
		data := sound[tt.name].make(t).zip(t)
		cases = append(cases, newPageCase(t, fmt.Sprintf("%s with %q", tt.name, tt.older), data, log.serverKey, tt.older))
	}
	for _, tt := range allTamperings() {
		ev := sound["mixed"].make(t)
		tt.alter(t, ev)
		cases = append(cases, newPageCase(t, tt.name, ev.zip(t), log.serverKey, nil))
	}
	for _, tt := range hostileCases() {
		z := pack(t, sound["mixed"].make(t), 8)
		tt.alter(t, z)
		cases = append(cases, newPageCase(t, "packed: "+tt.name, z.bytes(), log.serverKey, nil))
	}
	data := sound["mixed"].make(t).zip(t)
	for _, n := range []int{0, 21, len(data) / 2, len(data) - 1} {
		cases = append(cases, newPageCase(t, fmt.Sprint("cut to ", n), data[:n], log.logKey, nil))
	}
	return cases
}

// TestEvidencePage: the page inside the zips says of each what Go says.
func TestEvidencePage(t *testing.T) {
	// The cache of go test must see what node reads.
	const page = "../internal/export/verifypage/"
	for _, name := range []string{page + "evidence.js", page + "testdata/evidence.test.mjs", "../internal/web/static/js/verify-core.js"} {
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(pageCases(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", page+"testdata/evidence.test.mjs")
	cmd.Env = append(os.Environ(), "CASES="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
