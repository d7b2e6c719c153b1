package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/complete"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	// completeTime is how long counting for the search box may take.
	completeTime = 300 * time.Millisecond
	// maxTyped is the longest text that is completed.
	maxTyped = 4 << 10
	// offered is how many values of a field are looked through, and shown
	// those of a kind that are shown.
	offered    = 1000
	shownFew   = 4
	shownMany  = 10
	sampleRows = 100 // of which keys of metadata are read
)

// completion is what may come next in the search box.
type completion struct {
	// Start and End are the term that an item's text takes the place of, in
	// UTF-16 units.
	Start int             `json:"start"`
	End   int             `json:"end"`
	Items []complete.Item `json:"items"`
	// Notes say what was not counted, and of which events the counts are.
	Notes []string `json:"notes,omitempty"`
}

// complete answers with what may come next: at the caret "at" of q, or as the
// value of a "field" that begins with "word".
func (p *pages) complete(w http.ResponseWriter, r *server.Request) error {
	params := r.URL.Query()
	text := params.Get("q")
	if len(text) > maxTyped {
		return server.WriteJSON(w, http.StatusOK, completion{Items: []complete.Item{}})
	}
	at, err := strconv.Atoi(params.Get("at"))
	if err != nil {
		at = len(text)
	}
	caret := complete.At(text, complete.ByteOf(text, at))
	if field := params.Get("field"); field != "" {
		caret = complete.Caret{Field: field, Word: params.Get("word"), Rest: text}
	}
	out := completion{Start: complete.UnitOf(text, caret.Start), End: complete.UnitOf(text, caret.End)}
	ctx, cancel := context.WithTimeout(r.Context(), completeTime)
	defer cancel()
	done := p.counting.take(ctx, r.Organization.ID)
	if done == nil {
		out.Items, out.Notes = []complete.Item{}, []string{"Nothing could be counted in time: others of your organization are counting. What you type is found all the same."}
		return server.WriteJSON(w, http.StatusOK, out)
	}
	defer done()
	c := p.completer(r, caret)
	defer c.cancel()
	out.Items = c.items(caret)
	out.Notes = c.notes
	if out.Items == nil {
		out.Items = []complete.Item{}
	}
	if params.Get("field") != "" {
		plainValues(out.Items)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// plainValues makes items of terms into items of values, for a form that asks
// for the values of one field.
func plainValues(items []complete.Item) {
	for i := range items {
		if q, err := audit.ParseQuery(items[i].Insert); err == nil && len(q.Filters) == 1 {
			items[i].Insert = q.Filters[0].Values[0]
		}
	}
}

// completer counts for one answer. Its methods may be called concurrently where
// they say so.
type completer struct {
	pages  *pages
	org    string
	ctx    context.Context //nolint:containedctx // lives as long as one request
	cancel context.CancelFunc
	log    func(...slog.Attr)
	view   logview.View
	chart  *logChart

	mu    sync.Mutex
	notes []string
}

// completer looks at the events that the rest of the filter leaves of the range.
// A rest that cannot be read yet leaves all of them.
func (p *pages) completer(r *server.Request, caret complete.Caret) *completer {
	params := r.URL.Query()
	params.Set("q", caret.Rest)
	params.Del("cursor")
	v, err := logview.Parse(listPath, params, p.zone(r).Location, p.Now())
	if err != nil {
		params.Del("q")
		v, _ = logview.Parse(listPath, params, p.zone(r).Location, p.Now())
	}
	c := &completer{pages: p, org: r.Organization.ID, view: v, log: r.Log}
	c.ctx, c.cancel = context.WithTimeout(r.Context(), completeTime)
	c.chart = p.chart(r, v, completeTime/3)
	return c
}

// items are what may come next at a caret.
func (c *completer) items(caret complete.Caret) []complete.Item {
	if caret.Field == "" {
		return c.anything(caret)
	}
	field, err := audit.ParseField(caret.Field)
	if err != nil || field == audit.FieldText {
		return nil
	}
	return first(c.ofField(field, caret), shownMany)
}

// anything is what a word without a colon may become: a field, or a value of one
// of those that people look for.
func (c *completer) anything(caret complete.Caret) []complete.Item {
	if caret.Word == "" {
		return first(complete.Fields("", caret.Not, nil), 9)
	}
	names := complete.Fields(caret.Word, caret.Not, c.paths())
	if strings.Contains(caret.Word, "metadata.") {
		return first(names, shownMany)
	}
	kinds := []audit.Field{audit.FieldAction, audit.FieldActorID, audit.FieldTargetID, audit.FieldTargetType}
	found := make([][]complete.Item, len(kinds))
	var all sync.WaitGroup
	for i, field := range kinds {
		all.Go(func() { found[i] = first(c.ofField(field, caret), shownFew) })
	}
	all.Wait()
	values := slices.Concat(found...)
	if len(names) > 0 && !strings.HasPrefix(names[0].Text, strings.ToLower(caret.Word)) {
		return append(values, first(names, shownFew)...)
	}
	return append(first(names, shownFew), values...)
}

// ofField is what the value of a field may become. It may be called concurrently.
func (c *completer) ofField(field audit.Field, caret complete.Caret) []complete.Item {
	label := logview.FieldLabel(field)
	counted := c.count(field, caret.Word)
	items := complete.Values(field, label, caret.Word, caret.Not, counted)
	if field == audit.FieldAction {
		items = withFamilies(items, complete.Families(caret.Word, caret.Not, counted))
	}
	return items
}

// withFamilies puts two families behind the first actions.
func withFamilies(actions, families []complete.Item) []complete.Item {
	at := min(len(actions), 2)
	return slices.Insert(actions, at, first(families, 2)...)
}

// count counts the values of a field: the most frequent of all, and where names
// are searched, those of events in which the name is.
func (c *completer) count(field audit.Field, word string) []search.FacetValue {
	q, of := sample(c.view, c.view.Query(), &c.chart.Chart, field)
	limit := offered
	name := map[audit.Field]audit.Field{audit.FieldActorID: audit.FieldActorName, audit.FieldTargetID: audit.FieldTargetName}[field]
	if name != "" { // names cost a look at an entry each
		limit = 200
	}
	values, ok := c.facets(field, q, limit)
	if !ok {
		c.note(logview.FieldLabel(field) + ": not counted in time. What you type is found all the same.")
	} else if of != "" {
		c.note(logview.FieldLabel(field) + ": counted in the newest events, " + insideSentence(of) + ".")
	}
	if name == "" || strings.TrimSpace(word) == "" {
		return values
	}
	named := c.view.Query().Normalize()
	named.Filters = append(named.Filters, audit.Filter{Field: name, Values: []string{word}})
	more, _ := c.facets(field, named, limit)
	exact := c.view.Query().Normalize()
	exact.Filters = append(exact.Filters, audit.Filter{Field: field, Values: []string{word}})
	is, _ := c.facets(field, exact, 5)
	return union(more, values, is)
}

// union has each value once, with its largest count, the most frequent first.
func union(lists ...[]search.FacetValue) []search.FacetValue {
	all := map[string]search.FacetValue{}
	for _, v := range slices.Concat(lists...) {
		if have, ok := all[v.Value]; !ok || v.Count > have.Count {
			all[v.Value] = v
		}
	}
	out := make([]search.FacetValue, 0, len(all))
	for _, v := range all {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b search.FacetValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	return out
}

// facets asks the engine. It reports false when there was no time, or too much
// to count.
func (c *completer) facets(field audit.Field, q audit.Query, limit int) ([]search.FacetValue, bool) {
	if q.Validate() != nil {
		return nil, true
	}
	f, err := c.pages.Engine.Facets(c.ctx, c.org, q, field, limit)
	if shown, ok := errors.AsType[*audit.Error](err); err != nil && !errors.Is(err, context.DeadlineExceeded) && (!ok || shown.Code != audit.CodeTooLarge) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.log(slog.String("complete_error", err.Error()))
	}
	return f.Values, err == nil
}

func (c *completer) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.notes, text) {
		c.notes = append(c.notes, text)
	}
}

// paths are the paths into metadata that the newest events have.
func (c *completer) paths() []string {
	page, err := c.pages.Engine.Search(c.ctx, c.org, search.Request{Query: c.view.Query(), Limit: sampleRows})
	if err != nil {
		c.note("Keys of metadata: not read in time.")
		return nil
	}
	seen := map[string]int{}
	for _, e := range page.Entries {
		addPaths(seen, e.Audit(c.org))
	}
	paths := make([]string, 0, len(seen))
	for path := range seen {
		if _, err := audit.ParseField(path); err == nil {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Or(cmp.Compare(seen[b], seen[a]), strings.Compare(a, b)) })
	return paths
}

// addPaths counts the first keys of an entry's metadata.
func addPaths(seen map[string]int, e audit.Entry) {
	for key := range e.Metadata {
		seen["metadata."+key]++
	}
	for key := range e.Actor.Metadata {
		seen["actor.metadata."+key]++
	}
	for i := range e.Targets {
		for key := range e.Targets[i].Metadata {
			seen["target.metadata."+key]++
		}
	}
}

// first is at most the first n.
func first(items []complete.Item, n int) []complete.Item { return items[:min(n, len(items))] }
