package receivertest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream/sink"
)

// gcsServer is fake-gcs-server over a folder, with a token endpoint beside it that
// checks what service accounts sign: the server itself checks no tokens.
type gcsServer struct {
	program
	dir    string
	cert   certificate
	tokens *httptest.Server
	key    *rsa.PrivateKey
}

func newGCS(t *testing.T) *gcsServer {
	t.Helper()
	s := &gcsServer{dir: t.TempDir(), cert: newCertificate(t), key: rsaKey(t)}
	if err := os.Mkdir(filepath.Join(s.dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	address, port := freeAddress(t)
	s.program = program{
		t: t, name: receiverBinary(t, "fake-gcs-server"), address: address,
		args: []string{
			"-scheme", "https", "-host", "127.0.0.1", "-port", port, "-cert-location", s.cert.certFile, "-private-key-location", s.cert.keyFile,
			"-backend", "filesystem", "-filesystem-root", s.dir, "-public-host", address, "-external-url", "https://" + address,
		},
	}
	pair, err := tls.LoadX509KeyPair(s.cert.certFile, s.cert.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s.tokens = httptest.NewUnstartedServer(http.HandlerFunc(s.token))
	s.tokens.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.tokens.StartTLS()
	t.Cleanup(s.tokens.Close)
	return s
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// token answers as Google does: an assertion that the account's key has not signed
// is an invalid_grant.
func (s *gcsServer) token(w http.ResponseWriter, r *http.Request) {
	signed, signature, _ := cutLast(r.FormValue("assertion"), ".")
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	sum := sha256.Sum256([]byte(signed))
	if err != nil || rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, `{"access_token":"ya29.a-token","expires_in":3599,"token_type":"Bearer"}`)
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// settings are those with a key for the service account.
func (s *gcsServer) settings(key *rsa.PrivateKey) sink.Values {
	s.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "stele-audit@acme.iam.gserviceaccount.com", "private_key_id": "k1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": s.tokens.URL + "/token",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return sink.Values{"bucket": bucket, "service_account": string(account), "endpoint": "https://" + s.address, "ca_certificate": s.cert.pem}
}

// lines are those of all objects, in the order of their first seq.
func (s *gcsServer) lines() []string {
	return objectLines(objectFiles(s.t, filepath.Join(s.dir, bucket)))
}

// TestGCS delivers to fake-gcs-server.
func TestGCS(t *testing.T) {
	t.Parallel()
	server := newGCS(t)
	s := roundTrip(t, receiver{
		kind: "google_cloud_storage", settings: server.settings(server.key), wrong: server.settings(rsaKey(t)), says: "Invalid JWT Signature",
		start: server.start, stop: server.stop, received: server.lines, expected: (*scene).native,
	})
	certified(t, s)
}
