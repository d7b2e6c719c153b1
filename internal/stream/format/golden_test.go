package format_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/stream/format"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/golden.txt anew")

// examples are events of actions that the catalogue of the demo has.
func examples() []*audit.Event {
	at := time.Date(2026, 3, 1, 9, 30, 0, 123_000_000, time.UTC)
	ada := audit.Actor{Type: "user", ID: "01HZ0000000000000000000001", Name: "Ada Lovelace", Metadata: audit.Metadata{"user_base_role_slug": "admin"}}
	browser := audit.Context{Location: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)"}
	return []*audit.Event{
		{
			Action: "api_key.created", Version: 2, OccurredAt: at, Actor: ada, Context: browser,
			Targets:  []audit.Target{{Type: "api_key", ID: "01HZ0000000000000000000002", Name: "Dev key"}},
			Metadata: audit.Metadata{"after_roles": "viewer"},
		},
		{
			Action: "user.deactivated", Version: 1, OccurredAt: at.Add(456_789), Actor: ada,
			Context: audit.Context{Location: "2001:db8::7"},
			Targets: []audit.Target{{Type: "user", ID: "01HZ0000000000000000000003", Name: "grace@example.com"}},
		},
		{
			Action: "rbac_role.deleted", Version: 1, OccurredAt: at, Context: browser,
			Actor:   audit.Actor{Type: "api_key", ID: "01HZ0000000000000000000004", Name: "Terraform"},
			Targets: []audit.Target{{Type: "rbac_role", ID: "01HZ0000000000000000000005", Name: `A|B=C\D`}},
		},
		{
			Action: "private_incident.access_attempted", Version: 1, OccurredAt: at, Actor: ada, Context: browser,
			Targets:  []audit.Target{{Type: "incident", ID: "01HZ0000000000000000000006"}},
			Metadata: audit.Metadata{"outcome": "denied"},
		},
		{Action: "user.logged_in", Version: 1, OccurredAt: at, Actor: ada, Context: browser, Targets: []audit.Target{audit.Target(ada)}},
		{
			Action: "policy.updated", Version: 1, OccurredAt: at, Actor: audit.Actor{Type: "system", ID: "system"},
			Context: audit.Context{Location: "the nightly job"},
			Targets: []audit.Target{{Type: "policy", ID: "01HZ0000000000000000000007", Name: "Post-mortems", Metadata: audit.Metadata{"days": 7.0}}},
		},
	}
}

func exampleInput(t testing.TB, e *audit.Event, seq uint64) *format.Input {
	return &format.Input{
		Entry:        entryOf(t, e, seq, time.Date(2026, 3, 1, 9, 30, 1, 0, time.UTC)),
		Organization: "org_01", OrganizationName: "Example Ltd", Server: "audit.example.com", Product: "1.2.3",
	}
}

// TestGolden shows what every format makes of a few events. A change here is a
// new version of the format.
func TestGolden(t *testing.T) {
	var b bytes.Buffer
	r := all(t)
	for seq, e := range examples() {
		for _, name := range r.Names() {
			b.WriteString("-- " + e.Action + " " + name + " --\n")
			f, _ := r.Get(name, 0)
			b.Write(f.Append(nil, exampleInput(t, e, uint64(seq))))
			b.WriteString("\n")
		}
	}
	isGolden(t, "testdata/golden.txt", b.String())
}

// isGolden holds a text to that of a file.
func isGolden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("go test -rewrite writes it anew, if the formats have new versions (-want +got):\n%s", diff)
	}
}

// TestGoldenErased shows what every format makes of an entry whose details were
// erased: it says when, and has nothing but what the record has.
func TestGoldenErased(t *testing.T) {
	var b bytes.Buffer
	r := all(t)
	in := exampleInput(t, examples()[0], 0)
	in.Entry.Erase(time.Date(2026, 4, 1, 12, 0, 0, 7_000_000, time.UTC).UnixMilli())
	for _, name := range r.Names() {
		b.WriteString("-- " + name + " --\n")
		f, _ := r.Get(name, 0)
		b.Write(f.Append(nil, in))
		b.WriteString("\n")
	}
	got := b.String()
	for _, detail := range []string{"Ada", "Lovelace", "Dev key", "203.0.113.7", "Mozilla", "viewer", "user_base_role_slug"} {
		if strings.Contains(got, detail) {
			t.Errorf("%q is there", detail)
		}
	}
	marks := strings.Count(got, `"erased_at":"2026-04-01T12:00:00.007Z"`) + strings.Count(got, "flexDate1Label=erasedAt flexDate1=1775044800007")
	if marks != len(r.Names()) {
		t.Errorf("%d of %d formats say that it was erased", marks, len(r.Names()))
	}
	isGolden(t, "testdata/erased.txt", got)
}

// TestCatalogue puts every action of the demo's catalogue through every format.
func TestCatalogue(t *testing.T) {
	data, err := os.ReadFile("../../demo/catalogue.json")
	if err != nil {
		t.Fatal(err)
	}
	var catalogue struct {
		Schemas []struct {
			Action  string
			Version int
			Targets []struct{ Type string }
		}
	}
	if err := json.Unmarshal(data, &catalogue); err != nil {
		t.Fatal(err)
	}
	if len(catalogue.Schemas) < 200 {
		t.Fatalf("%d schemas", len(catalogue.Schemas))
	}
	tables, fields := schemas(t), ecsFields(t)
	classes := map[int64]int{}
	formats := all(t)
	encoded := func(name string, in *format.Input) []byte {
		f, _ := formats.Get(name, 0)
		return f.Append(nil, in)
	}
	for i, s := range catalogue.Schemas {
		e := &audit.Event{Action: s.Action, Version: s.Version, OccurredAt: time.UnixMilli(5), Actor: audit.Actor{Type: "user", ID: "u"}}
		for _, target := range s.Targets {
			e.Targets = append(e.Targets, audit.Target{Type: target.Type, ID: "id"})
		}
		in := exampleInput(t, e, uint64(i))
		for name, table := range tables {
			out := encoded(name, in)
			if faults := table.Check(out); len(faults) > 0 {
				t.Errorf("%s: %s: %s", name, s.Action, strings.Join(faults, "\n"))
			}
			if name == "ocsf-1.8" {
				classes[number(t, object(t, out)["class_uid"])]++
			}
		}
		if faults := checkECS(fields, "", object(t, encoded("ecs", in))); len(faults) > 0 {
			t.Errorf("%s: %s", s.Action, strings.Join(faults, "\n"))
		}
		if _, err := parseCEF(string(encoded("cef", in))); err != nil {
			t.Errorf("%s: %v", s.Action, err)
		}
	}
	if len(classes) < 4 || classes[6003] < 100 {
		t.Errorf("classes of the catalogue: %v", classes)
	}
}
