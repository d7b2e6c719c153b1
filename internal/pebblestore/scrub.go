package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// scrubTries is how often what was taken out is compacted until the tables
	// that had it are gone. Twice is enough unless others compact too.
	scrubTries = 6
	// scrubRotations is how often a new log is begun until those of before are
	// gone: Pebble keeps a few to use them again.
	scrubRotations = 64
	// scrubPause is how often it is looked whether files are gone: they are
	// deleted in the background.
	scrubPause = 5 * time.Millisecond
)

// Scrub implements [ledger.Store]. What was taken out is in tables until they are
// compacted with what says that it is gone, and in write-ahead logs, which Pebble
// uses again without clearing them. Scrub waits for snapshots that were taken
// before, such as that of a Check; and for readers of tables, which are deleted
// when nobody reads them any more. Keys of records may remain in the manifest,
// their values are never there.
func (s *Store) Scrub(ctx context.Context) error {
	s.scrubbing.Lock()
	defer s.scrubbing.Unlock()
	ctx, cancel := s.whileWriting(ctx)
	defer cancel(nil)
	err := s.stopped()
	if err == nil {
		err = s.space.check(2)
	}
	if err == nil {
		err = s.scrub(ctx)
	}
	if err != nil {
		return fmt.Errorf("scrub: %w", errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// whileWriting returns a context that also ends when the store stops writing or is
// closed: Pebble goes on trying to write a table for ever.
func (s *Store) whileWriting(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(s.fs.retry)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-s.fs.frozenNow:
			case <-s.fs.closing:
				cancel(errClosed)
			case <-ctx.Done():
			case <-tick.C:
			}
			if err := s.stopped(); err != nil {
				cancel(err)
			}
		}
	}()
	return ctx, cancel
}

func (s *Store) scrub(ctx context.Context) error {
	s.fs.scrubbing.Add(1)
	defer s.fs.scrubbing.Add(-1)
	if err := s.waitSnapshots(ctx); err != nil {
		return err
	}
	list, err := readDirt(s.db)
	if err != nil {
		return err
	}
	spans := spansOf(list)
	logs, err := s.files(".log")
	if err != nil {
		return err
	}
	if err := s.scrubTables(ctx, spans); err != nil {
		return err
	}
	if err := s.scrubLogs(ctx, logs); err != nil {
		return err
	}
	return s.cleaned(list)
}

// cleaned removes dirt that is gone. It need not be durable.
func (s *Store) cleaned(list []dirt) error {
	if len(list) == 0 {
		return nil
	}
	b := s.db.NewBatch()
	for i := range list {
		if err := b.Delete(list[i].key(), nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := s.apply(b, pebble.NoSync); err != nil {
		return err // Pebble may still hold the batch
	}
	return b.Close()
}

// scrubTables compacts what was taken out, until no table is left that there was
// before and that may have some of it.
func (s *Store) scrubTables(ctx context.Context, spans []keySpan) error {
	before, err := s.files(".sst")
	if err != nil {
		return err
	}
	clean, err := s.liveTables(spans, false)
	if err != nil {
		return err
	}
	suspects := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(clean, name) })
	for try := range scrubTries {
		if err := s.compact(ctx, spans, try > 0); err != nil {
			return err
		}
		live, err := s.liveTables(spans, true)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(live, func(name string) bool { return slices.Contains(suspects, name) }) {
			return s.waitGone(ctx, ".sst", suspects)
		}
	}
	return errDirt
}

// compact compacts spans down to the last level. Tables at the last level are only
// written anew when there is something to be merged into them: force sees to that.
func (s *Store) compact(ctx context.Context, spans []keySpan, force bool) error {
	for i := range spans {
		if force {
			if err := s.bracket(&spans[i]); err != nil {
				return err
			}
		}
		if i == 0 || force {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		err := s.pebble(func() error { return s.db.Compact(ctx, spans[i].start, spans[i].end, false) })
		if err != nil {
			return err
		}
	}
	return nil
}

// bracket writes removals of what is not there at both ends of a span, so that a
// table covers it.
func (s *Store) bracket(span *keySpan) error {
	b := s.db.NewBatch()
	if err := errors.Join(b.Delete(span.start, nil), b.Delete(span.end, nil)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := s.apply(b, pebble.NoSync); err != nil {
		return err // Pebble may still hold the batch
	}
	return b.Close()
}

// pebble calls Pebble for something that needs its list of tables, and leaves when
// part of Pebble will never return.
func (s *Store) pebble(call func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				s.fs.fail(fmt.Errorf("pebble: %v", r))
				s.fs.wedge() // it may hold its locks
			}
		}()
		done <- call()
	}()
	select {
	case err := <-done:
		return err
	case <-s.fs.wedged:
		return s.fs.failed()
	}
}

// flush has everything that is in memory in tables, and begins a new log.
func (s *Store) flush(ctx context.Context) error {
	var flushed <-chan struct{}
	err := s.pebble(func() (err error) {
		flushed, err = s.db.AsyncFlush()
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// liveTables returns the names of the tables that touch one of the spans, or of the
// others.
func (s *Store) liveTables(spans []keySpan, touching bool) (names []string, err error) {
	var levels [][]pebble.SSTableInfo
	err = s.pebble(func() (err error) {
		levels, err = s.db.SSTables()
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for i := range level {
			t := &level[i]
			touches := t.Virtual || slices.ContainsFunc(spans, func(s keySpan) bool {
				return s.touches(t.Smallest.UserKey, t.Largest.UserKey)
			})
			if touches == touching {
				names = append(names, t.BackingSSTNum.String()+".sst")
			}
		}
	}
	return names, nil
}

// scrubLogs begins new logs until none of those of before is left.
func (s *Store) scrubLogs(ctx context.Context, logs []string) error {
	for range scrubRotations {
		left, err := s.files(".log")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(left, func(name string) bool { return slices.Contains(logs, name) }) {
			return nil
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	return s.waitGone(ctx, ".log", logs)
}

// files returns the names of the store's files that end so.
func (s *Store) files(ext string) ([]string, error) {
	list, err := s.fs.List(s.cfg.Dir)
	return slices.DeleteFunc(list, func(name string) bool { return !strings.HasSuffix(name, ext) }), err
}

// waitGone waits until files are deleted.
func (s *Store) waitGone(ctx context.Context, ext string, names []string) error {
	for {
		if err := s.fs.removeKept(); err != nil {
			return err
		}
		left, err := s.files(ext)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(left, func(name string) bool { return slices.Contains(names, name) }) {
			return nil
		}
		if err := s.scrubWait(ctx); err != nil {
			return err
		}
	}
}

// scrubWait waits a moment.
func (s *Store) scrubWait(ctx context.Context) error {
	timer := time.NewTimer(scrubPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitSnapshots waits for the snapshots that are open now: what they show is kept.
func (s *Store) waitSnapshots(ctx context.Context) error {
	newest := s.snapshots.newest()
	for s.snapshots.oldest() <= newest {
		if err := s.scrubWait(ctx); err != nil {
			return err
		}
	}
	return nil
}
