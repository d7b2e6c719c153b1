package audit_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

var update = flag.Bool("update", false, "write the test vectors")

const vectorDir = "testdata/evidence"

// vector is what a verifier must say of a zip: NAME.json beside NAME.zip. Without
// problems, the zip is sound.
type vector struct {
	// Vkey is the key that the log is known by; "" when none is.
	Vkey string `json:"vkey,omitempty"`
	// Older is a signed checkpoint that was kept, "" when none was.
	Older       string               `json:"older,omitempty"`
	Verified    []string             `json:"verified,omitempty"`
	NotVerified []string             `json:"not_verified,omitempty"`
	Problems    []*audit.VerifyError `json:"problems,omitempty"`
}

// vectors are the cases that are shipped for other verifiers, by file name.
func vectors(t testing.TB) map[string]pageCase {
	t.Helper()
	sound := evidenceCases(t)
	log := sound["mixed"].log
	all := map[string]pageCase{}
	for name, x := range sound {
		all[name] = newPageCase(t, name, x.make(t).zip(t), log.logKey, nil)
	}
	mixed := sound["mixed"].make(t).zip(t)
	all["key-in-the-file"] = newPageCase(t, "", mixed, "", nil)
	all["kept-checkpoint"] = newPageCase(t, "", mixed, log.serverKey, log.checkpoint(t, 29))
	all["kept-checkpoint-not-shown"] = newPageCase(t, "", mixed, log.serverKey, log.checkpoint(t, 5))
	all["altered-cut-off"] = newPageCase(t, "", mixed[:len(mixed)-100], log.logKey, nil)
	names := map[string]string{
		"row edited in jsonl, manifest fitted false": "altered-row-in-jsonl",
		"row edited in csv, manifest fitted false":   "altered-row-in-csv",
		"row edited in both, manifest fitted true":   "altered-row-and-manifest",
		"row dropped in both, manifest fitted true":  "altered-row-dropped",
		"edited everywhere, manifest fitted":         "altered-everywhere",
		"hidden as filtered, manifest fitted":        "altered-hidden-as-filtered",
		"erased marker faked":                        "altered-erased",
		"signed by a stranger":                       "altered-other-key",
		"manifest: filter":                           "altered-filter",
		"older checkpoint of another root":           "altered-older-checkpoint",
		"file more":                                  "altered-file-more",
	}
	for _, tt := range allTamperings() {
		if file, ok := names[tt.name]; ok {
			ev := sound["mixed"].make(t)
			tt.alter(t, ev)
			all[file] = newPageCase(t, "", ev.zip(t), log.logKey, nil)
			delete(names, tt.name)
		}
	}
	for _, tt := range hostileCases() {
		if file := map[string]string{"Zip64": "zip64", "more behind the data": "altered-more-behind-a-file", "gap between": "altered-gap"}[tt.name]; file != "" {
			z := pack(t, sound["mixed"].make(t), 8)
			tt.alter(t, z)
			all[file] = newPageCase(t, "", z.bytes(), log.logKey, nil)
		}
	}
	if len(names) > 0 {
		t.Fatalf("there is no tampering %v", names)
	}
	return all
}

// TestEvidenceVectors verifies the zips that are shipped for those who write
// another verifier, and holds that they are still made so. "go test ./audit -run
// TestEvidenceVectors -update" writes them.
func TestEvidenceVectors(t *testing.T) {
	made := vectors(t)
	if *update {
		writeVectors(t, made)
	}
	files, err := filepath.Glob(vectorDir + "/*.zip")
	if err != nil || len(files) != len(made) {
		t.Errorf("%d vectors are shipped, %d are made; error %v", len(files), len(made), err)
	}
	for name, c := range made {
		data, err := os.ReadFile(filepath.Join(vectorDir, name+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(vectorDir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var want vector
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got := newPageCase(t, name, data, want.Vkey, []byte(want.Older))
		if want.Older == "" {
			got = newPageCase(t, name, data, want.Vkey, nil)
		}
		if diff := cmp.Diff(want, vector{got.Keys, string(got.Older), got.Verified, got.NotVerified, got.Problems}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// How a zip is packed may change with Go; what is in it does not.
		if name != "altered-cut-off" && !cmp.Equal(unzip(t, data), unzip(t, c.Zip)) {
			t.Errorf("%s is not made as it was", name)
		}
	}
}

func writeVectors(t *testing.T, made map[string]pageCase) {
	t.Helper()
	if err := os.RemoveAll(vectorDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(vectorDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range made {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(vector{c.Keys, string(c.Older), c.Verified, c.NotVerified, c.Problems}); err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{name + ".zip": c.Zip, name + ".json": b.Bytes()} {
			if err := os.WriteFile(filepath.Join(vectorDir, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// unzip reads all files of a zip.
func unzip(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(rc); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
