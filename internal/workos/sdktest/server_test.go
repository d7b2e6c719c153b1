package sdktest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	root    = "../../.." // of the repository
	rootKey = "sk_a_key_that_only_these_tests_know"
)

// stele is the server of all tests, binary the program that it is.
var (
	stele  *steleServer
	binary string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sdktest:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run builds and starts the server, runs the tests, and stops the server, which
// has to end in good order.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "sdktest")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "bin", "stele")
	build := exec.Command("go", "build", "-o", binary, "./cmd/stele")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build the server: %w", err)
	}
	if stele, err = start(filepath.Join(dir, "data")); err != nil {
		return 0, err
	}
	code = m.Run()
	return code, stele.stop()
}

// steleServer is a running server.
type steleServer struct {
	URL string
	cmd *exec.Cmd
	log lockedBuffer
}

// start starts a server on a free port and waits until it serves. The working
// directory of tests must not matter to it, nor may their environment.
func start(data string) (*steleServer, error) {
	s := &steleServer{cmd: exec.Command(binary, "serve", "--data", data, "--listen", "127.0.0.1:0", "--log-format", "json")}
	s.cmd.Env = []string{"STELE_ROOT_KEY=" + rootKey, "TMPDIR=" + os.TempDir()}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	lines := bufio.NewReader(stderr)
	for s.URL == "" {
		line, err := lines.ReadBytes('\n')
		_, _ = s.log.Write(line)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the server did not start:\n%s", s.log.String()), s.cmd.Wait())
		}
		var said struct{ Msg, URL string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "serving" {
			s.URL = said.URL
		}
	}
	go io.Copy(&s.log, lines) //nolint:errcheck // ends with the server
	return s, nil
}

func (s *steleServer) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the server did not end well: %w\n%s", err, s.log.String())
	}
	return nil
}

// lockedBuffer is a buffer that one goroutine writes and another reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// call asks a server without any SDK, decodes the answer into out unless it is
// nil, and returns the answer's status. It fails the test when that is none of a
// success.
func call(t *testing.T, s *steleServer, method, path string, body, out any) {
	t.Helper()
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, payload)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+rootKey)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	answer := do(t, req)
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
	}
}

func do(t *testing.T, req *http.Request) []byte {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s\n%s", req.Method, req.URL.Path, res.Status, answer)
	}
	return answer
}

// unique makes a name that nothing else on the server has.
func unique(what string) string { return what + "-" + rand.Text() }

// newOrganization makes an organization with the native API and returns its id.
func newOrganization(t *testing.T) string {
	t.Helper()
	var made struct{ ID string }
	call(t, stele, http.MethodPost, "/v1/organizations", map[string]string{"name": unique("Org")}, &made)
	return made.ID
}

// newAction registers an action with targets of type team, a number "members"
// and a text "note" in its metadata, and returns its name.
func newAction(t *testing.T) string {
	t.Helper()
	name := unique("team.updated")
	register(t, stele, name)
	return name
}

func register(t *testing.T, s *steleServer, action string) {
	t.Helper()
	properties := map[string]any{"members": map[string]string{"type": "number"}, "note": map[string]string{"type": "string"}}
	call(t, s, http.MethodPost, "/audit_logs/actions/"+url.PathEscape(action)+"/schemas", map[string]any{
		"targets":  []map[string]string{{"type": "team"}},
		"metadata": map[string]any{"type": "object", "properties": properties},
	}, nil)
}

// entry is an entry as the native API answers it.
type entry struct {
	Seq        int
	Action     string
	Version    int
	OccurredAt string `json:"occurred_at"`
	Actor      party
	Targets    []party
	Context    map[string]string
	Metadata   map[string]any
}

type party struct {
	ID, Type, Name string
	Metadata       map[string]any
}

// recorded returns an organization's entries, oldest first.
func recorded(t *testing.T, organization string) []entry {
	t.Helper()
	var page struct{ Entries []entry }
	call(t, stele, http.MethodGet, "/v1/organizations/"+organization+"/events?order=asc", nil, &page)
	return page.Entries
}

// flaky returns the address of a way to the server on which the answer to the
// first try of every event is lost: the event is recorded, the client gets a
// 500. Each idempotency key, or each event without one, has its first try.
func flaky(t *testing.T) string {
	t.Helper()
	target, err := url.Parse(stele.URL)
	if err != nil {
		t.Fatal(err)
	}
	var tried sync.Map
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(res *http.Response) error {
		if res.Request.URL.Path != "/audit_logs/events" || res.StatusCode/100 != 2 {
			return nil
		}
		if key := res.Request.Header.Get("Idempotency-Key"); key != "" {
			if _, again := tried.LoadOrStore(key, true); again {
				return nil
			}
		}
		res.StatusCode, res.Status = http.StatusInternalServerError, "500 Internal Server Error"
		return nil
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL
}

// fetch downloads an address without a key.
func fetch(t *testing.T, address string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

// visit opens an address as a browser does, with cookies.
func visit(t *testing.T, address string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", address, res.StatusCode, page, err)
	}
	return string(page)
}

// eventually asks until it is told yes.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		}
	}
}
