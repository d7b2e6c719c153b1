package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stelehq/stele/audit"
)

// asStele makes the test binary behave as the stele command: tests that need a
// process of its own, to kill it for instance, start the test binary again.
const asStele = "TEST_RUNS_AS_STELE"

func TestMain(m *testing.M) {
	if os.Getenv(asStele) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"stele": main})
}

// TestScripts runs the conversations in testdata: real commands against a real
// server, on loopback.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			addr, err := freeAddress(t.Context())
			if err != nil {
				return err
			}
			env.Setenv("ADDR", addr)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":   cmdReady,
			"events":  cmdEvents,
			"fetch":   cmdFetch,
			"alter":   cmdAlter,
			"siem":    cmdSIEM,
			"until":   cmdUntil,
			"field":   cmdField,
			"falsify": cmdFalsify,
		},
	})
}

// cmdReady waits until the server at $ADDR is ready, or with "!" is gone.
func cmdReady(ts *testscript.TestScript, neg bool, _ []string) {
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		up := isReady("http://" + ts.Getenv("ADDR"))
		if up != neg {
			return
		}
		time.Sleep(10 * time.Millisecond) // polls another process; bounded by the deadline
	}
	ts.Fatalf("the server at %s: ready is still %t", ts.Getenv("ADDR"), neg)
}

func isReady(url string) bool {
	res, err := http.Get(url + "/readyz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// cmdEvents writes a file of n events as JSON lines: events FILE N.
func cmdEvents(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: events FILE N")
	}
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		ts.Fatalf("events: %v", err)
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"action":"door.opened","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":"u%d","name":"Person %d"},"targets":[{"type":"door","id":"d%d"}],"context":{"location":"192.0.2.7"}}`+"\n", i%7, i%7, i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// cmdFetch saves what the server answers: the proof of the door opened last, or
// the verifier key: fetch FILE proof|vkey.
func cmdFetch(ts *testscript.TestScript, _ bool, args []string) {
	client := audit.NewClient("http://"+ts.Getenv("ADDR"), ts.Getenv("STELE_API_KEY"))
	ctx := context.Background()
	if args[1] == "vkey" {
		key, err := client.VerifierKey(ctx)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(key), 0o600))
		return
	}
	opened := audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{"door.opened"}}}}
	page, err := client.Search(ctx, "acme", opened, audit.SearchOptions{Limit: 1})
	ts.Check(err)
	proof, err := client.Proof(ctx, "acme", page.Entries[0].ID)
	ts.Check(err)
	data, err := json.Marshal(proof)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// cmdSIEM starts a receiver of streams for the rest of the script, at $SIEM, and
// writes its certificate: siem FILE. It refuses what holds "poison", and keeps
// the newest checkpoint in the file "note".
func cmdSIEM(ts *testscript.TestScript, _ bool, args []string) {
	note := regexp.MustCompile(`"type":"stele\.checkpoint".*"checkpoint":("(?:[^"\\]|\\.)*")`)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || bytes.Contains(body, []byte("poison")) || r.URL.Path == "/refuses" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, "indigestible")
			return
		}
		if m := note.FindSubmatch(body); m != nil {
			var text string
			if err := json.Unmarshal(m[1], &text); err == nil {
				_ = os.WriteFile(ts.MkAbs("note"), []byte(text), 0o600)
			}
		}
		_, _ = fmt.Fprint(w, "thank you")
	}))
	ts.Defer(server.Close)
	ts.Setenv("SIEM", server.URL)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// cmdFalsify changes the root hash in a checkpoint: falsify FILE.
func cmdFalsify(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(ts.ReadFile(args[0]), "\n")
	lines[2] = "AAAA" + lines[2][4:]
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "\n")), 0o600))
}

// cmdField takes a member of the JSON object in a file into the environment:
// field NAME FILE MEMBER.
func cmdField(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	ts.Setenv(args[0], fmt.Sprint(object[args[2]]))
}

// cmdUntil runs a command until its output matches: until PATTERN COMMAND...
func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if err := ts.Exec(args[1], args[2:]...); err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%v: its output never matched %s", args[1:], args[0])
}

// cmdAlter makes the actor of a saved proof somebody else.
func cmdAlter(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	altered := regexp.MustCompile(`"actor":\{"type":"user","id":"[^"]*"`).ReplaceAll(data, []byte(`"actor":{"type":"user","id":"mallory"`))
	if bytes.Equal(altered, data) {
		ts.Fatalf("nothing to alter in %s", data)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), altered, 0o600))
}

// steleCommand is the test binary as stele, in a process of its own.
func steleCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(cleanEnviron(), asStele+"=1")
	return cmd
}

// cleanEnviron is the environment without settings of somebody's own server.
func cleanEnviron() []string {
	var clean []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "STELE_") {
			clean = append(clean, e)
		}
	}
	return clean
}
