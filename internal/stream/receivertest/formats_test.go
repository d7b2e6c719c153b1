package receivertest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/format/ocsf"
)

// TestFormatsArriveValid delivers every JSON format to the same bucket. What lies
// there is held to what its authors publish: OCSF to the class tables of its
// version, ECS to the list of its fields.
func TestFormatsArriveValid(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	server.start()
	s := newScene(t)
	s.record(allEvents(false)[:2000])
	checks := map[string]func(line string) []string{"ecs": ecsFaults(t)}
	for _, version := range ocsf.Versions() {
		schema, err := ocsf.Load(version)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(version, ".")
		checks["ocsf-"+parts[0]+"."+parts[1]] = func(line string) []string { return schema.Check([]byte(line)) }
	}
	for name, check := range checks {
		st := s.create("s3", name, server.settings("prefix", "formats/"+name))
		s.delivered(st)
		got := objectLines(under(server.objects(), "formats/"+name+"/"))
		sameEvents(t, got, s.formatted(name))
		for i, line := range got {
			if faults := check(line); len(faults) > 0 {
				t.Errorf("%s, event %d: %q\n%s", name, i, faults, line)
			}
		}
	}
	if len(checks) != 5 {
		t.Errorf("%d formats are checked", len(checks))
	}
}

func under(objects map[string][]byte, prefix string) map[string][]byte {
	out := map[string][]byte{}
	for name, text := range objects {
		if strings.HasPrefix(name, prefix) {
			out[name] = text
		}
	}
	return out
}

// ecsFaults names the fields of an event that ECS does not have. stele.* is ours.
func ecsFaults(t *testing.T) func(line string) []string {
	t.Helper()
	list, err := os.ReadFile("../format/testdata/ecs-9.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(line, "\t")
		known[strings.TrimSpace(name)] = true
	}
	var walk func(path string, v map[string]any) []string
	walk = func(path string, v map[string]any) (faults []string) {
		for name, member := range v {
			at := strings.TrimPrefix(path+"."+name, ".")
			object, isObject := member.(map[string]any)
			switch {
			case strings.HasPrefix(at, "stele") || known[at]:
			case isObject:
				faults = append(faults, walk(at, object)...)
			default:
				faults = append(faults, fmt.Sprintf("ECS has no field %s", at))
			}
		}
		return faults
	}
	return func(line string) []string {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			return []string{err.Error()}
		}
		if v["@timestamp"] == nil {
			return []string{"@timestamp is missing"}
		}
		return walk("", v)
	}
}

// TestCheckpointsArrive holds that checkpoints travel with the events where the
// customer switches that on: their own objects, one behind each batch.
func TestCheckpointsArrive(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	server.start()
	s := newScene(t)
	s.record(allEvents(false)[:300])
	st, err := s.streams.Create(t.Context(), organization, stream.Spec{
		Kind: "s3", Settings: server.settings(), Start: stream.Start{Kind: stream.StartBeginning}, Checkpoints: true,
	}, stream.Key("ada"))
	if err != nil {
		t.Fatal(err)
	}
	s.delivered(st)
	note := func() (found string) {
		for name, text := range server.objects() {
			if strings.Contains(name, "/checkpoints/") {
				found = string(text)
			}
		}
		return found
	}
	waitFor(t, "a checkpoint has arrived", func() bool { return note() != "" }, func() string { return "there is none" })
	var got struct {
		Type       string `json:"type"`
		Size       int    `json:"size"`
		Checkpoint string `json:"checkpoint"`
	}
	if err := json.Unmarshal([]byte(note()), &got); err != nil {
		t.Fatal(err)
	}
	want, err := s.ledger.Checkpoint(t.Context(), organization)
	if err != nil || got.Size != 300 || got.Checkpoint != string(want) {
		t.Errorf("got %+v, want %s, %v", got, want, err)
	}
}
