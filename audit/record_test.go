package audit_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

// TestRecordVector is a test vector: others who verify Stele's logs must come to
// these bytes.
func TestRecordVector(t *testing.T) {
	e := sample()
	e.Metadata = audit.Metadata{
		"z": "é\u2028\"\\\n\x01", "\ue000": 1.0, "😀": []any{0.1, 1e21, -1e-7, 100.0}, "a": map[string]any{}, "n": nil,
	}
	const details = `{"actor":{"metadata":{"role":"admin"},"name":"Ada Lovelace"},` +
		`"context":{"location":"203.0.113.7","user_agent":"Mozilla/5.0 (X11)"},` +
		"\"metadata\":{\"a\":{},\"n\":null,\"z\":\"é\u2028\\\"\\\\\\n\\u0001\",\"😀\":[0.1,1e+21,-1e-7,100],\"\ue000\":1}," +
		`"targets":[{"name":"Dev Key"},{"metadata":{"a":{"b":"two"},"a.b":"one","size":3},"name":"Straße"}]}`
	got, err := e.Details()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(details, string(got)); diff != "" {
		t.Errorf("details: %s", diff)
	}
	salt := [audit.SaltBytes]byte{1, 2, 3}
	digest := sha256.Sum256(append(salt[:], details...))
	want := `{"action":"api_key.created","actor":{"id":"u1","type":"user"},"details":"` + base64.RawURLEncoding.EncodeToString(digest[:]) +
		`","id":"01KJM2ZQ8V0000000000ABCDEF","occurred_at":"2026-03-01T09:30:00.123Z","received_at":"2026-03-01T10:30:00.123Z",` +
		`"targets":[{"id":"k1","type":"api_key"},{"id":"t1","type":"team"}],"version":2}`
	record, err := e.Record(salt)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(record)); diff != "" {
		t.Errorf("record: %s", diff)
	}
	if got := audit.LeafHash([]byte("")).String(); got != "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=" { // RFC 6962: SHA-256 of one zero byte
		t.Errorf("leaf hash of nothing is %s", got)
	}
}

// TestRecordSparse: what is absent or empty is left out, the version of none is 1.
func TestRecordSparse(t *testing.T) {
	e := audit.Entry{ID: "x", ReceivedAt: time.UnixMilli(0), Event: audit.Event{
		Action: "a", Actor: audit.Actor{Type: "t", ID: "i", Metadata: audit.Metadata{}}, OccurredAt: time.Unix(0, 1000).In(time.FixedZone("", 3600)),
		Metadata: audit.Metadata{},
	}}
	details, err := e.Details()
	if err != nil || string(details) != "{}" {
		t.Errorf("details %s, error %v", details, err)
	}
	record, err := e.Record([audit.SaltBytes]byte{})
	want := `"occurred_at":"1970-01-01T00:00:00.000001Z","received_at":"1970-01-01T00:00:00.000Z","targets":[],"version":1}`
	if err != nil || !strings.HasSuffix(string(record), want) {
		t.Errorf("record %s, error %v", record, err)
	}
	e.Targets = []audit.Target{{Type: "a", ID: "1"}, {Type: "b", ID: "2", Name: "n"}, {Type: "c", ID: "3"}}
	if details, err = e.Details(); err != nil || string(details) != `{"targets":[{},{"name":"n"},{}]}` {
		t.Errorf("details %s, error %v", details, err)
	}
}

func TestRecordErrors(t *testing.T) {
	for want, change := range map[string]func(*audit.Entry){
		"not between 1970 and 2261":        func(e *audit.Entry) { e.OccurredAt = time.Time{} },
		"received_at: the time is not":     func(e *audit.Entry) { e.ReceivedAt = audit.MaxTime.Add(time.Second).Truncate(time.Second) },
		"received_at: is finer than":       func(e *audit.Entry) { e.ReceivedAt = e.ReceivedAt.Add(1) },
		"would not be kept exactly":        func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": 1<<53 + 1} },
		"0.10000000000000000001 would not": func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": json.Number("0.10000000000000000001")} },
		"1e400 is not a number":            func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": json.Number("1e400")} },
		"1e-400 would not be kept":         func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": json.Number("1e-400")} },
		"is not a number that JSON keeps":  func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": math.NaN()} },
		"is no JSON":                       func(e *audit.Entry) { e.Metadata = audit.Metadata{"n": make(chan int)} },
		"is not valid UTF-8":               func(e *audit.Entry) { e.Action = "\xff" },
		`"\xffkey" is not valid UTF-8`:     func(e *audit.Entry) { e.Metadata = audit.Metadata{"\xffkey": 1} },
	} {
		e := sample()
		change(&e)
		if _, err := e.Record([audit.SaltBytes]byte{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := e.MarshalJSON(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("JSON: error %v, want %q", err, want)
		}
	}
}

// TestNumbers: RFC 8785 appendix B, and the values a program may hand over.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{0.0, "0"},
		{math.Copysign(0, -1), "0"},
		{5e-324, "5e-324"},
		{-5e-324, "-5e-324"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
		{float64(1 << 53), "9007199254740992"},
		{295147905179352830000.0, "295147905179352830000"},
		{9.999999999999997e22, "9.999999999999997e+22"},
		{1e23, "1e+23"},
		{999999999999999700000.0, "999999999999999700000"},
		{1e21, "1e+21"},
		{333333333.3333332, "333333333.3333332"},
		{0.000001, "0.000001"},
		{0.0000001, "1e-7"},
		{-0.0000033333333333333333, "-0.0000033333333333333333"},
		{int64(-42), "-42"},
		{uint8(7), "7"},
		{float32(0.5), "0.5"},
		{json.Number("-0"), "0"},
		{json.Number("0.0e5"), "0"},
		{json.Number("10.50E+2"), "1050"},
		{json.Number("0.00100"), "0.001"},
	} {
		e := audit.Entry{Event: audit.Event{Metadata: audit.Metadata{"n": tt.v}}}
		got, err := e.Details()
		if want := `{"metadata":{"n":` + tt.want + `}}`; err != nil || string(got) != want {
			t.Errorf("%v: %s, error %v; want %s", tt.v, got, err, want)
		}
	}
}
