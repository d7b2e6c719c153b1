package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
)

// periods is the form of a retention: the default, and then pairs of an event type
// and its days. Days that are no preset are typed.
func periods(do, days string, rows ...string) url.Values {
	form := url.Values{"do": {do}}
	add := func(name, days string) {
		choice, typed := "other", days
		for _, preset := range []string{"30", "90", "180", "365", "730", "2555", "3650", "0"} {
			if days == preset {
				choice, typed = days, ""
			}
		}
		form.Add(name, choice)
		form.Add(name+"_number", typed)
	}
	add("days", days)
	for i := 0; i+1 < len(rows); i += 2 {
		form.Add("action", rows[i])
		add("action_days", rows[i+1])
	}
	return form
}

// policy is how long entries of ours are kept, in words.
func (s *site) policy(t *testing.T) string {
	t.Helper()
	p, err := s.Retention.Policy(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	return p.String()
}

// shown is how many entries of an action are shown.
func (s *site) shown(t *testing.T, action string) int {
	t.Helper()
	return len(s.recorded(t, "ours", action))
}

// TestRetentionChange changes how long entries are kept as somebody without
// scripts does: rows come and go, and what would go is confirmed first.
func TestRetentionChange(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 7)...)
	s.record(t, "ours", s.plainEvents("user.logged_in", 4)...)
	s.pass(100 * 24 * time.Hour)
	s.record(t, "ours", s.plainEvents("user.logged_in", 2)...)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.get("/retention").want(t, 200, "Change…", "Legal holds None")
	ada.get("/retention/edit").want(t, 200, "Entries are kept", "30 days90 days180 days1 year", "For ever", "Add an event type")

	added := ada.post("/retention/edit", periods("add", "365"))
	added.want(t, 200, "Change the retention")
	if !strings.Contains(added.text, `aria-label="Event type, row 1"`) || !strings.Contains(added.text, "autofocus") || !strings.Contains(added.text, `<option value="audit_log.*">`) {
		t.Error("there is no new row", added.text)
	}
	removed := ada.post("/retention/edit", periods("remove/0", "365", "user.*", "90", "api_key.created", "777"))
	removed.want(t, 200, "[api_key.created]", "[777]")
	removed.wantNot(t, "[user.*]")

	// What takes nothing away is saved at once; empty rows say nothing.
	ada.post("/retention/edit", periods("save", "730", "api_key.*", "400", "", "90")).leads(t, "/retention?done=saved")
	if got := s.policy(t); got != "730 days; api_key.* 400 days" {
		t.Error(got)
	}
	ada.get("/retention?done=saved").want(t, 200, "is changed", "for 2 years (730 days)", "api_key.* 400 days")
	ada.get("/retention/edit").want(t, 200, "[api_key.*]", "[400]")

	// What takes something away is counted first.
	review := ada.post("/retention/edit", periods("save", "730", "user.logged_in", "90"))
	review.want(t, 200, "Hide 4 entries now?", "Received 2 Mar 2026", "None of them", "user.logged_in 90 days 4 0 2 Mar 2026", "Hide 4 entries, and save", "place a legal hold")
	if got := s.policy(t); got != "730 days; api_key.* 400 days" || s.shown(t, "user.logged_in") != 6 {
		t.Errorf("saved before it was confirmed: %s", got)
	}
	ada.post("/retention/edit", periods("edit", "730", "user.logged_in", "90")).want(t, 200, "Change the retention", "[user.logged_in]")

	confirm := periods("confirm", "730", "user.logged_in", "90")
	ada.post("/retention/edit", confirm).want(t, 400, "Nothing was changed", "look at the preview again")
	confirm.Set("due", "3")
	ada.post("/retention/edit", confirm).want(t, 200, "More entries than you confirmed", "Hide 4 entries now?")
	if s.shown(t, "user.logged_in") != 6 {
		t.Error("entries went that nobody agreed to lose")
	}
	confirm.Set("due", "4")
	ada.post("/retention/edit", confirm).leads(t, "/retention?done=saved")
	if got := s.policy(t); got != "730 days; user.logged_in 90 days" || s.shown(t, "user.logged_in") != 2 || s.shown(t, "api_key.created") != 7 {
		t.Errorf("%s; %d and %d are shown", got, s.shown(t, "user.logged_in"), s.shown(t, "api_key.created"))
	}
	changes := s.recorded(t, "ours", retention.ActionChanged)
	if len(changes) != 2 || changes[1].Actor.ID != "u_ada" || changes[1].Actor.Name != "Ada" || changes[1].Context.Location != "192.0.2.1" {
		t.Errorf("%+v", changes)
	}
	s.enter(t, "theirs", auth.PersonManager, "u_ada", "Ada").get("/retention").want(t, 200, "for 365 days")
}

// TestRetentionHeld holds that the preview says what legal holds keep.
func TestRetentionHeld(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 14)...) // of seven actors
	s.pass(100 * 24 * time.Hour)
	_, err := s.Retention.CreateHold(t.Context(), "ours", retention.HoldSpec{Name: "Case", Query: "actor:u_3", Reason: "Claim"}, retention.Key("key_1", "root"))
	if err != nil {
		t.Fatal(err)
	}
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.post("/retention/edit", periods("save", "90")).want(t, 200, "Hide 12 entries now?", "2 more entries stay: a legal hold keeps them", "All 90 days 12 2")
	ada.get("/retention").want(t, 200, "1 hold keeps what it covers, past its time too")
}

// TestRetentionFaults holds that all that is wrong is said at once, at its field,
// and that what was typed is kept.
func TestRetentionFaults(t *testing.T) {
	s := openSite(t)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	p := ada.post("/retention/edit", periods("save", "7", "user.*d", "many", `<b>"x`, "0", "api_key.*", "29"))
	p.want(t, 400, "Some fields need another look", "[7]", "Must be a number of days from 30 to 3,650", "[user.*d]", "Must be an action such as user.logged_in",
		"[many]", `[<b>"x]`, "[29]")
	if n := strings.Count(p.text, `aria-invalid="true"`); n != 7 { // each period is a choice and a number
		t.Errorf("%d fields are marked: %s", n, p.text)
	}
	ada.post("/retention/edit", periods("save", "365", "user.*", "90", "", "30", "user.*", "30")).want(t, 400, `"user.*" is given twice`)
	for _, days := range []string{"", "-1", "0x20", "99999999999999999999", "3,651"} {
		form := periods("save", "365")
		form.Set("days", "other")
		form.Set("days_number", days)
		ada.post("/retention/edit", form).want(t, 400, "Must be a number of days from 30 to 3,650")
	}
	form := periods("save", "365")
	form.Set("days", "12")
	ada.post("/retention/edit", form).want(t, 400, "Must be a number of days")
	many := periods("save", "365")
	for i := range 2 * catalog.MaxRetentionActions {
		many.Add("action", "a."+strings.Repeat("x", i+1))
		many.Add("action_days", "90")
		many.Add("action_days_number", "")
	}
	if p := ada.post("/retention/edit", many); p.Code >= 500 {
		t.Errorf("%d", p.Code)
	}
	if got := s.policy(t); !strings.HasPrefix(got, "365 days") {
		t.Error(got)
	}
}

// TestRetentionTyped holds that the loss of many entries is confirmed by typing how
// many.
func TestRetentionTyped(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 1200)...)
	s.pass(100 * 24 * time.Hour)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.post("/retention/edit", periods("save", "30")).want(t, 200, "Hide 1,200 entries now?", "Type 1,200 to confirm")
	form := periods("confirm", "30")
	form.Set("due", "1200")
	for _, typed := range []string{"", "120", "all"} {
		form.Set("typed", typed)
		ada.post("/retention/edit", form).want(t, 400, "Type 1,200, the number of entries, to confirm")
	}
	if s.shown(t, "api_key.created") == 0 {
		t.Fatal("they went")
	}
	form.Set("typed", " 1,200 ")
	ada.post("/retention/edit", form).leads(t, "/retention?done=saved")
	if s.shown(t, "api_key.created") != 0 {
		t.Error("they are shown still")
	}
	ada.get("/retention").want(t, 200, "Oldest entry Entry 1,200")
}

// TestCertificates removes what is past its time, and checks the certificate as an
// auditor does.
func TestCertificates(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 300)...)
	s.pass(400 * 24 * time.Hour)
	s.record(t, "ours", s.plainEvents("api_key.created", 1)...)
	made, err := s.Retention.Apply(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	lisa := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa Karlin")
	lisa.get("/retention").want(t, 200, "0–299 300 0 365 days Download", "stele verify", "Oldest entry Entry 300")
	p := lisa.get("/retention/certificates/" + made.ID)
	if p.Code != http.StatusOK || !strings.Contains(p.Header().Get("Content-Disposition"), "ours-"+made.ID+".txt") || p.text != string(made.Note) {
		t.Fatalf("%d %v %s", p.Code, p.Header(), p.text)
	}
	v, err := audit.NewVerifier(s.Ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.OpenNote(p.Body.Bytes(), s.Ledger.Origin("ours")+" destruction certificate v1"); err != nil {
		t.Error(err)
	}
	s.enter(t, "theirs", auth.PersonManager, "u_1", "Lisa").get("/retention/certificates/"+made.ID).want(t, 404)
	lisa.get("/retention/certificates/certificate_x").want(t, 404)
	lisa.get("/retention?certificates="+made.ID).want(t, 200)
	lisa.get("/retention?certificates=nonsense").want(t, 400)
}
