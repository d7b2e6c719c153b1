package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
)

// worker runs one erasure after the other until ctx ends. One that has a fault
// lets the others pass, and is tried again later.
func (s *Erasures) worker(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := s.runAll(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "erasure is tried again", slog.Any("error", err), slog.Duration("in", s.cfg.retry))
			again = time.After(s.cfg.retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-s.kick:
		}
	}
}

// runAll takes each erasure that did not end as far as it goes.
func (s *Erasures) runAll(ctx context.Context) error {
	list, err := s.open(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for i := range list {
		if err := s.runOne(ctx, list[i].Value.Organization, list[i].Value.ID); err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

// runOne takes one erasure as far as it goes, unless it was dropped meanwhile.
func (s *Erasures) runOne(ctx context.Context, org, id string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	current := &run{org: org, cancel: cancel, done: make(chan struct{})}
	defer close(current.done)
	s.setRunning(current)
	defer s.setRunning(nil)
	stored, err := s.load(ctx, org, id)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) || err == nil && stored.Value.Ended() {
		return nil
	}
	if err != nil {
		return err
	}
	j := &job{s: s, stored: &stored, rec: &stored.Value, names: names{texts: map[string]bool{}}}
	err = j.run(ctx)
	if err == nil || ctx.Err() != nil {
		return nil // it is through, stopped or dropped
	}
	if errors.Is(err, catalog.ErrConflict) {
		// It was dropped, or a write landed that was reported as failed: then
		// the next try reads what is there.
		if _, gone := s.load(ctx, org, id); errors.Is(gone, &audit.Error{Code: audit.CodeNotFound}) {
			return nil
		}
		return fmt.Errorf("erasure %s: %w", id, err)
	}
	return fmt.Errorf("erasure %s: %w", id, errors.Join(err, j.failed(ctx, err)))
}

func (s *Erasures) setRunning(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = r
}

// job is an erasure under way.
type job struct {
	s      *Erasures
	stored *catalog.Stored[Record]
	rec    *Record // that of stored
	names  names
	redone int // how often verify has found something left
}

// failed notes a fault: as the end when the log is damaged, otherwise to be shown
// until it has passed.
func (j *job) failed(ctx context.Context, fault error) error {
	j.rec.Error = "the server had a fault and tries again; its own log says which, under this erasure's id"
	if errors.Is(fault, ledger.ErrDiskFull) {
		j.rec.Error = "the server's disk is full; it goes on once there is room"
	}
	if damage, ok := errors.AsType[ledger.DamageError](fault); ok {
		from, to := damage.Entries()
		j.rec.State, j.rec.DoneAt = StateFailed, j.s.now()
		j.rec.Error = fmt.Sprintf("entries %d to %d of the log cannot be read: repair the server's data, then ask for the erasure again", from, to-1)
	}
	return j.s.save(ctx, j.stored)
}

// run goes through the steps, from the one that the record is at.
func (j *job) run(ctx context.Context) error {
	if err := j.begin(ctx); err != nil {
		return err
	}
	for {
		next, err := j.step(ctx)
		if err != nil {
			return err
		}
		j.rec.Step, j.rec.Error = next, ""
		if next == "" {
			j.end()
		}
		if err := j.s.save(ctx, j.stored); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
	}
}

// step does the step that the record is at and returns the next, "" after the last.
func (j *job) step(ctx context.Context) (Step, error) {
	switch j.rec.Step {
	case StepErase:
		return StepForget, j.erase(ctx)
	case StepForget:
		return StepScrub, j.forget(ctx)
	case StepScrub:
		return StepVerify, j.s.cfg.Log.Scrub(ctx)
	case StepVerify:
		return j.verify(ctx)
	case StepConfirm:
		return "", j.confirm(ctx)
	default:
		return "", fmt.Errorf("unknown step %q", j.rec.Step)
	}
}

// begin gives the erasure the time that its entries are marked with: one that no
// earlier erasure of the organization has.
func (j *job) begin(ctx context.Context) error {
	if j.rec.State == StateRunning {
		return nil
	}
	list, _, err := j.s.List(ctx, j.rec.Organization, "", -1)
	if err != nil {
		return err
	}
	at := j.s.now()
	for i := range list {
		if other := list[i].ErasedAt; !at.After(other) {
			at = other.Add(time.Millisecond)
		}
	}
	j.rec.State, j.rec.Step, j.rec.ErasedAt = StateRunning, StepErase, at
	return j.s.save(ctx, j.stored)
}

// end ends the record. Where the requester was is in the log now.
func (j *job) end() {
	j.rec.State, j.rec.DoneAt = StateDone, j.s.now()
	j.rec.RequestedBy.Location, j.rec.RequestedBy.UserAgent = "", ""
}

// erase erases until a pass over what the log has grown by finds nothing.
func (j *job) erase(ctx context.Context) error {
	sub, err := j.s.subjectOf(ctx, j.request())
	if err != nil {
		return err
	}
	// From the beginning, also after a restart: names are to be found again.
	for looked, more := uint64(0), true; more; {
		head, err := j.s.cfg.Log.Head(ctx, j.rec.Organization)
		if err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		more = false
		for looked < head.Size {
			to := min(looked-looked%ledger.BlockSize+ledger.BlockSize, head.Size)
			some, err := j.eraseRange(ctx, sub, looked, to)
			if err != nil {
				return err
			}
			more, looked = more || some, to
		}
		j.rec.Looked = looked
	}
	return nil
}

func (j *job) request() *Request {
	return &Request{Organization: j.rec.Organization, Subject: j.rec.Subject, SubjectType: j.rec.SubjectType}
}

// eraseRange erases entries of one range of the log: from ≤ seq < to. It reports
// whether there was something to erase.
func (j *job) eraseRange(ctx context.Context, sub *subject, from, to uint64) (bool, error) {
	some, err := j.find(ctx, sub, from, to)
	if err != nil || !some {
		return false, err
	}
	if err := j.mentions(ctx); err != nil {
		return false, err
	}
	org := j.rec.Organization
	defer j.s.cfg.Steady(org)()
	keep, err := j.s.keep(org)
	if err != nil {
		return false, err
	}
	start := from - from%ledger.BlockSize
	done, err := j.s.cfg.Log.Rewrite(ctx, ledger.Rewrite{
		Organization: org, From: start, To: start + ledger.BlockSize, ErasedAt: j.rec.ErasedAt.UnixMilli(),
		Fate: func(e *event.Entry) ledger.Fate { return fate(e, sub, keep) },
	})
	if err != nil {
		return false, fmt.Errorf("erase details: %w", err)
	}
	return done.Erased > 0, nil
}

// find reports whether a range has something to erase, and collects the names that
// its entries have for the subject.
func (j *job) find(ctx context.Context, sub *subject, from, to uint64) (bool, error) {
	keep, err := j.s.keep(j.rec.Organization)
	if err != nil {
		return false, err
	}
	some := false
	for e, err := range sub.entries(ctx, j.s.cfg.Store, j.rec.Organization, from, to) {
		if err != nil {
			return false, fmt.Errorf("find entries: %w", err)
		}
		if e.ErasedAt != 0 {
			continue
		}
		j.names.collect(e, sub) // of held ones too
		some = some || !keep.Held(e)
	}
	return some, nil
}

func fate(e *event.Entry, sub *subject, keep *search.Keep) ledger.Fate {
	if e.ErasedAt == 0 && sub.concerns(e) && !keep.Held(e) {
		return ledger.Erased
	}
	return ledger.Stays
}

// mentions looks for names that were found in what people wrote elsewhere. After
// entries are erased their names are not known any more.
func (j *job) mentions(ctx context.Context) error {
	if !j.names.fresh {
		return nil
	}
	for _, m := range j.s.cfg.Mentioners {
		list, err := m.Mentions(ctx, j.rec.Organization, j.names.in)
		if err != nil {
			return fmt.Errorf("look for names: %w", err)
		}
		for _, found := range list {
			if len(j.rec.Mentions) < MaxMentions && !slices.Contains(j.rec.Mentions, found) {
				j.rec.Mentions = append(j.rec.Mentions, found)
			}
		}
	}
	j.names.fresh = false
	return j.s.save(ctx, j.stored)
}

// forget removes what is kept of the person beside the log.
func (j *job) forget(ctx context.Context) error {
	for _, f := range j.s.cfg.Forgetters {
		if err := f.Forget(ctx, j.rec.Organization, j.rec.Subject); err != nil {
			return fmt.Errorf("forget the person: %w", err)
		}
	}
	if j.s.cfg.Exports == nil {
		return nil
	}
	why := "entries in it were erased on " + j.rec.ErasedAt.Format(time.DateOnly) + "; make a new export"
	n, err := j.s.cfg.Exports.RemoveFiles(ctx, j.rec.Organization, j.rec.ID, why)
	if err != nil {
		return fmt.Errorf("remove files of exports: %w", err)
	}
	j.rec.RemovedExports = n
	return nil
}

// maxRedone is how often an erasure is done again before it is taken to be a fault.
const maxRedone = 3

// verify looks for entries again and counts. When there is something left to erase,
// such as what a hold kept that was lifted meanwhile, it is done again.
func (j *job) verify(ctx context.Context) (Step, error) {
	org := j.rec.Organization
	sub, err := j.s.subjectOf(ctx, j.request())
	if err != nil {
		return "", err
	}
	keep, err := j.s.keep(org)
	if err != nil {
		return "", err
	}
	var found, erased, held uint64
	for e, err := range sub.entries(ctx, j.s.cfg.Store, org, 0, j.rec.Looked) {
		if err != nil {
			return "", fmt.Errorf("verify erasure: %w", err)
		}
		found++
		switch {
		case e.ErasedAt == j.rec.ErasedAt.UnixMilli():
			erased++
		case e.ErasedAt != 0:
		case keep.Held(e):
			held++
		case j.redone == maxRedone:
			return "", fmt.Errorf("verify erasure: entry %d has its details after they were erased", e.Seq)
		default:
			j.redone++
			return StepErase, nil
		}
	}
	j.rec.Found, j.rec.Erased, j.rec.Held = found, erased, held
	return StepConfirm, nil
}

// confirm records in the log that the person was erased, once.
func (j *job) confirm(ctx context.Context) error {
	at, err := j.confirmed(ctx)
	if err != nil || at != nil {
		j.rec.Entry = at
		return err
	}
	ev, err := event.FromAudit(j.event())
	if err != nil {
		return fmt.Errorf("make entry: %w", err)
	}
	b := ledger.NewBatch(j.rec.Organization)
	if err := b.Add(ev); err != nil {
		return fmt.Errorf("make entry: %w", err)
	}
	res, err := j.s.cfg.Log.Append(ctx, b)
	if err != nil {
		return fmt.Errorf("record erasure: %w", err)
	}
	first := res.Receipts[0]
	j.rec.Entry = &audit.Position{Seq: first.Seq, ReceivedAt: time.UnixMilli(first.ReceivedAt).UTC()}
	return nil
}

// confirmed finds the entry that an earlier try has made, which nobody may have
// been told of. The idempotency key of the entry would do, if it held for ever.
func (j *job) confirmed(ctx context.Context) (*audit.Position, error) {
	head, err := j.s.cfg.Log.Head(ctx, j.rec.Organization)
	if err != nil {
		return nil, fmt.Errorf("record erasure: %w", err)
	}
	if j.rec.Confirming == nil {
		j.rec.Confirming = &head.Size
		return nil, j.s.save(ctx, j.stored)
	}
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{ActionErased}}}}
	want := `"erasure_id":"` + j.rec.ID + `"`
	for e, err := range j.s.cfg.Store.ScanStored(ctx, j.rec.Organization, q, *j.rec.Confirming, head.Size) {
		if err != nil {
			return nil, fmt.Errorf("record erasure: %w", err)
		}
		if bytes.Contains(e.Metadata, []byte(want)) {
			return &audit.Position{Seq: e.Seq, ReceivedAt: e.ReceivedTime()}, nil
		}
	}
	return nil, nil
}

// event is the entry in the log. It follows from the record alone, so that a
// second try makes the same.
func (j *job) event() *audit.Event {
	r := j.rec
	kind := r.SubjectType
	if kind == "" {
		kind = "subject"
	}
	e := &audit.Event{
		Action: ActionErased, Version: 1, OccurredAt: r.ErasedAt, Actor: actorOf(&r.RequestedBy),
		Targets: []audit.Target{{Type: kind, ID: r.Subject}},
		Context: audit.Context{Location: r.RequestedBy.Location, UserAgent: r.RequestedBy.UserAgent},
		Metadata: audit.Metadata{
			"erasure_id": r.ID, "entries": float64(r.Erased), "held": float64(r.Held),
			"removed_exports": float64(r.RemovedExports),
		},
		IdempotencyKey: "erasure/" + r.ID,
	}
	if r.Looked > 0 {
		e.Metadata["through_seq"] = float64(r.Looked - 1)
	}
	if r.Reference != "" {
		e.Metadata["reference"] = r.Reference
	}
	return e
}

// actorOf is the requester as the actor of an entry.
func actorOf(by *Requester) audit.Actor {
	switch {
	case by.ID == "":
		return audit.Actor{Type: "system", ID: "stele", Name: "Stele"}
	case by.Type != ByPerson:
		return audit.Actor{Type: "api_key", ID: by.ID, Name: by.Name}
	case strings.HasPrefix(by.ID, "session_"):
		return audit.Actor{Type: "portal", ID: by.ID, Name: by.Name}
	default:
		return audit.Actor{Type: "user", ID: by.ID, Name: by.Name}
	}
}
