package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
)

// stele runs a command in this process and gives what it printed.
func stele(t *testing.T, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, nil, &process{stdin: bytes.NewReader(stdin), stdout: &out, stderr: &errs, now: time.Now})
	return code, out.String(), errs.String()
}

// TestVerifyEvidence runs "stele verify" on every test vector: what it prints, and
// with what it exits.
func TestVerifyEvidence(t *testing.T) {
	files, err := filepath.Glob("../../audit/testdata/evidence/*.zip")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d test vectors, error %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(strings.TrimSuffix(file, ".zip") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Vkey, Older string
			Verified    []string
			NotVerified []string `json:"not_verified"`
			Problems    []*audit.VerifyError
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", file}
		if want.Vkey != "" {
			args = append(args, "--vkey", want.Vkey)
		}
		if want.Older != "" {
			older := filepath.Join(t.TempDir(), "older")
			if err := os.WriteFile(older, []byte(want.Older), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--checkpoint", older)
		}
		code, stdout, stderr := stele(t, nil, args...)
		if (code == exitOK) != (len(want.Problems) == 0) || len(want.Problems) > 0 && code != exitUnsound {
			t.Errorf("%s: exit %d, %s", file, code, stderr)
		}
		for _, sentence := range append(want.Verified, want.NotVerified...) {
			if !strings.Contains(stdout, " - "+sentence+"\n") {
				t.Errorf("%s does not say %q", file, sentence)
			}
		}
		for _, problem := range want.Problems {
			if !strings.Contains(stderr, problem.Sentence()+"\n") {
				t.Errorf("%s does not say %q but %s", file, problem.Sentence(), stderr)
			}
		}
		// For programs.
		_, stdout, _ = stele(t, nil, append(args, "--json")...)
		var got evidenceJSON
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Sound != (code == exitOK) || len(got.Verified) != len(want.Verified) || len(got.Report.Problems) != len(want.Problems) {
			t.Errorf("%s: --json prints %s, error %v", file, stdout, err)
		}
	}
}

// TestVerifyEvidenceFiles: standard input, what is no file, a key that is none,
// the checkpoint that is kept.
func TestVerifyEvidenceFiles(t *testing.T) {
	const mixed = "../../audit/testdata/evidence/mixed.zip"
	data, err := os.ReadFile(mixed)
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := stele(t, data, "verify", "-"); code != exitOK || !strings.Contains(stdout, "Whose key it is") {
		t.Errorf("from standard input: exit %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := stele(t, nil, "verify", "no.zip"); code != exitError || !strings.Contains(stderr, "no.zip") {
		t.Errorf("no file: exit %d, %s", code, stderr)
	}
	if code, _, stderr := stele(t, nil, "verify", mixed, "--vkey", "x"); code != exitUsage || !strings.Contains(stderr, "--vkey") {
		t.Errorf("no key: exit %d, %s", code, stderr)
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if code, _, stderr := stele(t, nil, "verify", mixed, "--save", kept); code != exitOK {
		t.Errorf("--save: exit %d, %s", code, stderr)
	}
	if code, stdout, stderr := stele(t, nil, "verify", mixed, "--checkpoint", kept); code != exitOK || !strings.Contains(stdout, "The log extends the checkpoint that you gave, of 100 entries") {
		t.Errorf("--checkpoint: exit %d, %s%s", code, stdout, stderr)
	}
	hidden := filepath.Join(t.TempDir(), "hidden")
	if code, _, _ := stele(t, nil, "verify", "../../audit/testdata/evidence/altered-erased.zip", "--save", hidden); code != exitUnsound {
		t.Errorf("altered: exit %d", code)
	}
	if _, err := os.Stat(hidden); err == nil {
		t.Error("the checkpoint of a zip that is not sound is kept")
	}
}

// TestVerificationDoc runs what docs/verification.md shows.
func TestVerificationDoc(t *testing.T) {
	t.Chdir("../..")
	text, err := os.ReadFile("docs/verification.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ stele ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d examples are run", len(blocks))
	}
	for _, b := range blocks {
		code, stdout, stderr := stele(t, nil, strings.Fields(b[1])...)
		want, exit := b[2], exitOK
		if rest, ok := strings.CutSuffix(want, "(exit code 3)\n"); ok {
			want, exit = rest, exitUnsound
		}
		if got := stdout + stderr; got != want || code != exit {
			t.Errorf("stele %s: exit %d\n%s", b[1], code, got)
		}
	}
}

// TestVerificationHeart runs the verifier that docs/verification.md shows, on a
// sound zip and on one that was altered.
func TestVerificationHeart(t *testing.T) {
	text, err := os.ReadFile("../../docs/verification.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/verification.md shows no verifier")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "heart.mjs")
	if err := os.WriteFile(script, block[1], 0o600); err != nil {
		t.Fatal(err)
	}
	const vkey = "audit.example.com/org_1+6451f4e1+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
	for name, want := range map[string]string{
		"mixed":                    "10 rows are as recorded in audit.example.com/org_1, of 100 entries.",
		"altered-row-in-csv":       "entries.csv: altered",
		"altered-row-and-manifest": "another manifest",
		"altered-other-key":        "wrong signature",
	} {
		r, err := zip.OpenReader("../../audit/testdata/evidence/" + name + ".zip")
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.CopyFS(to, r); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		out, err := exec.CommandContext(t.Context(), "node", script, to, vkey).CombinedOutput()
		if (err == nil) != (name == "mixed") || !strings.Contains(string(out), want) {
			t.Errorf("%s: error %v, %s", name, err, out)
		}
	}
}
