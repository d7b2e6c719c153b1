package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stelehq/stele/internal/catalog"
)

// The actions of changes.
const (
	ActionCreated       = "log_stream.created"
	ActionUpdated       = "log_stream.updated"
	ActionDeleted       = "log_stream.deleted"
	ActionPaused        = "log_stream.paused"
	ActionResumed       = "log_stream.resumed"
	ActionStateChanged  = "log_stream.state_changed"
	ActionLagExceeded   = "log_stream.lag_exceeded"
	ActionLagRecovered  = "log_stream.lag_recovered"
	ActionReplayStarted = "log_stream.replay_started"
	ActionReplayEnded   = "log_stream.replay_ended"
	ActionDiscarded     = "log_stream.dead_letters_discarded"
	ActionReconciled    = "log_stream.reconciled"
)

// Who does something to a stream. The zero Who is the server itself.
type Who struct {
	// Type is the type of actor that entries name: WhoKey, or a person's.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Name is a person's; that of a key is looked up.
	Name string `json:"name,omitempty"`
	// Location and UserAgent are where a person was.
	Location  string `json:"location,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// WhoKey is the Type of a program with an API key.
const WhoKey = "api_key"

// Key is the program that has the API key of that id.
func Key(id string) Who { return Who{Type: WhoKey, ID: id} }

// Change is something that happened to a stream and that its owner is told.
type Change struct {
	// ID is a ULID, the same however often it is told.
	ID     string `json:"id"`
	Action string `json:"action"`
	Stream string `json:"stream"`
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	// Owner is the organization the stream belongs to, "" for the operator's.
	// Organization is whose log the change is about, where that is one only.
	Owner        string    `json:"owner,omitempty"`
	Organization string    `json:"organization,omitempty"`
	At           time.Time `json:"at"`
	By           Who       `json:"by,omitzero"`
	// From and To are states, for ActionStateChanged.
	From State `json:"from,omitempty"`
	To   State `json:"to,omitempty"`
	// Fields are the names of what was changed, for ActionUpdated.
	Fields []string `json:"fields,omitempty"`
	Replay string   `json:"replay,omitempty"`
	// Detail is more about it, in words.
	Detail string `json:"detail,omitempty"`
}

// note is the record of a change, to be written together with it: it is there
// until the change has been told.
func (s *Streams) note(st *Stream, c Change) (catalog.Change, error) {
	c.At = s.now()
	c.ID = catalog.NewULID(c.At)
	c.Stream, c.Name, c.Kind, c.Owner = st.ID, st.Name, st.Kind, st.Organization
	if c.Organization == "" {
		c.Organization = st.Organization
	}
	return putNew(prefixNote+c.ID, c)
}

// tell adds a change to the next flush.
func (f *follower) tell(c Change) error {
	f.told = true
	return f.put(f.s.note(f.st, c))
}

// announce tells of a new state when it is worth an entry: degraded only after a
// while, so that a flapping destination does not fill the log.
func (f *follower) announce() error {
	h := &f.h
	if h.State == h.Announced || h.State == StateDegraded && f.s.now().Sub(h.Since) < announceAfter {
		return nil
	}
	c := Change{Action: ActionStateChanged, From: h.Announced, To: h.State}
	if h.State != StateActive && h.LastError != nil {
		c.Detail = h.LastError.Message
	}
	h.Announced = h.State
	f.dirty = true
	return f.tell(c)
}

// kickTeller says that there are changes to tell.
func (s *Streams) kickTeller() {
	select {
	case s.notes <- struct{}{}:
	default:
	}
}

// teller tells of changes until Close, those that were left from before first.
func (s *Streams) teller() {
	for {
		var again <-chan time.Time
		if err := s.tellAll(s.ctx); err != nil && s.ctx.Err() == nil {
			s.cfg.Logger.LogAttrs(s.ctx, slog.LevelError, "tell of a stream's change", slog.Any("error", err))
			again = time.After(storeRetry)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-again:
		case <-s.notes:
		}
	}
}

// maxFaults ends a round of telling in which nothing works.
const maxFaults = 20

func (s *Streams) tellAll(ctx context.Context) error {
	var faults []error
	for c, err := range catalog.All[Change](ctx, s.cfg.KV, prefixNote, "") {
		if err != nil {
			return err
		}
		if s.cfg.Journal != nil {
			if err := s.cfg.Journal.RecordStreamChange(ctx, c.Value); err != nil {
				// One log that takes nothing keeps nobody else's changes back.
				faults = append(faults, fmt.Errorf("record %s of %s: %w", c.Value.Action, c.Value.Stream, err))
				if len(faults) == maxFaults {
					break
				}
				continue
			}
		}
		err := s.cfg.KV.Apply(ctx, deleted(c.Key, c.Rev))
		if err != nil && !errors.Is(err, catalog.ErrConflict) {
			return fmt.Errorf("note that a change was told: %w", err)
		}
	}
	return errors.Join(faults...)
}
