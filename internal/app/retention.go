package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/search"
)

// openRetention takes up retention. What is past its time is hidden from then on;
// it is removed once Serve has started the job.
func (a *App) openRetention() {
	r := retention.Open(retention.Config{
		KV: a.Store, Catalog: a.Catalog, Store: a.Store, Engine: a.engine, Log: a.Ledger, Journal: ownJournal{a},
		Server: strings.TrimSpace("stele " + a.cfg.Version), Now: a.cfg.Now, Logger: a.cfg.Logger, Removed: a.metrics.removed,
	})
	a.Retention = r
	a.keeping.Store(r)
}

// keep says what is kept of a log at a moment; see search.Keeper. The store and the
// ledger ask it, which are open before there is an answer: until then nobody reads.
func (a *App) keep(org string, now time.Time) (*search.Keep, error) {
	r := a.keeping.Load()
	if r == nil {
		return nil, errors.New("the server is starting")
	}
	return r.Keep(org, now)
}

// shows is keep as the ledger asks it.
func (a *App) shows(org string) (func(*event.Entry) bool, error) {
	k, err := a.keep(org, a.cfg.Now())
	if err != nil || k == nil {
		return nil, err
	}
	return k.Shows, nil
}

// ownJournal records what the server itself does with an organization's log, in
// that log: also in one that takes no events of the product.
type ownJournal struct{ a *App }

// Record implements retention.Journal.
func (j ownJournal) Record(ctx context.Context, org string, e audit.Event) error {
	_, err := j.a.Catalog.Organization(ctx, org)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ev, err := event.FromAudit(&e)
	if err != nil {
		return fmt.Errorf("make entry of %s: %w", e.Action, err)
	}
	err = j.a.append(ctx, org, []*event.Event{ev})
	if isNotFound(err) || errors.Is(err, &audit.Error{Code: audit.CodeIdempotencyConflict}) {
		return nil // the log is gone, or has it
	}
	return err
}

// countRetention makes the metrics of retention.
func (m *metrics) countRetention() {
	m.retired = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "stele_retention_removed_entries_total", Help: "Entries past their time whose bytes were removed.",
	})
	m.removals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_retention_removals_total", Help: "Removals of what was past its time in an organization's log, by result.",
	}, []string{"result"})
	m.removal = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "stele_retention_removal_seconds", Help: "Time from the start of a removal until its bytes were gone.",
		Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
	})
}

// removed is called by retention after each removal.
func (m *metrics) removed(r retention.Removal) {
	m.removals.WithLabelValues(result(r.Err)).Inc()
	if r.Err != nil {
		return
	}
	m.retired.Add(float64(r.Removed))
	m.removal.Observe(r.Took.Seconds())
}
