package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/demo"
)

// readmeBlocks returns the README's blocks of code in a language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("the README has no block in %s", language)
	}
	return blocks
}

// TestReadme runs what the README tells a newcomer to paste.
func TestReadme(t *testing.T) {
	addr, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := steleCommand(t.Context(), "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", addr, "--log-level", "error")
	server.Env = append(server.Env, "STELE_ROOT_KEY="+killKey)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	waitReady(t, addr)
	t.Run("curl", func(t *testing.T) { readmeCurl(t, addr) })
	t.Run("node", func(t *testing.T) { readmeNode(t, addr) })
}

func readmeCurl(t *testing.T, addr string) {
	for _, block := range readmeBlocks(t, "sh") {
		script := strings.NewReplacer("http://127.0.0.1:8420", "http://"+addr, "sk_…", killKey, "curl ", "curl --silent --show-error --fail ").Replace(block)
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
		cmd.Env = cleanEnviron()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		if !strings.Contains(string(out), `"action":"api_key.created"`) || !strings.Contains(string(out), `"after_role":"viewer"`) {
			t.Errorf("the event is not found again:\n%s", out)
		}
	}
}

// readmeNode runs the block for node with an unchanged SDK, after registering
// the schemas that the README says are needed.
func readmeNode(t *testing.T, addr string) {
	catalogue, err := demo.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	file, err := catalogue.Format()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "catalogue.json")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	apply := steleCommand(t.Context(), "schema", "apply", name)
	apply.Env = append(apply.Env, "STELE_SERVER=http://"+addr, "STELE_API_KEY="+killKey)
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const modules = "../../internal/workos/testdata/node"
	for i, block := range readmeBlocks(t, "js") {
		_, port, _ := strings.Cut(addr, ":")
		script := strings.ReplaceAll(block, "port: 8420", "port: "+port)
		path := filepath.Join(modules, "readme-test-"+string(rune('0'+i))+".mjs")
		if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path) //nolint:errcheck // a temporary file beside the modules it imports
		cmd := exec.CommandContext(t.Context(), "node", filepath.Base(path))
		cmd.Dir = modules
		cmd.Env = append(cleanEnviron(), "STELE_API_KEY="+killKey)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, script, out)
		}
	}
}

// TestReadmeGo holds the README's Go to an example that is compiled.
func TestReadmeGo(t *testing.T) {
	example, err := os.ReadFile("../../audit/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range readmeBlocks(t, "go") {
		if indented := "\t" + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n\t"); !strings.Contains(string(example), indented) {
			t.Errorf("audit/example_test.go does not contain the README's\n%s", block)
		}
	}
}

// TestDemo starts the demo, pastes every command it prints, and starts it again.
func TestDemo(t *testing.T) {
	addr, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "demo")
	stop, said := startDemo(t, addr, data)
	_, commands, ok := strings.Cut(said(), "Or try, in another terminal:")
	if !ok {
		t.Fatalf("the demo says:\n%s", said())
	}
	script := strings.ReplaceAll(commands, "go run ./cmd/stele", asStele+"=1 "+os.Args[0])
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Dir, cmd.Env = t.TempDir(), cleanEnviron()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, want := range []string{"api_key.", "[denied]", `"name":"My key"`, " entries\n", "is whole"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "audit-log.csv")); err != nil || info.Size() < 1<<20 {
		t.Errorf("audit-log.csv: %v %v", info, err)
	}
	if page := openDemo(t, said()); !strings.Contains(page, "<h1>Audit log</h1>") || !strings.Contains(page, "Corvane") {
		t.Errorf("the address that the demo prints opens\n%s", page)
	}
	stop()

	stop, said = startDemo(t, addr, data)
	defer stop()
	if !strings.Contains(said(), "of the last demo") || !strings.Contains(said(), "--fresh") {
		t.Errorf("the second start says:\n%s", said())
	}
}

// openDemo follows the address that the demo prints, as a browser does, and returns
// the page.
func openDemo(t *testing.T, said string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, regexp.MustCompile(`http://\S+/portal/\S+`).FindString(said), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// startDemo starts the demo; stop interrupts it and wants exit code 0.
func startDemo(t *testing.T, addr, data string) (stop func(), said func() string) {
	t.Helper()
	output := filepath.Join(t.TempDir(), "output")
	f, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	cmd := steleCommand(t.Context(), "demo", "--data", data, "--listen", addr)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitReady(t, addr)
	return func() {
			if err := errors.Join(cmd.Process.Signal(syscall.SIGINT), cmd.Wait(), f.Close()); err != nil {
				t.Errorf("the demo did not end well: %v", err)
			}
		}, func() string {
			text, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
}

// waitReady waits until the server at addr is ready.
func waitReady(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !isReady("http://" + addr); {
		if time.Now().After(deadline) {
			t.Fatalf("the server at %s did not become ready", addr)
		}
		time.Sleep(10 * time.Millisecond) // polls another process; bounded by the deadline
	}
}
