package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/storetest"
)

// lobby is a server with routes for people.
type lobby struct {
	*bench
	sessions *auth.Sessions
	ran      int
}

const lobbyURL = "https://audit.example.com"

func openLobby(t *testing.T) *lobby {
	t.Helper()
	l := &lobby{}
	b := setUp(t) // for its catalog and keys
	l.sessions = auth.NewSessions(storetest.NewMemory(), b.catalog, b.signer, time.Hour, time.Now)
	ran := func(w http.ResponseWriter, r *Request) error {
		l.ran++
		_, err := w.Write([]byte(r.Organization.ID + " " + r.Session.PersonID + " " + r.PostFormValue("name")))
		return err
	}
	routes := []Route{
		{Name: "read", Method: "GET", Pattern: "/p/read", Access: auth.Person(), Handler: ran},
		{Name: "write", Method: "POST", Pattern: "/p/write", Access: auth.Person(), Handler: ran},
		{Name: "manage", Method: "GET", Pattern: "/p/manage", Access: auth.Managers(), Handler: ran},
		{Name: "open", Method: "GET", Pattern: "/p/open", Access: auth.Public(), Handler: func(_ http.ResponseWriter, r *Request) error {
			if r.Session != nil {
				t.Error("a public route has a session")
			}
			return nil
		}},
	}
	b.server = New(Config{
		Auth: b.auth, Signer: b.signer, Sessions: l.sessions, Catalog: b.catalog, Logger: b.server.cfg.Logger, Now: time.Now, PublicURL: lobbyURL,
	}, Surface{Name: "pages", Prefixes: []string{"/p"}, Errors: Problem, Routes: routes})
	l.bench = b
	return l
}

// enter makes a session of acme.
func (l *lobby) enter(role auth.PersonRole) (withCookie func(*http.Request), csrf string) {
	l.t.Helper()
	cookie, s, err := l.sessions.Open(l.t.Context(), auth.Portal{Organization: "acme", Role: role, PersonID: "ada"})
	if err != nil {
		l.t.Fatal(err)
	}
	return func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: SessionCookie, Value: cookie})
	}, s.CSRF()
}

func withForm(fields ...string) func(*http.Request) {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return func(r *http.Request) {
		withBody([]byte(form.Encode()), "")(r)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
}

func TestSession(t *testing.T) {
	l := openLobby(t)
	viewer, csrf := l.enter(auth.PersonViewer)
	manager, _ := l.enter(auth.PersonManager)
	want := func(w *httptest.ResponseRecorder, status int, code string) {
		t.Helper()
		if status == http.StatusOK {
			if w.Code != status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			return
		}
		wantProblem(t, w, status, code)
	}
	want(l.do("GET", "/p/read", viewer), 200, "")
	want(l.do("GET", "/p/open", viewer), 200, "")
	want(l.do("GET", "/p/read"), 401, "unauthorized")
	want(l.do("GET", "/p/read", withKey(rootKey)), 401, "unauthorized")
	want(l.do("GET", "/p/manage", viewer), 403, "forbidden")
	want(l.do("GET", "/p/manage", manager), 200, "")
	got := l.do("POST", "/p/write", viewer, withForm("csrf", csrf, "name", "x"))
	if got.Code != http.StatusOK || got.Body.String() != "acme ada x" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	line := l.log.last(t)
	if id, _ := line["session"].(string); !strings.HasPrefix(id, "session_") || line["organization"] != "acme" {
		t.Errorf("logged %v", line)
	}
	if strings.Contains(l.log.String(), csrf) {
		t.Error("the log has the CSRF text")
	}
}

// TestSessionFollowsOrganization holds that what happens to the organization
// happens to its people at once.
func TestSessionFollowsOrganization(t *testing.T) {
	l := openLobby(t)
	ada, _ := l.enter(auth.PersonManager)
	set := func(state catalog.State) {
		t.Helper()
		if _, err := l.catalog.UpdateOrganization(t.Context(), "acme", func(o *catalog.Organization) error {
			o.State = state
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(catalog.StateInactive)
	wantProblem(t, l.do("GET", "/p/read", ada), 403, "audit_log_inactive")
	set(catalog.StateDisabled) // takes no events, but shows those it has
	if w := l.do("GET", "/p/read", ada); w.Code != http.StatusOK {
		t.Errorf("disabled: %d", w.Code)
	}
	if err := l.catalog.DeleteOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, l.do("GET", "/p/read", ada), 401, "unauthorized")
}

// TestIntended is the table of who may change something with a good cookie.
func TestIntended(t *testing.T) {
	l := openLobby(t)
	ada, csrf := l.enter(auth.PersonViewer)
	_, other := l.enter(auth.PersonViewer)
	post := func(options ...func(*http.Request)) int {
		return l.do("POST", "/p/write", append(options, ada)...).Code
	}
	form, header := withForm("csrf", csrf), withHeader(CSRFHeader, csrf)
	tests := []struct {
		what string
		got  int
		want int
	}{
		{"form", post(form), 200},
		{"script", post(header), 200},
		{"same origin", post(form, withHeader("Sec-Fetch-Site", "same-origin"), withHeader("Origin", "https://evil.example")), 200},
		{"an older browser", post(form, withHeader("Origin", "http://example.com")), 200}, // the Host of these requests
		{"behind a proxy", post(form, withHeader("Origin", lobbyURL)), 200},

		{"nothing", post(), 403},
		{"another session's", post(withForm("csrf", other)), 403},
		{"empty", post(withForm("csrf", "")), 403},
		{"in the query", l.do("POST", "/p/write?csrf="+csrf, ada, withForm()).Code, 403},
		{"a part", post(withForm("csrf", csrf[1:])), 403},
		{"as text", post(form, withHeader("Content-Type", "text/plain")), 403},
		{"cross-site", post(form, withHeader("Sec-Fetch-Site", "cross-site")), 403},
		{"another subdomain", post(form, withHeader("Sec-Fetch-Site", "same-site")), 403},
		{"typed into the address bar", post(header, withHeader("Sec-Fetch-Site", "none")), 200},
		{"another origin", post(form, withHeader("Origin", "https://evil.example")), 403},
		{"no origin", post(form, withHeader("Origin", "null")), 403},
		{"another port", post(form, withHeader("Origin", lobbyURL+":8443")), 403},
	}
	allowed := 0
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, tt.got, tt.want)
		}
		if tt.want == http.StatusOK {
			allowed++
		}
	}
	if l.ran != allowed {
		t.Errorf("%d changes were made, want %d", l.ran, allowed)
	}
	large := withForm("csrf", csrf, "name", strings.Repeat("x", maxFormBytes))
	wantProblem(t, l.do("POST", "/p/write", ada, large), 413, "too_large")
	wantProblem(t, l.do("POST", "/p/write", ada, func(r *http.Request) {
		withBody([]byte("csrf=%zz"), "")(r)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}), 400, "invalid_request")
}
