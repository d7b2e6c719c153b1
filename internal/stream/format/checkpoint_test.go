package format_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/stream/format"
)

const note = "audit.example.com/org_1\n7\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n\n— audit.example.com Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"

// TestCheckpoints finds the note unaltered in every format, in a line of its own
// that no event looks like.
func TestCheckpoints(t *testing.T) {
	cp := &format.Checkpoint{
		Organization: "org_1", OrganizationName: "Example", Size: 7, Note: []byte(note),
		ReceivedAt: time.UnixMilli(1_772_357_400_123), Server: "audit.example.com", Product: "1.2.3",
	}
	r := all(t)
	want := []string{"json", "ocsf-1.8", "ocsf-1.6", "ocsf-1.3", "ocsf-1.1", "ecs", "cef", "workos"}
	if !slices.Equal(r.Names(), want) {
		t.Errorf("formats %q, want %q", r.Names(), want)
	}
	tables := schemas(t)
	for _, name := range r.Names() {
		f := get(t, name)
		out := f.AppendCheckpoint([]byte("x"), cp)
		if !bytes.Equal(out, f.AppendCheckpoint([]byte("x"), cp)) || out[0] != 'x' || bytes.ContainsAny(out, "\n\r") {
			t.Fatalf("%s: %q", name, out)
		}
		out = out[1:]
		var got string
		if name == "cef" {
			e, err := parseCEF(string(out))
			if err != nil {
				t.Fatalf("%v: %q", err, out)
			}
			got = e.ext["cs5"]
			if e.header[3] != "stele.checkpoint" {
				t.Errorf("signature %q", e.header[3])
			}
		} else {
			m := object(t, out)
			for _, path := range [][]string{{"checkpoint"}, {"unmapped", "checkpoint"}, {"event", "metadata", "checkpoint"}, {"stele", "checkpoint", "note"}} {
				got += text(at(m, path...))
			}
		}
		if got != note {
			t.Errorf("%s: note %q", name, got)
		}
		if !strings.Contains(string(out), "stele.checkpoint") {
			t.Errorf("%s: does not say what it is: %s", name, out)
		}
		if s := tables[name]; s != nil {
			if faults := s.Check(out); len(faults) > 0 {
				t.Errorf("%s: %s", name, strings.Join(faults, "\n"))
			}
		}
	}
}
