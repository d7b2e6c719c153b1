package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// ReconciliationState says how a reconciliation is.
type ReconciliationState string

// The states of a reconciliation.
const (
	ReconciliationRunning  ReconciliationState = "running"
	ReconciliationDone     ReconciliationState = "done"
	ReconciliationFailed   ReconciliationState = "failed"
	ReconciliationCanceled ReconciliationState = "canceled"
)

// Reconciliation compares what lies at a stream's destination with a log. It is
// work of its own: a bucket with a million objects takes minutes to list.
type Reconciliation struct {
	// ID is "reconciliation_" and a ULID.
	ID string `json:"id"`
	// Organization is whose log; From and To are the first and last seq, both
	// included.
	Organization string              `json:"organization"`
	From         uint64              `json:"from"`
	To           uint64              `json:"to"`
	State        ReconciliationState `json:"state"`
	CreatedAt    time.Time           `json:"created_at"`
	CreatedBy    Who                 `json:"created_by,omitzero"`
	EndedAt      time.Time           `json:"ended_at,omitzero"`
	// Objects is how many of the range were found so far; Next is the first seq
	// that is not compared yet, From until all objects are found.
	Objects int    `json:"objects,omitempty"`
	Next    uint64 `json:"next"`
	// Found is what came of it when it is done, Error why it failed.
	Found *Findings `json:"found,omitempty"`
	Error string    `json:"error,omitempty"`
}

const (
	// maxReconciling is how many reconciliations work at once; others wait.
	maxReconciling = 4
	// keepReconciliations is how many of a stream are listed.
	keepReconciliations = 20
	// progressEvery is how often the progress is written.
	progressEvery = 2 * time.Second
	// reconcileTime bounds one, waiting for others included.
	reconcileTime = 3 * time.Hour

	reasonStopped = "It was interrupted before it was through. Start it again."
)

// reconciling is the reconciliation of a stream that is at work.
type reconciling struct {
	id     string
	cancel context.CancelFunc
	done   chan struct{}
}

// ReconcileSpec says what is compared: the entries with From ≤ seq ≤ To, or all
// that was delivered since the filter is as it is now.
type ReconcileSpec struct {
	// Organization is whose log, for an operator's stream.
	Organization string
	From, To     *uint64
	By           Who
}

// Reconcile starts comparing what lies at a stream's destination with what was
// delivered of a log. Only object stores can be asked. One of a stream runs at a
// time. Errors: not_found, invalid_request, conflict.
func (s *Streams) Reconcile(ctx context.Context, org, id string, spec ReconcileSpec) (Reconciliation, error) {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return Reconciliation{}, err
	}
	r := Reconciliation{Organization: st.Organization, State: ReconciliationRunning, CreatedBy: spec.By}
	if r.Organization == "" {
		r.Organization = spec.Organization
	}
	if r.Organization == "" {
		return Reconciliation{}, invalid("/organization", "is required: the stream follows every organization")
	}
	if err := st.needEvents(); err != nil {
		return Reconciliation{}, err
	}
	if r.From, r.To, err = s.reconcileRange(ctx, st, r.Organization, spec); err != nil {
		return Reconciliation{}, err
	}
	_, _, done, err := s.lister(ctx, st)
	if err != nil {
		return Reconciliation{}, err
	}
	done()
	r.Next = r.From
	return s.startReconciliation(ctx, st, r)
}

func (s *Streams) reconcileRange(ctx context.Context, st *Stream, log string, spec ReconcileSpec) (from, to uint64, err error) {
	c, err := s.cursorOf(ctx, st.ID, log)
	if err != nil {
		return 0, 0, err
	}
	from = c.chosenFrom(st.Filter)
	if spec.From != nil {
		if *spec.From < from {
			return 0, 0, invalid("/from", "must be %d or more: the filter was changed there, and nothing can be said of what another one chose", from)
		}
		from = *spec.From
	}
	if c.Next == 0 || from >= c.Next {
		return 0, 0, invalid("/from", "nothing of this range was delivered yet")
	}
	to = c.Next - 1
	if spec.To != nil {
		if *spec.To < from {
			return 0, 0, invalid("/to", "must be %d or more, where the range begins", from)
		}
		to = min(to, *spec.To)
	}
	return from, to, nil
}

// startReconciliation records it and begins.
func (s *Streams) startReconciliation(ctx context.Context, st *Stream, r Reconciliation) (Reconciliation, error) {
	work, cancel := context.WithTimeout(s.ctx, reconcileTime)
	r.CreatedAt = s.now()
	r.ID = "reconciliation_" + catalog.NewULID(r.CreatedAt)
	job := &reconciling{id: r.ID, cancel: cancel, done: make(chan struct{})}
	f, err := s.occupy(st.ID, job)
	if err != nil {
		cancel()
		return Reconciliation{}, err
	}
	if err := s.recordReconciliation(ctx, st, &r); err != nil {
		s.vacate(f, job)
		return Reconciliation{}, err
	}
	go func() {
		defer s.vacate(f, job)
		s.reconcile(work, st, &r)
	}()
	return r, nil
}

// occupy makes a job the one of its stream. From then on forget and Close wait
// for it, until vacate.
func (s *Streams) occupy(id string, job *reconciling) (*follower, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.followers[id]
	switch {
	case f == nil:
		return nil, noStream(id)
	case s.closed:
		return nil, audit.Errorf(audit.CodeUnavailable, "the server is stopping")
	case f.reconciling != nil:
		return nil, audit.Errorf(audit.CodeConflict, "this stream is being reconciled already; wait until that is through, or cancel it")
	}
	f.reconciling = job
	s.work.Add(1)
	return f, nil
}

// vacate ends a job.
func (s *Streams) vacate(f *follower, job *reconciling) {
	job.cancel()
	s.mu.Lock()
	f.reconciling = nil
	s.mu.Unlock()
	close(job.done)
	s.work.Done()
}

// recordReconciliation writes a new one and removes those of which there are too
// many. One that is recorded as running, but is not, has failed.
func (s *Streams) recordReconciliation(ctx context.Context, st *Stream, r *Reconciliation) error {
	if err := s.failLeft(ctx, st.ID+"/"); err != nil {
		return err
	}
	var changes []catalog.Change
	for old, err := range catalog.All[Reconciliation](ctx, s.cfg.KV, prefixReconciliation+st.ID+"/", "") {
		if err != nil {
			return err
		}
		changes = append(changes, deleted(old.Key, old.Rev))
	}
	changes = changes[:max(0, len(changes)-keepReconciliations+1)] // the oldest
	record, err := putNew(prefixReconciliation+st.ID+"/"+r.ID, *r)
	if err != nil {
		return err
	}
	if err := s.cfg.KV.Apply(ctx, append(changes, record)...); err != nil {
		return fmt.Errorf("start reconciliation: %w", err)
	}
	return nil
}

// failLeft marks as failed what is recorded as running below a key and is not,
// since the server was killed.
func (s *Streams) failLeft(ctx context.Context, below string) error {
	return edit(ctx, s.cfg.KV, prefixReconciliation+below, func(r *Reconciliation) bool {
		if r.State != ReconciliationRunning {
			return false
		}
		r.State, r.Error, r.EndedAt = ReconciliationFailed, reasonStopped, s.now()
		return true
	})
}

// Reconciliations lists those of a stream, newest first. Errors: not_found.
func (s *Streams) Reconciliations(ctx context.Context, org, id string) ([]Reconciliation, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return nil, err
	}
	var list []Reconciliation
	for r, err := range catalog.All[Reconciliation](ctx, s.cfg.KV, prefixReconciliation+id+"/", "") {
		if err != nil {
			return nil, err
		}
		list = append(list, r.Value)
	}
	slices.Reverse(list)
	return list, nil
}

// Reconciliation returns one of a stream. Errors: not_found.
func (s *Streams) Reconciliation(ctx context.Context, org, id, reconciliation string) (Reconciliation, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return Reconciliation{}, err
	}
	r, err := s.loadReconciliation(ctx, id, reconciliation)
	return r.Value, err
}

func (s *Streams) loadReconciliation(ctx context.Context, id, reconciliation string) (r catalog.Stored[Reconciliation], err error) {
	gone := audit.Errorf(audit.CodeNotFound, "there is no such reconciliation of this stream")
	if !validID(reconciliation, "reconciliation_") {
		return r, gone
	}
	r, err = catalog.Load[Reconciliation](ctx, s.cfg.KV, prefixReconciliation+id+"/"+reconciliation)
	if errors.Is(err, catalog.ErrNotFound) {
		return r, gone
	}
	return r, err
}

// CancelReconciliation ends one that runs; one that has ended stays as it is.
// Errors: not_found.
func (s *Streams) CancelReconciliation(ctx context.Context, org, id, reconciliation string) error {
	if _, err := s.Get(ctx, org, id); err != nil {
		return err
	}
	err := s.changeReconciliation(ctx, id, reconciliation, func(r *Reconciliation) *Change {
		r.State, r.EndedAt = ReconciliationCanceled, s.now()
		return nil
	}, nil)
	if errors.Is(err, errEnded) {
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.followers[id]; f != nil && f.reconciling != nil && f.reconciling.id == reconciliation {
		f.reconciling.cancel()
	}
	return nil
}

// errEnded says that a reconciliation is not running any more.
var errEnded = errors.New("the reconciliation has ended")

// changeReconciliation changes one that runs, and tells of the change, if any, as
// one about st. Errors: errEnded, not_found.
func (s *Streams) changeReconciliation(ctx context.Context, id, reconciliation string, edit func(*Reconciliation) *Change, st *Stream) error {
	for range maxTries {
		r, err := s.loadReconciliation(ctx, id, reconciliation)
		if err != nil {
			return err
		}
		if r.Value.State != ReconciliationRunning {
			return errEnded
		}
		told := edit(&r.Value)
		record, err := catalog.Put(r.Key, r.Value, r.Rev)
		if err != nil {
			return err
		}
		changes := []catalog.Change{record}
		if told != nil {
			note, err := s.note(st, *told)
			if err != nil {
				return err
			}
			changes = append(changes, note)
		}
		if err = s.cfg.KV.Apply(ctx, changes...); !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
	return errBusy(id)
}

// reconcile does the work and records what came of it.
func (s *Streams) reconcile(ctx context.Context, st *Stream, r *Reconciliation) {
	found := &Findings{From: r.From, To: r.To}
	err := s.compareInTurn(ctx, st, r, found)
	if errors.Is(err, errEnded) || isNotFound(err) {
		return // canceled, or deleted with its stream
	}
	end := func(r *Reconciliation) *Change {
		if r.EndedAt = s.now(); err != nil {
			r.State, r.Error = ReconciliationFailed, s.whyFailed(ctx, st, err)
			return nil
		}
		r.State, r.Found, r.Objects, r.Next = ReconciliationDone, found, found.Objects, found.To+1
		return &Change{Action: ActionReconciled, By: r.CreatedBy, Organization: r.Organization, Detail: found.Summary()}
	}
	for {
		// The end is recorded also when the server stops.
		fault := s.changeReconciliation(context.WithoutCancel(ctx), st.ID, r.ID, end, st)
		if fault == nil || errors.Is(fault, errEnded) || isNotFound(fault) {
			s.kickTeller()
			return
		}
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "record reconciliation", slog.String("stream", st.ID), slog.Any("error", fault))
		select {
		case <-ctx.Done():
			return // it is marked as failed at the next start
		case <-time.After(storeRetry):
		}
	}
}

// compareInTurn compares when it is this one's turn.
func (s *Streams) compareInTurn(ctx context.Context, st *Stream, r *Reconciliation, found *Findings) error {
	select {
	case s.comparing <- struct{}{}:
		defer func() { <-s.comparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	written := s.cfg.Now()
	c := &comparison{s: s, st: st, log: r.Organization, found: found, progress: func(objects int, next uint64) error {
		if s.cfg.Now().Sub(written) < progressEvery {
			return nil
		}
		written = s.cfg.Now()
		return s.noteProgress(ctx, st, r.ID, objects, next)
	}}
	return c.run(ctx)
}

// noteProgress writes how far a reconciliation is. A store that fails just then is
// no reason to end it.
func (s *Streams) noteProgress(ctx context.Context, st *Stream, reconciliation string, objects int, next uint64) error {
	err := s.changeReconciliation(ctx, st.ID, reconciliation, func(r *Reconciliation) *Change {
		r.Objects, r.Next = objects, next
		return nil
	}, nil)
	if err == nil || errors.Is(err, errEnded) || isNotFound(err) {
		return err
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "record progress of reconciliation", slog.String("stream", st.ID), slog.Any("error", err))
	return nil
}

// whyFailed is what may be said of an error.
func (s *Streams) whyFailed(ctx context.Context, st *Stream, err error) string {
	if fault, ok := errors.AsType[*audit.Error](err); ok && ctx.Err() == nil {
		return fault.Message
	}
	if s.ctx.Err() != nil || errors.Is(ctx.Err(), context.Canceled) {
		return reasonStopped
	}
	if ctx.Err() != nil {
		return fmt.Sprintf("It was not through after %s. Compare the range in parts.", reconcileTime)
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "reconcile stream", slog.String("stream", st.ID), slog.Any("error", err))
	return "The server could not read its log or its store. Whoever runs it finds the cause in what it logs."
}
