package app_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
)

// serve opens an app with changed settings.
func serve(t *testing.T, dir string, change func(*app.Config)) *app.App {
	t.Helper()
	cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
	cfg.ReserveMiB = 0
	if change != nil {
		change(&cfg)
	}
	a, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func organize(t *testing.T, a *app.App) {
	t.Helper()
	o := catalog.NewOrganization("ours")
	o.ID = "ours"
	if _, err := a.Catalog.CreateOrganization(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// hook is a stream to an address that no stream may reach.
func hook() stream.Spec {
	return stream.Spec{Kind: "webhook", Name: "SIEM", Settings: sink.Values{"url": "https://127.0.0.1:1/hush-hush-4711"}}
}

// TestStreamKeys holds where keys for secrets come from, that one is never made
// twice, and how it is replaced.
func TestStreamKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "stream.keys")
	a := serve(t, dir, nil)
	organize(t, a)
	st, err := a.Streams.Create(t.Context(), "ours", hook(), stream.Key("root"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if a, err := app.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "put it back") {
		t.Fatalf("opened without its key: %v, %v", a, err)
	}
	cfg.StreamKeyFile = filepath.Join(t.TempDir(), "nothing")
	if a, err := app.Open(t.Context(), cfg); err == nil {
		t.Fatalf("opened with a key file that does not exist: %v", a)
	}

	// A new key in front seals everything anew; then the old one is not needed.
	fresh := stream.NewKey("k2") + "\n"
	a = serve(t, dir, func(c *app.Config) { c.StreamKeys = fresh + string(old) })
	got, err := a.Streams.Get(t.Context(), "ours", st.ID)
	if err != nil || !strings.HasPrefix(got.Secrets["url"].Sealed, "v1.k2.") || strings.Contains(fmt.Sprint(got), "hush") {
		t.Errorf("%+v, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(fresh), 0o600); err != nil {
		t.Fatal(err)
	}
	a = serve(t, dir, func(c *app.Config) { c.StreamKeyFile = file })
	if _, err := a.Streams.Update(t.Context(), "ours", st.ID, stream.Key("root"), func(s *stream.Spec) error {
		s.Name = "opens its secrets"
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// entries waits until the log of ours has n entries about streams.
func entries(t *testing.T, a *app.App, n int) []audit.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		at, err := a.Ledger.Through(ctx, "ours")
		if err != nil {
			t.Fatal(err)
		}
		if at != nil && at.Seq+1 >= uint64(n) {
			break
		}
		size := uint64(0)
		if at != nil {
			size = at.Seq + 1
		}
		if err := a.Ledger.Wait(ctx, "ours", size); err != nil {
			t.Fatalf("%d entries of %d: %v", size, n, err)
		}
	}
	var list []audit.Entry
	for e, err := range a.Ledger.Read(t.Context(), "ours", 0, uint64(n)) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Audit("ours"))
	}
	return list
}

// TestStreamEntries holds that what happens to a stream is in the organization's
// log by whoever did it, also where unregistered actions are refused, and that
// the operator's streams are not.
func TestStreamEntries(t *testing.T) {
	a := serve(t, t.TempDir(), func(c *app.Config) { c.SchemaMode = "strict" })
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	organize(t, a)
	_, k, err := a.Auth.CreateKey(t.Context(), catalog.Key{Name: "Ada's key", Role: auth.RoleAdmin, Organization: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Streams.Create(t.Context(), "", hook(), stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	st, err := a.Streams.Create(t.Context(), "ours", hook(), stream.Key(k.ID))
	if err != nil {
		t.Fatal(err)
	}
	list := entries(t, a, 2)
	made, failed := list[0], list[1]
	if made.Action != stream.ActionCreated || made.Actor.Type != "api_key" || made.Actor.ID != k.ID || made.Actor.Name != "Ada's key" ||
		len(made.Targets) != 1 || made.Targets[0].ID != st.ID || made.Targets[0].Name != "SIEM" || made.Metadata["kind"] != "webhook" || made.Schema != "" {
		t.Errorf("%+v", made)
	}
	if failed.Action != stream.ActionStateChanged || failed.Actor.Type != "system" || failed.Metadata["to"] != "invalid" ||
		!strings.Contains(fmt.Sprint(failed.Metadata["detail"]), "allow-list") || strings.Contains(fmt.Sprint(failed), "hush") {
		t.Errorf("%+v", failed)
	}
	person := stream.Who{Type: "user", ID: "u_1", Name: "Ada", Location: "203.0.113.7", UserAgent: "Browser/1"}
	if _, err := a.Streams.Resume(t.Context(), "ours", st.ID, person); err != nil {
		t.Fatal(err)
	}
	resumed := entries(t, a, 3)[2]
	if resumed.Action != stream.ActionResumed || resumed.Actor.Type != "user" || resumed.Actor.ID != "u_1" || resumed.Actor.Name != "Ada" ||
		resumed.Context.Location != "203.0.113.7" || resumed.Context.UserAgent != "Browser/1" {
		t.Errorf("%+v", resumed)
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{`stele_streams{kind="webhook",state="invalid"}`, `stele_stream_attempts_total{kind="webhook",result="error"}`, "stele_stream_in_flight_bytes"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if strings.Contains(rec.Body.String(), "127.0.0.1:1") {
		t.Error("/metrics names an address")
	}
}

// told is a webhook of the operator that fails at first.
type told struct {
	got chan *http.Request
	n   int
}

func (w *told) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if w.n++; w.n == 1 {
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	w.got <- r
}

// TestNotices holds that the operator's webhook hears of a state, signed, and
// again when it failed.
func TestNotices(t *testing.T) {
	w := &told{got: make(chan *http.Request, 10)}
	receiver := httptest.NewServer(w)
	defer receiver.Close()
	key := []byte("0123456789abcdef0123456789abcdef")
	a := serve(t, t.TempDir(), func(c *app.Config) {
		c.NotifyWebhook, c.NotifySecret = receiver.URL, "whsec_"+base64.StdEncoding.EncodeToString(key)
	})
	organize(t, a)
	st, err := a.Streams.Create(t.Context(), "ours", hook(), stream.Key("root"))
	if err != nil {
		t.Fatal(err)
	}
	var r *http.Request
	select {
	case r = <-w.got:
	case <-time.After(time.Minute):
		t.Fatal("no notice came")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
		t.Errorf("signature %q, want %q", r.Header.Get("Webhook-Signature"), want)
	}
	var got struct {
		Type string
		Data stream.Change
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != stream.ActionStateChanged || got.Data.Stream != st.ID || got.Data.To != stream.StateInvalid || got.Data.Owner != "ours" || strings.Contains(string(body), "hush") {
		t.Errorf("%s", body)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNoticeRefused holds that a notice which the webhook never takes keeps no
// other back.
func TestNoticeRefused(t *testing.T) {
	taken := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "never") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		taken <- string(body)
	}))
	defer receiver.Close()
	a := serve(t, t.TempDir(), func(c *app.Config) {
		c.NotifyWebhook, c.NotifySecret = receiver.URL, "whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32))
	})
	organize(t, a)
	for _, name := range []string{"never", "always"} {
		spec := hook()
		spec.Name = name
		if _, err := a.Streams.Create(t.Context(), "ours", spec, stream.Key("root")); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case body := <-taken:
		if !strings.Contains(body, "always") {
			t.Error(body)
		}
	case <-time.After(time.Minute):
		t.Fatal("no notice came")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestEventsOnly holds that checkpoints are refused where they would be refused
// after each batch.
func TestEventsOnly(t *testing.T) {
	a := serve(t, t.TempDir(), func(*app.Config) {})
	organize(t, a)
	_, err := a.Streams.Create(t.Context(), "ours", stream.Spec{Kind: "amazon_security_lake", Checkpoints: true}, stream.Key("root"))
	if fault, ok := errors.AsType[*audit.Error](err); !ok || fault.Field != "/checkpoints" {
		t.Errorf("%v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStreamDelivers holds that a commit is delivered at once, by a whole server,
// and what entries say beside the event: name and schema.
func TestStreamDelivers(t *testing.T) {
	bodies := make(chan string, 100)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
	}))
	defer receiver.Close()
	a := serve(t, t.TempDir(), func(c *app.Config) { c.StreamAllow = []string{"127.0.0.1"} })
	organize(t, a)
	spec := hook()
	spec.Filter = "-action:log_stream.*"
	key, err := x509.MarshalPKCS8PrivateKey(receiver.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	spec.Settings = sink.Values{
		"url": receiver.URL, "ca_certificate": pemOf(receiver), "client_certificate": pemOf(receiver),
		"client_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
	if _, err := a.Streams.Create(t.Context(), "ours", spec, stream.Key("root")); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/organizations/ours/events", strings.NewReader(
		`{"action":"door.opened","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":"u1"}}`))
	req.Header.Set("Authorization", "Bearer "+rootKey)
	rec := httptest.NewRecorder()
	if a.ServeHTTP(rec, req); rec.Code != http.StatusCreated {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	select {
	case body := <-bodies:
		if !strings.Contains(body, `"door.opened"`) {
			t.Error(body)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was delivered")
	}
	rec = httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	expires := strconv.FormatFloat(float64(receiver.Certificate().NotAfter.Unix()), 'g', -1, 64)
	if want := `stele_stream_credentials_expiry_timestamp_seconds{kind="webhook"} ` + expires; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("/metrics has no %s", want)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func pemOf(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// TestOwnActions holds that the entries that the server makes are events like any
// other.
func TestOwnActions(t *testing.T) {
	actions := []string{
		stream.ActionCreated, stream.ActionUpdated, stream.ActionDeleted, stream.ActionPaused, stream.ActionResumed, stream.ActionStateChanged,
		stream.ActionLagExceeded, stream.ActionLagRecovered, stream.ActionReplayStarted, stream.ActionReplayEnded, stream.ActionDiscarded,
		stream.ActionReconciled,
	}
	text, err := os.ReadFile("../../docs/streams/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range actions {
		short := strings.TrimPrefix(action, "log_stream.")
		if !strings.Contains(string(text), "`"+short+"`") && !strings.Contains(string(text), "`"+action+"`") {
			t.Errorf("docs/streams/README.md does not name %s", action)
		}
		if _, err := event.FromAudit(&audit.Event{Action: action, OccurredAt: time.Unix(0, 0), Actor: audit.Actor{Type: "system", ID: "stele"}}); err != nil {
			t.Error(err)
		}
	}
	if slices.Sort(actions); len(slices.Compact(actions)) != 12 {
		t.Errorf("%v", actions)
	}
}
