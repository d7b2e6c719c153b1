package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream/sink"
)

// maxTries is how often a record is written again because somebody else was
// faster.
const maxTries = 100

func errBusy(id string) error { return fmt.Errorf("stream %s: %w too often", id, catalog.ErrConflict) }

// Create records a stream and starts it. org is "" for an operator's stream. The
// caller has checked that the organization exists. Errors: invalid_request
// naming the field, invalid_query, conflict when there are too many.
func (s *Streams) Create(ctx context.Context, org string, spec Spec, by Who) (*Stream, error) {
	spec, kind, err := s.checked(spec)
	if err != nil {
		return nil, err
	}
	s.manage.Lock()
	defer s.manage.Unlock()
	all, err := s.List(ctx, org)
	if err != nil {
		return nil, err
	}
	if len(all) >= MaxStreams {
		return nil, audit.Errorf(audit.CodeConflict, "there are %d streams already; delete one first", MaxStreams)
	}
	now := s.now()
	st := &Stream{ID: newID(now), Organization: org, Spec: spec, CreatedAt: now, UpdatedAt: now, CreatedBy: by, Epoch: 1, Shape: 1}
	if err := s.sealSecrets(st, kind, now); err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	if err := s.placeCursors(ctx, st); err != nil {
		return nil, err
	}
	record, err := putNew(prefixStream+st.ID, *st)
	if err != nil {
		return nil, err
	}
	h, err := putNew(prefixHealth+st.ID, health{State: StateActive, Announced: StateActive, Since: now, Epoch: 1})
	if err != nil {
		return nil, err
	}
	note, err := s.note(st, Change{Action: ActionCreated, By: by})
	if err != nil {
		return nil, err
	}
	if err := s.cfg.KV.Apply(ctx, record, h, note); err != nil {
		if _, lost := s.load(ctx, org, st.ID); lost != nil { // otherwise it landed
			return nil, fmt.Errorf("create stream: %w", err)
		}
	}
	s.kickTeller()
	s.follow(st)
	s.wake(st.ID, false)
	return st, nil
}

// placeCursors records where a new stream begins. The stream's own record comes
// after: cursors without it are nobody's.
func (s *Streams) placeCursors(ctx context.Context, st *Stream) error {
	place := func(org string) error {
		next, err := s.startOf(ctx, org, st.Start)
		if err != nil {
			return err
		}
		if next == 0 && st.Organization == "" {
			return nil // as without a record
		}
		return catalog.Save(ctx, s.cfg.KV, prefixCursor+st.ID+"/"+org, cursor{Organization: org, Next: next}, 0)
	}
	if st.Organization != "" {
		return place(st.Organization)
	}
	if st.Start.Kind == StartBeginning {
		return nil
	}
	for org, err := range s.cfg.Directory.OrganizationIDs(ctx) {
		if err != nil {
			return fmt.Errorf("list organizations: %w", err)
		}
		if err := place(org); err != nil {
			return err
		}
	}
	return nil
}

func (s *Streams) startOf(ctx context.Context, org string, start Start) (uint64, error) {
	if start.Kind == StartBeginning {
		first, err := s.cfg.First(ctx, org)
		if err != nil {
			return 0, fmt.Errorf("find beginning of log: %w", err)
		}
		return first, nil
	}
	size, err := s.size(ctx, org)
	if err != nil || start.Kind == StartNow {
		return size, err
	}
	return s.firstSince(ctx, org, start.Date, size)
}

// Get returns a stream of an organization, "" being the operator's: never one of
// another. Errors: not_found.
func (s *Streams) Get(ctx context.Context, org, id string) (*Stream, error) {
	st, err := s.load(ctx, org, id)
	if err != nil {
		return nil, err
	}
	return &st.Value, nil
}

func (s *Streams) load(ctx context.Context, org, id string) (catalog.Stored[Stream], error) {
	if !validID(id, "stream_") {
		return catalog.Stored[Stream]{}, noStream(id)
	}
	st, err := catalog.Load[Stream](ctx, s.cfg.KV, prefixStream+id)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && st.Value.Organization != org {
		return catalog.Stored[Stream]{}, noStream(id)
	}
	return st, err
}

// List lists the streams of an organization, "" being the operator's, oldest
// first.
func (s *Streams) List(ctx context.Context, org string) ([]*Stream, error) {
	s.mu.Lock()
	var ids []string
	for f := range s.byOrg[org] {
		ids = append(ids, f.id)
	}
	s.mu.Unlock()
	slices.Sort(ids) // by their times
	var list []*Stream
	for _, id := range ids {
		st, err := s.Get(ctx, org, id)
		if isNotFound(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
	return list, nil
}

// change changes a stream's record and tells of it.
func (s *Streams) change(ctx context.Context, org, id string, edit func(*Stream) (Change, error)) (*Stream, error) {
	for range maxTries {
		old, err := s.load(ctx, org, id)
		if err != nil {
			return nil, err
		}
		st := old.Value.clone()
		c, err := edit(&st)
		if err != nil {
			return nil, err
		}
		if c.Action == "" {
			return &old.Value, nil // as it was
		}
		st.UpdatedAt = s.now()
		record, err := catalog.Put(old.Key, st, old.Rev)
		if err != nil {
			return nil, err
		}
		note, err := s.note(&st, c)
		if err != nil {
			return nil, err
		}
		err = s.cfg.KV.Apply(ctx, record, note)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			s.wake(id, true) // it may have landed
			return nil, fmt.Errorf("change stream: %w", err)
		}
		s.kickTeller()
		return &st, nil
	}
	return nil, errBusy(id)
}

// Update changes what an owner says about a stream: edit is called with the
// present spec, without secrets; a secret setting it leaves out stays as it is,
// one that it sets to "" is removed. Kind and Start cannot change. The
// destination is asked again at once. Errors: not_found, and those of Create.
func (s *Streams) Update(ctx context.Context, org, id string, by Who, edit func(*Spec) error) (*Stream, error) {
	st, err := s.change(ctx, org, id, func(st *Stream) (Change, error) {
		was := st.clone()
		if err := edit(&st.Spec); err != nil {
			return Change{}, err
		}
		if st.Kind != was.Kind || st.Start != was.Start {
			return Change{}, invalid("/kind", "kind and start cannot change: make another stream")
		}
		if err := s.keepSecrets(st, was.Settings); err != nil {
			return Change{}, err
		}
		spec, kind, err := s.checked(st.Spec)
		if err != nil {
			return Change{}, err
		}
		st.Spec = spec
		if err := s.sealSecrets(st, kind, s.now()); err != nil {
			return Change{}, fmt.Errorf("update stream: %w", err)
		}
		fields := changed(&was, st)
		if len(fields) == 0 {
			return Change{}, nil
		}
		st.Epoch++
		if st.Format != was.Format || st.Filter != was.Filter || st.onSchedule() != was.onSchedule() {
			st.Shape++
		}
		return Change{Action: ActionUpdated, By: by, Fields: fields}, nil
	})
	if err != nil {
		return nil, err
	}
	s.wake(id, true)
	return st, nil
}

// keepSecrets puts the secrets that an edit did not name beside its settings,
// unless it sends them elsewhere than before: was are the settings as recorded.
func (s *Streams) keepSecrets(st *Stream, was sink.Values) error {
	if st.Settings == nil {
		st.Settings = sink.Values{}
	}
	if err := s.samePlace(st, was); err != nil {
		return err
	}
	for name, secret := range st.Secrets {
		if _, named := st.Settings[name]; named {
			continue
		}
		text, err := s.cfg.Keys.open(secret.Sealed, secretPlace(st, name))
		if err != nil {
			return invalid("/settings/"+name, "cannot be decrypted: %v; enter it again", err)
		}
		st.Settings[name] = text
	}
	return nil
}

// samePlace refuses an edit that changes where secrets are sent and does not say
// every secret again.
func (s *Streams) samePlace(st *Stream, was sink.Values) error {
	kind, ok := s.cfg.Kinds.Get(st.Kind)
	if !ok {
		return nil // which is said elsewhere
	}
	moved := ""
	for _, setting := range kind.Settings {
		value, named := st.Settings[setting.Name]
		if !setting.Place || !named {
			continue
		}
		old := was[setting.Name]
		if secret, ok := st.Secrets[setting.Name]; ok {
			old, _ = s.cfg.Keys.open(secret.Sealed, secretPlace(st, setting.Name)) // "" differs
		}
		if cmp.Or(strings.TrimSpace(value), setting.Default) != old {
			moved = setting.Name
		}
	}
	if moved == "" {
		return nil
	}
	for _, setting := range kind.Settings {
		_, named := st.Settings[setting.Name]
		if _, secret := st.Secrets[setting.Name]; secret && !named {
			return invalid("/settings/"+setting.Name, "must be entered again, since %q changes and with it where secrets are sent", moved)
		}
	}
	return nil
}

// changed names the fields in which two streams differ.
func changed(a, b *Stream) []string {
	var fields []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", a.Name == b.Name},
		{"format", a.Format == b.Format},
		{"filter", a.Filter == b.Filter},
		{"checkpoints", a.Checkpoints == b.Checkpoints},
		{"checkpoint_every_seconds", a.CheckpointEvery == b.CheckpointEvery},
		{"lag_limit_seconds", a.LagLimit == b.LagLimit},
	} {
		if !f.same {
			fields = append(fields, f.name)
		}
	}
	names := map[string]bool{}
	for _, v := range []sink.Values{a.Settings, b.Settings} {
		for name := range v {
			names[name] = names[name] || a.Settings[name] != b.Settings[name]
		}
	}
	for _, v := range []map[string]Secret{a.Secrets, b.Secrets} {
		for name := range v {
			names[name] = names[name] || a.Secrets[name] != b.Secrets[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] {
			fields = append(fields, "settings."+name)
		}
	}
	return fields
}

// Pause stops delivery after the attempt under way. Nothing is lost: Resume goes
// on where it stopped, however long after. Errors: not_found.
func (s *Streams) Pause(ctx context.Context, org, id string, by Who) (*Stream, error) {
	return s.toggle(ctx, org, id, func(st *Stream) Change {
		if st.Paused {
			return Change{}
		}
		st.Paused = true
		return Change{Action: ActionPaused, By: by}
	})
}

// Resume goes on with a paused stream, and asks the destination of a failing one
// again at once. Errors: not_found.
func (s *Streams) Resume(ctx context.Context, org, id string, by Who) (*Stream, error) {
	return s.toggle(ctx, org, id, func(st *Stream) Change {
		st.Paused = false
		st.Epoch++
		return Change{Action: ActionResumed, By: by}
	})
}

func (s *Streams) toggle(ctx context.Context, org, id string, edit func(*Stream) Change) (*Stream, error) {
	st, err := s.change(ctx, org, id, func(st *Stream) (Change, error) { return edit(st), nil })
	if err != nil {
		return nil, err
	}
	s.wake(id, false)
	return st, nil
}

// Delete stops a stream and removes it with all that was kept about it. Errors:
// not_found.
func (s *Streams) Delete(ctx context.Context, org, id string, by Who) error {
	s.manage.Lock() // so that no replay begins meanwhile
	defer s.manage.Unlock()
	st, err := s.load(ctx, org, id)
	if err != nil {
		return err
	}
	if err := s.forget(id); err != nil {
		return err
	}
	note, err := s.note(&st.Value, Change{Action: ActionDeleted, By: by})
	if err != nil {
		return err
	}
	for range maxTries {
		err = s.cfg.KV.Apply(ctx, deleted(st.Key, st.Rev), note)
		if !errors.Is(err, catalog.ErrConflict) {
			break
		}
		if st, err = s.load(ctx, org, id); isNotFound(err) {
			return err
		} else if err != nil {
			break
		}
	}
	if err != nil {
		s.follow(&st.Value) // it is still there
		s.wake(id, false)
		return fmt.Errorf("delete stream: %w", err)
	}
	s.kickTeller()
	return s.sweep(ctx, id)
}

// sweep removes what was kept about a stream.
func (s *Streams) sweep(ctx context.Context, id string) error {
	for _, prefix := range []string{prefixHealth + id, prefixCursor + id + "/", prefixReplay + id + "/", prefixDelivery + id + "/", prefixDead + id + "/", prefixLag + id, prefixReconciliation + id + "/"} {
		for {
			recs, err := s.cfg.KV.List(ctx, prefix, "", 256)
			if err != nil {
				return fmt.Errorf("remove what was kept of %s: %w", id, err)
			}
			var changes []catalog.Change
			for _, rec := range recs {
				changes = append(changes, deleted(rec.Key, rec.Rev))
			}
			if len(changes) > 0 {
				if err := s.cfg.KV.Apply(ctx, changes...); err != nil {
					return fmt.Errorf("remove what was kept of %s: %w", id, err)
				}
			}
			if len(recs) < 256 {
				break
			}
		}
	}
	return nil
}

// DropOrganization removes an organization's streams. Those of the operator leave
// it by themselves once it is gone.
func (s *Streams) DropOrganization(ctx context.Context, org string) error {
	own, err := s.List(ctx, org)
	if err != nil {
		return err
	}
	for _, st := range own {
		if err := s.Delete(ctx, org, st.ID, Who{}); err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// Rewrap seals anew, with the first key, the secrets sealed with another, and
// says how many. When it is through, the other keys are not needed any more.
func (s *Streams) Rewrap(ctx context.Context) (int, error) {
	n := 0
	for rec, err := range catalog.All[Stream](ctx, s.cfg.KV, prefixStream, "") {
		if err != nil {
			return n, err
		}
		st := rec.Value.clone()
		sealed := 0
		for name, secret := range st.Secrets {
			if !s.cfg.Keys.old(secret.Sealed) {
				continue
			}
			at := secretPlace(&st, name)
			text, err := s.cfg.Keys.open(secret.Sealed, at)
			if err != nil {
				return n, fmt.Errorf("stream %s, setting %s: %w", st.ID, name, err)
			}
			if secret.Sealed, err = s.cfg.Keys.seal(text, at); err != nil {
				return n, err
			}
			st.Secrets[name] = secret
			sealed++
		}
		if sealed == 0 {
			continue
		}
		if err := catalog.Save(ctx, s.cfg.KV, rec.Key, st, rec.Rev); err != nil && !errors.Is(err, catalog.ErrConflict) {
			return n, err
		}
		n += sealed
	}
	return n, nil
}
