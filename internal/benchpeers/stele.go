package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// steleRun is what stele bench measured and found.
type steleRun struct {
	report  steleReport
	answers map[string]answers // over http, in the store
}

// runStele builds the program and runs stele bench, which waits before each of
// its steps until turn returns.
func (c *comparison) runStele(ctx context.Context, turn func(ctx context.Context, step string) error) (*steleRun, error) {
	program, err := c.program(ctx)
	if err != nil {
		return nil, err
	}
	found := filepath.Join(c.dir, "answers")
	number := strconv.Itoa
	cmd := exec.CommandContext(ctx, program, "bench", "--json", "--gate", "--dir", c.dir, "--answers", found, //nolint:gosec // our own program
		"--events", number(c.options.events), "--batch", number(c.batch), "--clients", number(c.clients),
		"--single", number(c.single), "--single-clients", number(c.singleClients), "--serial", number(c.serial),
		"--queries", number(c.queries), "--cold", number(c.cold), "--idle", number(c.idle), "--seed", strconv.FormatUint(c.seed, 10))
	cmd.Env = withoutSettings(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal reaches it through us
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var out bytes.Buffer
	cmd.Stdout = &out
	gate, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	progress, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	said, err := openGate(ctx, progress, gate, turn)
	if err = errors.Join(err, cmd.Wait()); err != nil { // Wait closes the gate
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	r := &steleRun{}
	if err := json.Unmarshal(out.Bytes(), &r.report); err != nil {
		return nil, fmt.Errorf("its report: %w", err)
	}
	r.answers, err = readAnswers(found)
	return r, err
}

// program is the path of the program to measure, which is built unless it is
// given.
func (c *comparison) program(ctx context.Context) (string, error) {
	if c.stele != "" {
		return c.stele, nil
	}
	c.say("build Stele")
	path := filepath.Join(c.dir, "stele")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/stele") //nolint:gosec // our own program
	build.Dir = c.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// withoutSettings is an environment in which no setting of Stele is set.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "STELE_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// openGate answers each "next: STEP" with a line after turn, until the program
// ends. When a turn fails the gate is closed, at which the program cleans up and
// ends. What else was said is returned.
func openGate(ctx context.Context, progress io.Reader, gate io.WriteCloser, turn func(context.Context, string) error) (said string, failed error) {
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		step, ok := strings.CutPrefix(lines.Text(), "next: ")
		if !ok {
			said += lines.Text() + "\n"
			continue
		}
		err := turn(ctx, step)
		if err == nil {
			_, err = io.WriteString(gate, "go\n")
		}
		if err != nil {
			failed = errors.Join(failed, err, gate.Close())
		}
	}
	return said, errors.Join(failed, lines.Err())
}

// readAnswers reads the file of stele bench --answers.
func readAnswers(name string) (map[string]answers, error) {
	file, err := os.ReadFile(name) //nolint:gosec // in the directory of the run
	if err != nil {
		return nil, err
	}
	all := map[string]answers{}
	for line := range bytes.Lines(file) {
		var a struct {
			Where string
			question
			Found []string
		}
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if all[a.Where] == nil {
			all[a.Where] = answers{}
		}
		all[a.Where][a.question] = a.Found
	}
	return all, nil
}
