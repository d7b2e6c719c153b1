package egress

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func caOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func client(t *testing.T, ca []byte, headers time.Duration) *http.Client {
	t.Helper()
	c, err := TLS(ca, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := Transport(guard(t, "127.0.0.1").Dial, c, headers)
	t.Cleanup(tr.CloseIdleConnections)
	return Client(tr)
}

func get(t *testing.T, c *http.Client, url string) (status int, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req) //nolint:bodyclose // ReadBody closes it
	if err != nil {
		return 0, err
	}
	_, _, err = ReadBody(res.Body, 100)
	return res.StatusCode, err
}

func TestClient(t *testing.T) {
	hits := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		if r.Header.Get("Accept-Encoding") != "" {
			t.Error("asked for a compressed answer")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	status, err := get(t, client(t, caOf(s), time.Second), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusFound || hits != 1 {
		t.Errorf("status %d after %d requests: the redirect was followed", status, hits)
	}
	if _, err := get(t, client(t, nil, time.Second), s.URL); err == nil {
		t.Error("a certificate of an unknown authority was taken")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	if _, err := get(t, client(t, caOf(s), time.Second), s.URL); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

func TestSilentServer(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer s.Close()
	defer close(done)
	_, err := get(t, client(t, caOf(s), 50*time.Millisecond), s.URL)
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

func TestLongHeaders(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeaderBytes))
	}))
	defer s.Close()
	if _, err := get(t, client(t, caOf(s), time.Second), s.URL); err == nil {
		t.Error("headers without end were read")
	}
}

func TestReadBody(t *testing.T) {
	for _, c := range []struct {
		in, text string
		more     bool
	}{{"", "", false}, {"1234", "1234", false}, {"12345", "1234", true}} {
		text, more, err := ReadBody(io.NopCloser(strings.NewReader(c.in)), 4)
		if string(text) != c.text || more != c.more || err != nil {
			t.Errorf("%q: %q %v %v", c.in, text, more, err)
		}
	}
}

func TestTLSFaults(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	ca := caOf(s)
	for name, args := range map[string][3][]byte{
		"no certificate in the CA": {[]byte("hello")},
		"certificate without key":  {ca, ca, nil},
		"key without certificate":  {ca, nil, ca},
		"no key in the key":        {ca, ca, []byte("s3cret-key")},
	} {
		if _, err := TLS(args[0], args[1], args[2]); !errors.Is(err, ErrCertificate) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClientCertificate: the server sees the certificate that the settings hold.
func TestClientCertificate(t *testing.T) {
	seen := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = len(r.TLS.PeerCertificates) }))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	cert, key := s.TLS.Certificates[0], keyPEM(t, s)
	config, err := TLS(caOf(s), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), key)
	if err != nil {
		t.Fatal(err)
	}
	tr := Transport(guard(t, "127.0.0.1").Dial, config, time.Second)
	defer tr.CloseIdleConnections()
	if _, err := get(t, Client(tr), s.URL); err != nil {
		t.Fatal(err)
	}
	if seen != 1 {
		t.Errorf("the server saw %d certificates", seen)
	}
}

func keyPEM(t *testing.T, s *httptest.Server) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
