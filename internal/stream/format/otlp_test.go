package format_test

import (
	"bytes"
	"testing"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/stream/format"
)

// TestOTLP reads requests back with the published protocol buffers.
func TestOTLP(t *testing.T) {
	f := get(t, "json")
	rapid.Check(t, func(t *rapid.T) {
		ins := rapid.SliceOfN(inputs(), 1, 4).Draw(t, "in")
		var records [][]byte
		for _, in := range ins {
			r := format.AppendLogRecord(nil, in, f.Append(nil, in))
			if !bytes.Equal(r, format.AppendLogRecord(nil, in, f.Append(nil, in))) {
				t.Fatal("not the same twice")
			}
			records = append(records, r)
		}
		var req collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(format.AppendLogsRequest(nil, "org_1", "1.2.3", records), &req); err != nil {
			t.Fatal(err)
		}
		if len(req.ResourceLogs) != 1 || len(req.ResourceLogs[0].ScopeLogs) != 1 {
			t.Fatalf("%v", &req)
		}
		resource := attributes(req.ResourceLogs[0].Resource.Attributes)
		if resource["service.name"].GetStringValue() != "stele" || resource["stele.organization.id"].GetStringValue() != "org_1" {
			t.Fatalf("resource %v", resource)
		}
		logs := req.ResourceLogs[0].ScopeLogs[0].LogRecords
		if len(logs) != len(ins) {
			t.Fatalf("%d records, want %d", len(logs), len(ins))
		}
		for i, in := range ins {
			e, r := in.Entry, logs[i]
			a := attributes(r.Attributes)
			if len(r.ProtoReflect().GetUnknown()) > 0 || len(a) != len(r.Attributes) {
				t.Fatalf("unknown fields or an attribute twice: %v", r)
			}
			ok := r.TimeUnixNano == uint64(e.OccurredAt) && r.ObservedTimeUnixNano == uint64(e.ReceivedAt)*1e6 &&
				r.EventName == string(e.Action) && r.Body.GetStringValue() == string(f.Append(nil, in)) &&
				(r.SeverityNumber == 9 && r.SeverityText == "INFO" || r.SeverityNumber == 13 && r.SeverityText == "WARN") &&
				a["event.id"].GetStringValue() == e.ID.String() && a["stele.seq"].GetIntValue() == int64(e.Seq) &&
				a["stele.schema_version"].GetIntValue() == int64(e.Version) &&
				a["enduser.id"].GetStringValue() == string(e.Actor.ID) && a["client.address"].GetStringValue() == string(e.Location) &&
				a["stele.organization.id"].GetStringValue() == in.Organization
			if !ok {
				t.Fatalf("record %v of %+v", r, e)
			}
		}
	})
}

func attributes(list []*common.KeyValue) map[string]*common.AnyValue {
	m := map[string]*common.AnyValue{}
	for _, kv := range list {
		m[kv.Key] = kv.Value
	}
	return m
}
