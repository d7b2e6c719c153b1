package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
)

// demoCmd runs a server on this machine with a believable year of events.
type demoCmd struct {
	Data   string `help:"Data directory of the demo; by default in the user's cache directory." type:"path" placeholder:"DIR"`
	Listen string `help:"Loopback address to serve on." default:"127.0.0.1:8420" placeholder:"HOST:PORT"`
	Fresh  bool   `help:"Throw away the data of an earlier demo and make new."`
}

// demoKeyFile keeps the demo's API key, so that a second start prints the same.
const demoKeyFile = "demo.key"

// demoDoneFile says that the data is whole; a demo that was interrupted while it
// was made starts over.
const demoDoneFile = "demo.done"

// Run makes the data when there is none, then serves.
func (c *demoCmd) Run(ctx context.Context, p *process) error {
	if err := c.settle(); err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w; another address: --listen 127.0.0.1:0", err)
	}
	made, err := c.prepare(ctx, p)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	key, err := c.key()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	a, err := app.OpenDemo(ctx, app.DemoConfig(c.Data, ln.Addr().String(), key, slog.New(slog.DiscardHandler)), p.now())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	if err := c.greet(ctx, p, a, key, made); err != nil {
		return errors.Join(err, ln.Close(), a.Close())
	}
	return errors.Join(a.Serve(ctx, ln), a.Close())
}

// settle decides where the data lives and refuses an address others can reach:
// the demo is for looking, not for serving.
func (c *demoCmd) settle() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return &exitCodeError{exitUsage, fmt.Errorf("--listen: %w", err)}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return &exitCodeError{exitUsage, fmt.Errorf("--listen: the demo serves on loopback only, not on %q", host)}
	}
	if c.Data != "" {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("no cache directory: %w; name one with --data", err)
	}
	c.Data = filepath.Join(cache, "stele", "demo")
	return nil
}

// prepare makes the demo's data unless it is there. made says that it did.
func (c *demoCmd) prepare(ctx context.Context, p *process) (made bool, err error) {
	_, err = os.Stat(filepath.Join(c.Data, demoDoneFile))
	if err == nil && !c.Fresh {
		return false, nil
	}
	if err := c.clear(); err != nil {
		return false, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return false, err
	}
	if err := os.WriteFile(filepath.Join(c.Data, demoKeyFile), []byte(auth.NewSecret()), 0o600); err != nil {
		return false, err
	}
	fmt.Fprintln(p.stderr, "Making a year of events …")
	if err := app.LoadDemo(ctx, c.Data, p.now()); err != nil {
		return false, fmt.Errorf("make the demo's data: %w", err)
	}
	return true, os.WriteFile(filepath.Join(c.Data, demoDoneFile), nil, 0o600)
}

// clear removes an earlier demo, and nothing that is not one.
func (c *demoCmd) clear() error {
	entries, err := os.ReadDir(c.Data)
	if errors.Is(err, os.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.Data, demoKeyFile)); err != nil {
		return fmt.Errorf("%s holds something that is not a demo; name another directory with --data", c.Data)
	}
	return os.RemoveAll(c.Data)
}

func (c *demoCmd) key() (string, error) {
	data, err := os.ReadFile(filepath.Join(c.Data, demoKeyFile))
	if err != nil {
		return "", fmt.Errorf("%w; start over with --fresh", err)
	}
	return strings.TrimSpace(string(data)), nil
}
