package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

const (
	// fileBuffer is what is collected before it goes to the file.
	fileBuffer = 256 << 10
	// noteEvery is how often a job's progress is stored, and noteRows how
	// many entries pass before the clock is read again.
	noteEvery = time.Second
	noteRows  = 1024
	// retryEvery is the pause before a job's end is stored again, when the
	// store would not take it.
	retryEvery = time.Second
	// countPercent is the share of the first of two passes in the progress.
	countPercent = 40
)

// worker runs one job after the other until closed.
func (x *Exports) worker(ctx context.Context) {
	for {
		r, ctx, ok := x.next(ctx)
		if !ok {
			return
		}
		x.run(ctx, r.id)
		x.done(r)
	}
}

// run brings a job to its end, whichever that is. It leaves the job as it is
// when ctx ends: the next Open takes it up again, or it is being removed.
func (x *Exports) run(ctx context.Context, id string) {
	job, err := x.update(ctx, id, func(j *Job) {
		j.State, j.Rows, j.Total, j.Percent, j.Bytes = StateRunning, 0, nil, 0, 0
	})
	if err == nil {
		err = x.write(ctx, &job)
	}
	if ctx.Err() != nil || isNotFound(err) {
		x.discard(ctx, job)
		return
	}
	if err != nil {
		x.cfg.Logger.LogAttrs(ctx, slog.LevelError, "export failed", slog.String("export", id),
			slog.String("organization", job.Organization), slog.Any("error", err))
		x.discard(ctx, job)
	}
	x.end(ctx, id, job, err)
}

// end stores how a job ended, and does not give up while ctx lives: a full disk
// that made the job fail may keep the store from taking even that.
func (x *Exports) end(ctx context.Context, id string, ran Job, failed error) {
	for {
		_, err := x.update(ctx, id, func(j *Job) {
			now := x.now()
			j.ExpiresAt = now.Add(x.cfg.Keep)
			if failed != nil {
				j.State, j.Error = StateError, reason(failed)
				return
			}
			j.State, j.Rows, j.Total, j.Bytes, j.Percent, j.ReadyAt = StateReady, ran.Rows, &ran.Rows, ran.Bytes, 100, now
		})
		if err == nil || ctx.Err() != nil || isNotFound(err) {
			return
		}
		x.cfg.Logger.LogAttrs(ctx, slog.LevelError, "store end of export", slog.String("export", id), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryEvery):
		}
	}
}

// discard removes what a job that did not succeed has written.
func (x *Exports) discard(ctx context.Context, j Job) {
	if j.ID == "" {
		return
	}
	for _, name := range []string{partName(j.ID), fileName(j.ID, j.Format)} {
		if err := x.disk.remove(name); err != nil {
			x.cfg.Logger.LogAttrs(ctx, slog.LevelError, "remove half an export", slog.Any("error", err))
		}
	}
}

// reason says why a job failed, for the one who made it.
func reason(err error) string {
	var public *audit.Error
	switch {
	case errors.As(err, &public):
		return public.Message
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the server's disk is full; make a new export once it has room"
	default:
		return "the server could not read the log or write the file; its own log says why, under this export's id"
	}
}

func partName(id string) string { return id + ".part" }

// write makes the file of a job: whole and durable under its name when it
// returns nil.
func (x *Exports) write(ctx context.Context, j *Job) (err error) {
	f, err := x.disk.create(partName(j.ID))
	if err != nil {
		return fmt.Errorf("make export file: %w", err)
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, f.Close())
		}
	}()
	p := &pass{x: x, job: j, out: bufio.NewWriterSize(f, fileBuffer), noted: x.cfg.Now()}
	if err := p.rows(ctx); err != nil {
		return err
	}
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync export: %w", err)
	}
	open = false
	if err := f.Close(); err != nil {
		return fmt.Errorf("close export file: %w", err)
	}
	if err := x.disk.rename(partName(j.ID), fileName(j.ID, j.Format)); err != nil {
		return fmt.Errorf("rename export: %w", err)
	}
	if err := x.disk.sync(); err != nil {
		return fmt.Errorf("sync exports directory: %w", err)
	}
	return nil
}

// pass is one job on its way to the file. Its worker owns it.
type pass struct {
	x     *Exports
	job   *Job
	out   *bufio.Writer
	line  []byte // of the current entry
	noted time.Time
}

// rows writes every entry of the job.
func (p *pass) rows(ctx context.Context) error {
	query, err := audit.ParseQuery(p.job.Query)
	if err != nil {
		return fmt.Errorf("read filter: %w", err)
	}
	appendLine := func(dst []byte, e *event.Entry) []byte {
		return append(e.AppendJSON(dst, p.job.Organization), '\n')
	}
	if p.job.Format == CSV {
		groups, err := p.survey(ctx, query)
		if err != nil {
			return err
		}
		form := csvForm{groups: groups, raw: p.job.RawCells}
		if err := p.write(form.appendHeader(p.line[:0])); err != nil {
			return err
		}
		appendLine = form.appendRow
	}
	return p.scan(ctx, query, func(e *event.Entry, seen uint64) (int, error) {
		p.line = appendLine(p.line[:0], e)
		p.job.Rows++
		return p.percent(seen), p.write(p.line)
	})
}

// survey is the first pass of two: it counts the entries and finds how many
// groups of target columns they need.
func (p *pass) survey(ctx context.Context, query audit.Query) (groups int, err error) {
	groups = 1
	var total uint64
	err = p.scan(ctx, query, func(e *event.Entry, seen uint64) (int, error) {
		total++
		groups = max(groups, len(e.Targets))
		return share(countPercent, seen, p.size()), nil
	})
	p.job.Total = &total
	return groups, err
}

// scan calls fn with each entry and how much of the log was passed so far; fn
// returns the job's progress in percent.
func (p *pass) scan(ctx context.Context, query audit.Query, fn func(e *event.Entry, seen uint64) (int, error)) error {
	n := 0
	for e, err := range p.x.cfg.Engine.Scan(ctx, p.job.Organization, query, 0, p.size(), p.job.Descending) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		seen := e.Seq + 1
		if p.job.Descending {
			seen = p.size() - e.Seq
		}
		percent, err := fn(e, seen)
		if err != nil {
			return err
		}
		p.job.Percent = percent
		if n++; n%noteRows == 0 {
			if err := p.note(ctx); err != nil {
				return err
			}
		}
	}
	// An engine that stops quietly when ctx ends must not make a short file.
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// percent is the progress of the last pass.
func (p *pass) percent(seen uint64) int {
	if p.job.Total != nil && *p.job.Total > 0 {
		return countPercent + share(100-countPercent, p.job.Rows, *p.job.Total)
	}
	return share(100, seen, p.size())
}

// share is the part of percent that so much of a whole is.
func share(percent, part, whole uint64) int {
	return int(percent * part / whole) //nolint:gosec // at most percent
}

// size is the number of entries the job covers, matching or not.
func (p *pass) size() uint64 {
	if p.job.Through == nil {
		return 0
	}
	return p.job.Through.Seq + 1
}

func (p *pass) write(line []byte) error {
	n, err := p.out.Write(line)
	p.job.Bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}

// note stores the progress, now and then. A store that does not take it stops
// nothing, but a job that is gone does.
func (p *pass) note(ctx context.Context) error {
	now := p.x.cfg.Now()
	if now.Sub(p.noted) < noteEvery {
		return nil
	}
	p.noted = now
	_, err := p.x.update(ctx, p.job.ID, func(j *Job) {
		j.Rows, j.Total, j.Percent, j.Bytes = p.job.Rows, p.job.Total, min(p.job.Percent, 99), p.job.Bytes
	})
	if err != nil && !isNotFound(err) {
		p.x.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "store progress of export", slog.String("export", p.job.ID), slog.Any("error", err))
		return nil
	}
	return err
}
