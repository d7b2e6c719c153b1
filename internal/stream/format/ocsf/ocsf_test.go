package ocsf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream/format/ocsf"
)

const valid = `{"activity_id":1,"activity_name":"Create","category_uid":6,"class_uid":6003,"type_uid":600301,"severity_id":1,
"time":5,"status_id":1,"status":"Success","metadata":{"version":"1.8.0","product":{"name":"a"}},"actor":{"user":{"uid":"u","type_id":1,"type":"User"}},
"api":{"operation":"a"},"src_endpoint":{"ip":"10.0.0.1"},"resources":[{"uid":"r","role_id":1}],"unmapped":{"any":[{"thing":1}]}}`

// TestCheck damages a valid event in every way that the check knows.
func TestCheck(t *testing.T) {
	s, err := ocsf.Load("1.8.0")
	if err != nil {
		t.Fatal(err)
	}
	if faults := s.Check([]byte(valid)); len(faults) > 0 {
		t.Fatalf("valid: %q", faults)
	}
	tests := []struct{ name, old, with, want string }{
		{"not JSON", `{"activity_id"`, `{activity_id`, "no JSON"},
		{"two values", `{"any":[{"thing":1}]}}`, `{}} {}`, "follows"},
		{"class", `6003,`, `6004,`, "no class"},
		{"unknown attribute", `"time":5`, `"time":5,"tyme":5`, "tyme: is no attribute"},
		{"attribute of a profile", `"time":5`, `"time":5,"cloud":{}`, "cloud: is no attribute"},
		{"deprecated", `"user":{"uid"`, `"invoked_by":"x","user":{"uid"`, "actor.invoked_by: is deprecated"},
		{"missing", `"time":5,`, ``, "time: is missing"},
		{"missing inside", `{"operation":"a"}`, `{}`, "api.operation: is missing"},
		{"type", `"time":5`, `"time":"5"`, "time: 5 is no long_t"},
		{"fraction", `"time":5`, `"time":5.5`, "time: 5.5 is no long_t"},
		{"array", `[{"uid":"r","role_id":1}]`, `{"uid":"r"}`, "resources: is no array"},
		{"element", `[{"uid":"r","role_id":1}]`, `["r"]`, "resources[0]: is no object"},
		{"enum", `"role_id":1`, `"role_id":17`, "resources[0].role_id: 17 is none"},
		{"at least one", `{"ip":"10.0.0.1"}`, `{"port":1}`, "src_endpoint: network_endpoint needs one of"},
		{"address", `10.0.0.1`, `10.0.0.1.5`, "src_endpoint.ip"},
		{"port", `{"ip":"10.0.0.1"}`, `{"ip":"10.0.0.1","port":65536}`, "src_endpoint.port"},
		{"object outside the table", `"time":5`, `"time":5,"device":{}`, "device"},
		{"caption", `"status":"Success"`, `"status":"Failure"`, `status_id: 1 is "Success"`},
		{"caption of a class", `"class_uid":6003`, `"class_uid":6003,"class_name":"Other"`, "class_uid"},
		{"type_uid", `600301`, `600302`, "type_uid"},
		{"category", `"category_uid":6`, `"category_uid":3`, "category_uid"},
		{"other without a name", `"activity_id":1,"activity_name":"Create"`, `"activity_id":99`, "activity_name: is missing"},
		{"another version", `"version":"1.8.0"`, `"version":"1.7.0"`, "metadata.version"},
	}
	for _, tt := range tests {
		damaged := strings.Replace(valid, tt.old, tt.with, 1)
		if damaged == valid {
			t.Fatalf("%s: nothing to replace", tt.name)
		}
		faults := s.Check([]byte(damaged))
		if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, tt.want) }) {
			t.Errorf("%s: %q, want one with %q", tt.name, faults, tt.want)
		}
	}
}

// TestTables says what is known of the versions, from their release notes.
func TestTables(t *testing.T) {
	has := map[string][]bool{ // role_id, user type Service, app_uid, actor of 3004, http_request of 3004
		"1.1.0": {false, false, false, false, false},
		"1.3.0": {false, false, true, false, true},
		"1.6.0": {true, true, true, true, true},
		"1.8.0": {true, true, true, true, true},
	}
	for _, v := range ocsf.Versions() {
		s, err := ocsf.Load(v)
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != v {
			t.Errorf("table of %s says %s", v, s.Version)
		}
		_, service := s.Object("user").Caption("type_id", 4)
		got := []bool{
			s.Object("resource_details").Has("role_id"), service, s.Object("actor").Has("app_uid"),
			s.Class(3004).Has("actor"), s.Class(3004).Has("http_request"),
		}
		if !slices.Equal(got, has[v]) {
			t.Errorf("%s has %v, want %v", v, got, has[v])
		}
		for _, uid := range []int{3001, 3002, 3004, 3005, 3006, 6003} {
			c := s.Class(uid)
			if c == nil || c.Deprecated || !slices.Contains(c.Required(), "metadata") {
				t.Errorf("%s: class %d: %v", v, uid, c)
			}
		}
	}
	if _, err := ocsf.Load("1.5.0"); err == nil {
		t.Error("1.5.0 was loaded")
	}
}
