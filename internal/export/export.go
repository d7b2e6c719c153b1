package export

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/search"
)

const (
	// DefaultKeep is how long the file of an export is kept.
	DefaultKeep = 7 * 24 * time.Hour
	// recordKeep is how long a job is listed after its file is gone.
	recordKeep = 90 * 24 * time.Hour
	// MaxOpen is how many jobs of one organization may wait or run at once:
	// more is a program gone wrong, and would keep others waiting.
	MaxOpen = 50
	// sweepEvery is how often files and jobs past their time are looked for.
	sweepEvery = 5 * time.Minute
)

// Config is what Open needs. KV, Engine, Log, Logger and Now are required.
type Config struct {
	// Dir is where files are kept; it is made when missing. Nothing else may
	// write there.
	Dir string
	// KV keeps the jobs.
	KV catalog.KV
	// Engine finds the entries.
	Engine search.Engine
	// Log says where an organization's log stands. A *ledger.Ledger does.
	Log Log
	// Proofs proves what is in a log, and OrganizationName, which may be nil, says
	// what an organization is called, for evidence; without Proofs none is made.
	// Version is this program's and VerifyPage the page that verifies evidence:
	// both go into it.
	Proofs           Proofs
	OrganizationName func(ctx context.Context, org string) (string, error)
	Version          string
	VerifyPage       []byte
	// Room says whether there is room for n bytes more, before they are
	// written; a job that gets an error fails by it. One that is
	// ledger.ErrDiskFull is told to who made the job as a full disk. Nil is
	// room for everything.
	Room func(n int64) error
	// Keep is how long a file is kept once ready; DefaultKeep when zero.
	Keep time.Duration
	// Workers is how many jobs run at once; 2 when zero.
	Workers int
	Logger  *slog.Logger
	Now     func() time.Time

	disk disk // Dir, unless a test says otherwise
	// sparseShare is how many entries there must be for each that matches, for
	// the engine to be asked for these alone.
	sparseShare uint64
}

// Log says where an organization's log stands.
type Log interface {
	// Through returns the position of the newest entry, nil for an empty log.
	Through(ctx context.Context, org string) (*audit.Position, error)
}

// Exports keeps and runs the jobs of every organization. Its methods may be
// called concurrently.
type Exports struct {
	cfg  Config
	disk disk
	stop context.CancelFunc
	work sync.WaitGroup // workers and the sweeper

	// mu guards queue and running. It is held for moments, never while
	// reading or writing.
	mu      sync.Mutex
	changed *sync.Cond // queue grew, a job ended, or closed
	queue   []ticket   // waiting, oldest first
	running map[string]*run
	closed  bool
}

// ticket is a job that waits.
type ticket struct{ id, org string }

// run is a job a worker is at.
type run struct {
	ticket
	cancel context.CancelFunc
}

// Open takes over the jobs and files in the store: jobs that did not end start
// again from the beginning, files that belong to no ready job are removed.
func Open(ctx context.Context, cfg Config) (*Exports, error) {
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	if cfg.sparseShare == 0 {
		cfg.sparseShare = sparseShare
	}
	if cfg.disk == nil {
		cfg.disk = directory(cfg.Dir)
	}
	x := &Exports{cfg: cfg, disk: cfg.disk, running: map[string]*run{}}
	x.changed = sync.NewCond(&x.mu)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make exports directory: %w", err)
	}
	if err := x.recover(ctx); err != nil {
		return nil, err
	}
	ctx, x.stop = context.WithCancel(context.WithoutCancel(ctx))
	for range cfg.Workers {
		x.work.Go(func() { x.worker(ctx) })
	}
	x.work.Go(func() { x.sweeper(ctx) })
	return x, nil
}

// Close stops the workers and waits for them. Jobs they were at start again
// with the next Open.
func (x *Exports) Close() error {
	x.stop()
	x.mu.Lock()
	x.closed = true
	x.changed.Broadcast()
	x.mu.Unlock()
	x.work.Wait()
	return nil
}

// recover puts jobs that did not end in the queue and removes files without a
// ready job.
func (x *Exports) recover(ctx context.Context) error {
	ready := map[string]bool{}
	err := x.each(ctx, func(j Job) error {
		switch {
		case !j.Ended():
			x.queue = append(x.queue, ticket{j.ID, j.Organization})
		case j.State == StateReady:
			ready[fileName(j.ID, j.Format)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	files, err := os.ReadDir(x.cfg.Dir)
	if err != nil {
		return fmt.Errorf("read exports directory: %w", err)
	}
	for _, f := range files {
		if id, _, _ := strings.Cut(f.Name(), "."); !isID(id) || ready[f.Name()] {
			continue
		}
		if err := x.disk.remove(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Create starts a job. The caller has checked that the organization exists and
// may export. Errors: invalid_query, invalid_request, rate_limited.
func (x *Exports) Create(ctx context.Context, s Spec) (Job, error) {
	if s.Format == "" {
		s.Format = CSV
	}
	if !s.Format.Known() {
		return Job{}, audit.FieldErrorf(audit.CodeInvalidRequest, "/format", "must be csv, jsonl or evidence")
	}
	if _, err := audit.ParseQuery(s.Query); err != nil {
		return Job{}, err
	}
	if x.open(s.Organization) >= MaxOpen {
		return Job{}, audit.Errorf(audit.CodeRateLimited, "%d exports of this organization wait already; wait until they are ready", MaxOpen)
	}
	through, err := x.cfg.Log.Through(ctx, s.Organization)
	if err != nil {
		return Job{}, fmt.Errorf("find end of log: %w", err)
	}
	if err := x.checkEvidence(ctx, &s, through); err != nil {
		return Job{}, err
	}
	now := x.now()
	j := Job{
		ID: catalog.NewULID(now), Organization: s.Organization, Query: s.Query, Format: s.Format,
		Descending: s.Descending, RawCells: s.RawCells, Zone: s.Zone, OlderCheckpoint: s.OlderCheckpoint,
		CreatedBy: s.CreatedBy.ID, CreatedByName: s.CreatedBy.Name, CreatedByType: s.CreatedBy.Type,
		Through: through, State: StatePending, CreatedAt: now, UpdatedAt: now,
	}
	if err := x.insert(ctx, j); err != nil {
		return Job{}, err
	}
	x.enqueue(ticket{j.ID, j.Organization})
	return j, nil
}

// File opens the file of a ready job; the caller closes it. Once open it can be
// read to its end, even when the job expires meanwhile. Errors: not_found, gone
// for an expired job, conflict for one that is not ready.
func (x *Exports) File(ctx context.Context, org, id string) (*os.File, Job, error) {
	j, err := x.Get(ctx, org, id)
	if err != nil {
		return nil, Job{}, err
	}
	switch j.State {
	case StateReady:
	case StateExpired:
		if j.Error != "" {
			return nil, j, audit.Errorf(audit.CodeGone, "this export's file was removed: %s", j.Error)
		}
		return nil, j, audit.Errorf(audit.CodeGone, "this export's file was removed on %s; make a new export", j.ExpiresAt.Format(time.RFC3339))
	case StateError:
		return nil, j, audit.Errorf(audit.CodeConflict, "this export failed and has no file: %s", j.Error)
	default:
		return nil, j, audit.Errorf(audit.CodeConflict, "this export is not ready yet (%d %%)", j.Percent)
	}
	f, err := os.Open(filepath.Join(x.cfg.Dir, fileName(j.ID, j.Format)))
	if err != nil {
		return nil, j, fmt.Errorf("open export: %w", err)
	}
	return f, j, nil
}

// Cancel stops a job, whatever its state, and removes it and its file. not_found
// when there is none.
func (x *Exports) Cancel(ctx context.Context, org, id string) error {
	if _, err := x.Get(ctx, org, id); err != nil {
		return err
	}
	x.halt(func(t ticket) bool { return t.id == id })
	return x.drop(ctx, id)
}

// DropOrganization stops an organization's jobs and removes them and their
// files.
func (x *Exports) DropOrganization(ctx context.Context, org string) error {
	x.halt(func(t ticket) bool { return t.org == org })
	for {
		listed, err := x.cfg.KV.List(ctx, listPrefix+org+"/", "", pageSize)
		if err != nil {
			return fmt.Errorf("list exports: %w", err)
		}
		for _, stored := range listed {
			if err := x.drop(ctx, string(stored.Value)); err != nil {
				return err
			}
		}
		if len(listed) < pageSize {
			return nil
		}
	}
}

// drop removes a job and its file.
func (x *Exports) drop(ctx context.Context, id string) error {
	for _, format := range formats {
		if err := x.disk.remove(fileName(id, format)); err != nil {
			return err
		}
	}
	return x.remove(ctx, id)
}

// sweeper removes what is past its time, until ctx ends.
func (x *Exports) sweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := x.sweep(ctx); err != nil && ctx.Err() == nil {
			x.cfg.Logger.LogAttrs(ctx, slog.LevelError, "remove expired exports", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep removes the files of expired jobs, and jobs that expired long ago.
func (x *Exports) sweep(ctx context.Context) error {
	return x.each(ctx, func(j Job) error {
		now := x.now()
		switch {
		case !j.Ended() || now.Before(j.ExpiresAt):
			return nil
		case now.After(j.ExpiresAt.Add(recordKeep)):
			return x.drop(ctx, j.ID)
		case j.State != StateReady:
			return nil
		}
		_, err := x.update(ctx, j.ID, func(j *Job) { j.State = StateExpired })
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return x.disk.remove(fileName(j.ID, j.Format))
	})
}

func (x *Exports) now() time.Time { return x.cfg.Now().UTC().Truncate(time.Millisecond) }

// fileName is the name of a job's file in the exports directory.
func fileName(id string, format Format) string { return id + "." + format.extension() }
