package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/workload"
)

// storeReport is what a stopped server's store does without HTTP.
type storeReport struct {
	OpenSeconds float64        `json:"open_seconds"`
	Queries     []queryReport  `json:"queries"`
	Exports     []exportReport `json:"exports"`
}

// storeRun asks the store of a data directory, opened in this process the way a
// server opens it.
type storeRun struct {
	*bench
	data string
	app  *app.App
}

// storeSteps are the steps that need no server.
func (b *bench) storeSteps(data func() string) []benchStep {
	return []benchStep{
		{"in the store", 1, func(ctx context.Context) (err error) {
			b.report.Store = &storeReport{}
			r := &storeRun{bench: b, data: data()}
			defer func() { err = errors.Join(err, r.close()) }()
			return r.run(ctx)
		}},
	}
}

func (r *storeRun) run(ctx context.Context) error {
	began := r.now()
	if err := r.open(ctx); err != nil {
		return err
	}
	out := r.report.Store
	out.OpenSeconds = r.now().Sub(began).Seconds()
	if err := r.mustHold(ctx); err != nil {
		return err
	}
	var err error
	if out.Queries, err = r.askAll(ctx, "store", r.ask); err != nil {
		return err
	}
	if out.Queries, err = r.askCold(ctx, out.Queries, r.forget, r.ask); err != nil {
		return err
	}
	if !r.Export {
		return nil
	}
	for _, format := range []export.Format{export.CSV, export.JSONL} {
		e, err := r.export(ctx, format)
		if err != nil {
			return fmt.Errorf("export %s: %w", format, err)
		}
		out.Exports = append(out.Exports, e)
	}
	return nil
}

// open opens everything with the settings of a server that was given none.
func (r *storeRun) open(ctx context.Context) error {
	var err error
	r.app, err = app.Open(ctx, app.Config{
		Data: r.data, Listen: "127.0.0.1:0", SchemaMode: "strict", Now: r.now,
		IdempotencyWindow: 7 * 24 * time.Hour, ExportKeep: 7 * 24 * time.Hour, CacheMiB: 128, ReserveMiB: 256,
	})
	return err
}

func (r *storeRun) close() error {
	if r.app == nil {
		return nil
	}
	err := r.app.Close()
	r.app = nil
	return err
}

// mustHold refuses a directory that is none of the benchmark's.
func (r *storeRun) mustHold(ctx context.Context) error {
	if _, err := r.app.Catalog.Organization(ctx, workload.Organization(0)); err != nil {
		return fmt.Errorf("%s is not from a run of stele bench --keep: %w", r.data, err)
	}
	return nil
}

// forget drops everything decoded from the store's cache. Headers and filters of
// blocks stay.
func (r *storeRun) forget(context.Context) error {
	r.app.Store.DropColumns()
	return nil
}

// ask asks the engine.
func (r *storeRun) ask(ctx context.Context, q workload.Question, query audit.Query) (found []string, took time.Duration, err error) {
	var engine search.Engine = r.app.Store
	org := workload.Organization(0)
	if q.Days {
		day, err := search.ParseInterval("day", time.UTC)
		if err != nil {
			return nil, 0, err
		}
		began := r.now()
		h, err := engine.Histogram(ctx, org, query, day)
		took = r.now().Sub(began)
		for _, b := range h.Buckets {
			found = appendDay(found, b.Start, b.Count)
		}
		return found, took, err
	}
	began := r.now()
	page, err := engine.Search(ctx, org, search.Request{Query: query, Limit: workload.PageSize})
	took = r.now().Sub(began)
	for _, e := range page.Entries {
		found = append(found, string(event.AppendTime(nil, e.OccurredAt))+" "+string(e.Action))
	}
	return found, took, err
}

// export writes a file the way the server does, without sending it.
func (r *storeRun) export(ctx context.Context, format export.Format) (exportReport, error) {
	org := workload.Organization(0)
	began := r.now()
	j, err := r.app.Exports.Create(ctx, export.Spec{Organization: org, Format: format})
	if err != nil {
		return exportReport{}, err
	}
	for !j.Ended() {
		select {
		case <-ctx.Done():
			return exportReport{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if j, err = r.app.Exports.Get(ctx, org, j.ID); err != nil {
			return exportReport{}, err
		}
	}
	took := r.now().Sub(began)
	if j.State != export.StateReady {
		return exportReport{}, fmt.Errorf("the export ended as %s: %s", j.State, j.Error)
	}
	// The directory is the benchmark's own, and may be measured again.
	return newExportReport(string(format), int(j.Rows), j.Bytes, took), r.app.Exports.DropOrganization(ctx, org) //nolint:gosec // a count of rows
}
