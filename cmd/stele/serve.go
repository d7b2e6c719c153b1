package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/stelehq/stele/internal/app"
)

// logFlags say what of the log is shown and how.
type logFlags struct {
	LogLevel  string `help:"Least important lines of the log that are shown." env:"STELE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"Form of the log." env:"STELE_LOG_FORMAT" enum:"text,json" default:"text"`
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// serveCmd runs the server until it is told to stop.
type serveCmd struct {
	app.Config
	logFlags
}

// Run serves until SIGTERM or SIGINT, then lets requests finish.
func (c *serveCmd) Run(ctx context.Context, p *process) error {
	if err := c.Validate(); err != nil {
		return &exitCodeError{exitUsage, err}
	}
	logger, err := c.logger(p.stderr)
	if err != nil {
		return &exitCodeError{exitUsage, err}
	}
	c.Logger, c.Now, c.Version = logger, p.now, version()
	// The address is taken first: a server that cannot listen must not touch
	// its data.
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	c.Listen = ln.Addr().String() // the port chosen for :0
	c.ShowKey = func(key string) error {
		_, err := fmt.Fprintf(p.stdout, "Root API key, shown this once: %s\n", key)
		return err
	}
	a, err := app.Open(ctx, c.Config)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "serving",
		slog.String("url", a.PublicURL()), slog.String("data", c.Data), slog.String("version", version()))
	err = errors.Join(a.Serve(ctx, ln), a.Close())
	if err == nil {
		logger.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopped")
	}
	return err
}
