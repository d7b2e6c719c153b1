package browsertest

import (
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// nodeDir holds Playwright and what it runs.
const nodeDir = "testdata"

// TestBrowser runs every test of testdata/tests. What follows "-args --" on the
// command line goes to Playwright.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("Chromium is not installed; run make deps: %v", err)
	}
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules")); err != nil {
		t.Fatalf("the node packages are not installed; run make deps: %v", err)
	}
	ws := newWorlds(t)
	defer ws.close(t)
	_, main, err := ws.add(settings{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := main.seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("recorded the demo in %s", time.Since(began).Round(time.Millisecond))
	control := httptest.NewServer(ws.control())
	defer control.Close()

	cmd := exec.CommandContext(t.Context(), "node", append([]string{"node_modules/@playwright/test/cli.js", "test"}, flag.Args()...)...)
	cmd.Dir = nodeDir
	cmd.Env = append(os.Environ(), "STELE_URL="+main.url, "STELE_KEY="+rootKey, "STELE_CONTROL="+control.URL,
		"STELE_CHROMIUM="+chromium, "NODE_EXTRA_CA_CERTS="+ws.cert.certFile, "NODE_NO_WARNINGS=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the browser's tests: %v", err)
	}
}
