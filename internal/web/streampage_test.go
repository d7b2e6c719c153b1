package web_test

import (
	"cmp"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
	logstream "github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
)

const (
	hookToken  = "hush-hush-4711"
	hookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	// saying is what the receiver of the tests answers when it refuses.
	saying = `<b>no</b> <script>alert(1)</script> because of ` + hookToken
)

// receiver is a customer's own system: it answers as a test says, and refuses
// what holds "poison" whatever it was told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	bodies []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	status := cmp.Or(r.status, http.StatusOK)
	if status == http.StatusOK && strings.Contains(string(body), "poison") {
		status = http.StatusBadRequest
	}
	r.bodies = append(r.bodies, string(body))
	w.WriteHeader(status)
	if req.Method == http.MethodGet { // as an object store that has nothing
		_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
		return
	}
	if status != http.StatusOK {
		_, _ = io.WriteString(w, saying)
	}
}

// hang lets requests wait until release is called.
func (r *receiver) hang() (release func()) {
	r.mu.Lock()
	return r.mu.Unlock
}

// answer is how it answers from now on.
func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) got(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(strings.Join(r.bodies, "\n"), text)
}

// asked is how often it was asked.
func (r *receiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

func (r *receiver) settings() sink.Values {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	return sink.Values{"url": r.URL + "/" + hookToken, "signing_secret": hookSecret, "ca_certificate": string(ca)}
}

// form is what somebody types for a stream to it.
func (r *receiver) form(changes ...string) url.Values {
	form := url.Values{"kind": {"webhook"}, "name": {"Our SIEM"}, "format": {"json"}, "start/kind": {"beginning"}, "do": {"save"}}
	for name, value := range r.settings() {
		form.Set("settings/"+name, value)
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// streaming opens a site whose streams may reach this machine, and a receiver.
func streaming(t *testing.T) (*site, *receiver, *visitor) {
	t.Helper()
	s := openSite(t, func(c *app.Config) { c.StreamAllow = []string{"127.0.0.0/8"} })
	return s, newReceiver(t), s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
}

// addStream saves the stream of a form and returns its page's path.
func (v *visitor) addStream(form url.Values) string {
	v.t.Helper()
	made := v.post("/log-streams/new", form)
	if made.Code != http.StatusSeeOther {
		v.t.Fatalf("not saved: %d %s", made.Code, spaceless(visible(made.text)))
	}
	return strings.TrimSuffix(strings.TrimPrefix(made.Header().Get("Location"), "/settings/security"), "?done=created")
}

// until asks for a page until it says a text.
func (v *visitor) until(path, text string) page {
	v.t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		p := v.get(path)
		if strings.Contains(spaceless(visible(p.text)), text) {
			return p
		}
		if time.Now().After(end) {
			v.t.Fatalf("%s does not say %q: %s", path, text, spaceless(visible(p.text)))
		}
	}
}

// keeps fails if a page has a secret in it.
func (p page) keeps(t *testing.T) page {
	t.Helper()
	for _, secret := range []string{hookToken, hookSecret, hookSecret[6:30]} {
		if strings.Contains(p.text, secret) {
			t.Errorf("the page has the secret %q: %s", secret, p.text)
		}
	}
	return p
}

// leads fails unless the answer leads to a path.
func (p page) leads(t *testing.T, to string) {
	t.Helper()
	if got := p.Header().Get("Location"); p.Code != http.StatusSeeOther || got != "/settings/security"+to {
		t.Fatalf("%d to %q, want to %q: %s", p.Code, got, to, spaceless(visible(p.text)))
	}
}

// TestStreamLife adds, breaks, repairs, pauses, changes and deletes a stream as
// somebody without scripts does.
func TestStreamLife(t *testing.T) {
	s, siem, ada := streaming(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 3)...)
	ada.get("/log-streams").want(t, 200, "No log streams yet", "Add a log stream")
	ada.get("/log-streams/new").want(t, 200, "Splunk", "Amazon S3", "HTTPS webhook", "Syslog")
	ada.get("/log-streams/new?kind=webhook").want(t, 200, "Make an HTTPS endpoint", "[whsec_", "shown this once", "Certificate authority", "At most 100 events", "OCSF 1.8")
	ada.get("/log-streams/new?kind=carrier_pigeon").want(t, 404, "There is nothing here")

	// What the receiver refuses is said, and not saved before that is asked for.
	siem.answer(http.StatusUnauthorized)
	refused := ada.post("/log-streams/new", siem.form()).keeps(t)
	refused.want(t, 200, "did not arrive", "Credentials or settings are refused", "Check the credentials on both sides", "401", "<b>no</b>", "Nothing was saved", "Save anyway", "enter them again", "[Our SIEM]")
	ada.post("/log-streams/new", siem.form("do", "test")).keeps(t).wantNot(t, "Save anyway")
	ada.get("/log-streams").want(t, 200, "No log streams yet")
	at := ada.addStream(siem.form("do", "anyway"))
	ada.until(at, "Invalid").keeps(t).want(t, 200, "somebody must change them", "events behind, oldest", "401", "••••4711", "[secret]")
	ada.get("/log-streams").keeps(t).want(t, 200, "Our SIEM", "Invalid", "Check the credentials on both sides")

	// Repaired, it goes on.
	siem.answer(http.StatusOK)
	ada.post(at+"/test", url.Values{}).keeps(t).want(t, 200, "The destination took the test event", "Answered in")
	ada.post(at+"/resume", url.Values{}).leads(t, at+"?done=resumed")
	ada.until(at, "Up to date").keeps(t).want(t, 200, "Active", "Delivered", "1 failed attempt")
	if siem.got(`"seq":0`) == 0 || siem.got("log_stream.tested") == 0 {
		t.Error("nothing has arrived")
	}

	ada.post(at+"/pause", url.Values{"back": {"list"}}).leads(t, "/log-streams?done=paused")
	ada.get("/log-streams?done=paused").want(t, 200, "Paused", "goes on where it stopped", "Resume")
	ada.post(at+"/resume", url.Values{}).leads(t, at+"?done=resumed")

	ada.get(at+"/delete").want(t, 200, "Delete “Our SIEM”?", "Keep it")
	ada.post(at+"/delete", url.Values{}).leads(t, "/log-streams?done=deleted")
	ada.get(at).want(t, 404, "This log stream is not here", "Go to all log streams")
	ada.get("/log-streams?done=deleted").want(t, 200, "No log streams yet", "is deleted")

	for action, times := range map[string]int{logstream.ActionCreated: 1, logstream.ActionPaused: 1, logstream.ActionResumed: 2, logstream.ActionDeleted: 1} {
		var found []audit.Entry
		for len(found) < times {
			found = s.recorded(t, "ours", action)
		}
		for _, e := range found {
			if e.Actor.ID != "u_ada" || e.Actor.Name != "Ada" || e.Context.Location != "192.0.2.1" || e.Context.UserAgent != "a browser of the tests" {
				t.Errorf("%s: %+v from %+v", action, e.Actor, e.Context)
			}
		}
	}
}

// TestStreamFaults holds that all that is wrong is said at once, at its field,
// and that what was typed is kept but for secrets.
func TestStreamFaults(t *testing.T) {
	_, siem, ada := streaming(t)
	form := siem.form("name", strings.Repeat("x", 300), "filter", "actor.colour:red", "start/kind", "date", "start/date", "whenever",
		"lag_limit_seconds", "soon", "settings/url", "http://"+hookToken, "settings/signing_secret", hookToken, "settings/payload", "wings")
	p := ada.post("/log-streams/new", form).keeps(t)
	p.want(t, 400, "Some fields need another look", "[actor.colour:red]", `unknown field "actor.colour"`, "is not a time", "Must be a number of minutes",
		"Must begin with https://", "Must be one of batch", "enter them again")
	if n := strings.Count(p.text, `aria-invalid="true"`); n < 5 {
		t.Errorf("%d fields are marked", n)
	}
	ada.post("/log-streams/new", siem.form("name", "two\nlines")).want(t, 400, "without control characters")
	ada.post("/log-streams/new", siem.form("start/kind", "date")).want(t, 400, "Say from when on")
	ada.post("/log-streams/new", siem.form("start/kind", "tomorrow")).want(t, 400, "was not saved")
	ada.post("/log-streams/new", siem.form("settings/header_name", "X-Key")).want(t, 400, "A header needs both a name and a value")
	ada.post("/log-streams/new", url.Values{"kind": {"webhook"}, "do": {"test"}}).want(t, 400, "Is required")
	ada.post("/log-streams/new", url.Values{"kind": {"carrier_pigeon"}}).want(t, 404)
	made := ada.post("/log-streams/new", siem.form("do", "generate/signing_secret", "filter", "x:y:z"))
	made.keeps(t).want(t, 200, "[whsec_", "shown this once")
	made.wantNot(t, "need another look")
	if n := strings.Count(made.text, "autofocus"); n != 1 {
		t.Errorf("%d fields ask for the focus after one was generated", n)
	}
	if siem.asked() != 0 {
		t.Error("a form with faults was sent on")
	}
}

// TestStreamExpiry holds that a credential is announced from 30 days before it
// expires, and that it is said when it has.
func TestStreamExpiry(t *testing.T) {
	s, siem, ada := streaming(t)
	end := siteStart.Add(31 * 24 * time.Hour)
	at := ada.addStream(url.Values{
		"kind": {"azure_blob"}, "name": {"Our bucket"}, "format": {"json"}, "start/kind": {"now"}, "do": {"anyway"},
		"settings/account": {"acme"}, "settings/container": {"audit"}, "settings/endpoint": {siem.URL},
		"settings/sas_token": {"sv=2023-11-03&se=" + url.QueryEscape(end.Format(time.RFC3339)) + "&sr=c&sp=cw&spr=https&sig=c2lnbmF0dXJlc2VjcmV0"},
	})
	for _, path := range []string{at, "/log-streams"} {
		ada.get(path).wantNot(t, "expire")
	}
	s.pass(25 * time.Hour)
	ada = s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	for _, path := range []string{at, "/log-streams"} {
		ada.get(path).want(t, 200, "The shared access signature expires on "+end.Format("2 Jan 2006"), "Enter a new one before then")
	}
	s.pass(30 * 24 * time.Hour)
	ada = s.enter(t, "ours", auth.PersonManager, "u_ada", "Ada")
	for _, path := range []string{at, "/log-streams"} {
		ada.get(path).want(t, 200, "The shared access signature expired on "+end.Format("2 Jan 2006"), "Enter a new one.")
	}
}

// TestStreamEdit changes a stream: secrets stay when they are not said, can be
// taken away, and must be said again when they would go elsewhere.
func TestStreamEdit(t *testing.T) {
	s, siem, ada := streaming(t)
	at := ada.addStream(siem.form("settings/header_name", "X-Key", "settings/header_value", "0123456789abcdefgh"))
	id := strings.TrimPrefix(at, "/log-streams/")
	ada.get(at+"/edit").keeps(t).want(t, 200, "[Our SIEM]", "the start cannot change", "Remove it")
	form := func(changes ...string) url.Values {
		f := siem.form(append([]string{"settings/signing_secret", "", "settings/url", "", "settings/header_name", "X-Key"}, changes...)...)
		return f
	}
	ada.post(at+"/edit", form("name", "Renamed", "lag_limit_seconds", "1.5", "filter", "action:nothing.*", "checkpoints", "on")).leads(t, at+"?done=saved")
	st, err := s.Streams.Get(t.Context(), "ours", id)
	if err != nil || st.Name != "Renamed" || st.LagLimit != 90 || st.Filter != "action:nothing.*" || !st.Checkpoints || len(st.Secrets) != 3 {
		t.Errorf("%+v %v", st, err)
	}
	ada.get(at).keeps(t).want(t, 200, "Renamed", "action:nothing.*", "Sent after each batch", "more than 1 min", "••••efgh")
	ada.get(at+"/edit").want(t, 200, "[1.5]", "[action:nothing.*]")
	ada.post(at+"/edit", form("filter", "action:nothing.*", "checkpoint_every_seconds", "90")).want(t, 400, "Must be empty: a stream that sends checkpoints only")
	ada.post(at+"/edit", form("filter", "", "checkpoint_every_seconds", "90")).leads(t, at+"?done=saved")
	ada.get(at).want(t, 200, "Only these, every 1 h")
	ada.get(at+"/edit").want(t, 200, "[90]")
	ada.post(at+"/edit", form("filter", "", "checkpoint_every_seconds", "")).leads(t, at+"?done=saved")
	moved := newReceiver(t)
	ada.post(at+"/edit", form("settings/url", moved.URL)).want(t, 400, "Must be entered again, since")
	if moved.asked() != 0 {
		t.Error("an address of somebody's own was asked")
	}
	ada.post(at+"/edit", form("settings/header_name", "", "remove/header_value", "on")).leads(t, at+"?done=saved")
	if st, err = s.Streams.Get(t.Context(), "ours", id); err != nil || len(st.Secrets) != 2 {
		t.Errorf("%+v %v", st, err)
	}
	siem.answer(http.StatusInternalServerError)
	ada.post(at+"/edit", form("name", "Not yet", "settings/header_name", "")).keeps(t).want(t, 200, "Not reachable, or not ready", "Save anyway", "[Not yet]")
	ada.get(at).want(t, 200, "Our SIEM")
}

// TestStreamDeadLetters has an event refused, sends it again, and forgets it.
func TestStreamDeadLetters(t *testing.T) {
	s, siem, ada := streaming(t)
	events := s.plainEvents("api_key.created", 3)
	events[1].Targets[0].Name = "poison"
	s.record(t, "ours", events...)
	at := ada.addStream(siem.form("filter", "action:api_key.*"))
	p := ada.until(at, "Dead letters Events that")
	p.keeps(t).want(t, 200, "Refused", "400", "<b>no</b>", "Send chosen again")
	if entry := s.recorded(t, "ours", "api_key.created")[1]; !strings.Contains(p.text, "/audit-log/entries/"+entry.ID) {
		t.Error("no link to the entry")
	}
	ada.get("/log-streams").want(t, 200, "Dead letters1")
	for _, form := range []url.Values{{"do": {"retry"}}, {"do": {"discard"}}, {"do": {"retry"}, "seq": {"x"}}, {"do": {"discard"}, "seq": {"0"}}} {
		if p := ada.post(at+"/dead-letters", form); p.Code < 400 || p.Code >= 500 || !strings.Contains(p.text, "This was not done") {
			t.Errorf("%v: %d %s", form, p.Code, spaceless(visible(p.text)))
		}
	}
	ada.post(at+"/dead-letters", url.Values{"do": {"retry-all"}}).leads(t, at+"?done=retried#replays")
	ada.until(at, "2 times").want(t, 200, "Dead letters1")
	ada.post(at+"/dead-letters", url.Values{"do": {"retry"}, "seq": {"1"}}).leads(t, at+"?done=retried#replays")
	ada.until(at, "3 times")
	ada.post(at+"/dead-letters", url.Values{"do": {"discard"}, "seq": {"1"}}).leads(t, at+"?done=discarded#dead-letters")
	ada.get(at).wantNot(t, "Send chosen again")
}

// TestStreamReplay delivers a range again, and says what is no range.
func TestStreamReplay(t *testing.T) {
	s, siem, ada := streaming(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 30)...)
	at := ada.addStream(siem.form("filter", "action:api_key.*"))
	ada.until(at, "Up to date")
	for _, c := range []struct{ form, says string }{
		{"by=seq&from=many", "Must be the number of an entry"},
		{"by=seq&from=9&to=3", "nothing to replay in this range"},
		{"by=time&since=whenever", "is not a time"},
	} {
		form, err := url.ParseQuery(c.form)
		if err != nil {
			t.Fatal(err)
		}
		ada.post(at+"/replays", form).want(t, 400, "This was not done", c.says)
	}
	ada.post(at+"/replays", url.Values{"by": {"seq"}, "from": {"5"}, "to": {"7"}}).leads(t, at+"?done=replaying#replays")
	ada.until(at, "Done Entries 5–7")
	if n := siem.got(`"seq":6,`); n != 2 {
		t.Errorf("entry 6 arrived %d times", n)
	}
	siem.answer(http.StatusServiceUnavailable)
	s.pass(time.Second) // so that the newer one is the newer one
	ada.post(at+"/replays", url.Values{"since": {"2026-03-02T00:00"}}).leads(t, at+"?done=replaying#replays")
	ada.until(at, "Degraded").want(t, 200, "Running", "Not reachable, or not ready")
	replays, err := s.Streams.Replays(t.Context(), "ours", strings.TrimPrefix(at, "/log-streams/"))
	if err != nil || len(replays) != 2 {
		t.Fatal(replays, err)
	}
	ada.post(at+"/replays/"+replays[0].ID+"/cancel", url.Values{}).leads(t, at+"?done=canceled#replays")
	ada.get(at).want(t, 200, "Canceled")
	ada.post(at+"/replays/replay_x/cancel", url.Values{}).want(t, 404, "This was not done")
	ada.get(at).wantNot(t, "Reconcile") // a webhook cannot say what it holds
}

// TestStreamPlaces holds who is led where.
func TestStreamPlaces(t *testing.T) {
	s, siem, ada := streaming(t)
	for role, want := range map[auth.PersonRole]string{auth.PersonManager: "log-streams", auth.PersonViewer: "audit-log"} {
		token, err := s.signer.SignPortal(auth.Portal{
			Organization: "ours", Intent: auth.IntentLogStreams, Role: role, Expires: s.now().Add(time.Minute),
		})
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/portal/launch?token="+url.QueryEscape(token), nil))
		if got := rec.Header().Get("Location"); got != "/settings/security/"+want {
			t.Errorf("%s is led to %q, want %s", role, got, want)
		}
	}
	grace := s.enter(t, "ours", auth.PersonViewer, "u_grace", "Grace")
	grace.get("/audit-log").wantNot(t, "Log streams")
	grace.get("/log-streams").want(t, 403)
	ada.get("/audit-log").want(t, 200, "Log streams")

	hostile := `<img src=x onerror=alert(1)> ` + "\u202e" + strings.Repeat("long ", 40)
	at := ada.addStream(siem.form("name", hostile))
	ada.get("/log-streams").want(t, 200, strings.TrimSpace(hostile))
	ada.get(at).want(t, 200, strings.TrimSpace(hostile))

	// The operator's streams are not the customers' business, nor are others'.
	for _, org := range []string{"", "theirs"} {
		st, err := s.Streams.Create(t.Context(), org, logstream.Spec{Kind: "webhook", Name: "Not Ours", Settings: siem.settings()}, logstream.Key("root"))
		if err != nil {
			t.Fatal(err)
		}
		ada.get("/log-streams").wantNot(t, "Not Ours")
		for _, below := range []string{"", "/edit", "/delete"} {
			ada.get("/log-streams/"+st.ID+below).want(t, 404)
		}
		for _, below := range []string{"/edit", "/delete", "/test", "/pause", "/resume", "/dead-letters", "/replays", "/replays/x/cancel", "/reconciliations", "/reconciliations/x/cancel"} {
			ada.post("/log-streams/"+st.ID+below, url.Values{}).want(t, 404)
		}
		if _, err := s.Streams.Get(t.Context(), org, st.ID); err != nil {
			t.Error(err)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/settings/security"+at+"/delete", http.NoBody)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := ada.ask(r); p.Code != http.StatusForbidden {
		t.Errorf("without %s: %d", server.CSRFField, p.Code)
	}
}

// TestStreamForms shows the form of every kind of destination.
func TestStreamForms(t *testing.T) {
	s, _, ada := streaming(t)
	for _, kind := range s.Streams.Kinds() {
		p := ada.get("/log-streams/new?kind=" + kind.Name)
		p.want(t, 200, kind.Label, "Save", "Test")
		for _, setting := range kind.Settings {
			if !strings.Contains(p.text, fmt.Sprintf(`name="settings/%s"`, setting.Name)) {
				t.Errorf("%s: no field for %s", kind.Name, setting.Name)
			}
		}
	}
}

// TestStreamReconcile compares a bucket that has lost everything with the log.
func TestStreamReconcile(t *testing.T) {
	s, siem, ada := streaming(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 3)...)
	values := siem.settings()
	st, err := s.Streams.Create(t.Context(), "ours", logstream.Spec{
		Kind: "s3", Name: "Bucket", Filter: "action:api_key.*", Start: logstream.Start{Kind: logstream.StartBeginning},
		Settings: sink.Values{
			"bucket": "audit", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": hookToken + "-key",
			"endpoint": siem.URL, "ca_certificate": values["ca_certificate"], "flush_minutes": "1",
		},
	}, logstream.Key("root"))
	if err != nil {
		t.Fatal(err)
	}
	at := "/log-streams/" + st.ID
	ada.get(at).keeps(t).want(t, 200, "Reconcile", "Lists what lies at the destination", "the API key root")
	ada.post(at+"/reconciliations", url.Values{}).want(t, 400, "This was not done", "Nothing of this range was delivered yet")
	s.pass(2 * time.Minute) // after which an object is written
	ada.post(at+"/resume", url.Values{})
	ada.until(at, "Up to date")
	ada.post(at+"/reconciliations", url.Values{}).leads(t, at+"?done=reconciling#reconcile")
	ada.get(at+"?done=reconciling").want(t, 200, "The comparison has begun")
	ada.until(at, "Incomplete").keeps(t).want(t, 200, "by Ada", "0 events delivered, 3 missing, 0 duplicate objects. Found 0 objects", "Entries 0 to 2: 3 missing")

	// One that hangs can be canceled; one that fails says why.
	release := siem.hang()
	ada.post(at+"/reconciliations", url.Values{}).leads(t, at+"?done=reconciling#reconcile")
	ada.get(at).want(t, 200, "Running", "0 objects found so far")
	ada.post(at+"/reconciliations", url.Values{}).want(t, 409, "This was not done", "being reconciled already")
	all, err := s.Streams.Reconciliations(t.Context(), "ours", st.ID)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v %v", all, err)
	}
	i := slices.IndexFunc(all, func(r logstream.Reconciliation) bool { return r.State == logstream.ReconciliationRunning })
	ada.post(at+"/reconciliations/"+all[i].ID+"/cancel", url.Values{}).leads(t, at+"?done=unreconciled#reconcile")
	ada.get(at).want(t, 200, "Canceled")
	release()
	siem.answer(http.StatusForbidden)
	for ada.post(at+"/reconciliations", url.Values{}).Code == http.StatusConflict {
		continue // the one that was canceled is about to end
	}
	ada.until(at, "Failed").keeps(t).want(t, 200, "The destination could not be listed")
}
