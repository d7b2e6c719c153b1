package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/web"
)

const list = "/audit-log"

// happening is an event, so long before now.
func (s *site) happening(action, actor, target string, before time.Duration) audit.Event {
	return audit.Event{
		Action: action, Version: 1, OccurredAt: s.now().Add(-before),
		Actor:   audit.Actor{Type: "user", ID: "id_" + actor, Name: actor},
		Targets: []audit.Target{{Type: "document", ID: "id_" + target, Name: target}},
		Context: audit.Context{Location: "203.0.113.7"}, Metadata: audit.Metadata{"team": "core"},
	}
}

// reader opens the list of "ours" and looks once, so that this is not recorded
// again.
func (s *site) reader(t *testing.T) *visitor {
	t.Helper()
	v := s.enter(t, "ours", auth.PersonViewer, "u_reader", "Reader")
	v.get(list).want(t, http.StatusOK)
	return v
}

// link is an element that leads somewhere.
type link struct {
	text, href string
	attrs      map[string]string
}

// links are the links of a page, in their order; the text is the label, if any.
func (p page) links(t *testing.T) []link {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		t.Fatal(err)
	}
	var out []link
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" {
			continue
		}
		l := link{attrs: map[string]string{}}
		for c := range n.Descendants() {
			if c.Type == html.TextNode {
				l.text += c.Data
			}
		}
		for _, a := range n.Attr {
			l.attrs[a.Key] = a.Val
		}
		l.href, l.text = l.attrs["href"], spaceless(l.text)
		if label := l.attrs["aria-label"]; label != "" {
			l.text = spaceless(label)
		}
		out = append(out, l)
	}
	return out
}

// follow asks for what the link with a text leads to.
func (v *visitor) follow(p page, text string) page {
	v.t.Helper()
	for _, l := range p.links(v.t) {
		if l.text == text {
			return v.get(strings.TrimPrefix(l.href, web.Base))
		}
	}
	v.t.Fatalf("there is no link %q", text)
	return page{}
}

func (p page) has(t *testing.T, text string) bool {
	t.Helper()
	return slices.ContainsFunc(p.links(t), func(l link) bool { return l.text == text })
}

// rows are the seqs of the rows of a page.
func (p page) rows() []string {
	var out []string
	for part := range strings.SplitSeq(p.text, ` data-seq="`) {
		if seq, _, ok := strings.Cut(part, `"`); ok && len(out) > 0 || strings.HasPrefix(part, seq+`" data-order`) {
			out = append(out, seq)
		}
	}
	return out
}

// TestListPages: to the end and back by links alone, whatever is recorded
// meanwhile.
func TestListPages(t *testing.T) {
	s := openSite(t)
	v := s.reader(t) // entry 0
	s.record(t, "ours", s.plainEvents("api_key.created", 119)...)
	var pages [][]string
	p := v.get(list)
	p.want(t, http.StatusOK, "120 events", "Complete up to entry 119", "Kept for 365 days, from 2 March 2026")
	for pages = append(pages, p.rows()); p.has(t, "Older"); pages = append(pages, p.rows()) {
		p = v.follow(p, "Older")
		s.record(t, "ours", s.happening("x.y", "late", "one", 0))
	}
	if len(pages) != 3 || len(pages[0]) != 50 || len(slices.Concat(pages...)) != 120 {
		t.Fatalf("pages %v", pages)
	}
	all := slices.Sorted(slices.Values(slices.Concat(pages...)))
	if len(slices.Compact(all)) != 120 {
		t.Errorf("entries more than once: %v", all)
	}
	p.want(t, http.StatusOK, "This is the end", "Complete up to entry 119")
	for i := 1; i >= 0; i-- {
		p = v.follow(p, "Newer")
		if diff := cmp.Diff(pages[i], p.rows()); diff != "" {
			t.Errorf("page %d on the way back: %s", i, diff)
		}
	}
	if p.has(t, "Newer") || !p.has(t, "Older") || !p.has(t, "Newest") {
		t.Errorf("links of the first page: %v", p.links(t))
	}
	if got := v.follow(p, "Newest").rows(); got[0] != "121" {
		t.Errorf("the newest page begins with %s", got[0])
	}
}

// TestListFilters: chips, menus and bars are links and forms that mean what they
// say.
func TestListFilters(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours",
		s.happening("user.login", "Ada", "one", 10*24*time.Hour), s.happening("api_key.created", "Ada", "two", time.Hour),
		s.happening("api_key.created", "Bob", "three", 2*time.Hour), s.happening("api_key.deleted", "Bob", "four", 50*24*time.Hour))
	p := v.get(list + "?range=30d&q=" + url.QueryEscape("action:api_key.* actor.id:id_Ada"))
	p.want(t, http.StatusOK, "1 event", "Event type is api_key.*", "Actor is Ada", "[action:api_key.* actor.id:id_Ada]", "id_Ada", "API key")
	both := v.follow(p, "Remove filter: Actor is Ada")
	both.want(t, http.StatusOK, "2 events", "three")
	both.wantNot(t, "Actor is Ada", "logged in")
	v.follow(p, "Clear all").want(t, http.StatusOK, "4 events", "logged in")
	v.follow(both, "Last 90 days").want(t, http.StatusOK, "3 events", "four")
	v.follow(both, "Last 24 hours").want(t, http.StatusOK, "2 events")
	v.follow(both, "2 Mar 2026: 2").want(t, http.StatusOK, "2 events", "2 Mar 2026") // a bar

	// The menus offer what there is, with counts, and tick what is set.
	menu := between(p.text, `id="menu-actor-id"`, `</details>`)
	for _, want := range []string{`value="id_Ada" checked`, `value="id_Bob"`, `name="drop" value="actor.id:id_Ada"`} {
		if !strings.Contains(menu, want) {
			t.Errorf("the menu of actors has no %s: %s", want, menu)
		}
	}
	// What a form sends becomes an address.
	form := url.Values{"q": {"action:api_key.* actor.id:id_Ada"}, "range": {"7d"}, "field": {"actor.id"}, "drop": {"actor.id:id_Ada"}, "value": {"id_Bob", ""}, "not": {""}, "name": {""}}
	answer := v.get(list + "?" + form.Encode())
	want := web.Base + list + "?" + url.Values{"q": {"action:api_key.* actor.id:id_Bob"}, "range": {"7d"}}.Encode()
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != want {
		t.Errorf("status %d to %s, want %s", answer.Code, answer.Header().Get("Location"), want)
	}
	export := between(p.text, `class="button" href="`, `"`)
	want = web.Base + "/exports?" + url.Values{"new": {"1"}, "q": {"action:api_key.* actor.id:id_Ada"}, "range": {"30d"}}.Encode()
	if html.UnescapeString(export) != want {
		t.Errorf("the export is at %s", export)
	}
}

// TestListWhy: nothing found says what hides how much, and each of its links shows
// exactly that.
func TestListWhy(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours",
		s.happening("api_key.created", "Ada", "two", time.Hour), s.happening("api_key.created", "Ada", "three", 2*time.Hour),
		s.happening("user.login", "Bob", "one", 3*time.Hour), s.happening("user.login", "Ada", "one", 50*24*time.Hour))
	p := v.get(list + "?range=7d&q=" + url.QueryEscape("action:user.login actor.id:id_Ada"))
	p.want(t, http.StatusOK, "No events match these filters in this range", "0 events",
		"Event type is user.login hides 2 events", "Actor is id_Ada hides 1 event", "Last 90 days: 1 event", "All time: 1 event", "Without any filter, this range has 4 events.")
	p.wantNot(t, "Last 30 days:", "Last year: 1 event")
	v.follow(p, "Remove: Event type is user.login").want(t, http.StatusOK, "2 events")
	v.follow(p, "Show Last 90 days").want(t, http.StatusOK, "1 event")

	p = v.get(list + "?range=all&q=" + url.QueryEscape("action:nope target.id:nobody"))
	p.want(t, http.StatusOK, "Removing one of them is not enough.", "without it there is nothing either", "Clear all filters")
	p.wantNot(t, "hides 0", "Show All time")

	// What cannot be counted in time is said not to have been.
	late := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	s.engine.onCount.Store(&late)
	v.get(list+"?range=7d&q=action:nope").want(t, http.StatusOK, "No events match", "not counted in time", "Counting takes longer than usual")
}

// TestListNoEntries: a log without any entry says so, kindly.
func TestListNoEntries(t *testing.T) {
	s := openSite(t)
	s.breakJournal(audit.Errorf(audit.CodeLogDisabled, "the log takes no events"))
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Ada")
	p := v.get(list)
	p.want(t, http.StatusOK, "No events yet", "Events appear here when the product sends them", "Kept for 365 days")
	p.wantNot(t, "No events match", "Complete up to")
	p = v.get(list + "?range=7d&q=action:x")
	p.want(t, http.StatusOK, "No events yet")
}

// TestListFaults: whatever goes wrong is said, what was asked for is kept, and
// nothing looks like an empty log.
func TestListFaults(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours", s.happening("user.login", "Ada", "one", time.Hour))
	calm := []string{"No events", "0 events", "user.login"}

	p := v.get(list + "?range=7d&q=" + url.QueryEscape(`acto:x "`))
	p.want(t, http.StatusBadRequest, `[acto:x "]`, `Character 1: unknown field "acto"; did you mean "actor"?`, "so nothing is shown", "Last 7 days")
	p.wantNot(t, calm...)
	if !strings.Contains(p.text, `aria-invalid="true" aria-describedby="q-fault"`) {
		t.Error("the box is not marked")
	}
	p = v.get(list + "?range=custom&from=soon&to=2026-03-01T10:00&by=UTC&q=action:user.login")
	p.want(t, http.StatusBadRequest, "The range cannot be read", `"soon" is not a time`, "[2026-03-01T10:00]", "Event type is user.login")
	p.wantNot(t, "No events", "0 events")
	p = v.get(list + "?range=7d&cursor=x")
	p.want(t, http.StatusBadRequest, "This page of the list cannot be found again")
	p.wantNot(t, calm...)
	v.follow(p, "Show the newest events").want(t, http.StatusOK, "2 events")

	for _, tt := range []struct {
		err    error
		status int
		text   string
	}{
		{errors.New("a disk with secrets"), http.StatusInternalServerError, "The events could not be read"},
		{audit.Errorf(audit.CodeUnavailable, "not now"), http.StatusServiceUnavailable, "The events could not be read"},
		{fmt.Errorf("search: %w", context.DeadlineExceeded), http.StatusServiceUnavailable, "Reading the events took too long"},
	} {
		fail := func(context.Context) error { return tt.err }
		s.engine.onSearch.Store(&fail)
		p := v.get(list + "?range=7d&q=action:user.login")
		p.want(t, tt.status, tt.text, "[action:user.login]", "Event type is user.login", p.Header().Get("X-Request-ID"))
		p.wantNot(t, "No events", "0 events", "secrets")
		s.engine.onSearch.Store(nil)
		v.follow(p, "Try again").want(t, http.StatusOK, "1 event")
	}

	// Without counts there are rows all the same, and no zero is claimed.
	broken := func(context.Context) error { return errors.New("a disk with secrets") }
	s.engine.onCount.Store(&broken)
	p = v.get(list + "?range=7d")
	p.want(t, http.StatusOK, "The histogram could not be counted. The list below is whole.", "Try again", "logged in", "Values could not be counted in time")
	p.wantNot(t, "0 events", "secrets")
	if p := v.get(list + "/histogram?range=7d"); p.Code != http.StatusServiceUnavailable {
		t.Errorf("the histogram alone: status %d", p.Code)
	}
	s.engine.onCount.Store(nil)
	v.get(list+"/histogram?range=7d").want(t, http.StatusOK, "Back to the list", "2 Mar 2026, 06:00 – 09:00")
}

// TestListFuture: events dated after now are listed, and said to be.
func TestListFuture(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours", s.happening("user.login", "Ada", "one", -48*time.Hour), s.happening("user.login", "Bob", "one", time.Hour))
	p := v.get(list + "?range=7d")
	p.want(t, http.StatusOK, "3 events", "1 event is dated in the future")
	v.follow(p, "1 event is dated in the future").want(t, http.StatusOK, "1 event", "Since 2 Mar 2026")
}

// chooseZone holds that an answer keeps a zone for every page.
func (v *visitor) chooseZone(p page, name string, texts ...string) {
	v.t.Helper()
	c := p.cookie(v.t, "stele_tz")
	if c == nil || p.Code != http.StatusSeeOther {
		v.t.Fatalf("status %d, cookie %v", p.Code, c)
	}
	if c.Value != name || c.Path != web.Base || c.MaxAge < 1 || c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		v.t.Errorf("cookie %+v", c)
	}
	to := strings.TrimPrefix(p.Header().Get("Location"), web.Base)
	v.get(to, "Cookie", "stele_tz="+c.Value).want(v.t, http.StatusOK, texts...)
	v.get("/exports?new=1", "Cookie", "stele_tz="+c.Value).want(v.t, http.StatusOK, "("+name+")")
}

// TestListZone: the zone is printed, and what a form sends is by its clocks.
func TestListZone(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	s.record(t, "ours", s.happening("user.login", "Ada", "one", 0))
	v.get(list+"?range=7d").want(t, http.StatusOK, "Times in UTC", "2 Mar 2026, 09:30:00 UTC")
	p := v.get(list, "Cookie", "stele_tz=Asia/Kathmandu")
	p.want(t, http.StatusOK, "Asia/Kathmandu", "2 Mar 2026, 15:15:00 Asia/Kathmandu", "Times are in Asia/Kathmandu")
	p = v.get(list+"?tz=New+York", "Cookie", "stele_tz=Asia/Kathmandu")
	p.want(t, http.StatusOK, "[New York]", "This is not a time zone: write one such as America/New_York. Times are in Asia/Kathmandu.")
	v.chooseZone(v.follow(p, "UTC"), "UTC", "2 Mar 2026, 09:30:00 UTC")
	p = v.get(list + "?range=7d&keep=1&tz=Asia/Kathmandu&embed=1")
	v.chooseZone(p, "Asia/Kathmandu", "2 Mar 2026, 15:15:00 Asia/Kathmandu")
	if to := p.Header().Get("Location"); to != web.Base+list+"?embed=1&range=7d" {
		t.Errorf("leads to %s", to)
	}
	for _, address := range []string{"?tz=Asia/Kathmandu", "?keep=1&tz=Nowhere/At_All", "?keep=1", "?keep=1&tz=Local"} {
		if p := v.get(list + address); p.cookie(t, "stele_tz") != nil || p.Code != http.StatusOK {
			t.Errorf("%s: status %d, cookie %v", address, p.Code, p.cookie(t, "stele_tz"))
		}
	}
	v.follow(v.get(list+"?tz=Asia/Kathmandu&range=24h"), "Last 7 days").want(t, http.StatusOK, "Asia/Kathmandu")
	p = v.get(list + "?range=custom&from=2026-03-02T15:15&to=2026-03-02T15:16&by=Asia/Kathmandu&tz=Asia/Kathmandu")
	to, err := url.Parse(p.Header().Get("Location"))
	if err != nil || p.Code != http.StatusSeeOther || to.Query().Get("from") != "2026-03-02T09:30:00Z" {
		t.Fatalf("status %d to %s", p.Code, to)
	}
	v.get(strings.TrimPrefix(to.String(), web.Base)).want(t, http.StatusOK, "2 events", "2 Mar 2026, 15:15 – 15:16")
	// So is what is typed into the search box.
	p = v.get(list+"?typed=Asia/Kathmandu&q=after:2026-03-02", "Cookie", "stele_tz=Asia/Kathmandu")
	to, err = url.Parse(p.Header().Get("Location"))
	if err != nil || p.Code != http.StatusSeeOther || to.Query().Get("from") != "2026-03-01T18:15:00Z" {
		t.Fatalf("status %d to %s", p.Code, to)
	}
}

// TestListHostile: whatever is in an event is text, wherever the list shows it,
// and in what completes the search box.
func TestListHostile(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	nasty := "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202eevil " + strings.Repeat("w", 200)
	e := s.happening(nasty[:60], nasty, nasty, time.Hour)
	e.Actor.Type, e.Targets[0].Type, e.Context.Location, e.Context.UserAgent = nasty, nasty, nasty, nasty
	e.Metadata = audit.Metadata{nasty: nasty}
	s.record(t, "ours", e)
	q := audit.Query{Filters: []audit.Filter{
		{Field: "actor.id", Values: []string{"id_" + nasty}}, {Field: audit.Field("metadata." + nasty), Values: []string{nasty}}, {Field: "text", Values: []string{nasty}},
	}}
	for _, address := range []string{list, list + "?range=7d&q=" + url.QueryEscape(q.String()), list + "?range=7d&q=" + url.QueryEscape(nasty), list + "?tz=" + url.QueryEscape(nasty) + "&embed=" + url.QueryEscape(nasty)} {
		p := v.get(address) // holds that there is nothing but our own markup
		if strings.Contains(p.text, "<script>alert") || strings.Contains(p.text, "<img") {
			t.Errorf("%s: markup", address)
		}
	}
	p := v.get(list + "?range=7d&q=" + url.QueryEscape(q.String()))
	p.want(t, http.StatusOK, "1 event")
	if json := v.get(list + "/complete?q=" + url.QueryEscape("<scr")); !strings.HasPrefix(json.Header().Get("Content-Type"), "application/json") || json.Code != http.StatusOK {
		t.Errorf("status %d, %s", json.Code, json.Header().Get("Content-Type"))
	}
}

// TestListFragment: a script gets the changing part of the same page.
func TestListFragment(t *testing.T) {
	s := openSite(t)
	v := s.reader(t)
	whole, part := v.get(list+"?range=7d"), v.get(list+"?range=7d", "X-Fragment", "1")
	if strings.Contains(part.text, "<html") || !strings.HasPrefix(strings.TrimSpace(part.text), `<div id="log"`) || !strings.Contains(whole.text, strings.TrimSpace(part.text)) {
		t.Errorf("the part is not one of the page: %.300s", part.text)
	}
	if bars := v.get(list+"/histogram?range=7d", "X-Fragment", "1"); !strings.HasPrefix(strings.TrimSpace(bars.text), `<figure class="chart"`) {
		t.Errorf("the histogram alone: %.300s", bars.text)
	}
}

// TestListSeparate: nothing of another organization is listed, counted or
// offered.
func TestListSeparate(t *testing.T) {
	s := openSite(t)
	s.record(t, "theirs", s.happening("secret.project", "Mallory", "Manhattan", time.Hour))
	v := s.reader(t)
	for _, address := range []string{list + "?range=all", list + "?range=all&q=action:secret.project", list + "/histogram?range=all", list + "/complete?q=", list + "/complete?q=man", list + "/complete?field=actor.id&word=mal"} {
		p := v.get(address)
		for _, secret := range []string{"Mallory", "Manhattan"} {
			if strings.Contains(p.text, secret) {
				t.Errorf("%s says %s", address, secret)
			}
		}
	}
}
