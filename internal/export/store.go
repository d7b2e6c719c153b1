package export

import (
	"context"
	"errors"
	"fmt"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Keys in the catalog store. A job is under its id alone, since a link and the
// WorkOS routes know no more; a second record lists it for its organization,
// newest first.
const (
	jobPrefix  = "export/"
	listPrefix = "export.org/"
)

// pageSize is how many records one read of a list asks for.
const pageSize = 500

func jobKey(id string) string { return jobPrefix + id }

func listKey(org, id string) string { return listPrefix + org + "/" + invert(id) }

// load reads a job; not_found when there is none.
func (x *Exports) load(ctx context.Context, id string) (catalog.Stored[Job], error) {
	if !isID(id) {
		return catalog.Stored[Job]{}, errNotFound(id)
	}
	stored, err := catalog.Load[Job](ctx, x.cfg.KV, jobKey(id))
	if errors.Is(err, catalog.ErrNotFound) {
		return stored, errNotFound(id)
	}
	if err != nil {
		return stored, fmt.Errorf("read export %s: %w", id, err)
	}
	return stored, nil
}

// insert stores a new job and lists it.
func (x *Exports) insert(ctx context.Context, j Job) error {
	change, err := catalog.Put(jobKey(j.ID), j, 0)
	if err != nil {
		return fmt.Errorf("encode export: %w", err)
	}
	err = x.cfg.KV.Apply(ctx, change, catalog.Change{Key: listKey(j.Organization, j.ID), Value: []byte(j.ID)})
	if err != nil {
		return fmt.Errorf("store export: %w", err)
	}
	return nil
}

// update changes a job by fn, again when it was changed meanwhile. not_found
// when the job is gone.
func (x *Exports) update(ctx context.Context, id string, fn func(*Job)) (Job, error) {
	for {
		stored, err := x.load(ctx, id)
		if err != nil {
			return Job{}, err
		}
		j := stored.Value
		fn(&j)
		j.UpdatedAt = x.now()
		err = catalog.Save(ctx, x.cfg.KV, stored.Key, j, stored.Rev)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return Job{}, fmt.Errorf("store export %s: %w", id, err)
		}
		return j, nil
	}
}

// remove deletes a job's records; none is no error.
func (x *Exports) remove(ctx context.Context, id string) error {
	for {
		stored, err := x.load(ctx, id)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		listed, err := x.cfg.KV.Get(ctx, listKey(stored.Value.Organization, id))
		if err != nil {
			return fmt.Errorf("read list entry of export %s: %w", id, err)
		}
		err = x.cfg.KV.Apply(ctx,
			catalog.Change{Key: stored.Key, Rev: stored.Rev, Delete: true},
			catalog.Change{Key: listed.Key, Rev: listed.Rev, Delete: true})
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove export %s: %w", id, err)
		}
		return nil
	}
}

// each calls fn with every job of every organization, oldest first.
func (x *Exports) each(ctx context.Context, fn func(Job) error) error {
	for stored, err := range catalog.All[Job](ctx, x.cfg.KV, jobPrefix, "") {
		if err != nil {
			return fmt.Errorf("list exports: %w", err)
		}
		if err := fn(stored.Value); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a job. An empty org means that of any organization. not_found
// when there is none.
func (x *Exports) Get(ctx context.Context, org, id string) (Job, error) {
	stored, err := x.load(ctx, id)
	if err != nil {
		return Job{}, err
	}
	if org != "" && stored.Value.Organization != org {
		return Job{}, errNotFound(id)
	}
	return x.aged(stored.Value), nil
}

// List returns up to limit jobs of an organization, newest first, those after
// the job with id after ("" for the first page), and whether there are more.
func (x *Exports) List(ctx context.Context, org, after string, limit int) (jobs []Job, more bool, err error) {
	start := ""
	if after != "" {
		if !isID(after) {
			return nil, false, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not a cursor of this list")
		}
		start = listKey(org, after)
	}
	listed, err := x.cfg.KV.List(ctx, listPrefix+org+"/", start, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("list exports: %w", err)
	}
	if more = len(listed) > limit; more {
		listed = listed[:limit]
	}
	for _, stored := range listed {
		j, err := x.Get(ctx, org, string(stored.Value))
		if isNotFound(err) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, false, err
		}
		jobs = append(jobs, j)
	}
	return jobs, more, nil
}

// aged shows a job whose time is up as expired, whether or not its file has
// been removed yet.
func (x *Exports) aged(j Job) Job {
	if j.State == StateReady && !x.now().Before(j.ExpiresAt) {
		j.State = StateExpired
	}
	return j
}

func errNotFound(id string) error {
	return audit.Errorf(audit.CodeNotFound, "there is no export %q", id)
}

func isNotFound(err error) bool {
	return errors.Is(err, &audit.Error{Code: audit.CodeNotFound})
}
