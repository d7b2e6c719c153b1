package web

import (
	"html/template"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// TestRowLeadsBack holds that a row's link keeps the filters of the list, and
// that what is in an entry is text in the page.
func TestRowLeadsBack(t *testing.T) {
	ev, err := event.FromAudit(&audit.Event{
		Action: "api_key.created", OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
		Actor:   audit.Actor{Type: "user", ID: "u1", Name: "<script>alert(1)</script>"},
		Targets: []audit.Target{{Type: "api_key", ID: "k1", Name: "Deploy \u202ebot"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &event.Entry{Event: *ev, Seq: 7, ReceivedAt: ev.OccurredAt / 1e6}
	copy(e.ID[:], "01KJM9FC000000000700000000")
	r := newRow(e, rowContext{Org: "org_1", Now: time.Now(), Zone: time.UTC, Carry: url.Values{"q": {`action:a "b"`}}})
	if want := entriesPath + e.ID.String() + "?q=action%3Aa+%22b%22"; r.Href != want {
		t.Errorf("href %q, want %q", r.Href, want)
	}
	var page strings.Builder
	tmpl := template.Must(template.New("").Funcs(template.FuncMap{"icon": func(string) string { return "" }}).ParseFS(files, "templates/parts/row.html"))
	if err := tmpl.ExecuteTemplate(&page, "row", r); err != nil {
		t.Fatal(err)
	}
	if got := page.String(); strings.Contains(got, "<script>") || !strings.Contains(got, "&lt;script&gt;") {
		t.Errorf("the name is not text in %s", got)
	}
}
