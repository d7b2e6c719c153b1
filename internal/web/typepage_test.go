package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/demo"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

func text(description string) *schema.Property {
	return &schema.Property{Type: schema.TypeString, Description: description}
}

// teams are two versions of an action: a key is gone, one is new, one changed.
func teams() (v1, v2 schema.Schema) {
	v1 = schema.Schema{
		Action: "team.updated", Description: "A team was changed.",
		Targets: []schema.Target{{Type: "team", Metadata: &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{"slug": text("")}}}},
		Metadata: &schema.Property{Type: schema.TypeObject, Required: []string{"size"}, Properties: map[string]*schema.Property{
			"size": {Type: schema.TypeInteger}, "reason": text(""), "old_name": text("Its name before."), "kind": {Type: schema.TypeString, Enum: []any{"open", "closed"}},
		}},
	}
	v2 = v1
	v2.Description = "A team was changed, by whoever may."
	v2.Metadata = &schema.Property{Type: schema.TypeObject, Required: []string{"reason", "size"}, Properties: map[string]*schema.Property{
		"size": {Type: schema.TypeNumber}, "reason": text(""), "kind": {Type: schema.TypeString, Enum: []any{"open", "closed", "secret"}},
		"members": {Type: schema.TypeArray, Items: &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{"email": {Type: schema.TypeString, Format: "email"}}}},
	}}
	return v1, v2
}

// openTypes is a site with a registered action of two versions, events of both,
// of one that is not registered, and one from long ago.
func openTypes(t *testing.T) *site {
	t.Helper()
	s := openSite(t)
	v1, v2 := teams()
	for _, sc := range []schema.Schema{v1, v2, {Action: "team.deleted", Description: "A team was deleted."}} {
		if _, err := s.Schemas.Register(t.Context(), sc); err != nil {
			t.Fatal(err)
		}
	}
	example := func(sc schema.Schema, version int) audit.Event {
		sc.Version = version
		return schema.Example(&sc, s.now().Add(-time.Hour))
	}
	old := example(v1, 1)
	old.OccurredAt = s.now().AddDate(0, 0, -91)
	s.record(t, "ours", example(v1, 1), example(v2, 2), example(v2, 2), old)
	s.record(t, "ours", s.plainEvents("coffee.made", 4)...)
	s.record(t, "theirs", s.plainEvents("secret.kept", 4)...)
	return s
}

// rowOf is the text of the row of a table that has an exact text in one of its
// cells' links or codes.
func rowOf(t *testing.T, p page, name string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.TextNode || strings.TrimSpace(n.Data) != name {
			continue
		}
		for up := range n.Ancestors() {
			if up.Type == html.ElementNode && up.Data == "tr" {
				var b strings.Builder
				for below := range up.Descendants() {
					if below.Type == html.TextNode {
						b.WriteString(below.Data + " ")
					}
				}
				return spaceless(b.String())
			}
		}
	}
	t.Errorf("no row has %q", name)
	return ""
}

// TestEventTypes looks at the catalogue: what is registered, what occurs and what
// the server records by itself.
func TestEventTypes(t *testing.T) {
	s := openTypes(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	p := v.get("/event-types")
	p.want(t, http.StatusOK, "Team", "Coffee")
	p.wantNot(t, "secret.kept")
	for action, want := range map[string]string{
		"team.updated":       "team.updated A team was changed, by whoever may. 2 3",
		"team.deleted":       "team.deleted A team was deleted. 1 0",
		"coffee.made":        "coffee.made Not registered No description – 4",
		"audit_log.exported": "audit_log.exported Built in Someone asked for an export of the audit log. 1 0",
	} {
		if got := rowOf(t, p, action); got != want {
			t.Errorf("%s: %q, want %q", action, got, want)
		}
	}
	if want := `href="/settings/security/audit-log?q=action%3Ateam.updated&amp;range=90d"`; !strings.Contains(p.text, want) {
		t.Errorf("there is no link %s", want)
	}

	found := v.get("/event-types?q=TEAM+whoever")
	found.want(t, http.StatusOK, "team.updated", "[TEAM whoever]", "1 of 26 event types")
	found.wantNot(t, "team.deleted", "coffee.made")
	v.get("/event-types?q=%3Cscript%3E").want(t, http.StatusOK, "No event type matches “<script>”")

	failing := func(context.Context) error { return errors.New("no") }
	s.engine.onCount.Store(&failing)
	v.get("/event-types").want(t, http.StatusOK, "took too long", "team.updated")
}

// TestEventType looks at one action, its versions and what changed.
func TestEventType(t *testing.T) {
	s := openTypes(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	p := v.get("/event-types/team.updated")
	p.want(t, http.StatusOK, "Fields of version 2", "3 events in the last 90 days", `"action": "team.updated"`)
	for name, want := range map[string]string{
		"metadata.size":          "metadata.size number Required Any –",
		"metadata.kind":          "metadata.kind string Optional open , closed , secret –",
		"metadata.members":       "metadata.members array of object Optional Any –",
		"metadata.members.email": "metadata.members.email string, email Optional Any –",
		"target.type":            "target.type string Required team –",
		"target.metadata.slug":   "target.metadata.slug Target team string Optional Any –",
		"Version 2":              "Version 2 Shown A team was changed, by whoever may. just now 2",
		"Version 1":              "Version 1 A team was changed. just now 1",
	} {
		if got := rowOf(t, p, name); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	v.get("/event-types/team.updated?version=1").want(t, http.StatusOK, "Fields of version 1", "Its name before.")

	compared := v.get("/event-types/team.updated?a=1&b=2")
	compared.want(t, http.StatusOK, "From version 1 to version 2", "Breaking metadata.old_name is gone", "Compatible metadata.kind may now also be")
	for name, want := range map[string]string{
		"metadata.old_name":    "− Removed metadata.old_name string, optional Not there",
		"metadata.members":     "+ Added metadata.members Not there array of object, optional",
		"metadata.reason":      "~ Changed metadata.reason string, optional string, required",
		"metadata.size":        "~ Changed metadata.size integer, required number, required",
		"target.metadata.slug": "= Same target.metadata.slug string, optional string, optional",
	} {
		if got := rowOf(t, compared, name); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	back := v.get("/event-types/team.updated?a=2&b=1")
	if got, want := rowOf(t, back, "metadata.old_name"), "+ Added metadata.old_name Not there string, optional"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	v.get("/event-types/team.updated?a=2&b=2").want(t, http.StatusOK, "Nothing that matters to an event changed")

	v.get("/event-types/coffee.made").want(t, http.StatusOK, "Not registered", "nobody has registered", "4 events")
	v.get("/event-types/audit_log.exported").want(t, http.StatusOK, "metadata.filter", "Built in")
	for _, path := range []string{"secret.kept", "nothing", "team.updated?version=3", "team.updated?a=1&b=9", "team.updated?a=x&b=1", "team.updated?a=1"} {
		v.get("/event-types/"+path).want(t, http.StatusNotFound)
	}
}

// TestEventTypeHostile holds that an action may be called anything.
func TestEventTypeHostile(t *testing.T) {
	s := openSite(t)
	actions := []string{`<script>alert(1)</script>.x`, `a/b?c#d&e="f'`, "\u202eevil.action", strings.Repeat("long", 50), "a b\nc", "%2e%2e"}
	for _, action := range actions {
		s.record(t, "ours", s.plainEvents(action, 1)...)
	}
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	list := v.get("/event-types")
	for _, action := range actions {
		list.want(t, http.StatusOK, action)
		v.get("/event-types/"+url.PathEscape(action)).want(t, http.StatusOK, action, "1 event in the last 90 days")
		if link := `href="/settings/security/event-types/` + url.PathEscape(action) + `"`; !strings.Contains(html.UnescapeString(list.text), html.UnescapeString(link)) {
			t.Errorf("there is no link %s", link)
		}
	}
}

// TestExamples holds that the example of every schema, as the page shows it, is an
// event that the schema lets pass.
func TestExamples(t *testing.T) {
	s := openSite(t)
	catalogue, err := demo.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	v1, v2 := teams()
	v1.Version, v2.Version = 1, 2
	catalogue.Schemas = append(catalogue.Schemas, v1, v2)
	if _, err := s.Schemas.Apply(t.Context(), catalogue); err != nil {
		t.Fatal(err)
	}
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	for _, action := range slices.Concat(s.Schemas.Actions(), []string{"audit_log.exported", "audit_log.opened"}) {
		for n := range max(1, len(s.Schemas.Versions(action))) {
			p := v.get("/event-types/" + action + "?version=" + string(rune('1'+n)))
			_, example, _ := strings.Cut(p.text, `id="example"`)
			_, example, _ = strings.Cut(example, ">")
			example, _, _ = strings.Cut(example, "</pre>")
			var ev event.Event
			if err := event.NewDecoder().Decode([]byte(html.UnescapeString(example)), &ev); err != nil {
				t.Fatalf("%s: %v: %s", action, err, example)
			}
			if violations, registered := s.Schemas.CheckDetailed(&ev); len(violations) > 0 || ev.Version != n+1 || !registered && !strings.HasPrefix(action, "audit_log.") {
				t.Errorf("%s version %d: %v", action, n+1, violations)
			}
		}
	}
}

// TestOwnEvents holds that what the pages record is what the catalogue says of it.
func TestOwnEvents(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 1)...)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	path := v.make(url.Values{"range": {"all"}})
	v.ended(path)
	v.get(path + "/file")
	for _, action := range []string{"audit_log.exported", "audit_log.export_downloaded"} {
		p := v.get("/event-types/" + action)
		entries := s.recorded(t, "ours", action)
		if len(entries) != 1 {
			t.Fatalf("%s: %d entries", action, len(entries))
		}
		for key := range entries[0].Metadata {
			rowOf(t, p, "metadata."+key)
		}
		if got := rowOf(t, p, "target.type"); got != "target.type string Required "+entries[0].Targets[0].Type+" –" {
			t.Errorf("%s: %q", action, got)
		}
	}
}
