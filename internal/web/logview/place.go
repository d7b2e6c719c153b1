package logview

import (
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// Place is where a page is among those of its view.
type Place struct {
	// Newer is a page that ends before the cursor's place, when reading from
	// the newest; otherwise it begins after it.
	Newer bool
	// From is where the range begins, when it is a preset: it stays from page to
	// page, and is the same to a colleague in another zone.
	From   time.Time
	Cursor search.Cursor
}

// String is the place as text: a letter for the direction, the beginning of the
// range in seconds, and the engine's cursor.
func (p Place) String() string {
	direction := "o"
	if p.Newer {
		direction = "n"
	}
	return direction + strconv.FormatInt(p.From.Unix(), 36) + "." + p.Cursor.String()
}

// parsePlace reads a place and takes its time.
func (v *View) parsePlace(text string) error {
	if text == "" {
		return nil
	}
	damaged := audit.FieldErrorf(audit.CodeInvalidCursor, paramCursor, "the address of this page is damaged")
	head, cursor, ok := strings.Cut(text, ".")
	if !ok || head == "" || head[0] != 'o' && head[0] != 'n' {
		return damaged
	}
	seconds, err := strconv.ParseInt(head[1:], 36, 64)
	from := time.Unix(seconds, 0)
	if err != nil || from.Before(audit.MinTime) || from.After(audit.MaxTime) {
		return damaged
	}
	c, err := search.ParseCursor(cursor)
	if err != nil {
		return damaged
	}
	v.Place = &Place{Newer: head[0] == 'n', From: from, Cursor: *c}
	return nil
}

// Request is the page to ask the engine for.
func (v View) Request(limit int) search.Request {
	r := search.Request{Query: v.Query(), Limit: limit}
	if v.Place != nil {
		r.After, r.Ascending = &v.Place.Cursor, v.Place.Newer
	}
	return r
}

// bound is the cursor that says which entries the pages of the view are of: what
// was recorded after the first of them was made is on none.
func (v View) bound(page *search.Page) search.Cursor {
	if v.Place != nil {
		return v.Place.Cursor
	}
	return page.Next
}

// at is the view on another of its pages.
func (v View) at(org string, page *search.Page, e *event.Entry, newer bool) View {
	from, _ := v.Bounds()
	if from.IsZero() {
		from = audit.MinTime // not looked at
	}
	c := v.bound(page)
	v.Place = &Place{Newer: newer, From: from, Cursor: c.From(org, v.Query(), newer, search.KeyOf(e))}
	return v
}

// Older is the view on the page after this one, which has entries.
func (v View) Older(org string, page *search.Page) View {
	return v.at(org, page, page.Entries[len(page.Entries)-1], false)
}

// Newer is the view on the page before this one, which has entries.
func (v View) Newer(org string, page *search.Page) View {
	return v.at(org, page, page.Entries[0], true)
}

// First is the view on the first page of those that this one is among: without
// what was recorded since.
func (v View) First(org string) View {
	if v.Place == nil {
		return v
	}
	place := *v.Place
	place.Newer = false
	place.Cursor = place.Cursor.Begin(org, v.Query(), false)
	v.Place = &place
	return v
}
