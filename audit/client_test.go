package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

// fake is a server that answers from a list, and remembers what it was asked.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	answers []http.HandlerFunc
	asked   []asked
	waits   []time.Duration
}

type asked struct {
	Method, Target, Body string
	Header               http.Header
}

// newFake answers with each of the answers once, and then fails the test.
func newFake(t *testing.T, answers ...http.HandlerFunc) (*fake, *audit.Client) {
	t.Helper()
	f := &fake{answers: answers}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request: %v", err)
		}
		f.mu.Lock()
		f.asked = append(f.asked, asked{r.Method, r.URL.RequestURI(), string(body), r.Header})
		n := len(f.asked) - 1
		f.mu.Unlock()
		if n >= len(answers) {
			t.Errorf("asked once more: %s %s", r.Method, r.URL.RequestURI())
			n = len(answers) - 1
		}
		answers[n](w, r)
	}))
	f.Config.SetKeepAlivesEnabled(false) // or net/http tries again by itself
	t.Cleanup(f.Close)
	c := audit.NewClient(f.URL+"/", "sk_1")
	c.SetWait(func(_ context.Context, d time.Duration) error {
		f.waits = append(f.waits, d)
		return nil
	})
	return f, c
}

func (f *fake) targets() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, a := range f.asked {
		out = append(out, a.Method+" "+a.Target)
	}
	return out
}

func ok(body string) http.HandlerFunc { return status(http.StatusOK, body) }

func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp closes the connection without an answer, or in the middle of one.
func hangUp(part string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if part != "" {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

func wantTargets(t *testing.T, f *fake, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.targets()); diff != "" {
		t.Error(diff)
	}
}

const receiptJSON = `{"entries":[{"id":"01A","seq":7,"received_at":"2026-03-01T09:30:00.123Z"}],"complete_through":{"seq":7,"received_at":"2026-03-01T09:30:00.123Z"}}`

func someEvent() audit.Event { return sample().Event }

func TestClientRecord(t *testing.T) {
	f, c := newFake(t, status(http.StatusCreated, receiptJSON))
	got, err := c.Record(t.Context(), "org/1", someEvent())
	want := audit.Receipt{ID: "01A", Seq: 7, ReceivedAt: time.Date(2026, 3, 1, 9, 30, 0, 123e6, time.UTC)}
	if err != nil || got != want {
		t.Errorf("%+v, error %v", got, err)
	}
	wantTargets(t, f, "POST /v1/organizations/org%2F1/events")
	a := f.asked[0]
	if a.Header.Get("Authorization") != "Bearer sk_1" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", a.Header)
	}
	var sent audit.Event
	if err := json.Unmarshal([]byte(a.Body), &sent); err != nil {
		t.Fatal(err)
	}
	if len(sent.IdempotencyKey) < 20 {
		t.Errorf("idempotency key %q", sent.IdempotencyKey)
	}
}

// TestClientRecordRepeats: the same event goes with the same key each time.
func TestClientRecordRepeats(t *testing.T) {
	f, c := newFake(t,
		hangUp(""), hangUp(`{"entries":`), status(http.StatusBadGateway, "<html>"), status(http.StatusTooManyRequests, "{}", "Retry-After", "7"),
		status(http.StatusCreated, receiptJSON),
	)
	events := []audit.Event{someEvent(), someEvent()}
	events[1].IdempotencyKey = "mine"
	if _, err := c.RecordBatch(t.Context(), "org_1", events, audit.BatchOptions{Partial: true}); err != nil {
		t.Fatal(err)
	}
	if len(f.asked) != 5 || f.asked[0].Target != "/v1/organizations/org_1/events?partial=true" {
		t.Fatalf("asked %v", f.targets())
	}
	for _, a := range f.asked {
		if a.Body != f.asked[0].Body {
			t.Errorf("sent again otherwise: %s", a.Body)
		}
	}
	if !strings.Contains(f.asked[0].Body, `"idempotency_key":"mine"`) || strings.Count(f.asked[0].Body, "idempotency_key") != 2 {
		t.Errorf("sent %s", f.asked[0].Body)
	}
	if events[0].IdempotencyKey != "" {
		t.Error("the caller's event was changed")
	}
	if f.waits[3] < 7*time.Second || f.waits[0] > time.Second {
		t.Errorf("waited %v", f.waits)
	}
}

func TestClientRecordKeysDiffer(t *testing.T) {
	f, c := newFake(t, status(http.StatusCreated, receiptJSON), status(http.StatusCreated, receiptJSON))
	for range 2 {
		if _, err := c.Record(t.Context(), "o", someEvent()); err != nil {
			t.Fatal(err)
		}
	}
	if f.asked[0].Body == f.asked[1].Body {
		t.Error("two events with one key")
	}
}

// TestClientRecordRefuses: what would be changed on the way is not sent.
func TestClientRecordRefuses(t *testing.T) {
	_, c := newFake(t)
	for name, change := range map[string]func(*audit.Event){
		"action":   func(e *audit.Event) { e.Action = "\xff" },
		"target":   func(e *audit.Event) { e.Targets = []audit.Target{{Type: "t", ID: "\xff"}} },
		"name":     func(e *audit.Event) { e.Actor.Name = "\xff" },
		"metadata": func(e *audit.Event) { e.Metadata = audit.Metadata{"a": []any{"\xff"}} },
		"number":   func(e *audit.Event) { e.Metadata = audit.Metadata{"a": math.MaxInt64} },
		"channel":  func(e *audit.Event) { e.Metadata = audit.Metadata{"a": make(chan int)} },
	} {
		e := someEvent()
		change(&e)
		_, err := c.RecordBatch(t.Context(), "o", []audit.Event{someEvent(), e}, audit.BatchOptions{})
		if got, ok := errors.AsType[*audit.Error](err); !ok || got.Code != audit.CodeInvalidEvent || got.Line != 2 {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

const problemJSON = `{"type":"about:blank","title":"Bad Request","status":400,"detail":"the actor has no id","code":"invalid_event",` +
	`"field":"/actor/id","line":3,"errors":[{"code":"invalid_event","message":"m","line":3}],"request_id":"req_1"}`

func TestClientErrors(t *testing.T) {
	for _, tt := range []struct {
		answer http.HandlerFunc
		want   audit.Error
		says   string
	}{
		{
			status(400, problemJSON, "X-Request-ID", "req_0"),
			audit.Error{Code: audit.CodeInvalidEvent, Field: "/actor/id", Line: 3, Status: 400, RequestID: "req_1"},
			"line 3: /actor/id: the actor has no id",
		},
		{status(401, "no"), audit.Error{Code: audit.CodeUnauthorized, Status: 401}, "401 Unauthorized"},
		{status(403, "<html>"), audit.Error{Code: audit.CodeForbidden, Status: 403}, "403 Forbidden"},
		{status(404, "{}"), audit.Error{Code: audit.CodeNotFound, Status: 404}, "is something between"},
		{status(413, "{}"), audit.Error{Code: audit.CodeTooLarge, Status: 413}, "413"},
		{status(500, "{", "X-Request-ID", "req_2"), audit.Error{Code: audit.CodeInternal, Status: 500, RequestID: "req_2"}, "500"},
		{status(507, `{"code":"disk_full","detail":"full"}`), audit.Error{Code: audit.CodeDiskFull, Status: 507}, "full"},
	} {
		_, c := newFake(t, tt.answer)
		_, err := c.Record(t.Context(), "o", someEvent())
		got, ok := errors.AsType[*audit.Error](err)
		if !ok || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("error %v, want %q", err, tt.says)
			continue
		}
		if diff := cmp.Diff([]any{tt.want.Code, tt.want.Field, tt.want.Line, tt.want.Status, tt.want.RequestID},
			[]any{got.Code, got.Field, got.Line, got.Status, got.RequestID}); diff != "" {
			t.Error(diff)
		}
	}
}

// TestClientRetries: what is asked again and what is not.
func TestClientRetries(t *testing.T) {
	busy := status(http.StatusServiceUnavailable, `{"code":"overloaded","detail":"busy"}`)
	ctx := t.Context()
	get := func(c *audit.Client) error {
		_, err := c.Entry(ctx, "o", "e")
		return err
	}
	create := func(c *audit.Client) error {
		_, err := c.CreateOrganization(ctx, "", audit.OrganizationChange{Name: new("n")})
		return err
	}
	for _, tt := range []struct {
		name    string
		answers []http.HandlerFunc
		retries int
		ask     func(*audit.Client) error
		tries   int
		code    audit.Code // "" for success
	}{
		{"until it works", []http.HandlerFunc{busy, hangUp(""), hangUp("{"), status(504, ""), status(502, ""), ok("{}")}, 0, get, 6, ""},
		{"five times", slices.Repeat([]http.HandlerFunc{busy}, 6), 0, get, 6, audit.CodeOverloaded},
		{"as often as said", slices.Repeat([]http.HandlerFunc{busy}, 3), 2, get, 3, audit.CodeOverloaded},
		{"never", []http.HandlerFunc{busy}, -1, get, 1, audit.CodeOverloaded},
		{"not what would be done twice", []http.HandlerFunc{busy}, 0, create, 1, audit.CodeOverloaded},
		{"not what is wrong", []http.HandlerFunc{status(400, problemJSON)}, 0, get, 1, audit.CodeInvalidEvent},
		{"not a fault", []http.HandlerFunc{status(500, "")}, 0, get, 1, audit.CodeInternal},
		{"not when told to wait long", []http.HandlerFunc{status(429, "", "Retry-After", "3600")}, 0, get, 1, audit.CodeRateLimited},
		{"not on a full disk", []http.HandlerFunc{status(503, `{"code":"disk_full"}`)}, 0, get, 1, audit.CodeDiskFull},
	} {
		f, c := newFake(t, tt.answers...)
		c.Retries = tt.retries
		err := tt.ask(c)
		if tt.code == "" && err != nil || tt.code != "" && !errors.Is(err, &audit.Error{Code: tt.code}) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if len(f.asked) != tt.tries || len(f.waits) != tt.tries-1 {
			t.Errorf("%s: asked %d times, waited %v", tt.name, len(f.asked), f.waits)
		}
	}
}

func TestClientBackoff(t *testing.T) {
	f, c := newFake(t, slices.Repeat([]http.HandlerFunc{status(503, "")}, 15)...)
	c.Retries = 14
	if _, err := c.Entry(t.Context(), "o", "e"); err == nil {
		t.Fatal("no error")
	}
	for i, d := range f.waits {
		most := min(200*time.Millisecond<<i, 10*time.Second)
		if d < most/2 || d > most {
			t.Errorf("wait %d is %v", i, d)
		}
	}
	f, c = newFake(t, status(503, "", "Date", "Sun, 01 Mar 2026 09:30:00 GMT", "Retry-After", "Sun, 01 Mar 2026 09:30:42 GMT"), ok("{}"))
	if _, err := c.Entry(t.Context(), "o", "e"); err != nil || f.waits[0] != 42*time.Second {
		t.Errorf("waited %v, error %v", f.waits, err)
	}
}

// TestClientContext: who does not want to wait any longer gets the last error.
func TestClientContext(t *testing.T) {
	_, c := newFake(t, status(503, `{"code":"overloaded"}`))
	c.SetWait(nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Entry(ctx, "o", "e"); !errors.Is(err, &audit.Error{Code: audit.CodeOverloaded}) {
		t.Errorf("error %v", err)
	}
	if _, err := c.Entry(ctx, "o", "e"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestClientAddress(t *testing.T) {
	for _, address := range []string{"", "audit.example.com", "ftp://x", "http://", "http://%zz"} {
		c := audit.NewClient(address, "k")
		c.SetWait(func(context.Context, time.Duration) error { return errors.New("waited") })
		if _, err := c.Entry(t.Context(), "o", "e"); err == nil || !strings.Contains(err.Error(), "is not the address of a server") {
			t.Errorf("%q: error %v", address, err)
		}
	}
}

func entryJSON(t *testing.T, seq int) string {
	t.Helper()
	b, err := json.Marshal(entryAt(seq))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientSearch(t *testing.T) {
	page := func(more bool, seqs ...int) http.HandlerFunc {
		var entries []string
		for _, seq := range seqs {
			entries = append(entries, entryJSON(t, seq))
		}
		return ok(fmt.Sprintf(`{"entries":[%s],"next":"c%d","has_more":%v,"complete_through":{"seq":9,"received_at":"2026-03-01T09:30:00.123Z"}}`,
			strings.Join(entries, ","), len(seqs), more))
	}
	q := parse(t, `action:a* -location:"10.0.0.1 x" metadata.a&b:c after:2026-01-01`)
	f, c := newFake(t, page(true, 1, 2), page(true), page(false, 3), page(false))
	var got []uint64
	for e, err := range c.Entries(t.Context(), "o", q, audit.SearchOptions{Ascending: true, Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entryAt(int(e.Seq)).Actor, e.Actor); diff != "" {
			t.Error(diff)
		}
		got = append(got, e.Seq)
	}
	if !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("entries %v", got)
	}
	const path = "GET /v1/organizations/o/events?-location=10.0.0.1+x&action=a%2A&after=2026-01-01"
	wantTargets(t, f,
		path+"&limit=2&metadata.a%26b=c&order=asc", path+"&cursor=c2&limit=2&metadata.a%26b=c&order=asc", path+"&cursor=c0&limit=2&metadata.a%26b=c&order=asc")
	last, err := c.Search(t.Context(), "o", audit.Query{}, audit.SearchOptions{})
	if err != nil || last.HasMore || last.Next != "c0" || last.CompleteThrough.Seq != 9 {
		t.Errorf("%+v, error %v", last, err)
	}
}

// TestClientEntriesStops: an error ends the sequence, and so does the caller.
func TestClientEntriesStops(t *testing.T) {
	_, c := newFake(t, ok(`{"entries":[`+entryJSON(t, 1)+`],"next":"c","has_more":true}`), status(400, problemJSON))
	n := 0
	for _, err := range c.Entries(t.Context(), "o", audit.Query{}, audit.SearchOptions{}) {
		if n++; n == 2 && !errors.Is(err, &audit.Error{Code: audit.CodeInvalidEvent}) {
			t.Errorf("error %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d steps", n)
	}
	_, c = newFake(t, ok(`{"entries":[`+entryJSON(t, 1)+`],"next":"c","has_more":true}`))
	for _, err := range c.Entries(t.Context(), "o", audit.Query{}, audit.SearchOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func TestClientReads(t *testing.T) {
	log := newTestLog(t, 3)
	proof, err := json.Marshal(log.proof(t, 1, 3))
	if err != nil {
		t.Fatal(err)
	}
	f, c := newFake(t,
		ok(entryJSON(t, 1)), ok(string(proof)),
		ok(`{"interval":"day","time_zone":"Europe/Berlin","buckets":[{"start":"2026-03-01T00:00:00+01:00","count":2}],"total":2,"complete_through":null}`),
		ok(`{"field":"actor.id","values":[{"value":"u1","name":"Ada","count":2}],"distinct":5,"complete_through":null}`),
		ok(log.serverKey+"\n"),
	)
	ctx := t.Context()
	e, err := c.Entry(ctx, "o", "a/b")
	if err != nil || e.Seq != 1 {
		t.Errorf("%+v, error %v", e, err)
	}
	p, err := c.Proof(ctx, "o", "01A")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(log.verifier(t)); err != nil {
		t.Error(err)
	}
	h, err := c.Histogram(ctx, "o", parse(t, "dev"), "day", "Europe/Berlin")
	if err != nil || h.Total != 2 || h.Buckets[0].Count != 2 || h.Buckets[0].Start.UTC().Hour() != 23 {
		t.Errorf("%+v, error %v", h, err)
	}
	facets, err := c.Facets(ctx, "o", audit.Query{}, audit.FieldActorID, 10)
	if diff := cmp.Diff(audit.Facets{Field: audit.FieldActorID, Values: []audit.FacetValue{{Value: "u1", Name: "Ada", Count: 2}}, Distinct: 5}, facets); diff != "" || err != nil {
		t.Errorf("%s, error %v", diff, err)
	}
	if key, err := c.VerifierKey(ctx); err != nil || key != log.serverKey+"\n" {
		t.Errorf("key %q, error %v", key, err)
	}
	wantTargets(t, f,
		"GET /v1/organizations/o/events/a%2Fb", "GET /v1/organizations/o/events/01A/proof",
		"GET /v1/organizations/o/histogram?interval=day&text=dev&time_zone=Europe%2FBerlin",
		"GET /v1/organizations/o/facets?field=actor.id&limit=10", "GET /v1/log/vkey")
}

// TestClientLog verifies a log over HTTP.
func TestClientLog(t *testing.T) {
	log := newTestLog(t, 600)
	files := http.FileServerFS(log.files(t))
	server := httptest.NewServer(http.StripPrefix("/v1/organizations/org_1/log/", files))
	defer server.Close()
	c := audit.NewClient(server.URL, "k")
	report, err := audit.VerifyLog(t.Context(), c.Log("org_1"), log.verifier(t), audit.LogOptions{})
	if err != nil || report.Entries != 600 {
		t.Errorf("%+v, error %v", report, err)
	}
	_, err = c.Log("org_1").ReadTile(t.Context(), "tile/0/001.p/1")
	if apiErr, ok := errors.AsType[*audit.Error](err); !errors.Is(err, fs.ErrNotExist) || !ok || err.Error() != apiErr.Error() {
		t.Errorf("error %v", err)
	}
}

func TestClientAdmin(t *testing.T) {
	ctx := t.Context()
	org := `{"id":"o","name":"n","state":"active","retention_days":365,"history_start":"2026-03-01T00:00:00.000Z"}`
	f, c := newFake(t,
		status(201, org), ok(org), ok(org), status(204, ""),
		ok(`{"organizations":[`+org+`],"next":"x","has_more":true}`), ok(`{"organizations":[],"next":null,"has_more":false}`),
		status(201, `{"id":"key_1","role":"reader","key":"sk_2"}`), ok(`{"keys":[{"id":"key_1"}],"next":null,"has_more":false}`), ok(`{"id":"key_1"}`),
		status(201, `{"action":"a","version":2}`), ok(`{"action":"a/b","version":1,"targets":[{"type":"t"}],"example":{"action":"a/b"}}`),
		ok(`{"schemas":[{"action":"a"}],"has_more":false}`), ok(`{"applied":false,"findings":[{"action":"a","version":2,"status":"next","changes":[{"path":"/x"}]}]}`),
	)
	made, err := c.CreateOrganization(ctx, "o", audit.OrganizationChange{Name: new("n"), RetentionDays: new(0)})
	if err != nil || made.RetentionDays != 365 {
		t.Errorf("%+v, error %v", made, err)
	}
	if _, err := c.Organization(ctx, "o"); err != nil {
		t.Error(err)
	}
	if _, err := c.UpdateOrganization(ctx, "o", audit.OrganizationChange{State: new(audit.StateInactive)}); err != nil {
		t.Error(err)
	}
	if err := c.DeleteOrganization(ctx, "o", "n"); err != nil {
		t.Error(err)
	}
	for o, err := range c.Organizations(ctx, audit.OrganizationOptions{Search: "n"}) {
		if err != nil || o.ID != "o" {
			t.Errorf("%+v, error %v", o, err)
		}
	}
	if k, err := c.CreateKey(ctx, "k", audit.RoleReader, "o"); err != nil || k.Secret != "sk_2" {
		t.Errorf("%+v, error %v", k, err)
	}
	for k, err := range c.Keys(ctx, audit.KeyOptions{Revoked: true}) {
		if err != nil || k.ID != "key_1" {
			t.Errorf("%+v, error %v", k, err)
		}
	}
	if _, err := c.RevokeKey(ctx, "key_1"); err != nil {
		t.Error(err)
	}
	if s, err := c.RegisterSchema(ctx, json.RawMessage(`{"action":"a"}`)); err != nil || s.Version != 2 {
		t.Errorf("%+v, error %v", s, err)
	}
	if s, err := c.Schema(ctx, "a/b", 1); err != nil || s.Example.Action != "a/b" {
		t.Errorf("%+v, error %v", s, err)
	}
	for s, err := range c.Schemas(ctx, audit.SchemaOptions{Action: "a*", AllVersions: true}) {
		if err != nil || s.Action != "a" {
			t.Errorf("%+v, error %v", s, err)
		}
	}
	if r, err := c.ApplySchemas(ctx, json.RawMessage(`{"format":1}`), true); err != nil || r.Findings[0].Changes[0].Path != "/x" {
		t.Errorf("%+v, error %v", r, err)
	}
	wantTargets(t, f,
		"POST /v1/organizations", "GET /v1/organizations/o", "PATCH /v1/organizations/o", "DELETE /v1/organizations/o?confirm=n",
		"GET /v1/organizations?search=n", "GET /v1/organizations?cursor=x&search=n", "POST /v1/keys", "GET /v1/keys?revoked=true", "DELETE /v1/keys/key_1",
		"POST /v1/schemas", "GET /v1/schemas/a%2Fb/1", "GET /v1/schemas?action=a%2A&versions=all", "POST /v1/schemas/apply?dry_run=true")
	for i, want := range map[int]string{
		0: `{"id":"o","name":"n","retention_days":0}`, 2: `{"state":"inactive"}`, 3: "",
		6: `{"name":"k","role":"reader","organization_id":"o"}`, 9: `{"action":"a"}`, 12: `{"format":1}`,
	} {
		if f.asked[i].Body != want {
			t.Errorf("sent %s, want %s", f.asked[i].Body, want)
		}
	}
}

const exportJSON = `{"id":"export_1","state":%q,"rows":3,"percent":50%s}`

func TestClientExport(t *testing.T) {
	ctx := t.Context()
	f, c := newFake(t, status(201, fmt.Sprintf(exportJSON, "pending", "")), ok(fmt.Sprintf(exportJSON, "running", "")), ok(fmt.Sprintf(exportJSON, "ready", "")),
		ok(fmt.Sprintf(exportJSON, "error", `,"error":"disk full"`)), ok(`{"exports":[{"id":"export_1"}],"has_more":false}`))
	e, err := c.CreateExport(ctx, "o", parse(t, "dev action:a"), audit.ExportOptions{Format: audit.FormatJSONL, Descending: true})
	if err != nil || e.Ended() {
		t.Fatal(err)
	}
	if want := `{"format":"jsonl","neutralize_formulas":true,"order":"desc","query":"action:a dev"}`; f.asked[0].Body != want {
		t.Errorf("sent %s", f.asked[0].Body)
	}
	var states []string
	if e, err = c.WaitExport(ctx, "o", e.ID, func(e *audit.Export) { states = append(states, e.State) }); err != nil || !e.Ended() {
		t.Errorf("%+v, error %v", e, err)
	}
	if !slices.Equal(states, []string{"running", "ready"}) {
		t.Errorf("states %v", states)
	}
	if _, err = c.WaitExport(ctx, "o", e.ID, nil); err == nil || !strings.Contains(err.Error(), "ended as error: disk full") {
		t.Errorf("error %v", err)
	}
	for e, err := range c.Exports(ctx, "o") {
		if err != nil || e.ID != "export_1" {
			t.Errorf("%+v, error %v", e, err)
		}
	}
}

// TestClientDownload: a download goes on where the connection was lost.
func TestClientDownload(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	var link string
	job := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, exportJSON, "ready", fmt.Sprintf(`,"download":{"url":%q}`, link))
	}
	serve := func(fail int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			if r.Header.Get("Authorization") != "" {
				t.Error("the key was sent along")
			}
			if fail > 0 {
				w = &failing{w, fail}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	}
	f, c := newFake(t, job, serve(300_000), job, status(503, ""), job, serve(200_000), job, serve(0))
	c.Retries = 2
	link = f.URL + "/v1/downloads/1.csv?sig=x"
	var got bytes.Buffer
	n, err := c.DownloadExport(t.Context(), "o", "export_1", &got)
	if err != nil || n != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
		t.Errorf("%d bytes, %d of them written, error %v", n, got.Len(), err)
	}

	// Writing fails: that is not for another try.
	f, c = newFake(t, job, serve(0))
	link = f.URL + "/x"
	if _, err := c.DownloadExport(t.Context(), "o", "export_1", brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	// The file is another one now.
	f, c = newFake(t, job, serve(300_000), job, status(200, "other", "ETag", `"2"`))
	link = f.URL + "/x"
	if _, err := c.DownloadExport(t.Context(), "o", "export_1", io.Discard); err == nil || !strings.Contains(err.Error(), "does not go on") {
		t.Errorf("error %v", err)
	}
	_, c = newFake(t, ok(fmt.Sprintf(exportJSON, "expired", "")))
	if _, err := c.DownloadExport(t.Context(), "o", "export_1", io.Discard); err == nil || !strings.Contains(err.Error(), "it is expired") {
		t.Errorf("error %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// failing breaks the connection after some bytes.
type failing struct {
	http.ResponseWriter

	left int
}

func (f *failing) Write(b []byte) (int, error) {
	if len(b) > f.left {
		_, _ = f.ResponseWriter.Write(b[:f.left])
		_ = http.NewResponseController(f.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	f.left -= len(b)
	return f.ResponseWriter.Write(b)
}

// stream speaks server-sent events and then breaks off, or ends.
func stream(text string, breaks bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		if breaks {
			panic(http.ErrAbortHandler)
		}
	}
}

func entryMessage(t *testing.T, seq int) string {
	return fmt.Sprintf("event: entry\nid: %d\ndata: %s\n\n", seq, entryJSON(t, seq))
}

func TestClientTail(t *testing.T) {
	const hello, beat = "retry: 1000\n\n", ": still here\n\n"
	newest := `{"entries":[],"next":"c","complete_through":%s}`
	f, c := newFake(t,
		ok(fmt.Sprintf(newest, `{"seq":4,"received_at":"2026-03-01T09:30:00.123Z"}`)),
		hangUp(""),
		stream(hello+entryMessage(t, 5)+beat+entryMessage(t, 7)+"event: position\nid: 9\ndata: {\"seq\":9}\n\nevent: entry\nid: 10\ndata: {\"cut", true),
		status(503, ""),
		stream(hello+entryMessage(t, 10), false),
		stream(hello, false),
		status(403, `{"code":"audit_log_inactive","detail":"hidden"}`),
	)
	c.Retries = 2
	var got []uint64
	var end error
	for e, err := range c.Tail(t.Context(), "o", parse(t, "dev"), "") {
		if end = err; err == nil {
			got = append(got, e.Seq)
		}
	}
	if !slices.Equal(got, []uint64{5, 7, 10}) || !errors.Is(end, &audit.Error{Code: audit.CodeLogInactive}) {
		t.Errorf("entries %v, error %v", got, end)
	}
	var ids []string
	for _, a := range f.asked[1:] {
		if a.Target != "/v1/organizations/o/events/tail?text=dev" {
			t.Errorf("asked %s", a.Target)
		}
		ids = append(ids, a.Header.Get("Last-Event-Id"))
	}
	if want := []string{"4", "4", "9", "9", "10", "10"}; !slices.Equal(ids, want) {
		t.Errorf("went on after %v, want %v", ids, want)
	}
}

func TestClientTailFrom(t *testing.T) {
	f, c := newFake(t, ok(`{"entries":[],"next":"c","complete_through":null}`), stream("retry: 1\n\n", false), stream(entryMessage(t, 0), false))
	for e, err := range c.Tail(t.Context(), "o", audit.Query{}, "") {
		if err != nil || e.Seq != 0 {
			t.Errorf("%+v, error %v", e, err)
		}
		break
	}
	wantTargets(t, f, "GET /v1/organizations/o/events?limit=1", "GET /v1/organizations/o/events/tail?from=0", "GET /v1/organizations/o/events/tail?from=0")

	f, c = newFake(t, stream(entryMessage(t, 8), false))
	for e, err := range c.Tail(t.Context(), "o", audit.Query{}, "7") {
		if err != nil || e.Seq != 8 {
			t.Errorf("%+v, error %v", e, err)
		}
		break
	}
	if got := f.asked[0].Header.Get("Last-Event-Id"); got != "7" {
		t.Errorf("went on after %q", got)
	}
}

// TestClientTailEnds: with its context, or when trying is no use.
func TestClientTailEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, c := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		stream(entryMessage(t, 1), false)(w, r)
		<-r.Context().Done()
	})
	var end error
	for _, err := range c.Tail(ctx, "o", audit.Query{}, "0") {
		if end = err; err == nil {
			cancel()
		}
	}
	if !errors.Is(end, context.Canceled) {
		t.Errorf("error %v", end)
	}
	f, c := newFake(t, hangUp(""), hangUp(""), hangUp(""))
	c.Retries = 2
	for _, err := range c.Tail(t.Context(), "o", audit.Query{}, "0") {
		end = err
	}
	if end == nil || errors.Is(end, context.Canceled) || len(f.waits) != 2 {
		t.Errorf("error %v after waiting %v", end, f.waits)
	}
	_, c = newFake(t, stream("event: entry\nid: 1\ndata: {]\n\n", false))
	for _, err := range c.Tail(t.Context(), "o", audit.Query{}, "0") {
		end = err
	}
	if end == nil || !strings.Contains(end.Error(), "read entry") {
		t.Errorf("error %v", end)
	}
}
