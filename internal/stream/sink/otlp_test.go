package sink

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// collector is a strict receiver of OTLP, that reads by the published types.
type collector struct {
	t *testing.T

	mu       sync.Mutex
	poison   map[string]bool // ids of the records that it refuses
	json     bool
	requests int
	largest  int
	events   []string
	last     *logs.LogRecord
	resource string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer otlpsecret" || r.Header.Get("X-Scope-Orgid") != "acme" {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	var req collogs.ExportLogsServiceRequest
	body, err := readBody(r)
	if err != nil || r.URL.Path != "/otlp/v1/logs" || r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "gzip" ||
		r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &req) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if len(body) > 4<<20 {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	c.requests++
	n, refused := 0, int64(0)
	for _, rl := range req.GetResourceLogs() {
		c.resource = attribute(rl.GetResource().GetAttributes(), "stele.organization.id")
		for _, sl := range rl.GetScopeLogs() {
			for _, rec := range sl.GetLogRecords() {
				n++
				c.last = rec
				if c.poison[attribute(rec.GetAttributes(), "event.id")] {
					refused++
					continue
				}
				c.events = append(c.events, rec.GetBody().GetStringValue())
			}
		}
	}
	c.largest = max(c.largest, n)
	c.answer(w, refused)
}

func (c *collector) answer(w http.ResponseWriter, refused int64) {
	if c.json {
		w.Header().Set("Content-Type", "application/json")
		answerf(w, `{"partialSuccess":{"rejectedLogRecords":"%d","errorMessage":"entry too old"}}`, refused)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	res := &collogs.ExportLogsServiceResponse{}
	if refused > 0 {
		res.PartialSuccess = &collogs.ExportLogsPartialSuccess{RejectedLogRecords: refused, ErrorMessage: "entry too old"}
	}
	text, err := proto.Marshal(res)
	if err != nil {
		c.t.Error(err)
	}
	_, _ = w.Write(text)
}

func attribute(list []*common.KeyValue, key string) string {
	for _, kv := range list {
		if kv.GetKey() == key {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

func otlpSettings(url, ca string) Values {
	return Values{"url": url + "/otlp", "ca_certificate": ca, "headers": "Authorization: Bearer otlpsecret\nX-Scope-OrgID: acme\n"}
}

func TestOTLP(t *testing.T) {
	c := &collector{t: t}
	checkHTTP(t, httpCase{
		kind: OTLP(), receiver: c, settings: otlpSettings, arrived: func() []string { return c.events },
		wrong: "headers", value: "Authorization: Bearer wrongsecret", says: "Check the headers", secrets: []string{"otlpsecret"},
		// The protocol names what may be sent again: 429, 502, 503, 504.
		own: map[int]Class{408: Invalid, 425: Invalid, 500: Invalid},
	})
	if c.resource != "org_1" || c.last.GetEventName() != "api_key.created" || c.last.GetTimeUnixNano() != 1795170600042123456 ||
		attribute(c.last.GetAttributes(), "event.id") != "01KAF000000000000000000042" {
		t.Errorf("%s: %v", c.resource, c.last)
	}
	srv, ca := server(t, c)
	v := otlpSettings(srv.URL, ca)
	v["url"] += "/v1/logs/"
	s := open(t, OTLP(), v)
	send(t, s, checkpoint())
	if got := c.last.GetBody().GetStringValue(); !strings.Contains(got, "stele.checkpoint") || c.last.GetEventName() != "stele.checkpoint" {
		t.Errorf("checkpoint: %v", c.last)
	}
	c.events, c.requests, c.largest = nil, 0, 0
	b := batch(t, 0, 1000)
	b.Replay = "rp_1"
	send(t, s, b)
	wantEvents(t, c.events, b)
	if c.requests != 5 || c.largest != otlpRequest || attribute(c.last.GetAttributes(), "stele.replay") != "true" {
		t.Errorf("%d requests of at most %d records: %v", c.requests, c.largest, c.last)
	}
}

// TestOTLPPartial: what was refused is not sent again by itself, and when it is
// asked for, one by one.
func TestOTLPPartial(t *testing.T) {
	for _, inJSON := range []bool{false, true} {
		c := &collector{t: t, json: inJSON, poison: map[string]bool{}}
		srv, ca := server(t, c)
		s := open(t, OTLP(), otlpSettings(srv.URL, ca))
		b := batch(t, 0, 500)
		poison := b.Events[333]
		c.poison[poison.ID.String()] = true
		e := refuse(t, s, b, Rejected, "entry too old", "does not say which")
		if !e.RestTaken || len(e.Rejected) != otlpRequest || e.Rejected[0].Index != 200 || e.Rejected[199].Index != 399 ||
			!strings.Contains(e.Rejected[7].Text, "1 of 200") || len(c.events) != 499 || c.requests != 3 {
			t.Fatalf("json %v: %d rejected, first %+v; %d arrived in %d requests", inJSON, len(e.Rejected), e.Rejected[0], len(c.events), c.requests)
		}
		again := batch(t, 300, 200) // half of which it is not known
		e = refuse(t, s, again, Rejected)
		if len(e.Rejected) != 1 || e.Rejected[0].Index != 33 || e.Rejected[0].Text != "entry too old" || c.requests != 3+100+1 {
			t.Errorf("json %v: %+v in %d requests", inJSON, e.Rejected, c.requests)
		}
		// The others were taken: nothing has a request of its own any more but
		// those of which it is still not known.
		c.requests = 0
		c.poison = nil
		send(t, s, batch(t, 300, 100))
		send(t, s, batch(t, 200, 50))
		if c.requests != 1+50 {
			t.Errorf("json %v: %d requests", inJSON, c.requests)
		}
	}
}

// TestOTLPWords: a failure's body is a google.rpc.Status.
func TestOTLPWords(t *testing.T) {
	status := append([]byte{0x08, 3, 0x12, '('}, "the queue of this collector is full now!"...)
	srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(status)
	}))
	s := open(t, OTLP(), Values{"url": srv.URL, "ca_certificate": ca})
	refuse(t, s, batch(t, 0, 1), Retry, "503 (Service Unavailable): the queue of this collector is full now!. It will be sent again.")
	if a, err := s.Send(t.Context(), batch(t, 0, 1)); err == nil || a.Text != "the queue of this collector is full now!" {
		t.Errorf("%q", a.Text)
	}
	k := OTLP()
	for _, bad := range []string{"Authorization", "Authorization:", ": x", "Content-Type: text/plain", "A b: c", "A: \u00fc"} {
		if _, err := k.Resolve(Values{"url": "https://o.example", "headers": bad}); fieldOf(err) != "/settings/headers" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// FuzzOTLPAnswer: the reader of answers agrees with the published types on what
// they take, and survives everything.
func FuzzOTLPAnswer(f *testing.F) {
	text, err := proto.Marshal(&collogs.ExportLogsServiceResponse{
		PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: 3, ErrorMessage: "no"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := &reply{header: http.Header{"Content-Type": {"application/x-protobuf"}}, body: body}
		n, words := otlpPartial(r)
		var want collogs.ExportLogsServiceResponse
		if proto.Unmarshal(body, &want) != nil {
			return
		}
		p := want.GetPartialSuccess()
		if w := p.GetRejectedLogRecords(); w > 0 && w < 1<<62 && (fmt.Sprint(n) != fmt.Sprint(w) || words != p.GetErrorMessage()) {
			t.Errorf("%x: %d %q, want %v", body, n, words, p)
		}
	})
}
