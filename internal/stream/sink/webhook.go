package sink

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Webhook is an HTTPS address of the customer's own, signed as Standard Webhooks
// 1.0.0 says (github.com/standard-webhooks/standard-webhooks): webhook-id is the
// batch's, the same for every attempt, webhook-timestamp that of the attempt, and
// webhook-signature one signature for each secret, so that a secret can be
// changed without a gap. Bodies of the specification are at most 20 KB by
// advice; receivers in practice take far more, and batches here end at 100
// events or 512 KB.
func Webhook() Kind {
	k := Kind{
		Name: "webhook", Label: "HTTPS webhook",
		Summary: "Posts events as JSON to an address of your own, signed so that you can check where they come from.",
		Docs:    "https://www.standardwebhooks.com",
		Steps: []Step{
			{Text: "Make an HTTPS endpoint that accepts POST requests and answers with a 2xx status once it has stored the body.", Fills: []string{"url"}},
			{Text: "Make a signing secret and give it to both sides. The endpoint checks webhook-signature with a library of Standard Webhooks.", Paste: "printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"", Fills: []string{"signing_secret"}},
			{Text: "Let the endpoint keep the webhook-id of what it has stored for a day, and answer 200 to a request whose webhook-id it knows."},
			{Text: "If the endpoint cannot check signatures, choose a header and a random value for it instead.", Fills: []string{"header_name", "header_value"}},
		},
		Limits: []string{
			"At most 100 events and 512 KiB a request. An answer must come within 45 seconds.",
			"Redirects are not followed. 410 stops the stream until it is resumed.",
			"A request that is sent again has the same webhook-id and the same body.",
		},
		Settings: withTLS(
			Setting{
				Name: "url", Label: "URL", Place: true, Required: true, Secret: true, Check: checkURL, Example: "https://hooks.example.com/audit",
				Help: "Where to post to. It is kept as a secret because such addresses often hold a token.",
			},
			Setting{
				Name: "signing_secret", Label: "Signing secret", Secret: true, Check: checkSigningSecret, Example: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Generate: newSigningSecret,
				Help: "whsec_ and 24 to 64 bytes in Base64 (HMAC-SHA256), or whsk_ and an Ed25519 private key. Without one, requests are not signed.",
			},
			Setting{
				Name: "previous_signing_secret", Label: "Previous signing secret", Secret: true, Advanced: true, Check: checkSigningSecret,
				Help: "While you change the secret: requests are signed with both. Empty it when your endpoint knows the new one.",
			},
			Setting{
				Name: "payload", Label: "Payload", Default: "batch",
				Options: []string{"batch", "event", "array", "lines", "workos", "workos_lines"},
				Help: "batch: {type, timestamp, data: {events: […]}}. event: the same with one event for each request. array: a bare JSON array. " +
					"lines: one event on each line. workos, workos_lines: what WorkOS log streams of type GenericHttps send, as an array or on lines; " +
					"choose the format workos with it.",
			},
			Setting{
				Name: "header_name", Label: "Header", Check: checkHeaderName, Example: "Authorization",
				Help: "The name of a header to send with every request, for receivers that do not check signatures.",
			},
			Setting{
				Name: "header_value", Label: "Header value", Secret: true, Check: checkPrintable, Example: "Bearer 0123456789abcdef",
				Help: "The value of that header.",
			},
			Setting{
				Name: "source", Label: "Source", Default: "stele", Advanced: true,
				Help: "What the payloads of WorkOS name as source.",
			},
		),
	}
	k.Check = func(v Values) error {
		if (v["header_name"] == "") != (v["header_value"] == "") {
			return fieldFault("header_value", "a header needs both a name and a value")
		}
		return checkTLS(v)
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		limits := Limits{MaxEvents: 100, MaxBytes: 512 << 10, EventOverhead: 160, SendTimeout: 45 * time.Second}
		if v["payload"] == "event" {
			limits.MaxEvents = 1
		}
		return openWebhook(&k, v, env, v["payload"], limits)
	}
	return k
}

// openWebhook opens a webhook with the settings url, header_name and header_value,
// and those for signing where the kind has them.
func openWebhook(k *Kind, v Values, env Env, payload string, limits Limits) (Sink, error) {
	c, err := newClient(k, v, env)
	if err != nil {
		return nil, err
	}
	const access = "Check the credentials on both sides: the header, and the signing secret if there is one."
	c.hints = map[int]string{http.StatusUnauthorized: access, http.StatusForbidden: access}
	c.secrets = append(c.secrets, secretWords(v["header_value"])...)
	w := &webhook{client: c, v: v, payload: payload, limits: limits}
	for _, name := range []string{"signing_secret", "previous_signing_secret"} {
		if v[name] == "" {
			continue
		}
		sign, err := hookSigner(v[name])
		if err != nil {
			return nil, &Error{Class: Invalid, Code: "signing_secret", Message: "The signing secret " + err.Error() + "."}
		}
		w.signers = append(w.signers, sign)
	}
	return w, nil
}

type webhook struct {
	*client
	v       Values
	payload string
	limits  Limits
	signers []func(content []byte) string
}

// Limits are the kind's.
func (w *webhook) Limits() Limits { return w.limits }

// Test sends the event.
func (w *webhook) Test(ctx context.Context, b *Batch) (Answer, error) { return w.Send(ctx, b) }

// Send posts the batch. Any 2xx acknowledges it.
func (w *webhook) Send(ctx context.Context, b *Batch) (Answer, error) {
	body, contentType := w.body(b)
	h := http.Header{"Content-Type": {contentType}}
	if name := w.v["header_name"]; name != "" {
		h.Set(name, w.v["header_value"])
	}
	id, at := strings.ReplaceAll(b.ID, ".", "_"), strconv.FormatInt(w.now().Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	content := slices.Concat([]byte(id+"."+at+"."), body)
	var signatures []string
	for _, sign := range w.signers {
		signatures = append(signatures, sign(content))
	}
	if len(signatures) > 0 {
		h.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	return result(w.do(ctx, http.MethodPost, w.v["url"], h, body))
}

// body is the request's body and its type.
func (w *webhook) body(b *Batch) (body []byte, contentType string) {
	const array, lines = "application/json", "application/x-ndjson"
	dst := make([]byte, 0, b.Bytes+160*len(b.Events)+512)
	switch w.payload {
	case "array":
		return appendArray(dst, b), array
	case "lines":
		if !b.JSON {
			return appendLines(dst, b.Events), "text/plain; charset=utf-8"
		}
		return appendLines(dst, b.Events), lines
	case "workos":
		dst = append(dst, '[')
		for i := range b.Events {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = w.appendWorkOS(dst, b, &b.Events[i])
		}
		return append(dst, ']'), array
	case "workos_lines":
		for i := range b.Events {
			dst = append(w.appendWorkOS(dst, b, &b.Events[i]), '\n')
		}
		return dst, lines
	case "event":
		if len(b.Events) == 1 {
			dst = w.appendHead(dst, b, "audit_log.event")
			return append(appendEvent(dst, b, &b.Events[0]), '}'), array
		}
	}
	dst = append(w.appendHead(dst, b, "audit_log.batch"), '{')
	dst = appendMember(dst, "organization_id", b.Organization)
	dst = appendSeq(dst, "first_seq", b.First)
	dst = appendSeq(dst, "last_seq", b.Last)
	if b.Replay != "" {
		dst = appendMember(dst, "replay", b.Replay)
	}
	dst = appendArray(appendName(dst, "events"), b)
	return append(dst, '}', '}'), array
}

// appendHead begins the object of Standard Webhooks, up to where data goes. The
// timestamp is when the last event was received: the same in every attempt.
func (w *webhook) appendHead(dst []byte, b *Batch, kind string) []byte {
	switch {
	case b.Test:
		kind = "audit_log.test"
	case b.Checkpoint != nil:
		kind = "audit_log.checkpoint"
	}
	dst = appendMember(append(dst, '{'), "type", kind)
	dst = appendStamp(appendName(dst, "timestamp"), b.Events[len(b.Events)-1].ReceivedAt)
	return appendName(dst, "data")
}

// appendWorkOS appends what WorkOS wraps around an event. Its keySuffix makes
// object names differ; here it is the event's id. The format of that name has
// the whole of it already.
func (w *webhook) appendWorkOS(dst []byte, b *Batch, ev *Event) []byte {
	if b.Format == "workos" {
		return appendEvent(dst, b, ev)
	}
	dst = appendEvent(appendName(append(dst, '{'), "event"), b, ev)
	suffix := b.ID
	if ev.hasID() {
		suffix = ev.ID.String()
	}
	dst = appendMember(dst, "keySuffix", suffix)
	dst = append(appendName(dst, "timestamp"), '"')
	dst = ev.OccurredAt.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = appendMember(append(dst, '"'), "source", w.v["source"])
	return append(dst, '}')
}

// hookSigner makes the function that signs with a secret.
func hookSigner(secret string) (func(content []byte) string, error) {
	if text, ok := strings.CutPrefix(secret, "whsk_"); ok {
		key, err := base64.StdEncoding.DecodeString(text)
		if err == nil && len(key) == ed25519.SeedSize {
			key = ed25519.NewKeyFromSeed(key)
		}
		if err != nil || len(key) != ed25519.PrivateKeySize {
			return nil, errors.New("must be whsk_ and an Ed25519 private key of 32 or 64 bytes in Base64")
		}
		return func(content []byte) string {
			return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, content))
		}, nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 || !strings.HasPrefix(secret, "whsec_") {
		return nil, errors.New("must be whsec_ and 24 to 64 random bytes in Base64")
	}
	return func(content []byte) string {
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}, nil
}

// newSigningSecret makes a secret for HMAC.
func newSigningSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

func checkSigningSecret(value string) error {
	_, err := hookSigner(value)
	return err
}

// checkHeaderName accepts names that are not the request's own.
func checkHeaderName(value string) error {
	for _, r := range value {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return errors.New("must be the name of a header: letters, digits and '-'")
		}
	}
	switch name := http.CanonicalHeaderKey(value); {
	case slices.Contains([]string{
		"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
	}, name), strings.HasPrefix(name, "Webhook-"):
		return errors.New("is a header that the request itself sets")
	}
	return nil
}
