package schema

import (
	"context"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
)

// Mode is what happens to an event whose action or version is not registered.
type Mode string

// The modes of a server.
const (
	ModeStrict Mode = "strict" // refused
	ModeWarn   Mode = "warn"   // recorded and flagged
	ModeOpen   Mode = "open"   // recorded
)

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) { panic("unfinished") }

// Registry holds the registered schemas. Its methods may be called
// concurrently; schemas it returns are shared and read-only.
type Registry struct{}

// Open reads the registered schemas from kv.
func Open(ctx context.Context, kv catalog.KV, mode Mode, now func() time.Time) (*Registry, error) {
	panic("unfinished")
}

// Mode returns the mode the registry was opened with.
func (r *Registry) Mode() Mode { panic("unfinished") }

// Reload reads schemas that others registered.
func (r *Registry) Reload(ctx context.Context) error { panic("unfinished") }

// Check checks an event, sets ev.Unregistered.
func (r *Registry) Check(ev *event.Event) error { panic("unfinished") }

// CheckDetailed returns every violation; ok is false when the version is not registered.
func (r *Registry) CheckDetailed(ev *event.Event) (violations []Violation, registered bool) {
	panic("unfinished")
}

// Registered says whether the action's version is registered.
func (r *Registry) Registered(action []byte, version int) bool { panic("unfinished") }

// Register appends the next version of s.Action; s.Version must be 0 or that version.
func (r *Registry) Register(ctx context.Context, s Schema) (Schema, error) { panic("unfinished") }

// Apply registers what is new in a catalogue, all or nothing; idempotent.
func (r *Registry) Apply(ctx context.Context, c *Catalogue) (Report, error) { panic("unfinished") }

// Actions returns the names of all actions, sorted.
func (r *Registry) Actions() []string { panic("unfinished") }

// Versions returns an action's versions, oldest first; none when unknown.
func (r *Registry) Versions(action string) []*Schema { panic("unfinished") }

// Get returns one version, or audit not_found.
func (r *Registry) Get(action string, version int) (*Schema, error) { panic("unfinished") }

// All returns every registered schema, by action and version.
func (r *Registry) All() []*Schema { panic("unfinished") }

// Report says what Apply did.
type Report struct {
	Added     []Ref `json:"added"`
	Described []Ref `json:"described"` // only descriptions changed
	Unchanged int   `json:"unchanged"`
}

// Ref names one version of an action.
type Ref struct {
	Action  string `json:"action"`
	Version int    `json:"version"`
}

// Violation is one way in which an event does not satisfy its schema, in the
// manner of AJV.
type Violation struct {
	InstancePath string         `json:"instancePath"`
	SchemaPath   string         `json:"schemaPath"`
	Keyword      string         `json:"keyword"`
	Params       map[string]any `json:"params"`
	Message      string         `json:"message"`
}
