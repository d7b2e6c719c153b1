package format_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

// ecsField is one line of the published list.
type ecsField struct {
	typ   string
	array bool
}

func ecsFields(t *testing.T) map[string]ecsField {
	t.Helper()
	data, err := os.ReadFile("testdata/ecs-9.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]ecsField{}
	for line := range strings.Lines(string(data)) {
		f := append(strings.Split(strings.TrimSpace(line), "\t"), "")
		if !strings.HasPrefix(line, "#") {
			out[f[0]] = ecsField{f[1], f[2] == "array"}
		}
	}
	return out
}

// ecsTypes are the event.type that the schema expects in an event.category.
func ecsTypes() map[string]string {
	return map[string]string{
		"api":            "access admin allowed change creation deletion denied end info start user",
		"authentication": "start end info",
		"configuration":  "access change creation deletion info",
		"file":           "access change creation deletion info",
		"iam":            "admin change creation deletion group info user",
		"session":        "start end info",
	}
}

// checkECS holds a document to the list: each field outside "stele" is there, of
// its type, an array where the list says so.
func checkECS(fields map[string]ecsField, path string, v any) (faults []string) {
	if path == "stele" {
		return nil
	}
	if m, ok := v.(map[string]any); ok {
		if len(m) == 0 {
			faults = append(faults, path+" is empty")
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			faults = append(faults, checkECS(fields, strings.TrimPrefix(path+"."+name, "."), m[name])...)
		}
		return faults
	}
	f, ok := fields[path]
	if !ok {
		return []string{path + " is no field"}
	}
	list, isArray := v.([]any)
	if isArray != f.array {
		return []string{fmt.Sprintf("%s: array is %v, want %v", path, isArray, f.array)}
	}
	if !isArray {
		list = []any{v}
	}
	for _, v := range list {
		if !isECS(f.typ, v) {
			faults = append(faults, fmt.Sprintf("%s: %v is no %s", path, v, f.typ))
		}
	}
	return faults
}

func isECS(typ string, v any) bool {
	s, isText := v.(string)
	switch typ {
	case "keyword", "match_only_text", "wildcard":
		return isText
	case "date":
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil
	case "ip":
		_, err := netip.ParseAddr(s)
		return err == nil
	case "long":
		n, ok := v.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	}
	return false
}

func TestECS(t *testing.T) {
	fields := ecsFields(t)
	f := get(t, "ecs")
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		if rapid.Bool().Draw(t, "known action") {
			promotable(t, in)
		}
		out := encode(t, f, in)
		m := object(t, out)
		if faults := checkECS(fields, "", m); len(faults) > 0 {
			t.Fatalf("%s\n%s", strings.Join(faults, "\n"), out)
		}
		checkECSValues(t, m)
		same(t, in, readECS(t, m), out)
	})
}

func checkECSValues(t *rapid.T, m map[string]any) {
	categories, _ := at(m, "event", "category").([]any)
	types, _ := at(m, "event", "type").([]any)
	if len(categories) != 1 || len(types) == 0 {
		t.Fatalf("category %v, type %v", categories, types)
	}
	allowed := strings.Fields(ecsTypes()[text(categories[0])])
	for _, typ := range types {
		if !slices.Contains(allowed, text(typ)) {
			t.Fatalf("type %v is not expected in %v", typ, categories)
		}
	}
	if !slices.Contains([]string{"success", "failure", "unknown"}, text(at(m, "event", "outcome"))) {
		t.Fatalf("outcome %v", at(m, "event", "outcome"))
	}
}

func readECS(t *rapid.T, m map[string]any) *audit.Entry {
	return &audit.Entry{
		ID:             text(at(m, "event", "id")),
		OrganizationID: text(at(m, "organization", "id")),
		Seq:            uint64(number(t, at(m, "event", "sequence"))),
		ReceivedAt:     moment(t, at(m, "event", "created")),
		Schema:         text(at(m, "stele", "schema")),
		ErasedAt:       erasedAt(at(m, "stele", "erased_at")),
		Event: audit.Event{
			Action:     text(at(m, "event", "action")),
			Version:    int(number(t, at(m, "stele", "schema_version"))),
			OccurredAt: moment(t, m["@timestamp"]),
			Actor: audit.Actor{
				Type: text(at(m, "stele", "actor", "type")), ID: text(at(m, "user", "id")), Name: text(at(m, "user", "name")),
				Metadata: metadata(t, at(m, "stele", "actor", "metadata")),
			},
			Targets:  partiesOf(t, at(m, "stele", "targets")),
			Context:  audit.Context{Location: text(at(m, "source", "address")), UserAgent: text(at(m, "user_agent", "original"))},
			Metadata: metadata(t, at(m, "stele", "metadata")),
		},
	}
}
