package export

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

const (
	// fileBuffer is what is collected before it goes to the file; the chunks
	// of a large export are larger.
	fileBuffer = 64 << 10
	// roomStep is how many bytes room is asked for at a time.
	roomStep int64 = 16 << 20
	// noteEvery is how often a job's progress is stored.
	noteEvery = time.Second
	// retryEvery is the pause before a job's end is stored again, when the
	// store would not take it.
	retryEvery = time.Second
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
		j.State, j.Rows, j.Total, j.Percent, j.Bytes, j.StartedAt = StateRunning, 0, nil, 0, 0, x.now()
	})
	if err == nil {
		err = x.writeStill(ctx, &job)
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
	for _, name := range []string{partName(j.ID), fileName(j.ID, j.Format)} { // other parts are gone
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
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, ledger.ErrDiskFull):
		return "the server's disk is full; make a new export once it has room"
	default:
		return "the server could not read the log or write the file; its own log says why, under this export's id"
	}
}

func partName(id string) string { return id + ".part" }

// spoolName is the name of a part of a file that is put together from parts.
func spoolName(id string, part int) string { return id + "." + strconv.Itoa(part) + ".part" }

// writeStill writes, and begins again when the log changed under it.
func (x *Exports) writeStill(ctx context.Context, j *Job) error {
	for attempt := 1; ; attempt++ {
		err := x.write(ctx, j, attempt)
		if attempt == maxAttempts || !errors.Is(err, errChanged) || ctx.Err() != nil {
			return err
		}
		x.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "export begins again", slog.String("export", j.ID), slog.Any("error", err))
		j.Rows, j.Total, j.Percent, j.Bytes = 0, nil, 0, 0
	}
}

// write makes the file of a job: whole and durable under its name when it
// returns nil.
func (x *Exports) write(ctx context.Context, j *Job, attempt int) (err error) {
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
	if err := p.rows(ctx, attempt); err != nil {
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
	noted time.Time

	// packed is what was written beside the file.
	packed  atomic.Int64
	written int64 // to the file

	mu sync.Mutex
	// There is room for asked bytes, of which used are written.
	asked, used int64
}

// rows writes every entry of the job.
func (p *pass) rows(ctx context.Context, attempt int) error {
	query, err := audit.ParseQuery(p.job.Query)
	if err != nil {
		return fmt.Errorf("read filter: %w", err)
	}
	switch p.job.Format {
	case CSV:
		return p.csv(ctx, query)
	case Evidence:
		return p.evidence(ctx, query, attempt)
	}
	if search.Compile(query).All() { // which is counted at once
		all, err := p.x.cfg.Engine.Survey(ctx, p.job.Organization, query, 0, p.size())
		if err = cmp.Or(err, context.Cause(ctx)); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		p.job.Total = &all.Entries
	}
	org := p.job.Organization
	return p.render(ctx, query, func(dst []byte, e *event.Entry) []byte {
		return append(e.AppendJSON(dst, org), '\n')
	})
}

// csv writes every entry as a line of as many columns as the entry with the most
// targets needs.
func (p *pass) csv(ctx context.Context, query audit.Query) error {
	survey, err := p.x.cfg.Engine.Survey(ctx, p.job.Organization, query, 0, p.size())
	if err = cmp.Or(err, context.Cause(ctx)); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	p.job.Total = &survey.Entries
	form := csvForm{groups: max(1, survey.MaxTargets), raw: p.job.RawCells}
	if err := p.write(form.appendHeader(nil)); err != nil {
		return err
	}
	var wide atomic.Bool // for the goroutines that render
	err = p.render(ctx, query, func(dst []byte, e *event.Entry) []byte {
		if len(e.Targets) > form.groups {
			wide.Store(true)
		}
		return form.appendRow(dst, e)
	})
	if err == nil && wide.Load() {
		return fmt.Errorf("read log: an entry has more targets than the %d that were found before", form.groups)
	}
	return err
}

// render writes what appendLine makes of each entry. It is called by several
// goroutines at once.
func (p *pass) render(ctx context.Context, query audit.Query, appendLine func(dst []byte, e *event.Entry) []byte) error {
	for chunk, err := range p.x.cfg.Engine.Render(ctx, p.job.Organization, query, 0, p.size(), p.job.Descending, appendLine) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := p.write(chunk.Data); err != nil {
			return err
		}
		p.job.Rows += uint64(chunk.Entries) //nolint:gosec // a count
		p.job.Percent = share(100, chunk.Passed, p.size())
		if err := p.note(ctx); err != nil {
			return err
		}
	}
	// An engine that stops quietly when ctx ends must not make a short file.
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return p.recount(ctx, query, 0, p.size())
}

// recount makes sure that as many entries were read as were counted before. There
// may be fewer, when entries were past their time in between, but not fewer than
// there are now.
func (p *pass) recount(ctx context.Context, query audit.Query, from, to uint64) error {
	if p.job.Total == nil || *p.job.Total == p.job.Rows {
		return nil
	}
	now, err := p.x.cfg.Engine.Survey(ctx, p.job.Organization, query, from, to)
	if err = cmp.Or(err, context.Cause(ctx)); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if p.job.Rows > *p.job.Total || p.job.Rows < now.Entries {
		return fmt.Errorf("read log: %d entries were counted, %d were read and %d are there", *p.job.Total, p.job.Rows, now.Entries)
	}
	return nil
}

// share is the part of percent that so much of a whole is.
func share(percent, part, whole uint64) int {
	return int(percent * min(part, whole) / max(whole, 1)) //nolint:gosec // at most percent
}

// size is the number of entries the job covers, matching or not.
func (p *pass) size() uint64 {
	if p.job.Through == nil {
		return 0
	}
	return p.job.Through.Seq + 1
}

// write adds to the file, if there is room.
func (p *pass) write(data []byte) error {
	// What is not small goes to the file as it is.
	if len(data) >= fileBuffer {
		if err := p.out.Flush(); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
	}
	if err := p.room(int64(len(data))); err != nil {
		return err
	}
	n, err := p.out.Write(data)
	p.written += int64(n)
	p.job.Bytes = p.written
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}

// room asks for room in steps of roomStep, before what the room is for is
// written.
func (p *pass) room(n int64) error {
	if p.x.cfg.Room == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used += n; p.used <= p.asked {
		return nil
	}
	step := max(roomStep, p.used-p.asked)
	if err := p.x.cfg.Room(step); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	p.asked += step
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
		j.Rows, j.Total, j.Percent, j.Bytes = p.job.Rows, p.job.Total, min(p.job.Percent, 99), max(p.job.Bytes, p.packed.Load())
	})
	if err != nil && !isNotFound(err) {
		p.x.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "store progress of export", slog.String("export", p.job.ID), slog.Any("error", err))
		return nil
	}
	return err
}
