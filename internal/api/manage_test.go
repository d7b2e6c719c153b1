package api

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/schema"
)

// organization is an organization as answered.
type organization struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	ExternalID    string            `json:"external_id"`
	State         string            `json:"state"`
	RetentionDays int               `json:"retention_days"`
	HistoryStart  time.Time         `json:"history_start"`
	Metadata      map[string]string `json:"metadata"`
	CreatedAt     time.Time         `json:"created_at"`
	UpdatedAt     time.Time         `json:"updated_at"`
}

func TestOrganizations(t *testing.T) {
	h := start(t, schema.ModeOpen)
	var made, got organization
	answer := h.call("POST", "/v1/organizations", `{"name":"Größe & Co","external_id":"42","metadata":{"plan":"pro"}}`).want(201).into(&made)
	if !strings.HasPrefix(made.ID, "org_") || made.State != "active" || made.RetentionDays != 365 || !made.HistoryStart.Equal(made.CreatedAt) {
		t.Errorf("made %+v", made)
	}
	h.get(answer.header.Get("Location")).want(200).into(&got)
	if diff := cmp.Diff(made, got); diff != "" {
		t.Error(diff)
	}

	h.wind(time.Second)
	want := made
	want.Name, want.ExternalID, want.State, want.RetentionDays = "New name", "", "inactive", 0
	want.HistoryStart, want.Metadata = time.Date(2023, 4, 18, 0, 0, 0, 0, time.UTC), map[string]string{"plan": "basic"}
	var changed organization
	h.call("PATCH", "/v1/organizations/"+made.ID, `{"name":"New name","external_id":"","state":"inactive","retention_days":0,
		"history_start":"2023-04-18T02:00:00+02:00","metadata":{"plan":"basic"}}`).want(200).into(&changed)
	if !changed.UpdatedAt.After(made.UpdatedAt) {
		t.Errorf("updated at %v", changed.UpdatedAt)
	}
	want.UpdatedAt = changed.UpdatedAt
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Error(diff)
	}
	h.call("PATCH", "/v1/organizations/"+made.ID, `{"retention_days":30}`).want(200).into(&got)
	if got.Name != "New name" || got.RetentionDays != 30 || got.State != "inactive" {
		t.Errorf("what was not named is changed: %+v", got)
	}

	for _, tt := range []struct {
		method, path, body string
		status             int
		code               audit.Code
		field              string
	}{
		{"POST", "", `{}`, 400, "invalid_request", "/name"},
		{"POST", "", `{"name":" "}`, 400, "invalid_request", "/name"},
		{"POST", "", `{"name":7}`, 400, "invalid_request", "/name"},
		{"POST", "", `{"name":"x","plan":"pro"}`, 422, "unknown_field", "/plan"},
		{"POST", "", `{"name":"x","name":"y"}`, 400, "invalid_json", "/name"},
		{"POST", "", `{"name":`, 400, "invalid_json", ""},
		{"POST", "", `{"name":"x","id":"a/b"}`, 400, "invalid_request", "/id"},
		{"POST", "", `{"name":"x","id":"acme"}`, 409, "conflict", "/id"},
		{"POST", "", `{"name":"x","state":"sleeping"}`, 400, "invalid_request", "/state"},
		{"POST", "", `{"name":"x","state":""}`, 400, "invalid_request", "/state"},
		{"POST", "", `{"name":"x","retention_days":29}`, 400, "invalid_request", "/retention_days"},
		{"PATCH", "/acme", `{"retention_days":-1}`, 400, "invalid_request", "/retention_days"},
		{"PATCH", "/acme", `{"history_start":"yesterday"}`, 400, "invalid_request", "/history_start"},
		{"PATCH", "/acme", `{"id":"other"}`, 422, "unknown_field", "/id"},
		{"PATCH", "/never", `{}`, 404, "not_found", "organization"},
	} {
		if got := h.call(tt.method, "/v1/organizations"+tt.path, tt.body).fails(tt.status, string(tt.code)); got.Field != tt.field {
			t.Errorf("%s %s: field %q, want %q: %s", tt.method, tt.body, got.Field, tt.field, got.Detail)
		}
	}
	h.call("POST", "/v1/organizations", `{"name":"x"}`, withHeader("Content-Type", "text/plain")).fails(415, "unsupported_media")
	h.call("POST", "/v1/organizations?x=1", `{"name":"x"}`).fails(400, "invalid_request")
}

func TestListOrganizations(t *testing.T) {
	h := start(t, schema.ModeOpen)
	want := []string{"acme"}
	for i := range 7 {
		id := fmt.Sprintf("org-%d", 7-i)
		h.call("POST", "/v1/organizations", fmt.Sprintf(`{"id":%q,"name":"Name %d","external_id":"ext %d"}`, id, i, i)).want(201)
		want = append(want, id)
	}
	type list struct {
		Organizations []organization
		Next          *string
		HasMore       bool `json:"has_more"`
	}
	ids := func(query string) []string {
		out := []string{}
		for cursor := ""; ; {
			var page list
			h.get("/v1/organizations?" + query + cursor).want(200).into(&page)
			for _, o := range page.Organizations {
				out = append(out, o.ID)
			}
			if page.HasMore != (page.Next != nil) {
				t.Fatalf("has_more %v with next %v", page.HasMore, page.Next)
			}
			if !page.HasMore {
				return out
			}
			cursor = "&cursor=" + url.QueryEscape(*page.Next)
		}
	}
	for query, want := range map[string][]string{
		"limit=3": want, "limit=4": want, "limit=8": want, "": want,
		"search=nAME+3": {"org-4"}, "search=none": {}, "external_id=ext+2": {"org-5"}, "external_id=none": {},
	} {
		if diff := cmp.Diff(want, ids(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	if got := h.get("/v1/organizations?cursor=nonsense/"); got.status != 400 {
		t.Errorf("a wrong cursor: %d %s", got.status, got.body)
	}
}

func TestDeleteOrganization(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.call("POST", "/v1/organizations", `{"id":"empty","name":"Empty"}`).want(201)
	h.call("DELETE", "/v1/organizations/empty", "").want(204)
	h.get("/v1/organizations/empty").fails(404, "not_found")
	h.call("POST", "/v1/organizations", `{"id":"empty","name":"Again"}`).fails(409, "conflict")

	h.append(minimal)
	j := h.export(`{}`)
	reader := withKey(h.key(auth.RoleReader, "acme"))
	for _, confirm := range []string{"", "?confirm=", "?confirm=acme", "?confirm=acme+ltd"} {
		if got := h.call("DELETE", "/v1/organizations/acme"+confirm, "").fails(409, "not_empty"); got.Field != "confirm" {
			t.Errorf("%s: %+v", confirm, got)
		}
	}
	h.get(events, reader).want(200)
	h.call("DELETE", "/v1/organizations/acme?confirm=Acme+Ltd", "").want(204)
	h.get(events).fails(404, "not_found")
	h.get(events, reader).fails(401, "unauthorized")
	if got := h.get("/v1/keys").want(200); strings.Contains(string(got.body), "acme") {
		t.Errorf("its keys are listed: %s", got.body)
	}
	h.get(strings.TrimPrefix(j.Download.URL, h.url), withHeader("Authorization", "")).fails(404, "not_found")
	if n := h.size(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
	if _, err := h.exports.Get(t.Context(), "", strings.TrimPrefix(j.ID, exportPrefix)); !isNotFound(err) {
		t.Errorf("its export is left: %v", err)
	}
	h.call("DELETE", "/v1/organizations/acme?confirm=Acme+Ltd", "").fails(404, "not_found")
}

func TestKeys(t *testing.T) {
	h := start(t, schema.ModeOpen)
	type key struct {
		ID             string    `json:"id"`
		Name           string    `json:"name"`
		Role           string    `json:"role"`
		OrganizationID string    `json:"organization_id"`
		Hint           string    `json:"hint"`
		CreatedBy      string    `json:"created_by"`
		CreatedAt      time.Time `json:"created_at"`
		RevokedAt      time.Time `json:"revoked_at"`
		Key            string    `json:"key"`
	}
	var made, got key
	answer := h.call("POST", "/v1/keys", `{"name":"Deploys","role":"writer","organization_id":"acme"}`).want(201).into(&made)
	if made.CreatedBy != auth.RootKeyID || made.Role != "writer" || made.OrganizationID != "acme" || !strings.HasSuffix(made.Key, made.Hint) {
		t.Errorf("made %+v", made)
	}
	if answer.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a key may be cached: %v", answer.header)
	}
	location := answer.header.Get("Location")
	h.get(location).want(200).into(&got)
	if got.Key != "" || got.ID != made.ID {
		t.Errorf("got %+v", got)
	}
	h.call("POST", events, minimal, withKey(made.Key)).want(201)
	h.get(events, withKey(made.Key)).fails(403, "forbidden")

	var first, again key
	h.call("DELETE", location, "").want(200).into(&first)
	h.wind(time.Second)
	h.call("DELETE", location, "").want(200).into(&again)
	if first.RevokedAt.IsZero() || !first.RevokedAt.Equal(again.RevokedAt) {
		t.Errorf("revoked at %v, then %v", first.RevokedAt, again.RevokedAt)
	}
	h.call("POST", events, minimal, withKey(made.Key)).fails(401, "unauthorized")

	var ids []string
	for i := range 4 {
		h.call("POST", "/v1/keys", fmt.Sprintf(`{"name":"k%d","role":"reader"}`, i)).want(201).into(&got)
		ids = append(ids, got.ID)
	}
	list := func(query string) []string {
		var out []string
		for cursor := ""; ; {
			var page struct {
				Keys    []key
				Next    *string
				HasMore bool `json:"has_more"`
			}
			h.get("/v1/keys?limit=2&" + query + cursor).want(200).into(&page)
			for _, k := range page.Keys {
				out = append(out, k.ID)
			}
			if !page.HasMore {
				return out
			}
			cursor = "&cursor=" + *page.Next
		}
	}
	if diff := cmp.Diff(ids, list("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append([]string{made.ID}, ids...), list("revoked=true")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{made.ID}, list("revoked=true&organization_id=acme")); diff != "" {
		t.Error(diff)
	}
	for body, want := range map[string]struct {
		status      int
		code, field string
	}{
		`{"role":"reader"}`:           {400, "invalid_request", "/name"},
		`{"name":"x"}`:                {400, "invalid_request", "/role"},
		`{"name":"x","role":"owner"}`: {400, "invalid_request", "/role"},
		`{"name":"x","role":"reader","organization_id":"never"}`:     {404, "not_found", "/organization_id"},
		`{"name":"x","role":"reader","key":"sk_of_my_own_choosing"}`: {422, "unknown_field", "/key"},
	} {
		if got := h.call("POST", "/v1/keys", body).fails(want.status, want.code); want.field != "" && got.Field != want.field {
			t.Errorf("%s: field %q", body, got.Field)
		}
	}
	for _, id := range []string{"never", "key_x", "root", "%00", "..%2Fkeys"} {
		h.get("/v1/keys/"+id).fails(404, "not_found")
	}
}

func TestSchemas(t *testing.T) {
	h := start(t, schema.ModeOpen)
	type answer struct {
		Action  string       `json:"action"`
		Version int          `json:"version"`
		Example *audit.Event `json:"example"`
		Targets []any        `json:"targets"`
	}
	var made answer
	location := h.call("POST", "/v1/schemas", `{"action":"a/b c","targets":[{"type":"team"}],"metadata":{"type":"object","properties":{"n":{"type":"number"}}}}`).
		want(201).into(&made).header.Get("Location")
	if made.Action != "a/b c" || made.Version != 1 || location != "/v1/schemas/a%2Fb%20c/1" {
		t.Errorf("made %+v at %s", made, location)
	}
	var got answer
	h.get(location).want(200).into(&got)
	sent, err := event.AppendAudit(nil, got.Example)
	if err != nil {
		t.Fatal(err)
	}
	h.append(string(sent)) // the example is one
	h.call("POST", "/v1/schemas", `{"action":"a/b c","targets":[{"type":"team"}],"metadata":{"type":"object","properties":{"n":{"type":"number"}},"required":["n"]}}`).want(201)
	h.call("POST", "/v1/schemas", `{"action":"a/b c","version":2,"targets":[]}`).fails(409, "conflict")
	h.call("POST", "/v1/schemas", `{"action":"other","targets":[]}`).want(201)

	var versions struct{ Schemas []answer }
	h.get("/v1/schemas/a%2Fb%20c").want(200).into(&versions)
	if len(versions.Schemas) != 2 || versions.Schemas[0].Version != 1 {
		t.Errorf("versions: %+v", versions)
	}
	var comparison struct {
		From, To int
		Breaking bool
		Changes  []schema.Change
	}
	h.get("/v1/schemas/a%2Fb%20c/compare").want(200).into(&comparison)
	if comparison.From != 1 || comparison.To != 2 || !comparison.Breaking || len(comparison.Changes) != 1 {
		t.Errorf("compared: %+v", comparison)
	}
	h.get("/v1/schemas/a%2Fb%20c/compare?from=2&to=1").want(200).into(&comparison)
	if comparison.From != 2 || comparison.To != 1 {
		t.Errorf("compared backwards: %+v", comparison)
	}
	h.get("/v1/schemas/other/compare").want(200).into(&comparison)
	if comparison.Breaking || len(comparison.Changes) != 0 {
		t.Errorf("compared with itself: %+v", comparison)
	}
	for path, status := range map[string]int{
		"never": 404, "never/1": 404, "other/2": 404, "other/0": 400, "other/x": 400, "other/compare?from=7": 404,
		"other/compare?to=0": 400, "never/compare": 404, "other/compare?x=1": 400,
	} {
		if got := h.get("/v1/schemas/" + path); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}

	list := func(query string) []string {
		out := []string{}
		for cursor := ""; ; {
			var page struct {
				Schemas []answer
				Next    *string
			}
			h.get("/v1/schemas?" + query + cursor).want(200).into(&page)
			for _, s := range page.Schemas {
				out = append(out, fmt.Sprint(s.Action, " ", s.Version))
			}
			if page.Next == nil {
				return out
			}
			cursor = "&cursor=" + *page.Next
		}
	}
	for query, want := range map[string][]string{
		"": {"a/b c 2", "other 1"}, "limit=1": {"a/b c 2", "other 1"}, "versions=all&limit=1": {"a/b c 1", "a/b c 2", "other 1"},
		"action=o*": {"other 1"}, "action=other": {"other 1"}, "action=oth": {},
	} {
		if diff := cmp.Diff(want, list(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	for _, query := range []string{"versions=some", "limit=0", "cursor=!", "cursor=AAAA", "x=1"} {
		if got := h.get("/v1/schemas?" + query); got.status != 400 {
			t.Errorf("%s: %d", query, got.status)
		}
	}
	if got := h.call("POST", "/v1/schemas", `{"action":"x","targets":[],"metadata":{"type":"object","properties":{"n":{"type":"date"}}}}`); got.status < 400 || got.status >= 500 {
		t.Errorf("an unknown type: %d %s", got.status, got.body)
	}
}

func TestApplyCatalogue(t *testing.T) {
	h := start(t, schema.ModeOpen)
	type report struct {
		Applied, Breaking     bool
		Registered, Unchanged int
		Findings              []schema.Finding
	}
	file := `{"format":1,"schemas":[
		{"action":"a","version":1,"targets":[]},
		{"action":"a","version":2,"targets":[],"metadata":{"type":"object","properties":{"n":{"type":"number"}},"required":["n"]}},
		{"action":"b","version":1,"targets":[{"type":"team"}]}]}`
	apply := func(query, body string) report {
		t.Helper()
		var r report
		h.call("POST", "/v1/schemas/apply"+query, body).want(200).into(&r)
		return r
	}
	dry := apply("?dry_run=true", file)
	if dry.Applied || dry.Registered != 3 || len(dry.Findings) != 3 || dry.Breaking {
		t.Errorf("dry run: %+v", dry)
	}
	h.get("/v1/schemas/a").fails(404, "not_found")
	if got := apply("", file); !got.Applied || got.Registered != 3 {
		t.Errorf("applied: %+v", got)
	}
	if got := apply("", file); got.Registered != 0 || got.Unchanged != 3 || len(got.Findings) != 0 {
		t.Errorf("applied again: %+v", got)
	}
	next := strings.Replace(file, "]}]}", `]},{"action":"b","version":2,"targets":[{"type":"user"}]}]}`, 1)
	if got := apply("?dry_run=true", next); !got.Breaking || got.Registered != 1 || got.Unchanged != 3 || len(got.Findings[0].Changes) == 0 {
		t.Errorf("dry run of a breaking version: %+v", got)
	}
	conflict := strings.Replace(file, `"team"`, `"user"`, 1)
	if got := apply("?dry_run=true", conflict); !got.Breaking || got.Findings[0].Status != schema.StatusConflict {
		t.Errorf("dry run of a conflict: %+v", got)
	}
	h.call("POST", "/v1/schemas/apply", conflict).fails(409, "conflict")
	for _, body := range []string{"", "[]", "{}", `{"format":1,"schemas":[{"action":"a"}],"x":1}`} {
		if got := h.call("POST", "/v1/schemas/apply", body); got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// TestCatalogueOfAProduct applies 203 real schemas and records the example of
// each.
func TestCatalogueOfAProduct(t *testing.T) {
	file, err := os.ReadFile("../demo/catalogue.json")
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, schema.ModeStrict)
	h.call("POST", "/v1/schemas/apply", string(file)).want(200)
	var list struct {
		Schemas []struct {
			Action  string
			Version int
		}
	}
	h.get("/v1/schemas?versions=all").want(200).into(&list)
	if len(list.Schemas) < 200 {
		t.Errorf("%d schemas", len(list.Schemas))
	}
	for _, s := range list.Schemas {
		var one struct{ Example audit.Event }
		h.get(fmt.Sprintf("/v1/schemas/%s/%d", url.PathEscape(s.Action), s.Version)).want(200).into(&one)
		sent, err := event.AppendAudit(nil, &one.Example)
		if err != nil {
			t.Fatal(err)
		}
		id := h.append(string(sent)).Entries[0].ID
		var entry audit.Entry
		h.get(events + "/" + id).want(200).into(&entry)
		if entry.Action != s.Action || entry.Version != s.Version || entry.Schema != "" {
			t.Errorf("%s %d is recorded as %+v", s.Action, s.Version, entry)
		}
	}
}

func TestExports(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append("[" + minimal + "," + strings.Replace(minimal, "a.b", "=cmd()", 1) + "]")
	const exports = "/v1/organizations/acme/exports"
	file := h.exported(`{"query":"action:\"=cmd()\"","order":"desc"}`)
	if rows := strings.Split(file, "\r\n"); len(rows) != 3 || !strings.Contains(rows[1], ",'=cmd(),") {
		t.Errorf("got %q", file)
	}
	var seqs []string
	for line := range strings.Lines(h.exported(`{"format":"jsonl","order":"desc"}`)) {
		seqs = append(seqs, line[strings.Index(line, `"seq":`)+6:][:1])
	}
	if diff := cmp.Diff([]string{"1", "0"}, seqs); diff != "" {
		t.Error(diff)
	}

	var list struct {
		Exports []exportJob
		Next    *string
	}
	h.get(exports + "?limit=1").want(200).into(&list)
	if len(list.Exports) != 1 || list.Next == nil || list.Exports[0].Format != "jsonl" || list.Exports[0].Download.URL != "" {
		t.Errorf("newest: %+v", list)
	}
	newest := list.Exports[0].ID
	h.get(exports + "?limit=1&cursor=" + *list.Next).want(200).into(&list)
	if len(list.Exports) != 1 || list.Next != nil || list.Exports[0].ID == newest {
		t.Errorf("second: %+v", list)
	}
	for body, want := range map[string]struct {
		status      int
		code, field string
	}{
		`{"format":"xml"}`:             {400, "invalid_request", "/format"},
		`{"order":"up"}`:               {400, "invalid_request", "/order"},
		`{"query":"actr:1"}`:           {400, "invalid_query", "/query"},
		`{"filter":"action:1"}`:        {422, "unknown_field", "/filter"},
		`{"neutralize_formulas":"no"}`: {400, "invalid_request", "/neutralize_formulas"},
	} {
		if got := h.call("POST", exports, body).fails(want.status, want.code); got.Field != want.field {
			t.Errorf("%s: field %q, want %q", body, got.Field, want.field)
		}
	}
	for _, id := range []string{"export_", "export_01JGFJJZ00000000000000000A", "nonsense", "%00", newest + "x"} {
		h.get(exports+"/"+id).fails(404, "not_found")
	}
	h.get(exports+"?cursor=nonsense").fails(400, "invalid_cursor")

	// Another organization's key, and another's path.
	h.call("POST", "/v1/organizations", `{"id":"other","name":"Other"}`).want(201)
	h.get("/v1/organizations/other/exports/"+newest).fails(404, "not_found")
	h.get(exports+"/"+newest, withKey(h.key(auth.RoleReader, "other"))).fails(404, "not_found")

	for option, want := range map[string]string{`true`: ",'=cmd(),", `false`: ",=cmd(),"} {
		if file := h.exported(`{"neutralize_formulas":` + option + `}`); !strings.Contains(file, want) {
			t.Errorf("neutralize_formulas %s: no %q in %q", option, want, file)
		}
	}

	h.wind(8 * 24 * time.Hour)
	var old exportJob
	h.get(exports + "/" + newest).want(200).into(&old)
	if old.State != "expired" || old.Download.URL != "" {
		t.Errorf("after a week: %+v", old)
	}
}

// TestPublicURL is in links when it is set.
func TestPublicURL(t *testing.T) {
	h := start(t, schema.ModeOpen, func(d *Deps) { d.PublicURL = "https://audit.example.com/" })
	if got := h.export(`{}`).Download.URL; !strings.HasPrefix(got, "https://audit.example.com/v1/downloads/") {
		t.Errorf("got %s", got)
	}
}

// TestMain looks, after all tests, whether each operation was seen to succeed.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && !partly() {
		code = unseen()
	}
	os.Exit(code)
}

// partly reports whether only some tests were run.
func partly() bool {
	return slices.ContainsFunc(os.Args, func(a string) bool {
		return strings.HasPrefix(a, "-test.run=") || strings.HasPrefix(a, "-test.skip=") || strings.HasPrefix(a, "-test.list") ||
			strings.HasPrefix(a, "-test.fuzz") || strings.HasPrefix(a, "-test.bench=")
	})
}

func unseen() int {
	code, got := 0, statuses()
	for _, r := range New(Deps{}).Routes {
		if !slices.ContainsFunc(got[r.Name], func(status string) bool { return status[0] == '2' }) {
			fmt.Fprintf(os.Stderr, "no test saw %s succeed\n", r.Name)
			code = 1
		}
	}
	return code
}

// FuzzSchemaCursor reads what a client made up.
func FuzzSchemaCursor(f *testing.F) {
	f.Add("")
	f.Add(schemaCursor{Action: "a b", Version: 3}.String())
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseSchemaCursor(text)
		if err != nil {
			if !isCode(err, audit.CodeInvalidCursor) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if again, err := parseSchemaCursor(c.String()); text != "" && (err != nil || again != c) {
			t.Errorf("%q is %+v, then %+v, %v", text, c, again, err)
		}
	})
}

func isCode(err error, code audit.Code) bool { return errors.Is(err, &audit.Error{Code: code}) }
