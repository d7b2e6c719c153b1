package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// DeadLetter is an event that the destination refused for good.
type DeadLetter struct {
	Organization string `json:"organization"`
	Seq          uint64 `json:"seq"`
	// ID is the event's.
	ID string `json:"id"`
	// Code and Text are the receiver's own words, Message says what they mean.
	Code    string `json:"code,omitempty"`
	Text    string `json:"text,omitempty"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`
	// Bytes is the size of the event as it was sent.
	Bytes int `json:"bytes"`
	// FirstAt is when it was refused first, LastAt when last, Times how often.
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	Times   int       `json:"times"`
}

func deadKey(stream, org string, seq uint64) string {
	return fmt.Sprintf("%s%s/%s/%020d", prefixDead, stream, org, seq)
}

func putNew[T any](key string, v T) (catalog.Change, error) { return catalog.Put(key, v, 0) }

func deleted(key string, rev uint64) catalog.Change {
	return catalog.Change{Key: key, Rev: rev, Delete: true}
}

// deadLetter records a refused event with the next flush.
func (f *follower) deadLetter(ctx context.Context, b *inflight, r sink.Rejection, fault *sink.Error) error {
	ev := &b.batch.Events[r.Index]
	key := deadKey(f.id, b.batch.Organization, ev.Seq)
	now := f.s.now()
	old, err := catalog.Load[DeadLetter](ctx, f.s.cfg.KV, key)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	d := DeadLetter{
		Organization: b.batch.Organization, Seq: ev.Seq, ID: ev.ID.String(), Bytes: len(ev.Encoded),
		Code: sink.Excerpt(r.Code), Text: sink.Excerpt(r.Text, f.secrets...), Message: fault.Message,
		Status: f.h.LastError.Status, FirstAt: now, LastAt: now, Times: 1,
	}
	if err == nil {
		d.FirstAt, d.Times = old.Value.FirstAt, old.Value.Times+1
	}
	f.h.DeadLetters++
	f.dirty = true
	return f.put(catalog.Put(key, d, old.Rev))
}

// revived takes the events of a delivered batch out of the dead letters, where a
// replay may find them.
func (f *follower) revived(ctx context.Context, ln *lane, b *inflight, dead []int) error {
	if ln.replay == nil {
		return nil
	}
	still := map[uint64]bool{}
	for _, i := range dead {
		still[b.batch.Events[i].Seq] = true
	}
	delivered := map[uint64]bool{}
	for i := range b.batch.Events {
		if seq := b.batch.Events[i].Seq; !still[seq] {
			delivered[seq] = true
		}
	}
	prefix := prefixDead + f.id + "/" + b.batch.Organization + "/"
	after := ""
	if b.batch.First > 0 {
		after = deadKey(f.id, b.batch.Organization, b.batch.First-1)
	}
	for s, err := range catalog.All[DeadLetter](ctx, f.s.cfg.KV, prefix, after) {
		if err != nil {
			return err
		}
		if s.Value.Seq > b.batch.Last {
			break
		}
		if delivered[s.Value.Seq] {
			f.out = append(f.out, deleted(s.Key, s.Rev))
		}
	}
	return nil
}

// DeadLetters lists the events that a stream's destination refused: by
// organization and seq, limit of them after the one named. Errors: not_found.
func (s *Streams) DeadLetters(ctx context.Context, org, id string, after *DeadLetter, limit int) ([]DeadLetter, error) {
	if _, err := s.Get(ctx, org, id); err != nil {
		return nil, err
	}
	from := ""
	if after != nil {
		from = deadKey(id, after.Organization, after.Seq)
	}
	var list []DeadLetter
	for d, err := range catalog.All[DeadLetter](ctx, s.cfg.KV, prefixDead+id+"/", from) {
		if err != nil {
			return nil, err
		}
		if len(list) == limit {
			break
		}
		list = append(list, d.Value)
	}
	return list, nil
}

// maxCounted is how far dead letters are counted.
const maxCounted = 10_000

func (s *Streams) countDead(ctx context.Context, id string) (int, error) {
	n, after := 0, ""
	for n < maxCounted {
		recs, err := s.cfg.KV.List(ctx, prefixDead+id+"/", after, 256)
		if err != nil {
			return 0, fmt.Errorf("count dead letters of %s: %w", id, err)
		}
		if n += len(recs); len(recs) < 256 {
			break
		}
		after = recs[len(recs)-1].Key
	}
	return min(n, maxCounted), nil
}

// DiscardDeadLetters forgets dead letters of one log: those named, which are at
// most maxRetrySeqs. They are not sent, but by a replay of their range. Errors:
// not_found, invalid_request.
func (s *Streams) DiscardDeadLetters(ctx context.Context, org, id, log string, by Who, seqs []uint64) error {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return err
	}
	if log == "" {
		log = st.Organization
	}
	if len(seqs) == 0 || len(seqs) > maxRetrySeqs {
		return invalid("/seqs", "must be 1 to %d", maxRetrySeqs)
	}
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs)))
	note, err := s.note(st, Change{
		Action: ActionDiscarded, By: by, Organization: log, Detail: fmt.Sprintf("%d events, seq %d to %d", len(seqs), seqs[0], seqs[len(seqs)-1]),
	})
	if err != nil {
		return err
	}
	changes := []catalog.Change{note}
	for _, seq := range seqs {
		d, err := catalog.Load[DeadLetter](ctx, s.cfg.KV, deadKey(id, log, seq))
		if errors.Is(err, catalog.ErrNotFound) {
			return audit.Errorf(audit.CodeNotFound, "the event with seq %d is not among the stream's dead letters", seq)
		}
		if err != nil {
			return err
		}
		changes = append(changes, deleted(d.Key, d.Rev))
	}
	if err := s.cfg.KV.Apply(ctx, changes...); errors.Is(err, catalog.ErrConflict) {
		return audit.Errorf(audit.CodeConflict, "the dead letters changed meanwhile; look at them again")
	} else if err != nil {
		return fmt.Errorf("discard dead letters: %w", err)
	}
	s.kickTeller()
	return nil
}

// maxRetrySeqs is how many dead letters are sent again at once.
const maxRetrySeqs = 1000

// RetryDeadLetters sends dead letters of one log again, beside live delivery:
// those named, or the oldest when none is. What is taken leaves the dead
// letters. Errors: not_found, invalid_request, conflict.
func (s *Streams) RetryDeadLetters(ctx context.Context, org, id, log string, by Who, seqs []uint64) (Replay, error) {
	st, err := s.Get(ctx, org, id)
	if err != nil {
		return Replay{}, err
	}
	if log == "" {
		log = st.Organization
	}
	if len(seqs) > maxRetrySeqs {
		return Replay{}, invalid("/seqs", "must be at most %d", maxRetrySeqs)
	}
	wanted := map[uint64]bool{}
	for _, seq := range seqs {
		wanted[seq] = true
	}
	var found []uint64
	for d, err := range catalog.All[DeadLetter](ctx, s.cfg.KV, prefixDead+id+"/"+log+"/", "") {
		if err != nil {
			return Replay{}, err
		}
		if d.Value.Organization == log && (len(seqs) == 0 || wanted[d.Value.Seq]) && len(found) < maxRetrySeqs {
			found = append(found, d.Value.Seq)
		}
	}
	if len(found) == 0 || len(seqs) > 0 && len(found) != len(wanted) {
		return Replay{}, audit.Errorf(audit.CodeNotFound, "these events are not among the stream's dead letters")
	}
	return s.startReplay(ctx, st, Replay{
		From: found[0], To: found[len(found)-1], Seqs: found, Dead: true, CreatedBy: by,
		Cursor: cursor{Organization: log, Next: found[0]},
	})
}
