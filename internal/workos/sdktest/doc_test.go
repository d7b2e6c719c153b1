package sdktest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const docPath = root + "/docs/migrating-from-workos.md"

// docOrganization is the organization of the page's examples.
const docOrganization = "org_01EHZNVPK3SFK441A1RGBFSHRT"

// block is a block of code in the page, marked with a comment before it.
var block = regexp.MustCompile("(?s)<!-- code: (\\w+) -->\n```(\\w+)\n(.*?)```\n")

// docBlock returns the code of the page with a name, its addresses replaced.
func docBlock(t *testing.T, name string, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		if m[1] == name {
			return strings.NewReplacer(replace...).Replace(m[3])
		}
	}
	t.Fatalf("%s has no code called %s", docPath, name)
	return ""
}

// TestDocBlocksAreMarked holds that no code of the page is left out here.
func TestDocBlocksAreMarked(t *testing.T) {
	page, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	marked, fences := len(block.FindAllString(string(page), -1)), strings.Count(string(page), "\n```")/2
	if marked != 6 || fences != marked {
		t.Errorf("%d blocks of code, %d of them marked, 6 run", fences, marked)
	}
}

// TestDocNode runs the example of the node SDK.
func TestDocNode(t *testing.T) {
	s := own(t)
	call(t, s, http.MethodPost, "/v1/organizations", map[string]string{"id": docOrganization, "name": "Acme"}, nil)
	register(t, s, "user.signed_in")
	code := docBlock(t, "node", "8420", s.URL[strings.LastIndex(s.URL, ":")+1:])
	node(t, strings.NewReader(code))
	var page struct{ Entries []entry }
	call(t, s, http.MethodGet, "/v1/organizations/"+docOrganization+"/events", nil, &page)
	if len(page.Entries) != 1 || page.Entries[0].Actor.Name != "Ada" {
		t.Errorf("recorded %+v", page.Entries)
	}
}

// TestDocGo holds the page's Go to what is compiled and run here.
func TestDocGo(t *testing.T) {
	for name, file := range map[string]string{"go6": "record6_test.go", "go7": "record7_test.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(source), "\t// snippet: "+name+"\n")
		snippet, _, ok := strings.Cut(rest, "\t// end\n")
		if want := dedent(snippet); !ok || docBlock(t, name) != want {
			t.Errorf("%s: the page has\n%s\nthe source\n%s", name, docBlock(t, name), want)
		}
	}
}

func dedent(code string) string {
	return strings.ReplaceAll("\n"+code, "\n\t", "\n")[1:]
}

// TestDocMigrate moves organizations and schemas from one server to another: the
// script cannot tell a Stele from WorkOS.
func TestDocMigrate(t *testing.T) {
	from, to := own(t), own(t)
	var made []string
	for i := range 3 {
		body := map[string]any{"name": fmt.Sprint("Org ", i), "metadata": map[string]string{"n": fmt.Sprint(i)}}
		if i > 0 {
			body["external_id"] = fmt.Sprint("external ", i)
			body["domain_data"] = []map[string]string{{"domain": fmt.Sprintf("d%d.example.com", i), "state": "verified"}}
		}
		var o struct{ ID string }
		call(t, from, http.MethodPost, "/organizations", body, &o)
		made = append(made, o.ID)
	}
	for range 2 {
		register(t, from, "a/b c")
		register(t, from, "user.signed_in")
	}
	dir := t.TempDir()
	script := docBlock(t, "migrate", "https://api.workos.com", from.URL, "http://127.0.0.1:8420", to.URL)
	for range 2 {
		shell(t, dir, to, "node --input-type=module <<'END'\n"+script+"\nEND\n")
		shell(t, dir, to, docBlock(t, "apply"))
	}
	for _, id := range made {
		same(t, from, to, "/organizations/"+id, "domains", "created_at", "updated_at")
	}
	for _, action := range []string{"a%2Fb%20c", "user.signed_in"} {
		same(t, from, to, "/audit_logs/actions/"+action+"/schemas", "created_at")
	}
	var moved struct {
		Domains []struct{ Domain, State string }
	}
	call(t, to, http.MethodGet, "/organizations/"+made[2], nil, &moved)
	if len(moved.Domains) != 1 || moved.Domains[0].Domain != "d2.example.com" || moved.Domains[0].State != "verified" {
		t.Errorf("domains %+v", moved.Domains)
	}
}

// same compares what two servers answer, but for some members.
func same(t *testing.T, a, b *steleServer, path string, but ...string) {
	t.Helper()
	var fromA, fromB any
	call(t, a, http.MethodGet, path, nil, &fromA)
	call(t, b, http.MethodGet, path, nil, &fromB)
	if one, other := fmt.Sprint(without(fromA, but)), fmt.Sprint(without(fromB, but)); one != other {
		t.Errorf("%s:\n%s\n%s", path, one, other)
	}
}

// without removes members from every object of a value.
func without(v any, but []string) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range but {
			delete(v, name)
		}
		for _, member := range v {
			without(member, but)
		}
	case []any:
		for _, elem := range v {
			without(elem, but)
		}
	}
	return v
}

// TestDocOrganization runs the command that keeps an organization's id.
func TestDocOrganization(t *testing.T) {
	s := own(t)
	shell(t, t.TempDir(), s, docBlock(t, "organization"))
	var o struct{ ID, Name string }
	call(t, s, http.MethodGet, "/organizations/"+docOrganization, nil, &o)
	if o.ID != docOrganization || o.Name != "Acme" {
		t.Errorf("made %+v", o)
	}
}

// own starts a server for one test.
func own(t *testing.T) *steleServer {
	t.Helper()
	s, err := start(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// shell runs a script in a folder, with the program in the path and its
// environment set to a server.
func shell(t *testing.T, dir string, s *steleServer, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
		"STELE_SERVER="+s.URL, "STELE_API_KEY="+rootKey, "WORKOS_API_KEY="+rootKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
