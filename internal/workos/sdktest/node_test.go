package sdktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nodeDir holds the node packages and the suite that is run with each.
const nodeDir = "../testdata/node"

// nodePackages are the names of package.json, one for each major version.
var nodePackages = []string{"workos2", "workos3", "workos6", "workos7", "workos8", "workos10", "@workos-inc/node"}

func TestNode(t *testing.T) {
	for _, name := range nodePackages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := node(t, nil, "suite.mjs", name)
			t.Log("\n" + out)
		})
	}
}

// TestNodePackagesAreAllRun holds the list above to package.json.
func TestNodePackagesAreAllRun(t *testing.T) {
	manifest, err := os.ReadFile(filepath.Join(nodeDir, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, dependencies, _ := strings.Cut(string(manifest), `"dependencies"`)
	if listed := strings.Count(dependencies, "inc/node@") + 1; listed != len(nodePackages) {
		t.Errorf("package.json has %d versions, the tests run %d", listed, len(nodePackages))
	}
}

// node runs a program with node in nodeDir, or what stdin says without
// arguments, and returns what it printed. The program must end well.
func node(t *testing.T, stdin *strings.Reader, args ...string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules")); err != nil {
		t.Fatalf("the node packages are not installed; run make deps: %v", err)
	}
	if stdin != nil {
		args = []string{"--input-type=module"}
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = nodeDir
	cmd.Env = append(os.Environ(), "SUITE_URL="+stele.URL, "SUITE_KEY="+rootKey, "SUITE_FLAKY_URL="+flaky(t),
		"STELE_API_KEY="+rootKey, "WORKOS_API_KEY="+rootKey, "NODE_NO_WARNINGS=1")
	if stdin != nil {
		cmd.Stdin = stdin
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
