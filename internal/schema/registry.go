package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
)

// Mode is what happens to an event whose action or version is not registered.
// One that is registered is always checked.
type Mode string

// The modes of a server.
const (
	ModeStrict Mode = "strict" // refused
	ModeWarn   Mode = "warn"   // recorded and flagged
	ModeOpen   Mode = "open"   // recorded
)

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeStrict, ModeWarn, ModeOpen:
		return m, nil
	default:
		return "", fmt.Errorf("schema mode %q: must be strict, warn or open", s)
	}
}

// attempts is how often a write is tried while other servers write schemas too.
const attempts = 20

// Registry holds the registered schemas and checks events against them. Its
// methods may be called concurrently. Schemas it returns are shared: they must
// not be changed.
//
// Several registries may share one store. What one of them registers the others
// see after Reload, or when they register something themselves; no two ever
// register different schemas under one version.
type Registry struct {
	kv   catalog.KV
	mode Mode
	now  func() time.Time

	mu   sync.Mutex // held while writing or loading; snap is read without it
	snap atomic.Pointer[snapshot]
}

// snapshot is all registered schemas at one time. It is never changed.
type snapshot struct {
	actions map[string][]*compiled // version n at n-1
}

// Open reads the registered schemas from kv. The clock gives their CreatedAt.
func Open(ctx context.Context, kv catalog.KV, mode Mode, now func() time.Time) (*Registry, error) {
	if _, err := ParseMode(string(mode)); err != nil {
		return nil, err
	}
	r := &Registry{kv: kv, mode: mode, now: now}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Mode returns the mode the registry was opened with.
func (r *Registry) Mode() Mode { return r.mode }

// Reload reads the schemas anew, those that other servers registered among
// them.
func (r *Registry) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload(ctx)
}

func (r *Registry) reload(ctx context.Context) error {
	s, err := load(ctx, r.kv)
	if err != nil {
		return fmt.Errorf("load schemas: %w", err)
	}
	r.snap.Store(s)
	return nil
}

// Check checks an event against the schema of its action and version, and sets
// ev.Unregistered. The error is an *audit.Error: schema_violation with the
// field or, in strict mode only, schema_unregistered. It allocates nothing when
// the event is right.
func (r *Registry) Check(ev *event.Event) error {
	c := r.snap.Load().find(ev.Action, ev.Version)
	switch {
	case c == nil && r.mode == ModeStrict:
		return r.unregistered(ev)
	case c == nil:
		ev.Unregistered = r.mode == ModeWarn
		return nil
	}
	ev.Unregistered = false
	if !c.ok(ev) {
		return c.report(ev).err(c.Ref())
	}
	return nil
}

// CheckDetailed returns every violation of an event, whatever the mode, and
// whether its action and version are registered at all.
func (r *Registry) CheckDetailed(ev *event.Event) (violations []Violation, registered bool) {
	c := r.snap.Load().find(ev.Action, ev.Version)
	if c == nil {
		return nil, false
	}
	if c.ok(ev) {
		return nil, true
	}
	return c.report(ev).violations, true
}

// Registered says whether an action's version is registered.
func (r *Registry) Registered(action []byte, version int) bool {
	return r.snap.Load().find(action, version) != nil
}

func (r *Registry) unregistered(ev *event.Event) error {
	versions := r.snap.Load().actions[string(ev.Action)]
	if len(versions) == 0 {
		return audit.FieldErrorf(audit.CodeSchemaUnregistered, "/action",
			"action %q is not registered; register a schema for it first", ev.Action)
	}
	return audit.FieldErrorf(audit.CodeSchemaUnregistered, "/version",
		"version %d of %q is not registered; its versions are 1 to %d", ev.Version, ev.Action, len(versions))
}

func (s *snapshot) find(action []byte, version int) *compiled {
	versions := s.actions[string(action)]
	if version < 1 || version > len(versions) {
		return nil
	}
	return versions[version-1]
}

// Actions returns the names of all registered actions, sorted.
func (r *Registry) Actions() []string { return sortedKeys(r.snap.Load().actions) }

// Versions returns the versions of an action, oldest first; none when the
// action is not registered.
func (r *Registry) Versions(action string) []*Schema {
	versions := r.snap.Load().actions[action]
	out := make([]*Schema, len(versions))
	for i, c := range versions {
		out[i] = c.Schema
	}
	return out
}

// Get returns one version of an action, or the audit error not_found.
func (r *Registry) Get(action string, version int) (*Schema, error) {
	if c := r.snap.Load().find([]byte(action), version); c != nil {
		return c.Schema, nil
	}
	return nil, audit.Errorf(audit.CodeNotFound, "there is no version %d of action %q", version, action)
}

// All returns every registered schema, by action and version.
func (r *Registry) All() []*Schema { return r.snap.Load().all() }

func (s *snapshot) all() []*Schema {
	var out []*Schema
	for _, action := range sortedKeys(s.actions) {
		for _, c := range s.actions[action] {
			out = append(out, c.Schema)
		}
	}
	return out
}

// Register appends the next version of an action and returns it as registered.
// The version of s is 0 or the next one: any other is the audit error conflict.
// A schema equal to the newest one becomes a version too. Durable when the
// error is nil.
func (r *Registry) Register(ctx context.Context, s Schema) (Schema, error) {
	next, err := s.normal()
	if err != nil {
		return Schema{}, err
	}
	asked := next.Version
	err = r.write(ctx, func(snap *snapshot) ([]change, error) {
		next.Version = len(snap.actions[next.Action]) + 1
		if asked != 0 && asked != next.Version {
			return nil, notNext(next.Action, asked, next.Version)
		}
		next.CreatedAt = r.stamp()
		c, err := compile(next)
		if err != nil {
			return nil, err
		}
		return []change{{compiled: c}}, nil
	})
	if err != nil {
		return Schema{}, err
	}
	return *next, nil
}

func notNext(action string, asked, next int) error {
	if asked < next {
		return audit.FieldErrorf(audit.CodeConflict, "/version",
			"version %d of %q is registered, and versions never change; the next one is %d", asked, action, next)
	}
	return audit.FieldErrorf(audit.CodeConflict, "/version",
		"version %d of %q would leave a gap; the next one is %d", asked, action, next)
}

// Report says what Apply did.
type Report struct {
	// Added are the versions that are registered now and were not before.
	Added []Ref `json:"added"`
	// Described are those of which only descriptions were brought up to date.
	Described []Ref `json:"described"`
	// Unchanged counts the others.
	Unchanged int `json:"unchanged"`
}

// Apply registers what is new in a catalogue: all of it or, with an error,
// nothing. Applied again it changes nothing. A version that is registered and
// means something else, or one before which another is missing, is the audit
// error conflict; it names each change. Durable when the error is nil.
func (r *Registry) Apply(ctx context.Context, c *Catalogue) (Report, error) {
	var report Report
	err := r.write(ctx, func(snap *snapshot) ([]change, error) {
		findings := review(snap.all(), c)
		if err := refused(findings); err != nil {
			return nil, err
		}
		var changes []change
		var err error
		report, changes, err = r.plan(snap, c, findings)
		return changes, err
	})
	if err != nil {
		return Report{}, err
	}
	return report, nil
}

// plan turns findings, one for each schema of c, into changes.
func (r *Registry) plan(snap *snapshot, c *Catalogue, findings []Finding) (Report, []change, error) {
	report := Report{Added: []Ref{}, Described: []Ref{}}
	var changes []change
	for i, s := range c.sorted() {
		var ch change
		stamp := r.stamp()
		switch findings[i].Status {
		case StatusUnchanged:
			report.Unchanged++
			continue
		case StatusDescribed:
			old := snap.find([]byte(s.Action), s.Version)
			ch.rev, stamp = old.rev, old.CreatedAt
			report.Described = append(report.Described, s.Ref())
		default:
			report.Added = append(report.Added, s.Ref())
		}
		next, err := s.normal()
		if err != nil {
			return Report{}, nil, err
		}
		next.CreatedAt = stamp
		if ch.compiled, err = compile(next); err != nil {
			return Report{}, nil, err
		}
		changes = append(changes, ch)
	}
	return report, changes, nil
}

// change is one record to be written: at rev 0 a new one.
type change struct {
	*compiled
	rev uint64
}

// write makes the changes that plan wants, given what is registered. When
// another server was faster, it reads anew and asks plan again.
func (r *Registry) write(ctx context.Context, plan func(*snapshot) ([]change, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range attempts {
		changes, err := plan(r.snap.Load())
		if err != nil || len(changes) == 0 {
			return err
		}
		err = r.commit(ctx, changes)
		if !errors.Is(err, catalog.ErrConflict) {
			return err
		}
		if err := r.reload(ctx); err != nil {
			return err
		}
	}
	return audit.Errorf(audit.CodeUnavailable, "schemas are being registered elsewhere all the time; try again")
}

func (r *Registry) commit(ctx context.Context, changes []change) error {
	records := make([]catalog.Change, len(changes))
	for i, ch := range changes {
		var err error
		if records[i], err = encode(ch); err != nil {
			return err
		}
	}
	if err := r.kv.Apply(ctx, records...); err != nil {
		return fmt.Errorf("store schemas: %w", err)
	}
	r.snap.Store(r.snap.Load().with(changes))
	return nil
}

// with returns a snapshot with changes made.
func (s *snapshot) with(changes []change) *snapshot {
	next := &snapshot{actions: maps.Clone(s.actions)}
	for _, ch := range changes {
		ch.compiled.rev = ch.rev + 1
		versions := slices.Clone(next.actions[ch.Action])
		if ch.Version <= len(versions) {
			versions[ch.Version-1] = ch.compiled
		} else {
			versions = append(versions, ch.compiled)
		}
		next.actions[ch.Action] = versions
	}
	return next
}

func (r *Registry) stamp() time.Time { return r.now().UTC().Truncate(time.Millisecond) }

// refused is the error of Apply for what cannot be applied.
func refused(findings []Finding) error {
	var faults []*audit.Error
	for i := range findings {
		f := &findings[i]
		if f.Status != StatusConflict && f.Status != StatusGap {
			continue
		}
		words := make([]string, len(f.Changes))
		for n, ch := range f.Changes {
			words[n] = ch.Message
		}
		faults = append(faults, audit.FieldErrorf(audit.CodeConflict, "", "%s version %d: %s",
			f.Action, f.Version, strings.Join(words, "; ")))
	}
	if len(faults) == 0 {
		return nil
	}
	out := *faults[0]
	if len(faults) > 1 {
		out.Message = fmt.Sprintf("%s (and %d more)", out.Message, len(faults)-1)
		out.Errors = faults
	}
	return &out
}
