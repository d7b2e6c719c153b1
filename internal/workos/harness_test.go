package workos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/catalog"
)

const rootKey = "sk_a_root_key_for_these_tests"

// site is a whole server on a data directory of its own.
type site struct {
	*app.App
	t    *testing.T
	url  string
	late atomic.Int64 // how far the clock is ahead, in nanoseconds
}

// open starts a server. change, when not nil, changes its settings.
func open(t *testing.T, change func(*app.Config)) *site {
	t.Helper()
	s := &site{t: t}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	s.url = front.URL
	cfg := app.Config{
		Data: t.TempDir(), PublicURL: front.URL, RootKey: rootKey, SchemaMode: "warn",
		IdempotencyWindow: 24 * time.Hour, ExportKeep: time.Hour, CacheMiB: 8,
		Now: func() time.Time { return time.Now().Add(time.Duration(s.late.Load())) },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.App, err = app.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		front.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pass lets time go by.
func (s *site) pass(d time.Duration) { s.late.Add(int64(d)) }

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	text   string
}

// ask sends a request with the root key, and a header or two given as "Name:
// value". Of every answer it holds the form.
func (s *site) ask(method, path, body string, headers ...string) answer {
	s.t.Helper()
	return s.askAs(rootKey, method, path, body, headers...)
}

func (s *site) askAs(key, method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(key, method, path, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		s.t.Errorf("%s %s: content type %q", method, path, got)
	}
	if a.header.Get("X-Request-Id") == "" {
		s.t.Errorf("%s %s: no request id", method, path)
	}
	return a
}

// try is askAs for goroutines other than the test's.
func (s *site) try(key, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json") // SDKs send it with GET too
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, header: res.Header, text: string(text)}, errors.Join(err, res.Body.Close())
}

// want compares an answer, as JSON.
func (a answer) want(t *testing.T, status int, body string) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal([]byte(a.text), &got); err != nil {
		t.Fatalf("not JSON: %d %s", a.status, a.text)
	}
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); a.status != status || diff != "" {
		t.Errorf("status %d, want %d (-want +got)\n%s", a.status, status, diff)
	}
}

// ok decodes a good answer.
func (a answer) ok(t *testing.T, status int, out any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.text)
	}
	if err := json.Unmarshal([]byte(a.text), out); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
}

// message is the answer's message, and its status.
func (a answer) message(t *testing.T) (int, string) {
	t.Helper()
	var body struct{ Message string }
	if err := json.Unmarshal([]byte(a.text), &body); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
	return a.status, body.Message
}

// organization makes one in the catalog.
func (s *site) organization(o catalog.Organization) *catalog.Organization {
	s.t.Helper()
	if o.Name == "" {
		o.Name = "Acme"
	}
	o.RetentionDays = catalog.DefaultRetentionDays
	made, err := s.Catalog.CreateOrganization(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// setState changes the state of org_1.
func (s *site) setState(state catalog.State) {
	s.t.Helper()
	_, err := s.Catalog.UpdateOrganization(s.t.Context(), "org_1", func(o *catalog.Organization) error {
		o.State = state
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// key makes a key, limited to an organization unless that is "".
func (s *site) key(role catalog.Role, organization string) string {
	s.t.Helper()
	secret, _, err := s.Auth.CreateKey(s.t.Context(), catalog.Key{Name: "test", Role: role, Organization: organization})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

// action registers an action: targets of type team; in the metadata of the event
// members is a number and note a string, in that of the team size is a number.
func (s *site) action(name string) {
	s.t.Helper()
	s.ask("POST", "/audit_logs/actions/"+name+"/schemas", `{"targets":[{"type":"team","metadata":{"type":"object","properties":{"size":{"type":"number"}}}}],
		"metadata":{"type":"object","properties":{"members":{"type":"number"},"note":{"type":"string"}}}}`).ok(s.t, 201, new(any))
}

// eventBody is a create-event request for an action of (*site).action; extra are
// members that replace those of the event, such as `"version":2`.
func eventBody(org, action, extra string) string {
	event := map[string]json.RawMessage{}
	members := `"action":"` + action + `","occurred_at":"2026-01-15T12:00:00.123Z","actor":{"id":"user_1","type":"user","name":"Ada"},` +
		`"targets":[{"id":"team_1","type":"team","name":"Core"}],"context":{"location":"203.0.113.7"}`
	for _, part := range []string{members, extra} {
		if err := json.Unmarshal([]byte("{"+part+"}"), &event); err != nil {
			panic(err)
		}
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(map[string]any{"organization_id": org, "event": event}); err != nil {
		panic(err)
	}
	return b.String()
}

// send records an event and must succeed.
func (s *site) send(org, action, extra string, headers ...string) {
	s.t.Helper()
	s.ask("POST", "/audit_logs/events", eventBody(org, action, extra), headers...).want(s.t, 201, `{"success":true}`)
}

// entries are all entries of an organization, oldest first.
func (s *site) entries(org string) []audit.Entry {
	s.t.Helper()
	through, err := s.Ledger.Through(s.t.Context(), org)
	if err != nil {
		s.t.Fatal(err)
	}
	if through == nil {
		return nil
	}
	var all []audit.Entry
	for e, err := range s.Ledger.Read(s.t.Context(), org, 0, through.Seq+1) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e.Audit(org))
	}
	return all
}

// wantEntries compares the number of an organization's entries.
func (s *site) wantEntries(org string, n int) {
	s.t.Helper()
	if got := len(s.entries(org)); got != n {
		s.t.Errorf("%d entries, want %d", got, n)
	}
}
