package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web/logview"
)

const (
	listPath = Base + "/audit-log"
	// pageSize is how many entries a page of the list has.
	pageSize = 50
	// Times that the parts of the list may take. Rows are what people came
	// for; what cannot be counted beside them in its time says so instead.
	rowsTime  = 20 * time.Second
	chartTime = 250 * time.Millisecond
	menuTime  = 80 * time.Millisecond
	whyTime   = 400 * time.Millisecond
)

func (p *pages) logRoutes() []server.Route {
	return []server.Route{
		get("log.list", "audit-log", auth.Person(), p.list),
		get("log.histogram", "audit-log/histogram", auth.Person(), p.histogram),
		get("log.complete", "audit-log/complete", auth.Person(), p.complete),
	}
}

// logPage is what the list shows.
type logPage struct {
	logview.View
	// QueryFault and RangeFault are what is wrong with the address.
	QueryFault, RangeFault *audit.Error
	// Fault is why there are no rows, nil when all is well.
	Fault *logFault

	Chips   []logChip
	Menus   []logMenu
	Dates   []logLink
	Chart   *logChart
	Rows    []row
	Through *audit.Position
	// Total is how many events the view has, as far as they were counted.
	Total *uint64
	// Future is how many of them are dated after now.
	Future uint64
	// First, Newer and Older are the other pages; "" when there is none.
	First, Newer, Older string
	Why                 *logWhy
	// NoEntries is an organization without any.
	NoEntries bool
	Export    string
}

// Cleared is the view without any filter.
func (page *logPage) Cleared() string { return page.WithFilter(audit.Query{}).URL() }

// ZoneURL chooses another zone for the times of all pages.
func (page *logPage) ZoneURL(name string) string {
	return page.View.WithZone(name).Newest().URL() + "&" + paramKeep + "=1"
}

// BadRange reports whether an end of the range cannot be read.
func (page *logPage) BadRange(name string) bool {
	return page.RangeFault != nil && page.RangeFault.Field == name
}

// logThrough says up to where a list is complete.
type logThrough struct {
	At   *audit.Position
	Zone Zone
}

// logLink is a link that may be the current one.
type logLink struct {
	Text, URL string
	Current   bool
}

// logFault is an error in place of rows.
type logFault struct {
	Heading, Advice string
	// Retry asks again, Back is the newest page; "" when it does not help.
	Retry, Back string
	RequestID   string
	status      int
}

// list is the page of the log.
func (p *pages) list(w http.ResponseWriter, r *server.Request) error {
	if p.keepZone(w, r) {
		return nil
	}
	params, zone := r.URL.Query(), p.zone(r).Location
	if logview.IsEdit(params) {
		if v, err := logview.Edit(listPath, params, zone, p.Now()); err == nil {
			http.Redirect(w, r.Request, v.URL(), http.StatusSeeOther)
			return nil
		}
	}
	p.opened(r)
	v, err := logview.Parse(listPath, params, zone, p.Now())
	page := &logPage{View: v, Export: exportURL(v)}
	if err != nil {
		page.refuse(r, err)
	} else if err := p.fill(r, page); err != nil {
		return err
	}
	page.Dates = dates(page.View)
	return p.showList(w, r, page)
}

// showList answers with the list, or for a script with its changing part.
func (p *pages) showList(w http.ResponseWriter, r *server.Request, page *logPage) error {
	v := view{Title: "Audit log", Section: "audit-log", Data: page, Scripts: logScripts()}
	switch {
	case page.Fault != nil:
		v.Status = page.Fault.status
	case page.QueryFault != nil || page.RangeFault != nil:
		v.Status = http.StatusBadRequest
	}
	if r.Header.Get(fragmentHeader) != "" {
		return p.render(w, r, p.parts, "log", v)
	}
	return p.show(w, r, "audit-log", v)
}

func logScripts() []string {
	return []string{"js/search.js", "js/histogram.js", "js/counting.js", "js/entry.js", "js/verify.js", "js/live.js", "js/keys.js"}
}

// exportURL is the form of a new export of what a view shows.
func exportURL(v logview.View) string {
	params := v.Params()
	params.Set("new", "1")
	return Base + "/exports?" + params.Encode()
}

// dates are the presets of the date menu.
func dates(v logview.View) []logLink {
	var out []logLink
	for _, preset := range logview.Presets() {
		out = append(out, logLink{preset.Label, v.WithRange(preset.Name).URL(), v.Range == preset.Name})
	}
	return append(out, logLink{"All time", v.WithRange(logview.RangeAll).URL(), v.Range == logview.RangeAll})
}

// refuse shows what is wrong with the address, and no rows: rows of another
// question than the one that was asked would mislead.
func (page *logPage) refuse(r *server.Request, err error) {
	fault, ok := errors.AsType[*audit.Error](err)
	if !ok {
		fault = audit.Errorf(audit.CodeInvalidRequest, "the address cannot be read")
	}
	page.Chips = chipsOf(page.View, nil)
	switch {
	case fault.Code == audit.CodeInvalidCursor:
		page.Fault = badPlace(page.View, r)
	case fault.Field == "q":
		page.QueryFault = fault
	default:
		page.RangeFault = fault
	}
}

// badPlace is for a place between pages that is damaged or of another filter.
func badPlace(v logview.View, r *server.Request) *logFault {
	return &logFault{
		Heading: "This page of the list cannot be found again",
		Advice:  "Its address is damaged, or was made for another filter. The filter is kept.",
		Back:    v.Newest().URL(), RequestID: r.ID, status: http.StatusBadRequest,
	}
}

// fill asks the engine for what the page shows. Its error is one that leaves
// nothing to show.
func (p *pages) fill(r *server.Request, page *logPage) error {
	ctx, cancel := context.WithTimeout(r.Context(), rowsTime)
	defer cancel()
	found, err := p.Engine.Search(ctx, r.Organization.ID, page.Request(pageSize))
	if err != nil {
		return p.fillFault(r, page, err)
	}
	if found.Through == nil {
		page.NoEntries = true
		return nil
	}
	if page.Place != nil && page.Place.Newer {
		if !found.More { // the first page, which may have grown to its size
			return p.fillFirst(r, page)
		}
		slices.Reverse(found.Entries)
	}
	page.Through = found.Through
	p.fillRows(r, page, &found)
	page.Chart = p.chart(r, page.View, chartTime)
	page.Total, page.Future = page.Chart.Sum(), page.Chart.Future
	page.Menus = p.menus(r, page.View, page.Chart)
	page.Chips = chipsOf(page.View, namesOf(&found, page.Menus))
	if len(page.Rows) == 0 {
		page.Why = p.why(r, page)
	}
	return nil
}

// fillFirst is fill for the first page of those that the page is among.
func (p *pages) fillFirst(r *server.Request, page *logPage) error {
	page.View = page.View.First(r.Organization.ID)
	return p.fill(r, page)
}

// fillFault shows an error instead of rows, with everything that was set. A
// client that went away gets nothing.
func (p *pages) fillFault(r *server.Request, page *logPage, err error) error {
	page.Chips = chipsOf(page.View, nil)
	shown, isShown := errors.AsType[*audit.Error](err)
	switch {
	case errors.Is(r.Context().Err(), context.Canceled):
		return err
	case isShown && shown.Code == audit.CodeInvalidCursor:
		page.Fault = badPlace(page.View, r)
		return nil
	case isShown && shown.Code == audit.CodeInvalidQuery:
		page.QueryFault = shown
		return nil
	}
	page.Fault = &logFault{
		Heading: "The events could not be read",
		Advice:  "This is a fault on our side, not an empty log: nothing is lost. Your filters are kept.",
		Retry:   page.URL(), RequestID: r.ID, status: http.StatusInternalServerError,
	}
	if errors.Is(err, context.DeadlineExceeded) || isShown {
		page.Fault.status = http.StatusServiceUnavailable
	}
	if errors.Is(err, context.DeadlineExceeded) {
		page.Fault.Heading = "Reading the events took too long"
		page.Fault.Advice = "Nothing is lost, and your filters are kept. A shorter range or one more filter helps."
	}
	r.Log(slog.String("error", err.Error()))
	return nil
}

// fillRows puts the entries of a page in place, and the way to the others.
func (p *pages) fillRows(r *server.Request, page *logPage, found *search.Page) {
	org := r.Organization.ID
	in := rowContext{Org: org, Now: p.Now(), Zone: page.Zone, Carry: page.All()}
	for _, e := range found.Entries {
		page.Rows = append(page.Rows, newRow(e, in))
	}
	if len(found.Entries) == 0 {
		return
	}
	backwards := page.Place != nil && page.Place.Newer
	if found.More || backwards {
		page.Older = page.View.Older(org, found).URL()
	}
	if page.Place != nil && (page.Place.Cursor.Started || backwards) {
		page.Newer = page.View.Newer(org, found).URL()
	}
	if page.Place != nil {
		page.First = page.View.Newest().URL()
	}
}
