package retention

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/search"
)

// maxRules bounds how many organizations' rules stay in memory, about 1 KiB each.
const maxRules = 1 << 16

// rules are what decides which entries of an organization are shown. They are made
// anew when the organization or one of its holds changes.
type rules struct {
	// org is the organization that they were made from: the catalog has another
	// one as soon as it changes.
	org     *catalog.Organization
	classes []catalog.RetentionClass
	holds   []*Hold // all there ever were, by id

	newest atomic.Pointer[moment]
}

// moment is what is kept at one millisecond.
type moment struct {
	ms    int64
	until time.Time // when the next hold ends; zero for never
	holds *search.Keep
	keep  *search.Keep
}

// Keep says what is kept of an organization's log at a moment. It is a
// search.Keeper: fast, and it reads nothing but small records, and those only
// after a change. An organization that does not exist keeps everything.
func (r *Retention) Keep(org string, now time.Time) (*search.Keep, error) {
	ctx := context.Background()
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // nil keeps everything
	}
	if err != nil {
		return nil, fmt.Errorf("read how long entries are kept: %w", err)
	}
	r.mu.RLock()
	ru := r.orgs[org]
	r.mu.RUnlock()
	if ru == nil || ru.org != o {
		if ru, err = r.makeRules(ctx, o); err != nil {
			return nil, fmt.Errorf("read how long entries are kept: %w", err)
		}
	}
	return ru.at(now)
}

// forget has the rules of an organization made anew.
func (r *Retention) forget(org string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	delete(r.orgs, org)
}

// makeRules reads the rules of an organization and keeps them, unless something
// has changed meanwhile.
func (r *Retention) makeRules(ctx context.Context, o *catalog.Organization) (*rules, error) {
	r.mu.RLock()
	began := r.changes
	r.mu.RUnlock()
	holds, err := r.loadHolds(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	ru := &rules{org: o, classes: o.RetentionClasses(), holds: holds}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != began {
		return ru, nil
	}
	for old := range r.orgs {
		if len(r.orgs) < maxRules {
			break
		}
		delete(r.orgs, old)
	}
	r.orgs[o.ID] = ru
	return ru, nil
}

// at is what is kept at a moment. Reads of one millisecond share it.
func (ru *rules) at(now time.Time) (*search.Keep, error) {
	ms := now.UnixMilli()
	last := ru.newest.Load()
	if last != nil && last.ms == ms {
		return last.keep, nil
	}
	now = time.UnixMilli(ms).UTC()
	m := &moment{ms: ms}
	if last != nil && last.ms < ms && (last.until.IsZero() || now.Before(last.until)) {
		m.until, m.holds = last.until, last.holds
	} else {
		holds, err := compileHolds(ru.holds, func(h *Hold) bool { return h.State(now) == HoldActive })
		if err != nil {
			return nil, err
		}
		m.until, m.holds = ru.nextEnd(now), search.NewKeep(nil, holds)
	}
	if queries := due(ru.classes, now); len(queries) > 0 || len(m.holds.Holds()) > 0 {
		m.keep = m.holds.At(queries)
	}
	ru.newest.Store(m)
	return m.keep, nil
}

// nextEnd is when the first of the holds in force ends by itself; zero for never.
func (ru *rules) nextEnd(now time.Time) time.Time {
	var next time.Time
	for _, h := range ru.holds {
		if h.State(now) == HoldActive && !h.EndsAt.IsZero() && (next.IsZero() || h.EndsAt.Before(next)) {
			next = h.EndsAt
		}
	}
	return next
}

// compileHolds returns those of the holds that are active, and others which one of
// them needs to say what it keeps, each after those that it names.
func compileHolds(holds []*Hold, active func(*Hold) bool) ([]search.Hold, error) {
	c := compiler{holds: holds, active: active, place: map[string]int{}}
	for _, h := range holds {
		if !active(h) {
			continue
		}
		if _, err := c.add(h); err != nil {
			return nil, err
		}
	}
	return c.list, nil
}

// compiler makes holds as engines know them.
type compiler struct {
	holds  []*Hold
	active func(*Hold) bool
	list   []search.Hold
	place  map[string]int // in list, by id
}

// add adds a hold, if it is not there, and returns its place. Of the holds that
// were in force when it was made those that still are need not be named: they keep
// themselves what they keep.
func (c *compiler) add(h *Hold) (int, error) {
	if i, ok := c.place[h.ID]; ok {
		return i, nil
	}
	q, err := audit.ParseQuery(h.Query)
	if err != nil {
		return 0, fmt.Errorf("query of hold %s: %w", h.ID, err)
	}
	made := search.Hold{Query: q, Over: !c.active(h)}
	if made.Due, err = parseQueries(h.Due); err != nil {
		return 0, fmt.Errorf("hold %s: %w", h.ID, err)
	}
	for _, id := range h.Before {
		i := slices.IndexFunc(c.holds, func(b *Hold) bool { return b.ID == id })
		if i < 0 || c.active(c.holds[i]) {
			continue
		}
		at, err := c.add(c.holds[i])
		if err != nil {
			return 0, err
		}
		made.Before = append(made.Before, at)
	}
	c.list = append(c.list, made)
	c.place[h.ID] = len(c.list) - 1
	return c.place[h.ID], nil
}

func parseQueries(texts []string) ([]audit.Query, error) {
	var list []audit.Query
	for _, text := range texts {
		q, err := audit.ParseQuery(text)
		if err != nil {
			return nil, fmt.Errorf("query of what was due: %w", err)
		}
		list = append(list, q)
	}
	return list, nil
}
