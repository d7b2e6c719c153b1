package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/egress"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// streamKeysFile holds the keys that encrypt the secrets of streams, when the
// operator gives none. As the checkpoint key, it is a file of its own.
const streamKeysFile = "stream.keys"

// streamRecords is how the keys of records of streams begin.
const streamRecords = "stream/"

// openStreams takes up the log streams.
func (a *App) openStreams(ctx context.Context) error {
	keys, err := a.streamKeys(ctx)
	if err != nil {
		return err
	}
	guard, err := egress.New(a.cfg.StreamAllow)
	if err != nil {
		return fmt.Errorf("--stream-allow: %w", err)
	}
	formats, err := format.All()
	if err != nil {
		return fmt.Errorf("formats of streams: %w", err)
	}
	if a.notices, err = openNotices(a.Store, &a.cfg); err != nil {
		return err
	}
	streams, err := stream.Open(ctx, stream.Config{
		KV: a.Store, Log: a.Ledger, Scanner: a.Store, First: a.Store.First, Directory: directory{a}, Journal: streamJournal{a},
		Kinds: sink.Standard(), Formats: formats, Keys: keys, Describe: a.describe, Shared: a.shared,
		Dial: guard.Dial, Server: a.host(), Product: a.cfg.Version,
		MaxInFlight: a.cfg.StreamMaxInFlightMiB << 20, Delivered: a.metrics.delivered,
		Logger: a.cfg.Logger, Now: a.cfg.Now,
	})
	if err != nil {
		return fmt.Errorf("open streams: %w", err)
	}
	a.Streams = streams
	a.growing.Store(streams)
	a.metrics.watchStreams(streams)
	if n, err := streams.Rewrap(ctx); err != nil {
		// The streams that it is about say so; the others go on.
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "encrypt secrets of streams with the first key", slog.Any("error", err))
	} else if n > 0 {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "secrets of streams encrypted with the first key; the others are not needed any more", slog.Int("secrets", n))
	}
	return nil
}

// streamKeys reads the keys for secrets, or makes one on a directory that never
// had streams. Where there are some, a missing key is an error: with a new one
// none of them could be delivered.
func (a *App) streamKeys(ctx context.Context) (*stream.Keyring, error) {
	if a.cfg.StreamKeys != "" {
		keys, err := stream.ParseKeyring(a.cfg.StreamKeys)
		if err != nil {
			return nil, fmt.Errorf("STELE_STREAM_KEYS: %w", err)
		}
		return keys, nil
	}
	path := a.cfg.StreamKeyFile
	if path == "" {
		path = filepath.Join(a.cfg.Data, streamKeysFile)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own file
	if errors.Is(err, fs.ErrNotExist) && a.cfg.StreamKeyFile == "" {
		if text, err = a.newStreamKey(ctx, path); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read keys of streams: %w", err)
	}
	keys, err := stream.ParseKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func (a *App) newStreamKey(ctx context.Context, path string) ([]byte, error) {
	used, err := a.Store.List(ctx, streamRecords, "", 1)
	if err != nil {
		return nil, fmt.Errorf("read streams: %w", err)
	}
	if len(used) > 0 {
		return nil, fmt.Errorf("%s is missing but there are log streams, whose secrets are encrypted with it; put it back from a backup", path)
	}
	text := stream.NewKey("k1") + "\n"
	return []byte(text), writeSecret(path, text)
}

// host is the name of the server that events say they come from.
func (a *App) host() string {
	if u, err := url.Parse(a.cfg.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	name, _, _ := strings.Cut(a.Ledger.VerifierKey(), "+")
	return name
}

// notify tells the streams that a log has grown.
func (a *App) notify(org string) {
	if s := a.growing.Load(); s != nil {
		s.Notify(org)
	}
}

// shared says whether an organization's log may be handed on.
func (a *App) shared(ctx context.Context, org string) (bool, error) {
	o, err := a.Catalog.Organization(ctx, org)
	if err != nil {
		return false, err
	}
	return o.State != catalog.StateInactive, nil
}

// describe is the description of the schema that an entry was checked against.
func (a *App) describe(e *event.Entry) string {
	if e.Unregistered {
		return ""
	}
	s, err := a.Schemas.Get(string(e.Action), e.Version)
	if err != nil {
		return ""
	}
	return s.Description
}

// directory is the catalog as streams need it.
type directory struct{ a *App }

func (d directory) OrganizationName(ctx context.Context, org string) (string, error) {
	o, err := d.a.Catalog.Organization(ctx, org)
	if err != nil {
		return "", err
	}
	return o.Name, nil
}

func (d directory) OrganizationIDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for opts := (catalog.ListOptions{Limit: listPage}); ; {
			page, err := d.a.Catalog.Organizations(ctx, opts)
			if err != nil {
				yield("", err)
				return
			}
			for _, o := range page.Organizations {
				if !yield(o.ID, nil) {
					return
				}
			}
			if opts.After = page.After; opts.After == "" {
				return
			}
		}
	}
}

// streamJournal records what happens to streams: in the organization's own log, in the
// server's, and in notices to the operator's webhook.
type streamJournal struct{ a *App }

func (j streamJournal) RecordStreamChange(ctx context.Context, c stream.Change) error {
	j.a.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "stream changed",
		slog.String("action", c.Action), slog.String("stream", c.Stream), slog.String("kind", c.Kind),
		slog.String("organization", c.Owner), slog.String("by", c.By.ID), slog.String("from", string(c.From)), slog.String("to", string(c.To)))
	if c.Owner != "" { // an operator's stream is not the customers' business
		if err := j.entry(ctx, c); err != nil {
			return err
		}
	}
	return j.a.notices.add(ctx, c)
}

// entry records a change as an entry. A log that takes none, or is gone, is left
// without. The change's id keeps it from being recorded twice.
func (j streamJournal) entry(ctx context.Context, c stream.Change) error {
	o, err := j.a.Catalog.Organization(ctx, c.Owner)
	if isNotFound(err) || err == nil && o.State == catalog.StateDisabled {
		return nil
	}
	if err != nil {
		return err
	}
	actor, err := j.actor(ctx, c.By)
	if err != nil {
		return err
	}
	ev, err := event.FromAudit(&audit.Event{
		Action: c.Action, Version: 1, OccurredAt: c.At, Actor: actor,
		Context:  audit.Context{Location: c.By.Location, UserAgent: c.By.UserAgent},
		Targets:  []audit.Target{{Type: "log_stream", ID: c.Stream, Name: c.Name}},
		Metadata: changeMetadata(c), IdempotencyKey: "log_stream/" + c.ID,
	})
	if err != nil {
		return fmt.Errorf("make entry of %s: %w", c.Action, err)
	}
	err = j.a.append(ctx, c.Owner, []*event.Event{ev})
	if isNotFound(err) || errors.Is(err, &audit.Error{Code: audit.CodeIdempotencyConflict}) {
		return nil // the log is gone, or has the change
	}
	return err
}

// actor is who a change was made by: of a key, with the name that it has now.
func (j streamJournal) actor(ctx context.Context, by stream.Who) (audit.Actor, error) {
	switch {
	case by == stream.Who{}:
		return audit.Actor{Type: "system", ID: "stele", Name: "Stele"}, nil
	case by.Type != stream.WhoKey:
		return audit.Actor{Type: by.Type, ID: by.ID, Name: by.Name}, nil
	}
	k, err := j.a.Catalog.Key(ctx, by.ID)
	switch {
	case err == nil:
		return audit.Actor{Type: by.Type, ID: by.ID, Name: k.Name}, nil
	case !isNotFound(err):
		return audit.Actor{}, err
	case by.ID == "root":
		return audit.Actor{Type: by.Type, ID: by.ID, Name: "Root key"}, nil
	}
	return audit.Actor{Type: by.Type, ID: by.ID}, nil
}

func changeMetadata(c stream.Change) map[string]any {
	m := map[string]any{"kind": c.Kind}
	for name, text := range map[string]string{
		"from": string(c.From), "to": string(c.To), "replay": c.Replay, "detail": c.Detail, "fields": strings.Join(c.Fields, ", "),
	} {
		if text != "" {
			m[name] = text
		}
	}
	return m
}

func isNotFound(err error) bool { return errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) }
