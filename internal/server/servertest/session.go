package servertest

import (
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// unsafe says that the route changes something.
func (v *visit) unsafe() bool {
	return v.route.Method != http.MethodGet && v.route.Method != http.MethodHead
}

// person asks with a session cookie and a CSRF text.
func (v *visit) person(cookie, csrf string, more ...string) *httptest.ResponseRecorder {
	return v.send(v.target("", ""), func(r *http.Request) {
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: cookie}) //nolint:gosec // as a browser sends it
		}
		if csrf != "" {
			r.Header.Set(server.CSRFHeader, csrf)
		}
		for i := 0; i+1 < len(more); i += 2 {
			r.Header.Set(more[i], more[i+1])
		}
	})
}

func (v *visit) withoutSession() {
	cookie, csrf := v.world.Session(v.world.Organization, auth.PersonManager)
	for what, wrong := range map[string]string{
		"no session": "", "an unknown session": auth.NewSecret(), "an ended session": v.world.Ended,
		"a session's CSRF text as its cookie": csrf, "a part of a session's cookie": cookie[1:],
	} {
		v.refused(what, v.person(wrong, csrf), http.StatusUnauthorized)
	}
	key := "Bearer " + v.world.Key(auth.RoleAdmin, "")
	v.refused("a key", v.person("", csrf, "Authorization", key), http.StatusUnauthorized)
	inURL := v.send(v.target("", server.SessionCookie+"="+cookie), func(*http.Request) {})
	v.refused("a session in the URL", inURL, http.StatusUnauthorized)
}

// viewer asks for what is the managers' alone.
func (v *visit) viewer() {
	if !v.access.ManagersOnly() {
		return
	}
	cookie, csrf := v.world.Session(v.world.Organization, auth.PersonViewer)
	answer := v.person(cookie, csrf)
	if answer.Code != http.StatusForbidden {
		v.t.Errorf("with a viewer's session: %d, want 403: %.500s", answer.Code, answer.Body)
	}
}

// unintended asks for changes that the person did not ask for.
func (v *visit) unintended() {
	if !v.unsafe() {
		return
	}
	cookie, csrf := v.world.Session(v.world.Organization, auth.PersonManager)
	_, other := v.world.Session(v.world.Organization, auth.PersonManager)
	for what, answer := range map[string]*httptest.ResponseRecorder{
		"no CSRF text":              v.person(cookie, ""),
		"another session's":         v.person(cookie, other),
		"the cookie as CSRF text":   v.person(cookie, cookie),
		"a form from another site":  v.person(cookie, csrf, "Sec-Fetch-Site", "cross-site"),
		"a form from a sibling":     v.person(cookie, csrf, "Sec-Fetch-Site", "same-site"),
		"another Origin":            v.person(cookie, csrf, "Origin", "https://evil.example"),
		"an Origin that is no site": v.person(cookie, csrf, "Origin", "null"),
	} {
		if answer.Code != http.StatusForbidden {
			v.t.Errorf("with %s: %d, want 403: %.500s", what, answer.Code, answer.Body)
		}
	}
}

// foreignSession asks for things of the organization with a session of another:
// what has an id must look as if it did not exist.
func (v *visit) foreignSession() {
	cookie, csrf := v.world.Session(v.world.Stranger, auth.PersonManager)
	answer := v.person(cookie, csrf)
	v.keepsSecrets("a stranger's session", answer)
	if answer.Code >= http.StatusInternalServerError {
		v.t.Errorf("a stranger's session is answered with %d: %.500s", answer.Code, answer.Body)
	}
	if strings.Contains(v.route.Pattern, "{id}") && answer.Code != http.StatusNotFound {
		v.t.Errorf("a stranger asks for an id that is not theirs: %d, want 404: %.500s", answer.Code, answer.Body)
	}
}
