package web_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/export"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/web"
)

// status is what js/export.js reads.
type status struct {
	State    string `json:"state"`
	Ended    bool   `json:"ended"`
	Percent  int    `json:"percent"`
	Rows     uint64 `json:"rows"`
	RowsText string `json:"rows_text"`
	Size     string `json:"size"`
	Left     string `json:"left"`
}

// hold keeps exports from going on until the test lets them, or its end.
func (s *site) hold(t *testing.T) (reached <-chan struct{}, goOn func(error)) {
	t.Helper()
	at, let := make(chan struct{}, 100), make(chan error)
	hook := func(ctx context.Context) error {
		at <- struct{}{}
		select {
		case err := <-let:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.engine.onSurvey.Store(&hook)
	t.Cleanup(func() { s.engine.onSurvey.Store(nil) })
	return at, func(err error) { let <- err }
}

// make sends the form and returns the path of the export's page.
func (v *visitor) make(form url.Values) string {
	v.t.Helper()
	made := v.post("/exports", form)
	if made.Code != http.StatusSeeOther {
		v.t.Fatalf("status %d: %s", made.Code, visible(made.text))
	}
	return strings.TrimPrefix(made.Header().Get("Location"), web.Base)
}

// ended asks until an export has ended.
func (v *visitor) ended(path string) status {
	v.t.Helper()
	for {
		p := v.get(path + "/status")
		if p.Code != http.StatusOK {
			v.t.Fatalf("status %d: %s", p.Code, p.text)
		}
		if st := decode[status](v.t, p); st.Ended {
			return st
		}
	}
}

// TestExport makes an export as a viewer does, from the address that the list
// leads to, and compares the file with a search.
func TestExport(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 120)...)
	s.record(t, "ours", s.plainEvents("user.logged_in", 30)...)
	s.record(t, "theirs", s.plainEvents("api_key.created", 5)...)
	v := s.enter(t, "ours", auth.PersonViewer, "u_9", "Amara Lindqvist")
	v.get("/exports").want(t, http.StatusOK, "No exports yet")
	v.get("/exports?new=1&q=action:api_key.*+actor:u_3&range=7d").want(t, http.StatusOK,
		"[action:api_key.* actor:u_3]", "It will hold about 17 entries.", "Last 7 days")

	path := v.make(url.Values{"q": {"action:api_key.* actor:u_3"}, "range": {"7d"}, "format": {"csv"}, "order": {"asc"}})
	if st := v.ended(path); st.State != "ready" || st.Rows != 17 || st.Percent != 100 {
		t.Fatalf("%+v", st)
	}
	v.get(path).want(t, http.StatusOK, "Ready", "17 rows", "Amara Lindqvist", "action:api_key.* actor.id:u_3", "oldest first")
	v.get("/exports").want(t, http.StatusOK, "Past exports", "Amara Lindqvist", "action:api_key.* actor.id:u_3", "CSV", "17", "Since", "Download")

	file := v.get(path + "/file")
	if file.Code != http.StatusOK {
		t.Fatal(file.Code, file.text)
	}
	rows, err := csv.NewReader(file.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range rows[1:] {
		got = append(got, row[0])
	}
	q, err := audit.ParseQuery("action:api_key.* actor:u_3")
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Store.Search(t.Context(), "ours", search.Request{Query: q, Ascending: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found.Entries {
		want = append(want, e.ID.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestExportIsRecorded holds that the log says who exported what, and who has
// the file: once for a file that is fetched in parts.
func TestExportIsRecorded(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 40)...)
	v := s.enter(t, "ours", auth.PersonViewer, "u_9", "Amara Lindqvist")
	path := v.make(url.Values{"q": {"action:api_key.created"}, "range": {"custom"}, "from": {"2026-03-01"}, "format": {"jsonl"}})
	v.ended(path)
	exported := s.recorded(t, "ours", "audit_log.exported")
	if len(exported) != 1 {
		t.Fatalf("%d entries", len(exported))
	}
	e := exported[0]
	if e.Actor.ID != "u_9" || e.Actor.Name != "Amara Lindqvist" || e.Targets[0].ID != path[len("/exports/"):] || e.Context.UserAgent != "a browser of the tests" {
		t.Errorf("%+v", e)
	}
	wantMeta := audit.Metadata{"filter": "action:api_key.created after:2026-03-01", "format": "jsonl", "order": "desc"}
	if diff := cmp.Diff(wantMeta, e.Metadata); diff != "" {
		t.Error(diff)
	}

	whole := v.get(path + "/file")
	s.pass(time.Minute)
	part := v.get(path+"/file", "Range", "bytes=10-19")
	if part.Code != http.StatusPartialContent || part.text != whole.text[10:20] {
		t.Errorf("a part: %d %q", part.Code, part.text)
	}
	if same := v.get(path+"/file", "If-None-Match", whole.Header().Get("ETag")); same.Code != http.StatusNotModified {
		t.Errorf("with its ETag: %d", same.Code)
	}
	if got := whole.Header().Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename=ours-audit-log-2026-03-02") {
		t.Errorf("Content-Disposition %q", got)
	}
	if got := whole.Header().Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("Content-Type %q", got)
	}
	if n := strings.Count(whole.text, "\n"); n != 40 {
		t.Errorf("%d lines", n)
	}
	if n := len(s.recorded(t, "ours", "audit_log.export_downloaded")); n != 1 {
		t.Errorf("%d downloads are recorded", n)
	}
	s.pass(time.Hour)
	v.get(path + "/file")
	s.enter(t, "ours", auth.PersonViewer, "u_10", "").get(path + "/file")
	if n := len(s.recorded(t, "ours", "audit_log.export_downloaded")); n != 3 {
		t.Errorf("%d downloads are recorded after an hour and another person", n)
	}
}

// TestExportForm holds what the form says of what cannot be exported.
func TestExportForm(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 3)...)
	v := s.enter(t, "ours", auth.PersonManager, "u_1", "Lisa")
	for name, c := range map[string]struct {
		form   url.Values
		status int
		says   string
	}{
		"unknown field":  {url.Values{"q": {"colour:red"}, "range": {"all"}}, http.StatusBadRequest, `unknown field "colour"`},
		"backwards":      {url.Values{"range": {"custom"}, "from": {"2026-03-02T10:00"}, "to": {"2026-03-01T10:00"}}, http.StatusBadRequest, "The range ends before it begins."},
		"no time":        {url.Values{"range": {"custom"}, "from": {"soon"}}, http.StatusBadRequest, `"soon" is not a time`},
		"another format": {url.Values{"format": {"xlsx"}}, http.StatusBadRequest, "Choose CSV, JSON lines or evidence."},
	} {
		t.Run(name, func(t *testing.T) {
			p := v.post("/exports", c.form)
			p.want(t, c.status, "New export", c.says)
			if q := c.form.Get("q"); q != "" && !strings.Contains(visible(p.text), "["+q+"]") {
				t.Error("what was typed is gone")
			}
		})
	}
	if jobs, _, err := s.Exports.List(t.Context(), "ours", "", 10); err != nil || len(jobs) > 0 {
		t.Errorf("%d exports were made: %v", len(jobs), err)
	}
	v.get("/exports?new=1&q=action:nothing&range=all").want(t, http.StatusOK, "No entry matches now")
	slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	s.engine.onCount.Store(&slow)
	v.get("/exports?new=1&range=all").want(t, http.StatusOK, "Too many entries to count beforehand.")
}

// TestExportWithoutToken holds that a form without the session's text does
// nothing.
func TestExportWithoutToken(t *testing.T) {
	s := openSite(t)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	v.csrf = "guessed"
	v.post("/exports", url.Values{"range": {"all"}}).want(t, http.StatusForbidden)
	if jobs, _, err := s.Exports.List(t.Context(), "ours", "", 10); err != nil || len(jobs) > 0 {
		t.Errorf("%d exports were made: %v", len(jobs), err)
	}
}

// TestExportProgress looks at an export while it waits, runs, fails, is tried
// again and expires.
func TestExportProgress(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 10)...)
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	reached, goOn := s.hold(t)
	path := v.make(url.Values{"q": {"action:api_key.created"}, "range": {"all"}, "format": {"csv"}, "order": {"asc"}})
	<-reached
	running := v.get(path)
	running.want(t, http.StatusOK, "Running, 0 %", "Time left", "Not known yet")
	if !strings.Contains(running.text, `<noscript><meta http-equiv="refresh" content="2"></noscript>`) || !strings.Contains(running.text, "<progress ") {
		t.Error("the page does not ask again by itself, or shows no progress")
	}
	if st := decode[status](t, v.get(path+"/status")); st.Ended || st.State != "running" || st.RowsText != "0" {
		t.Errorf("%+v", st)
	}
	v.get(path+"/file").want(t, http.StatusConflict, "Running, 0 %")
	v.get("/exports").want(t, http.StatusOK, "Running, 0 %")

	goOn(errors.New("a disk with a scratch"))
	v.ended(path)
	failed := v.get(path)
	failed.want(t, http.StatusOK, "The export failed", "Try again", "[action:api_key.created]", "[asc]")
	failed.wantNot(t, "scratch")
	v.get(path+"/file").want(t, http.StatusConflict, "The export failed")

	s.engine.onSurvey.Store(nil)
	again := v.make(url.Values{"q": {"action:api_key.created"}, "range": {"all"}, "format": {"csv"}, "order": {"asc"}})
	v.ended(again)
	s.pass(export.DefaultKeep - time.Minute)
	v = s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	v.get(again).want(t, http.StatusOK, "The file is ready")
	s.pass(time.Minute)
	v.get(again).want(t, http.StatusOK, "The file has expired", "10 rows", "Make it again", "[action:api_key.created]")
	v.get(again+"/file").want(t, http.StatusGone, "The file has expired")
	v.get("/exports").want(t, http.StatusOK, "Expired", "Failed")
}

// TestExportLimit holds that somebody who has too many exports waiting is told
// so, and keeps what was typed.
func TestExportLimit(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 1)...)
	s.hold(t)
	for range export.MaxOpen {
		if _, err := s.Exports.Create(t.Context(), export.Spec{Organization: "ours", Format: export.CSV}); err != nil {
			t.Fatal(err)
		}
	}
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	p := v.post("/exports", url.Values{"q": {"actor:u_1"}, "range": {"all"}})
	p.want(t, http.StatusTooManyRequests, "The export was not made.", "wait until they are ready", "[actor:u_1]")
	if n := len(s.recorded(t, "ours", "audit_log.exported")); n > 0 {
		t.Error("an export that was not made is recorded")
	}
}

// TestExportUnrecorded holds that there is no export that the log does not tell
// of.
func TestExportUnrecorded(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 1)...)
	s.breakJournal(errors.New("no"))
	v := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa")
	v.post("/exports", url.Values{"range": {"all"}}).want(t, http.StatusInternalServerError)
	if jobs, _, err := s.Exports.List(t.Context(), "ours", "", 10); err != nil || len(jobs) > 0 {
		t.Errorf("%d exports are left: %v", len(jobs), err)
	}
	job, err := s.Exports.Create(t.Context(), export.Spec{Organization: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	path := "/exports/export_" + job.ID
	v.ended(path)
	v.get(path+"/file").want(t, http.StatusInternalServerError)

	// A log that takes no events can be read all the same.
	s.breakJournal(audit.Errorf(audit.CodeLogDisabled, "the log takes no events"))
	if p := v.get(path + "/file"); p.Code != http.StatusOK {
		t.Errorf("status %d", p.Code)
	}
}

// TestExportOfOthers holds that exports of another organization are not there.
func TestExportOfOthers(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 3)...)
	s.record(t, "theirs", s.plainEvents("api_key.created", 3)...)
	path := s.enter(t, "theirs", auth.PersonManager, "u_1", "Them").make(url.Values{"range": {"all"}})
	v := s.enter(t, "ours", auth.PersonManager, "u_1", "Us")
	for _, part := range []string{"", "/status", "/file"} {
		theirs, missing := v.get(path+part), v.get("/exports/export_01KJMBQDE066F5B9VG2YCGQ7YE"+part)
		theirs.want(t, http.StatusNotFound)
		strip := func(p page) string { return strings.ReplaceAll(visible(p.text), p.Header().Get("X-Request-ID"), "") }
		if diff := cmp.Diff(strip(missing), strip(theirs)); diff != "" {
			t.Errorf("%s: can be told from one that does not exist: %s", part, diff)
		}
	}
	v.get("/exports").want(t, http.StatusOK, "No exports yet")
	if n := len(s.recorded(t, "theirs", "audit_log.export_downloaded")); n > 0 {
		t.Error("a download that was refused is recorded")
	}
}

// TestExportPages goes through a list of several pages.
func TestExportPages(t *testing.T) {
	s := openSite(t)
	for i := range 60 {
		s.pass(time.Second)
		spec := export.Spec{Organization: "ours", Query: "actor:n" + strconv.Itoa(i), CreatedBy: export.Creator{Type: export.CreatorKey, ID: "key_1", Name: "Nightly"}}
		job, err := s.Exports.Create(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		s.enter(t, "ours", auth.PersonViewer, "", "").ended("/exports/export_" + job.ID)
	}
	v := s.enter(t, "ours", auth.PersonViewer, "", "")
	var seen []string
	pages := 0
	for path := "/exports"; path != ""; pages++ {
		p := v.get(path)
		p.want(t, http.StatusOK, "API key Nightly")
		for line := range strings.SplitSeq(visible(p.text), "\n") {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "actor.id:n"); ok {
				seen = append(seen, strings.TrimSpace(name))
			}
		}
		path = ""
		if _, rest, ok := strings.Cut(p.text, `<a href="/settings/security/exports?cursor=`); ok {
			path = "/exports?cursor=" + rest[:strings.IndexByte(rest, '"')]
		}
	}
	if pages != 3 || len(seen) != 60 {
		t.Errorf("%d exports on %d pages: %v", len(seen), pages, seen)
	}
}

// TestExportHostile holds that what people and keys are called, and what they
// look for, stays text.
func TestExportHostile(t *testing.T) {
	s := openSite(t)
	const evil = "<script>alert(1)</script>\u202e\"'><img src=x onerror=alert(1)>"
	s.record(t, "ours", s.plainEvents("api_key.created", 1)...)
	v := s.enter(t, "ours", auth.PersonViewer, evil, evil)
	filter := audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorName, Values: []string{evil, strings.Repeat("x", 16<<10)}}}}.String()
	v.get("/exports?new=1&"+url.Values{"q": {filter}}.Encode()).want(t, http.StatusOK, filter)
	v.get("/exports?new=1&"+url.Values{"q": {evil}}.Encode()).want(t, http.StatusBadRequest, "["+evil+"]")
	path := v.make(url.Values{"q": {filter}, "range": {"all"}})
	v.ended(path)
	v.get(path).want(t, http.StatusOK, filter, evil)
	v.get("/exports").want(t, http.StatusOK, filter, evil)
	if e := s.recorded(t, "ours", "audit_log.exported"); len(e) != 1 || e[0].Actor.Name != evil {
		t.Errorf("%+v", e)
	}
	for _, path := range []string{"/exports/x", "/exports/%3Cscript%3E", "/exports/export_/status", "/exports?cursor=%3Cscript%3E"} {
		if p := v.get(path); p.Code != http.StatusNotFound && p.Code != http.StatusBadRequest || bytes.Contains(p.Body.Bytes(), []byte("<script>")) {
			t.Errorf("%s: %d", path, p.Code)
		}
	}
}

// TestExportEvidence makes evidence as somebody without scripts does, with an older
// checkpoint that was kept.
func TestExportEvidence(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 9)...)
	v := s.enter(t, "ours", auth.PersonViewer, "u_9", "Amara Lindqvist")
	kept := v.get("/retention/checkpoint").text
	s.record(t, "ours", s.plainEvents("user.logged_in", 3)...)
	v.get("/exports?new=1").want(t, http.StatusOK, "for an auditor, a ZIP", "Older checkpoint")

	form := url.Values{"q": {"action:api_key.*"}, "range": {"all"}, "format": {"evidence"}, "order": {"desc"}}
	for says, older := range map[string]string{"is not a signed note": "<b>mine</b>", "": s.enter(t, "theirs", auth.PersonViewer, "u_9", "A").get("/retention/checkpoint").text} {
		form.Set("older_checkpoint", older)
		p := v.post("/exports", form)
		p.want(t, http.StatusBadRequest, "New export", says, "for an auditor")
		if !strings.Contains(p.text, `name="older_checkpoint" class="mono" rows="4" spellcheck="false" autocomplete="off" aria-describedby="older-hint" aria-invalid="true"`) {
			t.Errorf("the field is not marked: %s", p.text)
		}
	}
	form.Set("older_checkpoint", strings.ReplaceAll(kept, "\n", "\r\n")) // as browsers send it
	path := v.make(form)
	if st := v.ended(path); st.State != "ready" || st.Rows != 9 {
		t.Fatalf("%+v", st)
	}
	v.get(path).want(t, http.StatusOK, "Download evidence", "How to check it", "stele verify 'ours-audit-log-evidence-", "Evidence, oldest first: a ZIP of JSON lines, CSV and their proof, which extends an older checkpoint")
	v.get("/exports").want(t, http.StatusOK, "Evidence 9")
	file := v.get(path + "/file")
	if file.Header().Get("Content-Type") != "application/zip" || !strings.Contains(file.Header().Get("Content-Disposition"), "-audit-log-evidence-") {
		t.Errorf("%v", file.Header())
	}
	verifier, err := audit.NewVerifier(s.Ledger.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyEvidence(bytes.NewReader(file.Body.Bytes()), int64(file.Body.Len()), audit.EvidenceOptions{Keys: verifier, Older: []byte(kept)})
	if err != nil {
		t.Fatal(err)
	}
	if report.Rows != 9 || report.Older == nil || report.Older.Size != 9 || report.Kept == nil || len(report.Problems) > 0 {
		t.Errorf("%+v", report)
	}
}

// TestExportErased: an export whose file went with somebody's details says so, and
// one whose filter named them cannot be made again from here.
func TestExportErased(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("door.opened", 10)...)
	v := s.enter(t, "ours", auth.PersonManager, "u9", "Ida")
	paths := map[string]string{}
	for _, q := range []string{"action:door.opened", `actor.name:"Ada Lovelace"`} {
		paths[q] = v.make(url.Values{"q": {q}, "range": {"all"}, "format": {"csv"}, "order": {"asc"}})
		v.ended(paths[q])
	}
	if err := s.Exports.ForgetQueries(t.Context(), "ours", func(text string) bool { return strings.Contains(text, "Ada") }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exports.RemoveFiles(t.Context(), "ours", "erasure_1", "entries in it were erased"); err != nil {
		t.Fatal(err)
	}
	v.get(paths["action:door.opened"]).want(t, http.StatusOK, "The file was removed", "Entries in it were erased", "Make it again")
	about := v.get(paths[`actor.name:"Ada Lovelace"`])
	about.want(t, http.StatusOK, "The file was removed", "it named somebody whose details were erased")
	about.wantNot(t, "Ada", "Make it again")
	v.get("/exports").wantNot(t, "Ada")
}

// TestExportCancel holds that whoever made an export can cancel it, and managers;
// nobody else, and only as long as it is not done.
func TestExportCancel(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 20)...)
	reached, goOn := s.hold(t)
	ada := s.enter(t, "ours", auth.PersonViewer, "u_ada", "Ada")
	bo := s.enter(t, "ours", auth.PersonViewer, "u_bo", "Bo")
	boss := s.enter(t, "ours", auth.PersonManager, "u_boss", "Boss")
	stranger := s.enter(t, "theirs", auth.PersonManager, "u_ada", "Ada")
	button := func(v *visitor, path string) bool {
		return strings.Contains(v.get(path).text, `action="`+web.Base+path+`/cancel"`)
	}

	for i, v := range []*visitor{ada, boss} {
		path := ada.make(url.Values{})
		<-reached
		if !button(v, path) || button(bo, path) {
			t.Error("the button is for who made it, and managers")
		}
		bo.post(path+"/cancel", url.Values{}).want(t, http.StatusForbidden, "Only who made an export, and managers, may cancel it.")
		stranger.post(path+"/cancel", url.Values{}).want(t, http.StatusNotFound)
		forged := &visitor{t: t, site: s, cookie: v.cookie, csrf: "of-another-session"}
		forged.post(path+"/cancel", url.Values{}).want(t, http.StatusForbidden, "This form is out of date")
		if st := decode[status](t, v.get(path+"/status")); st.Ended {
			t.Fatalf("it has ended: %+v", st)
		}
		got := v.post(path+"/cancel", url.Values{})
		if to := got.Header().Get("Location"); got.Code != http.StatusSeeOther || to != web.Base+"/exports?done=canceled" {
			t.Fatalf("leads to %d %s", got.Code, to)
		}
		v.get("/exports?done=canceled").want(t, http.StatusOK, "The export is canceled. There is no file of it.", "No exports yet")
		v.get(path).want(t, http.StatusNotFound)
		for _, gone := range []page{v.get(path), bo.get(path), v.post(path+"/cancel", url.Values{})} {
			gone.want(t, http.StatusNotFound, "This export is not here", "It may have been canceled", "Go to all exports")
		}
		found := s.recorded(t, "ours", "audit_log.export_canceled")
		if len(found) != i+1 || found[i].Actor.Name != []string{"Ada", "Boss"}[i] || found[i].Targets[0].ID != strings.TrimPrefix(path, "/exports/") {
			t.Fatalf("recorded %+v", found)
		}
	}

	done := ada.make(url.Values{})
	<-reached
	goOn(nil)
	ada.ended(done)
	if button(ada, done) {
		t.Error("a file that is ready can be canceled")
	}
	if got := ada.post(done+"/cancel", url.Values{}); got.Header().Get("Location") != web.Base+done {
		t.Errorf("too late: leads to %d %s", got.Code, got.Header().Get("Location"))
	}
	ada.get(done).want(t, http.StatusOK, "The file is ready")
	if found := s.recorded(t, "ours", "audit_log.export_canceled"); len(found) != 2 {
		t.Errorf("recorded %+v", found)
	}
}
