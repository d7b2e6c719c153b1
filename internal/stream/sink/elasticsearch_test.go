package sink

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// bulk is a strict data stream behind the bulk API.
type bulk struct {
	t     *testing.T
	fault map[string]int // status of the event with this id

	mu     sync.Mutex
	seen   map[string]bool
	events []string
}

func (s *bulk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The id and key of the settings, in Base64.
	if r.Header.Get("Authorization") != "ApiKey a2V5aWQ6a2V5c2VjcmV0" {
		w.WriteHeader(http.StatusUnauthorized)
		answerf(w, `{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}`)
		return
	}
	body, err := readBody(r)
	if err != nil || r.URL.Path != "/logs-stele.events-default/_bulk" || !bytes.HasSuffix(body, []byte("\n")) ||
		r.Header.Get("Content-Type") != "application/x-ndjson" {
		s.t.Errorf("%s %v", r.URL, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	failed := false
	var items []string
	for i := 0; i < len(lines); i += 2 {
		var op struct {
			Create struct {
				ID string `json:"_id"`
			}
		}
		if err := json.Unmarshal(lines[i], &op); err != nil || op.Create.ID == "" {
			s.t.Fatalf("action %s", lines[i])
		}
		rest, ok := strings.CutPrefix(string(lines[i+1]), `{"@timestamp":"2026-11-20T10:30:`)
		_, doc, _ := strings.Cut(rest, `",`)
		status, more := 201, ""
		switch id := op.Create.ID; {
		case !ok:
			s.t.Errorf("document %s", lines[i+1])
		case s.fault[id] != 0:
			status, more = s.fault[id], `,"error":{"type":"document_parsing_exception","reason":"failed to parse field [x]"}`
			failed = true
		case s.seen[id]:
			status, more = 409, `,"error":{"type":"version_conflict_engine_exception","reason":"document already exists"}`
			failed = true
		default:
			s.seen[id] = true
			s.events = append(s.events, "{"+doc)
		}
		text, _ := json.Marshal(status)
		items = append(items, `{"create":{"status":`+string(text)+more+`}}`)
	}
	answerf(w, `{"errors":%v,"items":[%s]}`, failed, strings.Join(items, ","))
}

func elasticSettings(url, ca string) Values {
	return Values{"url": url, "ca_certificate": ca, "api_key": "keyid:keysecret"}
}

func TestElasticsearch(t *testing.T) {
	s := &bulk{t: t, seen: map[string]bool{}}
	checkHTTP(t, httpCase{
		kind: Elasticsearch(), receiver: s, settings: elasticSettings, arrived: func() []string { return s.events },
		wrong: "api_key", value: "keyid:wrongwrong", says: "Check the API key",
		secrets: []string{"keyid:keysecret", "a2V5aWQ6a2V5c2VjcmV0"},
	})
}

// TestElasticsearchPartial: what a batch's events are answered one by one.
func TestElasticsearchPartial(t *testing.T) {
	s := &bulk{t: t, seen: map[string]bool{}, fault: map[string]int{}}
	srv, ca := server(t, s)
	k := open(t, Elasticsearch(), elasticSettings(srv.URL, ca))
	b := batch(t, 0, 5)
	send(t, k, b)
	send(t, k, b) // 409 for each: delivered
	wantEvents(t, s.events, b)

	b = batch(t, 5, 5)
	s.fault[b.Events[1].ID.String()] = 429
	refuse(t, k, b, RateLimited, "failed to parse field [x]")
	s.fault[b.Events[1].ID.String()] = 400
	e := refuse(t, k, b, Rejected, "failed to parse field [x]", "mapping")
	if !e.RestTaken || len(e.Rejected) != 1 || e.Rejected[0].Index != 1 || e.Rejected[0].Code != "400" {
		t.Errorf("%+v", e)
	}
	s.fault[b.Events[2].ID.String()] = 503
	refuse(t, k, b, Retry)
	if len(s.events) != 5+4 {
		t.Errorf("%d events are there", len(s.events))
	}
}

func TestElasticsearchStrangers(t *testing.T) {
	srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerf(w, "<html>Kibana</html>") }))
	refuse(t, open(t, Elasticsearch(), elasticSettings(srv.URL, ca)), batch(t, 0, 1), Retry, "no answer to a bulk request")
	for name, v := range map[string]Values{
		"no credentials": {"url": "https://e.example"}, "both": {"url": "https://e.example", "api_key": "k", "username": "u", "password": "p"},
		"no password": {"url": "https://e.example", "username": "u"}, "index": {"url": "https://e.example", "api_key": "k", "index": "Logs/*"},
	} {
		k := Elasticsearch()
		if _, err := k.Resolve(v); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
