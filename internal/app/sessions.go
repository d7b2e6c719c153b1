package app

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// cleanEvery is how often records of sessions and links that are over are
// removed.
const cleanEvery = 5 * time.Minute

// cleanSessions removes what is over until ctx ends. A fault is tried again the
// next time: what is over opens nothing, cleaned or not.
func (a *App) cleanSessions(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		n, err := a.sessions.Clean(ctx)
		switch {
		case errors.Is(err, context.Canceled):
		case err != nil:
			a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "sessions that are over could not be removed", slog.String("error", err.Error()))
		case n > 0:
			a.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "sessions that are over were removed", slog.Int("records", n))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
