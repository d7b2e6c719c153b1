package workos_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/schema"
)

// listAnswer is a list as clients see it.
type listAnswer[T any] struct {
	Object   string
	Data     []T
	Metadata struct{ Before, After *string } `json:"list_metadata"`
}

// schemaAnswer is a schema as clients see it; what is absent is nil.
type schemaAnswer struct {
	Object    string
	Version   int
	Targets   []map[string]any
	Actor     map[string]any
	Metadata  map[string]any
	CreatedAt string `json:"created_at"`
}

func TestCreateSchema(t *testing.T) {
	s := open(t, nil)
	// want compares without the time.
	create := func(action, body, want string) {
		t.Helper()
		a := s.ask("POST", "/audit_logs/actions/"+action+"/schemas", body)
		var got map[string]any
		a.ok(t, 201, &got)
		if at, _ := got["created_at"].(string); len(at) != len("2026-01-15T12:00:00.000Z") || !strings.HasSuffix(at, "Z") {
			t.Errorf("created_at %q", at)
		}
		delete(got, "created_at")
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		answer{status: 201, text: string(text)}.want(t, 201, want)
	}
	const whole = `"targets":[{"type":"team","metadata":{"type":"object","properties":{"size":{"type":"number"}}}},{"type":"user"}],
		"actor":{"metadata":{"type":"object","properties":{"role":{"type":"string"}},"required":["role"]}},
		"metadata":{"type":"object","properties":{"draft":{"type":"boolean"}}}`
	create("team.updated", `{`+whole+`}`, `{"object":"audit_log_schema","version":1,`+whole+`}`)
	// The same again is a version of its own.
	create("team.updated", `{`+whole+`}`, `{"object":"audit_log_schema","version":2,`+whole+`}`)
	// What node sends when the caller gave no more than targets.
	create("team.updated", `{"targets":[{"type":"team"}],"actor":{"metadata":{"type":"object","properties":{}}}}`,
		`{"object":"audit_log_schema","version":3,"targets":[{"type":"team"}],"actor":{"metadata":{"type":"object","properties":{}}}}`)
	// Nulls, PHP's empty arrays, unknown members, a whole schema as it was listed.
	create("team.updated", `{"object":"audit_log_schema","version":9,"created_at":"x","targets":[{"type":"team","metadata":null}],"actor":null,
		"metadata":{"type":"object","properties":[],"additionalProperties":true}}`,
		`{"object":"audit_log_schema","version":4,"targets":[{"type":"team"}],"metadata":{"type":"object","properties":{}}}`)
}

// TestActionNames registers actions whose names have slashes and spaces, sent
// encoded and, by older SDKs, not.
func TestActionNames(t *testing.T) {
	s := open(t, nil)
	const body = `{"targets":[{"type":"team"}]}`
	for i, path := range []string{"a%2Fb%20c", "a/b%20c", "a%2fb%20c"} {
		var made schemaAnswer
		s.ask("POST", "/audit_logs/actions/"+path+"/schemas", body).ok(t, 201, &made)
		if made.Version != i+1 {
			t.Errorf("%s: version %d", path, made.Version)
		}
		var listed listAnswer[schemaAnswer]
		s.ask("GET", "/audit_logs/actions/"+path+"/schemas", "").ok(t, 200, &listed)
		if len(listed.Data) != i+1 {
			t.Errorf("%s: %d versions", path, len(listed.Data))
		}
	}
	for _, name := range []string{"user:signed_in", "schemas", "ünï", "x/schemas"} {
		var made schemaAnswer
		s.ask("POST", "/audit_logs/actions/"+name+"/schemas", body).ok(t, 201, &made)
	}
	want := []string{"x/schemas", "ünï", "schemas", "user:signed_in", "a/b c"}
	slices.Sort(want)
	if got := s.Schemas.Actions(); !slices.Equal(got, want) {
		t.Errorf("actions %q, want %q", got, want)
	}
}

func TestCreateSchemaRefused(t *testing.T) {
	s := open(t, nil)
	for body, want := range map[string]string{
		`{}`:                        "targets must have at least one target",
		`{"targets":[]}`:            "targets must have at least one target",
		`{"targets":"team"}`:        "targets must be an array",
		`{"targets":["team"]}`:      "targets.0 must be an object",
		`{"targets":[{"type":""}]}`: "targets.0.type must not be empty",
		`{"targets":[{}]}`:          "targets.0.type is required",
		`{"targets":[{"type":"t"}],"metadata":"x"}`:                                                     "metadata must be an object",
		`{"targets":[{"type":"t"}],"metadata":{"type":"array"}}`:                                        `metadata.type must be "object"`,
		`{"targets":[{"type":"t"}],"metadata":{"properties":{"a":"string"}}}`:                           "metadata.properties.a must be an object",
		`{"targets":[{"type":"t"}],"metadata":{"properties":{"a":{"type":"array"}}}}`:                   "metadata.properties.a.type must be string, number or boolean",
		`{"targets":[{"type":"t","metadata":{"properties":{"a":{}}}}]}`:                                 "targets.0.metadata.properties.a.type is required",
		`{"targets":[{"type":"t"}],"actor":{"metadata":{"properties":{"a":null}}}}`:                     "actor.metadata.properties.a is required",
		`{"targets":[{"type":"t"}],"metadata":{"properties":{"a":{"type":"string"}},"required":["b"]}}`: "required",
		`{"targets":[{"type":"t"},{"type":"t","metadata":{}}]}`:                                         "targets.1",
	} {
		status, message := s.ask("POST", "/audit_logs/actions/a/schemas", body).message(t)
		if status != 422 || !strings.Contains(message, want) {
			t.Errorf("%s: %d %s, want %s", body, status, message, want)
		}
	}
	if status, message := s.ask("POST", "/audit_logs/actions/"+strings.Repeat("a", 201)+"/schemas", `{"targets":[{"type":"t"}]}`).message(t); status != 422 {
		t.Errorf("a name of 201 bytes: %d %s", status, message)
	}
	if got := s.Schemas.Actions(); len(got) != 0 {
		t.Errorf("registered %q", got)
	}
}

func TestListSchemas(t *testing.T) {
	s := open(t, nil)
	s.ask("GET", "/audit_logs/actions/no.such/schemas", "").want(t, 404, `{"message":"Audit Log Action not found: 'no.such'."}`)
	for range 12 {
		s.action("team.updated")
	}
	// versions of one page, and the cursors around it.
	ask := func(query string) (versions []int, before, after string) {
		t.Helper()
		var l listAnswer[schemaAnswer]
		s.ask("GET", "/audit_logs/actions/team.updated/schemas?"+query, "").ok(t, 200, &l)
		for _, v := range l.Data {
			versions = append(versions, v.Version)
		}
		if l.Object != "list" {
			t.Errorf("object %q", l.Object)
		}
		return versions, deref(l.Metadata.Before), deref(l.Metadata.After)
	}
	first, before, after := ask("")
	if !slices.Equal(first, []int{12, 11, 10, 9, 8, 7, 6, 5, 4, 3}) || before != "" || after == "" {
		t.Errorf("first page %v, %q, %q", first, before, after)
	}
	second, before, end := ask("order=desc&after=" + after)
	if !slices.Equal(second, []int{2, 1}) || before == "" || end != "" {
		t.Errorf("second page %v, %q, %q", second, before, end)
	}
	if back, _, _ := ask("before=" + before); !slices.Equal(back, first) {
		t.Errorf("back again %v", back)
	}
	if some, _, _ := ask("order=asc&limit=3"); !slices.Equal(some, []int{1, 2, 3}) {
		t.Errorf("ascending %v", some)
	}
	// In the order normal, before leads to what is older.
	normal, older, newer := ask("order=normal&limit=3")
	if !slices.Equal(normal, []int{12, 11, 10}) || older == "" || newer != "" {
		t.Errorf("normal %v, %q, %q", normal, older, newer)
	}
	if next, _, _ := ask("order=normal&limit=3&before=" + older); !slices.Equal(next, []int{9, 8, 7}) {
		t.Errorf("normal, older %v", next)
	}
	if all, _, _ := ask("limit=100&after=&before="); len(all) != 12 {
		t.Errorf("all: %v", all)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestListParameters(t *testing.T) {
	s := open(t, nil)
	s.action("team.updated")
	for _, path := range []string{"/audit_logs/actions", "/audit_logs/actions/team.updated/schemas", "/organizations"} {
		for _, query := range []string{"limit=0", "limit=101", "limit=x", "order=up", "after=nobody", "before=nobody", "after=a&before=b"} {
			if status, message := s.ask("GET", path+"?"+query, "").message(t); status != 422 || message == "" {
				t.Errorf("%s?%s: %d %s", path, query, status, message)
			}
		}
	}
}

func TestListActions(t *testing.T) {
	s := open(t, nil)
	s.ask("GET", "/audit_logs/actions", "").want(t, 200, `{"object":"list","data":[],"list_metadata":{"before":null,"after":null}}`)
	var want []string
	for i := range 23 {
		name := fmt.Sprintf("team.%02d/ü", i)
		s.action(strings.ReplaceAll(name, "/", "%2F"))
		want = append(want, name)
	}
	s.action("team.05%2Fü")
	type actionAnswer struct {
		Object, Name string
		Schema       schemaAnswer
		CreatedAt    string `json:"created_at"`
		UpdatedAt    string `json:"updated_at"`
	}
	walk := func(order string) []string {
		t.Helper()
		var names []string
		for query := ""; ; {
			var l listAnswer[actionAnswer]
			s.ask("GET", "/audit_logs/actions?order="+order+query, "").ok(t, 200, &l)
			for _, a := range l.Data {
				names = append(names, a.Name)
				version := 1
				if a.Name == "team.05/ü" {
					version = 2
				}
				if a.Object != "audit_log_action" || a.Schema.Version != version || a.CreatedAt == "" || a.UpdatedAt != a.Schema.CreatedAt {
					t.Errorf("action %+v", a)
				}
			}
			if l.Metadata.After == nil {
				return names
			}
			query = "&after=" + *l.Metadata.After
		}
	}
	if got := walk("asc"); !slices.Equal(got, want) {
		t.Errorf("ascending %q", got)
	}
	slices.Reverse(want)
	if got := walk("desc"); !slices.Equal(got, want) {
		t.Errorf("descending %q", got)
	}
}

// TestNativeSchema shows a schema that WorkOS could not have said.
func TestNativeSchema(t *testing.T) {
	s := open(t, nil)
	object := &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{
		"list": {Type: schema.TypeArray}, "count": {Type: schema.TypeInteger},
	}}
	if _, err := s.Schemas.Register(t.Context(), schema.Schema{Action: "native", Metadata: object}); err != nil {
		t.Fatal(err)
	}
	var l listAnswer[map[string]any]
	s.ask("GET", "/audit_logs/actions/native/schemas", "").ok(t, 200, &l)
	delete(l.Data[0], "created_at")
	text, err := json.Marshal(l.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	answer{status: 200, text: string(text)}.want(t, 200, `{"object":"audit_log_schema","version":1,"targets":[],
		"metadata":{"type":"object","properties":{"list":{"type":"array"},"count":{"type":"number"}}}}`)
}
