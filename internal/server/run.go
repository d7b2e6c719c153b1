package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTime     = 10 * time.Second // for sending a request's header
	idleTime       = 2 * time.Minute  // between two requests of one connection
	maxHeaderBytes = 64 << 10
	// cutTime is how long requests have to notice that they were given up.
	cutTime = 5 * time.Second
)

// Run serves on a listener, which it closes, until ctx is done. Then it stops
// accepting, tells long answers to end (Request.Draining) and waits for the
// others, at most Config.Drain: what is still going on after that is cancelled,
// and Run returns an error. A Server runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	// Requests must outlive ctx, to be finished.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	web := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       bodyTime, // of a body; see there
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
		// Answers have deadlines of their own, see response: one for the
		// whole answer would end a tail.
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.drainOnce.Do(func() { close(s.draining) })
	err := s.drain(base, cancel, web)
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve: %w", end))
	}
	return err
}

// drain waits for the requests in flight, then gives up on those left.
func (s *Server) drain(base context.Context, cancel context.CancelFunc, web *http.Server) error {
	wait, stop := context.WithTimeout(base, s.cfg.Drain)
	defer stop()
	err := web.Shutdown(wait)
	if err == nil {
		return nil
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("drain: %w", err)
	}
	cancel()
	last, stop := context.WithTimeout(context.WithoutCancel(base), cutTime)
	defer stop()
	_ = web.Shutdown(last)
	_ = web.Close()
	return fmt.Errorf("drain: requests were still running after %s and were cut", s.cfg.Drain)
}
