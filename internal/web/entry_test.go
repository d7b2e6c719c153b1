package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/catalog"
)

const (
	servedKey = "sk_root_key_of_the_tests_00"
	base      = "/settings/security"
)

// served is a server with two organizations, and people of them.
type served struct {
	*app.App
	t     *testing.T
	srv   *httptest.Server
	ahead atomic.Int64 // how far its clock is ahead
}

func openServed(t *testing.T) *served {
	t.Helper()
	cfg := app.DemoConfig(t.TempDir(), "127.0.0.1:0", servedKey, nil)
	s := &served{t: t}
	cfg.ReserveMiB = 0
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	a, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.App, s.srv = a, httptest.NewServer(a)
	t.Cleanup(func() {
		s.srv.Close()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{"ours", "theirs"} {
		o := catalog.NewOrganization(id)
		o.ID = id
		if _, err := a.Catalog.CreateOrganization(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// api calls the native API as root.
func (s *served) api(method, path, body string, into any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.srv.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+servedKey)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, data, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(data, into); err != nil {
		s.t.Fatal(err)
	}
}

// record records events and returns their ids.
func (s *served) record(org string, events ...audit.Event) []string {
	s.t.Helper()
	var ids []string
	for i := range events {
		body, err := json.Marshal(&events[i])
		if err != nil {
			s.t.Fatal(err)
		}
		s.api(http.MethodPost, "/v1/organizations/"+org+"/events", string(body), nil)
		head, err := s.Ledger.Head(s.t.Context(), org)
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := s.Ledger.EntryAt(s.t.Context(), org, head.Size-1)
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, e.ID.String())
	}
	return ids
}

// person is somebody who opened a portal link.
func (s *served) person(org string) *http.Client {
	s.t.Helper()
	var link struct{ Link string }
	s.api(http.MethodPost, "/portal/generate_link", `{"organization":"`+org+`","intent":"audit_logs"}`, &link)
	token := link.Link[strings.Index(link.Link, "/portal/"):]
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if status, body := s.get(c, token); status != http.StatusSeeOther {
		s.t.Fatalf("the link opens %d %s", status, body)
	}
	return c
}

func (s *served) get(c *http.Client, path string, header ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.srv.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

func keyEvent(n int) audit.Event {
	return audit.Event{
		Action: "api_key.updated", OccurredAt: time.Now().Add(time.Duration(n) * time.Second).UTC().Truncate(time.Millisecond),
		Actor:   audit.Actor{Type: "user", ID: "u1", Name: "Ann Example", Metadata: audit.Metadata{"team": "core"}},
		Targets: []audit.Target{{Type: "api_key", ID: fmt.Sprintf("k%d", n), Name: fmt.Sprintf("Deploy %d", n)}},
		Context: audit.Context{Location: "203.0.113.7", UserAgent: "curl/8.5.0"},
		Metadata: audit.Metadata{
			"before_roles": "viewer", "after_roles": "viewer,admin", "session_id": "s1",
			"number": 1.5e-7, "nested": map[string]any{"é": []any{true, nil, "\u2028<>&"}, "b": "\u20ac"},
		},
	}
}

// TestEntryPage holds what the details of an entry say, as a page and as a
// fragment.
func TestEntryPage(t *testing.T) {
	s := openServed(t)
	ids := s.record("ours", keyEvent(-3), keyEvent(-2), keyEvent(-1))
	c := s.person("ours")
	path := base + "/audit-log/entries/" + ids[1]
	status, page := s.get(c, path+"?q=actor%3Au1&range=7d")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	for _, want := range []string{
		"<h1", "Ann Example", "updated API key", "Deploy -2", "Role change", "What changed", "Entry 1, in checkpoint ", "curl 8.5.0",
		"Same actor", "Same target", "Same session", "Same address ±15 minutes", "stele verify " + ids[1] + ".proof.json",
		base + "/audit-log?q=actor%3Au1&amp;range=7d", // the way back
		ids[0] + "?q=actor", ids[2] + "?q=actor",      // its neighbours
		"metadata.session_id%3As1", "location%3A203.0.113.7",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	status, part := s.get(c, path, "X-Fragment", "1")
	if status != http.StatusOK || strings.Contains(part, "<html") || !strings.Contains(part, "data-detail=") {
		t.Errorf("the fragment is %d %.200s", status, part)
	}
	// The JSON is the API's.
	var api any
	s.api(http.MethodGet, "/v1/organizations/ours/events/"+ids[1], "", &api)
	shown := textOf(t, part, "data-json")
	var on any
	if err := json.Unmarshal([]byte(shown), &on); err != nil {
		t.Fatalf("the JSON on the page: %v", err)
	}
	if fmt.Sprint(on) != fmt.Sprint(api) || !strings.Contains(shown, "\n  \"") {
		t.Errorf("the JSON on the page is %s", shown)
	}
}

// textOf is the text of the first element that has an attribute.
func textOf(t *testing.T, page, attribute string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == attribute {
				var b strings.Builder
				for d := range n.Descendants() {
					if d.Type == html.TextNode {
						b.WriteString(d.Data)
					}
				}
				return b.String()
			}
		}
	}
	t.Fatalf("nothing has %s", attribute)
	return ""
}

// TestEntryOfOthers holds that the entry of another organization is not found,
// with nothing that tells that it exists.
func TestEntryOfOthers(t *testing.T) {
	s := openServed(t)
	id := s.record("theirs", keyEvent(0))[0]
	c := s.person("ours")
	none := "00000000000000000000000000"
	for _, path := range []string{"%s", "%s/proof"} {
		status, theirs := s.get(c, base+"/audit-log/entries/"+fmt.Sprintf(path, id))
		statusNone, missing := s.get(c, base+"/audit-log/entries/"+fmt.Sprintf(path, none))
		requestID := regexp.MustCompile(`<code>[^<]*</code>`)
		csrf := regexp.MustCompile(`(value|content)="[^"]*"`)
		strip := func(s string) string { return csrf.ReplaceAllString(requestID.ReplaceAllString(s, ""), "") }
		if status != http.StatusNotFound || statusNone != http.StatusNotFound || strip(theirs) != strip(missing) {
			t.Errorf("%s: %d and %d\n%s\n%s", path, status, statusNone, theirs, missing)
		}
	}
	for _, sizes := range []string{"old=1&new=99", "old=0&new=1", "old=2&new=1", "old=x&new=1", ""} {
		if status, body := s.get(c, base+"/audit-log/consistency?"+sizes); status != http.StatusNotFound && status != http.StatusBadRequest {
			t.Errorf("consistency %s: %d %s", sizes, status, body)
		}
	}
}

// TestHostileEntry holds that whatever is in an entry is text, and that the page
// does not grow out of bounds.
func TestHostileEntry(t *testing.T) {
	s := openServed(t)
	const script = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	long := strings.Repeat("A", 16<<10-1)
	e := audit.Event{
		Action: "x" + strings.Repeat("<b>", 60), OccurredAt: time.Now().UTC(),
		Actor:    audit.Actor{Type: script, ID: script, Name: "\u202e" + script},
		Context:  audit.Context{Location: script, UserAgent: script},
		Metadata: audit.Metadata{script: script, "before_" + script: "a", "after_" + script: script},
		Targets:  []audit.Target{{Type: "t", ID: long}, {Type: script, ID: "i", Name: long}},
	}
	for i := range 98 {
		e.Targets = append(e.Targets, audit.Target{Type: "many", ID: fmt.Sprint(i), Name: script})
	}
	id := s.record("ours", e)[0]
	c := s.person("ours")
	status, page := s.get(c, base+"/audit-log/entries/"+id)
	if status != http.StatusOK || len(page) > 400<<10 {
		t.Fatalf("%d, %d bytes", status, len(page))
	}
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" && strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("<%s %s=%.60s>", n.Data, a.Key, a.Val)
			}
		}
		switch {
		case n.Data == "img", n.Data == "b", n.Data == "script" && n.FirstChild != nil:
			t.Errorf("the page has a <%s>", n.Data)
		}
	}
	if !strings.Contains(page, "Has hidden characters") {
		t.Error("a name that turns its direction is not marked")
	}
}

// TestProof holds the proof that the page offers to the offline check, and what
// js/verify-core.js makes of it, and of each way to alter it.
func TestProof(t *testing.T) {
	s := openServed(t)
	var ids []string
	for i := range 7 {
		ids = append(ids, s.record("ours", keyEvent(i))...)
	}
	c := s.person("ours")
	first, err := s.Ledger.Checkpoint(t.Context(), "ours")
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, s.record("ours", keyEvent(8), audit.Event{Action: "bare.happened", OccurredAt: time.Now(), Actor: audit.Actor{Type: "system", ID: "1"}})...)
	newer, err := s.Ledger.Checkpoint(t.Context(), "ours") // all proofs are against this one
	if err != nil {
		t.Fatal(err)
	}
	vkey := s.Ledger.LogVerifierKey("ours")
	verifier, err := audit.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, id := range ids {
		status, body := s.get(c, base+"/audit-log/entries/"+id+"/proof")
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		proof, err := audit.ParseProof([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(verifier); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		_, page := s.get(c, base+"/audit-log/entries/"+id)
		write(t, dir, fmt.Sprintf("proof-%d.json", i), body)
		write(t, dir, fmt.Sprintf("page-%d.json", i), textOf(t, page, "data-json"))
	}
	older, errOlder := audit.OpenCheckpoint(first, vkey)
	latest, errLatest := audit.OpenCheckpoint(newer, vkey)
	if errOlder != nil || errLatest != nil {
		t.Fatal(errOlder, errLatest)
	}
	_, growth := s.get(c, fmt.Sprintf("%s/audit-log/consistency?old=%d&new=%d", base, older.Size, latest.Size))
	write(t, dir, "growth.json", growth)
	write(t, dir, "older.txt", fmt.Sprintf("%d %s", older.Size, older.Root))
	write(t, dir, "key.txt", vkey)
	cmd := exec.CommandContext(t.Context(), "node", "--test", "testdata/verify.test.mjs")
	cmd.Env = append(os.Environ(), "FIXTURES="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stream is a page that follows a log.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
	id    string
}

func (s *served) follow(ctx context.Context, c *http.Client, query string, header ...string) *stream {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.srv.URL+base+"/audit-log/live?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("live: %d", answer.StatusCode)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return &stream{t: s.t, lines: lines}
}

// next is the next event that is no beat.
func (s *stream) next() (event, data string) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "data":
			data = value
		case "id":
			s.id = value
		case "":
			if event != "" && event != "beat" {
				return event, data
			}
			event = ""
		}
	}
	s.t.Fatalf("the stream ended: %v", s.lines.Err())
	return "", ""
}

// TestLive holds that a page gets the rows that match as they are recorded, goes
// on where it was, and is told when it cannot.
func TestLive(t *testing.T) {
	s := openServed(t)
	s.record("ours", keyEvent(0))
	c := s.person("ours")
	ctx, cancel := context.WithCancel(t.Context())
	st := s.follow(ctx, c, "q="+`action%3Aapi_key.%2A`+"&range=30d")
	other := keyEvent(1)
	other.Action = "session.started"
	s.record("theirs", keyEvent(1))
	s.record("ours", other)
	want := s.record("ours", keyEvent(2))[0]
	event, data := st.next()
	var row struct{ HTML string }
	if err := json.Unmarshal([]byte(data), &row); err != nil {
		t.Fatal(err)
	}
	if event != "row" || !strings.Contains(row.HTML, `data-entry="`+want+`"`) || !strings.Contains(row.HTML, want+"?q=action") {
		t.Errorf("%s %s", event, data)
	}
	cancel()

	// Gone for a while, it gets what it missed, and nothing twice.
	missed := s.record("ours", keyEvent(3), keyEvent(4))
	st = s.follow(t.Context(), c, "range=all", "Last-Event-ID", st.id)
	for _, id := range missed {
		if event, data := st.next(); event != "row" || !strings.Contains(data, id) {
			t.Errorf("%s %s, want %s", event, data, id)
		}
	}

	// Gone for too long, it is told to load anew.
	var many []string
	for i := range 201 {
		e := keyEvent(i)
		b, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, string(b))
	}
	s.api(http.MethodPost, "/v1/organizations/ours/events", "["+strings.Join(many, ",")+"]", nil)
	st = s.follow(t.Context(), c, "range=all&since=1")
	if event, _ := st.next(); event != "reload" {
		t.Errorf("after 201 entries: %s", event)
	}

	// A session that has ended follows nothing more, not even what wakes it.
	st = s.follow(t.Context(), c, "range=all")
	s.ahead.Store(int64(9 * time.Hour))
	s.record("ours", keyEvent(5))
	if event, data := st.next(); event != "ended" {
		t.Errorf("after the session: %s %s", event, data)
	}
	if status, _ := s.get(s.person("theirs"), base+"/audit-log/live?since=x"); status != http.StatusBadRequest {
		t.Errorf("since=x: %d", status)
	}
	if status, _ := s.get(http.DefaultClient, base+"/audit-log/live"); status != http.StatusUnauthorized {
		t.Errorf("without a session: %d", status)
	}
}

// TestLiveMany holds that one session, and one organization, keeps nobody else from
// following, and is told why it may not; and that each page that leaves makes room.
func TestLiveMany(t *testing.T) {
	s := openServed(t)
	one := s.person("ours")
	first, leave := context.WithCancel(t.Context())
	s.follow(first, one, "range=all")
	for range 7 {
		s.follow(t.Context(), one, "range=all")
	}
	event, data := s.follow(t.Context(), one, "range=all").next()
	if event != "full" || !strings.Contains(data, "8 pages of your session follow already") {
		t.Errorf("the ninth page of a session: %s %s", event, data)
	}
	for range 56 / 8 {
		c := s.person("ours")
		for range 8 {
			s.follow(t.Context(), c, "range=all")
		}
	}
	event, data = s.follow(t.Context(), s.person("ours"), "range=all").next()
	if event != "full" || !strings.Contains(data, "64 pages of your organization") {
		t.Errorf("the 65th page of an organization: %s %s", event, data)
	}
	other := s.follow(t.Context(), s.person("theirs"), "range=all")
	s.record("theirs", keyEvent(1))
	if event, data := other.next(); event != "row" {
		t.Errorf("another organization: %s %s", event, data)
	}
	leave()
	for { // until the server has seen that it is gone
		if again := s.follow(t.Context(), one, "range=all"); s.followsAgain(again) {
			break
		}
	}
}

// followsAgain reports whether a stream follows; it does not when its first event
// says that too many do.
func (s *served) followsAgain(st *stream) bool {
	for st.lines.Scan() {
		if name, ok := strings.CutPrefix(st.lines.Text(), "event: "); ok {
			return name != "full"
		}
	}
	return false
}

// TestLiveFoot holds that the foot of the list goes with its rows.
func TestLiveFoot(t *testing.T) {
	s := openServed(t)
	st := s.follow(t.Context(), s.person("ours"), "range=all&tz=America/New_York")
	s.record("ours", keyEvent(0))
	rows := 0
	for st.lines.Scan() {
		line := st.lines.Text()
		if line == "event: row" {
			rows++
		}
		if rows > 0 && strings.HasPrefix(line, "data: ") && strings.Contains(line, "data-through") {
			if !strings.Contains(line, "Complete up to entry 1, recorded") || !strings.Contains(line, "America/New_York") {
				t.Error(line)
			}
			return
		}
	}
	t.Error("the stream ended without a foot")
}
