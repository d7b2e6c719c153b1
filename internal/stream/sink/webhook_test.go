package sink

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hookOld    = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// hookReceiver checks signatures with the library of Standard Webhooks, and keeps
// a request once for its webhook-id, as the page on webhooks tells receivers to.
type hookReceiver struct {
	t        *testing.T
	verifier *standardwebhooks.Webhook

	mu     sync.Mutex
	seen   map[string]bool
	events []string
	bodies []string
	header http.Header
}

func newHookReceiver(t *testing.T, secret string) *hookReceiver {
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &hookReceiver{t: t, verifier: v, seen: map[string]bool{}}
}

func (h *hookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil || r.Method != http.MethodPost {
		h.t.Errorf("%s: %v", r.Method, err)
	}
	// The clock of the tests stands still, that of the library does not.
	if err := h.verifier.VerifyIgnoringTimestamp(body, r.Header); err != nil {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.header = r.Header
	id := r.Header.Get("Webhook-Id")
	if id == "" || strings.Contains(id, ".") {
		h.t.Errorf("webhook-id %q", id)
	}
	if h.seen[id] {
		return
	}
	h.seen[id] = true
	h.bodies = append(h.bodies, string(body))
	var p struct {
		Data struct{ Events []json.RawMessage }
	}
	if err := json.Unmarshal(body, &p); err == nil {
		for _, e := range p.Data.Events {
			h.events = append(h.events, string(e))
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func TestWebhook(t *testing.T) {
	h := newHookReceiver(t, hookSecret)
	checkHTTP(t, httpCase{
		kind: Webhook(), receiver: h, arrived: func() []string { return h.events },
		settings: func(url, ca string) Values {
			return Values{
				"url": url + "/in/topsecretpath", "ca_certificate": ca, "signing_secret": hookSecret,
				"header_name": "X-Key", "header_value": "headersecret",
			}
		},
		wrong: "signing_secret", value: hookOld, says: "signing secret",
		secrets: []string{"headersecret", "topsecretpath", hookSecret, hookSecret[6:]},
	})
	if got := h.header.Get("X-Key"); got != "headersecret" {
		t.Errorf("header %q", got)
	}
}

// TestWebhookRotation: while the secret changes, receivers with the old one and
// with the new one both accept; an attempt repeated is the same to both.
func TestWebhookRotation(t *testing.T) {
	for _, known := range []string{hookOld, hookSecret} {
		h := newHookReceiver(t, known)
		srv, ca := server(t, h)
		s := open(t, Webhook(), Values{"url": srv.URL, "ca_certificate": ca, "signing_secret": hookSecret, "previous_signing_secret": hookOld})
		b := batch(t, 0, 3)
		send(t, s, b)
		b.Attempt = 2
		send(t, s, b)
		wantEvents(t, h.events, b)
	}
}

func TestWebhookEd25519(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ok := false
	srv, ca := server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := readBody(r)
		content := fmt.Appendf(nil, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
		text, found := strings.CutPrefix(r.Header.Get("Webhook-Signature"), "v1a,")
		sig, err := base64.StdEncoding.DecodeString(text)
		ok = found && err == nil && ed25519.Verify(public, content, sig)
	}))
	for _, key := range [][]byte{private, private.Seed()} {
		send(t, open(t, Webhook(), Values{
			"url": srv.URL, "ca_certificate": ca, "signing_secret": "whsk_" + base64.StdEncoding.EncodeToString(key),
		}), batch(t, 0, 1))
		if !ok {
			t.Error("the signature does not verify")
		}
	}
}

func TestWebhookPayloads(t *testing.T) {
	b, one := batch(t, 5, 2), batch(t, 5, 1)
	e0, e1 := string(b.Events[0].Encoded), string(b.Events[1].Encoded)
	const stamp = "2026-11-20T10:30:00."
	work := func(e, seq string) string {
		return `{"event":` + e + `,"keySuffix":"01KAF00000000000000000000` + seq + `","timestamp":"2026-11-20T10:30:00.00` + seq + `Z","source":"acme"}`
	}
	plain := &Batch{ID: "x", Organization: "org_1", Format: "cef", Events: []Event{{Encoded: []byte("CEF:0|a\"b"), ReceivedAt: clock()}}}
	test := *one
	test.Test = true
	whole := *b
	whole.Format = "workos" // has the shape already
	for _, c := range []struct {
		payload     string
		b           *Batch
		body, ctype string
	}{
		{"batch", b, `{"type":"audit_log.batch","timestamp":"` + stamp + `006000Z","data":{"organization_id":"org_1","first_seq":5,"last_seq":6,"events":[` + e0 + `,` + e1 + `]}}`, "application/json"},
		{"event", one, `{"type":"audit_log.event","timestamp":"` + stamp + `005000Z","data":` + e0 + `}`, "application/json"},
		{"event", &test, `{"type":"audit_log.test","timestamp":"` + stamp + `005000Z","data":` + e0 + `}`, "application/json"},
		{"event", checkpoint(), `{"type":"audit_log.checkpoint","timestamp":"` + stamp + `000000Z","data":{"type":"stele.checkpoint","size":10}}`, "application/json"},
		{"array", b, `[` + e0 + `,` + e1 + `]`, "application/json"},
		{"lines", b, e0 + "\n" + e1 + "\n", "application/x-ndjson"},
		{"lines", plain, "CEF:0|a\"b\n", "text/plain; charset=utf-8"},
		{"array", plain, `["CEF:0|a\"b"]`, "application/json"},
		{"workos", b, `[` + work(e0, "5") + `,` + work(e1, "6") + `]`, "application/json"},
		{"workos", &whole, `[` + e0 + `,` + e1 + `]`, "application/json"},
		{"workos_lines", b, work(e0, "5") + "\n" + work(e1, "6") + "\n", "application/x-ndjson"},
	} {
		var body []byte
		var header http.Header
		srv, ca := server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ = readBody(r)
			header = r.Header
		}))
		s := open(t, Webhook(), Values{"url": srv.URL, "ca_certificate": ca, "payload": c.payload, "source": "acme"})
		send(t, s, c.b)
		if !bytes.Equal(body, []byte(c.body)) || header.Get("Content-Type") != c.ctype {
			t.Errorf("%s: %s\n got %s\nwant %s", c.payload, header.Get("Content-Type"), body, c.body)
		}
		if header.Get("Webhook-Signature") != "" || header.Get("User-Agent") != "stele/test" {
			t.Errorf("headers %v", header)
		}
		if want := map[bool]int{true: 1, false: 100}[c.payload == "event"]; s.Limits().MaxEvents != want {
			t.Errorf("%s: %d events a batch", c.payload, s.Limits().MaxEvents)
		}
	}
}

func TestWebhookSettings(t *testing.T) {
	k := Webhook()
	for name, v := range map[string]Values{
		"url":             {"url": "http://hooks.example.com"},
		"url ":            {"url": "https://user:pw@hooks.example.com"},
		"url  ":           {"url": "https://hooks.example.com:99999"},
		"signing_secret":  {"url": "https://h.example", "signing_secret": "whsec_c2hvcnQ="},
		"signing_secret ": {"url": "https://h.example", "signing_secret": "secret"},
		"header_value":    {"url": "https://h.example", "header_name": "X-A"},
		"header_name":     {"url": "https://h.example", "header_name": "webhook-id", "header_value": "x"},
		"header_name ":    {"url": "https://h.example", "header_name": "a b", "header_value": "x"},
		"ca_certificate":  {"url": "https://h.example", "ca_certificate": "-----BEGIN NOTHING"},
		"payload":         {"url": "https://h.example", "payload": "xml"},
	} {
		_, err := k.Resolve(v)
		if want := "/settings/" + strings.TrimSpace(name); err == nil || !strings.Contains(fmt.Sprintf("%+v", fieldOf(err)), want) {
			t.Errorf("%v: %v, want a fault of %s", v, err, want)
		}
	}
}

// TestWebhookTokenIsHidden: a receiver that repeats the token without the word
// before it does not bring it into what is shown.
func TestWebhookTokenIsHidden(t *testing.T) {
	const token = "tk-0123456789abcdef"
	srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, said, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		w.WriteHeader(http.StatusUnauthorized)
		answerf(w, `{"message":"unknown token %s"}`, said)
	}))
	s := open(t, Webhook(), Values{"url": srv.URL, "ca_certificate": ca, "header_name": "Authorization", "header_value": "Bearer " + token})
	answer, err := s.Send(t.Context(), batch(t, 0, 1))
	if err == nil || !strings.Contains(err.Error(), "unknown token") {
		t.Fatalf("%v", err)
	}
	hidden(t, []string{token}, answer.Text, err.Error())
}
