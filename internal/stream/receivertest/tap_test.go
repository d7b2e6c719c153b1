package receivertest

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// tap is a proxy in front of a receiver that does not keep all it is sent. It
// keeps the bodies of the requests which the receiver accepted.
type tap struct {
	*httptest.Server
	t    *testing.T
	cert certificate
	to   *httputil.ReverseProxy

	mu     sync.Mutex
	bodies [][]byte
}

func newTap(t *testing.T, to string, theirs certificate) *tap {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{t: t, cert: newCertificate(t), to: httputil.NewSingleHostReverseProxy(target)}
	transport := &http.Transport{TLSClientConfig: theirs.trusting(t)}
	p.to.Transport = transport
	p.to.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	pair, err := tls.LoadX509KeyPair(p.cert.certFile, p.cert.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.pass))
	p.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.StartTLS()
	t.Cleanup(func() { p.Close(); transport.CloseIdleConnections() })
	return p
}

// pass hands a request on and keeps its body when the answer is 2xx.
func (p *tap) pass(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	status := &statusWriter{ResponseWriter: w}
	p.to.ServeHTTP(status, r)
	if status.code/100 != 2 {
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		body = gunzip(p.t, body)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies = append(p.bodies, body)
}

func (p *tap) accepted() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

func gunzip(t *testing.T, packed []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Error(err)
		return nil
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Error(err)
	}
	return text
}
