package retention

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/search"
)

// Preview says what a policy would do at once: nothing is changed by it.
type Preview struct {
	// At is the moment that it is about.
	At time.Time `json:"at"`
	// Due is how many of the entries that are shown would be past their time, and
	// go. Held is how many more would be but for legal holds.
	Due  uint64 `json:"due"`
	Held uint64 `json:"held"`
	// Oldest and Newest are the first and the last received_at of those that
	// would go; zero when none would.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Classes are the same for each class of actions, the default first.
	Classes []ClassPreview `json:"classes"`
}

// ClassPreview is a Preview of one class of actions.
type ClassPreview struct {
	// Pattern is the class of the policy, "" for the default; Days its period.
	Pattern string    `json:"pattern"`
	Days    int       `json:"days"`
	Due     uint64    `json:"due"`
	Held    uint64    `json:"held"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
}

// Preview says what a policy would do at once. Errors for the caller: those of
// SetPolicy about the policy, not_found.
func (r *Retention) Preview(ctx context.Context, org string, p Policy) (Preview, error) {
	p, err := p.check()
	if err != nil {
		return Preview{}, err
	}
	return r.preview(ctx, org, p, 0)
}

// preview counts what would be past its time, slack ago, and is shown now.
func (r *Retention) preview(ctx context.Context, org string, p Policy, slack time.Duration) (Preview, error) {
	now := r.now()
	o, err := r.cfg.Catalog.Organization(ctx, org)
	if err != nil {
		return Preview{}, err
	}
	keep, err := r.Keep(org, now)
	if err != nil {
		return Preview{}, err
	}
	head, err := r.cfg.Store.Head(ctx, org)
	if err != nil {
		return Preview{}, fmt.Errorf("read head: %w", err)
	}
	next := *o
	next.RetentionDays, next.RetentionActions = p.Days, p.Actions
	c := counter{r: r, org: org, size: head.Size, keep: keep}
	for _, class := range next.RetentionClasses() {
		if cut := class.Cut(now.Add(-slack)); !cut.Before(audit.MinTime) {
			c.add(&class, cut)
		}
	}
	if err := c.countHeld(ctx); err != nil {
		return Preview{}, fmt.Errorf("count what holds keep: %w", err)
	}
	out := Preview{At: now, Classes: []ClassPreview{{Days: p.Days}}}
	for _, a := range p.Actions {
		out.Classes = append(out.Classes, ClassPreview{Pattern: a.Pattern, Days: a.Days})
	}
	for i := range c.classes {
		if err := c.count(ctx, &c.classes[i]); err != nil {
			return Preview{}, fmt.Errorf("count what is past its time: %w", err)
		}
		out.add(&c.classes[i])
	}
	return out, nil
}

// add adds what one class has to the whole and to its rule.
func (p *Preview) add(c *counted) {
	at := slices.IndexFunc(p.Classes, func(class ClassPreview) bool { return class.Pattern == c.rule })
	class := &p.Classes[at]
	class.Due += c.due
	class.Held += c.held
	class.Oldest, class.Newest = earlier(class.Oldest, c.oldest), later(class.Newest, c.newest)
	p.Due += c.due
	p.Held += c.held
	p.Oldest, p.Newest = earlier(p.Oldest, c.oldest), later(p.Newest, c.newest)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// counter counts what is shown and matches the queries of classes.
type counter struct {
	r       *Retention
	org     string
	size    uint64
	keep    *search.Keep
	classes []counted
}

// counted is one class: how many entries match the query, those that are held and
// the others.
type counted struct {
	rule           string
	query          audit.Query
	match          *search.Matcher
	due, held      uint64
	oldest, newest time.Time
}

func (c *counter) add(class *catalog.RetentionClass, cut time.Time) {
	q := audit.Query{Filters: classFilters(class), ReceivedTo: cut}
	c.classes = append(c.classes, counted{rule: class.Rule, query: q, match: search.Compile(q)})
}

// countHeld counts what holds keep, by class. It looks at what each hold finds,
// since that is less than what is past its time; what several find is counted with
// the first of them.
func (c *counter) countHeld(ctx context.Context) error {
	var before []*search.Matcher
	for _, h := range c.keep.Holds() {
		if h.Over {
			continue
		}
		for e, err := range c.r.cfg.Engine.Scan(ctx, c.org, h.Query, 0, c.size, false) {
			if err != nil {
				return err
			}
			if !c.keep.Held(e) || slices.ContainsFunc(before, func(m *search.Matcher) bool { return m.Match(e) }) {
				continue
			}
			for i := range c.classes {
				if c.classes[i].match.Match(e) {
					c.classes[i].held++
					break
				}
			}
		}
		before = append(before, search.Compile(h.Query))
	}
	return nil
}

// count counts what is not held, and finds the first and the last of it.
func (c *counter) count(ctx context.Context, class *counted) error {
	all, err := c.r.cfg.Engine.Survey(ctx, c.org, class.query, 0, c.size)
	if err != nil {
		return err
	}
	// What is recorded or goes meanwhile may be in one count and not the other.
	class.due = all.Entries - min(all.Entries, class.held)
	if class.due == 0 {
		return nil
	}
	if class.oldest, err = c.edge(ctx, class.query, false); err != nil {
		return err
	}
	class.newest, err = c.edge(ctx, class.query, true)
	return err
}

// edge is the received_at of the first, or the last, entry that is not held.
func (c *counter) edge(ctx context.Context, q audit.Query, last bool) (time.Time, error) {
	for e, err := range c.r.cfg.Engine.Scan(ctx, c.org, q, 0, c.size, last) {
		if err != nil {
			return time.Time{}, err
		}
		if !c.keep.Held(e) {
			return time.UnixMilli(e.ReceivedAt).UTC(), nil
		}
	}
	return time.Time{}, nil
}
