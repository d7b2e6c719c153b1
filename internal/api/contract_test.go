package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

// TestContractNamesEveryRoute holds the document and the table of routes to each
// other.
func TestContractNamesEveryRoute(t *testing.T) {
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.1" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	described := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			described[method+" "+path] = op.OperationID
			public := op.Security != nil && len(*op.Security) == 0
			described[method+" "+path] += map[bool]string{true: " public"}[public]
			if op.Summary == "" || len(op.Tags) != 1 || op.Responses.Len() == 0 {
				t.Errorf("%s %s: no summary, tag or response", method, path)
			}
		}
	}
	routes := map[string]string{}
	for _, r := range New(Deps{}).Routes {
		name := r.Name
		if !r.Access.NeedsKey() {
			name += " public"
		}
		routes[r.Method+" "+strings.ReplaceAll(r.Pattern, "...}", "}")] = name
	}
	if diff := cmp.Diff(routes, described); diff != "" {
		t.Errorf("the routes and openapi.json differ (-routes +document):\n%s", diff)
	}
}

// TestContractNamesEveryCode reads the codes from the source of package audit.
func TestContractNamesEveryCode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../audit/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		return true
	})
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, code := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		described = append(described, code.(string))
	}
	slices.Sort(codes)
	slices.Sort(described)
	if diff := cmp.Diff(codes, described); diff != "" || len(codes) < 20 {
		t.Errorf("the codes of package audit and openapi.json differ (-audit +document):\n%s", diff)
	}
}

// TestContractNamesEveryFilter looks for each field of the filter language.
func TestContractNamesEveryFilter(t *testing.T) {
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"events", "events/tail", "histogram", "facets"} {
		named := map[string]bool{}
		for _, p := range doc.Paths.Find("/v1/organizations/{org}/" + path).Get.Parameters {
			named[p.Value.Name] = true
		}
		for _, f := range audit.Fields() {
			if !named[string(f)] {
				t.Errorf("%s does not say that it takes %s", path, f)
			}
		}
	}
}

func TestContractIsServed(t *testing.T) {
	h := start(t, schema.ModeWarn)
	got := h.get("/openapi.json", withHeader("Authorization", "")).want(200)
	if string(got.body) != string(openAPIDocument) || got.header.Get("Content-Type") != jsonType {
		t.Errorf("%s: another document is served", got.header.Get("Content-Type"))
	}
}

// TestPathsOfNoRoute asks for paths and methods that do not exist.
func TestPathsOfNoRoute(t *testing.T) {
	h := start(t, schema.ModeWarn)
	for _, path := range []string{"/v1", "/v1/nothing", "/v1/organizations/acme/events/1/2/3", "/v1/organizations/acme/"} {
		h.get(path).fails(http.StatusNotFound, "not_found")
	}
	got := h.call(http.MethodPut, "/v1/organizations/acme", "{}")
	got.fails(http.StatusMethodNotAllowed, "method_not_allowed")
	if allow := got.header.Get("Allow"); allow != "DELETE, GET, HEAD, PATCH" {
		t.Errorf("Allow: %q", allow)
	}
}

// statuses returns the statuses that were seen of an operation.
func statuses() map[string][]string {
	out := map[string][]string{}
	for key := range maps.Collect(seen.Range) {
		op, status, _ := strings.Cut(key.(string), " ")
		out[op] = append(out[op], status)
	}
	return out
}
