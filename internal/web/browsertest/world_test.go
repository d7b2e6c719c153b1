package browsertest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/demo"
	"github.com/stelehq/stele/internal/search"
)

// rootKey opens every server of the tests.
const rootKey = "sk_a_key_that_only_these_tests_know"

// start is when every server's clock begins to run: the afternoon of a working
// day, so that the demo's events do not depend on when the tests run.
var start = time.Date(2026, time.November, 18, 16, 20, 0, 0, time.UTC)

// world is one open server.
type world struct {
	*app.App
	url    string
	demo   *demo.Clock  // stands still while events of the past are recorded
	offset atomic.Int64 // nanoseconds that the clock was moved ahead
	engine *flaky
	stop   func() error
}

// settings are what a test may choose about the server that is opened for it.
type settings struct {
	FrameAncestors []string `json:"frame_ancestors"`
	ProductName    string   `json:"product_name"`
	Accent         string   `json:"accent"`
	// TLS has the server answer https, with a certificate that is nobody's.
	TLS bool `json:"tls"`
}

// open opens a server on a free port and an empty directory.
func open(ctx context.Context, dir string, cert certificate, s settings) (_ *world, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &world{url: "http://" + ln.Addr().String()}
	opened := time.Now()
	w.demo = &demo.Clock{Real: func() time.Time {
		return start.Add(time.Since(opened) + time.Duration(w.offset.Load()))
	}}
	cfg := app.DemoConfig(dir, ln.Addr().String(), rootKey, nil)
	cfg.Now, cfg.ReserveMiB = w.demo.Now, 0
	cfg.StreamAllow = []string{"127.0.0.0/8"} // where the receivers of the tests are
	cfg.FrameAncestors, cfg.ProductName, cfg.Accent = s.FrameAncestors, s.ProductName, s.Accent
	if s.TLS {
		cfg.TLSCert, cfg.TLSKey = cert.certFile, cert.keyFile
		w.url = "https://" + ln.Addr().String()
	}
	cfg.WrapEngine = func(e search.Engine) search.Engine {
		w.engine = &flaky{Engine: e, failures: map[string]int{}, gates: map[string]*gate{}}
		return w.engine
	}
	if w.App, err = app.Open(ctx, cfg); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, ln) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-ended, w.Close())
	}
	return w, nil
}

// worlds are the servers that are open, by number; the first is the one that
// most tests use.
type worlds struct {
	ctx  context.Context
	dir  string
	cert certificate
	mu   sync.Mutex
	all  []*world
	// receivers are what log streams deliver to.
	receivers receivers
}

func newWorlds(t *testing.T) *worlds {
	t.Helper()
	ws := &worlds{ctx: t.Context(), dir: t.TempDir()}
	var err error
	if ws.cert, err = newCertificate(ws.dir); err != nil {
		t.Fatal(err)
	}
	return ws
}

// add opens one more.
func (ws *worlds) add(s settings) (int, *world, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	n := len(ws.all)
	w, err := open(ws.ctx, filepath.Join(ws.dir, fmt.Sprint(n)), ws.cert, s)
	if err != nil {
		return 0, nil, err
	}
	ws.all = append(ws.all, w)
	return n, w, nil
}

func (ws *worlds) get(n int) *world {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if n < 0 || n >= len(ws.all) {
		return nil
	}
	return ws.all[n]
}

// close ends all of them.
func (ws *worlds) close(t *testing.T) {
	t.Helper()
	defer ws.receivers.close()
	for _, w := range ws.all {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}
}

// certificate is one for 127.0.0.1, in files.
type certificate struct{ certFile, keyFile string }

// newCertificate writes the certificate of httptest, whose key is public.
func newCertificate(dir string) (certificate, error) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	c := certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		return c, err
	}
	write := func(name, kind string, data []byte) error {
		return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600)
	}
	return c, errors.Join(write(c.certFile, "CERTIFICATE", server.Certificate().Raw), write(c.keyFile, "PRIVATE KEY", key))
}
