package workos_test

import (
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/export"
)

// exportAnswer is an export as clients see it.
type exportAnswer struct {
	Object, ID, State string
	URL               *string
	CreatedAt         string `json:"created_at"`
	UpdatedAt         string `json:"updated_at"`
}

// range2026 are the members of a request for the export of a year.
const range2026 = `"range_start":"2026-01-01T00:00:00.000Z","range_end":"2027-01-01T00:00:00.000Z"`

func (s *site) export(members string) exportAnswer {
	s.t.Helper()
	var made exportAnswer
	s.ask("POST", "/audit_logs/exports", `{"organization_id":"org_1",`+members+`}`).ok(s.t, 201, &made)
	return made
}

// ready asks for an export until it is no longer pending.
func (s *site) ready(id string) exportAnswer {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var got exportAnswer
		s.ask("GET", "/audit_logs/exports/"+id, "").ok(s.t, 200, &got)
		if got.State != "pending" {
			return got
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the export does not get ready")
		}
		time.Sleep(5 * time.Millisecond) // between polls, as clients do
	}
}

// download fetches a file without a key.
func (s *site) download(link string) (status int, body string) {
	s.t.Helper()
	res, err := http.Get(link)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// rows is an export's file by the names of its columns.
func (s *site) rows(members string) []map[string]string {
	s.t.Helper()
	got := s.ready(s.export(members).ID)
	if got.State != "ready" || got.URL == nil {
		s.t.Fatalf("export %+v", got)
	}
	status, body := s.download(*got.URL)
	if status != 200 {
		s.t.Fatalf("download: %d %s", status, body)
	}
	lines, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, column := range lines[0] {
			row[column] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func newExportSite(t *testing.T) *site {
	t.Helper()
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1", Name: "Acme"})
	s.action("team.updated")
	s.action("team.deleted")
	return s
}

func TestExport(t *testing.T) {
	s := newExportSite(t)
	s.send("org_1", "team.updated", `"metadata":{"note":"a, \"b\"\nc","members":3},"context":{"location":"203.0.113.7","user_agent":"curl"},
		"targets":[{"id":"t1","type":"team","name":"Core","metadata":{"size":1}},{"id":"t2","type":"team"}]`)
	s.send("org_1", "team.deleted", `"occurred_at":"2026-02-01T00:00:00Z","actor":{"id":"=cmd()","type":"user","metadata":{"role":"admin"}}`)

	made := s.export(range2026)
	if made.Object != "audit_log_export" || made.State != "pending" || made.URL != nil ||
		!regexp.MustCompile(`^audit_log_export_[0-9A-Z]{26}$`).MatchString(made.ID) ||
		!regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(made.CreatedAt) {
		t.Errorf("made %+v", made)
	}
	rows := s.rows(range2026)
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	for column, want := range map[string]string{
		"action": "team.updated", "version": "1", "seq": "0", "occurred_at": "2026-01-15T12:00:00.123Z",
		"actor_id": "user_1", "actor_type": "user", "actor_name": "Ada", "actor_metadata": "",
		"target_id_1": "t1", "target_type_1": "team", "target_name_1": "Core", "target_metadata_1": `{"size":1}`,
		"target_id_2": "t2", "target_type_2": "team", "target_name_2": "", "target_metadata_2": "",
		"context_location": "203.0.113.7", "context_user_agent": "curl", "metadata": `{"members":3,"note":"a, \"b\"\nc"}`,
	} {
		if got := rows[1][column]; got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
	if r := rows[0]; r["action"] != "team.deleted" || r["actor_id"] != "'=cmd()" || r["actor_metadata"] != `{"role":"admin"}` || r["target_id_2"] != "" {
		t.Errorf("newest row %v", r)
	}
}

func TestExportFilters(t *testing.T) {
	s := newExportSite(t)
	s.action("doc.read")
	s.send("org_1", "team.updated", `"actor":{"id":"u 1","type":"user","name":"Ada \"x\" OR y"}`)
	s.send("org_1", "team.deleted", `"actor":{"id":"u2","type":"user","name":"Bob"}`)
	s.ask("POST", "/audit_logs/actions/doc.read/schemas", `{"targets":[{"type":"doc"}]}`).ok(t, 201, new(any))
	s.send("org_1", "doc.read", `"version":2,"actor":{"id":"u2","type":"user","name":"Bob"},"targets":[{"id":"team","type":"doc"}]`)
	for members, want := range map[string][]string{
		``:                                                              {"doc.read", "team.deleted", "team.updated"},
		`,"actions":["team.updated","doc.read"]`:                        {"doc.read", "team.updated"},
		`,"actions":["team"]`:                                           nil,
		`,"actions":[]`:                                                 {"doc.read", "team.deleted", "team.updated"},
		`,"actions":null,"actor_names":null`:                            {"doc.read", "team.deleted", "team.updated"},
		`,"actor_names":["Ada \"x\" OR y"]`:                             {"team.updated"},
		`,"actors":["Bob"]`:                                             {"doc.read", "team.deleted"},
		`,"actors":["Bob"],"actor_names":["Ada"]`:                       {"doc.read", "team.deleted", "team.updated"},
		`,"actor_ids":["u 1"]`:                                          {"team.updated"},
		`,"targets":["doc"]`:                                            {"doc.read"},
		`,"targets":["team"],"actor_ids":["u2"]`:                        {"team.deleted"},
		`,"targets":["doc"],"actions":["no.such"]`:                      nil,
		`,"targets":["doc","team"],"color":"red"`:                       {"doc.read", "team.deleted", "team.updated"},
		`,"range_start":"2026-01-15T12:00:00.124Z"`:                     nil,
		`,"range_start":"2026-01-15T12:00:00.123Z"`:                     {"doc.read", "team.deleted", "team.updated"},
		`,"range_end":"2026-01-15T12:00:00.123Z"`:                       nil, // the end is not part of the range
		`,"range_start":"0001-01-01","range_end":"9999-12-31T00:00:00"`: {"doc.read", "team.deleted", "team.updated"},
	} {
		query := range2026
		if strings.Contains(members, "range_start") {
			query = `"range_end":"2027-01-01"`
		}
		if strings.Contains(members, "range_end") {
			query = `"range_start":"2020-01-01T00:00:00"`
		}
		if strings.Contains(members, "0001") {
			query = `"organization":"unknown member"`
		}
		var got []string
		for _, row := range s.rows(query + members) {
			got = append(got, row["action"])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", members, diff)
		}
	}
}

func TestExportRefused(t *testing.T) {
	s := newExportSite(t)
	post := func(body string) answer {
		t.Helper()
		return s.ask("POST", "/audit_logs/exports", body)
	}
	const badRange = `{"message":"Invalid date range","code":"invalid_audit_log_export_range_date"}`
	for _, r := range [][2]string{
		{"2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"1960-01-01", "1969-12-31"},
		{"2300-01-01", "2400-01-01"},
	} {
		post(`{"organization_id":"org_1","range_start":"`+r[0]+`","range_end":"`+r[1]+`"}`).want(t, 400, badRange)
	}
	post(`{"organization_id":"org_1","range_start":"soon","actions":"a","targets":[1]}`).want(t, 422, `{"message":"Validation failed.","errors":[
		{"code":"invalid_value","field":"range_start","message":"must be an ISO 8601 time, such as 2026-01-15T12:00:00.000Z"},
		{"code":"required","field":"range_end","message":"is required"},
		{"code":"invalid_type","field":"actions","message":"must be an array"},
		{"code":"invalid_type","field":"targets.0","message":"must be a string"}]}`)
	post(`{"organization_id":"org_nobody",`+range2026+`}`).want(t, 404, `{"message":"Organization not found: 'org_nobody'."}`)
	for _, id := range []string{"audit_log_export_nothing", "audit_log_export_01ARZ3NDEKTSV4RRFFQ69G5FAV", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		s.ask("GET", "/audit_logs/exports/"+id, "").want(t, 404, `{"message":"Audit Log Export not found: '`+id+`'."}`)
	}
	s.setState(catalog.StateInactive)
	if status, message := post(`{"organization_id":"org_1",` + range2026 + `}`).message(t); status != 403 || message == "" {
		t.Errorf("inactive: %d %s", status, message)
	}
}

// TestExportNotDeduplicated sends one idempotency key twice, as Kotlin's SDK
// does for two equal exports.
func TestExportNotDeduplicated(t *testing.T) {
	s := newExportSite(t)
	ids := map[string]bool{}
	for range 2 {
		var made exportAnswer
		s.ask("POST", "/audit_logs/exports", `{"organization_id":"org_1",`+range2026+`}`, "Idempotency-Key: k").ok(t, 201, &made)
		ids[made.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("two requests made %d exports", len(ids))
	}
}

// TestExportLink lets links expire: each lives ten minutes, and the export gives
// new ones for as long as it has its file.
func TestExportLink(t *testing.T) {
	s := newExportSite(t)
	s.send("org_1", "team.updated", "")
	made := s.export(range2026)
	first := s.ready(made.ID)
	if u, err := url.Parse(*first.URL); err != nil || !strings.HasSuffix(u.Path, ".csv") || !strings.HasPrefix(*first.URL, s.url) {
		t.Errorf("link %s", *first.URL)
	}
	s.pass(9*time.Minute + 50*time.Second)
	if status, _ := s.download(*first.URL); status != 200 {
		t.Errorf("after almost ten minutes: %d", status)
	}
	second := s.ready(made.ID)
	s.pass(time.Minute)
	if status, _ := s.download(*first.URL); status != 410 {
		t.Errorf("after more than ten minutes: %d", status)
	}
	if status, _ := s.download(*second.URL); status != 200 {
		t.Errorf("the link of a later request: %d", status)
	}
	if status, _ := s.download(strings.Replace(*second.URL, "=", "=0", 1)); status != 403 {
		t.Errorf("a link that was changed: %d", status)
	}
	s.pass(2 * time.Hour)
	if got := s.ready(made.ID); got.State != "expired" || got.URL != nil {
		t.Errorf("after its time: %+v", got)
	}
}

// TestNativeExports shows the native API's exports where WorkOS has a form for
// them.
func TestNativeExports(t *testing.T) {
	s := newExportSite(t)
	for format, status := range map[export.Format]int{export.CSV: 200, export.JSONL: 404} {
		job, err := s.Exports.Create(t.Context(), export.Spec{Organization: "org_1", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.ask("GET", "/audit_logs/exports/audit_log_export_"+job.ID, ""); a.status != status {
			t.Errorf("%s: %d %s", format, a.status, a.text)
		}
	}
}
