package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// streamRange is a part of a log.
type streamRange struct {
	OrganizationID string  `json:"organization_id"`
	From           *uint64 `json:"from"`
	To             *uint64 `json:"to"`
}

// log is the id of the log that a job is about: the stream's own, or one that an
// operator names.
func (s *streamRange) log(r *server.Request) (string, error) {
	if own := r.Org(); own != "" {
		if s.OrganizationID != "" && s.OrganizationID != own {
			return "", audit.FieldErrorf(audit.CodeInvalidRequest, "/organization_id", "must be left out: the stream follows one organization")
		}
		return own, nil
	}
	if s.OrganizationID == "" {
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, "/organization_id", "is required: the stream follows every organization")
	}
	return s.OrganizationID, nil
}

func (a *api) createReplay(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		streamRange
		Since *time.Time `json:"since"`
		Until *time.Time `json:"until"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	log, err := body.log(r)
	if err != nil {
		return err
	}
	if (body.From != nil && body.Since != nil) || (body.To != nil && body.Until != nil) {
		return audit.FieldErrorf(audit.CodeInvalidRequest, "/since", "give a seq or a time for each end, not both")
	}
	spec := stream.ReplaySpec{Organization: log, From: body.From, To: body.To, By: stream.Key(r.Identity.KeyID)}
	set(&spec.Since, body.Since)
	set(&spec.Until, body.Until)
	replay, err := a.Streams.Replay(r.Context(), r.Org(), r.PathValue("id"), spec)
	if err != nil {
		return err
	}
	return a.writeReplay(w, r, &replay)
}

func (a *api) writeReplay(w http.ResponseWriter, r *server.Request, replay *stream.Replay) error {
	return created(w, streamsPath(r)+"/"+r.PathValue("id")+"/replays", replayOf(replay))
}

// replayList is all replays of a stream that are remembered.
type replayList struct {
	Replays []replayAnswer `json:"replays"`
}

func (a *api) listReplays(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	all, err := a.Streams.Replays(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	out := replayList{Replays: make([]replayAnswer, len(all))}
	for i := range all {
		out.Replays[i] = replayOf(&all[i])
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) cancelReplay(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	err := a.Streams.CancelReplay(r.Context(), r.Org(), r.PathValue("id"), r.PathValue("replay"), stream.Key(r.Identity.KeyID))
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// reconciliationAnswer compares what lies at a destination with the log.
type reconciliationAnswer struct {
	ID             string                     `json:"id"`
	OrganizationID string                     `json:"organization_id"`
	From           uint64                     `json:"from"`
	To             uint64                     `json:"to"`
	State          stream.ReconciliationState `json:"state"`
	Objects        int                        `json:"objects"` // found so far
	Next           uint64                     `json:"next_seq"`
	Error          string                     `json:"error,omitempty"`
	Found          *findingsAnswer            `json:"found"`
	CreatedAt      stamp                      `json:"created_at"`
	CreatedBy      string                     `json:"created_by,omitempty"`
	EndedAt        stamp                      `json:"ended_at,omitzero"`
}

// findingsAnswer is what came of it.
type findingsAnswer struct {
	Summary    string       `json:"summary"`
	Removed    uint64       `json:"removed"`
	Expected   uint64       `json:"expected"`
	Missing    uint64       `json:"missing"`
	Gaps       []stream.Gap `json:"gaps"`
	Objects    int          `json:"objects"`
	Duplicates int          `json:"duplicates"`
}

func reconciliationOf(r *stream.Reconciliation) reconciliationAnswer {
	out := reconciliationAnswer{
		ID: r.ID, OrganizationID: r.Organization, From: r.From, To: r.To, State: r.State, Objects: r.Objects, Next: r.Next, Error: r.Error,
		CreatedAt: stamp(r.CreatedAt), CreatedBy: r.CreatedBy.ID, EndedAt: stamp(r.EndedAt),
	}
	if f := r.Found; f != nil {
		out.Found = &findingsAnswer{
			Summary: f.Summary(), Removed: f.Removed, Expected: f.Expected, Missing: f.Missing, Gaps: append([]stream.Gap{}, f.Gaps...),
			Objects: f.Objects, Duplicates: f.Duplicates,
		}
	}
	return out
}

func (a *api) createReconciliation(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body streamRange
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	log, err := body.log(r)
	if err != nil {
		return err
	}
	started, err := a.Streams.Reconcile(r.Context(), r.Org(), r.PathValue("id"), stream.ReconcileSpec{
		Organization: log, From: body.From, To: body.To, By: stream.Key(r.Identity.KeyID),
	})
	if err != nil {
		return err
	}
	return created(w, streamsPath(r)+"/"+r.PathValue("id")+"/reconciliations/"+started.ID, reconciliationOf(&started))
}

// reconciliationList is all reconciliations of a stream that are remembered.
type reconciliationList struct {
	Reconciliations []reconciliationAnswer `json:"reconciliations"`
}

func (a *api) listReconciliations(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	all, err := a.Streams.Reconciliations(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	out := reconciliationList{Reconciliations: make([]reconciliationAnswer, len(all))}
	for i := range all {
		out.Reconciliations[i] = reconciliationOf(&all[i])
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getReconciliation(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	found, err := a.Streams.Reconciliation(r.Context(), r.Org(), r.PathValue("id"), r.PathValue("reconciliation"))
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, reconciliationOf(&found))
}

func (a *api) cancelReconciliation(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	if err := a.Streams.CancelReconciliation(r.Context(), r.Org(), r.PathValue("id"), r.PathValue("reconciliation")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deliveryList is a page of a stream's history.
type deliveryList struct {
	Deliveries []deliveryAnswer `json:"deliveries"`
	Next       *string          `json:"next"`
	HasMore    bool             `json:"has_more"`
}

func (a *api) listDeliveries(w http.ResponseWriter, r *server.Request) error {
	cursor, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	before, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil && cursor != "" {
		return audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not one that a list gave")
	}
	all, err := a.Streams.Deliveries(r.Context(), r.Org(), r.PathValue("id"), audit.MaxQueryLimit)
	if err != nil {
		return err
	}
	out := deliveryList{Deliveries: []deliveryAnswer{}}
	for i := range all {
		if cursor != "" && all[i].Number >= before {
			continue
		}
		if out.HasMore = len(out.Deliveries) == limit; out.HasMore {
			break
		}
		out.Deliveries = append(out.Deliveries, deliveryOf(&all[i]))
	}
	out.Next = next(out.HasMore, func() string { return strconv.FormatUint(out.Deliveries[limit-1].Number, 10) })
	return server.WriteJSON(w, http.StatusOK, out)
}

// deadLetterList is a page of what a destination refused.
type deadLetterList struct {
	DeadLetters []deadLetterAnswer `json:"dead_letters"`
	Next        *string            `json:"next"`
	HasMore     bool               `json:"has_more"`
}

func (a *api) listDeadLetters(w http.ResponseWriter, r *server.Request) error {
	cursor, limit, err := parsePage(r)
	if err != nil {
		return err
	}
	after, err := deadCursor(cursor)
	if err != nil {
		return err
	}
	all, err := a.Streams.DeadLetters(r.Context(), r.Org(), r.PathValue("id"), after, limit+1)
	if err != nil {
		return err
	}
	out := deadLetterList{HasMore: len(all) > limit}
	all = all[:min(limit, len(all))]
	out.DeadLetters = make([]deadLetterAnswer, len(all))
	for i := range all {
		out.DeadLetters[i] = deadLetterOf(&all[i])
	}
	out.Next = next(out.HasMore, func() string {
		last := &all[len(all)-1]
		return fmt.Sprintf("%s/%d", last.Organization, last.Seq)
	})
	return server.WriteJSON(w, http.StatusOK, out)
}

// deadCursor reads "organization/seq".
func deadCursor(text string) (*stream.DeadLetter, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // from the beginning
	}
	i := strings.LastIndexByte(text, '/')
	seq, err := strconv.ParseUint(text[i+1:], 10, 64)
	if err != nil || i < 0 {
		return nil, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not one that a list gave")
	}
	return &stream.DeadLetter{Organization: text[:i], Seq: seq}, nil
}

// chosen names events of a log.
type chosen struct {
	OrganizationID string   `json:"organization_id"`
	Seqs           []uint64 `json:"seqs"`
}

func (a *api) retryDeadLetters(w http.ResponseWriter, r *server.Request) error {
	log, seqs, err := readChosen(r)
	if err != nil {
		return err
	}
	replay, err := a.Streams.RetryDeadLetters(r.Context(), r.Org(), r.PathValue("id"), log, stream.Key(r.Identity.KeyID), seqs)
	if err != nil {
		return err
	}
	return a.writeReplay(w, r, &replay)
}

func (a *api) discardDeadLetters(w http.ResponseWriter, r *server.Request) error {
	log, seqs, err := readChosen(r)
	if err != nil {
		return err
	}
	if err := a.Streams.DiscardDeadLetters(r.Context(), r.Org(), r.PathValue("id"), log, stream.Key(r.Identity.KeyID), seqs); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func readChosen(r *server.Request) (log string, seqs []uint64, err error) {
	if _, err := parseParams(r); err != nil {
		return "", nil, err
	}
	var body chosen
	if err := server.DecodeJSON(r, &body); err != nil {
		return "", nil, err
	}
	log, err = (&streamRange{OrganizationID: body.OrganizationID}).log(r)
	return log, body.Seqs, err
}
