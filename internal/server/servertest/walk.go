// Package servertest asks every route of a server as those who may not use it,
// so that no route is forgotten when one is added.
package servertest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// World is a server with two organizations, and what belongs to the first.
type World struct {
	// Handler answers, and Routes are those that it has.
	Handler http.Handler
	Routes  []server.Route
	// Organization holds things, Stranger is another.
	Organization, Stranger string
	// Key makes a key with a role, limited to org unless that is "".
	Key func(role auth.Role, org string) string
	// Revoked is a key that was good once.
	Revoked string
	// Session makes a session of a person, and its CSRF text; only needed when
	// a route takes sessions.
	Session func(org string, role auth.PersonRole) (cookie, csrf string)
	// Ended is the cookie of a session that was good once.
	Ended string
	// Values are the values of wildcards other than {org}, by the name of the
	// route and that of the wildcard ("events.get id"), or by the wildcard
	// alone: ids of things of Organization. "x" where there is none.
	Values map[string]string
	// Queries are what follows the path of a route, such as "?field=action",
	// by the name of the route.
	Queries map[string]string
	// Secrets are texts that belong to Organization: no answer to others may
	// hold one, other than in words that repeat the request.
	Secrets []string
}

// Walk asks each route with no key, with wrong ones, with a key of every role
// that is too weak, and with one of another organization; routes for people also
// with no session, with wrong ones, and as other sites would make a browser ask.
// Every such request must be refused as it should, and no answer may hold a
// secret.
func Walk(t *testing.T, w *World) {
	t.Helper()
	if len(w.Routes) == 0 || len(w.Secrets) == 0 {
		t.Fatal("a walk without routes or secrets proves nothing")
	}
	for _, route := range w.Routes {
		t.Run(route.Name, func(t *testing.T) {
			v := visit{t: t, world: w, route: route, access: route.Access}
			switch {
			case v.access.NeedsKey():
				v.withoutKey()
				v.tooWeak()
				v.foreign()
			case v.access.NeedsSession():
				v.withoutSession()
				v.viewer()
				v.unintended()
				v.foreignSession()
			case v.access.Purpose() != "":
				v.withoutSignature()
			default:
				v.public()
			}
		})
	}
}

// visit is the walk at one route.
type visit struct {
	t      *testing.T
	world  *World
	route  server.Route
	access auth.Access
}

func (v *visit) withoutKey() {
	unknown := auth.NewSecret()
	good := v.world.Key(auth.RoleAdmin, "")
	for what, authorization := range map[string]string{
		"no key": "", "an unknown key": "Bearer " + unknown, "a revoked key": "Bearer " + v.world.Revoked,
		"an empty key": "Bearer ", "a good key as Basic": "Basic " + good, "a good key without a scheme": good,
	} {
		v.refused(what, v.ask(v.world.Organization, authorization, ""), http.StatusUnauthorized)
	}
	v.refused("a good key in the URL", v.ask(v.world.Organization, "", "access_token="+good+"&key="+good), http.StatusUnauthorized)
}

func (v *visit) tooWeak() {
	admitted := map[auth.Role]bool{}
	for _, role := range v.access.Roles() {
		admitted[role] = true
	}
	for _, role := range []auth.Role{auth.RoleAdmin, auth.RoleWriter, auth.RoleReader} {
		if admitted[role] {
			continue
		}
		for _, org := range []string{"", v.world.Organization} {
			answer := v.ask(v.world.Organization, "Bearer "+v.world.Key(role, org), "")
			v.refused("a "+string(role)+" limited to "+org, answer, http.StatusForbidden)
		}
	}
}

// foreign asks with keys of another organization. Where the organization is in
// the path, one that exists must look like one that does not.
func (v *visit) foreign() {
	for _, role := range v.access.Roles() {
		key := "Bearer " + v.world.Key(role, v.world.Stranger)
		answer := v.ask(v.world.Organization, key, "")
		switch {
		case strings.Contains(v.route.Pattern, "{org}"):
			v.refused("a stranger", answer, http.StatusNotFound)
			absent := v.ask("never-there", key, "")
			if got, want := v.masked(answer, v.world.Organization), v.masked(absent, "never-there"); got != want {
				v.t.Errorf("a stranger sees whether an organization exists:\n%s\n%s", got, want)
			}
		case v.access.ChecksPath():
			v.refused("a key limited to an organization", answer, http.StatusForbidden)
		default: // nobody's, or checked by the handler
			v.keepsSecrets("a stranger", answer)
			if answer.Code >= http.StatusInternalServerError {
				v.t.Errorf("a stranger is answered with %d", answer.Code)
			}
		}
	}
}

func (v *visit) withoutSignature() {
	for what, query := range map[string]string{
		"no signature": "", "an empty signature": "expires=99999999999&signature=", "a wrong one": "expires=99999999999&signature=AAAA",
	} {
		answer := v.ask(v.world.Organization, "Bearer "+v.world.Key(auth.RoleAdmin, ""), query)
		v.keepsSecrets(what, answer)
		if answer.Code < 400 || answer.Code >= 500 {
			v.t.Errorf("with %s: %d", what, answer.Code)
		}
	}
}

func (v *visit) public() {
	answer := v.ask(v.world.Organization, "", "")
	v.keepsSecrets("anybody", answer)
	if answer.Code >= http.StatusInternalServerError {
		v.t.Errorf("anybody is answered with %d", answer.Code)
	}
}

// refused fails the test unless an answer has the status, and no secret.
func (v *visit) refused(who string, answer *httptest.ResponseRecorder, status int) {
	v.t.Helper()
	if answer.Code != status {
		v.t.Errorf("with %s: %d, want %d: %.500s", who, answer.Code, status, answer.Body)
	}
	if status == http.StatusUnauthorized && answer.Header().Get("WWW-Authenticate") == "" {
		v.t.Errorf("with %s: no WWW-Authenticate", who)
	}
	v.keepsSecrets(who, answer)
}

func (v *visit) keepsSecrets(who string, answer *httptest.ResponseRecorder) {
	v.t.Helper()
	body := answer.Body.String()
	if answer.Code >= 400 { // errors may repeat what was asked for
		for _, value := range v.world.Values {
			body = strings.ReplaceAll(body, value, "")
		}
		body = strings.ReplaceAll(body, v.world.Organization, "")
	}
	for _, secret := range v.world.Secrets {
		if strings.Contains(body, secret) {
			v.t.Errorf("with %s: the answer has %q of another organization: %.500s", who, secret, answer.Body)
		}
	}
}

// masked is an answer without what differs from request to request.
func (v *visit) masked(answer *httptest.ResponseRecorder, org string) string {
	body := answer.Body.String()
	if id := answer.Header().Get("X-Request-ID"); id != "" {
		body = strings.ReplaceAll(body, id, "(request)")
	}
	return strings.ReplaceAll(body, org, "(organization)")
}

var wildcard = regexp.MustCompile(`\{([^}]*)\}`)

// target is the route's path with the wildcards filled in, and a query.
func (v *visit) target(org, query string) string {
	path := wildcard.ReplaceAllStringFunc(v.route.Pattern, func(text string) string {
		name := strings.TrimSuffix(strings.Trim(text, "{}"), "...")
		switch name {
		case "$":
			return ""
		case "org":
			return org
		}
		for _, key := range []string{v.route.Name + " " + name, name} {
			if value, ok := v.world.Values[key]; ok {
				return value
			}
		}
		return "x"
	})
	path += v.world.Queries[v.route.Name]
	if query != "" {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query
	}
	return path
}

// ask sends a request without a body: who may not ask is refused before that is
// read.
func (v *visit) ask(org, authorization, query string) *httptest.ResponseRecorder {
	return v.send(v.target(org, query), func(r *http.Request) {
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
	})
}

// send sends a request that change has completed. An answer without an end, such
// as a tail, ends with what is sent first.
func (v *visit) send(target string, change func(*http.Request)) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(v.t.Context())
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, v.route.Method, target, http.NoBody)
	change(req)
	answer := &untilFlush{httptest.NewRecorder(), cancel}
	v.world.Handler.ServeHTTP(answer, req)
	return answer.ResponseRecorder
}

// untilFlush ends the request when its answer is first flushed.
type untilFlush struct {
	*httptest.ResponseRecorder
	cancel func()
}

// Flush implements http.Flusher.
func (r *untilFlush) Flush() {
	r.ResponseRecorder.Flush()
	r.cancel()
}
