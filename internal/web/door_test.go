package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/web"
)

// link makes a portal link of "ours", good for five minutes.
func (s *site) link(t *testing.T, change func(*auth.Portal)) string {
	t.Helper()
	p := auth.Portal{
		Organization: "ours", Intent: auth.IntentAuditLogs, Role: auth.PersonViewer, PersonID: "u1", PersonName: "Ada",
		ReturnURL: "https://app.example.com/settings", Expires: s.now().Add(5 * time.Minute),
	}
	if change != nil {
		change(&p)
	}
	token, err := s.signer.SignPortal(p)
	if err != nil {
		t.Fatal(err)
	}
	return web.LaunchTarget(token)
}

// open asks for a path without a session.
func (s *site) open(t *testing.T, method, target string, headers ...string) page {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return page{rec, rec.Body.String()}
}

// cookie is the one of that name which an answer sets; nil when it sets none.
func (p page) cookie(t *testing.T, name string) *http.Cookie {
	t.Helper()
	for _, c := range p.Result().Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (s *site) change(t *testing.T, org string, state catalog.State) {
	t.Helper()
	if _, err := s.Catalog.UpdateOrganization(t.Context(), org, func(o *catalog.Organization) error {
		o.State = state
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestLaunch opens links for everything that they are made for.
func TestLaunch(t *testing.T) {
	s := openSite(t)
	for intent, want := range map[string]string{
		auth.IntentAuditLogs: "/settings/security/audit-log", auth.IntentExports: "/settings/security/exports",
	} {
		got := s.open(t, "GET", s.link(t, func(p *auth.Portal) { p.Intent = intent }))
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != want {
			t.Errorf("%s leads to %d %s", intent, got.Code, got.Header().Get("Location"))
		}
	}
	link := s.link(t, nil)
	got := s.open(t, "GET", link+"&embed=1")
	if to := got.Header().Get("Location"); to != "/settings/security/audit-log?embed=1" {
		t.Errorf("a link opened in a frame leads to %s", to)
	}
	if c := got.cookie(t, "stele_embed"); c == nil || c.Value != "1" {
		t.Errorf("the mode is kept in %+v", c)
	}
	plain := s.open(t, "GET", s.link(t, nil))
	if c := plain.cookie(t, "stele_embed"); c == nil || c.MaxAge >= 0 {
		t.Errorf("the mode of an earlier link stays: %+v", c)
	}
	said := s.open(t, "GET", s.link(t, nil)+"&embed=1", "Sec-Fetch-Dest", "iframe")
	if to := said.Header().Get("Location"); to != "/settings/security/audit-log" || said.cookie(t, "stele_embed") != nil {
		t.Errorf("where the browser says the mode, a link leads to %s and sets %v", to, said.Result().Cookies())
	}
	c := got.cookie(t, server.SessionCookie)
	if c == nil || !c.HttpOnly || c.Secure || c.Partitioned || c.SameSite != http.SameSiteLaxMode || c.Path != web.Base || c.Domain != "" ||
		c.MaxAge < int((8*time.Hour)/time.Second) {
		t.Fatalf("cookie %+v", c)
	}
	v := &visitor{t: t, site: s, cookie: c.Value}
	v.get("/audit-log").want(t, http.StatusOK, "OURS", "Ada", "Back to the product", "Sign out")
	for _, path := range []string{"", "/"} {
		home := v.get(path)
		if home.Code != http.StatusSeeOther || home.Header().Get("Location") != "/settings/security/audit-log" {
			t.Errorf("home%s leads to %d %s", path, home.Code, home.Header().Get("Location"))
		}
	}
}

// TestLinksThatDoNotOpen holds that each says what it is, what to do, and where
// to go.
func TestLinksThatDoNotOpen(t *testing.T) {
	s := openSite(t, func(c *app.Config) { c.ProductName = "Beacon" })
	const way = "Go back to Beacon and open the audit log there: it makes a new link."
	refused := func(target string, status int, back bool, texts ...string) {
		t.Helper()
		got := s.open(t, "GET", target)
		if to := got.Header().Get("Location"); status == 409 || status == 410 {
			if got.Code != http.StatusSeeOther || got.cookie(t, server.SessionCookie) != nil {
				t.Errorf("%v: leads to %d %q", texts, got.Code, to)
			}
			got = s.open(t, "GET", to)
		}
		got.want(t, status, append(texts, "Request id "+got.Header().Get("X-Request-ID"))...)
		if strings.Contains(got.text, `href="https://app.example.com/settings"`) != back {
			t.Errorf("%v: way back %v, want %v", texts, !back, back)
		}
		if got.cookie(t, server.SessionCookie) != nil {
			t.Errorf("%v: sets a session", texts)
		}
		if strings.Contains(got.text, "OURS") || strings.Contains(got.text, "Continue to") {
			t.Errorf("%v: names the organization, or leads on", texts)
		}
	}
	used, late, gone := s.link(t, nil), s.link(t, nil), s.link(t, func(p *auth.Portal) { p.Organization = "theirs" })
	s.open(t, "GET", used)
	refused(used, 409, true, "This link was already used", "Each link opens once.", way, "tell an administrator")
	refused(late[:len(late)-4]+"AAAA", 403, false, "This link does not work", "was changed on the way", way, "ask an administrator")
	refused(web.LaunchPath, 403, false, "This link does not work", way)
	s.change(t, "ours", catalog.StateInactive)
	refused(late, 403, true, "The audit log is not switched on", "support of Beacon")
	s.change(t, "ours", catalog.StateActive)
	if err := s.Catalog.DeleteOrganization(t.Context(), "theirs"); err != nil {
		t.Fatal(err)
	}
	refused(gone, 404, true, "This link opens nothing any more")
	s.pass(5 * time.Minute)
	refused(late, 410, true, "This link has expired", way, "ask an administrator")
	hostile := s.link(t, func(p *auth.Portal) { p.ReturnURL = "javascript:alert(1)" })
	s.pass(time.Hour)
	if got := s.open(t, "GET", hostile); strings.Contains(got.text, "javascript:") {
		t.Errorf("the way back runs: %s", got.text)
	}
}

// TestSpentLinkLeadsOn holds that whoever has a session of the organization goes on
// with it when they open its link again, and nobody else.
func TestSpentLinkLeadsOn(t *testing.T) {
	s := openSite(t)
	used := s.link(t, func(p *auth.Portal) { p.Intent = auth.IntentExports })
	first := &visitor{t: t, site: s, cookie: s.open(t, "GET", used).cookie(t, server.SessionCookie).Value}
	again := func(v *visitor, link string) page {
		t.Helper()
		got := s.open(t, "GET", link) // the cookie is not sent there
		got.want(t, http.StatusSeeOther)
		return v.get(strings.TrimPrefix(got.Header().Get("Location"), web.Base))
	}
	got := again(first, used+"&embed=1")
	got.want(t, http.StatusConflict, "This link was already used", "You need no new one: the audit log is open in this browser, as Ada.", "Continue to the exports")
	if !strings.Contains(got.text, `href="/settings/security/exports"`) || !strings.Contains(got.text, `class="embed"`) {
		t.Errorf("leads elsewhere: %s", got.text)
	}
	if got.cookie(t, server.SessionCookie) != nil {
		t.Error("a used link makes a session")
	}
	stranger := s.enter(t, "theirs", auth.PersonManager, "u9", "Zed")
	ended := s.enter(t, "ours", auth.PersonViewer, "u2", "Bo")
	if err := s.people.End(t.Context(), ended.cookie); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*visitor{stranger, ended, {t: t, site: s}} {
		got := again(v, used)
		got.want(t, http.StatusConflict, "This link was already used", "it makes a new link")
		got.wantNot(t, "Continue to", "OURS", "THEIRS", "Zed", "Bo")
	}
	late := s.link(t, nil)
	s.pass(5 * time.Minute)
	again(first, late).want(t, http.StatusGone, "This link has expired", "Continue to the exports")
	again(stranger, late).wantNot(t, "Continue to", "THEIRS")
	for _, path := range []string{"/link", "/link?token=x", "/link?token=" + strings.TrimPrefix(late, web.LaunchPath+"?token=") + "A"} {
		got := first.get(path)
		got.want(t, http.StatusForbidden, "This link does not work")
		got.wantNot(t, "Continue to", "OURS")
	}
}

// TestLinkIsNotUsedUp holds that only a person's own click uses a link up.
func TestLinkIsNotUsedUp(t *testing.T) {
	s := openSite(t)
	link := s.link(t, nil)
	for _, headers := range [][]string{
		{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}, {"X-Purpose", "preview"},
	} {
		got := s.open(t, "GET", link, headers...)
		if got.Code != http.StatusTooEarly || got.cookie(t, server.SessionCookie) != nil {
			t.Errorf("%v: %d", headers, got.Code)
		}
	}
	if got := s.open(t, "HEAD", link); got.Code != http.StatusOK || got.cookie(t, server.SessionCookie) != nil {
		t.Errorf("HEAD: %d", got.Code)
	}
	if got := s.open(t, "HEAD", link+"x"); got.Code != http.StatusForbidden {
		t.Errorf("HEAD of an altered link: %d", got.Code)
	}
	if got := s.open(t, "GET", link, "Sec-Purpose", ""); got.Code != http.StatusSeeOther {
		t.Errorf("the click: %d", got.Code)
	}
}

// TestSignOut ends the session and nothing else.
func TestSignOut(t *testing.T) {
	s := openSite(t)
	c := s.open(t, "GET", s.link(t, nil)).cookie(t, server.SessionCookie)
	session, err := s.people.Get(t.Context(), c.Value)
	if err != nil {
		t.Fatal(err)
	}
	other := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	v := &visitor{t: t, site: s, cookie: c.Value, csrf: session.CSRF()}
	out := v.post("/sign-out", url.Values{})
	out.want(t, http.StatusOK, "You are signed out", "Back to the product")
	out.wantNot(t, "OURS", "Ada", "Sign out")
	if c := out.cookie(t, server.SessionCookie); c == nil || c.MaxAge >= 0 || c.Value != "" || c.Path != web.Base {
		t.Errorf("the cookie stays: %+v", c)
	}
	v.get("/audit-log").want(t, http.StatusUnauthorized, "Your session has ended")
	other.get("/audit-log").want(t, http.StatusOK)
}

// TestSessionEnded says so, and leads back.
func TestSessionEnded(t *testing.T) {
	s := openSite(t, func(c *app.Config) { c.SessionLife = time.Hour })
	v := &visitor{t: t, site: s, cookie: s.open(t, "GET", s.link(t, nil)).cookie(t, server.SessionCookie).Value}
	s.pass(time.Hour - time.Second)
	v.get("/audit-log").want(t, http.StatusOK)
	s.pass(time.Second)
	got := v.get("/audit-log")
	got.want(t, http.StatusUnauthorized, "Your session has ended", "it makes a new link", "Back to the product")
	got.wantNot(t, "OURS", "Ada")
	framed := v.get("/audit-log", "Sec-Fetch-Dest", "iframe")
	framed.want(t, http.StatusUnauthorized, "keeps no cookies")
	if !strings.Contains(framed.text, `target="_top"`) {
		t.Error("the way back stays in the frame")
	}
}

// TestErrorsInTheirForm holds that an error of someone with a session is a page
// of theirs, and that scripts get a problem document.
func TestErrorsInTheirForm(t *testing.T) {
	s := openSite(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	v.get("/nowhere").want(t, http.StatusNotFound, "There is nothing here", "OURS", "Audit log")
	v.get("/holds").want(t, http.StatusForbidden, "You cannot open this", "ask an administrator", "OURS")
	for _, path := range []string{"/nowhere", "/log-streams/a/b/c", "/exports/a/b/c"} {
		v.get(path).want(t, http.StatusNotFound, "There is nothing here", "Go to the audit log")
	}
	v.post("/audit-log", url.Values{}).want(t, http.StatusMethodNotAllowed, "OURS")
	got := v.get("/nowhere", "Accept", "application/json")
	if p := decode[struct{ Code string }](t, got); p.Code != "not_found" || got.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a script gets %s", got.text)
	}
	stale := &visitor{t: t, site: s, cookie: v.cookie, csrf: "of-another-session"}
	stale.post("/sign-out", url.Values{}).want(t, http.StatusForbidden, "This form is out of date", "nothing was changed")
	v.get("/audit-log").want(t, http.StatusOK)
}

// TestOpenedIsFolded holds that who looks at the log is on record, once an hour.
func TestOpenedIsFolded(t *testing.T) {
	s := openSite(t)
	count := func(want int, what string) {
		t.Helper()
		if got := len(s.recorded(t, "ours", "audit_log.opened")); got != want {
			t.Errorf("%s: %d entries, want %d", what, got, want)
		}
	}
	ada := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { ada.get("/audit-log") })
	}
	all.Wait()
	count(1, "eight pages at once")
	e := s.recorded(t, "ours", "audit_log.opened")[0]
	if e.Actor.Type != "user" || e.Actor.ID != "u1" || e.Actor.Name != "Ada" || e.Context.Location != "192.0.2.1" ||
		e.Context.UserAgent != "a browser of the tests" || e.Schema != "" || !e.OccurredAt.Equal(siteStart) {
		t.Errorf("recorded %+v", e)
	}
	ada.get("/exports")
	ada.get("/event-types")
	s.enter(t, "ours", auth.PersonViewer, "u1", "Ada").get("/audit-log") // another session
	s.pass(time.Hour - time.Second)
	ada.get("/audit-log")
	count(1, "within the hour")
	s.pass(time.Second)
	ada.get("/audit-log")
	count(2, "an hour later")

	// A server that knows nothing looks into the log.
	log := &strings.Builder{}
	s.breakJournalInto(errors.New("nothing is to be recorded"), log)
	s.pass(time.Minute)
	ada.get("/audit-log").want(t, http.StatusOK)
	if strings.Contains(log.String(), "opened_not_recorded") {
		t.Errorf("a restarted server records again: %s", log)
	}
	s.enter(t, "ours", auth.PersonViewer, "u2", "Bo").get("/audit-log").want(t, http.StatusOK)
	if !strings.Contains(log.String(), "opened_not_recorded") {
		t.Error("what could not be recorded is nowhere")
	}
	count(2, "a journal that fails")
}

// TestOpenedDoesNotWait holds that a page does not wait for another one of which it
// is being recorded, and that none waits for ever.
func TestOpenedDoesNotWait(t *testing.T) {
	s := openSite(t)
	ada := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	asked, release := make(chan bool), make(chan struct{})
	var calls atomic.Int64
	slow := func(ctx context.Context) error {
		if calls.Add(1) == 1 {
			_, bounded := ctx.Deadline()
			asked <- bounded
			<-release
		}
		return ctx.Err()
	}
	s.engine.onSearch.Store(&slow)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ada.get("/audit-log")
	}()
	if !<-asked {
		t.Error("a page may wait for ever")
	}
	ada.get("/audit-log").want(t, http.StatusOK)
	close(release)
	<-done
	if got := len(s.recorded(t, "ours", "audit_log.opened")); got != 1 {
		t.Errorf("%d entries", got)
	}
}

// TestOpenedBy is who the log says opened it.
func TestOpenedBy(t *testing.T) {
	s := openSite(t, func(c *app.Config) { c.SchemaMode = "strict" })
	for range 2 { // nobody knows whether these are one person
		s.enter(t, "ours", auth.PersonViewer, "", "").get("/audit-log")
	}
	found := s.recorded(t, "ours", "audit_log.opened")
	if len(found) != 2 || found[0].Actor.ID == found[1].Actor.ID {
		t.Fatalf("recorded %+v", found)
	}
	for _, e := range found {
		if e.Actor.Type != "portal" || !strings.HasPrefix(e.Actor.ID, "session_") || e.Schema == audit.SchemaUnregistered {
			t.Errorf("recorded %+v", e)
		}
	}
	// Others' logs are not touched, and a disabled one takes no entries.
	s.change(t, "theirs", catalog.StateDisabled)
	s.enter(t, "theirs", auth.PersonViewer, "u9", "Zed").get("/audit-log").want(t, http.StatusOK)
	if got := s.recorded(t, "theirs", "audit_log.*"); len(got) > 0 {
		t.Errorf("recorded %+v", got)
	}
	long := strings.Repeat("ü", 1000)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, web.Base+"/audit-log", nil)
	ada := s.enter(t, "ours", auth.PersonViewer, "u1", "Ada")
	r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: ada.cookie})
	r.Header.Set("User-Agent", "\xff"+long)
	s.ServeHTTP(httptest.NewRecorder(), r)
	found = s.recorded(t, "ours", "audit_log.opened")
	if agent := found[len(found)-1].Context.UserAgent; len(found) != 3 || len(agent) > 1024 || !strings.HasPrefix(agent, "\uFFFDü") || strings.Contains(agent[3:], "\uFFFD") {
		t.Errorf("%d entries, user agent %q", len(found), agent)
	}
}

// TestClientAddress believes proxies that are trusted, and nobody else.
func TestClientAddress(t *testing.T) {
	tests := []struct {
		proxies, remote, forwarded, want string
	}{
		{"", "203.0.113.7:4711", "", "203.0.113.7"},
		{"", "[2001:db8::7%eth0]:4711", "", "2001:db8::7"},
		{"", "[::ffff:203.0.113.7]:1", "", "203.0.113.7"},
		{"", "203.0.113.7:4711", "198.51.100.1", "203.0.113.7"},
		{"10.0.0.0/8", "203.0.113.7:4711", "198.51.100.1", "203.0.113.7"},
		{"10.0.0.0/8", "10.1.2.3:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.0/8", "10.1.2.3:1", "6.6.6.6, 198.51.100.1, 10.9.9.9", "198.51.100.1"},
		{"10.0.0.0/8", "10.1.2.3:1", "6.6.6.6, nonsense", "10.1.2.3"},
		{"10.0.0.0/8", "10.1.2.3:1", "", "10.1.2.3"},
		{"10.1.2.3,2001:db8::/32", "[2001:db8::1]:1", "198.51.100.1,10.1.2.3", "198.51.100.1"},
		{"10.1.2.3", "10.1.2.4:1", "198.51.100.1", "10.1.2.4"},
		{"10.0.0.0/8", "10.1.2.3:1", "198.51.100.1:51234", "198.51.100.1"},
		{"10.0.0.0/8", "10.1.2.3:1", "[2001:db8::7]:51234", "2001:db8::7"},
		{"10.0.0.0/8", "10.1.2.3:1", "[2001:db8::7]", "2001:db8::7"},
	}
	for _, tt := range tests {
		s := openSite(t, func(c *app.Config) {
			if tt.proxies != "" {
				c.TrustedProxies = strings.Split(tt.proxies, ",")
			}
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, web.Base+"/audit-log", nil)
		r.RemoteAddr = tt.remote
		r.Header.Set("X-Forwarded-For", tt.forwarded)
		s.enter(t, "ours", auth.PersonViewer, "u1", "Ada").ask(r)
		if found := s.recorded(t, "ours", "audit_log.opened"); len(found) != 1 || found[0].Context.Location != tt.want {
			t.Errorf("%+v: recorded %+v", tt, found)
		}
	}
}
