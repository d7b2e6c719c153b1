package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/schema"
)

const hookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// streamBody is a stream to the system of the tests.
const streamBody = `{"kind":"webhook","name":"SIEM","settings":{"url":"https://siem.example.com/audit?token=hush-hush-4711","signing_secret":"` + hookSecret + `"},
	"start":{"kind":"beginning"}}`

func (h *host) stream(base, body string) string {
	h.t.Helper()
	var made struct{ ID string }
	got := h.call("POST", base, body).want(201).into(&made)
	if want := base + "/" + made.ID; got.header.Get("Location") != want {
		h.t.Errorf("Location %q, want %q", got.header.Get("Location"), want)
	}
	return base + "/" + made.ID
}

// TestStreamLife makes a stream, has it deliver, breaks and repairs it.
func TestStreamLife(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(minimal)
	at := h.stream("/v1/organizations/acme/streams", streamBody)
	h.siem.wait(t, `"seq":0`)
	for _, got := range []*reply{h.get(at), h.get("/v1/organizations/acme/streams")} {
		for _, secret := range []string{"hush", hookSecret, hookSecret[6:40]} {
			if strings.Contains(string(got.want(200).body), secret) {
				t.Errorf("%s shows a secret: %s", got.what, got.body)
			}
		}
	}

	var one audit.Stream
	h.call("PATCH", at, `{"filter":"action:nothing.*","settings":{"payload":"array","header_name":"X-Key","header_value":"0123456789abcdef"}}`).want(200).into(&one)
	if one.Filter != "action:nothing.*" || one.Settings["payload"] != "array" || one.Secrets["header_value"].Hint != "cdef" || len(one.Secrets) != 3 {
		t.Errorf("changed: %+v", one)
	}
	one = audit.Stream{}
	h.call("PATCH", at, `{"filter":"","settings":{"header_name":null,"header_value":""}}`).want(200).into(&one)
	if _, still := one.Secrets["header_value"]; still || one.Settings["header_name"] != "" || one.Filter != "" {
		t.Errorf("not removed: %+v", one)
	}

	// A client certificate says when it ends.
	if one.Status.Expires != nil {
		t.Errorf("expires: %+v", one.Status.Expires)
	}
	body, err := json.Marshal(map[string]any{"settings": h.siem.clientCertificate(t)})
	if err != nil {
		t.Fatal(err)
	}
	h.call("PATCH", at, string(body)).want(200).into(&one)
	if e := one.Status.Expires; e == nil || e.Setting != "client_certificate" || !e.At.Equal(h.siem.server.Certificate().NotAfter) {
		t.Errorf("expires: %+v", one.Status.Expires)
	}

	h.call("POST", at+"/pause", "").want(200).into(&one)
	if one.Status.State != "paused" {
		t.Errorf("paused: %+v", one.Status)
	}
	h.append(minimal)
	h.siem.answer(http.StatusUnauthorized)
	h.call("POST", at+"/resume", "").want(200)
	for one.Status.State != "invalid" {
		h.get(at).want(200).into(&one)
	}
	if e := one.Status.LastError; e == nil || e.Status != 401 || e.Message == "" || one.Status.LagEvents != 1 {
		t.Errorf("refused: %+v", one.Status)
	}
	h.siem.answer(http.StatusOK)
	h.call("POST", at+"/resume", "").want(200)
	h.siem.wait(t, `"seq":1`)
	h.call("DELETE", at, "").want(204)
	h.get(at).fails(404, "not_found")
}

// TestStreamDeadLetters has events refused, sends one again and forgets another.
func TestStreamDeadLetters(t *testing.T) {
	t.Run("own", func(t *testing.T) { testDeadLetters(t, "/v1/organizations/acme/streams", `{}`) })
	t.Run("operator", func(t *testing.T) { testDeadLetters(t, "/v1/streams", `{"organization_id":"acme"}`) })
}

func testDeadLetters(t *testing.T, base, all string) {
	with := func(more string) string {
		return strings.Replace(strings.Replace(all, "}", ","+more+"}", 1), "{,", "{", 1)
	}
	h := start(t, schema.ModeOpen)
	h.siem.answer(http.StatusBadRequest)
	at := h.stream(base, streamBody)
	h.append(minimal)
	h.append(minimal)
	var list struct {
		DeadLetters []audit.StreamDeadLetter `json:"dead_letters"`
		Next        *string
		HasMore     bool `json:"has_more"`
	}
	for len(list.DeadLetters) < 2 {
		h.get(at + "/dead-letters").want(200).into(&list)
	}
	d := list.DeadLetters[0]
	if d.Seq != 0 || d.Status != 400 || !strings.HasPrefix(d.Text, "no:") || d.EventID == "" || d.OrganizationID != "acme" {
		t.Errorf("%+v", d)
	}
	h.get(at + "/dead-letters?limit=1").want(200).into(&list)
	if !list.HasMore || list.Next == nil {
		t.Fatalf("%+v", list)
	}
	h.get(at + "/dead-letters?cursor=" + url.QueryEscape(*list.Next)).want(200).into(&list)
	if len(list.DeadLetters) != 1 || list.DeadLetters[0].Seq != 1 || list.HasMore {
		t.Errorf("the second page: %+v", list)
	}
	h.call("POST", at+"/dead-letters/discard", with(`"seqs":[]`)).fails(400, "invalid_request")
	h.call("POST", at+"/dead-letters/discard", with(`"seqs":[1]`)).want(204)
	h.siem.answer(http.StatusOK)
	var replay audit.StreamReplay
	h.call("POST", at+"/dead-letters/retry", all).want(201).into(&replay)
	if !replay.DeadLetters || fmt.Sprint(replay.Seqs) != "[0]" {
		t.Errorf("%+v", replay)
	}
	for len(list.DeadLetters) > 0 {
		h.get(at + "/dead-letters").want(200).into(&list)
	}
	var page struct {
		Deliveries []audit.StreamDelivery
		Next       *string
		HasMore    bool `json:"has_more"`
	}
	h.get(at + "/deliveries?limit=1").want(200).into(&page)
	for page.HasMore {
		before := page.Deliveries[0].Number
		h.get(at + "/deliveries?limit=1&cursor=" + *page.Next).want(200).into(&page)
		if page.Deliveries[0].Number != before-1 {
			t.Errorf("after delivery %d comes %d", before, page.Deliveries[0].Number)
		}
	}
}

// TestStreamErrors holds that what is wrong is named.
func TestStreamErrors(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(minimal)
	const base = "/v1/organizations/acme/streams"
	at := h.stream(base, streamBody)
	for _, c := range []struct{ method, path, body, code, field string }{
		{"POST", base, `{"kind":"carrier_pigeon"}`, "invalid_request", "/kind"},
		{"POST", base, `{"kind":"webhook"}`, "invalid_request", "/settings/url"},
		{"POST", base, `{"kind":"webhook","settings":{"url":"https://x.example","wings":"2"}}`, "unknown_field", "/settings/wings"},
		{"POST", base, `{"kind":"webhook","settings":{"url":"https://x.example"},"filter":"actor.colour:red"}`, "invalid_query", "/filter"},
		{"POST", base, `{"kind":"webhook","settings":{"url":"https://x.example"},"format":"morse"}`, "invalid_request", "/format"},
		{"POST", base, `{"kind":"webhook","settings":{"url":"https://x.example"},"start":{"kind":"date"}}`, "invalid_request", "/start/date"},
		{"POST", base, `{"kind":"webhook","settings":{"url":7}}`, "invalid_request", "/settings/url"},
		{"POST", base, `{"kind":"webhook","colour":"red"}`, "unknown_field", "/colour"},
		{"PATCH", at, `{"kind":"s3"}`, "unknown_field", "/kind"},
		{"PATCH", at, `{"lag_limit_seconds":-1}`, "invalid_request", "/lag_limit_seconds"},
		{"PATCH", at, `{"filter":"x:y:z:"}`, "invalid_query", "/filter"},
		{"POST", base + "/test", `{"kind":"webhook"}`, "invalid_request", "/settings/url"},
		{"POST", at + "/replays", `{"from":9}`, "invalid_request", "/from"},
		{"POST", at + "/replays", `{"from":0,"since":"2026-01-01T00:00:00Z"}`, "invalid_request", "/since"},
		{"POST", at + "/replays", `{"organization_id":"other"}`, "invalid_request", "/organization_id"},
		{"POST", "/v1" + strings.TrimPrefix(h.stream("/v1/streams", streamBody), "/v1") + "/replays", `{}`, "invalid_request", "/organization_id"},
		{"GET", at + "/dead-letters?cursor=x", "", "invalid_cursor", "cursor"},
		{"GET", at + "/deliveries?cursor=x", "", "invalid_cursor", "cursor"},
		{"GET", at + "?verbose=1", "", "invalid_request", "verbose"},
	} {
		got := h.call(c.method, c.path, c.body)
		var p problem
		got.into(&p)
		if got.status < 400 || got.status >= 500 || p.Code != c.code || p.Field != c.field {
			t.Errorf("%s %s %s: %d %s, want %s of %s", c.method, c.path, c.body, got.status, got.body, c.code, c.field)
		}
	}
	for _, path := range []string{base + "/stream_01KJMJ6R3VH5N8J2Q4W6Y8Z0AB", "/v1/streams/" + at[strings.LastIndexByte(at, '/')+1:]} {
		for _, sub := range []string{"", "/deliveries", "/dead-letters", "/replays"} {
			h.get(path+sub).fails(404, "not_found")
		}
		h.call("PATCH", path, `{}`).fails(404, "not_found")
		h.call("DELETE", path, "").fails(404, "not_found")
		for _, sub := range []string{"/test", "/pause", "/resume"} {
			h.call("POST", path+sub, "").fails(404, "not_found")
		}
	}
	h.call("DELETE", at+"/replays/replay_01KJMJ6R3VH5N8J2Q4W6Y8Z0AB", "").fails(404, "not_found")
}

// TestStreamTry tests settings that are not saved, also with a stream's secrets.
func TestStreamTry(t *testing.T) {
	h := start(t, schema.ModeOpen)
	const base = "/v1/organizations/acme/streams"
	at := h.stream(base, streamBody)
	var result audit.StreamTest
	h.call("POST", base+"/test", `{"kind":"webhook","settings":{"payload":"lines"},"stream_id":"`+at[len(base)+1:]+`"}`).want(200).into(&result)
	if !result.OK || result.Status != 200 || result.Text != "stored" {
		t.Errorf("%+v", result)
	}
	h.siem.wait(t, "log_stream.tested")
	h.siem.answer(http.StatusForbidden)
	h.call("POST", at+"/test", "").want(200).into(&result)
	if result.OK || result.Class != "invalid" || result.Status != 403 || result.Message == "" {
		t.Errorf("%+v", result)
	}
	h.call("POST", base+"/test", `{"kind":"webhook","settings":{"url":"https://nowhere.example.org/"}}`).want(200).into(&result)
	if result.OK || result.Message == "" {
		t.Errorf("%+v", result)
	}
	if streams := h.get(base).want(200); strings.Count(string(streams.body), `"stream_`) != 1 {
		t.Errorf("a test left something: %s", streams.body)
	}
}

// TestStreamReconcile certifies a range.
func TestStreamReconcile(t *testing.T) {
	h := start(t, schema.ModeOpen)
	at := h.stream("/v1/organizations/acme/streams", `{"kind":"shelf","start":{"kind":"beginning"}}`)
	all := h.stream("/v1/streams", `{"kind":"shelf","start":{"kind":"beginning"}}`)
	for range 3 {
		h.append(minimal)
	}
	var one audit.Stream
	for one.Status.Events < 3 {
		h.get(at).want(200).into(&one)
	}
	reconciled := func(at, body string) *audit.StreamFindings {
		t.Helper()
		var r audit.StreamReconciliation
		h.call("POST", at+"/reconciliations", body).want(201).into(&r)
		for r.State == "running" {
			id := r.ID
			r = audit.StreamReconciliation{}
			h.get(at + "/reconciliations/" + id).want(200).into(&r)
		}
		if r.State != "done" || r.OrganizationID != "acme" || r.CreatedBy != "root" || r.Found == nil {
			t.Fatalf("%+v", r)
		}
		return r.Found
	}
	if got := reconciled(at, `{}`); got.Expected != 3 || got.Missing != 1 || got.Objects != 1 || len(got.Gaps) != 1 || got.Gaps[0].From != 2 {
		t.Errorf("%+v", got)
	}
	for one.Status.Events < 3 || one.OrganizationID != "" {
		one = audit.Stream{}
		h.get(all).want(200).into(&one)
	}
	if got := reconciled(all, `{"organization_id":"acme"}`); got.Expected != 3 || got.Missing != 1 {
		t.Errorf("the operator's: %+v", got)
	}
	got := reconciled(at, `{"from":0,"to":1}`)
	if got.Missing != 0 || got.Summary != "seq 0 to 1: all 2 events delivered, 0 missing, 0 duplicate objects" {
		t.Errorf("%+v", got)
	}
	var list struct{ Reconciliations []audit.StreamReconciliation }
	h.get(at + "/reconciliations").want(200).into(&list)
	if len(list.Reconciliations) != 2 || !slices.ContainsFunc(list.Reconciliations, func(r audit.StreamReconciliation) bool { return r.Found.Summary == got.Summary }) {
		t.Errorf("%+v", list)
	}
	h.call("DELETE", at+"/reconciliations/"+list.Reconciliations[0].ID, "").want(204)
	list.Reconciliations = nil
	h.get(all + "/reconciliations").want(200).into(&list)
	if len(list.Reconciliations) != 1 {
		t.Fatalf("%d of the stream over all", len(list.Reconciliations))
	}
	h.call("DELETE", all+"/reconciliations/"+list.Reconciliations[0].ID, "").want(204)
	h.get(at + "/reconciliations/reconciliation_x").want(404)
}

// TestStreamRoles holds who may use streams: admins, those limited to an
// organization only its own.
func TestStreamRoles(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.call("POST", "/v1/organizations", `{"id":"other","name":"Other"}`).want(201)
	own := withKey(h.key(auth.RoleAdmin, "acme"))
	at := h.stream("/v1/organizations/acme/streams", streamBody)
	h.get(at, own).want(200)
	h.call("POST", at+"/pause", "", own).want(200)
	h.call("PATCH", at, `{"name":"x"}`, own).want(200)
	h.get(at, withKey(h.key(auth.RoleAdmin, "other"))).fails(404, "not_found")
	h.get("/v1/streams", own).fails(403, "forbidden")
	h.get(at, withKey(h.key(auth.RoleReader, "acme"))).fails(403, "forbidden")
	// A stream of one organization is not to be had below another.
	h.get("/v1/organizations/other"+strings.TrimPrefix(at, "/v1/organizations/acme")).fails(404, "not_found")
	var one audit.Stream
	h.get(at).want(200).into(&one)
	if !strings.HasPrefix(one.CreatedBy, "root") || one.Name != "x" {
		t.Errorf("%+v", one)
	}
}

// TestStreamsEndWithOrganization deletes an organization with a stream.
func TestStreamsEndWithOrganization(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.stream("/v1/organizations/acme/streams", streamBody)
	h.stream("/v1/streams", streamBody)
	h.append(minimal)
	h.siem.wait(t, `"seq":0`)
	h.call("DELETE", "/v1/organizations/acme?confirm=Acme+Ltd", "").want(204)
	recs, err := h.store.List(t.Context(), "stream/", "", 10)
	if err != nil || len(recs) != 1 {
		t.Errorf("%d streams are left, want that of the operator: %v", len(recs), err)
	}
	var list struct{ Streams []audit.Stream }
	h.get("/v1/streams").want(200).into(&list)
	if len(list.Streams) != 1 || list.Streams[0].Status.LagEvents != 0 {
		t.Errorf("%+v", list)
	}
}
