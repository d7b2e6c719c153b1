package stream

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// Key space in the catalog's store. Each record is JSON with a version.
const (
	prefixStream   = "stream/"          // ID → Stream
	prefixHealth   = "stream_health/"   // ID → health
	prefixCursor   = "stream_cursor/"   // ID/organization → cursor
	prefixReplay   = "stream_replay/"   // ID/replay → Replay
	prefixDelivery = "stream_delivery/" // ID/number → Delivery
	prefixDead     = "stream_dead/"     // ID/organization/seq → DeadLetter
	prefixNote     = "stream_note/"     // ULID → Change, until it is told

	prefixReconciliation = "stream_reconciliation/" // ID/reconciliation → Reconciliation
)

// State says how a stream is.
type State string

// The states of a stream.
const (
	StateActive   State = "active"   // the last attempt succeeded, or there was none
	StateDegraded State = "degraded" // the last attempt failed; it is tried again
	StateError    State = "error"    // failing for 15 minutes and more; it is tried again
	StateInvalid  State = "invalid"  // credentials or settings are wrong: the owner must act
	StatePaused   State = "paused"   // by its owner
)

// StartKind says where a stream begins.
type StartKind string

// The starts.
const (
	StartNow       StartKind = "now"       // with what is recorded from now on
	StartDate      StartKind = "date"      // with what was received at a time or later
	StartBeginning StartKind = "beginning" // with the oldest entry there is
)

// Start is where a stream begins.
type Start struct {
	Kind StartKind `json:"kind"`
	// Date is for StartDate: a time of received_at.
	Date time.Time `json:"date,omitzero"`
}

// Limits of streams.
const (
	MaxStreams    = 50 // of one organization
	MaxNameBytes  = 256
	MaxFilterSize = 16 << 10
)

// Spec is what an owner says about a stream.
type Spec struct {
	// Name is for people.
	Name string `json:"name"`
	// Kind is the name of the kind of destination; it cannot change later.
	Kind string `json:"kind"`
	// Format is the name of the format; "" is the kind's default.
	Format string `json:"format"`
	// Filter is the filter's text; "" is every entry.
	Filter string `json:"filter,omitempty"`
	// Start cannot change later.
	Start Start `json:"start"`
	// Settings are the destination's settings. On the way in they hold
	// secrets in the clear; as recorded and shown they hold none.
	Settings sink.Values `json:"settings,omitempty"`
	// Checkpoints sends a signed checkpoint after each delivered batch.
	Checkpoints bool `json:"checkpoints,omitempty"`
	// CheckpointEvery, in seconds, makes it a stream of checkpoints alone: one of
	// each log that has grown, at most so often. 0 sends events.
	CheckpointEvery int `json:"checkpoint_every_seconds,omitempty"`
	// LagLimit is the lag in seconds that is worth a notice; 0 is none.
	LagLimit int `json:"lag_limit_seconds,omitempty"`
}

// Stream is a stream as recorded.
type Stream struct {
	// ID is "stream_" and a ULID.
	ID string `json:"id"`
	// Organization is whose log it follows; "" is every organization's, for
	// the operator.
	Organization string `json:"organization,omitempty"`
	Spec
	// Secrets are the secret settings, sealed.
	Secrets map[string]Secret `json:"secrets,omitempty"`
	// Paused is the owner's wish.
	Paused    bool      `json:"paused,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy Who       `json:"created_by,omitzero"`
	UpdatedAt time.Time `json:"updated_at"`
	// Epoch grows when the owner did something after which the destination is
	// to be asked again at once; Shape when batches are made otherwise than
	// before.
	Epoch int `json:"epoch"`
	Shape int `json:"shape"`
}

// Secret is a sealed secret and what may be shown of it.
type Secret struct {
	Sealed string `json:"sealed"`
	// Hint is the last four characters of a long one, to tell two apart.
	Hint      string    `json:"hint,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

func (s *Stream) clone() Stream {
	c := *s
	c.Settings = maps.Clone(s.Settings)
	c.Secrets = maps.Clone(s.Secrets)
	return c
}

func newID(at time.Time) string { return "stream_" + catalog.NewULID(at) }

// validID keeps what is no id of ours out of keys.
func validID(id, prefix string) bool {
	text, ok := strings.CutPrefix(id, prefix)
	return ok && len(text) == 26 && strings.Trim(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

func noStream(id string) *audit.Error {
	return audit.Errorf(audit.CodeNotFound, "there is no stream %q", id[:min(len(id), 64)])
}

func invalid(field, format string, args ...any) *audit.Error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, field, format, args...)
}

// checked brings a spec to its stored form, with the settings resolved and
// secrets among them, and says what is wrong with it.
func (s *Streams) checked(spec Spec) (Spec, *sink.Kind, error) {
	kind, ok := s.cfg.Kinds.Get(spec.Kind)
	if !ok {
		return Spec{}, nil, invalid("/kind", "there is no such kind of destination; there are %s", s.kindNames())
	}
	spec.Name = strings.TrimSpace(spec.Name)
	if spec.Name == "" {
		spec.Name = kind.Label
	}
	if len(spec.Name) > MaxNameBytes || strings.ContainsFunc(spec.Name, unicode.IsControl) || strings.ToValidUTF8(spec.Name, "") != spec.Name {
		return Spec{}, nil, invalid("/name", "must be at most %d bytes of UTF-8 without control characters", MaxNameBytes)
	}
	name, ok := kind.Format(spec.Format)
	if _, known := s.cfg.Formats.Get(name, 0); !ok || !known {
		return Spec{}, nil, invalid("/format", "%s cannot be sent in the format %q", kind.Label, sink.Excerpt(name))
	}
	spec.Format = name
	if len(spec.Filter) > MaxFilterSize {
		return Spec{}, nil, invalid("/filter", "must be at most %d bytes", MaxFilterSize)
	}
	if _, err := audit.ParseQuery(spec.Filter); err != nil {
		return Spec{}, nil, err
	}
	if err := checkStart(&spec.Start); err != nil {
		return Spec{}, nil, err
	}
	if err := spec.checkSchedule(); err != nil {
		return Spec{}, nil, err
	}
	if spec.Checkpoints && kind.EventsOnly {
		return Spec{}, nil, invalid("/checkpoints", "%s takes events only, and no checkpoints", kind.Label)
	}
	if spec.LagLimit < 0 || spec.LagLimit > 366*86400 {
		return Spec{}, nil, invalid("/lag_limit_seconds", "must be from 0 to a year")
	}
	values, err := kind.Resolve(spec.Settings)
	if err != nil {
		return Spec{}, nil, err
	}
	spec.Settings = values
	return spec, kind, nil
}

func checkStart(start *Start) error {
	switch start.Kind {
	case "":
		start.Kind = StartNow
		start.Date = time.Time{}
	case StartNow, StartBeginning:
		start.Date = time.Time{}
	case StartDate:
		if start.Date.Before(audit.MinTime) || start.Date.After(audit.MaxTime) {
			return invalid("/start/date", "must be a time from %d to %d", audit.MinTime.Year(), audit.MaxTime.Year())
		}
		start.Date = start.Date.UTC()
	default:
		return invalid("/start/kind", "must be %q, %q or %q", StartNow, StartDate, StartBeginning)
	}
	return nil
}

func (s *Streams) kindNames() string {
	var names []string
	for _, k := range s.cfg.Kinds.All() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// secretPlace is where a secret may be opened.
func secretPlace(st *Stream, name string) []byte { return place(st.Organization, st.ID, name) }

// sealSecrets moves the secret settings of a stream into Secrets. What is as
// before keeps its time.
func (s *Streams) sealSecrets(st *Stream, kind *sink.Kind, now time.Time) error {
	was := st.Secrets
	st.Secrets = map[string]Secret{}
	for _, setting := range kind.Settings {
		value := st.Settings[setting.Name]
		if !setting.Secret || value == "" {
			continue
		}
		delete(st.Settings, setting.Name)
		at := secretPlace(st, setting.Name)
		if old, ok := was[setting.Name]; ok && !s.cfg.Keys.old(old.Sealed) {
			if text, err := s.cfg.Keys.open(old.Sealed, at); err == nil && text == value {
				st.Secrets[setting.Name] = old
				continue
			}
		}
		sealed, err := s.cfg.Keys.seal(value, at)
		if err != nil {
			return err
		}
		st.Secrets[setting.Name] = Secret{Sealed: sealed, Hint: hint(value), UpdatedAt: now}
	}
	return nil
}

// hint is what is shown of a secret that is long enough to keep the rest.
func hint(secret string) string {
	const enough = 16
	if len(secret) < enough || strings.ContainsAny(secret, "\r\n") {
		return ""
	}
	tail := secret[len(secret)-4:]
	if strings.ContainsFunc(tail, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return tail
}

// values are the settings of a stream with its secrets in the clear.
func (s *Streams) values(st *Stream) (sink.Values, error) {
	values := maps.Clone(st.Settings)
	if values == nil {
		values = sink.Values{}
	}
	for _, name := range slices.Sorted(maps.Keys(st.Secrets)) {
		text, err := s.cfg.Keys.open(st.Secrets[name].Sealed, secretPlace(st, name))
		if err != nil {
			return nil, invalid("/settings/"+name, "cannot be decrypted: %v; enter it again", err)
		}
		values[name] = text
	}
	return values, nil
}
