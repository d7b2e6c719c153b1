package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// restartReport is how long a server of our own takes to end and to be ready
// again, in seconds. After each start the log of every organization had exactly
// the entries that were acknowledged.
type restartReport struct {
	Stop      float64 `json:"stop_seconds"`
	Start     float64 `json:"start_seconds"`
	KillStart float64 `json:"start_after_kill_seconds"`
}

// restarts stops and kills the server, and holds that nothing is lost.
func (b *bench) restarts(ctx context.Context) error {
	for _, step := range []struct {
		how         syscall.Signal
		stop, start *float64
	}{
		{syscall.SIGTERM, &b.report.Restart.Stop, &b.report.Restart.Start},
		{syscall.SIGKILL, new(float64), &b.report.Restart.KillStart},
	} {
		if step.how == syscall.SIGKILL {
			if err := b.recordBeforeKill(ctx); err != nil {
				return err
			}
		}
		began := b.now()
		if err := b.target.halt(step.how); err != nil {
			return err
		}
		*step.stop = b.now().Sub(began).Seconds()
		began = b.now()
		if err := b.again(ctx); err != nil {
			return err
		}
		*step.start = b.now().Sub(began).Seconds()
		if err := b.checkCounts(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recordBeforeKill leaves something that only the write-ahead log has. It goes to
// an organization of its own, so that questions find the same before and after.
func (b *bench) recordBeforeKill(ctx context.Context) error {
	const org, events = "bench-kill", 200
	if _, err := b.target.do(ctx, http.MethodPost, "/v1/organizations", "application/json", []byte(`{"id":"`+org+`","name":"Benchmark of kill -9"}`)); err != nil {
		return fmt.Errorf("create organization %s: %w", org, err)
	}
	g := b.workload(b.Seed+2, events)
	for range events {
		if err := b.target.record(ctx, org, "application/json", g.For(nil), ""); err != nil {
			return err
		}
		b.acks.add(b.now(), org, 1)
	}
	return nil
}

// halt ends the server's process with a signal and waits for its end.
func (t *benchTarget) halt(how syscall.Signal) error {
	if err := t.child.Process.Signal(how); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	err := t.child.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); how == syscall.SIGKILL && exited {
		err = nil
	}
	return err
}

// again starts the server that was halted, on the same data and address, and
// waits until it is ready.
func (b *bench) again(ctx context.Context) error {
	old := b.target.child
	next := &exec.Cmd{Path: old.Path, Args: old.Args, Env: old.Env, Stderr: old.Stderr}
	if err := next.Start(); err != nil {
		return fmt.Errorf("start the server again: %w", err)
	}
	b.target.child = next
	b.memory.pid.Store(int64(next.Process.Pid))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := b.target.do(ctx, http.MethodGet, "/readyz", "", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready again: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// end stops the server for good.
func (b *bench) end() error {
	b.memory.pid.Store(noProcess)
	err := b.target.halt(syscall.SIGTERM)
	b.target.child = nil
	return err
}

// coldRestart starts the server again with nothing of its data in memory, where
// the system lets us drop it.
func (b *bench) coldRestart(ctx context.Context) error {
	if err := b.target.halt(syscall.SIGTERM); err != nil {
		return err
	}
	if err := dropFromMemory(filepath.Join(b.target.dir, "data")); err != nil {
		return err
	}
	return b.again(ctx)
}
