package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// TestMillion imports a million events into a server, exports and verifies them,
// and checks the data directory; with the program as it is shipped, since the
// race detector would only make it slow. Memory must stay far below the data.
func TestMillion(t *testing.T) {
	const events = 1_000_000
	dir := t.TempDir()
	stele := filepath.Join(dir, "stele")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", stele, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	writeWorkload(t, filepath.Join(dir, "events.jsonl"), events)
	addr, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		began := time.Now()
		out, err := runTool(t.Context(), stele, addr, args...)
		if err != nil {
			t.Fatalf("stele %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		t.Logf("stele %s: %s", args[0], time.Since(began).Round(time.Millisecond))
		return out
	}
	server := toolCommand(t.Context(), stele, addr, "serve", "--data", filepath.Join(dir, "data"), "--listen", addr, "--log-level", "error", "--reserve-mib", "0")
	server.Env = append(server.Env, "STELE_ROOT_KEY="+killKey)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	waitReady(t, addr)
	run("org", "create", "--id", "big", "Big")
	if out := run("import", "--org", "big", filepath.Join(dir, "events.jsonl")); !strings.Contains(out, "1000000 recorded, 0 already recorded, 0 refused") {
		t.Errorf("import: %s", out)
	}
	run("export", "--org", "big", "--format", "jsonl", "-o", filepath.Join(dir, "all.jsonl"))
	if n := countLines(t, filepath.Join(dir, "all.jsonl")); n != events {
		t.Errorf("the export has %d lines", n)
	}
	if out := run("verify", "--org", "big"); !strings.Contains(out, "all 1000000 entries") {
		t.Errorf("verify: %s", out)
	}
	if peak := peakMemory(t, server.Process.Pid); peak > 600<<20 {
		t.Errorf("the server took %d MiB at its peak", peak>>20)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server did not exit with 0: %v", err)
	}
	if out := run("check", "--data", filepath.Join(dir, "data")); !strings.Contains(out, "big: 1000000 entries") || !strings.Contains(out, "sound") {
		t.Errorf("check: %s", out)
	}
}

func writeWorkload(t *testing.T, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	g := workload.New(1, n)
	var line []byte
	for range n {
		line = append(g.For(line[:0]), '\n')
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// toolCommand is the built program, talking to the server at addr.
func toolCommand(ctx context.Context, stele, addr string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, stele, args...)
	cmd.Env = append(cleanEnviron(), "STELE_SERVER=http://"+addr, "STELE_API_KEY="+killKey)
	return cmd
}

func runTool(ctx context.Context, stele, addr string, args ...string) (string, error) {
	out, err := toolCommand(ctx, stele, addr, args...).CombinedOutput()
	return string(out), err
}

func countLines(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	n := 0
	buf := make([]byte, 1<<20)
	for {
		k, err := f.Read(buf)
		n += bytes.Count(buf[:k], []byte("\n"))
		if err != nil {
			return n
		}
	}
}

func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
