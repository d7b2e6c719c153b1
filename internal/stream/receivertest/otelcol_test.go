package receivertest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream"

	"github.com/stelehq/stele/internal/stream/sink"
)

// collector is an OpenTelemetry Collector with one receiver, which writes what it
// gets to a file.
type collector struct {
	program
	out  string
	cert certificate
	port string
}

// newCollector makes a collector out of its configuration: extensions, with their
// list, and the receiver, in which "{listen}", "{cert}" and "{key}" stand for the
// address and the certificate; flags are more arguments.
func newCollector(t *testing.T, extensions, list, receiver string, flags ...string) *collector {
	t.Helper()
	dir := t.TempDir()
	c := &collector{out: filepath.Join(dir, "out.jsonl"), cert: newCertificate(t)}
	address, port := freeAddress(t)
	c.port = port
	config := filepath.Join(dir, "config.yaml")
	writeFile(t, config, fill(`
extensions: {`+extensions+`}
receivers:
  `+receiver+`
exporters:
  file: {path: "{out}", append: true, flush_interval: 20ms}
service:
  extensions: [`+list+`]
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [`+receiver[:bytes.IndexByte([]byte(receiver), ':')]+`], exporters: [file]}
`, "listen", address, "cert", c.cert.certFile, "key", c.cert.keyFile, "out", c.out))
	c.program = program{t: t, name: receiverBinary(t, "otelcol"), args: append([]string{"--config", "file:" + config}, flags...), address: address}
	return c
}

// otlpValue is a value in OTLP's JSON.
type otlpValue struct {
	String *string         `json:"stringValue"`
	Bool   *bool           `json:"boolValue"`
	Int    json.RawMessage `json:"intValue"` // a number in a string
	Double json.RawMessage `json:"doubleValue"`
	Bytes  *string         `json:"bytesValue"`
	Array  *struct {
		Values []otlpValue `json:"values"`
	} `json:"arrayValue"`
	List *struct {
		Values otlpMap `json:"values"`
	} `json:"kvlistValue"`
}

type otlpMap []struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

func (m otlpMap) plain(t *testing.T) map[string]any {
	out := map[string]any{}
	for _, kv := range m {
		if _, twice := out[kv.Key]; twice {
			t.Fatalf("%q is there twice", kv.Key)
		}
		out[kv.Key] = kv.Value.plain(t)
	}
	return out
}

// plain is the value as encoding/json would have read it.
func (v otlpValue) plain(t *testing.T) any {
	number := func(text json.RawMessage) float64 {
		f, err := strconv.ParseFloat(string(bytes.Trim(text, `"`)), 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	switch {
	case v.String != nil:
		return *v.String
	case v.Bool != nil:
		return *v.Bool
	case v.Int != nil:
		return number(v.Int)
	case v.Double != nil:
		return number(v.Double)
	case v.Bytes != nil:
		b, err := base64.StdEncoding.DecodeString(*v.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case v.Array != nil:
		list := []any{}
		for _, e := range v.Array.Values {
			list = append(list, e.plain(t))
		}
		return list
	case v.List != nil:
		return v.List.Values.plain(t)
	}
	return nil
}

// otlpRecord is a log record with the attributes of its resource.
type otlpRecord struct {
	Time       string    `json:"timeUnixNano"`
	Observed   string    `json:"observedTimeUnixNano"`
	Severity   int       `json:"severityNumber"`
	EventName  string    `json:"eventName"`
	Body       otlpValue `json:"body"`
	Attributes otlpMap   `json:"attributes"`
	resource   otlpMap
}

// records are all that the collector has written, in order.
func (c *collector) records() []otlpRecord {
	c.t.Helper()
	var list []otlpRecord
	for _, line := range wholeLines(c.t, c.out) {
		var logs struct {
			ResourceLogs []struct {
				Resource struct {
					Attributes otlpMap `json:"attributes"`
				} `json:"resource"`
				ScopeLogs []struct {
					LogRecords []otlpRecord `json:"logRecords"`
				} `json:"scopeLogs"`
			} `json:"resourceLogs"`
		}
		if err := json.Unmarshal([]byte(line), &logs); err != nil {
			c.t.Fatal(err)
		}
		for _, r := range logs.ResourceLogs {
			for _, s := range r.ScopeLogs {
				for _, rec := range s.LogRecords {
					rec.resource = r.Resource.Attributes
					list = append(list, rec)
				}
			}
		}
	}
	return list
}

// bodies are what the collector has written of events that are no test, each made
// by of.
func (c *collector) bodies(of func(otlpRecord) string) []string {
	var list []string
	for _, r := range c.records() {
		if text := of(r); !isTest(text) {
			list = append(list, text)
		}
	}
	return list
}

// TestSplunkCollector delivers to the Splunk HEC receiver of the collector, with
// indexer acknowledgement.
func TestSplunkCollector(t *testing.T) {
	t.Parallel()
	const token = "11111111-2222-3333-4444-555555555555"
	c := newCollector(t, `ack: {}, bearertokenauth: {scheme: Splunk, token: `+token+`}`, "ack, bearertokenauth",
		`splunk_hec: {endpoint: "{listen}", ack: {extension: ack}, auth: {authenticator: bearertokenauth}, tls: {cert_file: "{cert}", key_file: "{key}"}}`)
	settings := func(token string) sink.Values {
		return sink.Values{"url": "https://" + c.address, "token": token, "ca_certificate": c.cert.pem, "acknowledgement": "required"}
	}
	roundTrip(t, receiver{
		kind: "splunk_hec", settings: settings(token), wrong: settings("11111111-0000-0000-0000-000000000000"), says: "Splunk answered 401",
		start: c.start, stop: c.stop, expected: canonicalNative,
		received: func() []string {
			return c.bodies(func(r otlpRecord) string { return marshal(r.Body.plain(t)) })
		},
	})
	for _, r := range c.records()[:3] {
		fields := r.resource.plain(t)
		attributes := r.Attributes.plain(t)
		for name, want := range map[string]any{"host.name": "stele.example.com", "com.splunk.sourcetype": "stele:event", "com.splunk.source": "stele:" + organization} {
			if fields[name] != want {
				t.Errorf("%s is %v, want %v", name, fields[name], want)
			}
		}
		if attributes["organization_id"] != organization || attributes["event_id"] == "" {
			t.Errorf("indexed fields: %v", attributes)
		}
	}
}

// TestSyslogCollector delivers to the syslog receiver of the collector, over TLS.
func TestSyslogCollector(t *testing.T) {
	t.Parallel()
	// Without the gate the collector itself puts messages into another order,
	// and closes a connection before it is through with what came over it.
	c := newCollector(t, "", "",
		`syslog: {protocol: rfc5424, enable_octet_counting: true, tcp: {listen_address: "{listen}", max_log_size: 1MiB, tls: {cert_file: "{cert}", key_file: "{key}"}}}`,
		"--feature-gates=stanza.synchronousLogEmitter")
	roundTrip(t, receiver{
		kind: "syslog", settings: sink.Values{"host": "127.0.0.1", "port": c.port, "ca_certificate": c.cert.pem},
		start: c.start, stop: c.stop, expected: canonicalNative,
		received: func() []string {
			return c.bodies(func(r otlpRecord) string {
				text, _ := r.Attributes.plain(t)["message"].(string)
				return canonical(text)
			})
		},
	})
	for _, r := range c.records()[:3] {
		attributes := r.Attributes.plain(t)
		got := map[string]any{}
		for name := range maps.Keys(attributes) {
			if slices.Contains([]string{"appname", "facility", "hostname", "priority", "version", "msg_id"}, name) {
				got[name] = attributes[name]
			}
		}
		want := map[string]any{"appname": "stele", "facility": 13.0, "hostname": "stele.example.com", "priority": 110.0, "version": 1.0, "msg_id": "event"}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestDatadogCollector delivers to the Datadog receiver of the collector. It keeps
// no attributes but the reserved ones; what came along is read off the wire.
func TestDatadogCollector(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	c := newCollector(t, `bearertokenauth: {header: Dd-Api-Key, scheme: "", token: `+key+`}`, "bearertokenauth",
		`datadog: {endpoint: "{listen}", read_timeout: 60s, auth: {authenticator: bearertokenauth}, tls: {cert_file: "{cert}", key_file: "{key}"}}`)
	wire := newTap(t, "https://"+c.address, c.cert)
	settings := func(key string) sink.Values {
		return sink.Values{"url": wire.URL, "api_key": key, "tags": "env:prod", "ca_certificate": wire.cert.pem}
	}
	type taken struct {
		Message   string          `json:"message"`
		Timestamp float64         `json:"timestamp"`
		Tags      string          `json:"ddtags"`
		Stele     json.RawMessage `json:"stele,omitempty"`
	}
	s := roundTrip(t, receiver{
		kind: "datadog", settings: settings(key), wrong: settings("0123456789abcdef0123456789abcdee"), says: "Check the API key",
		recent: true, start: c.start, stop: c.stop,
		received: func() []string {
			return c.bodies(func(r otlpRecord) string {
				a := r.Attributes.plain(t)
				return marshal(taken{r.Body.plain(t).(string), a["timestamp"].(float64), a["ddtags"].(string), nil}) //nolint:forcetypeassert // else the test fails
			})
		},
		expected: func(s *scene) []string {
			var list []string
			s.entries(func(e *event.Entry) {
				who := e.Actor.Name
				if len(who) == 0 {
					who = e.Actor.ID
				}
				list = append(list, marshal(taken{
					string(e.Action) + " by " + string(who), float64(time.Unix(0, e.OccurredAt).UnixMilli()), "env:prod,organization:" + organization, nil,
				}))
			})
			return list
		},
	})
	var got []string
	for _, body := range wire.accepted() {
		var logs []taken
		if err := json.Unmarshal(body, &logs); err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if !isTest(string(l.Stele)) {
				got = append(got, string(l.Stele))
			}
		}
	}
	sameEvents(t, got, s.native())
}

// TestOTLPCollector delivers to the OTLP receiver of the collector.
func TestOTLPCollector(t *testing.T) {
	t.Parallel()
	const token = "t0ken-of-the-customer"
	c := newCollector(t, `bearertokenauth: {token: `+token+`}`, "bearertokenauth",
		`otlp: {protocols: {http: {endpoint: "{listen}", auth: {authenticator: bearertokenauth}, tls: {cert_file: "{cert}", key_file: "{key}"}}}}`)
	settings := func(token string) sink.Values {
		return sink.Values{"url": "https://" + c.address, "headers": "Authorization: Bearer " + token, "ca_certificate": c.cert.pem}
	}
	s := roundTrip(t, receiver{
		kind: "otlp", settings: settings(token), wrong: settings("another-token"), says: "Check the headers",
		start: c.start, stop: c.stop, expected: (*scene).native,
		received: func() []string {
			return c.bodies(func(r otlpRecord) string {
				text, _ := r.Body.plain(t).(string)
				return text
			})
		},
	})
	var records []otlpRecord
	for _, r := range c.records() {
		if r.EventName != stream.TestAction {
			records = append(records, r)
		}
	}
	i := 0
	s.entries(func(e *event.Entry) {
		r := records[i]
		i++
		a := r.Attributes.plain(t)
		if r.Time == "" {
			r.Time = "0" // which OTLP's JSON leaves out
		}
		got := []any{r.EventName, r.Time, r.Observed, a["event.id"], a["stele.seq"], a["enduser.id"]}
		want := []any{
			string(e.Action), strconv.FormatInt(e.OccurredAt, 10), strconv.FormatInt(e.ReceivedAt*1e6, 10), e.ID.String(), float64(e.Seq), string(e.Actor.ID),
		}
		if !slices.Equal(got, want) {
			t.Errorf("event %d: got %v, want %v", e.Seq, got, want)
		}
	})
}
