package sink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func verify(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	sent, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(fmt.Appendf(nil, "%s.%d.%s", h.Get("Webhook-Id"), sent, body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for got := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
}

// TestPageOfWebhooks: the function that the page tells to use is the one above,
// and it takes what is sent and nothing else.
func TestPageOfWebhooks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "streams", "webhook.md"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("webhookdoc_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "```go\n")
	code, _, _ = strings.Cut(code, "```")
	if len(code) < 500 || !strings.Contains(string(self), code) {
		t.Error("webhook.md has another function verify")
	}
	var known, unknown, late, altered bool
	srv, ca := server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			t.Error(err)
		}
		known, unknown = verify(hookSecret, r.Header, body), verify("whsec_AAAA", r.Header, body)
		altered = verify(hookSecret, r.Header, append(body, ' '))
		r.Header.Set("Webhook-Timestamp", "1700000000")
		late = verify(hookSecret, r.Header, body)
	}))
	s := open(t, Webhook(), Values{"url": srv.URL, "ca_certificate": ca, "signing_secret": hookOld, "previous_signing_secret": hookSecret})
	s.(*webhook).now = time.Now
	send(t, s, batch(t, 0, 2))
	if !known || unknown || late || altered {
		t.Error(known, unknown, late, altered)
	}
}
