package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchTarget is the server under load.
type benchTarget struct {
	url, key string
	http     *http.Client // for everything but recording
	dialer   *benchDialer // for recording
	child    *exec.Cmd    // nil when the server is somebody else's
	dir      string       // to remove afterwards, "" for none
}

// target is the server named on the command line, or a fresh one.
func (c *benchCmd) target(ctx context.Context, p *process) (*benchTarget, error) {
	t := &benchTarget{
		url: strings.TrimSuffix(c.Server, "/"), key: c.APIKey,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: max(c.Clients, c.SingleClients) + 4, DisableCompression: true}},
	}
	if t.url != "" {
		if t.key == "" {
			return nil, &exitCodeError{exitUsage, errors.New("no API key: set STELE_API_KEY or --api-key to an admin key")}
		}
	} else if err := t.start(ctx, c.Dir, p); err != nil {
		t.stop()
		return nil, err
	}
	var err error
	if t.dialer, err = newBenchDialer(t.url, t.key); err != nil {
		t.stop()
		return nil, &exitCodeError{exitUsage, err}
	}
	return t, nil
}

// start runs this very binary as a server, so that its memory is its own.
func (t *benchTarget) start(ctx context.Context, dir string, p *process) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if t.dir, err = os.MkdirTemp(dir, "stele-bench-*"); err != nil {
		return err
	}
	t.key = "sk_" + rand.Text() + rand.Text()
	addr, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	t.url = "http://" + addr
	t.child = exec.Command(self, "serve", "--data", filepath.Join(t.dir, "data"), "--listen", addr, "--log-level", "error", "--schema-mode", "strict") //nolint:gosec,noctx // stopped by stop, gently, not by ctx
	t.child.Env = append(os.Environ(), "STELE_ROOT_KEY="+t.key)
	t.child.Stderr = p.stderr
	if err := t.child.Start(); err != nil {
		return fmt.Errorf("start a server: %w", err)
	}
	return t.waitReady(ctx)
}

// freeAddress finds a loopback port nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (t *benchTarget) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := t.do(ctx, http.MethodGet, "/readyz", "", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// stop ends a server that start began and removes its directory.
func (t *benchTarget) stop() {
	if t.child != nil && t.child.Process != nil {
		_ = t.child.Process.Signal(syscall.SIGTERM)
		_ = t.child.Wait()
	}
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
	}
}

// record sends a body of events and wants all of it recorded.
func (t *benchTarget) record(ctx context.Context, org, contentType string, body []byte, idempotencyKey string) error {
	client := t.dialer.client()
	defer client.close()
	return client.send(ctx, append(t.dialer.appendRequest(nil, org, contentType, idempotencyKey, len(body)), body...))
}

// do sends a request and returns the whole answer.
func (t *benchTarget) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	req, err := t.request(ctx, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	var answer bytes.Buffer
	err = t.send(req, &answer)
	return answer.Bytes(), err
}

func (t *benchTarget) request(ctx context.Context, method, path, contentType string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+t.key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

// send copies the answer's body to w; any status but 2xx is an error with the
// start of the body.
func (t *benchTarget) send(req *http.Request, w io.Writer) error {
	res, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to the end below
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, res.Status, text)
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// metric reads one metric without labels.
func (t *benchTarget) metric(ctx context.Context, name string) (float64, error) {
	body, err := t.do(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the server has no metric %s", name)
}
