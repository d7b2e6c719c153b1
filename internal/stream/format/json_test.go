package format_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

func TestJSON(t *testing.T) {
	f := get(t, "json")
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		out := encode(t, f, in)
		m := object(t, out)
		if number(t, m["event_schema_version"]) != int64(in.Entry.Version) || (m["replay"] == true) != in.Replay {
			t.Fatalf("version or replay: %s", out)
		}
		var got audit.Entry
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		same(t, in, &got, out)
	})
}

func TestWorkOS(t *testing.T) {
	f := get(t, "workos")
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		out := encode(t, f, in)
		m := object(t, out)
		for _, name := range []string{"event", "keySuffix", "timestamp", "source"} {
			if m[name] == nil {
				t.Fatalf("%s is missing: %s", name, out)
			}
		}
		got := audit.Entry{
			ID:             text(at(m, "event", "id")),
			OrganizationID: text(at(m, "stele", "organization_id")),
			Seq:            uint64(number(t, at(m, "stele", "seq"))),
			ReceivedAt:     moment(t, at(m, "stele", "received_at")),
			Schema:         text(at(m, "stele", "schema")),
			ErasedAt:       erasedAt(at(m, "stele", "erased_at")),
			Event: audit.Event{
				Action:     text(at(m, "event", "action")),
				Version:    int(number(t, at(m, "stele", "version"))),
				OccurredAt: moment(t, at(m, "event", "occurred_at")),
				Actor:      audit.Actor(partiesOf(t, []any{at(m, "event", "actor")})[0]),
				Targets:    partiesOf(t, at(m, "event", "targets")),
				Context: audit.Context{
					Location: text(at(m, "event", "context", "location")), UserAgent: text(at(m, "event", "context", "user_agent")),
				},
				Metadata: metadata(t, at(m, "event", "metadata")),
			},
		}
		same(t, in, &got, out)
	})
}
