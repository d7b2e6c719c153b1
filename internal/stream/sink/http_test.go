package sink

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
)

// watched tells when the client has given a connection up.
type watched struct {
	net.Conn

	once   sync.Once
	closed chan struct{}
}

func (c *watched) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// TestIdleConnectionLost: a destination that closes an idle connection just as it
// is taken for the next batch has closed the connection, as at any other moment.
func TestIdleConnectionLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	answered := make(chan net.Conn, 1)
	go answerOne(l, answered)
	client := &watched{closed: make(chan struct{})}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		client.Conn = conn
		return client, err
	}}
	defer transport.CloseIdleConnections()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			_ = (<-answered).Close()
			<-client.closed
		}
	}})
	send := func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.Addr().String(), strings.NewReader("batch"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Body.Close()
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	err = send()
	if err == nil {
		t.Fatal("a connection that is gone took a request")
	}
	if e := faultOf(t.Context(), "It", "host", err, nil); e.Class != Retry || e.Code != "connection_lost" {
		t.Errorf("%v: %s %s, want connection_lost", err, e.Class, e.Code)
	}
}

// answerOne takes one connection, answers one request and hands it over.
func answerOne(l net.Listener, answered chan<- net.Conn) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	answered <- conn
}

// TestCertificatesAlone holds that no private key comes into a setting that is
// shown.
func TestCertificatesAlone(t *testing.T) {
	_, ca := server(t, newBucket(t))
	checked := 0
	for _, s := range tlsSettings() {
		if s.Secret {
			continue
		}
		checked++
		if err := s.Check(ca + ca); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		for _, kind := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"} {
			text := ca + "-----BEGIN " + kind + "-----\nAAAA\n-----END " + kind + "-----\n"
			if err := s.Check(text); err == nil || !strings.Contains(err.Error(), "private key") {
				t.Errorf("%s takes a key: %v", s.Name, err)
			}
		}
	}
	if checked != 2 {
		t.Errorf("%d settings were looked at", checked)
	}
}
