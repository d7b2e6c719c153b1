package api

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/sink"
)

// siem is a customer's own system: an HTTPS webhook that answers as a test says.
type siem struct {
	server *httptest.Server

	mu     sync.Mutex
	status int
	bodies []string
	grew   chan struct{} // closed and made anew at every request
}

func (s *siem) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	close(s.grew)
	s.grew = make(chan struct{})
	w.WriteHeader(cmp.Or(s.status, http.StatusOK))
	_, _ = fmt.Fprint(w, map[bool]string{true: "stored", false: "no: acme.secret"}[s.status == 0])
}

// kind is the webhook, with trust in the system's certificate.
func (s *siem) kind() sink.Kind {
	k := sink.Webhook()
	opened := k.Open
	k.Open = func(v sink.Values, env sink.Env) (sink.Sink, error) {
		v = maps.Clone(v)
		v["ca_certificate"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw}))
		return opened(v, env)
	}
	return k
}

// clientCertificate are settings with the system's own certificate as the client's.
func (s *siem) clientCertificate(t testing.TB) sink.Values {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(s.server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return sink.Values{
		"client_certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})),
		"client_key":         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	}
}

func (s *siem) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// wait waits until the requests so far hold a text.
func (s *siem) wait(t testing.TB, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		all, grew := strings.Join(s.bodies, "\n"), s.grew
		s.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-grew:
		case <-ctx.Done():
			t.Fatalf("%q was not delivered; this was:\n%.2000s", text, all)
		}
	}
}

// shelf is a destination that can be listed: it holds one object with events 0 to
// 1 of whatever it is asked about.
type shelf struct{ sink.Sink }

func shelfKind() sink.Kind {
	return sink.Kind{
		Name: "shelf", Label: "Shelf", Settings: []sink.Setting{{Name: "token", Secret: true}},
		Open: func(sink.Values, sink.Env) (sink.Sink, error) { return shelf{}, nil },
	}
}

func (shelf) Send(context.Context, *sink.Batch) (sink.Answer, error) { return sink.Answer{}, nil }
func (shelf) Limits() sink.Limits                                    { return sink.Limits{} }
func (shelf) Close() error                                           { return nil }

func (shelf) List(context.Context, string, string) iter.Seq2[sink.Held, error] {
	return func(yield func(sink.Held, error) bool) { yield(sink.Held{Name: "a", First: 0, Last: 1}, nil) }
}

// streams starts the streams, and a system they can reach at siem.example.com.
func (h *host) streams(t testing.TB, logger *slog.Logger) {
	t.Helper()
	h.siem = &siem{grew: make(chan struct{})}
	h.siem.server = httptest.NewTLSServer(h.siem)
	t.Cleanup(h.siem.server.Close)
	formats, err := format.All()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := stream.ParseKeyring(stream.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	h.followers, err = stream.Open(t.Context(), stream.Config{
		KV: h.store, Log: h.ledger, Scanner: h.store, Directory: names{h.catalog}, Keys: keys,
		Kinds: sink.NewKinds(h.siem.kind(), shelfKind()), Formats: formats, Server: "stele.example.com", Product: "1",
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !strings.HasPrefix(address, "siem.example.com:") {
				return nil, errors.New("there is no such host")
			}
			return new(net.Dialer).DialContext(ctx, network, h.siem.server.Listener.Addr().String())
		},
		Poll: 10 * time.Millisecond, Logger: logger, Now: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.followers.Close(); err != nil {
			t.Error(err)
		}
	})
}

// names is the catalog as streams need it.
type names struct{ c *catalog.Catalog }

func (n names) OrganizationName(ctx context.Context, org string) (string, error) {
	o, err := n.c.Organization(ctx, org)
	if err != nil {
		return "", err
	}
	return o.Name, nil
}

func (n names) OrganizationIDs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		page, err := n.c.Organizations(ctx, catalog.ListOptions{Limit: 1000})
		for _, o := range page.Organizations {
			if !yield(o.ID, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}
