package workos_test

import (
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/catalog"
)

// A call is one use of a route that works with the root key.
type call struct {
	method, path, body string
	// who may make it, of keys for every organization and then of keys
	// limited to org_1, as letters of admin, writer and reader.
	open, limited string
}

// calls are one of each route.
func calls(exportID string) []call {
	const target = `{"targets":[{"type":"team"}]}`
	return []call{
		{"POST", "/audit_logs/events", eventBody("org_1", "team.updated", ""), "aw", "aw"},
		{"POST", "/audit_logs/exports", `{"organization_id":"org_1",` + range2026 + `}`, "ar", "ar"},
		{"GET", "/audit_logs/exports/" + exportID, "", "ar", "ar"},
		{"GET", "/audit_logs/actions", "", "awr", "awr"},
		{"POST", "/audit_logs/actions/team.updated/schemas", target, "a", ""},
		{"GET", "/audit_logs/actions/team.updated/schemas", "", "awr", "awr"},
		{"POST", "/organizations", `{"name":"New"}`, "a", ""},
		{"GET", "/organizations", "", "awr", "awr"},
		{"GET", "/organizations/external_id/e1", "", "awr", "awr"},
		{"GET", "/organizations/org_1", "", "awr", "awr"},
		{"PUT", "/organizations/org_1", `{"name":"Acme"}`, "a", ""},
		{"DELETE", "/organizations/org_empty", "", "a", ""},
		{"GET", "/organizations/org_1/audit_log_configuration", "", "awr", "awr"},
		{"GET", "/organizations/org_1/audit_logs_retention", "", "awr", "awr"},
		{"PUT", "/organizations/org_1/audit_logs_retention", `{"retention_period":"1_YEAR"}`, "a", ""},
		{"POST", "/portal/generate_link", `{"organization":"org_1"}`, "a", "a"},
	}
}

func newAccessSite(t *testing.T) (s *site, exportID string) {
	t.Helper()
	s = open(t, nil)
	s.organization(catalog.Organization{ID: "org_1", ExternalID: "e1"})
	s.organization(catalog.Organization{ID: "org_2"})
	s.organization(catalog.Organization{ID: "org_empty"})
	s.action("team.updated")
	return s, s.export(range2026).ID
}

// TestRoutesAreAllCalled holds the list above to the table of routes.
func TestRoutesAreAllCalled(t *testing.T) {
	s, exportID := newAccessSite(t)
	routes := 0
	for _, r := range s.Server.Routes() {
		if strings.HasPrefix(r.Name, "workos.") {
			routes++
		}
	}
	if n := len(calls(exportID)); routes != n {
		t.Errorf("%d routes, %d calls", routes, n)
	}
}

func TestNoKey(t *testing.T) {
	s, exportID := newAccessSite(t)
	for _, c := range calls(exportID) {
		for _, key := range []string{"", "sk_wrong", rootKey + "x"} {
			a := s.askAs(key, c.method, c.path, c.body)
			a.want(t, 401, `{"message":"Unauthorized"}`)
		}
	}
	s.wantEntries("org_1", 0)
}

func TestRoles(t *testing.T) {
	s, exportID := newAccessSite(t)
	for _, role := range []catalog.Role{catalog.RoleWriter, catalog.RoleReader, catalog.RoleAdmin} {
		open, limited := s.key(role, ""), s.key(role, "org_1")
		for _, c := range calls(exportID) {
			for key, may := range map[string]string{open: c.open, limited: c.limited} {
				a := s.askAs(key, c.method, c.path, c.body)
				allowed := strings.Contains(may, string(role[0]))
				switch {
				case allowed && a.status/100 != 2:
					t.Errorf("%s may not %s %s: %d %s", role, c.method, c.path, a.status, a.text)
				case !allowed && a.status != 403 && (c.path != "/organizations/org_empty" || a.status != 404):
					t.Errorf("%s may %s %s: %d %s", role, c.method, c.path, a.status, a.text)
				}
			}
		}
	}
}

// TestForeign asks with keys of another organization, which learn nothing: the
// answer is the one for what does not exist.
func TestForeign(t *testing.T) {
	s, exportID := newAccessSite(t)
	foreign := s.key(catalog.RoleAdmin, "org_2")
	for _, c := range calls(exportID) {
		if c.open == "a" && c.limited == "" && !strings.Contains(c.path, "org_1") || strings.HasPrefix(c.path, "/audit_logs/actions") {
			continue // not about an organization
		}
		a := s.askAs(foreign, c.method, c.path, c.body)
		if c.path == "/organizations" {
			if c.method == "GET" && (strings.Contains(a.text, "org_1") || !strings.Contains(a.text, "org_2")) {
				t.Errorf("listed %s", a.text)
			}
			continue
		}
		rename := strings.NewReplacer("org_1", "org_9", "/e1", "/e9", exportID, "audit_log_export_01ARZ3NDEKTSV4RRFFQ69G5FAV")
		missing := s.askAs(foreign, c.method, rename.Replace(c.path), rename.Replace(c.body))
		if a.status/100 == 2 || a.status != missing.status || rename.Replace(a.text) != missing.text {
			t.Errorf("%s %s: %d %s, but what does not exist: %d %s", c.method, c.path, a.status, a.text, missing.status, missing.text)
		}
	}
	s.wantEntries("org_1", 0)
}

func TestNoRoute(t *testing.T) {
	s, _ := newAccessSite(t)
	for _, path := range []string{"/", "/nothing", "/audit_logs", "/audit_logs/actions/schemas", "/organizations/org_1/nothing", "/audit_logs/events/", "/user_management/users"} {
		for _, key := range []string{rootKey, ""} {
			s.askAs(key, "GET", path, "").want(t, 404, `{"message":"Not Found"}`)
		}
	}
	for _, method := range []string{"PATCH", "GET", "DELETE"} {
		if a := s.ask(method, "/audit_logs/events", ""); a.status != 405 || !strings.Contains(a.header.Get("Allow"), "POST") {
			t.Errorf("%s: %d %s %q", method, a.status, a.text, a.header.Get("Allow"))
		}
	}
}
