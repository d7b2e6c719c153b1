package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const secopsPath = "/v1beta/projects/acme-secops/locations/eu/instances/01234567-89ab-cdef-0123-456789abcdef/logTypes/STELE_AUDIT_CUSTOM/logs:import"

// secopsFake is a strict instance of Google SecOps with the authority for its
// tokens, by the reference of the method logs.import.
type secopsFake struct {
	t    *testing.T
	auth *gcsFake // its authority

	mu     sync.Mutex
	events []string
	last   secopsLog
	source string
	words  string // of a 400
}

// secopsLog is the resource Log.
type secopsLog struct {
	Data                 []byte
	LogEntryTime         time.Time
	CollectionTime       time.Time
	EnvironmentNamespace string
	Labels               map[string]struct{ Value string }
}

func (s *secopsFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(status int, code, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		answerf(w, `{"error":{"code":%d,"message":%q,"status":%q}}`, status, text, code)
	}
	if r.URL.Path == "/token" {
		s.auth.token(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	var req struct {
		InlineSource struct {
			Forwarder string
			Logs      []secopsLog
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	switch {
	case err != nil || r.Header.Get("Authorization") != fmt.Sprintf("Bearer ya29.token-%d", s.auth.tokens):
		refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case r.URL.Path != secopsPath || r.Method != http.MethodPost:
		refuse(404, "NOT_FOUND", "Requested entity was not found.")
	case len(body) > 1<<20:
		refuse(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 1048576 bytes.")
	case s.words != "":
		refuse(400, "INVALID_ARGUMENT", s.words)
	case dec.Decode(&req) != nil || len(req.InlineSource.Logs) == 0:
		refuse(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")
	default:
		for _, l := range req.InlineSource.Logs {
			if !l.CollectionTime.After(l.LogEntryTime) || l.LogEntryTime.IsZero() || len(l.Data) == 0 {
				refuse(400, "INVALID_ARGUMENT", "collection_time must be after log_entry_time")
				return
			}
			s.last = l
			s.events = append(s.events, string(l.Data))
		}
		s.source = req.InlineSource.Forwarder
		answerf(w, "{}")
	}
}

func (s *secopsFake) settings(url, ca string) Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth.aud, s.auth.scope = url+"/token", "https://www.googleapis.com/auth/cloud-platform"
	return Values{
		"endpoint": url, "ca_certificate": ca, "project": "acme-secops", "location": "eu", "instance": "01234567-89ab-cdef-0123-456789abcdef",
		"service_account": account(s.t, s.auth.key, url), "namespace": "acme",
	}
}

func TestSecOps(t *testing.T) {
	s := &secopsFake{t: t, auth: newGCSFake(t)}
	checkHTTP(t, httpCase{
		kind: SecOps(), receiver: s, settings: s.settings, arrived: func() []string { return s.events },
		wrong: "instance", value: "ffffffff-89ab-cdef-0123-456789abcdef", says: "customer ID", secrets: []string{"ya29.token-1"},
	})
	if s.last.EnvironmentNamespace != "acme" || s.last.Labels["event_id"].Value != "01KAF000000000000000000042" ||
		s.last.Labels["organization_id"].Value != "org_1" || s.last.LogEntryTime.Format(time.RFC3339Nano) != "2026-11-20T10:30:00.042123Z" {
		t.Errorf("log %+v", s.last)
	}
}

func TestSecOpsWords(t *testing.T) {
	s := &secopsFake{t: t, auth: newGCSFake(t)}
	srv, ca := server(t, s)
	v := s.settings(srv.URL, ca)
	v["forwarder"] = "aaaaaaaa-89ab-cdef-0123-456789abcdef"
	k := open(t, SecOps(), v)
	full := batch(t, 0, 100)
	send(t, k, full)
	if want := "projects/acme-secops/locations/eu/instances/01234567-89ab-cdef-0123-456789abcdef/forwarders/aaaaaaaa-89ab-cdef-0123-456789abcdef"; s.source != want {
		t.Errorf("forwarder %s", s.source)
	}
	send(t, k, checkpoint())
	if got := s.last; !got.CollectionTime.After(got.LogEntryTime) || len(got.Labels) != 1 {
		t.Errorf("checkpoint %+v", got)
	}
	s.words = "Log type STELE_AUDIT_CUSTOM does not exist."
	refuse(t, k, full, Invalid, "Log type STELE_AUDIT_CUSTOM does not exist. Check log type")
	s.words = "Log entry is malformed."
	refuse(t, k, full, Malformed, "400 (Bad Request): Log entry is malformed. It does not")

	kind := SecOps()
	var wrong []string
	for name, value := range map[string]string{"project": "A", "location": "a/b", "instance": "x", "log_type": "a b", "forwarder": "x", "endpoint": "http://x"} {
		bad := s.settings("https://x.example", "")
		bad[name] = value
		if _, err := kind.Resolve(bad); fieldOf(err) != "/settings/"+name {
			wrong = append(wrong, name)
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		t.Errorf("taken: %v", wrong)
	}
}
