package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is the newest format this program writes and reads. A store of format 1
// has no blocks, and in one of format 2 nothing was ever taken out of a log; both
// become one of format 3 when they are opened for writing.
const format = 3

// dropDelay is how soon after a removal Pebble flushes it, so that the space
// comes back.
const dropDelay = 10 * time.Second

func (s *Store) options() *pebble.Options {
	logger := pebbleLogger{s}
	opts := &pebble.Options{
		FS:                          s.fs,
		Cache:                       s.cache,
		Logger:                      logger,
		EventListener:               s.events(),
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                s.cfg.MemTableBytes,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		FlushDelayDeleteRange:       dropDelay,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	// Almost all of the store is compressed already: parts of blocks, and runs.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		if s.cfg.Uncompressed {
			return pebble.DBCompressionNone
		}
		return pebble.DBCompressionFastest
	})
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	if s.cfg.tune != nil {
		s.cfg.tune(opts)
	}
	return opts
}

func (s *Store) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			s.fs.setback(err)
			if s.fs.failed() == nil {
				s.log.LogAttrs(context.Background(), slog.LevelWarn,
					"background work of the store failed and will be repeated", slog.String("error", err.Error()))
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.log.LogAttrs(context.Background(), slog.LevelError, "the store found damaged data",
				slog.String("path", info.Path), slog.String("error", fmt.Sprint(info.Details)))
		},
		FlushEnd:      func(info pebble.FlushInfo) { s.succeeded(info.Err) },
		CompactionEnd: func(info pebble.CompactionInfo) { s.succeeded(info.Err) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.log.LogAttrs(context.Background(), slog.LevelWarn, "commits wait", slog.String("reason", info.Reason))
		},
	}
}

// succeeded resets the count of setbacks; a failure is counted by BackgroundError.
func (s *Store) succeeded(err error) {
	if err == nil {
		s.fs.setback(nil)
	}
}

// pebbleLogger is Pebble's logger. Pebble expects Fatalf not to return; this one
// makes the store failed, and the file system under Pebble sees to it that
// nothing it does after that reaches the disk.
type pebbleLogger struct{ s *Store }

// Infof implements [pebble.Logger].
func (l pebbleLogger) Infof(format string, args ...any) {
	l.s.log.LogAttrs(context.Background(), slog.LevelDebug, "pebble", slog.String("text", fmt.Sprintf(format, args...)))
}

// Errorf implements [pebble.Logger].
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.LogAttrs(context.Background(), slog.LevelError, "pebble", slog.String("text", fmt.Sprintf(format, args...)))
}

// Fatalf implements [pebble.Logger].
func (l pebbleLogger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			l.s.fs.fail(fmt.Errorf("pebble: %s: %w", text, err))
			return
		}
	}
	l.s.fs.fail(fmt.Errorf("pebble: %s", text))
}

// checkFormat refuses what this program cannot read, and marks a new store.
func (s *Store) checkFormat(readOnly bool) error {
	key := []byte{kindFormat}
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return s.writeFormat(key, readOnly)
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	b, err := unseal(key, value)
	found := uint16(0)
	if err == nil && len(b) != 2 {
		err = errLength
	}
	if err == nil {
		found = binary.LittleEndian.Uint16(b)
	}
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if found > format {
		return fmt.Errorf("the data has format %d and this program knows formats up to %d: use a newer version of it", found, format)
	}
	if found < format && !readOnly {
		return s.setFormat(key)
	}
	return nil
}

func (s *Store) writeFormat(key []byte, readOnly bool) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	foreign := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	switch {
	case foreign:
		return errors.New("the directory holds a database of another program")
	case readOnly:
		return errors.New("there is no store yet")
	}
	return s.setFormat(key)
}

// setFormat says that the store has values of the newest format from now on.
func (s *Store) setFormat(key []byte) error {
	value := binary.LittleEndian.AppendUint16([]byte{valueVersion}, format)
	b := s.db.NewBatch()
	if err := b.Set(key, seal(key, value, 0), nil); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	if err := s.apply(b, pebble.Sync); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	return b.Close()
}

// lockDir takes the directory's lock, which Pebble would take.
func lockDir(fsys vfs.FS, dir string) (io.Closer, error) {
	lock, err := fsys.Lock(fsys.PathJoin(dir, "LOCK"))
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return lock, nil
	case errors.As(err, &pathErr):
		return nil, fmt.Errorf("lock data directory: %w", err)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES), strings.Contains(err.Error(), "held by current process"):
		return nil, ErrInUse
	default:
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
}

func isNoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) }
