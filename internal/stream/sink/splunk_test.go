package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const hecToken = "b8f9d1c2-0000-4000-8000-123456789abc"

// hec is a strict HTTP Event Collector: its codes, its channel, its
// acknowledgements.
type hec struct {
	t     *testing.T
	acks  bool
	polls int // how often an ackId is asked for before it is confirmed
	bad   string

	mu       sync.Mutex
	pending  map[string]map[uint64]int
	next     uint64
	events   []string
	requests int
	last     map[string]json.RawMessage
}

// set changes how it answers: a request that was given up may still be with it.
func (h *hec) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *hec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	say := func(status, code int, text, more string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		answerf(w, `{"text":%q,"code":%d%s}`, text, code, more)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case token == "":
		say(401, 2, "Token is required", "")
		return
	case scheme != "Splunk":
		say(401, 3, "Invalid authorization", "")
		return
	case token != hecToken:
		say(403, 4, "Invalid token", "")
		return
	}
	body, err := readBody(r)
	if err != nil || r.Method != http.MethodPost {
		say(400, 6, "Invalid data format", "")
		return
	}
	channel := r.Header.Get("X-Splunk-Request-Channel")
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(channel) {
		say(400, 11, "Invalid data channel", "")
		return
	}
	switch r.URL.Path {
	case "/services/collector/event":
		h.collect(channel, body, say)
	case "/services/collector/ack":
		h.acknowledge(w, r.URL.Query().Get("channel"), body)
	default:
		http.Error(w, "<html>not found</html>", http.StatusNotFound)
	}
}

func (h *hec) collect(channel string, body []byte, say func(status, code int, text, more string)) {
	if len(body) > splunkRequestBytes || bytes.HasPrefix(body, []byte("[")) {
		h.t.Errorf("a body of %d bytes that begins with %q", len(body), body[:1])
	}
	h.requests++
	var got []string
	d := json.NewDecoder(bytes.NewReader(body))
	for n := 0; ; n++ {
		var e map[string]json.RawMessage
		if err := d.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			say(400, 6, "Invalid data format", fmt.Sprintf(`,"invalid-event-number":%d`, n))
			return
		}
		if !regexp.MustCompile(`^[0-9]{10}\.[0-9]{6}$`).Match(e["time"]) {
			say(400, 15, "Error in handling indexed fields", fmt.Sprintf(`,"invalid-event-number":%d`, n))
			return
		}
		var fields map[string]string
		if err := json.Unmarshal(e["fields"], &fields); err != nil {
			say(400, 15, "Error in handling indexed fields", "")
			return
		}
		if h.bad != "" && strings.Contains(string(e["event"]), h.bad) {
			say(400, 13, "Event field cannot be blank", fmt.Sprintf(`,"invalid-event-number":%d`, n))
			return
		}
		if string(e["index"]) == `"forbidden"` {
			say(400, 7, "Incorrect index", `,"invalid-event-number":1`)
			return
		}
		got = append(got, string(e["event"]))
		h.last = e
	}
	if len(got) == 0 {
		say(400, 5, "No data", "")
		return
	}
	h.events = append(h.events, got...)
	if !h.acks {
		say(200, 0, "Success", "")
		return
	}
	if h.pending == nil {
		h.pending = map[string]map[uint64]int{}
	}
	if h.pending[channel] == nil {
		h.pending[channel] = map[uint64]int{}
	}
	h.pending[channel][h.next] = h.polls
	say(200, 0, "Success", fmt.Sprintf(`,"ackId":%d`, h.next))
	h.next++
}

func (h *hec) acknowledge(w http.ResponseWriter, channel string, body []byte) {
	var ask struct{ Acks []uint64 }
	if err := json.Unmarshal(body, &ask); err != nil || len(ask.Acks) == 0 {
		h.t.Errorf("asked for acknowledgements with %s", body)
	}
	told := map[string]bool{}
	for _, id := range ask.Acks {
		left, known := h.pending[channel][id]
		told[fmt.Sprint(id)] = known && left == 0
		if known && left == 0 {
			delete(h.pending[channel], id) // told once
		} else if known {
			h.pending[channel][id] = left - 1
		}
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"acks": told}); err != nil {
		h.t.Error(err)
	}
}

func hecSettings(url, ca string) Values {
	return Values{"url": url, "ca_certificate": ca, "token": hecToken}
}

func TestSplunk(t *testing.T) {
	h := &hec{t: t}
	checkHTTP(t, httpCase{
		kind: Splunk(), receiver: h, arrived: func() []string { return h.events }, settings: hecSettings,
		wrong: "token", value: "11111111-0000-4000-8000-123456789abc", says: "Copy the token again",
		secrets: []string{hecToken},
	})
	want := map[string]string{
		"time": "1795170600.042123", "host": `"audit.example.com"`, "source": `"stele:org_1"`, "sourcetype": `"stele:event"`,
		"fields": `{"event_id":"01KAF000000000000000000042","organization_id":"org_1"}`,
	}
	for name, text := range want {
		if string(h.last[name]) != text {
			t.Errorf("%s is %s, want %s", name, h.last[name], text)
		}
	}
}

// TestSplunkAcknowledgement: a batch of several requests counts when the last of
// them is confirmed, and not before.
func TestSplunkAcknowledgement(t *testing.T) {
	h := &hec{t: t, acks: true, polls: 2}
	srv, ca := server(t, h)
	s := open(t, Splunk(), hecSettings(srv.URL, ca)).(*splunk)
	s.poll = splunkPoll{first: time.Millisecond, most: 2 * time.Millisecond}
	b := batch(t, 0, 2500)
	send(t, s, b)
	wantEvents(t, h.events, b)
	if h.requests < 3 {
		t.Errorf("%d requests for 2500 events", h.requests)
	}
	for _, left := range h.pending {
		if len(left) != 0 {
			t.Errorf("%d acknowledgements were not waited for", len(left))
		}
	}

	// It never confirms: not delivered, and the next attempt has a channel of its own.
	h.set(func() { h.polls = 1 << 30 })
	channel := s.channel
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Send(ctx, batch(t, 0, 1))
	if e := AsError(err); err == nil || e.Class != Retry || e.Code != "ack_timeout" && e.Code != "timeout" {
		t.Errorf("never confirmed: %v", err)
	} else if e.Code == "ack_timeout" && s.channel == channel {
		t.Error("the channel that lost an acknowledgement is used again")
	}

	// What it says against the question is not about the events: none is given up.
	odd, oddCA := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/services/collector/ack" {
			http.Error(w, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, http.StatusBadRequest)
			return
		}
		answerf(w, `{"text":"Success","code":0,"ackId":1}`)
	}))
	refuse(t, open(t, Splunk(), hecSettings(odd.URL, oddCA)), batch(t, 0, 2), Invalid, "code 6")

	// Asked not to wait.
	v := hecSettings(srv.URL, ca)
	v["acknowledgement"] = "off"
	send(t, open(t, Splunk(), v), batch(t, 0, 1))

	// Required, and the token has none.
	h.set(func() { h.acks = false })
	v["acknowledgement"] = "required"
	refuse(t, open(t, Splunk(), v), batch(t, 0, 1), Invalid, "Switch on indexer acknowledgement")
}

// TestSplunkNamesTheEvent: the place that Splunk gives is one in its request;
// the engine gets the one in the batch.
func TestSplunkNamesTheEvent(t *testing.T) {
	h := &hec{t: t, bad: `"k1900"`}
	srv, ca := server(t, h)
	e := refuse(t, open(t, Splunk(), hecSettings(srv.URL, ca)), batch(t, 0, 2500), Rejected, "Event field cannot be blank")
	if len(e.Rejected) != 1 || e.Rejected[0].Index != 1900 || e.RestTaken || e.Rejected[0].Code != "13" {
		t.Errorf("%+v", e)
	}
}

func TestSplunkIndex(t *testing.T) {
	srv, ca := server(t, &hec{t: t})
	v := hecSettings(srv.URL, ca)
	v["index"] = "forbidden"
	refuse(t, open(t, Splunk(), v), batch(t, 0, 2), Invalid, "Incorrect index", "Allow the token")
}

// TestSplunkCodes holds the table to HEC's documentation.
func TestSplunkCodes(t *testing.T) {
	for code, c := range map[int]struct {
		status int
		class  Class
	}{
		1: {403, Invalid}, 2: {401, Invalid}, 3: {401, Invalid}, 4: {403, Invalid}, 5: {400, Malformed}, 6: {400, Malformed},
		7: {400, Invalid}, 8: {500, Retry}, 9: {503, RateLimited}, 10: {400, Invalid}, 11: {400, Invalid}, 12: {400, Malformed},
		13: {400, Malformed}, 14: {400, Invalid}, 15: {400, Malformed}, 16: {400, Invalid}, 99: {400, Malformed}, 98: {503, Retry},
	} {
		srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			answerf(w, `{"text":"what Splunk says","code":%d}`, code)
		}))
		refuse(t, open(t, Splunk(), hecSettings(srv.URL, ca)), batch(t, 0, 1), c.class, "what Splunk says")
	}
}
