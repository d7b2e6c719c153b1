package workos_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream"
)

// organizationAnswer is an organization as clients see it.
type organizationAnswer struct {
	Object, ID, Name string
	Domains          []domainAnswer
	Metadata         map[string]string
	ExternalID       *string `json:"external_id"`
	Allow            *bool   `json:"allow_profiles_outside_organization"`
	CreatedAt        string  `json:"created_at"`
	UpdatedAt        string  `json:"updated_at"`
}

type domainAnswer struct {
	Object, ID, Domain, State string
	OrganizationID            string `json:"organization_id"`
}

func (s *site) create(body string) organizationAnswer {
	s.t.Helper()
	var made organizationAnswer
	s.ask("POST", "/organizations", body).ok(s.t, 201, &made)
	return made
}

func TestOrganization(t *testing.T) {
	s := open(t, nil)
	made := s.create(`{"name":"Acme","domains":null,"domain_data":null}`)
	if made.Object != "organization" || !strings.HasPrefix(made.ID, "org_") || made.Name != "Acme" || made.ExternalID != nil ||
		made.Domains == nil || len(made.Domains) != 0 || made.Metadata == nil || made.Allow == nil || *made.Allow ||
		len(made.CreatedAt) != len("2026-01-15T12:00:00.000Z") || made.UpdatedAt != made.CreatedAt {
		t.Errorf("made %+v", made)
	}
	whole := s.create(`{"name":"Acme","external_id":"ext 1","metadata":{"plan":"pro"},"allow_profiles_outside_organization":true,
		"domain_data":[{"domain":"Acme.example.com","state":"verified"},{"domain":"acme.example.org","state":"pending"}],"idempotency_key":"x"}`)
	if len(whole.Domains) != 2 || whole.Metadata["plan"] != "pro" || *whole.ExternalID != "ext 1" || !*whole.Allow {
		t.Errorf("made %+v", whole)
	}
	if d := whole.Domains[0]; d.Object != "organization_domain" || !strings.HasPrefix(d.ID, "org_domain_") ||
		d.Domain != "acme.example.com" || d.State != "verified" || d.OrganizationID != whole.ID {
		t.Errorf("domain %+v", d)
	}
	text := s.ask("GET", "/organizations/"+whole.ID, "").text
	s.ask("GET", "/organizations/external_id/ext%201", "").want(t, 200, text)
	for _, path := range []string{"/organizations/org_nobody", "/organizations/external_id/nobody", "/organizations/external_id/"} {
		s.ask("GET", path, "").want(t, 404, `{"message":"Not Found"}`)
	}
}

func TestUpdateOrganization(t *testing.T) {
	s := open(t, nil)
	made := s.create(`{"name":"Acme","external_id":"e1","metadata":{"a":"1","b":"2"},"domain_data":[{"domain":"a.example.com","state":"verified"}]}`)
	update := func(body string) organizationAnswer {
		t.Helper()
		var o organizationAnswer
		s.ask("PUT", "/organizations/"+made.ID, body).ok(t, 200, &o)
		return o
	}
	if o := update(`{"name":"Acme Corp","domains":null,"domain_data":null,"metadata":null}`); o.Name != "Acme Corp" ||
		*o.ExternalID != "e1" || len(o.Metadata) != 2 || len(o.Domains) != 1 || o.Domains[0].ID != made.Domains[0].ID {
		t.Errorf("only the name was to change: %+v", o)
	}
	if o := update(`{"metadata":{"a":null,"c":"3"}}`); len(o.Metadata) != 2 || o.Metadata["b"] != "2" || o.Metadata["c"] != "3" || o.Name != "Acme Corp" {
		t.Errorf("metadata: %+v", o)
	}
	if o := update(`{"metadata":[]}`); len(o.Metadata) != 2 {
		t.Errorf("PHP's empty metadata: %+v", o)
	}
	if o := update(`{"domains":["b.example.com"],"allow_profiles_outside_organization":true}`); len(o.Domains) != 1 || o.Domains[0].Domain != "b.example.com" || !*o.Allow {
		t.Errorf("domains: %+v", o)
	}
	if o := update(`{"external_id":null}`); o.ExternalID != nil {
		t.Errorf("external id: %+v", o)
	}
	if o := update(`{"domain_data":[]}`); len(o.Domains) != 0 {
		t.Errorf("no domains: %+v", o)
	}
	s.ask("PUT", "/organizations/org_nobody", `{"name":"x"}`).want(t, 404, `{"message":"Not Found"}`)
}

func TestOrganizationRefused(t *testing.T) {
	s := open(t, nil)
	other := s.create(`{"name":"Other","external_id":"taken","domains":["taken.example.com"]}`)
	id := s.create(`{"name":"Acme"}`).ID
	for body, want := range map[string]string{
		`{"name":"x","external_id":"taken"}`:                                            `{"message":"The external_id 'taken' is already used by another organization.","code":"external_id_already_used"}`,
		`{"name":"x","domains":["free.example.com","taken.example.com"]}`:               `{"message":"An Organization with the domain taken.example.com already exists."}`,
		`{"name":"x","domain_data":[{"domain":"taken.example.com","state":"pending"}]}`: `{"message":"An Organization with the domain taken.example.com already exists."}`,
	} {
		status := 409
		if strings.Contains(want, "code") {
			status = 400
		}
		s.ask("POST", "/organizations", body).want(t, status, want)
		s.ask("PUT", "/organizations/"+id, body).want(t, status, want)
	}
	manyKeys := make(map[string]string)
	for i := range 51 {
		manyKeys[fmt.Sprint("k", i)] = "v"
	}
	many, err := json.Marshal(map[string]any{"name": "x", "metadata": manyKeys})
	if err != nil {
		t.Fatal(err)
	}
	for body, code := range map[string]string{
		string(many): "invalid_metadata",
		`{"name":"x","metadata":{"` + strings.Repeat("k", 41) + `":"v"}}`:  "invalid_metadata",
		`{"name":"x","metadata":{"k":"` + strings.Repeat("v", 601) + `"}}`: "invalid_metadata",
	} {
		var got struct{ Code, Message string }
		if s.ask("POST", "/organizations", body).ok(t, 400, &got); got.Code != code || got.Message == "" {
			t.Errorf("%.60s: %+v", body, got)
		}
	}
	for _, body := range []string{
		`{}`, `{"name":null}`, `{"name":""}`, `{"name":7}`, `{"name":"x","domains":["not a domain"]}`, `{"name":"x","domains":"a.b"}`,
		`{"name":"x","domain_data":[{"state":"pending"}]}`, `{"name":"x","domain_data":[{"domain":"a.example.com","state":"odd"}]}`,
		`{"name":"x","external_id":"` + strings.Repeat("x", 129) + `"}`, `{"name":"x","metadata":{"k":1}}`, `{"name":"x","allow_profiles_outside_organization":"yes"}`,
	} {
		if status, message := s.ask("POST", "/organizations", body).message(t); status != 422 || message == "" {
			t.Errorf("%.60s: %d %s", body, status, message)
		}
	}
	if got := s.ask("GET", "/organizations/"+other.ID, ""); got.status != 200 || strings.Count(s.ask("GET", "/organizations?limit=100", "").text, `"object":"organization"`) != 2 {
		t.Errorf("something was made: %s", got.text)
	}
}

func TestListOrganizations(t *testing.T) {
	s := open(t, nil)
	var want []string
	for i := range 23 {
		want = append(want, s.create(fmt.Sprintf(`{"name":"Acme %d","domains":["d%d.example.com"]}`, i, i)).ID)
	}
	ids := func(query string) (ids []string, after string) {
		t.Helper()
		var l listAnswer[organizationAnswer]
		s.ask("GET", "/organizations?"+query, "").ok(t, 200, &l)
		for _, o := range l.Data {
			ids = append(ids, o.ID)
		}
		return ids, deref(l.Metadata.After)
	}
	var got []string
	for query := "order=asc"; ; {
		page, after := ids(query)
		got = append(got, page...)
		if after == "" {
			break
		}
		query = "order=asc&after=" + after
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages %q, want %q", got, want)
	}
	if got, _ := ids(""); !slices.Equal(got, []string{want[22], want[21], want[20], want[19], want[18], want[17], want[16], want[15], want[14], want[13]}) {
		t.Errorf("newest %q", got)
	}
	if got, _ := ids("limit=2&before=" + want[20]); !slices.Equal(got, []string{want[22], want[21]}) {
		t.Errorf("before %q", got)
	}
	if got, _ := ids("order=normal&limit=2&before=" + want[20]); !slices.Equal(got, []string{want[19], want[18]}) {
		t.Errorf("normal, before: %q", got)
	}
	for _, query := range []string{"domains=d3.example.com,d4.example.com", "domains=d3.example.com&domains=d4.example.com", "domains[]=d3.example.com&domains[]=d4.example.com"} {
		if got, _ := ids(query); !slices.Equal(got, []string{want[4], want[3]}) {
			t.Errorf("%s: %q", query, got)
		}
	}
	if got, _ := ids("search=ACME%2022"); !slices.Equal(got, []string{want[22]}) {
		t.Errorf("search %q", got)
	}
}

func TestDeleteOrganization(t *testing.T) {
	s := open(t, nil)
	empty := s.create(`{"name":"Acme","external_id":"e","domains":["a.example.com"]}`).ID
	a := s.ask("DELETE", "/organizations/"+empty, "")
	a.want(t, 202, `{"message":"Accepted"}`)
	s.ask("DELETE", "/organizations/"+empty, "").want(t, 404, `{"message":"Not Found"}`)
	s.action("team.updated")
	s.ask("POST", "/audit_logs/events", eventBody(empty, "team.updated", "")).want(t, 404, `{"message":"Organization not found: '`+empty+`'."}`)

	kept := s.create(`{"name":"Acme","external_id":"e","domains":["a.example.com"]}`).ID // what was free again
	s.send(kept, "team.updated", "")
	if status, message := s.ask("DELETE", "/organizations/"+kept, "").message(t); status != 409 || !strings.Contains(message, "holds entries") {
		t.Errorf("a log with entries: %d %s", status, message)
	}
	s.send(kept, "team.updated", "")
	s.wantEntries(kept, 2)
}

// TestDeleteWhileSending deletes organizations just as their first event comes:
// either the event is refused, or it is recorded and the organization stays.
func TestDeleteWhileSending(t *testing.T) {
	s := open(t, nil)
	s.action("team.updated")
	for range 30 {
		id := s.create(`{"name":"Acme"}`).ID
		var sent answer
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { sent, err = s.try(rootKey, "POST", "/audit_logs/events", eventBody(id, "team.updated", "")) })
		deleted := s.ask("DELETE", "/organizations/"+id, "")
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if recorded := sent.status == 201; recorded && deleted.status != 409 || !recorded && deleted.status != 202 {
			t.Fatalf("sent: %d %s; deleted: %d %s", sent.status, sent.text, deleted.status, deleted.text)
		}
		if deleted.status == 409 {
			s.wantEntries(id, 1)
		}
	}
}

func TestRetention(t *testing.T) {
	s := open(t, nil)
	id := s.create(`{"name":"Acme"}`).ID
	path := "/organizations/" + id + "/audit_logs_retention"
	s.ask("GET", path, "").want(t, 200, `{"retention_period_in_days":365}`)
	for body, days := range map[string]string{
		`{"retention_period_in_days":30}`:                             "30",
		`{"retention_period_in_days":365,"retention_period":null}`:    "365",
		`{"retention_period":"1_MONTH"}`:                              "30",
		`{"retention_period":"11_MONTHS"}`:                            "330",
		`{"retention_period":"1_YEAR"}`:                               "365",
		`{"retention_period":"10_YEARS"}`:                             "3650",
		`{"retention_period_in_days":60}`:                             "60", // as it was read after 2_MONTHS
		`{"retention_period":"1_YEAR","retention_period_in_days":30}`: "365",
	} {
		s.ask("PUT", path, body).want(t, 200, `{"retention_period_in_days":`+days+`}`)
		s.ask("GET", path, "").want(t, 200, `{"retention_period_in_days":`+days+`}`)
	}
	s.ask("PUT", path, `{"retention_period":"1_YEAR"}`).ok(t, 200, new(any))
	for _, body := range []string{
		`{}`, `{"retention_period_in_days":0}`, `{"retention_period_in_days":31}`, `{"retention_period_in_days":"30"}`, `{"retention_period_in_days":-30}`,
		`{"retention_period_in_days":3680}`, `{"retention_period":"1_DAY"}`, `{"retention_period":30}`, `{"retention_period_in_days":null}`,
	} {
		if status, message := s.ask("PUT", path, body).message(t); status != 422 || !strings.Contains(message, "retention_period") {
			t.Errorf("%s: %d %s", body, status, message)
		}
	}
	s.ask("GET", path, "").want(t, 200, `{"retention_period_in_days":365}`)
	const nobody = "/organizations/org_nobody/audit_logs_retention"
	s.ask("GET", nobody, "").want(t, 404, `{"message":"Not Found"}`)
	s.ask("PUT", nobody, `{"retention_period":"1_YEAR"}`).want(t, 404, `{"message":"Not Found"}`)
}

func TestConfiguration(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	const path = "/organizations/org_1/audit_log_configuration"
	for _, state := range []catalog.State{catalog.StateActive, catalog.StateInactive, catalog.StateDisabled} {
		s.setState(state)
		s.ask("GET", path, "").want(t, 200, `{"organization_id":"org_1","retention_period_in_days":365,"state":"`+string(state)+`"}`)
	}
	_, err := s.Catalog.UpdateOrganization(t.Context(), "org_1", func(o *catalog.Organization) error {
		o.RetentionDays = catalog.RetainForever
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ask("GET", path, "").want(t, 200, `{"organization_id":"org_1","retention_period_in_days":36500,"state":"disabled"}`)
	s.ask("GET", "/organizations/org_1/audit_logs_retention", "").want(t, 200, `{"retention_period_in_days":null}`)
	s.ask("GET", "/organizations/org_nobody/audit_log_configuration", "").want(t, 404, `{"message":"Not Found"}`)
}

// TestConfigurationStream holds how a log stream is shown.
func TestConfigurationStream(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	const path = "/organizations/org_1/audit_log_configuration"
	st, err := s.Streams.Create(t.Context(), "org_1", stream.Spec{Kind: "webhook", Settings: map[string]string{"url": "https://127.0.0.1:1/x"}}, stream.Key("root"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Streams.Pause(t.Context(), "org_1", st.ID, stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	want := func(state string) string {
		return `{"organization_id":"org_1","retention_period_in_days":365,"state":"active","log_stream":{"id":"` + st.ID +
			`","type":"GenericHttps","state":"` + state + `","last_synced_at":null,"created_at":"` + st.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z") + `"}}`
	}
	s.ask("GET", path, "").want(t, 200, want("inactive"))
	if _, err := s.Streams.Resume(t.Context(), "org_1", st.ID, stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(s.ask("GET", path, "").text, `"state":"invalid"`) {
		// until the address was refused
	}
	s.ask("GET", path, "").want(t, 200, want("invalid"))
	if err := s.Streams.Delete(t.Context(), "org_1", st.ID, stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	s.ask("GET", path, "").want(t, 200, `{"organization_id":"org_1","retention_period_in_days":365,"state":"active"}`)
}

func TestPortalLink(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1", Name: "Acme"})
	link := func(members string) string {
		t.Helper()
		var made struct{ Link string }
		s.ask("POST", "/portal/generate_link", `{"organization":"org_1"`+members+`}`).ok(t, 201, &made)
		return made.Link
	}
	signer, err := auth.NewSigner(t.Context(), s.Catalog, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for members, intent := range map[string]string{
		``: "audit_logs",
		`,"intent":"audit_logs","return_url":"https://a.example.com/x","success_url":"https://a.example.com/y"`:            "audit_logs",
		`,"intent":"log_streams","return_url":"","success_url":"","admin_emails":["a@example.com"],"it_contact_emails":[]`: "log_streams",
		`,"intent":null,"return_url":null,"intent_options":{"sso":{"bookmark_slug":"x"}}`:                                  "audit_logs",
	} {
		u, err := url.Parse(link(members))
		if err != nil {
			t.Fatal(err)
		}
		portal, err := signer.VerifyPortal(u.Query().Get("token"))
		if err != nil {
			t.Fatal(err)
		}
		left := time.Until(portal.Expires)
		if portal.Organization != "org_1" || portal.Intent != intent || left > 5*time.Minute || left < 4*time.Minute ||
			(portal.Role == auth.PersonManager) != (intent == "log_streams") || strings.Contains(members, "/x") != (portal.ReturnURL == "https://a.example.com/x") {
			t.Errorf("%s: %+v", members, portal)
		}
	}
	made, late := link(""), link("")
	if status, page := s.visit(made); status != 200 || !strings.Contains(page, "Acme") {
		t.Errorf("the link leads to %d %s", status, page)
	}
	if status, page := s.visit(made); status != 409 {
		t.Errorf("and again to %d %s", status, page)
	}
	s.pass(6 * time.Minute)
	if status, page := s.visit(late); status != 410 {
		t.Errorf("six minutes later: %d %s", status, page)
	}
}

// visit opens a page as a new browser does.
func (s *site) visit(link string) (int, string) {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := (&http.Client{Jar: jar}).Get(link)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(page)
}

func TestPortalLinkRefused(t *testing.T) {
	s := open(t, nil)
	s.organization(catalog.Organization{ID: "org_1"})
	post := func(body string) answer {
		t.Helper()
		return s.ask("POST", "/portal/generate_link", body)
	}
	post(`{"organization":"org_nobody","intent":"audit_logs"}`).want(t, 400, `{"message":"Could not find an organization with the id, org_nobody."}`)
	for _, body := range []string{
		`{}`, `{"organization":"org_1","intent":"sso"}`, `{"organization":"org_1","intent":"x"}`, `{"organization":"org_1","return_url":"javascript:alert(1)"}`, `{"organization":"org_1","return_url":"ftp://a.example.com/x"}`,
		`{"organization":"org_1","success_url":"/relative"}`, `{"organization":"org_1","admin_emails":["` + strings.Repeat(`a","`, 20) + `a"]}`,
	} {
		if status, message := post(body).message(t); status != 422 || message == "" {
			t.Errorf("%s: %d %s", body, status, message)
		}
	}
	s.setState(catalog.StateInactive)
	if status, message := post(`{"organization":"org_1"}`).message(t); status != 403 || message == "" {
		t.Errorf("inactive: %d %s", status, message)
	}
}
