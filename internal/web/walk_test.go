package web_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/server/servertest"
	logstream "github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
)

// TestStrangersSeeNothing walks over every route for people as those who have no
// session, an ended one, one of another organization or one that does not
// suffice, and as other sites would make a browser ask. It holds promise 9 for
// the pages.
func TestStrangersSeeNothing(t *testing.T) {
	s := openSite(t)
	events := s.plainEvents("secret.plan_made", 3)
	events[0].Targets[0].Name, events[0].Actor.Name = "Plan Zebra", "Quentin Unlikely"
	s.record(t, "ours", events...)
	entry := s.recorded(t, "ours", "secret.plan_made")[0].ID
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada_only", "Ada")
	made := ada.make(url.Values{})
	job := made[strings.LastIndex(made, "/")+1:]
	st, err := s.Streams.Create(t.Context(), "ours", logstream.Spec{
		Kind: "webhook", Name: "Secret SIEM", Settings: sink.Values{"url": "https://127.0.0.1:1/hush-hush-4711"},
	}, logstream.Key("root"))
	if err != nil {
		t.Fatal(err)
	}
	ended := s.enter(t, "ours", auth.PersonManager, "u_ada_only", "Ada")
	if err := s.people.End(t.Context(), ended.cookie); err != nil {
		t.Fatal(err)
	}
	var routes []server.Route
	for _, route := range s.Server.Routes() {
		if route.Access.NeedsSession() {
			routes = append(routes, route)
		}
	}
	values := map[string]string{"log.entry id": entry, "log.proof id": entry, "id": job, "action": "secret.plan_made"}
	hold, err := s.Retention.CreateHold(t.Context(), "ours", retention.HoldSpec{Name: "Secret case", Reason: "Whispered reason"}, retention.Key("key_1", "root"))
	if err != nil {
		t.Fatal(err)
	}
	erased, err := s.Erasures.Create(t.Context(), erasure.Request{
		Organization: "ours", Subject: "u_secret_subject", RequestedBy: erasure.Requester{Type: erasure.ByKey, ID: "key_1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		switch {
		case strings.HasPrefix(route.Name, "page.stream"):
			values[route.Name+" id"] = st.ID
		case strings.HasPrefix(route.Name, "page.hold"):
			values[route.Name+" id"] = hold.ID
		case strings.HasPrefix(route.Name, "page.erasure"):
			values[route.Name+" id"] = erased.ID
		}
	}
	servertest.Walk(t, &servertest.World{
		Handler: s, Routes: routes, Organization: "ours", Stranger: "theirs", Ended: ended.cookie,
		Key: func(role auth.Role, org string) string {
			secret, _, err := s.Auth.CreateKey(t.Context(), catalog.Key{Name: "test", Role: role, Organization: org})
			if err != nil {
				t.Fatal(err)
			}
			return secret
		},
		Session: func(org string, role auth.PersonRole) (cookie, csrf string) {
			v := s.enter(t, org, role, "u_walker", "Walker")
			return v.cookie, v.csrf
		},
		Values:  values,
		Secrets: []string{"OURS", "Plan Zebra", "Quentin Unlikely", "u_ada_only", "Secret SIEM", "hush-hush", job, entry, "Secret case", "Whispered reason", "u_secret_subject"},
	})
	ada.get("/audit-log").want(t, 200) // nobody signed her out
}
