package receivertest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream/sink"
)

const (
	hookSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldHookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// endpoint is a webhook endpoint that checks signatures with the libraries of
// Standard Webhooks and of Svix.
type endpoint struct {
	program
	cert certificate
	out  string
}

func newEndpoint(t *testing.T, secret string) *endpoint {
	t.Helper()
	e := &endpoint{cert: newCertificate(t), out: filepath.Join(t.TempDir(), "out.jsonl")}
	address, port := freeAddress(t)
	e.program = program{t: t, name: node(t), args: []string{"node/verify.mjs", port, secret, e.cert.certFile, e.cert.keyFile, e.out}, address: address}
	return e
}

// node is the Node.js of the system.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// request is one that was accepted.
type request struct{ ID, Signatures, Body string }

func (e *endpoint) requests() []request {
	e.t.Helper()
	var list []request
	for _, line := range wholeLines(e.t, e.out) {
		var r request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			e.t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// events are those of all requests, in order.
func (e *endpoint) events() []string {
	e.t.Helper()
	var list []string
	for _, r := range e.requests() {
		var body struct {
			Type string
			Data struct{ Events []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			e.t.Fatal(err)
		}
		if body.Type == "audit_log.test" {
			continue
		}
		for _, ev := range body.Data.Events {
			list = append(list, string(ev))
		}
	}
	return list
}

// TestWebhookVerifiers delivers to an endpoint that accepts only what both
// libraries accept.
func TestWebhookVerifiers(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, hookSecret)
	settings := func(secret string) sink.Values {
		return sink.Values{"url": "https://" + e.address + "/audit?token=t0ken-of-the-customer", "signing_secret": secret, "ca_certificate": e.cert.pem}
	}
	roundTrip(t, receiver{
		kind: "webhook", settings: settings(hookSecret), wrong: settings(oldHookSecret), says: "Check the credentials on both sides",
		start: e.start, stop: e.stop, received: e.events, expected: (*scene).native,
	})
	seen := map[string]bool{}
	for _, r := range e.requests() {
		if seen[r.ID] {
			t.Errorf("webhook-id %s is there twice", r.ID)
		}
		seen[r.ID] = true
	}
}

// TestWebhookRotation holds that a secret is changed without a gap: while the
// previous one is in the settings, endpoints with either accept every request.
func TestWebhookRotation(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.record(allEvents(false)[:250])
	for _, secret := range []string{oldHookSecret, hookSecret} {
		e := newEndpoint(t, secret)
		e.start()
		st := s.create("webhook", "", sink.Values{
			"url": "https://" + e.address + "/", "signing_secret": hookSecret, "previous_signing_secret": oldHookSecret, "ca_certificate": e.cert.pem,
		})
		s.delivered(st)
		sameEvents(t, e.events(), s.native())
		for _, r := range e.requests() {
			if len(strings.Fields(r.Signatures)) != 2 {
				t.Errorf("signatures: %s", r.Signatures)
			}
		}
	}
}
