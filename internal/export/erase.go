package export

import (
	"context"
	"errors"

	"github.com/stelehq/stele/audit"
)

// CountFiles is how many exports of an organization have a file.
func (x *Exports) CountFiles(ctx context.Context, org string) (int, error) {
	n := 0
	err := x.eachOf(ctx, org, func(j Job) error {
		if j.State == StateReady {
			n++
		}
		return nil
	})
	return n, err
}

// RemoveFiles removes the files that an organization's exports have; the jobs
// expire and say why. Jobs that are being written start over, so that nothing
// that was read before is in their files. It returns how many files were removed
// for by, those of earlier calls included.
func (x *Exports) RemoveFiles(ctx context.Context, org, by, why string) (int, error) {
	if err := x.restart(ctx, org); err != nil {
		return 0, err
	}
	n := 0
	err := x.eachOf(ctx, org, func(j Job) error {
		if j.State == StateReady {
			if err := x.removeFile(ctx, &j, by, why); err != nil {
				return err
			}
		}
		if j.RemovedBy == by {
			n++
		}
		return nil
	})
	return n, errors.Join(err, x.disk.sync())
}

// removeFile expires a ready job and removes its file. The record says so first:
// a file without a ready job is removed by the next Open, should this end between.
func (x *Exports) removeFile(ctx context.Context, j *Job, by, why string) error {
	changed, err := x.update(ctx, j.ID, func(j *Job) {
		if j.State == StateReady {
			j.State, j.RemovedBy, j.Error = StateExpired, by, why
		}
	})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	*j = changed
	return x.disk.remove(fileName(j.ID, j.Format))
}

// restart stops an organization's running jobs and lets them wait again.
func (x *Exports) restart(ctx context.Context, org string) error {
	x.mu.Lock()
	var running []ticket
	for _, r := range x.running {
		if r.org == org {
			running = append(running, r.ticket)
		}
	}
	x.mu.Unlock()
	for _, t := range running {
		x.halt(func(other ticket) bool { return other == t })
		j, err := x.update(ctx, t.id, func(j *Job) {
			if !j.Ended() {
				j.State, j.Rows, j.Total, j.Percent, j.Bytes = StatePending, 0, nil, 0, 0
			}
		})
		if isNotFound(err) || err == nil && j.Ended() {
			continue
		}
		x.enqueue(t) // also when it could not be noted: it is to be run
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetCreator removes the name of somebody from the jobs that they made.
func (x *Exports) ForgetCreator(ctx context.Context, org, person string) error {
	return x.eachOf(ctx, org, func(j Job) error {
		if j.CreatedBy != person || j.CreatedByName == "" {
			return nil
		}
		_, err := x.update(ctx, j.ID, func(j *Job) { j.CreatedByName = "" })
		return ignoreNotFound(err)
	})
}

// ForgetQueries removes the filters that name somebody from the jobs of an
// organization. A job that did not end has nothing to go by any more and fails.
func (x *Exports) ForgetQueries(ctx context.Context, org string, names func(text string) bool) error {
	return x.eachOf(ctx, org, func(j Job) error {
		if j.Query == "" || !names(j.Query) {
			return nil
		}
		if !j.Ended() {
			x.halt(func(t ticket) bool { return t.id == j.ID })
		}
		_, err := x.update(ctx, j.ID, func(j *Job) {
			if !j.Ended() {
				j.State, j.ExpiresAt = StateError, x.now().Add(x.cfg.Keep)
				j.Error = "its filter named somebody whose details were erased; make a new export"
			}
			j.Query, j.QueryRemoved = "", true
		})
		return ignoreNotFound(err)
	})
}

// eachOf calls fn with every job of an organization. It reads all jobs, since a
// list of one organization's is by pages of a list that changes.
func (x *Exports) eachOf(ctx context.Context, org string, fn func(Job) error) error {
	return x.each(ctx, func(j Job) error {
		if j.Organization != org {
			return nil
		}
		return fn(j)
	})
}

func ignoreNotFound(err error) error {
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return nil
	}
	return err
}
