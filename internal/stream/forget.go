package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stelehq/stele/internal/catalog"
)

// quoteRemoved stands where a receiver's words stood that may have quoted an entry.
const quoteRemoved = "What the destination said was removed, because it may have quoted details that were erased."

// Forget removes what is kept of somebody whose details were erased from an
// organization's log: the name of who made a stream, a replay or a reconciliation, and what
// receivers said about events of that log, in which they may have quoted any. What
// was made of the log for the next attempt is made again. It may be called again.
func (s *Streams) Forget(ctx context.Context, org, person string) error {
	s.manage.Lock()
	defer s.manage.Unlock()
	own, err := s.List(ctx, org)
	if err != nil {
		return err
	}
	operators, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	for _, st := range slices.Concat(own, operators) {
		if err := s.forgetIn(ctx, st, org, person); err != nil {
			return fmt.Errorf("forget in %s: %w", st.ID, err)
		}
	}
	return s.forgetNotes(ctx, org, person)
}

// forgetIn is Forget for one stream, which stands still meanwhile.
func (s *Streams) forgetIn(ctx context.Context, st *Stream, org, person string) error {
	if err := s.forget(st.ID); err != nil {
		return err
	}
	defer func() {
		s.follow(st)
		s.wake(st.ID, false)
	}()
	id := st.ID
	err := edit(ctx, s.cfg.KV, prefixStream+id, func(st *Stream) bool {
		return st.Organization == org && st.CreatedBy.forget(person)
	})
	if err != nil {
		return err
	}
	// Which log the last error was about is not known.
	err = edit(ctx, s.cfg.KV, prefixHealth+id, func(h *health) bool {
		return h.LastError != nil && h.LastError.unquote()
	})
	if err != nil {
		return err
	}
	if err := edit(ctx, s.cfg.KV, prefixCursor+id+"/", func(c *cursor) bool { return c.unquote(org) }); err != nil {
		return err
	}
	err = edit(ctx, s.cfg.KV, prefixReplay+id+"/", func(r *Replay) bool {
		quoted := r.Cursor.unquote(org)
		return r.Organization() == org && r.CreatedBy.forget(person) || quoted
	})
	if err != nil {
		return err
	}
	err = edit(ctx, s.cfg.KV, prefixReconciliation+id+"/", func(r *Reconciliation) bool { return r.forget(org, person) })
	if err != nil {
		return err
	}
	err = edit(ctx, s.cfg.KV, prefixDelivery+id+"/", func(d *Delivery) bool {
		return d.Organization == org && d.unquote()
	})
	if err != nil {
		return err
	}
	return edit(ctx, s.cfg.KV, prefixDead+id+"/", func(d *DeadLetter) bool {
		return d.Organization == org && d.unquote()
	})
}

// forgetNotes is Forget for changes that were not told yet.
func (s *Streams) forgetNotes(ctx context.Context, org, person string) error {
	return edit(ctx, s.cfg.KV, prefixNote, func(c *Change) bool {
		return c.Owner == org && c.Forget(person)
	})
}

// edit changes the records whose keys begin with prefix, those that fn says it
// has changed. A record that somebody else has changed or removed meanwhile is
// read again.
func edit[T any](ctx context.Context, kv catalog.KV, prefix string, fn func(*T) bool) error {
	for found, err := range catalog.All[T](ctx, kv, prefix, "") {
		for err == nil && fn(&found.Value) {
			if err = catalog.Save(ctx, kv, found.Key, found.Value, found.Rev); !errors.Is(err, catalog.ErrConflict) {
				break
			}
			found, err = catalog.Load[T](ctx, kv, found.Key)
			if errors.Is(err, catalog.ErrNotFound) {
				err = nil
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forget removes what is known of a person but the id. It reports whether there
// was anything.
func (w *Who) forget(person string) bool {
	bare := Who{Type: w.Type, ID: w.ID}
	if w.ID != person || *w == bare {
		return false
	}
	*w = bare
	return true
}

// Forget removes from a change what is known of a person, and what a receiver
// said. It reports whether there was anything.
func (c *Change) Forget(person string) bool {
	known := c.By.forget(person)
	if c.Action == ActionStateChanged && c.Detail != "" && c.Detail != quoteRemoved {
		c.Detail, known = quoteRemoved, true
	}
	return known
}

// unquote removes what the receiver said, and reports whether that was anything.
func (a *Attempt) unquote() bool {
	if a.Text == "" && a.Message == quoteRemoved {
		return false
	}
	a.Code, a.Message, a.Text = "", quoteRemoved, ""
	return true
}

func unquoteAll(list []Attempt) bool {
	changed := false
	for i := range list {
		changed = list[i].unquote() || changed
	}
	return changed
}

func (c *cursor) unquote(org string) bool {
	return c.Organization == org && c.Frozen != nil && unquoteAll(c.Frozen.Failures)
}

// forget removes what is known of a person, and what the receiver said.
func (r *Reconciliation) forget(org, person string) bool {
	if r.Organization != org {
		return false
	}
	changed := r.CreatedBy.forget(person)
	if r.Error != "" && r.Error != quoteRemoved && r.Error != reasonStopped {
		r.Error, changed = quoteRemoved, true
	}
	return changed
}

func (d *Delivery) unquote() bool {
	changed := unquoteAll(d.Failures) || d.Text != ""
	d.Text = ""
	return changed
}

func (d *DeadLetter) unquote() bool {
	if d.Code == "" && d.Text == "" && d.Message == quoteRemoved {
		return false
	}
	d.Code, d.Text, d.Message = "", "", quoteRemoved
	return true
}

// Mentions returns the streams of an organization whose owner has named somebody:
// in the filter, the name or a setting. They are not changed: without its filter a
// stream would send more than it is to.
func (s *Streams) Mentions(ctx context.Context, org string, names func(text string) bool) ([]string, error) {
	list, err := s.List(ctx, org)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, st := range list {
		named := names(st.Filter) || names(st.Name)
		for _, value := range st.Settings {
			named = named || names(value)
		}
		if named {
			found = append(found, st.ID)
		}
	}
	return found, nil
}
