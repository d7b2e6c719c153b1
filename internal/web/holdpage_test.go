package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
)

// hold is the form of a hold.
func hold(changes ...string) url.Values {
	form := url.Values{"name": {"Case 117"}, "query": {"actor:u_3"}, "reason": {"Claim of a former employee."}, "do": {"save"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// place saves the hold of a form and returns its page's path.
func (v *visitor) place(form url.Values) string {
	v.t.Helper()
	made := v.post("/holds/new", form)
	if made.Code != http.StatusSeeOther {
		v.t.Fatalf("not placed: %d %s", made.Code, spaceless(visible(made.text)))
	}
	return strings.TrimSuffix(strings.TrimPrefix(made.Header().Get("Location"), "/settings/security"), "?done=created")
}

// TestHoldLife places, sees, changes and lifts a hold as somebody without scripts
// does.
func TestHoldLife(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 14)...)
	s.record(t, "theirs", s.plainEvents("api_key.created", 7)...)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.get("/holds").want(t, 200, "No legal holds", "New hold")
	ada.get("/holds/new?q=actor:u_4").want(t, 200, "[actor:u_4]", "2 entries match now.")
	ada.post("/holds/new", hold("do", "count", "name", "", "reason", "")).want(t, 200, "2 entries match now.", "[actor:u_3]")
	ada.get("/holds").want(t, 200, "No legal holds")

	at := ada.place(hold("reason", "First line.\r\n<script>alert(1)</script>", "ends_at", "2030-01-01T12:00"))
	ada.get(at+"?done=created").want(t, 200, "The hold is in force", "Case 117", "Active", "2 entries held now", "Actor is u_3", "<script>alert(1)</script>",
		"1 Jan 2030, 12:00:00 UTC, or when it is lifted", "by Ada")
	ada.get("/holds").want(t, 200, "Case 117", "2 entries held now", "ends 1 Jan 2030")
	theirs := s.enter(t, "theirs", auth.PersonManager, "u_eve", "Eve")
	theirs.get("/holds").want(t, 200, "No legal holds")
	for _, path := range []string{at, at + "/edit", at + "/lift"} {
		theirs.get(path).want(t, 404)
	}
	theirs.post(at+"/lift", url.Values{"reason": {"Mine"}}).want(t, 404)

	// Who manages sees on an entry that it is held, and by what.
	entry := s.recorded(t, "ours", "api_key.created")[3]
	ada.get("/audit-log/entries/"+entry.ID).want(t, 200, "Held by Case 117")
	ada.get("/audit-log/entries/"+s.recorded(t, "ours", "api_key.created")[4].ID).wantNot(t, "Held by")
	s.enter(t, "ours", auth.PersonViewer, "u_v", "V").get("/audit-log/entries/"+entry.ID).wantNot(t, "Held by")

	ada.get(at+"/edit").want(t, 200, "[Case 117]", "[2030-01-01T12:00]", "What it covers cannot change")
	ada.post(at+"/edit", hold("name", "Case 117b", "ends_at", "")).leads(t, at+"?done=changed")
	ada.get(at).want(t, 200, "Case 117b", "Ends When it is lifted", "Actor is u_3")

	// What the hold alone keeps is said before it is lifted.
	s.pass(400 * 24 * time.Hour)
	ada = s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.get(at).want(t, 200, "2 entries held now", "2 of them are past their time")
	ada.get(at+"/lift").want(t, 200, "Lift “Case 117b”?", "2 entries are past their time", "Keep it")
	ada.post(at+"/lift", url.Values{}).want(t, 400, "Say why it is lifted")
	if s.shown(t, "api_key.created") != 2 {
		t.Error("it was lifted without a reason")
	}
	ada.post(at+"/lift", url.Values{"reason": {"Settled."}}).leads(t, at+"?done=lifted")
	if n := s.shown(t, "api_key.created"); n != 0 {
		t.Errorf("%d are shown still", n)
	}
	ada.get(at+"?done=lifted").want(t, 200, "The hold is lifted", "It keeps nothing any more", "Lifted")
	ada.get("/holds").want(t, 200, "No hold is in force", "Past holds", "Case 117b", "Lifted")
	ada.post(at+"/lift", url.Values{"reason": {"Again."}}).want(t, 409, "was not lifted", "The hold was lifted at")
	ada.post(at+"/edit", hold()).want(t, 409, "Nothing was saved", "[Case 117]")
	for _, action := range []string{retention.ActionHoldLifted} { // the others are past their time
		found := s.recorded(t, "ours", action)
		if len(found) != 1 || found[0].Actor.ID != "u_ada" || found[0].Metadata["reason"] != "Settled." || found[0].Context.UserAgent != "a browser of the tests" {
			t.Errorf("%s: %+v", action, found)
		}
	}
}

// TestHoldFaults holds that what is wrong is said at its field, and what was typed
// kept.
func TestHoldFaults(t *testing.T) {
	s := openSite(t)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	for _, c := range []struct {
		field, value string
		says         string
	}{
		{"name", "", "Is required"},
		{"name", "two\nlines", "without control characters"},
		{"reason", " ", "Is required: say what"},
		{"query", "actor.colour:red", `unknown field "actor.colour"`},
		{"query", `"<script>`, "quote"},
		{"ends_at", "whenever", "is not a time"},
		{"ends_at", "2001-01-01", "Must be in the future"},
	} {
		p := ada.post("/holds/new", hold(c.field, c.value))
		p.want(t, 400, c.says, "New legal hold")
		if n := strings.Count(p.text, `aria-invalid="true"`); n != 1 || !strings.Contains(p.text, "autofocus") {
			t.Errorf("%s: %d fields are marked", c.field, n)
		}
		if c.field != "name" {
			p.want(t, 400, "[Case 117]")
		}
	}
	ada.get("/holds").want(t, 200, "No legal holds")
	ada.get("/holds/new?q=actor.colour:red").want(t, 400, "unknown field")
	ada.post("/holds/new", hold("query", "actor.colour:red", "do", "count")).want(t, 400, "unknown field")
	ada.get("/holds/hold_x").want(t, 404)

	// A date is by the clocks of the page, and kept so.
	at := ada.place(hold("query", "after:2026-02-01"))
	ada.get(at).want(t, 200, "Time Since 1 Feb 2026")
	every := ada.place(hold("query", "", "name", "All of it"))
	ada.get(every).want(t, 200, "Every entry")
}

// TestHoldPast holds that what is past its time is counted right, whatever the
// classes of actions are.
func TestHoldPast(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 5)...)
	s.record(t, "ours", s.plainEvents("api_key.rotated", 3)...)
	s.record(t, "ours", s.plainEvents("user.logged_in", 2)...)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	paths := map[string]string{}
	for query := range map[string]int{"": 0, "action:api_key.*": 0, "action:api_key.created action:user.logged_in": 0, "-action:api_key.*": 0, "received.after:2026-05-01": 0} {
		paths[query] = ada.place(hold("query", query))
	}
	_, err := s.Catalog.UpdateOrganization(t.Context(), "ours", func(o *catalog.Organization) error {
		o.RetentionActions = []catalog.RetentionAction{{Pattern: "api_key.*", Days: 90}, {Pattern: "api_key.rotated", Days: 3650}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.pass(100 * 24 * time.Hour)
	ada = s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.get(paths[""]).want(t, 200, "5 of them are past")
	ada.get(paths["action:api_key.*"]).want(t, 200, "5 of them are past")
	ada.get(paths["action:api_key.created action:user.logged_in"]).want(t, 200, "7 entries", "5 of them are past")
	ada.get(paths["-action:api_key.*"]).wantNot(t, "of them")
	ada.get(paths["received.after:2026-05-01"]).wantNot(t, "of them")
	s.pass(300 * 24 * time.Hour)
	ada = s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.get(paths["action:api_key.created action:user.logged_in"]).want(t, 200, "7 of them are past")
}

// TestHoldCreator holds who a hold is said to be of.
func TestHoldCreator(t *testing.T) {
	s := openSite(t)
	h, err := s.Retention.CreateHold(t.Context(), "ours", retention.HoldSpec{Name: "By a program", Reason: "Because"}, retention.Key("key_1", ""))
	if err != nil {
		t.Fatal(err)
	}
	ada := s.enter(t, "ours", auth.PersonManager, "", "")
	ada.get("/holds").want(t, 200, "API key key_1")
	at := ada.place(hold())
	ada.get(at).want(t, 200, "by Someone from the product")
	ada.get("/holds/"+h.ID).want(t, 200, "Every entry")
}
