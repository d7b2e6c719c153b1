package web

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
	"github.com/stelehq/stele/internal/web/words"
)

// menuOptions is how many values a menu offers before one types.
const menuOptions = 10

// logMenu adds a filter: the most frequent values of a field, to be ticked.
type logMenu struct {
	ID    string
	Field audit.Field
	Label string
	// Example is a value that one could type.
	Example string
	Path    string
	Options []menuOption
	// Set is how many values are ticked.
	Set int
	// Of says which events were counted when not all of the range; Late that
	// nothing could be counted in time.
	Of   string
	Late bool
	// ByName says that values are ids, whose names can be searched.
	ByName bool
	Hidden []logview.Param
	Drop   string
	// Also is a second field in the same menu.
	Also *logMenu
}

// AllSet is how many values are ticked in all of the menu.
func (m logMenu) AllSet() int {
	if m.Also != nil {
		return m.Set + m.Also.Set
	}
	return m.Set
}

// menuOption is one value.
type menuOption struct {
	Value, Text, Note string
	Count             *uint64
	Checked           bool
}

// menus counts the values of the menus, all at once and within a time.
func (p *pages) menus(r *server.Request, v logview.View, chart *logChart) []logMenu {
	ctx, cancel := context.WithTimeout(r.Context(), menuTime)
	defer cancel()
	fields := []audit.Field{audit.FieldAction, audit.FieldActorID, audit.FieldTargetID, audit.FieldTargetType}
	menus := make([]logMenu, len(fields))
	failures := make([]error, len(fields))
	hidden := v.Hidden()
	var all sync.WaitGroup
	for i, field := range fields {
		all.Go(func() {
			menus[i], failures[i] = p.menu(ctx, r.Organization.ID, v, chart, field)
			menus[i].Hidden = hidden
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		r.Log(slog.String("menus_error", err.Error()))
	}
	last := len(menus) - 1 // types of targets are in the menu of targets
	menus[last-1].Also = &menus[last]
	return menus[:last]
}

// menu counts the values of one field. What cannot be counted can still be typed.
func (p *pages) menu(ctx context.Context, org string, v logview.View, chart *logChart, field audit.Field) (logMenu, error) {
	set, drop := v.Positive(field)
	m := logMenu{
		ID: strings.ReplaceAll(string(field), ".", "-"), Field: field, Label: logview.FieldLabel(field), Path: v.Path, Set: len(set), Drop: drop,
		ByName: field == audit.FieldActorID || field == audit.FieldTargetID,
	}
	switch field {
	case audit.FieldAction:
		m.Example = "api_key.*"
	case audit.FieldTargetType:
		m.Example = "another type"
	}
	q, of := sample(v, v.WithoutField(field), &chart.Chart, field)
	m.Of = of
	facets, err := p.Engine.Facets(ctx, org, q, field, menuOptions)
	for _, f := range facets.Values {
		m.Options = append(m.Options, newOption(f, slices.Contains(set, f.Value)))
	}
	for _, value := range set {
		if !slices.ContainsFunc(m.Options, func(o menuOption) bool { return o.Value == value }) {
			m.Options = append(m.Options, menuOption{Value: value, Text: words.Shorten(value, maxChipText), Checked: true})
		}
	}
	m.Late = err != nil
	if shown, ok := errors.AsType[*audit.Error](err); ok && shown.Code == audit.CodeTooLarge || errors.Is(err, context.DeadlineExceeded) {
		err = nil // said in the menu
	}
	return m, err
}

func newOption(f search.FacetValue, checked bool) menuOption {
	o := menuOption{Value: f.Value, Text: words.Shorten(f.Value, maxChipText), Count: &f.Count, Checked: checked}
	if f.Name != "" {
		o.Text, o.Note = words.Shorten(f.Name, maxChipText), words.Shorten(f.Value, maxChipText)
	}
	return o
}

// most is how many events are counted by a field, so that an answer comes while
// one waits: all by what was done, fewer where values differ more.
func most(field audit.Field) uint64 {
	switch field {
	case audit.FieldAction, audit.FieldActorType:
		return 20_000_000
	case audit.FieldActorID, audit.FieldTargetType, audit.FieldLocation:
		return 200_000
	case audit.FieldTargetID, audit.FieldID:
		return 20_000
	default:
		return 100_000
	}
}

// sample narrows a query to the newest events of a view, as many as may be
// counted by a field, by what its chart says. It returns which those are, in
// words, "" when they are all.
func sample(v logview.View, q audit.Query, chart *logview.Chart, field audit.Field) (narrowed audit.Query, of string) {
	total := uint64(0)
	for _, b := range slices.Backward(chart.Bars) {
		if total += b.Count; total <= most(field) {
			continue
		}
		from := b.From
		if total-b.Count >= most(field)/10 { // enough without it
			from = b.To
		} else if excess := float64(most(field)) / float64(total); excess < 1 {
			from = b.To.Add(-time.Duration(float64(b.To.Sub(b.From)) * excess))
		}
		q.OccurredFrom = from
		return q, logview.Words(from, time.Time{}, v.Zone)
	}
	return q, ""
}
