package sink

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const ddKey = "0123456789abcdef0123456789abcdef"

// ddIntake is a strict intake of logs.
type ddIntake struct {
	t      *testing.T
	mu     sync.Mutex
	events []string
	last   map[string]json.RawMessage
}

func (d *ddIntake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Dd-Api-Key") != ddKey {
		http.Error(w, `{"errors":[{"status":"403","title":"Forbidden","detail":"API key is invalid"}]}`, http.StatusForbidden)
		return
	}
	body, err := readBody(r)
	var logs []map[string]json.RawMessage
	if err != nil || r.URL.Path != "/api/v2/logs" || r.Method != http.MethodPost || json.Unmarshal(body, &logs) != nil ||
		r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if len(logs) > 1000 || len(body) > 5_000_000 {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range logs {
		var ms int64
		if err := json.Unmarshal(l["timestamp"], &ms); err != nil {
			d.t.Errorf("timestamp %s: %v", l["timestamp"], err)
		}
		if age := clock().Sub(time.UnixMilli(ms)); age > 18*time.Hour || age < -2*time.Hour {
			d.t.Errorf("a log of %s ago", age)
		}
		d.events = append(d.events, string(l["stele"]))
		d.last = l
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte("{}"))
}

func TestDatadog(t *testing.T) {
	d := &ddIntake{t: t}
	settings := func(url, ca string) Values {
		return Values{"url": url, "ca_certificate": ca, "api_key": ddKey, "tags": "env:prod"}
	}
	checkHTTP(t, httpCase{
		kind: Datadog(), receiver: d, arrived: func() []string { return d.events }, settings: settings,
		wrong: "api_key", value: "ffffffffffffffffffffffffffffffff", says: "Check the API key", secrets: []string{ddKey},
	})
	for name, text := range map[string]string{
		"ddsource": `"stele"`, "ddtags": `"env:prod,organization:org_1"`, "service": `"audit-logs"`, "hostname": `"audit.example.com"`,
		"timestamp": "1795170600042", "message": `"api_key.created by Ann \"A\" Lee"`, "evt": `{"name":"api_key.created"}`,
		"usr": `{"id":"u1","name":"Ann \"A\" Lee"}`, "network": `{"client":{"ip":"203.0.113.7"}}`, "event_id": `"01KAF000000000000000000042"`,
		"http": `{"useragent":"Mozilla/5.0 \u003cx\u003e"}`,
	} {
		if string(d.last[name]) != text {
			t.Errorf("%s is %s, want %s", name, d.last[name], text)
		}
	}
	srv, ca := server(t, d)
	s := open(t, Datadog(), settings(srv.URL, ca))
	if l := s.Limits(); l.MaxEvents > 1000 || l.MaxBytes > 5_000_000 || l.OldestEvent > 18*time.Hour || l.OldestEvent < 17*time.Hour {
		t.Errorf("limits %+v", l)
	}
	send(t, s, checkpoint())
	if got := string(d.last["stele"]); !strings.Contains(got, "stele.checkpoint") {
		t.Errorf("checkpoint: %s", got)
	}
	cef := &Batch{Events: []Event{{Encoded: []byte(`CEF:0|"|`), OccurredAt: clock()}}}
	send(t, s, cef)
	if got := string(d.last["message"]); got != `"CEF:0|\"|"` {
		t.Errorf("CEF: %s", got)
	}
}
