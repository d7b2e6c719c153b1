package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// ReplayState says how a replay is.
type ReplayState string

// The states of a replay.
const (
	ReplayRunning  ReplayState = "running"
	ReplayDone     ReplayState = "done"
	ReplayCanceled ReplayState = "canceled"
)

// Replay delivers a range of a log again, beside live delivery. Its batches say
// that they are a replay.
type Replay struct {
	// ID is "replay_" and a ULID.
	ID string `json:"id"`
	// From and To are the first and the last seq, both included.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Seqs are the only events wanted when the replay is of dead letters.
	Seqs      []uint64    `json:"seqs,omitempty"`
	Dead      bool        `json:"dead,omitempty"`
	State     ReplayState `json:"state"`
	CreatedAt time.Time   `json:"created_at"`
	CreatedBy Who         `json:"created_by,omitzero"`
	EndedAt   time.Time   `json:"ended_at,omitzero"`
	// Cursor is how far it is.
	Cursor cursor `json:"cursor"`
}

// Organization is whose log is replayed.
func (r *Replay) Organization() string { return r.Cursor.Organization }

// Next is the first seq that is not yet delivered.
func (r *Replay) Next() uint64 { return r.Cursor.Next }

// Skipped is how many events were not sent because the destination does not take
// them.
func (r *Replay) Skipped() uint64 {
	var n uint64
	for _, s := range r.Cursor.Skipped {
		n += s.Events
	}
	return n
}

// end is the first seq that does not belong to the replay.
func (r *Replay) end() uint64 { return r.To + 1 }

// following is the first of Seqs from seq on, when there are any.
func (r *Replay) following(seq uint64) (uint64, bool) {
	i, _ := slices.BinarySearch(r.Seqs, seq)
	if i == len(r.Seqs) {
		return 0, false
	}
	return r.Seqs[i], true
}

// MaxReplays is how many replays of a stream run at once.
const MaxReplays = 10

// ReplaySpec says what is to be delivered again: entries with From ≤ seq ≤ To,
// or those received from Since on and before Until.
type ReplaySpec struct {
	// Organization is whose log, for an operator's stream.
	Organization string
	From, To     *uint64
	Since, Until time.Time
	By           Who
}

// Replay delivers a range again. Events that are not recorded yet are not part
// of it. Errors: not_found, invalid_request, conflict.
func (s *Streams) Replay(ctx context.Context, org, id string, spec ReplaySpec) (Replay, error) {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return Replay{}, err
	}
	log := st.Organization
	if log == "" {
		log = spec.Organization
	}
	if log == "" {
		return Replay{}, invalid("/organization", "is required: the stream follows every organization")
	}
	if err := st.needEvents(); err != nil {
		return Replay{}, err
	}
	size, err := s.size(ctx, log)
	if err != nil {
		return Replay{}, err
	}
	from, to, err := s.replayRange(ctx, log, spec, size)
	if err != nil {
		return Replay{}, err
	}
	return s.startReplay(ctx, st, Replay{
		From: from, To: to, CreatedBy: spec.By, Cursor: cursor{Organization: log, Next: from},
	})
}

func (s *Streams) replayRange(ctx context.Context, log string, spec ReplaySpec, size uint64) (from, to uint64, err error) {
	if size == 0 {
		return 0, 0, invalid("/from", "there is nothing to replay: the log is empty")
	}
	to = size - 1
	switch {
	case spec.From != nil:
		from = *spec.From
	case !spec.Since.IsZero():
		if from, err = s.firstSince(ctx, log, spec.Since, size); err != nil {
			return 0, 0, err
		}
	}
	switch {
	case spec.To != nil:
		to = min(to, *spec.To)
	case !spec.Until.IsZero():
		end, err := s.firstSince(ctx, log, spec.Until, size)
		if err != nil {
			return 0, 0, err
		}
		if end == 0 {
			return 0, 0, invalid("/until", "nothing was received before")
		}
		to = end - 1
	}
	first, err := s.cfg.First(ctx, log)
	if err != nil {
		return 0, 0, fmt.Errorf("find beginning of log: %w", err)
	}
	if from = max(from, first); from > to {
		return 0, 0, invalid("/from", "there is nothing to replay in this range")
	}
	return from, to, nil
}

func (s *Streams) startReplay(ctx context.Context, st *Stream, r Replay) (Replay, error) {
	s.manage.Lock()
	defer s.manage.Unlock()
	all, err := s.Replays(ctx, st.Organization, st.ID)
	if err != nil {
		return Replay{}, err
	}
	running := 0
	for _, other := range all {
		if other.State == ReplayRunning {
			running++
		}
	}
	if running >= MaxReplays {
		return Replay{}, audit.Errorf(audit.CodeConflict, "%d replays of this stream are running already; wait until one is through", MaxReplays)
	}
	now := s.now()
	r.ID, r.State, r.CreatedAt = "replay_"+catalog.NewULID(now), ReplayRunning, now
	record, err := putNew(prefixReplay+st.ID+"/"+r.ID, r)
	if err != nil {
		return Replay{}, err
	}
	note, err := s.note(st, Change{
		Action: ActionReplayStarted, By: r.CreatedBy, Replay: r.ID, Organization: r.Cursor.Organization,
		Detail: fmt.Sprintf("seq %d to %d", r.From, r.To),
	})
	if err != nil {
		return Replay{}, err
	}
	changes := append([]catalog.Change{record, note}, oldReplays(st.ID, all)...)
	if err := s.cfg.KV.Apply(ctx, changes...); err != nil {
		s.wake(st.ID, false) // it may have landed
		return Replay{}, fmt.Errorf("start replay: %w", err)
	}
	s.kickTeller()
	s.wake(st.ID, false)
	return r, nil
}

// keepReplays is how many replays that have ended are listed.
const keepReplays = 50

// oldReplays removes ended replays of which there are too many; all is newest
// first.
func oldReplays(stream string, all []Replay) []catalog.Change {
	var changes []catalog.Change
	ended := 0
	for _, r := range all {
		if r.State == ReplayRunning {
			continue
		}
		if ended++; ended >= keepReplays {
			changes = append(changes, deleted(prefixReplay+stream+"/"+r.ID, r.rev()))
		}
	}
	return changes
}

// Replays lists the replays of a stream, newest first. Errors: not_found.
func (s *Streams) Replays(ctx context.Context, org, id string) ([]Replay, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return nil, err
	}
	var list []Replay
	for r, err := range catalog.All[Replay](ctx, s.cfg.KV, prefixReplay+id+"/", "") {
		if err != nil {
			return nil, err
		}
		r.Value.Cursor.rev = r.Rev
		list = append(list, r.Value)
	}
	slices.Reverse(list)
	return list, nil
}

func (r *Replay) rev() uint64 { return r.Cursor.rev }

// CancelReplay ends a replay that runs; one that has ended stays as it is.
// Errors: not_found.
func (s *Streams) CancelReplay(ctx context.Context, org, id, replay string, by Who) error {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return err
	}
	gone := audit.Errorf(audit.CodeNotFound, "there is no such replay of this stream")
	if !validID(replay, "replay_") {
		return gone
	}
	for range maxTries {
		r, err := catalog.Load[Replay](ctx, s.cfg.KV, prefixReplay+id+"/"+replay)
		if errors.Is(err, catalog.ErrNotFound) {
			return gone
		}
		if err != nil || r.Value.State != ReplayRunning {
			return err
		}
		r.Value.State, r.Value.EndedAt = ReplayCanceled, s.now()
		record, err := catalog.Put(r.Key, r.Value, r.Rev)
		if err != nil {
			return err
		}
		note, err := s.note(st, Change{Action: ActionReplayEnded, By: by, Replay: replay, Organization: r.Value.Organization(), Detail: "canceled"})
		if err != nil {
			return err
		}
		err = s.cfg.KV.Apply(ctx, record, note)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		s.kickTeller()
		s.wake(id, false)
		return err
	}
	return errBusy(id)
}

// firstSince is the first seq received at a time or later; size when there is
// none.
func (s *Streams) firstSince(ctx context.Context, org string, at time.Time, size uint64) (uint64, error) {
	var failed error
	i := sort.Search(int(size), func(i int) bool { //nolint:gosec // logs are shorter than 2^63
		if failed != nil {
			return true
		}
		for e, err := range s.cfg.Scanner.Scan(ctx, org, audit.Query{}, uint64(i), size, false) { //nolint:gosec // from 0
			if err != nil {
				failed = fmt.Errorf("read log of %s: %w", org, err)
				return true
			}
			return !e.ReceivedTime().Before(at)
		}
		return true
	})
	return uint64(i), failed //nolint:gosec // from 0
}
