package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/erasure"
	"github.com/stelehq/stele/internal/retention"
)

// erase is the form of an erasure.
func erase(do, subject string, more ...string) url.Values {
	form := url.Values{"do": {do}, "subject": {subject}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// TestErasure erases a person as somebody without scripts does, after a dry run,
// and looks at what the pages say then.
func TestErasure(t *testing.T) {
	s := openSite(t)
	events := s.plainEvents("api_key.created", 14) // of seven actors
	for i := range events {
		events[i].Actor.Name = "Quentin Unlikely"
	}
	s.record(t, "ours", events...)
	s.record(t, "theirs", s.plainEvents("api_key.created", 7)...)
	_, err := s.Retention.CreateHold(t.Context(), "ours", retention.HoldSpec{Name: "Case", Query: "target:k_3", Reason: "Claim against Quentin Unlikely"}, retention.Key("key_1", "root"))
	if err != nil {
		t.Fatal(err)
	}
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	exported := ada.make(url.Values{"q": {`actor:u_3 "Quentin Unlikely"`}, "range": {"all"}})
	ada.ended(exported)
	ada.get("/erasure").want(t, 200, "Nobody was erased yet")
	ada.get("/erasure/new?subject=u_3").want(t, 200, "[u_3]", "Nothing happens before you confirm it")

	review := ada.post("/erasure/new", erase("preview", " u_3 ", "reference", "DSR-214 <b>"))
	review.want(t, 200, "Erase u_3?", "The details of 1 entry would be erased, for good", "DSR-214 <b>", "api_key.created 1", "1 entry stays as it is: a legal hold keeps it", "file of 1 export will be removed", "Erase 1 entry for good")
	ada.get("/erasure").want(t, 200, "Nobody was erased yet")
	ada.post("/erasure/new", erase("edit", "u_3", "reference", "DSR-214")).want(t, 200, "[u_3]", "[DSR-214]")

	made := ada.post("/erasure/new", erase("confirm", "u_3", "reference", "DSR-214"))
	if made.Code != 303 {
		t.Fatalf("%d %s", made.Code, spaceless(visible(made.text)))
	}
	at := strings.TrimPrefix(made.Header().Get("Location"), "/settings/security")
	ada.until(at, "The details of 1 entry are erased").want(t, 200, "Done", "u_3", "DSR-214", "by Ada", "1 entry is as it was: a legal hold keeps it", "In the log Entry")
	ada.get("/erasure").want(t, 200, "u_3", "DSR-214", "Ada", "Done")
	status := decode[map[string]any](t, ada.get(at+"/status"))
	if status["ended"] != true || status["erased_text"] != "1" || status["held_text"] != "1" {
		t.Errorf("%v", status)
	}
	theirs := s.enter(t, "theirs", auth.PersonManager, "u_eve", "Eve")
	theirs.get("/erasure").want(t, 200, "Nobody was erased yet")
	theirs.get(at).want(t, 404)
	theirs.get(at+"/status").want(t, 404)

	// The entries say so, to viewers too.
	grace := s.enter(t, "ours", auth.PersonViewer, "u_grace", "Grace")
	list := grace.get("/audit-log?range=all&q=actor:u_3")
	list.want(t, 200, "Details erased", "u_3", "created API key k_10")
	found := s.recorded(t, "ours", "api_key.created")
	one := grace.get("/audit-log/entries/" + found[10].ID)
	one.want(t, 200, "Details erased on", "(request DSR-214)", "u_3 created API key k_10", "Erased, if it had one")
	one.wantNot(t, "Quentin")
	grace.get("/audit-log/entries/"+found[3].ID).want(t, 200, "Quentin Unlikely")
	grace.get("/audit-log?range=all&q=subject.erased").wantNot(t, "Quentin Unlikely u_3")

	// What named the person elsewhere is gone too, or said.
	grace.get(exported).want(t, 200, "The file was removed", "Entries in it were erased on 2026-03-02; make a new export", "it named somebody whose details were erased")
	grace.get(exported).wantNot(t, "Make it again")
	ada.get(at).want(t, 200, "One setting still names the person", "Legal hold hold_")

	// Once more there is nothing to erase, which can be written down.
	ada.post("/erasure/new", erase("preview", "u_3")).want(t, 200, "There is nothing to erase", "under legal hold or was erased before", "Write the request down")
	ada.post("/erasure/new", erase("preview", "nobody", "subject_type", "user")).want(t, 200, "No entry has this id", "of type user")
}

// TestErasureFaults holds that what is wrong is said at its field, and what was
// typed kept.
func TestErasureFaults(t *testing.T) {
	s := openSite(t)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	for field, value := range map[string]string{
		"subject": strings.Repeat("x", erasure.MaxSubjectBytes+1), "reference": strings.Repeat("x", erasure.MaxReferenceBytes+1),
	} {
		form := erase("preview", "u_1", field, value)
		p := ada.post("/erasure/new", form)
		p.want(t, 400, "Erase a person")
		if n := strings.Count(p.text, `aria-invalid="true"`); n != 1 || !strings.Contains(p.text, "autofocus") {
			t.Errorf("%s: %d fields are marked: %s", field, n, spaceless(visible(p.text)))
		}
	}
	ada.post("/erasure/new", erase("confirm", "")).want(t, 400, "Erase a person")
	ada.get("/erasure").want(t, 200, "Nobody was erased yet")
	ada.get("/erasure/erasure_x").want(t, 404)
}

// TestErasureTyped holds that the erasure of many entries is confirmed by typing how
// many.
func TestErasureTyped(t *testing.T) {
	s := openSite(t)
	events := s.plainEvents("api_key.created", 1100)
	for i := range events {
		events[i].Actor.ID = "u_busy"
	}
	s.record(t, "ours", events...)
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	ada.post("/erasure/new", erase("preview", "u_busy")).want(t, 200, "Type 1,100 to confirm", "Erase 1,100 entries for good")
	ada.post("/erasure/new", erase("confirm", "u_busy", "typed", "11")).want(t, 400, "Type 1,100, the number of entries, to confirm", "[11]")
	ada.get("/erasure").want(t, 200, "Nobody was erased yet")
	if made := ada.post("/erasure/new", erase("confirm", "u_busy", "typed", "1,100")); made.Code != 303 {
		t.Errorf("%d %s", made.Code, spaceless(visible(made.text)))
	}
}

// TestErasuresList pages through past erasures.
func TestErasuresList(t *testing.T) {
	s := openSite(t)
	for i := range 27 {
		_, err := s.Erasures.Create(t.Context(), erasure.Request{
			Organization: "ours", Subject: "u_" + string(rune('a'+i)), RequestedBy: erasure.Requester{Type: erasure.ByKey, ID: "key_7"},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
	}
	ada := s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	first := ada.get("/erasure")
	first.want(t, 200, "API key key_7", "Older erasures")
	href := first.text[strings.Index(first.text, `/erasure?cursor=`):]
	ada.get(href[:strings.IndexByte(href, '"')]).want(t, 200, "u_a", "u_b", "Newest erasures")
	ada.get("/erasure?cursor=nonsense")
}
