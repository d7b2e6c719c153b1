package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web"
)

// siteStart is when the clock of every site begins.
var siteStart = time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)

// site is a whole server with two organizations, "ours" and "theirs", and a
// clock that tests move.
type site struct {
	*app.App
	http.Handler
	clock  atomic.Int64
	engine *hooked
	signer *auth.Signer
	people *auth.Sessions
}

// hooked is a search engine that a test looks into.
type hooked struct {
	search.Engine
	// onSurvey, when set, is called before an export counts its entries.
	onSurvey atomic.Pointer[func(ctx context.Context) error]
	// onCount, when set, is called before entries are counted for a page.
	onCount atomic.Pointer[func(ctx context.Context) error]
	// onSearch, when set, is called before a page of entries is read.
	onSearch atomic.Pointer[func(ctx context.Context) error]
}

func (h *hooked) Search(ctx context.Context, org string, r search.Request) (search.Page, error) {
	if hook := h.onSearch.Load(); hook != nil {
		if err := (*hook)(ctx); err != nil {
			return search.Page{}, err
		}
	}
	return h.Engine.Search(ctx, org, r)
}

func (h *hooked) Survey(ctx context.Context, org string, q audit.Query, from, to uint64) (search.Survey, error) {
	if hook := h.onSurvey.Load(); hook != nil {
		if err := (*hook)(ctx); err != nil {
			return search.Survey{}, err
		}
	}
	return h.Engine.Survey(ctx, org, q, from, to)
}

func (h *hooked) Histogram(ctx context.Context, org string, q audit.Query, iv search.Interval) (search.Histogram, error) {
	if hook := h.onCount.Load(); hook != nil {
		if err := (*hook)(ctx); err != nil {
			return search.Histogram{}, err
		}
	}
	return h.Engine.Histogram(ctx, org, q, iv)
}

func (h *hooked) Facets(ctx context.Context, org string, q audit.Query, field audit.Field, limit int) (search.Facets, error) {
	if hook := h.onCount.Load(); hook != nil {
		if err := (*hook)(ctx); err != nil {
			return search.Facets{}, err
		}
	}
	return h.Engine.Facets(ctx, org, q, field, limit)
}

// openSite opens a site; change, when given, changes its settings.
func openSite(t *testing.T, change ...func(*app.Config)) *site {
	t.Helper()
	s := &site{}
	s.clock.Store(siteStart.UnixNano())
	cfg := app.DemoConfig(t.TempDir(), "127.0.0.1:0", "sk_only_these_tests_know_this_one", nil)
	cfg.ReserveMiB, cfg.Now = 0, s.now
	cfg.WrapEngine = func(e search.Engine) search.Engine {
		s.engine = &hooked{Engine: e}
		return s.engine
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if s.App, err = app.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Handler = s.App
	for _, id := range []string{"ours", "theirs"} {
		o := catalog.NewOrganization(strings.ToUpper(id))
		o.ID = id
		if _, err := s.Catalog.CreateOrganization(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if s.signer, err = auth.NewSigner(t.Context(), s.Catalog, s.now); err != nil {
		t.Fatal(err)
	}
	s.people = auth.NewSessions(s.Store, s.Catalog, s.signer, auth.DefaultSessionLife, s.now)
	return s
}

func (s *site) now() time.Time                                   { return time.Unix(0, s.clock.Load()).UTC() }
func (s *site) pass(d time.Duration)                             { s.clock.Add(int64(d)) }
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Handler.ServeHTTP(w, r) }

// journalFails is a journal that records nothing.
type journalFails struct{ err error }

func (j journalFails) Record(context.Context, string, audit.Event) error { return j.err }

// breakJournal makes the pages those of a server that cannot record what people
// do.
func (s *site) breakJournal(err error) { s.breakJournalInto(err, io.Discard) }

// breakJournalInto also keeps what the server notes.
func (s *site) breakJournalInto(err error, writer io.Writer) {
	pages := web.New(web.Deps{
		Catalog: s.Catalog, Ledger: s.Ledger, Engine: s.engine, Exports: s.Exports, Streams: s.Streams, Schemas: s.Schemas,
		Retention: s.Retention, Erasures: s.Erasures,
		Sessions: s.people, Signer: s.signer, Journal: journalFails{err}, PublicURL: s.PublicURL(), Now: s.now,
	})
	s.Handler = server.New(server.Config{
		Auth: s.Auth, Signer: s.signer, Sessions: s.people, Catalog: s.Catalog, Now: s.now, PublicURL: s.PublicURL(),
		Logger: slog.New(slog.NewTextHandler(writer, nil)),
	}, pages)
}

// record puts events into an organization's log.
func (s *site) record(t *testing.T, org string, events ...audit.Event) {
	t.Helper()
	b := ledger.NewBatch(org)
	for i := range events {
		ev, err := event.FromAudit(&events[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Schemas.Check(ev); err != nil {
			t.Fatal(err)
		}
		if err := b.Add(ev); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Ledger.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// plainEvents makes n events, a minute apart, up to the present.
func (s *site) plainEvents(action string, n int) []audit.Event {
	out := make([]audit.Event, n)
	for i := range out {
		out[i] = audit.Event{
			Action: action, Version: 1, OccurredAt: s.now().Add(-time.Duration(n-i) * time.Minute),
			Actor:   audit.Actor{Type: "user", ID: fmt.Sprintf("u_%d", i%7), Name: "Lisa Karlin"},
			Targets: []audit.Target{{Type: "api_key", ID: fmt.Sprintf("k_%d", i)}},
		}
	}
	return out
}

// visitor is somebody with a session.
type visitor struct {
	t      *testing.T
	site   *site
	cookie string
	csrf   string
}

// enter opens the pages of an organization for somebody.
func (s *site) enter(t *testing.T, org string, role auth.PersonRole, id, name string) *visitor {
	t.Helper()
	cookie, session, err := s.people.Open(t.Context(), auth.Portal{
		Organization: org, Intent: auth.IntentAuditLogs, Role: role, PersonID: id, PersonName: name,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, site: s, cookie: cookie, csrf: session.CSRF()}
}

// page is an answer.
type page struct {
	*httptest.ResponseRecorder
	text string
}

// get asks for a path under /settings/security, with headers as pairs.
func (v *visitor) get(path string, headers ...string) page {
	v.t.Helper()
	return v.ask(httptest.NewRequestWithContext(v.t.Context(), http.MethodGet, web.Base+path, nil), headers...)
}

// post sends a form, with what every form of the session carries.
func (v *visitor) post(path string, form url.Values) page {
	v.t.Helper()
	form.Set(server.CSRFField, v.csrf)
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodPost, web.Base+path, strings.NewReader(form.Encode()))
	return v.ask(r, "Content-Type", "application/x-www-form-urlencoded")
}

func (v *visitor) ask(r *http.Request, headers ...string) page {
	v.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: v.cookie})
	r.Header.Set("User-Agent", "a browser of the tests")
	rec := httptest.NewRecorder()
	v.site.ServeHTTP(rec, r)
	p := page{rec, rec.Body.String()}
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") {
		v.t.Errorf("%s: Content-Security-Policy %q", r.URL, csp)
	}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") && rec.Code < 300 || rec.Code >= 400 {
		v.checkHTML(r.URL.String(), p.text)
	}
	return p
}

// checkHTML holds that a page has nothing that its policy forbids: whatever the
// log says, it stays text.
func (v *visitor) checkHTML(from, text string) {
	v.t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		src := ""
		for _, a := range n.Attr {
			switch {
			case a.Key == "style", strings.HasPrefix(a.Key, "on"):
				v.t.Errorf("%s: <%s %s=%q>", from, n.Data, a.Key, a.Val)
			case a.Key == "src":
				src = a.Val
			case a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "https://"):
				v.t.Errorf("%s: a link to %q", from, a.Val)
			}
		}
		switch n.Data {
		case "script":
			if !strings.HasPrefix(src, "/static/") || n.FirstChild != nil {
				v.t.Errorf("%s: a script of its own: %q", from, src)
			}
		case "style", "iframe", "object", "embed", "img":
			v.t.Errorf("%s: <%s>", from, n.Data)
		}
	}
}

// want fails unless the page has a status and says each of the texts.
func (p page) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.Code != status {
		t.Fatalf("status %d, want %d: %s", p.Code, status, p.text)
	}
	said := spaceless(visible(p.text))
	for _, text := range texts {
		if !strings.Contains(said, spaceless(text)) {
			t.Errorf("the page does not say %q:\n%s", text, said)
		}
	}
}

// wantNot fails if the page says one of the texts.
func (p page) wantNot(t *testing.T, texts ...string) {
	t.Helper()
	said := spaceless(visible(p.text))
	for _, text := range texts {
		if strings.Contains(said, spaceless(text)) {
			t.Errorf("the page says %q", text)
		}
	}
}

// visible is the text of a page, and what its fields hold, but for the text
// that every form has, which is never the same.
func visible(text string) string {
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return text
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Type == html.ElementNode && n.Data == "input":
			for _, a := range n.Attr {
				if a.Key == "value" && !slices.Contains(n.Attr, html.Attribute{Key: "name", Val: server.CSRFField}) {
					b.WriteString(" [" + a.Val + "] ")
				}
			}
		}
	}
	return b.String()
}

func spaceless(s string) string { return strings.Join(strings.Fields(s), " ") }

// recorded returns the entries of an action, oldest first.
func (s *site) recorded(t *testing.T, org, action string) []audit.Entry {
	t.Helper()
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldAction, Values: []string{action}}}}
	found, err := s.Store.Search(t.Context(), org, search.Request{Query: q, Limit: 100, Ascending: true})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]audit.Entry, len(found.Entries))
	for i, e := range found.Entries {
		out[i] = e.Audit(org)
	}
	return out
}

// decode reads the JSON of an answer.
func decode[T any](t *testing.T, p page) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(p.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v: %s", err, p.text)
	}
	return v
}
